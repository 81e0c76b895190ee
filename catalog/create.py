"""Making a lake: every table from its contract, and the lake's settings. No JVM is needed."""

from __future__ import annotations

from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from catalog.storage import storage_options
from schemas.contract import Contract
from schemas.lake import TABLES, table_uri
from schemas.settings import LakeSettings


def ensure_lake(root: str, settings: LakeSettings) -> None:
    """Creates the tables that the lake at `root` lacks. Settings are kept from the first time on.

    Killed half-way, the next call goes on: a table counts as made once it carries its contract's version,
    which is written last; the settings are written before any other table is made.
    """
    for contract in TABLES.values():
        extra = settings.as_properties() if contract.name == "datasets" else {}
        ensure_table(root, contract, extra)


def ensure_table(root: str, contract: Contract, extra: dict[str, str] | None = None) -> None:
    """Creates one table of a lake from its contract, unless it is there."""
    uri = table_uri(root, contract.name)
    options = storage_options(root)
    if not DeltaTable.is_deltatable(uri, storage_options=options):
        try:
            DeltaTable.create(
                uri,
                schema=contract.arrow_schema,
                partition_by=list(contract.partition_by),
                name=contract.name,
                description=f"One row per {contract.row}. {contract.notes}".strip(),
                configuration={k: v for k, v in contract.properties.items() if k.startswith("delta.")},
                storage_options=options,
            )
        except DeltaError:
            if not DeltaTable.is_deltatable(uri, storage_options=options):
                raise  # otherwise another creator was first, and its table is as good
    table = DeltaTable(uri, storage_options=options)
    present = table.metadata().configuration
    for name, expression in contract.checks.items():
        if f"delta.constraints.{name}" not in present:
            table.alter.add_constraint({name: expression})
    own = {k: v for k, v in contract.properties.items() if not k.startswith("delta.")} | (extra or {})
    missing = {key: value for key, value in own.items() if key not in present}
    if missing:
        table.alter.set_table_properties(missing, raise_if_not_exists=False)
