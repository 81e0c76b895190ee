"""`jobs.sources.csv_tables`: records, fields and quotes; `test_both_ways` compares them with Spark's."""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
from pathlib import Path
from typing import Any

import pytest

from jobs.sources import csv_tables
from jobs.sources.csv_tables import scan_csv
from schemas.errors import SourceError
from transforms.tables.source_columns import MESSAGE, REASON, ROW

Fields = tuple[str | None, ...]
HEADER = b"a,b,c\n"


def rows_of(folder: Path, text: bytes) -> list[dict[str, Any]]:
    (folder / "a.csv").write_bytes(text)
    return scan_csv([str(folder / "a.csv")]).read_all().to_pylist()


def fields_of(folder: Path, text: bytes) -> list[Fields]:
    """The fields of each row of three columns, and the text of those that have others than three."""
    rows = rows_of(folder, text)
    return [(*(row[name] for name in "abc"), *([_line(row)] if row[REASON] else [])) for row in rows]


def _line(row: dict[str, Any]) -> str:
    assert (row[REASON], row[MESSAGE]) == ("csv_malformed", "a line with other than 3 fields; the header has 3")
    return str(json.loads(row[ROW])["line"])


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        (b"1,2,3\n", ("1", "2", "3")),
        (b"1,2,3", ("1", "2", "3")),
        (b'1,"",\n', ("1", None, None)),
        (b" 1 , 2,3 \n", (" 1 ", " 2", "3 ")),
        (b'"x\ny","1,2","he said ""hi"""\n', ("x\ny", "1,2", 'he said "hi"')),
        (b'"x" ,"y"\t,3\n', ("x", "y", "3")),
        (b"\xef\xbb\xbf1,2,3\n", ("\ufeff1", "2", "3")),
        (b"\xef\xbb\xbf\n", ("\ufeff", None, None, "\ufeff")),
        (b"1,a\x00b,3\n", ("1", "a\x00b", "3")),
        (b"1,\xe9,\xed\xa0\x80\xf0\x9f\x98\n", ("1", "\ufffd", "\ufffd\ufffd")),
        (b'1,a"b,3\n', ("1", 'a"b', "3")),
        (b'1,"b"c,3\n', ("1", '"b"c', "3")),
        (b'1,"a""b" "c",3\n', ("1", '"a"b" "c"', "3")),
        (b'1, "b",3\n', ("1", ' "b"', "3")),
        (b'1,2,"3\n4,5,6\n', ("1", "2", "3\n4,5,6\n")),
        (b'1,2,"', ("1", "2", '"')),
        (b"1,2\n", ("1", "2", None, "1,2")),
        (b"1,2,3,4\n", ("1", "2", "3", "1,2,3,4")),
        (b"1,2,3,\n", ("1", "2", "3", "1,2,3,")),
        (b"   \n", ("   ", None, None, "   ")),
        (b'"x\ny",2\n', ("x\ny", "2", None, '"x\ny",2')),
        (b'1,"2\n', ("1", "2\n", None, '1,"2')),
        (b"1,2\r\n", ("1", "2\r", None, "1,2")),
        (b"1,2,3\r\n", ("1", "2", "3\r")),
    ],
)
def test_one_row(tmp_path: Path, text: bytes, fields: Fields) -> None:
    assert fields_of(tmp_path, HEADER + b"\n\n" + text) == [fields]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_line_ends_are_those_of_the_header(tmp_path: Path, end: bytes, mark: bytes) -> None:
    text = end.join([mark + b"a,b,c", b'1,"x' + end + b'y",3', b"", b'"' + end + b'",2', b"4,5,6", b""])
    bad = ("\n", "2", None, f'"{end.decode()}",2')
    assert fields_of(tmp_path, text) == [("1", "x\ny", "3"), bad, ("4", "5", "6")]


@pytest.mark.parametrize("piece", [1, 1 << 22])
def test_lines_after_crlf_that_end_in_lf_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece: int) -> None:
    """Spark's reader does so, too: the last line may, as where another program has added it."""
    monkeypatch.setattr(csv_tables, "PIECE_BYTES", piece)
    assert fields_of(tmp_path, b"a,b,c\r\n1,2,3\r\n4,5,6\n") == [("1", "2", "3"), ("4", "5", "6")]
    assert fields_of(tmp_path, b"a,b,c\r\n1,2,3\r\n\n\n") == [("1", "2", "3")]
    others = b"1,2,3\n4,5,6\n7,8,9"
    for more in (b"", b"\n", b"\r\n"):
        assert fields_of(tmp_path, b"a,b,c\r\n" + others + more) == [("1", "2", "3\n4", others.decode())]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_other_encodings_are_told_by_their_marks(tmp_path: Path, encoding: str) -> None:
    assert fields_of(tmp_path, "\ufeffa,b,c\n1,ü,3\n".encode(encoding)) == [("1", "ü", "3")]


def test_rows_keep_their_order(tmp_path: Path) -> None:
    rows = [b"1,2,3", b"bad", b"4,5,6", b"7,8,9,10", b"7,8,9"]
    assert [row["a"] for row in rows_of(tmp_path, b"\n".join([HEADER, *rows]))] == ["1", "bad", "4", "7", "7"]


def test_a_row_as_json_has_the_escapes_that_spark_writes(tmp_path: Path) -> None:
    (row,) = rows_of(tmp_path, HEADER + b'\x01\x1f\t\x7f\\"/\xc3\xbc\n')
    assert row[ROW] == '{"line":"\\u0001\\u001F\\t\x7f\\\\\\"/ü"}'


def test_a_header_alone(tmp_path: Path) -> None:
    assert rows_of(tmp_path, b"a,b,c") == rows_of(tmp_path, HEADER) == rows_of(tmp_path, HEADER + b"\n\n") == []
    (tmp_path / "a.csv").write_bytes(b'\n"a", b\n')
    assert scan_csv([str(tmp_path / "a.csv")]).read_all().column_names == ["a", "b", ROW, REASON, MESSAGE]


def test_one_column(tmp_path: Path) -> None:
    assert [row["a"] for row in rows_of(tmp_path, b'a\n1\n\n""\n" "\n')] == ["1", None, " "]


def test_several_files(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"a,b\n1,2\n")
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress(b"a,b\n3,4\n"))
    files = [str(tmp_path / name) for name in ("b.csv.gz", "a.csv")]
    assert scan_csv(files).read_all().select(["a", "b"]).to_pylist() == [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}]
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress(b"b,a\n3,4\n"))
    with pytest.raises(SourceError, match=r"b.csv.gz has the columns \['b', 'a'\], .*a.csv has .*: read them apart"):
        scan_csv(files).read_all()


def test_an_odd_quote_among_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_tables, "PIECE_BYTES", 100)
    rows = [(str(number), "x\ny" if number % 3 else 'a"b' if number % 7 else None, "z" * 50) for number in range(100)]
    text = "".join(f'{a},"{b}",{c}\n' if b == "x\ny" else f"{a},{b or ''},{c}\n" for a, b, c in rows)
    assert fields_of(tmp_path, HEADER + text.encode()) == rows
    crlf = (HEADER + text.encode()).replace(b"\n", b"\r\n")
    assert fields_of(tmp_path, crlf) == rows
    assert fields_of(tmp_path, crlf + b"1,2\n,3\r\n" + crlf[len(HEADER) + 1 :]) == [*rows, ("1", "2\n", "3"), *rows]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_what_pythons_writer_writes_is_read_by_either_reader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    rng = random.Random(1)
    letters = ["a", "b", ",", '"', " ", end]
    rows = [["".join(rng.choices(letters, k=rng.randint(0, 6))) for _ in range(3)] for _ in range(2_000)]
    file = io.StringIO(newline="")
    csv.writer(file, lineterminator=end).writerows([["a", "b", "c"], *rows])
    wanted = [tuple(field.replace(end, "\n") or None for field in row) for row in rows]
    for unwanted, is_plain in (("_records_until", csv_tables._has_plain_quotes), ("_read_plain", lambda text: False)):
        with monkeypatch.context() as patch:
            patch.setattr(csv_tables, unwanted, pytest.fail)
            patch.setattr(csv_tables, "_has_plain_quotes", is_plain)
            assert fields_of(tmp_path, file.getvalue().encode()) == wanted
