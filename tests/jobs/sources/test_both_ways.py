"""Sources read by this process and by Spark: the same rows, of the same types."""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession
from pyspark.sql.pandas.types import from_arrow_schema

from jobs.runtime.session import session_settings
from jobs.sources import text_sources
from jobs.sources.delta_tables import NotReadHere
from jobs.sources.sources import Format, find_source, open_source, read_source
from schemas.errors import SourceError
from transforms.tables.frames import from_frame
from transforms.tables.source_columns import MESSAGE, REASON, ROW

ALPHABETS = ['a,"\n', 'a,,"""\n', 'ab, "\n\t', "a,,\n\n", 'ü,\u2028"\n\x85\ufeff', "a,\\#'\n\x1f"]


def both(spark: SparkSession, uri: Path | str) -> tuple[pa.Table, pa.Table]:
    """The rows as this process reads them, and as Spark does."""
    source = find_source(str(uri), start_spark=lambda: spark)
    return open_source(source).read_all(), from_frame(read_source(spark, source))


def test_odd_csv(spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hundreds of small files: a quote that is never closed takes the rest of its file."""
    monkeypatch.setattr(text_sources, "MOST_HEADERS", 1)
    rng = random.Random(7)
    bad_bytes = [b"\xff", b"\xe9x", b"\xed\xa0\x80", b"\xf0\x9f\x98", b"\xc0\x80", b"\xe2\x28\xa1", b"\xf4\x90\x80\x80"]
    for number in range(600):
        text = "".join(rng.choices(rng.choice(ALPHABETS), k=rng.randint(1, 60))).encode()
        text += rng.choice(bad_bytes) if number % 10 == 0 else b""
        content = b"\xef\xbb\xbf" * (number % 7 == 0) + b'a,"b",c\n' + text
        content = content.replace(b"\n", b"\r\n") if number % 3 == 0 else content
        (tmp_path / f"{number}.csv").write_bytes(content)
    here, by_spark = both(spark, tmp_path)
    columns = ["a", "b", "c", REASON, MESSAGE]
    assert here.num_rows > 2_000
    bad, bad_by_spark = (Counter(map(tuple, _values(table, [*columns, ROW], REASON))) for table in (here, by_spark))
    assert (bad - bad_by_spark, bad_by_spark - bad) == (Counter(), Counter())
    rows, rows_by_spark = (Counter(map(tuple, _values(table, columns))) for table in (here, by_spark))
    assert (rows - rows_by_spark, rows_by_spark - rows) == (Counter(), Counter())


def _values(table: pa.Table, columns: list[str], given: str | None = None) -> list[list[Any]]:
    """The values of rows, if asked of those alone where a column is given."""
    rows = table.filter(table[given].is_valid()) if given else table
    return [[row[name] for name in columns] for row in rows.select(columns).to_pylist()]


NUMBERS = [
    "0",
    "-0",
    "7",
    "-12",
    "1.50",
    "-0.0",
    "1e5",
    "1E-7",
    "1e400",
    "-1e400",
    "123456789012345678901234567890",
    "0.001",
]
NUMBERS += ["0.00012", "1e7", "9999999.5", "12345678.9", "1e16", "5e-324", "1.7976931348623157e308", "9" * 1001]
NO_NUMBERS = ["01", "+1", ".5", "1.", "1e", "nan", "0x1", "1_000", "--1", "'x'", "undefined"]
TEXTS = [
    '""',
    '"x"',
    '"ü\u2028"',
    r'"\u00fc\n\t\/\"\\"',
    r'"\u0000\u001f"',
    r'"\ud83d\ude00"',
    r'"\ud83d"',
    r'"\ude00\ud83d"',
]
TEXTS += [r'"\\ud83d"', r'"\x"', '"a\tb"', '"NaN"', r'"\"NaN\""', '"{}"', '"\x7f"', '"\ufffd"', '"[1, 2]"']
NAMES = ["true", "false", "null", "NaN", "Infinity", "-Infinity"]


def _json(rng: random.Random, depth: int = 0) -> str:
    """A value as JSON text, now and then none."""
    kind = rng.random()
    if depth < 3 and kind < 0.3:
        return _object(rng, depth + 1)
    if depth < 3 and kind < 0.4:
        return "[" + ", ".join(_json(rng, depth + 1) for _ in range(rng.randint(0, 3))) + "]"
    some = NO_NUMBERS if kind > 0.99 else rng.choice([NUMBERS, TEXTS, NAMES])
    return rng.choice(some)


def _object(rng: random.Random, depth: int = 0) -> str:
    keys = ["uri", "URI", "a b", "ä", "", "n", "o", "p", "Files", r"\u0061"]
    names = rng.sample(keys, rng.randint(0, 4)) + ["n"] * (rng.random() < 0.05)
    blank = rng.choice(["", " ", "\t"])
    return "{" + ",".join(f'{blank}"{name}":{blank}{_json(rng, depth)}' for name in names) + "}"


@pytest.mark.parametrize("format", ["json", "imm"])
def test_odd_json(spark: SparkSession, tmp_path: Path, format: Format) -> None:
    rng = random.Random(11)
    around = ["%s"] * 20 + [
        "[%s]",
        "[%s, %s]",
        "[]",
        "[null, %s]",
        "%s x",
        "%s%s",
        "%s,",
        "[%s",
        " \t%s \r",
        "\ufeff%s",
        "3",
        "",
    ]
    around += [
        '{"Files": [%s, %s]}',
        '{"Files": []}',
        '{"Files": %s}',
        '{"Files": null}',
        "[" * 5000 + "]" * 5000,
        "null",
        '"x"',
    ]
    lines = []
    for _ in range(3_000):
        frame = rng.choice(around)
        lines.append((frame % tuple(_object(rng) for _ in range(frame.count("%s")))).encode())
    lines += [
        b"\xff\xfe{\x00}\x00",
        b'{"uri": "caf\xe9"}',
        b'["caf\xe9"]',
        b'{"uri": "\xf0\x9f\x98"}',
        b"\xef\xbb\xbf",
        b"\x0b{}",
    ]
    rng.shuffle(lines)
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(lines[:2_000]))
    (tmp_path / "b.json").write_bytes(b"\r\n".join(lines[2_000:2_900]))
    for number, line in enumerate(lines[2_900:]):
        (tmp_path / f"{number}.json").write_bytes(line.replace(b",", b",\n").replace(b":", b":\r\n"))
    source = find_source(str(tmp_path), format=format, start_spark=lambda: spark)
    here, by_spark = open_source(source).read_all(), from_frame(read_source(spark, source))
    assert here.column_names == by_spark.column_names
    assert here.num_rows > 3_000
    columns = here.column_names
    rows, rows_by_spark = (Counter(map(tuple, _values(table, columns))) for table in (here, by_spark))
    assert (rows - rows_by_spark, rows_by_spark - rows) == (Counter(), Counter())


WHEN = datetime(2010, 8, 3, 10, 15, 19, 123_456)
MANY_TYPES: dict[str, pa.Array] = {
    **{
        str(kind): pa.array([1, None, 2**bits - 1], kind)
        for kind, bits in {
            pa.int8(): 7,
            pa.int16(): 15,
            pa.int32(): 31,
            pa.int64(): 63,
            pa.uint8(): 8,
            pa.uint16(): 16,
            pa.uint32(): 32,
            pa.uint64(): 64,
        }.items()
    },
    **{
        f"{kind}": pa.array(["x", None, "ü"], kind)
        for kind in (pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string()))
    },
    **{
        f"{kind}": pa.array([b"xy", None, b"\xff\x00"], kind)
        for kind in (pa.binary(), pa.large_binary(), pa.binary_view(), pa.binary(2))
    },
    **{
        f"time_{unit}_{zone}": pa.array([WHEN.replace(tzinfo=UTC) if zone else WHEN, None, None]).cast(
            pa.timestamp(unit, zone), safe=False
        )
        for unit in ("s", "ms", "us", "ns")
        for zone in (None, "UTC", "Europe/Berlin")
    },
    "before_1970": pa.array([-1, -1000, -1001], pa.timestamp("ns")),
    "day": pa.array([date(2010, 8, 3), None, date(1969, 1, 1)]),
    "day64": pa.array([date(2010, 8, 3), None, date(1969, 1, 1)], pa.date64()),
    "duration": pa.array([1, None, -1], pa.duration("ms")),
    "float": pa.array([1.5, None, float("nan")], pa.float32()),
    "double": pa.array([1.5, None, float("-inf")]),
    "flag": pa.array([True, None, False]),
    "decimal": pa.array([Decimal("1.50"), None, Decimal("-0.01")], pa.decimal128(5, 2)),
    "decimal32": pa.array([Decimal("1.50"), None, Decimal("-0.01")], pa.decimal32(5, 2)),
    "json": pa.array(['{"a":1}', None, "[]"], pa.json_(pa.string())),
    "list": pa.array([[1, None], None, []], pa.list_(pa.uint16())),
    "large_list": pa.array([["x", None], None, []], pa.large_list(pa.large_string())),
    "two": pa.array([[1, 2], None, [3, 4]], pa.list_(pa.float32(), 2)),
    "map": pa.array([[("x", 1)], None, []], pa.map_(pa.string(), pa.uint8())),
    "struct": pa.array([{"a": 1, "b": ["x"]}, None, {"a": None, "b": None}]),
    "deep_time": pa.array([{"a": 1500}, None, {"a": -1}], pa.struct([("a", pa.timestamp("ns"))])),
    "deep_enum": pa.array([["x"], None, []], pa.list_(pa.dictionary(pa.int32(), pa.string()))),
    "nothing": pa.nulls(3),
    "lists_of_nothing": pa.array([[None], None, []], pa.list_(pa.null())),
}


def test_parquet_of_many_types(spark: SparkSession, tmp_path: Path) -> None:
    pq.write_table(pa.table(MANY_TYPES), tmp_path / "a.parquet")
    _are_same(*both(spark, tmp_path))


def test_parquet_as_others_write_it(spark: SparkSession, tmp_path: Path) -> None:
    times = pa.table({"time": pa.array([WHEN, None]), "deep": pa.array([[WHEN], []])})
    pq.write_table(times, tmp_path / "old.parquet", use_deprecated_int96_timestamps=True)
    _are_same(*both(spark, tmp_path / "old.parquet"))
    spark.sql(
        "SELECT timestamp'2010-08-03 10:15:19' AS t, 1 AS n, named_struct('a', 1S) AS s, map('x', 1Y) AS m"
    ).write.parquet(str(tmp_path / "spark"))
    _are_same(*both(spark, tmp_path / "spark"))
    made = "SELECT 'a'::ENUM ('a', 'b') AS e, '[1]'::JSON AS j, 1::UTINYINT AS t, TIMESTAMPTZ '2010-08-03' AS z"
    duckdb.sql(f"COPY ({made}) TO '{tmp_path}/duckdb.parquet'")
    _are_same(*both(spark, tmp_path / "duckdb.parquet"))


def test_parquet_of_several_files(spark: SparkSession, tmp_path: Path) -> None:
    for day in ("2010-08-03", "2010-08-04"):
        for number, columns in enumerate(
            (
                {"a": [1], "s": [{"x": 1}]},
                {"b": ["y"], "s": [{"y": "z"}], "decimal": pa.array([Decimal(1)], pa.decimal128(4, 1))},
                {"a": [2], "decimal": pa.array([Decimal(1)], pa.decimal128(6, 1))},
            )
        ):
            file = tmp_path / f"day={day}" / f"kind={'ab'[number % 2]}" / f"{number}.parquet"
            file.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.table({"uri": [f"{day}/{number}"], **columns}), file)
    for uri in (tmp_path, tmp_path / "day=2010-08-03", tmp_path / "*3", tmp_path / "*" / "kind=a" / "0.parquet"):
        _are_same(*both(spark, uri))
    with pytest.raises(SourceError, match="lie in folders that name other columns"):  # of two roots
        both(spark, tmp_path / "*")


def test_parquet_in_folders_that_tell_nothing(spark: SparkSession, tmp_path: Path) -> None:
    for name in ("a.parquet", "x/b.parquet", "x/y/c.parquet"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        pq.write_table(pa.table({"uri": [name]}), tmp_path / name)
    here, by_spark = both(spark, tmp_path)
    _are_same(here, by_spark)
    assert here["uri"].to_pylist() == ["a.parquet", "x/b.parquet", "x/y/c.parquet"]


@pytest.mark.parametrize(
    "column",
    [
        pa.array([1], pa.time64("us")),
        pa.array([bytes(16)], pa.uuid()),
        pa.array([1.5], pa.float16()),
        pa.array([Decimal(1)], pa.decimal256(60, 0)),
    ],
    ids=["time", "uuid", "float16", "decimal"],
)
def test_parquet_types_that_neither_reads(spark: SparkSession, tmp_path: Path, column: pa.Array) -> None:
    pq.write_table(pa.table({"uri": ["a"], "x": column}), tmp_path / "a.parquet")
    source = find_source(str(tmp_path), start_spark=lambda: spark)
    with pytest.raises(SourceError, match=r"a.parquet can't be read as parquet: column x .*; it is accepted as text"):
        open_source(source).read_all()
    with pytest.raises(SourceError, match="can't be read as parquet"):
        read_source(spark, source)


def test_delta_tables(spark: SparkSession, tmp_path: Path) -> None:
    """With all types, a far time, rows deleted by vectors, a renamed column, partitions, and later columns."""
    path = str(tmp_path / "delta")
    rows = spark.sql(
        """SELECT concat(id, '.jpg') AS uri, id AS i, timestamp'9999-12-30 10:00:00' AS t,
        timestamp_ntz'2020-01-01 10:00:00' AS n, cast(3 AS byte) AS b, cast(4 AS short) AS s, 0.5f AS f,
        cast(1.25 AS decimal(10, 2)) AS d, array('x', NULL) AS l, map('k', 'v') AS m, X'00ff' AS bin,
        named_struct('country', 'F') AS address, date'2020-01-02' AS day, concat('a%/ b', id % 2) AS dataset_name,
        id > 3 AS late FROM range(10)"""
    )
    options = {"delta.enableDeletionVectors": "true", "delta.columnMapping.mode": "name"}
    with session_settings(spark, {"spark.sql.parquet.outputTimestampType": "INT96"}):  # as Spark does by itself
        rows.write.format("delta").options(**options).partitionBy("dataset_name").save(path)
    spark.sql(f"DELETE FROM delta.`{path}` WHERE i = 7")
    spark.sql(f"ALTER TABLE delta.`{path}` RENAME COLUMN late TO is_late")
    more = spark.sql("SELECT '11.jpg' AS uri, 'ada' AS dataset_name, 'new' AS title")
    more.write.format("delta").mode("append").option("mergeSchema", "true").save(path)
    here, by_spark = both(spark, path)
    assert here.num_rows == 10
    _are_same(here, by_spark)


def test_delta_tables_that_delta_rs_does_not_read(spark: SparkSession, tmp_path: Path) -> None:
    path = str(tmp_path / "delta")
    spark.sql("SELECT cast(X'ff41' AS string) AS uri").write.format("delta").save(path)
    source = find_source(path, start_spark=lambda: spark)
    with pytest.raises(NotReadHere, match="UTF-8"):
        open_source(source).read_all()
    assert read_source(spark, source).count() == 1


def _are_same(here: pa.Table, by_spark: pa.Table) -> None:
    """Whether both have the same columns, of the types that Spark has, and rows, but for what only Spark's have."""
    by_spark = by_spark.drop_columns([ROW, REASON, MESSAGE])
    types, types_by_spark = (
        from_arrow_schema(table.schema, prefer_timestamp_ntz=True).simpleString() for table in (here, by_spark)
    )
    assert types == types_by_spark
    rows, rows_by_spark = (sorted(map(str, table.to_pylist())) for table in (here, by_spark))
    assert rows == rows_by_spark
