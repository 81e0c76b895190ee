"""Selecting rows of Delta tables by SQL, in this process, by delta-rs."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
from deltalake import DeltaTable, QueryBuilder

# Spark, by itself, writes times as INT96. Read as nanoseconds, those before 1677 and after 2262 would be others.
_TIMES_AS_WRITTEN = {"datafusion.execution.parquet.coerce_int96": "us"}


def select(
    statement: str, tables: Mapping[str, DeltaTable], settings: Mapping[str, str] | None = None
) -> pa.RecordBatchReader:
    """What a statement selects from the tables that it names, read as it is asked for.

    `settings` are DataFusion's. Raises what delta-rs raises, maybe as rows are read.
    """
    session = QueryBuilder({**_TIMES_AS_WRITTEN, **(settings or {})})
    for name, table in tables.items():
        session.register(name, table)
    return pa.RecordBatchReader.from_stream(session.execute(statement))
