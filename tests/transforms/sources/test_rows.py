"""Rows of sources: tables of values and what becomes of them, and what must hold for any row."""

from __future__ import annotations

import datetime as dt
import json
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import BooleanType

from schemas.contract import LEVELS, plain
from schemas.errors import SourceError, UsageError
from schemas.figures import FIGURES
from schemas.file_features import FILE_FEATURES, PIXEL_FEATURES
from schemas.files import FILES
from schemas.reasons import REASONS
from transforms.sources import validation
from transforms.sources.imm import figures_from_imm, from_imm
from transforms.sources.rows import judge_figures, judge_files
from transforms.sources.validation import refuse_duplicates, refuse_few_duplicates
from transforms.sources.verdicts import accepted, refused
from transforms.tables.frames import from_frame
from transforms.tables.source_columns import FILE_FIELDS, ROW, map_columns
from transforms.tables.times import settled_time, written_time

SETTINGS = settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
TEXTS = ", ".join(f"{field} string" for field in FILE_FIELDS)


def frame(spark: SparkSession, rows: list[dict[str, Any]], schema: str) -> DataFrame:
    """Rows as a frame; columns that a row doesn't name are null."""
    names = [part.split()[0] for part in schema.split(", ")]
    return spark.createDataFrame([tuple(row.get(name) for name in names) for row in rows], schema)


def judge(spark: SparkSession, rows: list[dict[str, Any]], schema: str = TEXTS, **options: Any) -> list[Row]:
    """The judgement of each row, in the order of the rows: their uris are replaced by numbered ones if not given."""
    numbered = [{"uri": f"{number:06d}.jpg"} | row for number, row in enumerate(rows)]
    judged = judge_files(frame(spark, numbered, schema), source="s", project="p", **{"dataset": "d"} | options)
    return sorted(judged.collect(), key=lambda row: row["uri"] or "")


def utc(*parts: int) -> dt.datetime:
    return dt.datetime(*parts)  # type: ignore[arg-type]


TIMES: list[tuple[str, dt.datetime | None, str | None, int | None]] = [
    ("2010-08-03T10:15:19", utc(2010, 8, 3, 10, 15, 19), "local", None),
    ("2010:08:03 10:15:19", utc(2010, 8, 3, 10, 15, 19), "local", None),
    ("2010/08/03 10:15", utc(2010, 8, 3, 10, 15), "local", None),
    ("2010-08-03", utc(2010, 8, 3), "local", None),
    (" 2010-08-03T10:15:19.1234567Z ", utc(2010, 8, 3, 10, 15, 19, 123456), "instant", None),
    ("2010-08-03t10:15:19,5z", utc(2010, 8, 3, 10, 15, 19, 500000), "instant", None),
    ("2010-08-03 10:15:19 UTC", utc(2010, 8, 3, 10, 15, 19), "instant", None),
    ("2010-08-03T10:15:19-00:00", utc(2010, 8, 3, 10, 15, 19), "instant", None),
    ("2010-08-03T10:15:19+08:00", utc(2010, 8, 3, 2, 15, 19), "offset", 480),
    ("2010-08-03T10:15:19+0530", utc(2010, 8, 3, 4, 45, 19), "offset", 330),
    ("2010-08-03T10:15:19 -06", utc(2010, 8, 3, 16, 15, 19), "offset", -360),
    ("2010-08-03T10:15:19+00:00", utc(2010, 8, 3, 10, 15, 19), "offset", 0),
    ("2011-12-31T23:59:59.011643661+14:00", utc(2011, 12, 31, 9, 59, 59, 11643), "offset", 840),
    ("2012-02-29 00:00:00", utc(2012, 2, 29), "local", None),
    ("1280830519", utc(2010, 8, 3, 10, 15, 19), "instant", None),
    ("1280830519.25", utc(2010, 8, 3, 10, 15, 19, 250000), "instant", None),
    ("1280830519250", utc(2010, 8, 3, 10, 15, 19, 250000), "instant", None),
    ("1280830519250001", utc(2010, 8, 3, 10, 15, 19, 250001), "instant", None),
    ("0000:00:00 00:00:00", None, None, None),
    ("    :  :     :  :  ", None, None, None),
    ("", None, None, None),
    ("0", None, None, None),
]

BAD_TIMES = [
    "2010-02-29",
    "2010-13-01",
    "2010-00-10",
    "2010-01-32",
    "2010-01-01 24:00:00",
    "2010-01-01 25:00",
    "2010-01-01 10:60",
    "2016-12-31T23:59:60Z",
    "0000-01-01 10:00:00",
    "10000-01-01",
    "-2010-01-01",
    "2010",
    "2010-1",
    "2010-1-1",
    "2010-01:01",
    "10:15:19",
    "now",
    "epoch",
    "2010-01-01 10:00:00 PM",
    "2010-01-01 10:00:00 Europe/Paris",
    "2010-01-01+08:00",
    "2010-01-01T10:00:00+8",
    "2010-01-01T10:00:00+08:60",
    "2010-01-01T10:00:00\n2010",
    "20100803",
    "201008031015",
    "20100803101519",
    "12345678901",
    "99999999999999999999999",
    "0001-01-01T00:00:00+08:00",
    "9999-12-31T23:59:59-01:00",
    "\u0662\u0660\u0661\u0660-01-01",
]


def test_times_say_what_is_written(spark: SparkSession) -> None:
    rows = judge(spark, [{"produce_time": text} for text, *_ in TIMES])
    found = [(row["produce_time"], row["time_is"], row["utc_offset"], row["reason"]) for row in rows]
    assert found == [(moment, says, offset, None) for _, moment, says, offset in TIMES]
    assert rows[0]["produce_time_raw"] == "2010-08-03T10:15:19"


def test_texts_that_are_no_time_are_refused(spark: SparkSession) -> None:
    rows = judge(spark, [{"produce_time": text} for text in BAD_TIMES])
    assert [(row["row"], row["reason"]) for row in rows if row["reason"] != "bad_time"] == []
    offsets = [{"produce_time": f"2010-01-01T10:00:00{zone}"} for zone in ("+18:00", "-12:30", "+14:01", "-99:59")]
    assert {row["reason"] for row in judge(spark, offsets)} == {"utc_offset_invalid"}


def test_sources_may_say_what_their_times_mean(spark: SparkSession) -> None:
    texts = ["2010-08-03T10:00:00", "2010-08-03T10:00:00+08:00", "2010-08-03T10:00:00Z", "2010-08-03", "1280829600"]

    def hours(time_is: str) -> list[tuple[Any, ...]]:
        rows = judge(spark, [{"produce_time": text} for text in texts], time_is=time_is)
        return [
            (row["produce_time"] and row["produce_time"].hour, row["utc_offset"], row["reason"] or row["time_is"])
            for row in rows
        ]

    assert hours("local") == [(10, None, "local")] * 3 + [(0, None, "local"), (10, None, "local")]
    assert hours("instant") == [
        (10, None, "instant"),
        (2, None, "instant"),
        (10, None, "instant"),
        (None, None, "bad_time"),
        (10, None, "instant"),
    ]
    without = (None, None, "time_without_offset")
    assert hours("offset") == [without, (2, 480, "offset"), (10, 0, "offset"), without, without]
    with pytest.raises(UsageError, match="wall"):
        judge(spark, [{}], time_is="wall")


def test_rows_may_say_what_their_time_means(spark: SparkSession) -> None:
    rows = judge(
        spark,
        [
            {"produce_time": "2010-08-03T10:00:00", "utc_offset": "480"},
            {"produce_time": "2010-08-03T02:00:00Z", "utc_offset": "480"},
            {"produce_time": "2010-08-03T10:00:00Z", "time_is": "LOCAL"},
            {"time_is": "local", "utc_offset": "60"},
            {"produce_time": "2010-08-03T10:00:00", "utc_offset": "900"},
            {"produce_time": "2010-08-03T10:00:00", "time_is": "mine"},
        ],
    )
    found = [(row["produce_time"], row["time_is"], row["utc_offset"], row["reason"]) for row in rows]
    assert found[:4] == [
        (utc(2010, 8, 3, 2), "offset", 480, None),
        (utc(2010, 8, 3, 2), "offset", 480, None),
        (utc(2010, 8, 3, 10), "local", None, None),
        (None, None, None, None),
    ]
    assert [reason for *_, reason in found[4:]] == ["utc_offset_invalid", "time_is_unknown"]


TYPED_TIMES: list[tuple[str, dt.datetime | None, str | None]] = [
    ("timestamp'2010-08-03 10:15:19.5'", utc(2010, 8, 3, 10, 15, 19, 500000), "instant"),
    ("timestamp_ntz'2010-08-03 10:15:19'", utc(2010, 8, 3, 10, 15, 19), "local"),
    ("date'2010-08-03'", utc(2010, 8, 3), "local"),
    ("1280830519L", utc(2010, 8, 3, 10, 15, 19), "instant"),
    ("1280830519.5D", utc(2010, 8, 3, 10, 15, 19, 500000), "instant"),
    ("double('Infinity')", None, None),
    ("20100803", None, None),
    ("1280830519.25BD", utc(2010, 8, 3, 10, 15, 19, 250000), "instant"),
]


def test_times_of_other_types(spark: SparkSession) -> None:
    raw = spark.sql("SELECT " + ", ".join(f"{sql} AS t{n}" for n, (sql, *_) in enumerate(TYPED_TIMES)))
    columns = []
    for field in raw.schema.fields:
        written = written_time(F.col(field.name), field.dataType)
        assert written is not None
        nothing = F.lit(None)
        moment, says, _ = settled_time(written, nothing.cast("string"), nothing.cast("int"))
        columns.append(F.struct(moment.alias("moment"), says.alias("says")).alias(field.name))
    (row,) = raw.select(*columns).collect()
    assert [tuple(time) for time in row] == [(moment, says) for _, moment, says in TYPED_TIMES]
    assert written_time(F.lit(True), BooleanType()) is None


def test_columns_without_times(spark: SparkSession) -> None:
    for missing in ("null", "0", "double('NaN')"):
        raw = spark.sql(f"SELECT 'a.jpg' AS uri, {missing} AS produce_time")
        (row,) = judge_files(raw, source="s", project="p", dataset="d").collect()
        assert (row["produce_time"], row["time_is"], row["reason"]) == (None, None, None)


@SETTINGS
@given(
    st.lists(
        st.tuples(
            st.datetimes(dt.datetime(2, 1, 1), dt.datetime(9998, 12, 30)),
            st.one_of(st.none(), st.integers(-720, 840)),
            st.sampled_from(["T", " "]),
        ),
        min_size=200,
        max_size=200,
    )
)
def test_times_are_read_as_python_reads_them(
    spark: SparkSession, times: list[tuple[dt.datetime, int | None, str]]
) -> None:
    zones = [None if offset is None else dt.timezone(dt.timedelta(minutes=offset)) for _, offset, _ in times]
    texts = [t.replace(tzinfo=zone).isoformat(sep) for (t, _, sep), zone in zip(times, zones, strict=True)]
    rows = judge(spark, [{"produce_time": text} for text in texts])
    for row, text in zip(rows, texts, strict=True):
        read = dt.datetime.fromisoformat(text)
        instant = read if read.tzinfo is None else read.astimezone(dt.UTC).replace(tzinfo=None)
        assert (row["reason"], row["produce_time"]) == (None, instant), text


VALUES: list[tuple[str, str, Any]] = [
    ("latitude", "abc", "latitude_not_a_number"),
    ("latitude", "30,25", "latitude_not_a_number"),
    ("latitude", "30°15'", "latitude_not_a_number"),
    ("latitude", "0x1F", "latitude_not_a_number"),
    ("latitude", "90.0000001", "latitude_out_of_range"),
    ("latitude", "1e400", "latitude_out_of_range"),
    ("latitude", "-Infinity", "latitude_out_of_range"),
    ("latitude", "30.25", "coordinates_incomplete"),
    ("longitude", "-181", "longitude_out_of_range"),
    ("longitude", "E120", "longitude_not_a_number"),
    ("longitude", "120", "coordinates_incomplete"),
    ("latitude", "NaN", None),
    ("size", "12", 12),
    ("size", "12.0", 12),
    ("size", "9223372036854775807", 2**63 - 1),
    ("size", "9223372036854775808", "size_invalid"),
    ("size", "-1", "size_invalid"),
    ("size", "1e3", "size_invalid"),
    ("size", "12.5", "size_invalid"),
    ("size", "12kB", "size_invalid"),
    ("image_width", "0", "image_width_invalid"),
    ("image_height", "2147483648", "image_height_invalid"),
    ("orientation", "6", 6),
    ("orientation", "0", "orientation_invalid"),
    ("duration", "12.5", 12.5),
    ("duration", "nan", None),
    ("duration", "-1", "duration_invalid"),
    ("duration", "inf", "duration_invalid"),
    ("file_hash", '"D41D8CD98F00B204E9800998ECF8427E-2"', "D41D8CD98F00B204E9800998ECF8427E-2"),
    ("file_hash", "1B2M2Y8AsgTpgAmY7PhCfg==", "1B2M2Y8AsgTpgAmY7PhCfg=="),
    ("file_hash", "no hash", "file_hash_invalid"),
    ("content_hash", "AB" * 32, "ab" * 32),
    ("content_hash", "ab" * 31, "content_hash_invalid"),
    ("content_hash", "g" * 64, "content_hash_invalid"),
    ("perceptual_hash", "0f" * 32, "0f" * 32),
    ("perceptual_hash", "0f", "perceptual_hash_invalid"),
    ("perceptual_hash_quality", "101", "perceptual_hash_quality_invalid"),
    ("image_score", "1.01", "image_score_invalid"),
    ("image_score", "0.5", 0.5),
    ("title", "  ", None),
    ("title", "caf\ufffd", "text_not_utf8"),
    ("title", "x" * 65_537, "text_too_long"),
    ("labels", "sea, sand,,sea", ["sea", "sand"]),
    ("labels", '["a, b", "", "c"]', ["a, b", "c"]),
    ("labels", "[]", None),
    ("labels", "[1", "labels_invalid"),
    ("labels", "caf\ufffd", "text_not_utf8"),
    ("address", '{"country": " China ", "city": ""}', Row(country="China", **dict.fromkeys(LEVELS[1:]))),
    ("address", "{}", None),
    ("address", "12 Main Street", "address_invalid"),
    ("address", '{"country": ', "address_invalid"),
    ("address", '["China"]', "address_invalid"),
    ("address", '{"country": "caf\ufffd"}', "text_not_utf8"),
    ("embedding", "[0.5, 1]", [0.5, 1.0]),
    ("embedding", "[]", None),
    ("embedding", "[0.5, NaN]", "embedding_invalid"),
    ("embedding", "[0.5, null]", "embedding_invalid"),
    ("embedding", "[1e300]", "embedding_invalid"),
    ("embedding", "0.5 1", "embedding_invalid"),
    ("content_type", "Image/JPEG", "image/jpeg"),
    ("content_type", "jpeg", "content_type_invalid"),
    ("media_type", "VIDEO", "video"),
    ("media_type", "document", "media_type_unknown"),
    ("uri", " ", "uri_missing"),
    ("uri", "a\x00b.jpg", "uri_invalid"),
    ("uri", "a\u0085b.jpg", "uri_invalid"),
    ("uri", '{"a": 1}', "uri_invalid"),
    ("uri", "caf\ufffd.jpg", "text_not_utf8"),
    ("uri", "é" * 2049 + ".jpg", "uri_too_long"),
    ("uri", "[2010] trip/x.jpg", "[2010] trip/x.jpg"),
    ("dataset_name", "1abc", "dataset_invalid"),
    ("dataset_name", "abc\n", "dataset_invalid"),
    ("dataset_name", "_a-1", "_a-1"),
]


def test_values_are_taken_or_refused(spark: SparkSession) -> None:
    numbered = [{"uri": f"{n:03d}.jpg", "title": f"{n}"} for n in range(len(VALUES))]
    rows = [base | {field: text} for base, (field, text, _) in zip(numbered, VALUES, strict=True)]
    for found, (field, text, expected) in zip(judge_in_order(spark, rows), VALUES, strict=True):
        if isinstance(expected, str) and expected in REASONS:
            assert found["reason"] == expected, (field, text, found)
            assert found["message"].startswith(f"{field}: ") or expected == "media_type_unknown"
        else:
            assert (found["reason"], found[field]) == (None, expected), (field, text, found)


def test_features_that_are_bytes(spark: SparkSession) -> None:
    rows = [
        {"crop_hashes": bytes(128), "turned_hashes": bytes(224), "thumbnail": bytes(1024)},
        {"crop_hashes": bytes(96)},
        {"turned_hashes": bytes(223)},
        {"thumbnail": bytes(1)},
        {"thumbnail": b""},
    ]
    judged = judge(spark, rows, "uri string, crop_hashes binary, turned_hashes binary, thumbnail binary")
    reasons = ["crop_hashes_invalid", "turned_hashes_invalid", "thumbnail_invalid"]
    assert [row["reason"] for row in judged] == [None, *reasons, None]
    assert {name: judged[0][name] for name in rows[0]} == rows[0]
    assert judged[3]["message"] == "thumbnail: 1 bytes; 1,024 bytes is accepted"
    assert judged[4]["thumbnail"] is None
    (link,) = judge(spark, [{"thumbnail": "https://a/b.jpg"}])  # a thing of the source's own
    assert (link["thumbnail"], link["reason"]) == (None, None)


def judge_in_order(spark: SparkSession, rows: list[dict[str, Any]]) -> list[Row]:
    """The judgement of each row, found again by the number in its JSON, whatever became of its uri."""
    raw = frame(spark, [{"number": n} | row for n, row in enumerate(rows)], f"number int, {TEXTS}")
    judged = judge_files(raw, source="s", project="p", dataset="d").collect()
    return sorted(judged, key=lambda row: json.loads(row["row"])["number"])


def test_places_at_the_edges_of_the_map(spark: SparkSession) -> None:
    places = [("90", "180"), ("-90", "-180"), ("0", "5"), ("5", "0"), ("0", "0.0"), ("-0.0", "0"), ("", "nan")]
    rows = judge(spark, [{"latitude": lat, "longitude": lon} for lat, lon in places])
    expected = [(90, 180), (-90, -180), (0, 5), (5, 0), (None, None), (None, None), (None, None)]
    assert [(row["latitude"], row["longitude"], row["reason"]) for row in rows] == [
        (*place, None) for place in expected
    ]


def test_media_types_are_told_by_content_type_or_suffix(spark: SparkSession) -> None:
    cases = [
        ("a.bin", "video/mp4", "video"),
        ("b.HEIC?version=2", None, "image"),
        ("c.mov", "application/octet-stream", "video"),
        ("d.jpg", "application/pdf", None),
        ("e", None, None),
    ]
    rows = judge(spark, [{"uri": uri, "content_type": content} for uri, content, _ in cases])
    assert [row["media_type"] for row in rows] == [media for *_, media in cases]
    assert [row["reason"] for row in rows] == [None] * 3 + ["media_type_unknown"] * 2


def test_what_does_not_tell_its_media_type_is_what_the_user_says(spark: SparkSession) -> None:
    cases = [{"uri": "8081096419"}, {"uri": "1.mov"}, {"uri": "2", "content_type": "application/pdf"}]
    rows = judge(spark, cases, media_type="image")
    assert [row["media_type"] or row["reason"] for row in rows] == ["video", "media_type_unknown", "image"]
    with pytest.raises(UsageError, match="--media-type 'photo': image or video is accepted"):
        judge(spark, cases, media_type="photo")


def test_typed_columns(spark: SparkSession) -> None:
    raw = spark.sql(
        """SELECT 7 AS uri, 'image' AS media_type, float(30.5) AS latitude, 120.25 AS longitude, 12.0D AS size,
        named_struct('City', 'Hangzhou', 'x', 1) AS address, array('a', null) AS labels, array(1.5D) AS embedding,
        smallint(3) AS orientation, 4032BD AS image_width, null AS title"""
    )
    (row,) = judge_files(raw, source="s", project="p", dataset="d").collect()
    assert row["reason"] is None, row
    assert (row["uri"], row["latitude"], row["longitude"], row["size"]) == ("7", 30.5, 120.25, 12)
    assert (row["address"]["city"], row["labels"], row["embedding"]) == ("Hangzhou", ["a"], [1.5])
    assert (row["orientation"], row["image_width"], row["title"]) == (3, 4032, None)
    raw = spark.sql("SELECT 'a.jpg' AS uri, map('country', 'China') AS address, double('NaN') AS duration")
    (row,) = judge_files(raw, source="s", project="p", dataset="d").collect()
    assert (row["address"]["country"], row["duration"], row["reason"]) == ("China", None, None)


def test_impossible_columns_are_one_error_of_the_source(spark: SparkSession) -> None:
    raw = spark.sql("SELECT named_struct('a', 1) AS uri, true AS size, array('x') AS produce_time")
    with pytest.raises(SourceError, match=r"uri is struct.*size is boolean|size is boolean.*uri is struct") as error:
        judge_files(raw, source="s", project="p", dataset="d")
    assert "produce_time is array<string>" in str(error.value)
    with pytest.raises(SourceError, match="no column uri; it has name"):
        judge_files(spark.sql("SELECT 1 AS name"), source="s", project="p", dataset="d")
    with pytest.raises(UsageError, match="--dataset"):
        judge_files(spark.sql("SELECT 'a' AS uri"), source="s", project="p")


def test_rows_go_to_their_dataset_else_to_the_one_given(spark: SparkSession) -> None:
    rows = judge(spark, [{"dataset_name": "own"}, {}, {"dataset_name": " "}])
    assert [row["dataset_name"] for row in rows] == ["own", "d", "d"]
    assert [row["reason"] for row in judge(spark, [{"dataset_name": "own"}, {}], dataset=None)] == [
        None,
        "dataset_missing",
    ]


def test_one_row_per_uri_is_accepted_whatever_the_order(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        {"uri": "a.jpg", "title": "old", "update_time": "2020-01-01T00:00:00Z"},
        {"uri": "a.jpg", "title": "new", "update_time": "2021-01-01T00:00:00Z"},
        {"uri": "a.jpg", "title": "undated"},
        {"uri": "a.jpg", "title": "new", "update_time": "2021-01-01T00:00:00Z"},
        {"uri": "a.jpg", "title": "refused", "size": "-1", "update_time": "2022-01-01T00:00:00Z"},
        {"uri": "a.jpg", "title": "refused", "size": "-1", "update_time": "2022-01-01T00:00:00Z"},
        {"uri": "b.jpg"},
    ]
    seen = []
    few = partial(refuse_few_duplicates, keep=DataFrame.cache)
    for order, most, function in ((rows, 9, refuse_duplicates), (rows[::-1], 9, few), (rows, 1, few)):
        monkeypatch.setattr(validation, "MOST_DOUBTFUL", most)
        asked: dict[str, Any] = {"source": "s", "project": "p", "dataset": "d", "refuse_duplicates": function}
        found = from_frame(judge_files(frame(spark, order, TEXTS).repartition(3), **asked))
        assert len(found) == len(rows)
        assert {(r["uri"], r["title"]) for r in accepted(found).to_pylist()} == {("a.jpg", "new"), ("b.jpg", None)}
        bad = refused(found, dataset=None, now=utc(2026, 1, 1)).to_pylist()
        assert sorted(r["reason"] for r in bad) == ["duplicate_uri"] * 3 + ["size_invalid"] * 2
        assert len({r["reject_id"] for r in bad}) == 5
        seen.append({tuple(r.values()) for r in bad})
    assert seen[0] == seen[1] == seen[2]
    judged = judge_files(frame(spark, rows[-1:], TEXTS), **(asked | {"refuse_duplicates": few}))
    assert [(r["uri"], r["reason"], r["ordinal"]) for r in judged.collect()] == [("b.jpg", None, 0)]


def test_a_uri_that_repeats_without_end(spark: SparkSession) -> None:
    raw = spark.range(100_000).selectExpr("'x.jpg' AS uri", "id % 10 AS size")
    judged = judge_files(raw, source="s", project="p", dataset="d")
    counts = {row["reason"]: row["count"] for row in judged.groupBy("reason").count().collect()}
    assert counts == {None: 1, "duplicate_uri": 99_999}


def test_results_have_the_types_of_the_tables(spark: SparkSession) -> None:
    judged = judge_files(frame(spark, [], TEXTS), source="s", project="p", dataset="d")
    types = {field.name: plain(field.type) for field in arrow_schema(judged)}
    for contract, exempt in (
        (FILES, {"bucket", "object_id", "create_time", "update_time", "deleted_time", "moved_to", "run_id"}),
    ):
        wanted = {c.name: plain(c.type) for c in contract.columns if c.name not in exempt}
        assert {name: types.get(name) for name in wanted} == wanted
    features = (*PIXEL_FEATURES, "embedding")
    assert [types[name] for name in features] == [
        plain(FILE_FEATURES.arrow_schema.field(name).type) for name in features
    ]
    faces = judge_figures(spark.sql("SELECT 'a' AS uri, 'f' AS figure_id"), source="s", project="p", dataset="d")
    types = {field.name: plain(field.type) for field in arrow_schema(faces)}
    wanted = {
        c.name: plain(c.type) for c in FIGURES.columns if c.name not in ("bucket", "object_id", "update_time", "run_id")
    }
    assert {name: types.get(name) for name in wanted} == wanted


def arrow_schema(df: DataFrame) -> Any:
    return df.limit(0).toArrow().schema


ANYTHING = st.one_of(
    st.none(),
    st.text(max_size=20),
    st.sampled_from(["{", "[", "[[]]", '{"country":1}', "-", "1e999", "0x", "2010-", "\x00", "9" * 40, "2010-02-30"]),
    st.floats().map(str),
    st.integers().map(str),
    st.datetimes().map(str),
)


@SETTINGS
@given(st.lists(st.dictionaries(st.sampled_from(FILE_FIELDS), ANYTHING, max_size=6), min_size=200, max_size=200))
def test_any_row_gives_one_row_and_a_known_reason(spark: SparkSession, rows: list[dict[str, Any]]) -> None:
    judged = judge(spark, [{"uri": f"{n}.jpg"} | row for n, row in enumerate(rows)])
    assert len(judged) == len(rows)
    assert {row["reason"] for row in judged} <= {None, *REASONS}
    for row in judged:
        assert (row["reason"] is None) == (row["message"] is None)
        assert row["row"]


def test_mapping_reaches_into_structs_and_json(spark: SparkSession) -> None:
    raw = spark.sql(
        """SELECT 'x' AS town, named_struct('lat', 1.0D, 'lon', 2.0D) AS gps, 'a.jpg' AS path, 'b' AS `odd.name`,
        named_struct('city', 'y') AS address, map('k', 'v') AS extra"""
    )
    mapping = {
        "town": "address.township",
        "gps.lat": "latitude",
        "gps.lon": "longitude",
        "path": "uri",
        "odd.name": "title",
        "extra.k": "camera_make",
    }
    (row,) = judge_files(map_columns(raw, mapping), source="s", project="p", dataset="d").collect()
    assert (row["uri"], row["latitude"], row["longitude"], row["title"]) == ("a.jpg", 1.0, 2.0, "b")
    assert (row["address"]["township"], row["address"]["city"], row["camera_make"]) == ("x", "y", "v")


@pytest.mark.parametrize(
    ("mapping", "told"),
    [
        ({"twon": "title"}, "no column 'twon'; it has town, gps"),
        ({"gps.lot": "latitude"}, "its fields are lat, lon"),
        ({"town.x": "title"}, "it is string"),
        ({"town": "tittle"}, "no field 'tittle'; accepted are dataset_name, uri"),
        ({"town": "address.village"}, "no field 'address.village'"),
        ({"town": "title", "gps": "title"}, "title more than once"),
        ({"town": "address.city", "gps": "address"}, "address whole and in parts"),
    ],
)
def test_mapping_errors_say_what_exists(spark: SparkSession, mapping: dict[str, str], told: str) -> None:
    raw = spark.sql("SELECT 'x' AS town, named_struct('lat', 1.0D, 'lon', 2.0D) AS gps")
    with pytest.raises(UsageError, match=told):
        map_columns(raw, mapping)


IMM_FILE = {
    "URI": "oss://bucket/1.jpg",
    "DatasetName": "ada",
    "MediaType": "image",
    "Size": "1024",
    "ETag": '"D41D8CD98F00B204E9800998ECF8427E"',
    "ProduceTime": "2021-06-29T14:50:13.011643661+08:00",
    "LatLong": "30.134390,120.074997",
    "Addresses": '[{"Language":"zh-Hans","City":"杭州市"},{"Language":"en-US","Country":"China","City":"Hangzhou"}]',
    "ImageWidth": "4032",
    "Labels": '[{"LabelName":"sea","LabelConfidence":0.9},{"LabelName":"sky"}]',
    "ImageScore": '{"OverallQualityScore":0.71}',
    "EXIF": '{"Make":{"value":"Apple"}}',
    "Figures": '[{"FigureId":"f1","Boundary":{"Left":1,"Top":2,"Width":80,"Height":90},"FaceQuality":0.9,'
    '"HeadPose":{"Yaw":1.5,"Pitch":2,"Roll":-3},"Age":30,"Gender":"Female"},{"FigureId":"f2"}]',
}
IMM_SCHEMA = ", ".join(f"{name} string" for name in IMM_FILE)


def test_imm_files(spark: SparkSession) -> None:
    raw = frame(spark, [IMM_FILE], IMM_SCHEMA)
    (row,) = judge_files(from_imm(raw), source="s", project="p").collect()
    assert row["reason"] is None, row
    assert (row["dataset_name"], row["uri"], row["size"]) == ("ada", "oss://bucket/1.jpg", 1024)
    assert (row["latitude"], row["longitude"], row["utc_offset"]) == (30.13439, 120.074997, 480)
    assert row["produce_time"] == utc(2021, 6, 29, 6, 50, 13, 11643)
    assert (row["address"]["city"], row["labels"], row["image_score"]) == ("Hangzhou", ["sea", "sky"], 0.71)
    assert (row["file_hash"], row["camera_make"]) == ("D41D8CD98F00B204E9800998ECF8427E", "Apple")
    chinese, other = (from_imm(raw, language=language).first()["address"] for language in ("zh", "fr"))
    assert chinese == other == '{"city":"杭州市"}'


def test_what_imm_says_and_no_column_holds_is_kept(spark: SparkSession) -> None:
    face = {
        "FigureId": "f",
        "Age": 30,
        "FigureClusterId": "Cluster-1",
        "Emotion": "happiness",
        "EmotionConfidence": 0.75,
    }
    file = {
        "URI": "1.jpg",
        "ObjectId": "x",
        "Size": 7,
        "CustomId": "c-1",
        "CustomLabels": {"season": "spring", "count": 3, "gone": None},
        "ETag": '"0123"',
        "Labels": [{"LabelName": "sea", "LabelConfidence": 0.875}],
        "OCRContents": [],
        "Artist": "",
        "VideoWidth": 1920,
        "OSSUserMeta": {"k": "v"},
        "Figures": [face],
        "NewField": [1.5],
    }
    texts = {name: text if isinstance(text, str) else json.dumps(text) for name, text in file.items()}
    raw = frame(spark, [texts | {ROW: json.dumps(file)}], ", ".join(f"{name} string" for name in (*file, ROW)))
    (row,) = judge_files(from_imm(raw), source="s", project="p", dataset="d").collect()
    assert (row["reason"], row["custom_id"]) == (None, "c-1")
    assert row["custom_labels"] == {"season": "spring", "count": "3"}
    kept = ("ETag", "Labels", "VideoWidth", "OSSUserMeta", "NewField")
    assert json.loads(row["attributes"]) == {name: file[name] for name in kept}
    (judged,) = judge_figures(figures_from_imm(raw), source="s", project="p", dataset="d").collect()
    assert json.loads(judged["attributes"]) == {"Emotion": "happiness", "EmotionConfidence": 0.75}


LABELS: list[tuple[str, dict[str, str] | None, str | None]] = [
    ('{"a": "b", "n": 1.5, "x": null, "l": ["c"]}', {"a": "b", "n": "1.5", "l": '["c"]'}, None),
    ("{}", None, None),
    (" ", None, None),
    ('{"": "b"}', None, "custom_labels_invalid"),
    ('["a"]', None, "custom_labels_invalid"),
    ("season", None, "custom_labels_invalid"),
]


def test_custom_labels_as_text(spark: SparkSession) -> None:
    judged = judge(spark, [{"custom_labels": text} for text, _, _ in LABELS])
    assert [(row["custom_labels"], row["reason"]) for row in judged] == [(made, reason) for _, made, reason in LABELS]


def test_labels_and_attributes_of_a_table(spark: SparkSession) -> None:
    raw = spark.sql(
        """SELECT 'a.jpg' AS uri, map('k', 'v', 'n', null) AS custom_labels, named_struct('Mask', 'none') AS attributes,
        'x' AS town"""
    )
    (row,) = judge_files(raw, source="s", project="p", dataset="d").collect()
    assert (row["custom_labels"], row["attributes"]) == ({"k": "v"}, '{"Mask":"none"}')
    mapped = map_columns(raw.drop("custom_labels"), {"town": "custom_labels.town"})
    (row,) = judge_files(mapped, source="s", project="p", dataset="d").collect()
    assert row["custom_labels"] == {"town": "x"}


@pytest.mark.parametrize(
    ("text", "reason"),
    [('{"a":1}', None), ("{}", None), ("[1]", "attributes_invalid"), ('{"a":"' + "x" * 2**20 + '"}', "text_too_long")],
)
def test_attributes_as_text(spark: SparkSession, text: str, reason: str | None) -> None:
    (row,) = judge(spark, [{"attributes": text}])
    assert row["reason"] == reason


BROKEN_IMM: list[tuple[str, str | None, str | None]] = [
    ("LatLong", "30.1", "coordinates_incomplete"),
    ("LatLong", "north,east", "latitude_not_a_number"),
    ("LatLong", "1,2,3", "longitude_not_a_number"),
    ("LatLong", "", None),
    ("Addresses", "[", "address_invalid"),
    ("Addresses", "[]", None),
    ("Labels", "[{", "labels_invalid"),
    ("MediaType", "audio", "media_type_unknown"),
    ("URI", None, "uri_missing"),
]


def test_broken_imm_files_are_refused(spark: SparkSession) -> None:
    rows = [
        IMM_FILE | {"URI": f"{n}.jpg", "CustomId": f"{n}", field: text} for n, (field, text, _) in enumerate(BROKEN_IMM)
    ]
    raw = frame(spark, rows, IMM_SCHEMA + ", CustomId string")
    judged = judge_files(from_imm(raw), source="s", project="p").collect()
    reasons = {int(json.loads(row["row"])["CustomId"]): row["reason"] for row in judged}
    assert reasons == {n: reason for n, (*_, reason) in enumerate(BROKEN_IMM)}


def test_imm_figures(spark: SparkSession) -> None:
    rows = [
        IMM_FILE,
        {"URI": "none.jpg", "DatasetName": "ada"},
        {"URI": "bad.jpg", "DatasetName": "ada", "Figures": "[{"},
    ]
    faces = figures_from_imm(frame(spark, rows, IMM_SCHEMA))
    judged = {row["figure_id"]: row for row in judge_figures(faces, source="s", project="p").collect()}
    assert set(judged) == {"f1", "f2", None}
    assert judged["f1"]["boundary"] == Row(left=1, top=2, width=80, height=90)
    assert judged["f1"]["head_pose"] == Row(yaw=1.5, pitch=2.0, roll=-3.0)
    assert (judged["f1"]["gender"], judged["f1"]["age"]) == ("female", 30)
    assert (judged["f2"]["boundary"], judged["f2"]["reason"]) == (None, None)
    assert judged[None]["reason"] == "json_malformed"


FACES: list[tuple[dict[str, Any], str | None]] = [
    ({"figure_id": "a", "left": 1, "yaw": 2.5, "embedding": [0.5]}, None),
    ({"figure_id": None}, "figure_id_missing"),
    ({"figure_id": "b\n"}, "figure_id_invalid"),
    ({"figure_id": "c", "width": 0.0}, "boundary_invalid"),
    ({"figure_id": "d", "width": 10.5}, "boundary_invalid"),
    ({"figure_id": "e", "yaw": 181.0}, "head_pose_invalid"),
    ({"figure_id": "f", "face_quality": 1.5}, "face_quality_invalid"),
    ({"figure_id": "g", "gender": "robot"}, "gender_invalid"),
    ({"figure_id": "h", "age": -1}, "age_invalid"),
    ({"figure_id": "i", "embedding": [float("nan")]}, "embedding_invalid"),
    ({"figure_id": "j", "file_uri": ""}, "uri_missing"),
]
FACE_SCHEMA = (
    "figure_id string, file_uri string, left int, width double, yaw double, face_quality float, gender string, "
    "age int, embedding array<float>"
)


def test_faces(spark: SparkSession) -> None:
    rows = [{"file_uri": "a.jpg"} | row for row, _ in FACES] + [{"file_uri": "b.jpg", "figure_id": "a"}]
    judged = judge_figures(frame(spark, rows, FACE_SCHEMA), source="s", project="p", dataset="d").collect()
    reasons = sorted((row["figure_id"] or "", row["reason"] or "") for row in judged)
    expected = [(row["figure_id"] or "", reason or "") for row, reason in FACES] + [("a", "duplicate_figure")]
    assert reasons == sorted(expected)


def test_boxes_in_json(spark: SparkSession) -> None:
    boxes = ['{"left": 1, "top": 2}', "[1]", '{"left": ']
    raw = spark.createDataFrame(
        [("a.jpg", f"f{n}", box) for n, box in enumerate(boxes)], "uri string, figure_id string, boundary string"
    )
    judged = sorted(
        judge_figures(raw, source="s", project="p", dataset="d").collect(), key=lambda row: row["figure_id"]
    )
    assert judged[0]["boundary"] == Row(left=1, top=2, width=None, height=None)
    assert [row["reason"] for row in judged] == [None, "boundary_invalid", "boundary_invalid"]
