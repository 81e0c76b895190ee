"""Job: migrate, which moves a lake to this code's contracts, and its rows to another number of buckets."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime

import click
import pyarrow as pa
from deltalake import DeltaTable
from pyspark.sql import functions as F

from catalog.commands.output import print_document
from catalog.create import VERSION, ensure_table, has_table, repair_table
from catalog.lake import Lake as Catalog
from catalog.lake import open_table
from catalog.selecting import select
from catalog.storage import storage_options
from catalog.upkeep import has_had_files, running_tasks
from jobs.cli.main import run as run_command
from jobs.runtime.commits import maintenance_of, reach_failure_point
from jobs.runtime.lake import Lake, bucket
from jobs.runtime.needs import need_of
from jobs.runtime.session import open_session
from jobs.runtime.stores import needs_s3
from schemas.contract import TIMESTAMP, Contract
from schemas.datasets import DATASETS
from schemas.errors import Conflict, LakeError, UsageError
from schemas.lake import CONTRACT_VERSION, TABLES, table_uri
from schemas.locations import lake_root
from schemas.settings import PREFIX, LakeSettings

MOVING = PREFIX + "movingToBuckets"
"""Property of `datasets`: the number of buckets that a move is on its way to. Nobody else opens the lake meanwhile."""


def _nothing_moves(root: str) -> None:
    """Of a version that only has more columns, checks and tables: `repair_table` and `ensure_lake` add them."""


def _rewrite_far_times(root: str) -> None:
    """Writes rows anew that have a time before 1678 or after 2261, as microseconds.

    Up to version 3 Spark wrote times as INT96. delta-rs takes that for nanoseconds where it reads change feeds or
    writes files anew, and such times became others. Later steps see these rows as changed.
    """
    lake = Lake(root, LakeSettings(), lambda: open_session("migrate", s3=needs_s3([root])))
    for contract in TABLES.values():
        far = " OR ".join(f"date_part('year', {time}) NOT BETWEEN 1678 AND 2261" for time in _times(contract))
        if not far or not has_table(root, contract):
            continue
        if not select(f"SELECT 1 FROM rows WHERE {far} LIMIT 1", {"rows": lake.log(contract)}).read_all().num_rows:
            continue
        same = contract.names[0]
        with maintenance_of(lake, contract):
            lake.spark.sql(f"UPDATE {lake.sql_name(contract)} SET {same} = {same} WHERE {far}")
        reach_failure_point(f"after:migrate.times.{contract.name}")


def _times(contract: Contract) -> Iterator[str]:
    """The times of a table, and those in structs, by names that Spark and delta-rs both know."""
    for column in contract.columns:
        if column.type == TIMESTAMP:
            yield column.name
        elif pa.types.is_struct(column.type):
            yield from (f"{column.name}['{part.name}']" for part in column.type if part.type == TIMESTAMP)


MIGRATIONS: dict[int, Callable[[str], None]] = {1: _nothing_moves, 2: _nothing_moves, 3: _rewrite_far_times}
"""Contract version -> what moves the rows of the lake at a root on to the next one; it can be repeated after a kill."""


def migrate_lake(root: str, *, dry_run: bool) -> list[str]:
    """Moves the lake at `root` to this code's contracts, and repairs what its tables lack. Returns what, a line each.

    `datasets`, whose version is the lake's, comes last: killed anywhere, the lake is still of the old version, and the
    next call goes on.

    Raises LakeError for a lake that is not there, that a newer LakeAlbum made, or whose rows are being moved.
    """
    properties = _properties_of(root)
    if properties.get(MOVING):
        raise LakeError(
            f"the rows of the lake at {root!r} are being moved to {properties[MOVING]} buckets: "
            f"`lakealbum migrate --buckets {properties[MOVING]}` goes on"
        )
    version = _version_of(root, properties)
    done = []
    for step in range(version, CONTRACT_VERSION):
        if step not in MIGRATIONS:
            raise LakeError(
                f"the lake at {root!r} has table contracts of version {step}; no migration leads from there"
            )
        if not dry_run:
            MIGRATIONS[step](root)
        done.append(f"lake: from contract version {step} to {step + 1}")
    for contract in sorted(TABLES.values(), key=lambda contract: contract is DATASETS):
        if has_table(root, contract):
            done += [f"{contract.name}: {what}" for what in repair_table(root, contract, dry_run=dry_run)]
        else:
            done.append(f"{contract.name}: table made")
            if not dry_run:
                ensure_table(root, contract)
        reach_failure_point(f"after:migrate.{contract.name}")
    return done


def _properties_of(root: str) -> dict[str, str]:
    """The properties of `datasets`, which are the lake's. LakeError where there is no lake."""
    properties: dict[str, str] = open_table(root, DATASETS.name).metadata().configuration
    return properties


def _version_of(root: str, properties: dict[str, str]) -> int:
    text = properties.get(VERSION, str(CONTRACT_VERSION))
    if not text.isdecimal() or int(text) > CONTRACT_VERSION:
        raise LakeError(
            f"the lake at {root!r} has table contracts of version {text}; this LakeAlbum knows up to "
            f"{CONTRACT_VERSION}: use the LakeAlbum that made it, or a newer one"
        )
    return int(text)


def move_to_buckets(root: str, buckets: int, *, dry_run: bool) -> list[str]:
    """Moves the rows of the lake at `root` to so many buckets. Returns the tables that were rewritten, a line each.

    No row changes but for its bucket, and no later step sees a change. A table is one commit. While tables are moved,
    `datasets` has a version that every command refuses; the last commit makes the lake whole again. Killed anywhere,
    the same call goes on.

    Raises UsageError where a task is running or a later step has not consumed its changes, as these tell the old
    buckets; Conflict where a writer that was open already changed a table meanwhile: that table is as it was.
    """
    properties = _properties_of(root)
    target = properties.get(MOVING) or None
    if target not in (None, str(buckets)):
        raise UsageError(f"the lake is on its way to {target} buckets: `lakealbum migrate --buckets {target}` goes on")
    settings = LakeSettings.from_properties(properties, table_uri(root, DATASETS.name))
    if target is None and settings.buckets == buckets:
        return []
    lake = Lake(root, replace(settings, buckets=buckets), lambda: open_session("migrate", s3=needs_s3([root])))
    if target is None:
        if _version_of(root, properties) != CONTRACT_VERSION:
            raise LakeError(f"the lake at {root!r} is of another version: run `lakealbum migrate` first")
        _refuse_if_needed(lake)
    if dry_run:
        return [f"{contract.name}: to be rewritten" for contract in _in_buckets() if lake.rows(contract)]
    if target is None:
        _set(root, {VERSION: "moving", MOVING: str(buckets)})
    done = [f"{contract.name}: rewritten" for contract in _in_buckets() if _move(lake, contract)]
    _set(root, {PREFIX + "buckets": str(buckets), VERSION: str(CONTRACT_VERSION), MOVING: ""})
    return done


def _in_buckets() -> Iterator[Contract]:
    return (contract for contract in TABLES.values() if "bucket" in contract.names)


def _refuse_if_needed(lake: Lake) -> None:
    catalog = Catalog(lake.root)
    running, _ = running_tasks(catalog, datetime.now(UTC))
    needs = [need_of(lake, catalog, contract, running) for contract in _in_buckets()]
    if whose := sorted({need.whose for need in needs if need is not None}):
        raise UsageError("the rows cannot be moved yet; run the clusterings, and wait for tasks\n" + "\n".join(whose))


def _move(lake: Lake, contract: Contract) -> bool:
    """Rewrites a table if a row of it is in a wrong bucket."""
    if not has_had_files(lake.root, contract):
        return False
    base = lake.version(contract)
    rows, right = lake.read(contract, base), bucket(lake.settings.buckets)
    if rows.where(F.col("bucket") != right).isEmpty():
        return False
    reach_failure_point(f"before:migrate.{contract.name}")
    moved = rows.withColumn("bucket", right).repartition("bucket")
    moved = moved.sortWithinPartitions("bucket", *contract.sort_by)
    with maintenance_of(lake, contract):
        writer = moved.select(contract.names).write.format("delta").mode("overwrite")
        writer.option("dataChange", "false").save(lake.uri(contract))
    if (version := lake.version(contract)) != base + 1:
        lake.spark.sql(f"RESTORE TABLE {lake.sql_name(contract)} TO VERSION AS OF {version - 1}")
        raise Conflict(f"another writer changed table {contract.name}: stop it, and run this again")
    reach_failure_point(f"after:migrate.{contract.name}")
    return True


def _set(root: str, properties: dict[str, str]) -> None:
    table = DeltaTable(table_uri(root, DATASETS.name), storage_options=storage_options(root))
    table.alter.set_table_properties(properties, raise_if_not_exists=False)


@click.command("migrate")
@click.option(
    "--lake", envvar="LAKEALBUM_LAKE", required=True, help="Root of the lake: a directory or an object-store URI."
)
@click.option("--buckets", type=int, help="Move the rows to so many buckets, 16 to 1024. Stop jobs and servers first.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON document.")
def command(lake: str, buckets: int | None, dry_run: bool, as_json: bool) -> None:
    """Move a lake to this version's table contracts, and add what its tables lack; or move its rows to more buckets."""
    root = lake_root(lake)
    done = migrate_lake(root, dry_run=dry_run) if buckets is None else move_to_buckets(root, buckets, dry_run=dry_run)
    if as_json:
        print_document({"ContractVersion": CONTRACT_VERSION, "DryRun": dry_run, "Changes": done})
        return
    for line in done:
        print(("would be done: " if dry_run else "done: ") + line)
    if not done:
        wanted = f"contract version {CONTRACT_VERSION} wants it" if buckets is None else f"{buckets} buckets want it"
        print(f"The lake at {lake} is as {wanted}.")


if __name__ == "__main__":
    sys.exit(run_command(command))
