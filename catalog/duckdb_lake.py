"""A lake in DuckDB: its tables and views, to be read with SQL. DuckDB is imported when it is asked for."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from catalog.lake import Lake
from catalog.views import PINNED, VIEWS, view_statements
from schemas.errors import LakeAlbumError, UsageError
from schemas.lake import TABLES

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

BATCH_ROWS = 10_000
"""So many rows of a result are in memory at once."""


class QueryFailed(LakeAlbumError):
    """DuckDB could not carry out a statement that it understood."""

    code = "QueryFailed"


def open_lake(root: str) -> DuckDBPyConnection:
    """DuckDB in memory with every table and view of the lake as it is now: for notebooks and programs.

    Raises LakeError where there is no lake, UsageError where DuckDB is not installed.
    """
    return connect(Lake(root), (*TABLES, *VIEWS))


def connect(lake: Lake, names: Iterable[str]) -> DuckDBPyConnection:
    """DuckDB in memory, instants in UTC, with some of the lake's tables and views, and what these read.

    It sees the lake as it is now. DuckDB reads the tables of a lake in a directory when it is asked; those of one in an
    object store are read here, whole, by what reads them for every other verb, with the same credentials.

    Raises LakeError for a lake that lacks a table, UsageError where DuckDB is not installed.
    """
    connection: DuckDBPyConnection = _import("duckdb").connect(config={"autoinstall_known_extensions": "false"})
    connection.execute("SET TimeZone = 'UTC'")
    statements = dict(view_statements(lake.root, PINNED, names))
    tables = statements.keys() & TABLES.keys()
    lake = lake.pin(tables)
    if "://" in lake.root:
        load_tables(connection, lake, tables)
        statements = {name: statement for name, statement in statements.items() if name not in tables}
    else:
        folder = Path(_import("duckdb_extension_delta").__file__).parent
        connection.execute(f"LOAD '{next(folder.rglob('delta.duckdb_extension'))}'")
    for statement in statements.values():
        connection.execute(statement)
    return connection


def load_tables(connection: DuckDBPyConnection, lake: Lake, tables: Iterable[str]) -> None:
    """Copies tables of the lake, all as of now, into temporary tables of their names. DuckDB keeps them in memory, and
    where there is none left on disk.
    """
    pinned = lake.pin(tables)
    for name in sorted(tables):
        schema = TABLES[name].arrow_schema
        batches = pinned.batches(f"SELECT {', '.join(schema.names)} FROM {name}", name)
        reader = pa.RecordBatchReader.from_batches(schema, (batch.cast(schema) for batch in batches))
        connection.register("_read", reader)
        connection.execute(f"CREATE TEMPORARY TABLE {name} AS SELECT * FROM _read")
        connection.unregister("_read")


def select(lake: Lake, statement: str) -> pa.RecordBatchReader:
    """The rows that one SELECT gives, of the tables and views that it names, as Arrow, `BATCH_ROWS` at a time.

    Raises UsageError for what is no single SELECT, or names what is not there; QueryFailed where it cannot be run.
    """
    duckdb = _import("duckdb")
    bare = duckdb.connect()
    try:
        statements = bare.extract_statements(statement)
        if len(statements) != 1 or statements[0].type not in (
            duckdb.StatementType.SELECT,
            duckdb.StatementType.EXPLAIN,
        ):
            kinds = ", ".join(each.type.name for each in statements) or "nothing"
            raise UsageError(f"{statement!r} is {kinds}; one SELECT is accepted, as the lake is read only")
        # Words, as DuckDB's own get_table_names fails for USING; a name that is a word of a text does no harm.
        words = set(re.findall(r"\w+", statement.lower()))
        connection = connect(lake, words & (TABLES.keys() | VIEWS.keys()))
        return _batches(connection.execute(statement))
    except (duckdb.ParserException, duckdb.BinderException, duckdb.CatalogException) as error:
        raise UsageError(f"{_first_lines(error)}{_names_told(error)}") from None
    except duckdb.Error as error:
        raise QueryFailed(_first_lines(error)) from None


def _batches(result: Any) -> pa.RecordBatchReader:
    reader: pa.RecordBatchReader = result.to_arrow_reader(BATCH_ROWS)
    duckdb = _import("duckdb")

    def checked() -> Iterator[pa.RecordBatch]:
        try:
            yield from reader
        except (duckdb.Error, OSError) as error:
            raise QueryFailed(_first_lines(error)) from None

    return pa.RecordBatchReader.from_batches(reader.schema, checked())


def _import(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError:
        raise UsageError(f"this needs the package {module}: pip install 'lakealbum[sql]'") from None


def _first_lines(error: Exception) -> str:
    """What DuckDB says, without the statement that it repeats."""
    return str(error).partition("\n\nLINE ")[0].strip()


def _names_told(error: Exception) -> str:
    if "Table with name" not in str(error):
        return ""
    return f"\nviews: {', '.join(VIEWS)}\ntables: {', '.join(TABLES)}"
