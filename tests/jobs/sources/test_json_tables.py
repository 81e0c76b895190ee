"""`jobs.sources.json_tables`: texts, documents and keys; `test_both_ways` compares them with Spark's."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from jobs.sources import json_tables, text_sources
from jobs.sources.json_tables import load_json
from schemas.errors import SourceError
from transforms.tables.source_columns import MESSAGE, REASON, ROW


def rows_of(file: Path, text: str | bytes, **options: Any) -> list[dict[str, Any]]:
    content = text.encode() if isinstance(text, str) else text
    file.write_bytes(gzip.compress(content) if file.suffix == ".gz" else content)
    return load_json({str(file): len(content)}, **options).to_pylist()


def value_of(folder: Path, text: str) -> Any:
    (row,) = rows_of(folder / "a.jsonl", f'{{"x": {text}}}')
    assert row[REASON] is None
    return row["x"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('"a"', "a"),
        ("null", None),
        ("true", "true"),
        ("12345678901234567890", "12345678901234567890"),
        ("-0", "0"),
        ("-0.0", "-0.0"),
        ("1.50", "1.5"),
        ("1e5", "100000.0"),
        ("0.001", "0.001"),
        ("0.00012", "1.2E-4"),
        ("9999999.5", "9999999.5"),
        ("12345678.9", "1.23456789E7"),
        ("-1e16", "-1.0E16"),
        ("5e-324", "4.9E-324"),
        ("1e400", "Infinity"),
        ("NaN", "NaN"),
        ("[NaN, -Infinity]", '["NaN","-Infinity"]'),
        ('{"b": [1.0, null, {"a": "\\u001f\\n\\/ü"}], "a": {}}', '{"b":[1.0,null,{"a":"\\u001F\\n/ü"}],"a":{}}'),
        ('{"a": "\U0001f600\\ud83d\\ude00ü"}', r'{"a":"\uD83D\uDE00\uD83D\uDE00ü"}'),
        ('"\U0001f600"', "\U0001f600"),
        ('{"a": 1, "a": 2}', '{"a":1,"a":2}'),
    ],
)
def test_values_are_texts(tmp_path: Path, text: str, value: str | None) -> None:
    assert value_of(tmp_path, text) == value


@pytest.mark.parametrize("text", ["01", "+1", ".5", "1.", "nan", "'x'", '"\\x"', '"a\tb"', "9" * 1001, "[" * 5000])
def test_what_is_no_value(tmp_path: Path, text: str) -> None:
    line = f'{{"uri": {text}}}'
    (row,) = rows_of(tmp_path / "a.jsonl", line)
    assert (row["uri"], row[REASON], json.loads(row[ROW])) == (None, "json_malformed", {"text": line})


def test_a_key_that_is_given_twice(tmp_path: Path) -> None:
    (row,) = rows_of(tmp_path / "a.jsonl", '{"uri": "a", "uri": "b"}')
    assert (row["uri"], row[REASON]) == ("a", "json_malformed")
    assert row[MESSAGE].startswith("a key that is given twice")


def test_rows_are_the_texts_of_objects(tmp_path: Path) -> None:
    rows = rows_of(tmp_path / "a.jsonl.gz", '\ufeff {"uri" : "a"}\t\r\n\r\n[{"uri" : "b"}, null, "x", {"uri": 1.50}]\n')
    assert [row["uri"] for row in rows] == ["a", "b", None, None, "1.5"]
    assert [row[ROW] for row in rows] == [
        '{"uri" : "a"}',
        '{"uri":"b"}',
        '{"text":"null"}',
        '{"text":"x"}',
        '{"uri":1.5}',
    ]


def test_documents_and_lines(tmp_path: Path) -> None:
    document = '{\n"uri": "a"}\n'
    assert [row["uri"] for row in rows_of(tmp_path / "a.json", document)] == ["a"]
    assert [row["uri"] for row in rows_of(tmp_path / "a.json", '[\n{"uri": "a"},\n{"uri": "b"}]')] == ["a", "b"]
    assert [row["uri"] for row in rows_of(tmp_path / "a.json", '{"uri": "a"}\n{"uri": "b"}\r{')] == ["a", "b", None]
    with pytest.raises(SourceError, match=r"a.jsonl is one JSON document of more than .* jq -c"):
        rows_of(tmp_path / "a.jsonl", "[\n" + document + "]")


def test_items_of_files(tmp_path: Path) -> None:
    (row,) = rows_of(tmp_path / "a.jsonl", '{"Files": [{"URI": "a"}], "x": NaN}', imm=True)  # as in Spark
    assert row["Files"] == '[{"URI":"a"}]'
    items = '{"Files": "[{\\"URI\\": 1}]"}\n{"Files": [null]}'
    assert [row[ROW] for row in rows_of(tmp_path / "a.jsonl", items, imm=True)] == ['{"URI":1}', '{"text":"null"}']
    texts = ['{"RequestId": 1, "Files": [{"URI": "a"}, {"URI": "b"}]}', '{"Files": []}', '{"Files": {"URI": "c"}}']
    rows = rows_of(tmp_path / "a.jsonl", "\n".join([*texts, '{"URI": "Files"}']), imm=True)
    assert [row["URI"] for row in rows] == ["a", "b", None, "Files"]


def test_keys_that_become_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = '{"Ab": 1, "x": 1, "": 0}\n{"aB": 1, "x": 2, "uri": "u"}\n{"aB": 1, "y": 1}\n{"x": 1, "x": 1}\n{"x": 1}x'
    assert [*rows_of(tmp_path / "a.jsonl", lines)[0]] == ["aB", "uri", "x", "y", ROW, REASON, MESSAGE]
    monkeypatch.setattr(json_tables, "MOST_JSON_KEYS", 2)
    assert [*rows_of(tmp_path / "a.jsonl", lines)[0]] == ["aB", "uri", ROW, REASON, MESSAGE]
    assert [*rows_of(tmp_path / "a.jsonl", "hello")[0]] == ["uri", ROW, REASON, MESSAGE]
    assert rows_of(tmp_path / "a.jsonl", "\n\n") == []


def test_many_rows_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    objects = [{"uri": str(number), **({f"k{number % 7}": str(number)} if number % 3 else {})} for number in range(50)]
    monkeypatch.setattr(json_tables, "TEXTS_AT_ONCE", 8)
    rows = rows_of(tmp_path / "a.jsonl", "\n".join(map(json.dumps, objects)))
    assert [{key: value for key, value in row.items() if value is not None and key != ROW} for row in rows] == objects


def test_the_limit_of_documents_is_told_in_one_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_sources, "MOST_DOCUMENT_BYTES", 10)
    with pytest.raises(SourceError, match="more than 10 bytes"):
        rows_of(tmp_path / "a.json", '[\n{"uri": "a"}]')
