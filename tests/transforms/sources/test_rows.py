"""Rows of sources: tables of values and what becomes of them, and what must hold for any row."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from schemas.contract import LEVELS, plain
from schemas.errors import SourceError, UsageError
from schemas.figures import FIGURES
from schemas.file_features import FILE_FEATURES, PIXEL_FEATURES
from schemas.files import FILES
from schemas.reasons import REASONS
from transforms.sources.duplicates import Duplicates
from transforms.sources.rows import BINARY_FEATURES, RULES, judge_figures, judge_files
from transforms.sources.validation import Judge
from transforms.tables.source_columns import FILE_FIELDS, IS_JSON

SETTINGS = settings(max_examples=5, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
TEXTS = {field: pa.string() for field in FILE_FIELDS}
Types = dict[str, pa.DataType]


def table(rows: list[dict[str, Any]], types: Types) -> pa.Table:
    """Rows as a table; columns that a row doesn't name are null."""
    return pa.Table.from_pylist(rows, schema=pa.schema(list(types.items())))


def judged(judge: Judge, rows: pa.Table, *, key: str = "uri", reason: str = "duplicate_uri") -> pa.Table:
    """Rows judged, those that repeat a key refused."""
    texts = lambda positions: judge.texts(rows.take(positions))  # noqa: E731
    return Duplicates(key, reason).refuse(judge(rows), texts=texts)


def dicts(rows: pa.Table) -> list[dict[str, Any]]:
    """Rows with times that name no zone: they are UTC's."""
    cast = [
        field.with_type(pa.timestamp("us")) if pa.types.is_timestamp(field.type) else field for field in rows.schema
    ]
    return rows.cast(pa.schema(cast)).to_pylist(maps_as_pydicts="strict")


def judge_table(rows: pa.Table, **options: Any) -> list[dict[str, Any]]:
    asked: dict[str, Any] = {"source": "s", "project": "p", "dataset": "d"} | options
    return dicts(judged(judge_files(rows.schema, **asked), rows))


def judge(rows: list[dict[str, Any]], types: Types = TEXTS, **options: Any) -> list[dict[str, Any]]:
    """The judgement of each row, in the order of the rows: their uris are replaced by numbered ones if not given."""
    numbered = [{"uri": f"{number:06d}.jpg"} | row for number, row in enumerate(rows)]
    found = judge_table(table(numbered, {"uri": pa.string()} | types), **options)
    return sorted(found, key=lambda row: row["uri"] or "")


def judge_faces(rows: pa.Table, **options: Any) -> list[dict[str, Any]]:
    asked: dict[str, Any] = {"source": "s", "project": "p", "dataset": "d"} | options
    return dicts(judged(judge_figures(rows.schema, **asked), rows, key="figure_id", reason="duplicate_figure"))


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


def test_times_say_what_is_written() -> None:
    rows = judge([{"produce_time": text} for text, *_ in TIMES])
    found = [(row["produce_time"], row["time_is"], row["utc_offset"], row["reason"]) for row in rows]
    assert found == [(moment, says, offset, None) for _, moment, says, offset in TIMES]
    assert rows[0]["produce_time_raw"] == "2010-08-03T10:15:19"


def test_texts_that_are_no_time_are_refused() -> None:
    rows = judge([{"produce_time": text} for text in BAD_TIMES])
    assert [(row["row"], row["reason"]) for row in rows if row["reason"] != "bad_time"] == []
    offsets = [{"produce_time": f"2010-01-01T10:00:00{zone}"} for zone in ("+18:00", "-12:30", "+14:01", "-99:59")]
    assert {row["reason"] for row in judge(offsets)} == {"utc_offset_invalid"}


def test_sources_may_say_what_their_times_mean() -> None:
    texts = ["2010-08-03T10:00:00", "2010-08-03T10:00:00+08:00", "2010-08-03T10:00:00Z", "2010-08-03", "1280829600"]

    def hours(time_is: str) -> list[tuple[Any, ...]]:
        rows = judge([{"produce_time": text} for text in texts], time_is=time_is)
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
        judge([{}], time_is="wall")


def test_rows_may_say_what_their_time_means() -> None:
    rows = judge(
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


INSTANT, LOCAL = pa.timestamp("us", "UTC"), pa.timestamp("us")
TYPED_TIMES: list[tuple[Any, pa.DataType, dt.datetime | None, str | None]] = [
    (utc(2010, 8, 3, 10, 15, 19, 500000), INSTANT, utc(2010, 8, 3, 10, 15, 19, 500000), "instant"),
    (utc(2010, 8, 3, 10, 15, 19), LOCAL, utc(2010, 8, 3, 10, 15, 19), "local"),
    (dt.date(2010, 8, 3), pa.date32(), utc(2010, 8, 3), "local"),
    (1280830519, pa.int64(), utc(2010, 8, 3, 10, 15, 19), "instant"),
    (1280830519.5, pa.float64(), utc(2010, 8, 3, 10, 15, 19, 500000), "instant"),
    (float("inf"), pa.float64(), None, None),
    (20100803, pa.int32(), None, None),
    (Decimal("1280830519.25"), pa.decimal128(12, 2), utc(2010, 8, 3, 10, 15, 19, 250000), "instant"),
]


@pytest.mark.parametrize(("value", "kind", "moment", "says"), TYPED_TIMES)
def test_times_of_other_types(value: Any, kind: pa.DataType, moment: dt.datetime | None, says: str | None) -> None:
    (row,) = judge([{"produce_time": value}], {"produce_time": kind})
    assert (row["produce_time"], row["time_is"]) == (moment, says)
    assert row["reason"] == (None if moment else "bad_time")


def test_columns_without_times() -> None:
    for missing, kind in ((None, pa.null()), (0, pa.int32()), (float("nan"), pa.float64())):
        (row,) = judge([{"produce_time": missing}], {"produce_time": kind})
        assert (row["produce_time"], row["time_is"], row["reason"]) == (None, None, None)


@pytest.mark.long
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
def test_times_are_read_as_python_reads_them(times: list[tuple[dt.datetime, int | None, str]]) -> None:
    zones = [None if offset is None else dt.timezone(dt.timedelta(minutes=offset)) for _, offset, _ in times]
    texts = [t.replace(tzinfo=zone).isoformat(sep) for (t, _, sep), zone in zip(times, zones, strict=True)]
    rows = judge([{"produce_time": text} for text in texts])
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
    ("address", '{"country": " China ", "city": ""}', {"country": "China", **dict.fromkeys(LEVELS[1:])}),
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


def test_values_are_taken_or_refused() -> None:
    numbered = [{"uri": f"{n:03d}.jpg", "title": f"{n}"} for n in range(len(VALUES))]
    rows = [base | {field: text} for base, (field, text, _) in zip(numbered, VALUES, strict=True)]
    for found, (field, text, expected) in zip(judge_in_order(rows), VALUES, strict=True):
        if isinstance(expected, str) and expected in REASONS:
            assert found["reason"] == expected, (field, text, found)
            assert found["message"].startswith(f"{field}: ") or expected == "media_type_unknown"
        else:
            assert (found["reason"], found[field]) == (None, expected), (field, text, found)


def test_features_that_are_bytes() -> None:
    rows = [
        {"crop_hashes": bytes(128), "turned_hashes": bytes(224), "thumbnail": bytes(1024)},
        {"crop_hashes": bytes(96)},
        {"turned_hashes": bytes(223)},
        {"thumbnail": bytes(1)},
        {"thumbnail": b""},
    ]
    judged = judge(rows, {name: pa.binary() for name in rows[0]})
    reasons = ["crop_hashes_invalid", "turned_hashes_invalid", "thumbnail_invalid"]
    assert [row["reason"] for row in judged] == [None, *reasons, None]
    assert {name: judged[0][name] for name in rows[0]} == rows[0]
    assert judged[3]["message"] == "thumbnail: 1 bytes; 1,024 bytes is accepted"
    assert judged[4]["thumbnail"] is None
    (link,) = judge([{"thumbnail": "https://a/b.jpg"}])  # a thing of the source's own
    assert (link["thumbnail"], link["reason"]) == (None, None)


def judge_in_order(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The judgement of each row, found again by its number, whatever became of its uri."""
    numbered = table([{"number": n} | row for n, row in enumerate(rows)], {"number": pa.int32()} | TEXTS)
    return dicts(judge_files(numbered.schema, source="s", project="p", dataset="d")(numbered))


def test_places_at_the_edges_of_the_map() -> None:
    places = [("90", "180"), ("-90", "-180"), ("0", "5"), ("5", "0"), ("0", "0.0"), ("-0.0", "0"), ("", "nan")]
    rows = judge([{"latitude": lat, "longitude": lon} for lat, lon in places])
    expected = [(90, 180), (-90, -180), (0, 5), (5, 0), (None, None), (None, None), (None, None)]
    assert [(row["latitude"], row["longitude"], row["reason"]) for row in rows] == [
        (*place, None) for place in expected
    ]


def test_media_types_are_told_by_content_type_or_suffix() -> None:
    cases = [
        ("a.bin", "video/mp4", "video"),
        ("b.HEIC?version=2", None, "image"),
        ("c.mov", "application/octet-stream", "video"),
        ("d.jpg", "application/pdf", None),
        ("e", None, None),
    ]
    rows = judge([{"uri": uri, "content_type": content} for uri, content, _ in cases])
    assert [row["media_type"] for row in rows] == [media for *_, media in cases]
    assert [row["reason"] for row in rows] == [None] * 3 + ["media_type_unknown"] * 2


def test_what_does_not_tell_its_media_type_is_what_the_user_says() -> None:
    cases = [{"uri": "8081096419"}, {"uri": "1.mov"}, {"uri": "2", "content_type": "application/pdf"}]
    rows = judge(cases, media_type="image")
    assert [row["media_type"] or row["reason"] for row in rows] == ["video", "media_type_unknown", "image"]
    with pytest.raises(UsageError, match="--media-type 'photo': image or video is accepted"):
        judge(cases, media_type="photo")


def test_typed_columns() -> None:
    raw = pa.table(
        {
            "uri": pa.array([7]),
            "media_type": ["image"],
            "latitude": pa.array([30.5], pa.float32()),
            "longitude": pa.array([Decimal("120.25")]),
            "size": [12.0],
            "address": [{"City": "Hangzhou", "x": 1}],
            "labels": [["a", None]],
            "embedding": [[1.5]],
            "orientation": pa.array([3], pa.int16()),
            "image_width": pa.array([Decimal(4032)]),
            "title": pa.nulls(1),
        }
    )
    (row,) = judge_table(raw)
    assert row["reason"] is None, row
    assert (row["uri"], row["latitude"], row["longitude"], row["size"]) == ("7", 30.5, 120.25, 12)
    assert (row["address"]["city"], row["labels"], row["embedding"]) == ("Hangzhou", ["a"], [1.5])
    assert (row["orientation"], row["image_width"], row["title"]) == (3, 4032, None)
    address = pa.array([[("country", "China")]], pa.map_(pa.string(), pa.string()))
    (row,) = judge_table(pa.table({"uri": ["a.jpg"], "address": address, "duration": [float("nan")]}))
    assert (row["address"]["country"], row["duration"], row["reason"]) == ("China", None, None)


def test_impossible_columns_are_one_error_of_the_source() -> None:
    raw = pa.schema(
        [("uri", pa.struct([("a", pa.int32())])), ("size", pa.bool_()), ("produce_time", pa.list_(pa.string()))]
    )
    with pytest.raises(SourceError, match=r"uri is struct.*size is boolean|size is boolean.*uri is struct") as error:
        judge_files(raw, source="s", project="p", dataset="d")
    assert "produce_time is array<string>" in str(error.value)
    with pytest.raises(SourceError, match="no column uri; it has name"):
        judge_files(pa.schema([("name", pa.int32())]), source="s", project="p", dataset="d")
    with pytest.raises(UsageError, match="--dataset"):
        judge_files(pa.schema([("uri", pa.string())]), source="s", project="p")


def test_rows_go_to_their_dataset_else_to_the_one_given() -> None:
    rows = judge([{"dataset_name": "own"}, {}, {"dataset_name": " "}])
    assert [row["dataset_name"] for row in rows] == ["own", "d", "d"]
    assert [row["reason"] for row in judge([{"dataset_name": "own"}, {}], dataset=None)] == [
        None,
        "dataset_missing",
    ]


def test_one_row_per_uri_is_accepted_whatever_the_order() -> None:
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
    for order in (rows, rows[::-1]):
        found = judge_table(table(order, TEXTS))
        assert len(found) == len(rows)
        good = {(row["uri"], row["title"], row["ordinal"]) for row in found if row["reason"] is None}
        assert good == {("a.jpg", "new", 0), ("b.jpg", None, 0)}
        bad = [(row["reason"], row["row"], row["ordinal"], row["message"]) for row in found if row["reason"]]
        assert sorted(reason for reason, *_ in bad) == ["duplicate_uri"] * 3 + ["size_invalid"] * 2
        assert len({(row, ordinal) for _, row, ordinal, _ in bad}) == 5
        seen.append(set(bad))
    assert seen[0] == seen[1]


@pytest.mark.parametrize(
    ("column", "mapping"),
    [
        (pa.array([1577872800000000 + n for n in range(40)], pa.timestamp("us", "UTC")), {"x": "produce_time"}),
        (pa.array([[*range(8), n] for n in range(40)]), {"x": "attributes.x"}),
    ],
    ids=["microseconds", "long lists"],
)
def test_which_row_is_accepted_depends_on_what_their_json_cuts(column: pa.Array, mapping: dict[str, str]) -> None:
    rows = pa.table({"uri": ["a.jpg"] * len(column), "x": column})
    told = ("uri", "produce_time", "attributes")
    found = [
        [tuple(row[name] for name in told) for row in judge_table(each, mapping=mapping) if row["reason"] is None]
        for each in (rows, rows.take(pa.array(range(len(column))[::-1])))
    ]
    assert len(found[0]) == 1
    assert found[0] == found[1]


TAGS = pa.list_(pa.string())
ALIKE: list[tuple[pa.DataType, list[Any]]] = [
    (TAGS, [None, [], [None], [None, None], ["a"], ["a", None], [None, "a"], ["a", "b"]]),
    (pa.list_(TAGS), [None, [], [None], [[]], [["a"], ["b"]], [["a", "b"]], [["a", "b"], []], [["a", "b"], None]]),
    (pa.struct([("t", TAGS)]), [None, {"t": None}, {"t": []}, {"t": [None]}]),
    (pa.map_(pa.string(), TAGS), [None, [], [("a", None)], [("a", [])], [("b", None)]]),
    (pa.list_(pa.float32(), 2), [None, [None, None], [None, 1.0], [1.0, None], [0.0, 1.0]]),
    (pa.string(), [None, "", "a"]),
    (pa.int32(), [None, 0, 1]),
]


@pytest.mark.parametrize(("kind", "values"), ALIKE, ids=lambda what: str(what) if isinstance(what, pa.DataType) else "")
def test_rows_that_differ_have_other_digests(kind: pa.DataType, values: list[Any]) -> None:
    rows = pa.table({"uri": ["a.jpg"] * len(values), "x": pa.array(values, kind)})
    digests = judge_files(rows.schema, source="s", project="p", dataset="d").keys(rows)["source_digest"]
    assert digests.null_count == 0
    assert len(digests.unique()) == len(values)


def test_times_beyond_all_calendars_are_refused_row_by_row() -> None:
    far = [-(2**63), -(2**63) + 1, 2**63 - 2, 2**63 - 1, 10**16, 0]
    for zone in (None, "UTC"):
        times = pa.array(far, pa.timestamp("us", zone))
        rows = judge_table(pa.table({"uri": [f"{n}.jpg" for n in range(len(far))], "produce_time": times}))
        assert sorted(row["reason"] or "" for row in rows) == ["", "", *["bad_time"] * 4]
        assert [row["uri"] for row in rows if row["reason"] is None] == ["4.jpg", "5.jpg"]
        rows = judge_table(pa.table({"uri": [f"{n}.jpg" for n in range(len(far))], "update_time": times, "x": times}))
        assert [row["reason"] for row in rows] == [None] * len(far)
    days = pa.array([200_000_000, -200_000_000, 14_824], pa.date32())
    rows = judge_table(pa.table({"uri": ["a.jpg", "b.jpg", "c.jpg"], "produce_time": days}))
    assert [row["uri"] for row in rows if row["reason"] is None] == ["c.jpg"]


def test_a_map_that_has_a_key_twice_is_named() -> None:
    twice = pa.array([[("a", 1), ("a", 2)]], pa.map_(pa.string(), pa.int32()))
    with pytest.raises(SourceError, match="in one of the columns other; each key once is accepted"):
        judge_table(pa.table({"uri": ["a.jpg"], "other": twice}))


def test_a_column_without_a_value_is_told_from_none() -> None:
    with pytest.raises(SourceError, match="s: no row has a value in URI"):
        judge_table(pa.table({"URI": pa.nulls(1)}))


@pytest.mark.long
def test_a_uri_that_repeats_without_end() -> None:
    found = judge_table(pa.table({"uri": ["x.jpg"] * 100_000, "size": [n % 10 for n in range(100_000)]}))
    reasons = [row["reason"] for row in found]
    assert (reasons.count(None), reasons.count("duplicate_uri")) == (1, 99_999)
    assert len({(row["row"], row["ordinal"]) for row in found}) == 100_000


def test_results_have_the_types_of_the_tables() -> None:
    schema = judge_files(pa.schema(list(TEXTS.items())), source="s", project="p", dataset="d").schema
    types = {field.name: plain(field.type) for field in schema}
    exempt = {"bucket", "object_id", "create_time", "update_time", "deleted_time", "moved_to", "run_id"}
    wanted = {c.name: plain(c.type) for c in FILES.columns if c.name not in exempt}
    assert {name: types.get(name) for name in wanted} == wanted
    features = (*PIXEL_FEATURES, "embedding")
    assert [types[name] for name in features] == [
        plain(FILE_FEATURES.arrow_schema.field(name).type) for name in features
    ]
    faces = pa.schema([("uri", pa.string()), ("figure_id", pa.string())])
    types = {
        field.name: plain(field.type) for field in judge_figures(faces, source="s", project="p", dataset="d").schema
    }
    wanted = {
        c.name: plain(c.type) for c in FIGURES.columns if c.name not in ("bucket", "object_id", "update_time", "run_id")
    }
    assert {name: types.get(name) for name in wanted} == wanted


ANYTHING = st.one_of(
    st.none(),
    st.text(max_size=20),
    st.sampled_from(["{", "[", "[[]]", '{"country":1}', "-", "1e999", "0x", "2010-", "\x00", "9" * 40, "2010-02-30"]),
    st.floats().map(str),
    st.integers().map(str),
    st.datetimes().map(str),
)


@pytest.mark.long
@SETTINGS
@given(st.lists(st.dictionaries(st.sampled_from(FILE_FIELDS), ANYTHING, max_size=6), min_size=200, max_size=200))
def test_any_row_gives_one_row_and_a_known_reason(rows: list[dict[str, Any]]) -> None:
    judged = judge([{"uri": f"{n}.jpg"} | row for n, row in enumerate(rows)])
    assert len(judged) == len(rows)
    assert {row["reason"] for row in judged} <= {None, *REASONS}
    for row in judged:
        assert (row["reason"] is None) == (row["message"] is None)
        assert (row["row"] is None) == (row["reason"] is None)


def test_mapping_reaches_into_structs_and_json() -> None:
    raw = pa.table(
        {
            "town": ["x"],
            "gps": [{"lat": 1.0, "lon": 2.0}],
            "path": ["a.jpg"],
            "odd.name": ["b"],
            "address": [{"city": "y"}],
            "extra": pa.array([[("k", "v")]], pa.map_(pa.string(), pa.string())),
            "exif": ['{"model": {"first name": "z"}}'],
        }
    )
    json_text = raw.schema.field("exif").with_metadata(IS_JSON)
    raw = raw.cast(raw.schema.set(raw.schema.get_field_index("exif"), json_text))
    mapping = {
        "town": "address.township",
        "gps.lat": "latitude",
        "gps.lon": "longitude",
        "path": "uri",
        "odd.name": "title",
        "extra.k": "camera_make",
        "exif.model.first name": "camera_model",
    }
    (row,) = judge_table(raw, mapping=mapping)
    assert (row["uri"], row["latitude"], row["longitude"], row["title"]) == ("a.jpg", 1.0, 2.0, "b")
    assert (row["address"]["township"], row["address"]["city"]) == ("x", "y")
    assert (row["camera_make"], row["camera_model"]) == ("v", "z")


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
        ({"town": "attributes.Town", "gps.lat": "attributes.town"}, "differ by case alone: Town, town"),
        ({"town": "custom_labels.town"}, "a column custom_labels, string: parts are added to a struct"),
    ],
)
def test_mapping_errors_say_what_exists(mapping: dict[str, str], told: str) -> None:
    raw = pa.table({"town": ["x"], "gps": [{"lat": 1.0, "lon": 2.0}], "custom_labels": ["{}"]})
    with pytest.raises(UsageError, match=told):
        judge_table(raw, mapping=mapping)


LABELS: list[tuple[str, dict[str, str] | None, str | None]] = [
    ('{"a": "b", "n": 1.5, "x": null, "l": ["c"]}', {"a": "b", "n": "1.5", "l": '["c"]'}, None),
    ("{}", None, None),
    (" ", None, None),
    ('{"": "b"}', None, "custom_labels_invalid"),
    ('["a"]', None, "custom_labels_invalid"),
    ("season", None, "custom_labels_invalid"),
]


def test_custom_labels_as_text() -> None:
    judged = judge([{"custom_labels": text} for text, _, _ in LABELS])
    assert [(row["custom_labels"], row["reason"]) for row in judged] == [(made, reason) for _, made, reason in LABELS]


def test_labels_and_attributes_of_a_table() -> None:
    raw = pa.table(
        {
            "uri": ["a.jpg"],
            "custom_labels": pa.array([[("k", "v"), ("n", None)]], pa.map_(pa.string(), pa.string())),
            "attributes": [{"Mask": "none", "Hat": None}],
            "town": ["x"],
        }
    )
    (row,) = judge_table(raw)
    assert (row["custom_labels"], row["attributes"]) == ({"k": "v"}, '{"Mask":"none"}')
    (row,) = judge_table(raw.drop_columns("custom_labels"), mapping={"town": "custom_labels.town"})
    assert row["custom_labels"] == {"town": "x"}
    (row,) = judge_table(raw, mapping={"town": 'attributes.a"b'})
    assert json.loads(row["attributes"]) == {"Mask": "none", 'a"b': "x"}
    (row,) = judge_table(raw, mapping={"town": "attributes.mask"})
    assert json.loads(row["attributes"]) == {"mask": "x"}


@pytest.mark.parametrize(
    "address",
    [
        pa.array(['{"country": "C", "city": "y"}']),
        pa.array([[("country", "C"), ("city", "y")]], pa.map_(pa.string(), pa.string())),
        pa.array([{"Country": "C", "city": "y"}]),
    ],
    ids=["text", "map", "struct"],
)
def test_parts_that_are_not_mapped_stay(address: pa.Array) -> None:
    (row,) = judge_table(
        pa.table({"uri": ["a.jpg"], "address": address, "town": ["T"]}), mapping={"town": "address.city"}
    )
    assert {level: name for level, name in row["address"].items() if name} == {"country": "C", "city": "T"}


@pytest.mark.parametrize(
    ("text", "reason"),
    [('{"a":1}', None), ("{}", None), ("[1]", "attributes_invalid"), ('{"a":"' + "x" * 2**20 + '"}', "text_too_long")],
)
def test_attributes_as_text(text: str, reason: str | None) -> None:
    (row,) = judge([{"attributes": text}])
    assert row["reason"] == reason


def test_texts_that_are_no_utf8_are_refused_at_any_depth() -> None:
    broken = pa.array([b"caf\xe9", b"good"]).view(pa.string())
    raw = pa.table(
        {
            "uri": ["a.jpg", "b.jpg"],
            "title": broken,
            "labels": pa.ListArray.from_arrays([0, 1, 2], broken),
            "address": pa.StructArray.from_arrays([broken], ["city"]),
            "custom_labels": pa.MapArray.from_arrays([0, 1, 2], ["k", "k"], broken),
        }
    )
    for name in raw.column_names[1:]:
        found = judge_table(raw.select(["uri", name]))
        assert {row["uri"]: row["reason"] for row in found} == {"a.jpg": "text_not_utf8", "b.jpg": None}, name
    (bad,) = (row for row in judge_table(raw.select(["uri", "title"])) if row["reason"])
    assert json.loads(bad["row"])["title"] == "caf\ufffd"


def test_a_refused_row_is_kept_as_json() -> None:
    raw = pa.table(
        {
            "uri": pa.nulls(1, pa.string()),
            "when": pa.array([utc(2010, 8, 3, 10, 15, 19, 250000)], pa.timestamp("us", "UTC")),
            "local": pa.array([utc(2010, 8, 3)], pa.timestamp("us")),
            "day": [dt.date(2010, 8, 3)],
            "bytes": [b"A"],
            "nan": [float("nan")],
            "price": [Decimal("1.10")],
            "single": pa.array([0.1], pa.float32()),
            "text": ['\u00e9"\n/'],
            "flag": [True],
            "struct": [{"a": None, "b": {"c": 1.5}}],
            "map": pa.array([[("k", None)]], pa.map_(pa.string(), pa.int32())),
            "numbers": [[float(n) for n in range(20)]],
            "texts": [["a", None]],
        }
    )
    (row,) = judge_table(raw)
    assert row["reason"] == "uri_missing"
    assert row["row"] == (
        '{"when":"2010-08-03T10:15:19.250Z","local":"2010-08-03T00:00:00.000","day":"2010-08-03","bytes":"QQ==",'
        '"nan":"NaN","price":1.10,"single":0.1,"text":"\u00e9\\"\\n/","flag":true,"struct":{"b":{"c":1.5}},'
        '"map":{"k":null},"numbers":[0.0,1.0,2.0,3.0,4.0,5.0,6.0,7.0],"texts":["a",null]}'
    )


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
FACE_TYPES: Types = {
    "figure_id": pa.string(),
    "file_uri": pa.string(),
    "left": pa.int32(),
    "width": pa.float64(),
    "yaw": pa.float64(),
    "face_quality": pa.float32(),
    "gender": pa.string(),
    "age": pa.int32(),
    "embedding": pa.list_(pa.float32()),
}


def test_faces() -> None:
    rows = [{"file_uri": "a.jpg"} | row for row, _ in FACES] + [{"file_uri": "b.jpg", "figure_id": "a"}]
    reasons = sorted((row["figure_id"] or "", row["reason"] or "") for row in judge_faces(table(rows, FACE_TYPES)))
    expected = [(row["figure_id"] or "", reason or "") for row, reason in FACES] + [("a", "duplicate_figure")]
    assert reasons == sorted(expected)


def test_boxes_in_json() -> None:
    boxes = ['{"left": 1, "top": 2}', "[1]", '{"left": ']
    raw = [{"uri": "a.jpg", "figure_id": f"f{n}", "boundary": box} for n, box in enumerate(boxes)]
    types = {name: pa.string() for name in raw[0]}
    found = sorted(judge_faces(table(raw, types)), key=lambda row: row["figure_id"])
    assert found[0]["boundary"] == {"left": 1, "top": 2, "width": None, "height": None}
    assert [row["reason"] for row in found] == [None, "boundary_invalid", "boundary_invalid"]


def test_boxes_in_structs() -> None:
    boundary = {"Left": 1, "Top": 2, "Width": 80, "Height": 90}
    raw = pa.table({"uri": ["a.jpg"], "figure_id": ["f"], "boundary": [boundary], "head_pose": [{"yaw": 1.5}]})
    (row,) = judge_faces(raw)
    assert row["boundary"] == {name.lower(): value for name, value in boundary.items()}
    assert (row["head_pose"], row["reason"]) == ({"yaw": 1.5, "pitch": None, "roll": None}, None)
    with pytest.raises(SourceError, match="boundary is bigint; a struct, or text that is a JSON object, is accepted"):
        judge_faces(pa.table({"uri": ["a.jpg"], "figure_id": ["f"], "boundary": [1]}))


def test_rules_that_change_have_the_next_number() -> None:
    """If this fails, rules were changed. If one tells another thing of some row now, count RULES up; then note here
    what the rules are by now. Without that a lake keeps what the old rules told of rows that come again unchanged."""
    binary = dict.fromkeys(BINARY_FEATURES, pa.binary())
    schema = pa.schema([(field, binary.get(field, pa.string())) for field in FILE_FIELDS])
    judge = judge_files(schema, source="s", project="p")
    digest = re.sub(r"CAST\(hash\(.*?AS BIGINT\) AS source_digest", "", judge.sql, flags=re.DOTALL)
    assert (RULES, hashlib.sha256(digest.encode()).hexdigest()[:16]) == (2, "bba02910149e2805")
