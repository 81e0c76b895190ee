"""Making a lake: every table from its contract, and the lake's settings. No JVM is needed."""

from __future__ import annotations

import os

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable
from deltalake.exceptions import DeltaError
from deltalake.schema import Schema

from catalog.storage import storage_options
from schemas.contract import Contract
from schemas.datasets import DATASETS
from schemas.errors import LakeError, UsageError
from schemas.lake import TABLES, table_uri
from schemas.settings import LakeSettings

CONSTRAINT = "delta.constraints."
WRITER_VERSION = "delta.minWriterVersion"
VERSION = "lakealbum.contractVersion"


def ensure_lake(root: str, settings: LakeSettings) -> None:
    """Makes the lake at `root` if there is none. Settings are kept from the first time on.

    Each table is made in one commit, `datasets` last: once it is there, the lake is complete. Killed half-way, the
    next call goes on. Of several creators at once the first to make `datasets` has its settings kept.

    Raises UsageError where no lake is there, and a local folder holds other things.
    """
    if is_lake(root):
        return
    if "://" not in root and os.path.isdir(root):
        known = {*TABLES, "lost+found"}
        others = sorted(name for name in os.listdir(root) if name not in known and not name.startswith("."))
        if others:
            raise UsageError(
                f"there is no lake at {root!r}, and the folder has other things in it, such as {others[0]!r}: "
                "a folder that is new or empty is accepted"
            )
    for contract in TABLES.values():
        if contract is not DATASETS:
            ensure_table(root, contract)
    ensure_table(root, DATASETS, settings.as_properties())


def is_lake(root: str) -> bool:
    """Whether there is a lake, of whatever version."""
    return has_table(root, DATASETS)


def has_table(root: str, contract: Contract) -> bool:
    """Whether a table of a lake has been made."""
    return DeltaTable.is_deltatable(table_uri(root, contract.name), storage_options=storage_options(root))


def ensure_table(root: str, contract: Contract, extra: dict[str, str] | None = None) -> None:
    """Creates one table of a lake from its contract, in one commit, unless it is there."""
    if has_table(root, contract):
        return
    try:
        DeltaTable.create(
            table_uri(root, contract.name),
            schema=contract.arrow_schema,
            partition_by=list(contract.partition_by),
            name=contract.name,
            description=f"One row per {contract.row}. {contract.notes}".strip(),
            configuration=_properties(contract) | (extra or {}),
            storage_options=storage_options(root),
            commit_properties=CommitProperties(max_commit_retries=0),  # a retry would overwrite metadata
            raise_if_key_not_exists=False,  # the lake's own properties are not Delta's
        )
    except DeltaError:
        if not has_table(root, contract):
            raise  # otherwise another creator was first, and its table is as good


def repair_table(root: str, contract: Contract, *, dry_run: bool = False) -> list[str]:
    """Adds what a table lacks of its contract: nullable columns, checks, properties. Returns what, a line each.

    A comment that is another by now takes the place of the old one, without which delta-rs refuses rows. So does a
    check, and the contract's version, last of all. Each
    is a commit of the table's log alone: no data are read, but for new checks, and none are written. Killed between
    two of them, the next call goes on.

    Raises LakeError for a missing column that may not be null, SchemaMismatch for one of another type.
    """
    table = DeltaTable(table_uri(root, contract.name), storage_options=storage_options(root))
    fields = {field.name for field in table.schema().fields}
    columns = [column for column in contract.columns if column.name not in fields]
    if needed := [column.name for column in columns if not column.nullable]:
        raise LakeError(
            f"table {table.table_uri} lacks the columns {', '.join(needed)}, which may not be null: it was not made "
            "from this contract; restore it, or make the lake anew"
        )
    comments = {field.name: field.metadata.get("comment") for field in table.schema().fields}
    told = [column for column in contract.columns if comments.get(column.name, column.comment) != column.comment]
    present = table.metadata().configuration
    wanted = _properties(contract)
    checks = {key: sql for key, sql in wanted.items() if key.startswith(CONSTRAINT) and present.get(key) != sql}
    own = {
        key: value
        for key, value in wanted.items()
        if not key.startswith(CONSTRAINT)
        and key != WRITER_VERSION
        and (key not in present or (key == VERSION and present[key] != value))
    }
    if not dry_run:
        if columns:
            added = Schema.from_arrow(contract.arrow_schema)
            table.alter.add_columns([field for field in added.fields if field.name not in fields])
        for column in told:
            table.alter.set_column_metadata(column.name, {"comment": column.comment})
        for key, sql in checks.items():
            if key in present:
                table.alter.drop_constraint(key.removeprefix(CONSTRAINT))
            table.alter.add_constraint({key.removeprefix(CONSTRAINT): sql})
        if own:
            table.alter.set_table_properties(own, raise_if_not_exists=False)
    if not (dry_run and columns):
        contract.check(_arrow_schema(table), table.table_uri)
    return (
        [f"column {column.name} added" for column in columns]
        + [f"comment of column {column.name} renewed" for column in told]
        + [f"check {key.removeprefix(CONSTRAINT)} {'renewed' if key in present else 'added'}" for key in checks]
        + [f"property {key} set to {value}" for key, value in own.items()]
    )


def _properties(contract: Contract) -> dict[str, str]:
    """What a table is configured with: the contract's properties, its checks, the protocol that checks need.

    Deletion vectors bring a protocol with table features, among them checks; without them it is writer version 3.
    """
    checks = {CONSTRAINT + name: sql for name, sql in contract.checks.items()}
    protocol = {WRITER_VERSION: "3"} if checks and not contract.merged else {}
    return contract.properties | checks | protocol


def _arrow_schema(table: DeltaTable) -> pa.Schema:
    return pa.schema(table.schema().to_arrow())
