"""Judging by this process and by Spark's tasks."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from jobs.indexing import judging
from jobs.indexing.judging import arrow_columns, arrow_schema, judge_by_bucket, judge_rows
from jobs.indexing.options import IndexFiles
from jobs.runtime.by_bucket import collect
from jobs.runtime.session import keep
from schemas.settings import LakeSettings
from transforms.tables.frames import to_frame
from transforms.tables.source_columns import IS_JSON, JSON_TEXT, MESSAGE, REASON, ROW

ROWS: list[dict[str, Any]] = [
    {"uri": "a.jpg", "title": "old", "update_time": "2020-01-01T00:00:00Z"},
    {"uri": "a.jpg", "title": "new", "update_time": "2021-01-01T00:00:00Z"},
    {"uri": "a.jpg", "title": "undated"},
    {"uri": "a.jpg", "title": "refused", "size": "-1"},
    {"uri": "a.jpg", "title": "refused", "size": "-1"},
    {"uri": "b.jpg", "labels": "sea,sand", "embedding": "[1, 0.5]", "produce_time": "2010-08-03T10:15:19+08:00"},
    {"uri": "c.txt"},
    {"uri": None},
    {"uri": None, REASON: "csv_malformed", MESSAGE: "a line with other than 2 fields; the header has 2"},
    *({"uri": f"{n}.jpg", "latitude": str(n), "longitude": "1"} for n in range(20)),
]
NAMES = ("uri", "title", "size", "labels", "embedding", "produce_time", "latitude", "longitude", "update_time")


def judged(raw: Any) -> list[dict[str, Any]]:
    lake = SimpleNamespace(settings=LakeSettings(), rows=lambda files: 0, version=lambda files: 0)
    run: Any = SimpleNamespace(
        cache=keep, lake=lake, progress=SimpleNamespace(percent=5, stage=lambda what, percent: None)
    )
    config = IndexFiles(lake="lake", project="p", dataset=("d",), source=("s.csv",))
    if isinstance(raw, pa.RecordBatchReader):
        by_bucket = judge_by_bucket(run, config, raw, "s3://b/s.csv")
        assert by_bucket is not None
        found, unchanged = map(collect, by_bucket)
        assert not len(unchanged)
    else:
        found = collect(judge_rows(run, config, raw, "s3://b/s.csv"))
    return sorted(found.to_pylist(), key=str)


def in_table() -> pa.Table:
    """ROWS as a reader of texts gives them."""
    rows = [{ROW: str({k: v for k, v in row.items() if k in NAMES})} | row for row in ROWS]
    return pa.Table.from_pylist(rows, pa.schema([(name, pa.string()) for name in (*NAMES, ROW, REASON, MESSAGE)]))


@pytest.mark.parametrize("doubtful", [0, 100], ids=["all are sorted", "those in doubt are sorted"])
def test_frames_are_judged_as_tables_are(spark: SparkSession, monkeypatch: pytest.MonkeyPatch, doubtful: int) -> None:
    monkeypatch.setattr(judging, "MOST_DOUBTFUL", doubtful)
    table = in_table()
    frame = to_frame(spark, table, "string, ".join(f"`{name}` " for name in table.column_names) + "string")
    here, by_spark = judged(table), judged(frame.repartition(3))
    assert here == by_spark
    assert len(here) == len(ROWS)
    reasons = [row["reason"] for row in here if row["reason"]]
    assert sorted(reasons) == [
        "csv_malformed",
        "duplicate_uri",
        "duplicate_uri",
        "media_type_unknown",
        "size_invalid",
        "size_invalid",
        "uri_missing",
    ]


@pytest.mark.long
@pytest.mark.parametrize("columns", [[*NAMES, ROW, REASON, MESSAGE], NAMES], ids=["texts", "columns alone"])
def test_rows_that_come_bit_by_bit_are_judged_as_tables_are(
    monkeypatch: pytest.MonkeyPatch, columns: Sequence[str]
) -> None:
    monkeypatch.setattr(judging, "JUDGED_AT_ONCE", 4)
    table = in_table().select(columns)
    assert judged(table.to_reader(max_chunksize=3)) == judged(table)
    nothing = table.slice(0, 0)
    assert judged(nothing.to_reader()) == judged(nothing) == []


def test_a_bucket_that_is_too_large_is_judged_by_spark(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "BUCKET_BYTES", 1_000)
    with pytest.raises(AssertionError):
        judged(in_table().to_reader())


def test_columns_that_arrow_lacks_are_left_out_and_json_is_marked(spark: SparkSession) -> None:
    raw = spark.sql("SELECT 'a.jpg' AS uri, parse_json('{}') AS any, interval 1 month AS span, '{}' AS exif")
    raw = raw.withMetadata("exif", JSON_TEXT)
    schema = arrow_schema(arrow_columns(raw))
    assert "span" not in schema.names
    assert (schema.field("exif").metadata, schema.field("uri").metadata) == (IS_JSON, None)
