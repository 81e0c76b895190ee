"""Rows of a source that repeat a key: one of them is accepted, the others are refused, and equal rows are numbered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.sources.columns import literal
from transforms.sources.validation import LONGEST_SHOWN
from transforms.tables.keyed import key_codes

ORDINAL = pa.field("ordinal", pa.int64())
"""The number of a row among equal ones."""


@dataclass(frozen=True)
class Duplicates:
    """Refuses, with a reason, all but one of the accepted rows with the same dataset and `key`.

    The one with the latest `seen_time` (if the source has one) is accepted, then the one whose JSON, then whose
    embedding, is the greatest. Refused rows are numbered among their equals, so that none is lost.
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
        """The same of judged rows that come bit by bit, all those of the same `group` among them, each with its JSON.

        They are sorted on disk where they are many. `settings` are statements for DuckDB.
        """
        engine = duckdb.connect()
        engine.execute(f"SET TimeZone = 'UTC'; {settings}")
        engine.register("rows", judged)
        is_good = "reason IS NULL"
        group = f"coalesce(reason, ''), CASE WHEN {is_good} THEN dataset_name END"
        group += f", CASE WHEN {is_good} THEN {self.key} ELSE row END"
        order = "seen_time DESC NULLS LAST, row DESC, embedding DESC NULLS LAST"
        shown = f"{literal(self.key + ': ')} || left({self.key}, {LONGEST_SHOWN})"
        message = f"{shown} || {literal(f'; one row per dataset and {self.key} is accepted')}"
        refused = f"{is_good} AND place > 1"
        schema = pa.schema([*(column for column in judged.schema if column.name != "seen_time"), ORDINAL])
        given = {name: f'"{name}"' for name in schema.names} | {
            "reason": f"CASE WHEN {refused} THEN {literal(self.reason)} ELSE reason END",
            "message": f"CASE WHEN {refused} THEN {message} ELSE message END",
            ORDINAL.name: "place - first",
        }
        ranked = f"""SELECT *, row_number() OVER same AS place, rank() OVER same AS first FROM rows
            WINDOW same AS (PARTITION BY {group} ORDER BY {order})"""
        columns = ", ".join(f'{sql} AS "{name}"' for name, sql in given.items())
        numbered = engine.execute(f"SELECT {columns} FROM ({ranked})").to_arrow_reader()
        batches = (batch.cast(schema) for batch in numbered)
        return pa.RecordBatchReader.from_batches(schema, batches)
