"""DuckDB over the rows of a source."""

from __future__ import annotations

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from schemas.errors import SourceError
from transforms.sources.texts import clean_texts

FARTHEST_DAY = 100_000_000
"""Days before or after 1970, in the year 275,760, up to which DuckDB takes a date, or a time, for any other."""


def connect() -> duckdb.DuckDBPyConnection:
    """DuckDB in memory, whose times are UTC's. It looks for no extension in the network."""
    engine = duckdb.connect(config={"autoinstall_known_extensions": "false"})
    engine.execute("SET TimeZone = 'UTC'")
    return engine


def query(sql: str, rows: pa.Table, *, threads: int | None = None) -> pa.Table:
    """What a statement makes of the table `rows`, whose columns are called _0, _1, ... there; by all cores, or so many
    threads. Bytes of texts that are no UTF-8 have become U+FFFD, and times that DuckDB does not take, others that are
    beyond all calendars, too.

    Raises SourceError for a map that has a key twice.
    """
    cleaned = bound_times(clean_texts(rows)).rename_columns([f"_{number}" for number in range(rows.num_columns)])
    with connect() as engine:
        if threads:
            engine.execute(f"SET threads = {threads}")
        engine.register("rows", cleaned)
        try:
            return engine.execute(sql).to_arrow_table()
        except duckdb.InvalidInputException as error:
            if "duplicate key" not in str(error):
                raise
            maps = ", ".join(field.name for field in rows.schema if "map<" in str(field.type))
            raise SourceError(
                f"a map has a key twice, in one of the columns {maps}; each key once is accepted"
            ) from error


def bound_times(rows: pa.Table) -> pa.Table:
    """Rows whose dates and times, of columns at the top, are at most FARTHEST_DAY from 1970."""
    for number, field in enumerate(rows.schema):
        if pa.types.is_date32(field.type):
            whole, most = pa.int32(), FARTHEST_DAY
        elif pa.types.is_timestamp(field.type) and field.type.unit == "us":
            whole, most = pa.int64(), FARTHEST_DAY * 86_400_000_000
        else:
            continue
        values = rows.column(number).cast(whole)
        found = pc.min_max(values).as_py()
        if found["min"] is not None and (found["min"] < -most or found["max"] > most):
            bounded = pc.max_element_wise(pc.min_element_wise(values, most, skip_nulls=False), -most, skip_nulls=False)
            rows = rows.set_column(number, field, bounded.cast(whole).cast(field.type))
    return rows
