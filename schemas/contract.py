"""What a table contract is: the columns, key, checks and layout that every writer is held to."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import pyarrow as pa

from schemas.errors import SchemaMismatch

Writer = Literal["jobs", "catalog"]

CONTRACT_VERSION = 4
"""Of all contracts at once: a lake is of one version, and `lakealbum migrate` moves it on."""

TIMESTAMP = pa.timestamp("us", tz="UTC")
LABELS = pa.map_(pa.string(), pa.string())


@dataclass(frozen=True)
class Column:
    """One column: its Arrow type, what it means, and whether a row may lack it."""

    name: str
    type: pa.DataType
    comment: str
    nullable: bool = True


@dataclass(frozen=True)
class Contract:
    """One table of the lake.

    `row` says what a row is; `key` identifies it; `checks` are CHECK constraints in the SQL that Spark and
    delta-rs both evaluate; `writer` is the only package that writes the table. `change_feed` is on where a
    later step consumes the table's changes; `merged` where rows are replaced (deletion vectors are on then); `wide`
    where a row may have megabytes, so that rows are not sent to every worker.
    """

    name: str
    row: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    writer: Writer
    notes: str = ""
    checks: dict[str, str] = field(default_factory=dict, hash=False)
    partition_by: tuple[str, ...] = ()
    sort_by: tuple[str, ...] = ()
    change_feed: bool = False
    merged: bool = False
    wide: bool = False
    retention: str = "for ever"

    @cached_property
    def arrow_schema(self) -> pa.Schema:
        """The Arrow schema of a row, in column order, comments as field metadata."""
        return pa.schema(
            [pa.field(c.name, c.type, nullable=c.nullable, metadata={"comment": c.comment}) for c in self.columns]
        )

    @property
    def computed_schema(self) -> pa.Schema:
        """The columns that are computed, all but run_id. All may be null: a commit checks what is computed."""
        return pa.schema([(column.name, column.type) for column in self.columns if column is not RUN_ID])

    @property
    def names(self) -> list[str]:
        """Column names in order."""
        return [column.name for column in self.columns]

    @property
    def properties(self) -> dict[str, str]:
        """The Delta table properties that the contract asks for."""
        wanted = {
            "lakealbum.contract": self.name,
            "lakealbum.contractVersion": str(CONTRACT_VERSION),
            # Spark's default; delta-rs' is 100, and whoever opens a table reads each entry since the last checkpoint.
            "delta.checkpointInterval": "10",
        }
        if self.change_feed:
            wanted["delta.enableChangeDataFeed"] = "true"
        if self.merged:
            wanted["delta.enableDeletionVectors"] = "true"
        if self.writer == "jobs":  # by the first 32 columns, which is Delta's default, nobody skips files
            wanted["delta.dataSkippingStatsColumns"] = ",".join(k for k in self.key if k not in self.partition_by)
        return wanted

    def check(self, schema: pa.Schema, where: str) -> None:
        """Raises SchemaMismatch listing every way in which `schema` (of the table or frame at `where`) differs.

        Column order and nullability of nested fields do not matter; names, types and a nullable column where
        the contract forbids null do.
        """
        differences = []
        for column in self.columns:
            index = schema.get_field_index(column.name)
            if index < 0:
                differences.append(f"column {column.name} ({plain(column.type)}) is missing")
            elif plain(schema.field(index).type) != plain(column.type):
                differences.append(
                    f"column {column.name} is {plain(schema.field(index).type)}, not {plain(column.type)}"
                )
        known = set(self.names)
        differences += [f"column {name} is not in the contract" for name in schema.names if name not in known]
        if differences:
            raise SchemaMismatch(
                f"{where} does not fit the contract of table {self.name} (version {CONTRACT_VERSION}): "
                + "; ".join(differences)
            )


def plain(kind: pa.DataType) -> str:
    """The name of an Arrow type, blind to what Delta does not store (large strings, units, field names).

    >>> plain(pa.list_(pa.large_string())) == plain(pa.list_(pa.string()))
    True
    """
    if pa.types.is_struct(kind):
        return "struct<" + ", ".join(f"{f.name}: {plain(f.type)}" for f in kind) + ">"
    if pa.types.is_map(kind):
        return f"map<{plain(kind.key_type)}, {plain(kind.item_type)}>"
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return f"list<{plain(kind.value_type)}>"
    if pa.types.is_timestamp(kind):
        return "timestamp" if kind.tz else "timestamp_ntz"
    return str(kind).removeprefix("large_").removesuffix("_view")


BUCKET = Column("bucket", pa.int32(), "Hash of project and dataset, modulo the lake's bucket count", nullable=False)
PROJECT = Column("project_name", pa.string(), "Project: the upper level of the namespace", nullable=False)
DATASET = Column("dataset_name", pa.string(), "Dataset: usually one person's library", nullable=False)
RUN_ID = Column("run_id", pa.string(), "The run that wrote this row (see runs)", nullable=False)

LEVELS = ("country", "province", "city", "district", "township")
ADDRESS = pa.struct([pa.field(level, pa.string()) for level in LEVELS])


def level_columns() -> tuple[Column, ...]:
    """The display name and the code of each place level."""
    names = tuple(Column(level, pa.string(), f"Name of the {level}, for display") for level in LEVELS)
    codes = tuple(
        Column(f"{level}_code", pa.string(), f"Code of the {level} (ISO 3166 or the area's own), where known")
        for level in LEVELS
    )
    return names + codes
