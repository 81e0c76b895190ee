"""DuckDB over the rows of a source."""

from __future__ import annotations

import duckdb
import pyarrow as pa

from transforms.sources.texts import clean_texts


def connect() -> duckdb.DuckDBPyConnection:
    """DuckDB in memory, whose times are UTC's. It looks for no extension in the network."""
    engine = duckdb.connect(config={"autoinstall_known_extensions": "false"})
    engine.execute("SET TimeZone = 'UTC'")
    return engine


def query(sql: str, rows: pa.Table, *, threads: int | None = None) -> pa.Table:
    """What a statement makes of the table `rows`, whose columns are called _0, _1, ... there; by all cores, or so many
    threads. Bytes of texts that are no UTF-8 have become U+FFFD.
    """
    cleaned = clean_texts(rows).rename_columns([f"_{number}" for number in range(rows.num_columns)])
    with connect() as engine:
        if threads:
            engine.execute(f"SET threads = {threads}")
        engine.register("rows", cleaned)
        return engine.execute(sql).to_arrow_table()
