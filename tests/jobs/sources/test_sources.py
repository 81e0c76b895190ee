"""`jobs.sources.sources`: every format through the reader, and what can't be read."""

from __future__ import annotations

import csv
import json
import os
import shutil
import struct
import sys
import zlib
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, QueryBuilder
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import from_arrow_schema

from bench.make_malformed import write as write_malformed
from jobs.index_files import command
from jobs.indexing.judging import arrow_columns, arrow_schema
from jobs.sources.sources import (
    Format,
    find_source,
    list_photos,
    load_photos,
    open_source,
    read_photos,
    read_source,
)
from schemas.errors import SourceError, UsageError
from schemas.file_features import PIXEL_FEATURES
from transforms.pictures import reader_processes
from transforms.pictures.files import Reading
from transforms.pictures.listings import Listing
from transforms.pictures.perceptual_hashes import MIN_HASH_QUALITY
from transforms.sources import rows
from transforms.sources.columns import untold_columns
from transforms.sources.duplicates import Duplicates
from transforms.sources.imm import from_imm
from transforms.sources.verdicts import accepted, refused
from transforms.tables.frames import from_frame, to_frame
from transforms.tables.source_columns import IS_JSON, JSON_TEXT, MESSAGE, REASON, ROW
from transforms.tables.source_frames import quoted, row_json

PHOTOS = Path(__file__).parents[3].parent / "shared" / "data" / "photos"


HERE, BY_SPARK = "here", "by Spark"
WAYS = pytest.mark.parametrize("how", [HERE, BY_SPARK])
"""A source read by this process, and by Spark."""


def read(spark: SparkSession, uri: Path | str, how: str = BY_SPARK, *, format: Format | None = None) -> DataFrame:
    """The rows of a source, read one way or the other."""
    source = find_source(str(uri), format=format, start_spark=no_spark)
    if how == BY_SPARK:
        return read_source(spark, source)
    assert source.is_loadable
    return as_frame(spark, open_source(source).read_all())


def no_spark() -> SparkSession:
    pytest.fail("what is here is found without Spark")


def as_frame(spark: SparkSession, table: pa.Table) -> DataFrame:
    """A loaded table as Spark reads the same source."""
    frame = to_frame(spark, table, from_arrow_schema(table.schema, prefer_timestamp_ntz=True))
    metadata = {field.name: JSON_TEXT if field.metadata == IS_JSON else {} for field in table.schema}
    names = [name for name in frame.columns if name not in (ROW, REASON, MESSAGE)]
    data = [quoted(name).alias(name, metadata=metadata[name]) for name in names]
    nothing = F.lit(None).cast("string")
    verdicts = {name: F.col(name) if name in frame.columns else nothing for name in (ROW, REASON, MESSAGE)}
    verdicts[ROW] = F.coalesce(verdicts[ROW], row_json(frame.select(*data)))
    return frame.select(*data, *(column.alias(name) for name, column in verdicts.items()))


def judge_table(raw: DataFrame, **options: Any) -> pa.Table:
    """The rows of a source, judged as files."""
    table = from_frame(arrow_columns(raw))
    judge = rows.judge_files(arrow_schema(raw), **options)
    return Duplicates("uri", "duplicate_uri").refuse(judge(table), texts=lambda at: judge.texts(table.take(at)))


def judge_files(raw: DataFrame, **options: Any) -> DataFrame:
    """The same as a frame."""
    judged = judge_table(raw, **options)
    return to_frame(raw.sparkSession, judged, from_arrow_schema(judged.schema))


def detect_format(uri: Path | str) -> Format:
    return find_source(str(uri), start_spark=no_spark).format


def rows_of(spark: SparkSession, uri: Path | str, how: str = BY_SPARK, **options: Any) -> list[Row]:
    return read(spark, uri, how, **options).collect()


@pytest.mark.parametrize("unit", ["us", "ns"])
@pytest.mark.parametrize(("zone", "time_is"), [(None, "local"), ("UTC", "instant")])
@WAYS
def test_parquet_as_pandas_writes_it(
    spark: SparkSession, tmp_path: Path, unit: Literal["us", "ns"], zone: str | None, time_is: str, how: str
) -> None:
    frame = pd.DataFrame(
        {
            "uri": ["a.jpg", "b.jpg"],
            "latitude": [30.25, float("nan")],
            "longitude": [120.0, float("nan")],
            "size": [12, None],
            "produce_time": pd.to_datetime(["2010-08-03 10:15:19.123408", None]).as_unit(unit).tz_localize(zone),
        }
    )
    frame.to_parquet(tmp_path / "part.parquet")
    (tmp_path / "README.md").write_text("no data")
    assert detect_format(tmp_path) == "parquet"
    judged = judge_files(read(spark, tmp_path, how), source="s", project="p", dataset="d")
    a, b = sorted(judged.collect(), key=lambda row: row["uri"])
    assert (a["size"], a["time_is"], a["reason"]) == (12, time_is, None)
    assert a["produce_time"].astimezone(UTC) == datetime(2010, 8, 3, 10, 15, 19, 123_408, tzinfo=UTC)
    assert (b["latitude"], b["longitude"], b["size"], b["produce_time"], b["reason"]) == (None,) * 5


@WAYS
def test_nan_is_missing_and_shown(spark: SparkSession, tmp_path: Path, how: str) -> None:
    nan = pa.array([float("nan")])
    pq.write_table(pa.table({"uri": ["a.txt"], "latitude": nan, "longitude": nan}), tmp_path / "a.parquet")
    raw = read(spark, tmp_path, how)
    (row,) = judge_files(raw, source="s", project="p", dataset="d").collect()
    assert (row["latitude"], row["reason"]) == (None, "media_type_unknown")
    assert json.loads(row["row"]) == {"uri": "a.txt", "latitude": "NaN", "longitude": "NaN"}


def struct_of(**fields: pa.DataType) -> pa.DataType:
    return pa.struct(list(fields.items()))


NOTHING = {
    "title": pa.nulls(2),
    "produce_time": pa.nulls(2),
    "labels": pa.array([[None], []], pa.list_(pa.null())),
    "embedding": pa.array([[], None], pa.list_(pa.null())),
    "address": pa.array([{"city": None}, None], struct_of(city=pa.null())),
}
NOTHING_IN_A_MAP = {"address": pa.array([[("city", None)], []], pa.map_(pa.string(), pa.null()))}


@pytest.mark.parametrize("columns", [NOTHING, NOTHING_IN_A_MAP], ids=["most", "map"])
@WAYS
def test_a_parquet_column_of_type_null_is_absent_at_any_depth(
    spark: SparkSession, tmp_path: Path, columns: dict[str, pa.Array], how: str
) -> None:
    pq.write_table(pa.table({"uri": ["a.jpg", "b.jpg"], **columns}), tmp_path / "a.parquet")
    raw = read(spark, tmp_path, how)
    assert columns.keys() <= untold_columns(arrow_schema(raw), {})
    rows = (
        judge_files(raw, source="s", project="p", dataset="d").select("uri", "reason", *columns).sort("uri").collect()
    )
    assert [tuple(row) for row in rows] == [(uri, None, *[None] * len(columns)) for uri in ("a.jpg", "b.jpg")]


@WAYS
def test_a_parquet_column_of_type_null_in_some_files_has_the_type_of_the_others(
    spark: SparkSession, tmp_path: Path, how: str
) -> None:
    taken = pa.array([1_280_830_519_123_408_000], pa.timestamp("ns", "UTC"))
    address = pa.array([{"city": "Hangzhou", "country": "China"}], struct_of(city=pa.string(), country=pa.string()))
    unknown = pa.array([{"city": None, "country": "China"}], struct_of(city=pa.null(), country=pa.string()))
    columns: dict[str, dict[str, Any]] = {
        "a.jpg": {
            "title": pa.nulls(1),
            "produce_time": pa.nulls(1),
            "address": unknown,
            "size": pa.array([1], "int32"),
        },
        "b.jpg": {"title": ["x"], "produce_time": taken, "address": address, "size": pa.nulls(1)},
        "c.jpg": {"title": ["y"], "produce_time": pa.nulls(1), "labels": [["z"]], "size": pa.array([3], "int32")},
    }
    for dataset in ("d1", "d2"):
        (tmp_path / f"dataset_name={dataset}").mkdir()
        for uri, others in columns.items():
            table = pa.table({"uri": [uri], **others})
            pq.write_table(table, tmp_path / f"dataset_name={dataset}" / f"{uri}.parquet")
    judged = judge_files(read(spark, tmp_path, how), source="s", project="p", dataset=None)
    shown = ("dataset_name", "uri", "reason", "title", "address.city", "address.country", "size", "labels")
    when = datetime(2010, 8, 3, 10, 15, 19, 123408)
    assert [tuple(row) for row in judged.select(*shown, "produce_time").sort("dataset_name", "uri").collect()] == [
        row
        for dataset in ("d1", "d2")
        for row in (
            (dataset, "a.jpg", None, None, None, "China", 1, None, None),
            (dataset, "b.jpg", None, "x", "Hangzhou", "China", None, None, when),
            (dataset, "c.jpg", None, "y", None, None, 3, ["z"], None),
        )
    ]


@WAYS
def test_parquet_files_of_several_types_are_refused_where_some_are_of_type_null(
    spark: SparkSession, tmp_path: Path, how: str
) -> None:
    pq.write_table(pa.table({"uri": ["a"], "size": ["x"], "title": pa.nulls(1)}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"uri": ["b"], "size": [1.5]}), tmp_path / "b.parquet")
    with pytest.raises(SourceError, match=r"files differ in types, .*size:string.* and .*size:double"):
        read(spark, tmp_path, how)


@WAYS
def test_whole_numbers_are_no_text_though_another_column_is_of_type_null(
    spark: SparkSession, tmp_path: Path, how: str
) -> None:
    numbers = pa.array([{"city": 1}], struct_of(city=pa.int32()))
    pq.write_table(pa.table({"uri": ["a"], "title": pa.nulls(1), "address": numbers}), tmp_path / "a.parquet")
    with pytest.raises(SourceError, match=r"address is struct<city:int>; text in its field city is accepted"):
        judge_files(read(spark, tmp_path, how), source="s", project="p", dataset="d")


@WAYS
def test_a_parquet_column_of_type_null_can_be_mapped(spark: SparkSession, tmp_path: Path, how: str) -> None:
    place = pa.array([{"town": None, "land": "China"}], struct_of(town=pa.null(), land=pa.string()))
    pq.write_table(pa.table({"uri": ["a.jpg"], "name": pa.nulls(1), "place": place}), tmp_path / "a.parquet")
    raw = read(spark, tmp_path, how)
    mapping = {"name": "title", "place.town": "address.township", "place.land": "address.country"}
    (row,) = judge_files(raw, mapping=mapping, source="s", project="p", dataset="d").collect()
    assert (row.reason, row.title, row.address.township, row.address.country) == (None, None, None, "China")


@WAYS
def test_parquet_files_with_other_columns_are_merged(spark: SparkSession, tmp_path: Path, how: str) -> None:
    pq.write_table(pa.table({"uri": ["a"], "title": ["x"]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"uri": ["b"], "size": [1]}), tmp_path / "b.parquet")
    assert set(read(spark, tmp_path, how).columns) >= {"uri", "title", "size"}
    pq.write_table(pa.table({"uri": [1.5]}), tmp_path / "c.parquet")
    with pytest.raises(SourceError, match=r"can't be read as parquet.*(MERGE|differ in types)"):
        read(spark, tmp_path, how)


def test_delta(spark: SparkSession, tmp_path: Path) -> None:
    spark.sql("SELECT 'a.jpg' AS uri").write.format("delta").save(str(tmp_path / "table"))
    assert detect_format(tmp_path / "table") == "delta"
    (row,) = rows_of(spark, tmp_path / "table")
    assert (row["uri"], row[ROW], row[REASON]) == ("a.jpg", '{"uri":"a.jpg"}', None)


@WAYS
def test_csv(spark: SparkSession, tmp_path: Path, how: str) -> None:
    text = (
        '\ufeffuri, title ,size\na,"x\ny",1\nb,t\nc,t,3,4\nd,"he said ""hi""",5\n,,\n\ng,a\x00b,8\nh,"a,b",\n'
        f"w{',' * 30_000}\n"
    )
    (tmp_path / "a.csv").write_bytes(text.encode() + b"e.jpg,caf\xe9,6\n")
    raw = read(spark, tmp_path / "a.csv", how)
    assert raw.columns[:3] == ["uri", "title", "size"]
    rows = raw.collect()
    assert [row["uri"] for row in rows] == ["a", "b", "c", "d", None, "g", "h", "w", "e.jpg"]
    assert [row[REASON] for row in rows] == [
        None,
        "csv_malformed",
        "csv_malformed",
        None,
        None,
        None,
        None,
        "csv_malformed",
        None,
    ]
    assert [rows[0]["title"], rows[3]["title"], rows[6]["title"]] == ["x\ny", 'he said "hi"', "a,b"]
    assert json.loads(rows[2][ROW]) == {"line": "c,t,3,4"}
    judged = judge_files(raw, source="s", project="p", dataset="d").collect()
    reasons = {row["uri"]: row["reason"] for row in judged}
    assert reasons["e.jpg"] == "text_not_utf8"
    assert reasons[None] == "uri_missing"


@WAYS
@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"a.csv": "uri,size\na,1\n", "b.csv": "size,uri\n1,a\n"}, "read them apart"),
        ({"a.csv": "uri,URI\na,1\n"}, "a name of its own"),
        ({"a.csv": "uri,\na,1\n"}, "a name of its own"),
        ({"a.csv": "\n"}, "is empty; CSV with a header line is accepted"),
        ({"a.csv": "uri\na\n", "b.jsonl": "{}"}, r"several formats \(1 csv, 1 json\): give --format"),
        ({"a.parquet": "PAR1 and no more"}, "can't be read as parquet"),
        ({"a.parquet": ""}, "holds no files, or only empty ones. Parquet, Delta"),
        ({"notes.txt": "hello"}, "holds no data that is known, as"),
        ({}, "holds no files, or only empty ones. Parquet, Delta"),
    ],
)
def test_sources_that_cannot_be_read(
    spark: SparkSession, tmp_path: Path, files: dict[str, str], told: str, how: str
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(SourceError, match=told) as error:
        read(spark, tmp_path, how)
    assert str(tmp_path) in str(error.value)


def test_sources_elsewhere_that_cannot_be_opened(spark: SparkSession) -> None:
    with pytest.raises(SourceError, match="nofs"):
        find_source("nofs://bucket/x", start_spark=lambda: spark)


JSON_LINES: list[tuple[str | bytes, str | None]] = [
    ('{"uri": "a", "size": 12345678901234567890, "address": {"city": "x"}}', None),
    ('  {"uri": "b", "latitude": NaN, "odd key.x": true}  ', None),
    ('{"uri": "c"', "json_malformed"),
    ('{"uri": "d"} trailing', "json_malformed"),
    ('{"uri": "e"}{"uri": "f"}', "json_malformed"),
    ('{"uri": "g"}],[{"uri": "h"}', "json_malformed"),
    ("{'uri': 'i'}", "json_malformed"),
    ('{"uri": "j", "uri": "k"}', "json_malformed"),
    ("not json", "json_malformed"),
    ("3", "json_malformed"),
    ("null", "json_malformed"),
    ('"text"', "json_malformed"),
    ("[null]", "json_malformed"),
    ('{"uri": ' + "[" * 5000 + "]" * 5000 + "}", "json_malformed"),
    ('{"uri": "' + "x" * 1_000_000 + '"}', None),
    ('{"uri": "l\\u0000"}', None),
    ('{"uri": "m\\ud83d\\ude00"}', None),
    ('{"uri": "n\\ud83d"}', "text_not_utf8"),
    ('{"uri": "o\\\\ud83d"}', None),
    (b'{"uri": "caf\xe9"}', "text_not_utf8"),
    (b"\xff\xfe{\x00}\x00", "text_not_utf8"),
    ("{}", None),
]


@WAYS
def test_json_lines(spark: SparkSession, tmp_path: Path, how: str) -> None:
    lines = [line.encode() if isinstance(line, str) else line for line, _ in JSON_LINES]
    (tmp_path / "a.jsonl").write_bytes(b"\xef\xbb\xbf" + b"\n".join(lines) + b'\n\n[{"uri": "x"}, {"uri": "y"}]\r\n')
    rows = rows_of(spark, tmp_path / "a.jsonl", how)
    assert [row[REASON] for row in rows] == [reason for _, reason in JSON_LINES] + [None, None]
    assert (rows[0]["uri"], rows[0]["size"], rows[0]["address"]) == ("a", "12345678901234567890", '{"city":"x"}')
    assert (rows[1]["latitude"], rows[1]["odd key.x"]) == ("NaN", "true")
    assert [row["uri"] for row in rows[-2:]] == ["x", "y"]
    assert all(json.loads(row[ROW]) is not None for row in rows if row[REASON])
    same = rows_of(spark, write(tmp_path / "b.json", (tmp_path / "a.jsonl").read_bytes()), how)
    assert [(row["uri"], row[REASON]) for row in same] == [(row["uri"], row[REASON]) for row in rows]


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("indent", [None, 2])
@WAYS
def test_json_documents_beside_lines(spark: SparkSession, tmp_path: Path, indent: int | None, how: str) -> None:
    objects = [{"uri": "a", "address": {"city": "x"}}, {"uri": "b"}]
    (tmp_path / "list.json").write_text(json.dumps(objects, indent=indent))
    (tmp_path / "one.json").write_text(json.dumps({"uri": "c"}, indent=indent))
    (tmp_path / "lines.json").write_text('{"uri": "d"}\n{"uri": "e"}\n{"uri": \n')
    (tmp_path / "empty.json").write_text("")
    rows = rows_of(spark, tmp_path, how)
    found = Counter((row["uri"], row[REASON]) for row in rows)
    assert found == Counter([*[(uri, None) for uri in "abcde"], (None, "json_malformed")])


@WAYS
def test_json_without_any_object_is_refused_row_by_row(spark: SparkSession, tmp_path: Path, how: str) -> None:
    (tmp_path / "a.json").write_text("hello\nworld\n")
    judged = judge_files(read(spark, tmp_path, how, format="json"), source="s", project="p", dataset="d").collect()
    assert [row["reason"] for row in judged] == ["json_malformed"] * 2


@WAYS
def test_json_objects_can_be_reached_into(spark: SparkSession, tmp_path: Path, how: str) -> None:
    (tmp_path / "a.jsonl").write_text('{"path": "a.jpg", "where": {"town": "x", "lat": 1.5, "lon": 2}}\n')
    mapping = {
        "path": "uri",
        "where.town": "address.township",
        "where.lat": "latitude",
        "where.lon": "longitude",
    }
    raw = read(spark, tmp_path, how)
    (row,) = judge_files(raw, mapping=mapping, source="s", project="p", dataset="d").collect()
    assert (row["uri"], row["address"]["township"], row["latitude"], row["longitude"]) == ("a.jpg", "x", 1.5, 2.0)


@WAYS
def test_imm_responses(spark: SparkSession, tmp_path: Path, how: str) -> None:
    file = {"URI": "oss://b/1.jpg", "DatasetName": "ada", "MediaType": "image", "LatLong": "30.1,120.2", "Size": 7}
    second = file | {"URI": "oss://b/2.jpg", "Addresses": [{"Language": "en", "City": "Hangzhou"}]}
    (tmp_path / "response.json").write_text(json.dumps({"RequestId": "r", "Files": [file, second]}, indent=2))
    (tmp_path / "lines.jsonl").write_text(
        json.dumps(file | {"URI": "oss://b/3.jpg"}) + "\n" + json.dumps({"Files": []}) + "\n"
    )
    (tmp_path / "error.json").write_text(json.dumps({"Code": "InvalidArgument"}))
    assert detect_format(tmp_path / "response.json") == "imm"
    raw = from_imm(from_frame(read(spark, tmp_path, how, format="imm")))
    judge = rows.judge_files(raw.schema, source="s", project="p")
    judged = {row["uri"]: row for row in judge(raw).to_pylist()}
    assert {uri: row["reason"] for uri, row in judged.items()} == {
        "oss://b/1.jpg": None,
        "oss://b/2.jpg": None,
        "oss://b/3.jpg": None,
        None: "dataset_missing",
    }
    assert judged["oss://b/2.jpg"]["address"]["city"] == "Hangzhou"
    assert (judged["oss://b/1.jpg"]["latitude"], judged["oss://b/1.jpg"]["size"]) == (30.1, 7)


def test_photos(spark: SparkSession, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9003] = "2010:08:03 10:15:19"
    Image.new("RGB", (8, 6)).save(tmp_path / "a.jpg", exif=exif)
    (tmp_path / "b.jpg").write_bytes(b"no picture")
    (tmp_path / "notes.txt").write_text("x")
    assert detect_format(tmp_path) == "photos"
    listings: list[Listing] = []
    raw = read_photos(spark, list_photos(str(tmp_path), listings.append), Reading(), root=str(tmp_path))
    assert [listing.passed_over for listing in listings] == [{"txt": 1}]
    judged = judge_files(raw, source="s", project="p", dataset="d").collect()
    a, b = sorted(judged, key=lambda row: row["uri"])
    assert (a["reason"], a["image_width"], a["time_is"], a["media_type"]) == (None, 8, "local", "image")
    assert a["produce_time"].isoformat() == "2010-08-03T10:15:19"
    assert b["reason"] == "picture_unreadable"
    os.remove(tmp_path / "a.jpg")
    os.remove(tmp_path / "b.jpg")
    with pytest.raises(SourceError, match="no photo or video"):
        list_photos(str(tmp_path))


@pytest.mark.parametrize(
    "reading", [Reading(), Reading(turned=True), Reading(hashes=False)], ids=["hashes", "turned", "headers"]
)
def test_photos_are_read_alike_by_processes_and_by_tasks(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reading: Reading
) -> None:
    monkeypatch.setattr(reader_processes, "LEAST_SHARE", 1)
    picture = Image.radial_gradient("L").resize((90, 70)).rotate(20)
    for name in ("IMG_1.JPG", "IMG_1.DNG", "IMG_2.JPG", "b.png", "ü '\"\\.jpg"):
        picture.save(tmp_path / name, format="PNG" if name.endswith("png") else "JPEG")
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    listed = list_photos(str(tmp_path))
    here = load_photos(listed, reading, root=str(tmp_path)).sort_by("uri")
    by_spark = (
        from_frame(read_photos(spark, listed, reading, root=str(tmp_path))).sort_by("uri").select(here.column_names)
    )
    assert here.drop_columns([ROW]).to_pylist() == by_spark.drop_columns([ROW]).to_pylist()
    digests, digests_by_spark = (
        rows.judge_files(read.schema, source="s", project="p", dataset="d")(read)["source_digest"].to_pylist()
        for read in (here, by_spark)
    )
    assert digests == digests_by_spark
    texts, texts_by_spark = ([json.loads(text) for text in read[ROW].to_pylist()] for read in (here, by_spark))
    assert texts == texts_by_spark
    assert here.num_rows == 6


def test_a_process_that_dies_of_pictures_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("L", (8, 6)).save(tmp_path / "a.jpg")
    monkeypatch.setattr(reader_processes, "COMMAND", (sys.executable, "-c", "import os; os._exit(9)"))
    with pytest.raises(SourceError, match=r"read 1 files, from .*a.jpg to .*a.jpg, ended with 9; one of them may be"):
        load_photos(list_photos(str(tmp_path)), Reading())


def test_processes_raise_what_reading_raises(tmp_path: Path) -> None:
    Image.new("L", (8, 6)).save(tmp_path / "a.jpg")
    listed = list_photos(str(tmp_path))
    shutil.rmtree(tmp_path)
    with pytest.raises(SourceError):
        load_photos(listed, Reading(), root=str(tmp_path))


def index(lake: Path, source: Path, *options: str) -> None:
    """Indexes a source through the command line's own entry."""
    line = [str(source), "--lake", str(lake), "--dataset", "d", *options]
    command.main(line, standalone_mode=False)


def table(lake: Path, name: str) -> list[dict[str, Any]]:
    rows = QueryBuilder().register("t", DeltaTable(str(lake / name))).execute("SELECT * FROM t").read_all()
    return pa.table(rows).to_pylist()


def test_photos_become_features_through_the_job(spark: SparkSession, tmp_path: Path) -> None:
    source, lake = tmp_path / "photos", tmp_path / "lake"
    source.mkdir()
    shot = Image.radial_gradient("L").resize((900, 700)).rotate(20)
    shot.save(source / "good.jpg")
    shot.convert("RGB").save(source / "copy.png")
    Image.new("L", (900, 700)).save(source / "flat.jpg")
    (source / "cut.jpg").write_bytes((source / "good.jpg").read_bytes()[:5000])
    bomb = Image.new("1", (32, 32))
    bomb.save(source / "bomb.png")
    content = bytearray((source / "bomb.png").read_bytes())
    content[16:24] = struct.pack(">II", 2**15, 2**15)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    (source / "bomb.png").write_bytes(content)
    heic = PHOTOS / "exif-samples/heic/samplefilehub.heif"
    if heic.is_file():
        shutil.copy(heic, source / "phone.heic")
    index(lake, source, "--turned")
    rows = {Path(row["uri"]).name: row for row in table(lake, "file_features")}
    assert set(rows) == {"good.jpg", "copy.png", "flat.jpg", *(["phone.heic"] if heic.is_file() else [])}
    files = {Path(row["uri"]).name: row for row in table(lake, "files")}
    contents = {name: row["content_hash"] for name, row in files.items()}
    for name, row in rows.items():
        assert [len(row[column]) for column in ("perceptual_hash", "crop_hashes", "thumbnail")] == [64, 128, 1024]
        assert 0 <= row["image_score"] <= 1
        hashed = row["perceptual_hash_quality"] >= MIN_HASH_QUALITY
        assert row["fingerprint"] == (row["perceptual_hash"] if hashed else f"content:{contents[name]}")
        assert len(row["turned_hashes"]) == 224
    assert [name for name, row in rows.items() if row["fingerprint"].startswith("content:")] == ["flat.jpg"]
    rejected = {json.loads(row["row"])["uri"].rpartition("/")[2]: row for row in table(lake, "rejected")}
    reasons = {name: row["reason"] for name, row in rejected.items()}
    assert reasons == {"bomb.png": "picture_too_large"}
    assert "pixels can't be decoded" in files["cut.jpg"]["warning"]
    assert len(files) == len(rows) + 1  # what is cut short has a good header
    assert len(files) + len(rejected) == len(list(source.iterdir()))

    versions = [DeltaTable(str(lake / name)).version() for name in ("files", "file_features")]
    index(lake, source, "--turned")
    assert versions == [DeltaTable(str(lake / name)).version() for name in ("files", "file_features")]
    headers = read_photos(spark, list_photos(str(source)), Reading(hashes=False)).collect()
    assert not set(PIXEL_FEATURES) & set(headers[0].asDict())
    assert sum(row[REASON] is None for row in headers) == len(rows) + 1  # what is cut short has a good header
    with pytest.raises(UsageError, match="--turned without --no-hashes is accepted"):
        index(lake, source, "--turned", "--no-hashes")

    # what a source does not speak of stays
    (uri,) = (row["uri"] for row in table(lake, "files") if row["uri"].endswith("good.jpg"))
    (tmp_path / "embeddings.jsonl").write_text(json.dumps({"uri": uri, "embedding": [0.5, 1.0]}))
    index(lake, tmp_path / "embeddings.jsonl")
    index(lake, source)
    assert [versions[0], versions[1] + 1] == [
        DeltaTable(str(lake / name)).version() for name in ("files", "file_features")
    ]
    (embedded,) = (row for row in table(lake, "file_features") if row["uri"] == uri)
    assert embedded["embedding"] == [0.5, 1.0]
    assert embedded["fingerprint"].startswith(f"{rows['good.jpg']['perceptual_hash']}/")
    same = [*PIXEL_FEATURES, "uri", "object_id"]
    assert {name: embedded[name] for name in same} == {name: rows["good.jpg"][name] for name in same}
    # but for what was known of another picture
    Image.linear_gradient("L").resize((900, 700)).rotate(30).save(source / "good.jpg")
    index(lake, source)
    (other,) = (row for row in table(lake, "file_features") if row["uri"] == uri)
    assert other["perceptual_hash"] != embedded["perceptual_hash"]
    assert [other[name] for name in ("embedding", "turned_hashes")] == [None, None]
    assert other["fingerprint"] == other["perceptual_hash"]


@WAYS
def test_files_with_odd_names(spark: SparkSession, tmp_path: Path, how: str) -> None:
    for name in ("a b.jsonl", "[x]*.jsonl", "{ü}%20.jsonl"):
        (tmp_path / name).write_text('{"uri": "' + name + '"}\n')
    assert {row["uri"] for row in rows_of(spark, tmp_path, how)} == {"a b.jsonl", "[x]*.jsonl", "{ü}%20.jsonl"}


@WAYS
@pytest.mark.parametrize("name", ["malformed.jsonl", "malformed.csv"])
def test_ten_thousand_malformed_rows(spark: SparkSession, tmp_path: Path, name: str, how: str) -> None:
    write_malformed(tmp_path, bad=10_000, good=1_000, seed=1)
    with (tmp_path / f"{name}.expected.csv").open(encoding="utf-8", newline="") as file:
        expected = list(csv.DictReader(file))
    assert len({row["kind"] for row in expected} - {"good"}) == 30
    raw = read(spark, tmp_path / name, how)
    judged = judge_table(raw, source=name, project="p")
    assert len(judged) == len(expected) == 11_000
    bad = refused(judged, dataset=None, now=datetime.now(UTC)).select(["reason", "reject_id"]).to_pylist()
    assert len(accepted(judged)) == 1_000
    assert Counter(row["reason"] for row in bad) == Counter(row["reason"] for row in expected if row["reason"])
    assert len({row["reject_id"] for row in bad}) == 10_000
    reasons = {row["uri"]: row["reason"] for row in judged.to_pylist() if row["reason"]}
    told = {f"s3://photos/{row['number']}.jpg": row["reason"] for row in expected}
    assert {uri: reason for uri, reason in reasons.items() if uri in told and told[uri] != reason} == {}


def one_line(data: bytes) -> bytes:
    """Bytes that are one line of a file, and no list (of which each item would be a row)."""
    return data.translate(None, b"\r\n[")


@WAYS
@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.binary(max_size=40).map(one_line), min_size=100))
@example([b"\xbb", b"\xbb\xbf", b"\xef", b"\xef\xbb\xbf", b" \xef\xbb\xbf\t", b"\x00", b"\x0b", b"\xc2\xa0"])
def test_any_bytes_become_rows(spark: SparkSession, tmp_path: Path, how: str, lines: list[bytes]) -> None:
    path = write(tmp_path / "any.jsonl", b'{"uri": "a.jpg"}\n' + b"\n".join(lines))
    judged = judge_files(read(spark, path, how, format="json"), source="s", project="p", dataset="d").collect()
    blank = sum(not line.strip(b" \t").removeprefix(b"\xef\xbb\xbf").strip(b" \t") for line in lines)
    assert len(judged) == 1 + len(lines) - blank
    assert [row["uri"] for row in judged if row["reason"] is None] == ["a.jpg"]
