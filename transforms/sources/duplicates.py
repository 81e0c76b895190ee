"""Rows of a source that repeat a key: one of them is accepted, the others are refused, and equal rows are numbered."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.sources.columns import literal
from transforms.sources.engine import connect
from transforms.sources.validation import LONGEST_SHOWN
from transforms.tables.keyed import Bools, Ints, key_codes, same_values, with_columns

ORDINAL = pa.field("ordinal", pa.int64())
"""The number of a row among equal ones."""


def numbered_schema(judged: pa.Schema) -> pa.Schema:
    """The columns that `Duplicates` gives of judged rows."""
    return pa.schema([*(column for column in judged if column.name != "seen_time"), ORDINAL])


@dataclass(frozen=True)
class Duplicates:
    """Refuses, with a reason, all but one of the accepted rows with the same dataset and `key`.

    The one with the latest `seen_time` (if the source has one) is accepted, then the one whose JSON, then whose
    embedding, then whose hash of all columns is the greatest (JSON cuts microseconds, and long lists). Refused rows are
    numbered among their equals, so that none is lost.
    """

    key: str
    reason: str

    def refuse(self, judged: pa.Table, *, texts: Callable[[pa.Array], pa.Array]) -> pa.Table:
        """Judged rows without `seen_time`, with ORDINAL; rows that repeat no key come first.

        `texts` gives the JSON of the rows at some positions, of which `row` may still be null.
        """
        good = judged["reason"].is_null().to_numpy()
        (codes,) = key_codes(judged, key=("dataset_name", self.key))
        counts = np.bincount(codes[good], minlength=codes.max(initial=-1) + 1)
        doubtful = ~good | (counts[codes] > 1)
        single = judged.filter(pa.array(~doubtful)).drop_columns(["seen_time"])
        single = single.append_column(ORDINAL, pa.repeat(pa.scalar(0, pa.int64()), len(single)))
        positions = pa.array(np.flatnonzero(doubtful))
        if not len(positions):
            return single
        others = judged.take(positions)
        rows = pc.coalesce(others["row"], texts(positions))
        others = others.set_column(others.column_names.index("row"), "row", rows)
        return pa.concat_tables([single, self.number(others.to_reader()).read_all()])

    def number(self, judged: pa.RecordBatchReader, *, settings: str = "") -> pa.RecordBatchReader:
        """The same of judged rows that come bit by bit, all those of the same key among them, each with its JSON.

        They are sorted on disk where they are many, and one batch is in memory then, however often a key repeats.
        `settings` are statements for DuckDB.
        """
        good = "reason IS NULL"
        group = {
            "_reason": "coalesce(reason, '')",
            "_dataset": f"CASE WHEN {good} THEN dataset_name END",
            "_key": f"CASE WHEN {good} THEN {self.key} ELSE row END",
        }
        others = ", ".join(f'"{name}"' for name in judged.schema.names if name != "source")
        order = f"seen_time DESC NULLS LAST, row DESC, embedding DESC NULLS LAST, hash({others}) DESC"
        columns = ", ".join(f"{sql} AS {name}" for name, sql in group.items())
        in_order = _query(f"SELECT *, {columns} FROM rows ORDER BY {', '.join(group)}, {order}", judged, settings)
        schema = numbered_schema(judged.schema)
        places = _places(in_order, group=[*group], equal=("seen_time", "row", "embedding"))
        batches = (self._refused(*numbered).select(schema.names).cast(schema) for numbered in places)
        return pa.RecordBatchReader.from_batches(schema, (batch for table in batches for batch in table.to_batches()))

    def _refused(self, rows: pa.Table, place: Ints, ordinal: Ints) -> pa.Table:
        """Rows with their place in their group and their number among equals; those after the first are refused."""
        repeated = pc.and_(pc.is_null(rows["reason"]), pa.array(place > 0))
        shown = pc.utf8_slice_codeunits(rows[self.key], 0, LONGEST_SHOWN)
        message = pc.binary_join_element_wise(
            f"{self.key}: ", shown, f"; one row per dataset and {self.key} is accepted", ""
        )
        told = {
            "reason": pc.if_else(repeated, self.reason, rows["reason"]),
            "message": pc.if_else(repeated, message, rows["message"]),
            ORDINAL.name: pa.array(ordinal),
        }
        return with_columns(rows, told)


def _places(
    batches: Iterable[pa.RecordBatch], *, group: Sequence[str], equal: Sequence[str]
) -> Iterator[tuple[pa.Table, Ints, Ints]]:
    """Rows in order, with the place of each in its group, and among the rows of it that are equal, from 0."""
    last: pa.Table | None = None
    group_began = equals_began = seen = 0
    for batch in batches:
        if not batch.num_rows:
            continue
        rows = pa.Table.from_batches([batch])
        before = pa.concat_tables([rows.slice(0, 1) if last is None else last, rows.slice(0, len(rows) - 1)])
        is_other = ~_same_rows(rows, before, group)
        is_unequal = is_other | ~_same_rows(rows, before, equal)
        numbers = np.arange(seen, seen + len(rows))
        began = [
            np.maximum.accumulate(np.where(begins, numbers, since))
            for begins, since in ((is_other, group_began), (is_unequal, equals_began))
        ]
        yield rows, numbers - began[0], numbers - began[1]
        last, seen = rows.slice(len(rows) - 1), seen + len(rows)
        group_began, equals_began = int(began[0][-1]), int(began[1][-1])


def _same_rows(rows: pa.Table, others: pa.Table, columns: Sequence[str]) -> Bools:
    same: Bools = np.logical_and.reduce([same_values(rows[name], others[name]) for name in columns])
    return same


def _query(sql: str, rows: pa.RecordBatchReader, settings: str) -> Iterator[pa.RecordBatch]:
    """What a statement makes of `rows`. What it sorts on disk is in a folder of its own, and goes with it."""
    with tempfile.TemporaryDirectory(prefix="lakealbum-") as folder, connect() as engine:
        engine.execute(f"SET temp_directory = {literal(folder)}; {settings}")
        engine.register("rows", rows)
        yield from engine.execute(sql).to_arrow_reader()
