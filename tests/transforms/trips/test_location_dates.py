"""Tests of transforms/trips/location_dates.py: where the days of a place are cut, and what a level's day is made of."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.runtime.lake import spark_schema
from schemas.contract import LEVELS
from schemas.place_days import PLACE_DAYS
from transforms.trips.location_dates import describe_clusters, explode_levels, segment_days, within_span

TOULOUSE, ALBI, LYON = "fr/occitanie/toulouse//", "fr/occitanie/albi//", "fr/rhone/lyon//"


def place_days(spark: SparkSession, *rows: tuple[str, str]) -> DataFrame:
    """One file at noon, UTC, on each (place key, day)."""
    made = []
    for place, day in rows:
        local = date.fromisoformat(day)
        moment = datetime(local.year, local.month, local.day, 12, tzinfo=UTC)
        names = dict(zip(LEVELS, (part or None for part in place.split("/")), strict=True))
        noon = {"time": moment, "uri": day, "utc_offset": 0}
        cover = {"rank": 0, "time": moment, "uri": day}
        key = {"bucket": 0, "project_name": "p", "dataset_name": "d", "place_key": place, "local_date": local}
        counts = {"files": 1, "images": 1, "videos": 0}
        made.append({**key, **names, **counts, "first": noon, "last": noon, "cover": cover, "run_id": "r"})
    return spark.createDataFrame([{**dict.fromkeys(PLACE_DAYS.names), **row} for row in made], spark_schema(PLACE_DAYS))


def spans(days: DataFrame, *, gap_days: int, levels: tuple[str, ...] = ("city",)) -> set[tuple[str, str, str, int]]:
    """(place key, first day, last day, days with files) of each segment."""
    segments = days.transform(explode_levels, levels=levels).transform(segment_days, gap_days=gap_days)
    return {(r.place_key, str(r.first_day), str(r.last_day), r.days_with_files) for r in segments.collect()}


@pytest.mark.parametrize(
    ("gap_days", "expected"),
    [
        (0, {("04", "05", 2), ("07", "07", 1), ("10", "10", 1)}),
        (1, {("04", "07", 3), ("10", "10", 1)}),
        (2, {("04", "10", 4)}),
        (99999, {("04", "10", 4)}),
    ],
)
def test_a_place_is_cut_where_more_than_gap_days_are_without_a_file(
    spark: SparkSession, gap_days: int, expected: set[tuple[str, str, int]]
) -> None:
    away = [(LYON, "2026-03-06")]  # a day elsewhere cuts nothing by itself
    days = place_days(spark, *((TOULOUSE, f"2026-03-{day}") for day in ("10", "05", "04", "07")), *away)
    found = {(a[-2:], b[-2:], n) for place, a, b, n in spans(days, gap_days=gap_days) if "toulouse" in place}
    assert found == expected


def test_a_level_joins_the_days_of_the_places_in_it(spark: SparkSession) -> None:
    days = place_days(spark, (TOULOUSE, "2024-02-28"), (ALBI, "2024-02-29"), (ALBI, "2024-02-28"), (LYON, "2024-03-01"))
    assert spans(days, gap_days=0, levels=("country", "province")) == {
        ("fr", "2024-02-28", "2024-03-01", 3),
        ("fr/occitanie", "2024-02-28", "2024-02-29", 2),
        ("fr/rhone", "2024-03-01", "2024-03-01", 1),
    }
    assert spans(days, gap_days=0, levels=("district",)) == set()


def test_both_ends_of_min_and_max_days_are_within(spark: SparkSession) -> None:
    days = spark.range(1, 6).select(F.col("id").cast("int").alias("days"))
    assert [row.days for row in days.where(within_span(2, 4)).sort("days").collect()] == [2, 3, 4]


def test_a_cluster_is_named_by_its_level_and_lasts_from_midnight_to_midnight(spark: SparkSession) -> None:
    days = place_days(spark, (TOULOUSE, "2026-03-04"), (ALBI, "2026-03-05"))
    segments = days.transform(explode_levels, levels=("province",)).transform(segment_days, gap_days=1)
    given = {
        "object_id": F.lit("x"),
        "cluster_since": F.lit(datetime(2026, 4, 1, tzinfo=UTC)),
        "update_time": F.current_timestamp(),
    }
    (row,) = segments.withColumns(given).transform(describe_clusters).collect()
    assert (row.title, row.country, row.province, row.city) == ("occitanie", "fr", "occitanie", None)
    assert row.start_time.astimezone(UTC) == datetime(2026, 3, 4, tzinfo=UTC)
    assert row.end_time.astimezone(UTC) == datetime(2026, 3, 5, 23, 59, 59, 999999, tzinfo=UTC)
    assert (row.files, row.days, row.cover_uri) == (2, 2, "2026-03-04")
