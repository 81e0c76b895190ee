"""A lake as a Spark job sees it: tables read at pinned versions, and what changed between two of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable, QueryBuilder
from pyspark.errors import AnalysisException, PySparkException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import from_arrow_schema
from pyspark.sql.types import StructType

from catalog.create import ensure_lake
from catalog.sql import equals
from catalog.storage import storage_options
from catalog.upkeep import commits_after, committed_at
from jobs.session import gather_few, is_for_few
from schemas.contract import Contract
from schemas.datasets import DATASETS
from schemas.errors import LakeError, UsageError
from schemas.lake import CONTRACT_VERSION, absolute_uri, table_uri
from schemas.settings import LakeSettings

SMALL_BYTES = 8 << 20
"""Bytes of a table's files up to which it is sent along with the tasks that read it."""
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Lake:
    """An open lake. `settings` hold for all its tables."""

    spark: SparkSession
    root: str
    settings: LakeSettings
    _frames: dict[tuple[str, int, bool], DataFrame] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def open(cls, spark: SparkSession, root: str, create: LakeSettings | None = None) -> Lake:
        """Opens the lake at `root`; makes it first, with the settings `create`, where those are given."""
        root = absolute_uri(root)
        if create is not None and not DeltaTable.is_deltatable(
            table_uri(root, "datasets"), storage_options=storage_options(root)
        ):
            ensure_lake(root, create)
        return cls(spark, root, read_settings(root))

    def uri(self, contract: Contract) -> str:
        """Where a table is."""
        return table_uri(self.root, contract.name)

    def log(self, contract: Contract) -> DeltaTable:
        """A table's transaction log, at its latest version."""
        return DeltaTable(self.uri(contract), storage_options=storage_options(self.root))

    def version(self, contract: Contract) -> int:
        """The latest version of a table."""
        return self.log(contract).version()

    def rows(self, *contracts: Contract) -> int:
        """About how many rows tables have: those of their files, by the log, deleted ones that are still there too."""
        return sum(sum_of_files(self.log(contract), "num_records") for contract in contracts)

    def rows_written(self, contract: Contract, after: int, until: int) -> int:
        """About how many rows a table's versions above `after` up to `until` wrote, by its log."""
        entries = (entry for entry in commits_after(self.log(contract), after) if entry["version"] <= until)
        return sum(int((entry.get("operationMetrics") or {}).get("numOutputRows", 0)) for entry in entries)

    def last_job_version(self, contract: Contract, *, after: int) -> int | None:
        """The latest version above `after` that a job committed (maintenance commits carry no token of their own)."""
        commits = (entry for entry in commits_after(self.log(contract), after) if _is_of_job(entry))
        return next((int(entry["version"]) for entry in commits), None)

    def settled_version(self, contract: Contract, version: int) -> int | None:
        """The last version with the same rows as `version`: maintenance after it moved files, but changed no row.

        None unless all that it holds, and all changes since, can still be read: where the log was cleaned up since,
        or a VACUUM deleted files that a later job removed. (Files deleted by other means than VACUUM show when they
        are read, as an error.)
        """
        table = self.log(contract)
        entries = list(commits_after(table, version))
        if len(entries) < table.version() - version:
            return None
        changed = next((entry for entry in reversed(entries) if _is_of_job(entry)), None)
        if changed is None:
            return table.version()
        vacuums = [until for entry in entries if (until := _vacuumed_until(entry)) is not None]
        return None if max(vacuums, default=_LONG_AGO) > committed_at(changed) else int(changed["version"]) - 1

    def read(self, contract: Contract, version: int) -> DataFrame:
        """A table as it was at `version`; opened once, as each opening makes Delta read its log anew.

        Where the session is set for few rows, a small table is read here: Delta takes several Spark jobs to plan that.
        """
        few = is_for_few(self.spark)
        opened = contract.name, version, few
        if opened not in self._frames:
            small = self._read_small(contract, version) if few else None
            self._frames[opened] = gather_few(self._open(contract, version)) if small is None else small
        return self._frames[opened]

    def _open(self, contract: Contract, version: int) -> DataFrame:
        return self.spark.read.format("delta").option("versionAsOf", version).load(self.uri(contract))

    def _read_small(self, contract: Contract, version: int) -> DataFrame | None:
        """The rows of a table, unless their files are larger than SMALL_BYTES."""
        table = DeltaTable(self.uri(contract), version=version, storage_options=storage_options(self.root))
        if sum_of_files(table, "size_bytes") > SMALL_BYTES:
            return None
        there = {column.name for column in table.schema().fields}  # an old version may lack some
        schema = pa.schema([column for column in contract.arrow_schema if column.name in there])
        rows = _select(table, [f'"{name}"' for name in schema.names])
        rows = rows.cast(schema) if len(rows) else schema.empty_table()
        return gather_few(self.spark.createDataFrame(rows, from_arrow_schema(schema, prefer_timestamp_ntz=True)))

    def changes(self, contract: Contract, after: int, until: int) -> DataFrame | None:
        """The change feed of a table over the versions after `after` up to `until`, both images of an update.

        None where the feed is gone (vacuumed, or its log cleaned up): the caller compares snapshots instead.
        """
        if self.settled_version(contract, after) is None:
            return None
        try:
            return gather_few(
                self.spark.read.format("delta")
                .option("readChangeFeed", "true")
                .option("startingVersion", after + 1)
                .option("endingVersion", until)
                .load(self.uri(contract))
            )
        except (AnalysisException, PySparkException) as error:
            if any(
                sign in str(error)
                for sign in ("DELTA_MISSING_CHANGE_DATA", "DELTA_VERSION_NOT_FOUND", "Cannot time travel")
            ):
                return None
            raise

    def bucket(self) -> Column:
        """The bucket of a row, from its project_name and dataset_name (see schemas.lake.bucket_of)."""
        return bucket(self.settings.buckets)


def sum_of_files(table: DeltaTable, what: str) -> int:
    """What the log says of a table's files (`num_records`, `size_bytes`), summed up."""
    files = pa.table(table.get_add_actions(flatten=True))
    return sum(number or 0 for number in files[what].to_pylist()) if what in files.column_names else 0


def _is_of_job(entry: dict[str, Any]) -> bool:
    return (entry.get("userMetadata") or "").startswith("{")


def _vacuumed_until(entry: dict[str, Any]) -> datetime | None:
    """If a log entry is the start of a VACUUM: files removed before the time returned may have been deleted."""
    if entry.get("operation") != "VACUUM START":
        return None
    asked = entry.get("operationParameters") or {}
    given = (asked.get(name) for name in ("specifiedRetentionMillis", "defaultRetentionMillis"))
    kept = [int(milliseconds) for milliseconds in given if milliseconds is not None]
    return committed_at(entry) - timedelta(milliseconds=min(kept, default=0))


def bucket(buckets: int) -> Column:
    """The bucket of a row: schemas.lake.bucket_of as a Spark column."""
    return F.pmod(F.crc32(F.concat_ws("\n", "project_name", "dataset_name")), F.lit(buckets)).cast("int")


def spark_schema(contract: Contract) -> StructType:
    """A contract's columns as a Spark schema."""
    return from_arrow_schema(contract.arrow_schema, prefer_timestamp_ntz=True)


def read_settings(root: str) -> LakeSettings:
    """The settings of the lake at `root`. LakeError where there is none, or one of another version."""
    uri = table_uri(root, DATASETS.name)
    options = storage_options(root)
    if not DeltaTable.is_deltatable(uri, storage_options=options):
        raise LakeError(f"there is no lake at {root!r}: `lakealbum index SOURCE --lake {root}` makes one")
    properties = DeltaTable(uri, storage_options=options).metadata().configuration
    version = properties.get("lakealbum.contractVersion", "none")
    if version != str(CONTRACT_VERSION):
        raise LakeError(
            f"the lake at {root!r} has table contracts of version {version}; this LakeAlbum knows version "
            f"{CONTRACT_VERSION}: run `lakealbum migrate --lake {root}`, or the LakeAlbum that wrote it"
        )
    return LakeSettings.from_properties(properties, uri)


def check_datasets(lake: Lake, project: str, names: tuple[str, ...]) -> None:
    """Raises UsageError for a dataset that the project does not have, listing some that it has."""
    if not names:
        return
    known = dataset_names(lake, project)
    missing = sorted(set(names).difference(known))
    if missing:
        raise UsageError(
            f"project {project!r} has no dataset {', '.join(map(repr, missing))}; it has "
            + (", ".join(known[:10]) if known else "none yet")
        )


def dataset_names(lake: Lake, project: str) -> list[str]:
    """The names of a project's datasets, in order."""
    rows = select_rows(lake.log(DATASETS), ("dataset_name",), equals("project_name", project))
    return sorted(row["dataset_name"] for row in rows)


def select_rows(table: DeltaTable, columns: Sequence[str], condition: str) -> list[dict[str, Any]]:
    """Columns of those rows of a table that satisfy a condition (catalog.sql), without Spark: for few rows."""
    rows: list[dict[str, Any]] = _select(table, columns, condition).to_pylist(maps_as_pydicts="strict")
    return rows


def _select(table: DeltaTable, columns: Sequence[str], condition: str = "TRUE") -> pa.Table:
    statement = f"SELECT {', '.join(columns)} FROM rows WHERE {condition}"
    return pa.table(QueryBuilder().register("rows", table).execute(statement).read_all())
