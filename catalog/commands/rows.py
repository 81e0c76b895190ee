"""Rows of any query on stdout or in a file: as a table to read, CSV, JSON or Parquet."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from catalog import terminal
from catalog.lake import plain_rows
from schemas.contract import TIMESTAMP
from schemas.errors import UsageError


def write_rows(rows: pa.RecordBatchReader, format_: str, out: Path | None) -> None:
    """Writes rows as one of FORMATS. Raises UsageError where two columns have one name, or the file is not writable."""
    names = rows.schema.names
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(f"two columns are called {twice[0]!r}: give one another name with AS")
    with _opened(out) as target:
        FORMATS[format_](rows, target)


def _table(rows: pa.RecordBatchReader, out: IO[bytes]) -> None:
    terminal.rows(rows.schema.names, [list(map(_shown, values)) for values in _values(rows)])


def _csv(rows: pa.RecordBatchReader, out: IO[bytes]) -> None:
    import io

    text = io.TextIOWrapper(out, "utf-8", newline="", write_through=True)
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(rows.schema.names)
    for values in _values(rows):
        writer.writerow(map(_text, values))
    text.detach()


def _json(rows: pa.RecordBatchReader, out: IO[bytes]) -> None:
    names, separator = rows.schema.names, "[\n  "
    for values in _values(rows):
        row = dict(zip(names, values, strict=True))
        out.write(f"{separator}{json.dumps(row, ensure_ascii=False, default=plain)}".encode())
        separator = ",\n  "
    out.write(b"[]\n" if separator.startswith("[") else b"\n]\n")


def _parquet(rows: pa.RecordBatchReader, out: IO[bytes]) -> None:
    with pq.ParquetWriter(out, rows.schema) as writer:
        for batch in rows:
            writer.write_batch(batch)


FORMATS: Mapping[str, Callable[[pa.RecordBatchReader, IO[bytes]], None]] = {
    "table": _table,
    "csv": _csv,
    "json": _json,
    "parquet": _parquet,
}


@contextmanager
def _opened(out: Path | None) -> Iterator[IO[bytes]]:
    if out is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    try:
        with out.open("wb") as file:
            yield file
    except OSError as error:
        raise UsageError(f"--out {str(out)!r} cannot be written: {error.strerror}") from None


def _values(rows: pa.RecordBatchReader) -> Iterator[Sequence[Any]]:
    """The values of each row, in plain Python; instants are counted in microseconds by DuckDB, as in the tables."""
    for batch in rows:
        table = pa.Table.from_batches([batch])
        instants = [n for n, kind in enumerate(table.schema.types) if pa.types.is_timestamp(kind) and kind.tz]
        for number in instants:
            table = table.set_column(number, table.schema.names[number], table.column(number).cast(TIMESTAMP))
        for row in plain_rows(table):
            yield list(row.values())


def _shown(value: Any) -> str:
    """A value in a table: numbers with few digits."""
    return f"{value:.6g}" if isinstance(value, float) else _text(value)


def _text(value: Any) -> str:
    match value:
        case None:
            return ""
        case str():
            return value
        case bool() | int() | float() | Decimal():
            return json.dumps(value, default=plain)
        case dict() | list():
            return json.dumps(value, ensure_ascii=False, default=plain)
        case _:
            return str(plain(value))


def plain(value: Any) -> Any:
    """What JSON has for a value that it has no type for: times as RFC 3339, bytes in hex, whole decimals as numbers."""
    match value:
        case datetime():
            return value.isoformat().replace("+00:00", "Z")
        case date():
            return value.isoformat()
        case Decimal():
            return int(value) if value == value.to_integral_value() else float(value)
        case bytes():
            return value.hex()
    return str(value)
