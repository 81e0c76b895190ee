"""Reading CSV in this process, as Arrow tables of texts: records, fields and quotes as Spark's reader has them.

RFC 4180 leaves open what a quote means that is in no quoted field, or that more follows than the field's end. Files
with such quotes are taken apart record by record, all others by Arrow.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from jobs.sources.files_here import read_whole
from jobs.sources.json_tables import many_objects, quote_json
from schemas.errors import SourceError
from transforms.tables.source_columns import MESSAGE, REASON, ROW

Record = tuple[list[bytes], bytes]
"""The fields of a record, and its text with the line end."""

PIECE_BYTES = 1 << 22
"""What is read at once, and taken apart record by record for one odd quote in it."""
MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
"""What a file may begin with, and the encoding that it tells."""
QUOTE = ord('"')
BLANK = bytes(range(33))

_HALF_PAIR = re.compile(rb"\xed[\xa0-\xbf][\x80-\xbf]")
_LINE_END = re.compile(rb"\r\n|\n|\r")
_LAST_LINE_END = re.compile(rb"(\r\n|\n|\r)\Z")
_QUOTED = re.compile(rb'"((?:[^"]|"")*+)')
_PLAIN_LINE = re.compile(rb'(?:(?:"(?:[^"]|"")*+"|[^",]*+),)++')
_PLAIN_FIELD = re.compile(rb'(?:"((?:[^"]|"")*+)"|([^",]*+)),')


def scan_csv(files: Sequence[str]) -> pa.RecordBatchReader:
    """One row per line of CSV files (RFC 4180; quoted fields may span lines): all columns text, blank ones null.

    A line with too many or too few fields has `REASON`, `MESSAGE` and, as `ROW`, its text; they are null elsewhere.
    One file is in memory at a time.

    Raises SourceError for a file without a header, or, as it is read, with another header than the first.
    """
    first, *others = sorted(files)
    text = _open(first)
    names = [name.strip().removeprefix("\ufeff") for name in text.header]
    if not all(names) or len({name.lower() for name in names}) < len(names):
        raise SourceError(f"{first} has the columns {names}: each needs a name of its own in the first line")
    header = text.header

    def read(text: _Text) -> Iterator[pa.RecordBatch]:
        for file in (first, *others):
            text = text if file == first else _open(file)
            if text.header != header:
                raise SourceError(f"{file} has the columns {text.header}, {first} has {header}: read them apart")
            for rows in _read(text, names):
                yield from rows.to_batches()

    return pa.RecordBatchReader.from_batches(_table([], names).schema, read(text))


@dataclass(frozen=True)
class _Text:
    """A file's header, what follows it, in valid UTF-8, and what its lines end in: the first line end that it has."""

    header: list[str]
    rest: bytes
    line_end: bytes


def _open(file: str) -> _Text:
    content = _as_utf8(read_whole(file))
    found = _LINE_END.search(content)
    line_end = found[0] if found else b"\n"
    if line_end == b"\r\n" and content.endswith(b"\n") and not content.endswith(b"\r\n"):
        content = content.rstrip(b"\n")  # a last line that others have added may end so
        content += b"\n" if content.endswith(b"\r") else b""
    for fields, _, end in _records(content, line_end):
        return _Text([field.decode() for field in fields], content[end:], line_end)
    raise SourceError(f"{file} is empty; CSV with a header line is accepted")


def _as_utf8(content: bytes) -> bytes:
    """A text in valid UTF-8, without a byte order mark: bytes that are no text become U+FFFD, as many as in Java."""
    for mark, encoding in MARKS.items():
        if content.startswith(mark):
            content = content[len(mark) :]
            if encoding != "utf-8":
                return content.decode(encoding, "replace").encode()
            break
    try:
        content.decode()
    except UnicodeDecodeError:
        return _HALF_PAIR.sub("\ufffd".encode(), content).decode("utf-8", "replace").encode()
    return content


def _read(text: _Text, names: list[str]) -> Iterator[pa.Table]:
    """The rows after the header, piece by piece."""
    rest, line_end = text.rest, text.line_end
    start = 0
    while start < len(rest):
        end = rest.find(line_end, start + PIECE_BYTES)
        end = end + len(line_end) if end >= 0 else len(rest)
        piece = _plain_piece(rest[start:end], line_end)
        if piece is None:
            with many_objects():
                records, end = _records_until(end, rest, line_end, start)
                yield _table(records, names)
        elif piece.strip(b"\n"):
            yield _read_plain(piece, names, line_end)
        start = end


def _plain_piece(piece: bytes, line_end: bytes) -> bytes | None:
    """Lines of a text, with `\\n` at their ends; None where only `_records` can take them apart.

    These begin with a record. They end with one, as their quotes are in pairs.
    """
    if line_end == b"\r\n":
        if not piece.count(b"\r\n") == piece.count(b"\r") == piece.count(b"\n"):
            return None
        piece = piece.replace(b"\r\n", b"\n")
    return piece if b"\r" not in piece and line_end != b"\r" and _has_plain_quotes(piece) else None


def _has_plain_quotes(text: bytes) -> bool:
    """Whether each quote begins or ends a field, or is one of two in a quoted field."""
    characters = np.frombuffer(b"\n" + text + b"\n", np.uint8)
    quotes = np.flatnonzero(characters == QUOTE)
    if len(quotes) % 2:
        return False
    opening, closing = quotes[::2], quotes[1::2]
    is_end = np.isin(np.arange(256), [ord(","), ord("\n")])
    doubled = opening[1:] == closing[:-1] + 1
    opens, closes = is_end[characters[opening - 1]], is_end[characters[closing + 1]]
    opens[1:] |= doubled
    closes[:-1] |= doubled
    return bool(opens.all() and closes.all())


def _read_plain(text: bytes, names: list[str], line_end: bytes) -> pa.Table:
    """The rows of a plain piece, which had `line_end` at its lines' ends."""
    wrong: list[tuple[int, bytes]] = []

    def note(row: csv.InvalidRow) -> str:
        wrong.append((row.number, row.text.encode()))
        return "skip"

    marked = text.startswith(codecs.BOM_UTF8)  # which Arrow would take for the file's
    table = csv.read_csv(
        pa.BufferReader(b"\n" + text if marked else text),
        read_options=csv.ReadOptions(column_names=names, block_size=len(text) + 2, use_threads=False),
        parse_options=csv.ParseOptions(newlines_in_values=True, invalid_row_handler=note),
        convert_options=csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=True,
            check_utf8=False,
        ),
    )
    good = _add_verdicts(table, pa.nulls(table.num_rows, pa.string()))
    if not wrong:
        return good
    numbers, lines = zip(*wrong, strict=True)
    bad = _table([(next(_records(line, b"\n"))[0], line.replace(b"\n", line_end)) for line in lines], names)
    is_good = np.ones(good.num_rows + bad.num_rows, bool)
    is_good[np.array(numbers) - 1] = False
    places = np.empty(len(is_good), np.int64)
    places[is_good], places[~is_good] = np.arange(good.num_rows), np.arange(good.num_rows, len(is_good))
    return pa.concat_tables([good, bad]).take(places)


def _records_until(stop: int, text: bytes, line_end: bytes, start: int) -> tuple[list[Record], int]:
    """The records from `start` to the first that ends at `stop` or after it, and where that ends."""
    records: list[Record] = []
    for fields, begin, end in _records(text, line_end, start):
        records.append((fields, text[begin:end]))
        if end >= stop:
            return records, end
    return records, len(text)


def _table(records: Sequence[Record], names: list[str]) -> pa.Table:
    """Records as rows: fields that are missing are null, those that are too many are left out."""
    width = len(names)
    rows = [_row_json(text) if len(fields) != width else None for fields, text in records]
    whole = [fields if len(fields) == width else (fields + [b""] * width)[:width] for fields, _ in records]
    columns = zip(*whole, strict=True) if whole else [()] * width
    return _add_verdicts(pa.table([_texts(column) for column in columns], names=names), pa.array(rows, pa.string()))


def _texts(values: Sequence[bytes]) -> pa.Array:
    given = pa.array(values, pa.binary())
    return pc.if_else(pc.equal(pc.binary_length(given), 0), None, given).view(pa.string())


def _row_json(record: bytes) -> str:
    return f'{{"line":{quote_json(_LAST_LINE_END.sub(b"", record).decode())}}}'


def _add_verdicts(table: pa.Table, rows: pa.Array) -> pa.Table:
    """The table with what readers add; `rows` are null where the fields are as many as the columns."""
    told = f"a line with other than {table.num_columns} fields; the header has {table.num_columns}"
    is_wrong = rows.is_valid()
    verdicts = (pc.if_else(is_wrong, pa.scalar(text), None) for text in ("csv_malformed", told))
    for name, column in zip((ROW, REASON, MESSAGE), (rows, *verdicts), strict=True):
        table = table.append_column(name, column)
    return table


def _records(text: bytes, line_end: bytes, start: int = 0) -> Iterator[tuple[list[bytes], int, int]]:
    """The fields of each record from `start` on, where it begins and where it ends, after its line end.

    Empty lines are left out; line ends in quoted fields are `\\n`. Of a quoted field that more follows than blanks, the
    quotes are a part; a field whose quote is never closed is the rest of the text (univocity-parsers, CsvParser, with
    UnescapedQuoteHandling.STOP_AT_DELIMITER).
    """
    while start < len(text):
        end = text.find(line_end, start)
        end = end if end >= 0 else len(text)
        line = text[start:end]
        if b'"' not in line:
            fields = line.split(b",")
        elif _PLAIN_LINE.fullmatch(line + b","):
            fields = [quoted.replace(b'""', b'"') or other for quoted, other in _PLAIN_FIELD.findall(line + b",")]
        else:
            fields, end = _fields(text, start, line_end)
        after = min(end + len(line_end), len(text))
        if end > start:
            yield fields, start, after
        start = after


def _fields(text: bytes, start: int, line_end: bytes) -> tuple[list[bytes], int]:
    """The fields of the record at `start`, and where it ends."""
    fields = []
    while True:
        field, end = _field(text, start, line_end)
        fields.append(field)
        if not text.startswith(b",", end):
            return fields, end
        start = end + 1


def _field(text: bytes, start: int, line_end: bytes) -> tuple[bytes, int]:
    """The field at `start`, and where it ends: at a comma, a line end, or the end of the text."""
    quoted = _QUOTED.match(text, start)
    if quoted is None:
        end = _end_of_field(text, start, line_end)
        return text[start:end], end
    content = quoted[1].replace(line_end, b"\n").replace(b'""', b'"')
    if quoted.end() == len(text):  # never closed
        return content or b'"', len(text)
    after = quoted.end() + 1
    end = _end_of_field(text, after, line_end)
    more = text[after:end]
    return (b'"' + content + b'"' + more if more.strip(BLANK) else content), end


def _end_of_field(text: bytes, start: int, line_end: bytes) -> int:
    found = _field_end(line_end).search(text, start)
    return found.start() if found else len(text)


@cache
def _field_end(line_end: bytes) -> re.Pattern[bytes]:
    return re.compile(b",|" + line_end)
