"""Tests of jobs/demo/command.py: the demo from end to end, through the command line."""

from __future__ import annotations

import io
import json
from collections import Counter
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable
from pyspark.sql import SparkSession

from catalog.lake import Lake
from jobs.cli.main import lakealbum, run
from schemas.lake import TABLES
from transforms.demo.library import TRAVELLERS, library_lines

TRIPS = {
    ("ada", "country", "Portugal", "2025-05-10T00:00:00+01:00", "2025-05-15T23:59:59.999999999+01:00"),
    # A-B-A: one stay in Lisbon, with the day in Porto inside it.
    ("ada", "city", "Lisbon", "2025-05-10T00:00:00+01:00", "2025-05-15T23:59:59.999999999+01:00"),
    ("ada", "city", "Porto", "2025-05-13T00:00:00+01:00", "2025-05-13T23:59:59.999999999+01:00"),
    ("ada", "city", "City of Edinburgh", "2025-12-30T00:00:00Z", "2026-01-02T23:59:59.999999999Z"),
    # The worked example of the design; a day in Wuzhen has addresses and no coordinates.
    ("mei", "city", "Jiaxing Shi", "2025-03-06T00:00:00+08:00", "2025-03-08T23:59:59.999999999+08:00"),
    ("mei", "province", "Zhejiang", "2025-03-03T00:00:00+08:00", "2025-03-08T23:59:59.999999999+08:00"),
    # Two cities of one name.
    ("mei", "city", "Suzhou Shi", "2025-04-04T00:00:00+08:00", "2025-04-05T23:59:59.999999999+08:00"),
    ("mei", "city", "Suzhou Shi", "2025-04-06T00:00:00+08:00", "2025-04-07T23:59:59.999999999+08:00"),
    # A city-state, with pictures at midnight, known as instants only.
    ("mei", "country", "Singapore", "2025-06-18T00:00:00+08:00", "2025-06-21T23:59:59.999999999+08:00"),
    ("mei", "province", "Singapore", "2025-06-18T00:00:00+08:00", "2025-06-21T23:59:59.999999999+08:00"),
    ("mei", "city", "Singapore", "2025-06-18T00:00:00+08:00", "2025-06-21T23:59:59.999999999+08:00"),
    ("mei", "city", "Paris", "2025-10-01T00:00:00+02:00", "2025-10-04T23:59:59.999999999+02:00"),
    ("nils", "country", "Australia", "2025-12-28T00:00:00+11:00", "2026-01-04T23:59:59.999999999+11:00"),
    # Summer time begins on the second day.
    ("tom", "city", "Philadelphia County", "2025-03-08T00:00:00-05:00", "2025-03-09T23:59:59.999999999-04:00"),
    ("tom", "city", "Kyōto Shi", "2025-03-27T00:00:00+09:00", "2025-03-30T23:59:59.999999999+09:00"),
    ("tom", "city", "Nara-shi", "2025-03-29T00:00:00+09:00", "2025-03-29T23:59:59.999999999+09:00"),
    # 1 April, twice.
    ("tom", "city", "Tokyo", "2025-04-01T00:00:00+09:00", "2025-04-01T23:59:59.999999999+09:00"),
    ("tom", "city", "Honolulu County", "2025-04-01T00:00:00-10:00", "2025-04-03T23:59:59.999999999-10:00"),
}
REFUSED = {
    "bad_time": 1,
    "coordinates_incomplete": 1,
    "dataset_invalid": 1,
    "duplicate_uri": 4,
    "image_width_invalid": 1,
    "json_malformed": 1,
    "latitude_not_a_number": 1,
    "latitude_out_of_range": 1,
    "media_type_unknown": 1,
    "uri_missing": 1,
}


@dataclass(frozen=True)
class Demo:
    """A lake that the demo has made, and what it said."""

    lake: str
    document: dict[str, Any]

    def versions(self) -> dict[str, int]:
        """The version of each table but those that every run adds to."""
        names = TABLES.keys() - {"tasks", "runs"}
        return {name: DeltaTable(f"{self.lake}/{name}").version() for name in names}


@pytest.fixture(scope="module")
def demo(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """The demo's first run, in JSON."""
    lake = str(tmp_path_factory.mktemp("demo") / "lake")
    with redirect_stdout(io.StringIO()) as printed:
        assert run(lakealbum, ["demo", "--lake", lake, "--json"]) == 0
    return Demo(lake, json.loads(printed.getvalue()))


def test_the_trips_are_those_of_the_library(demo: Demo) -> None:
    clusters = demo.document["LocationDateClusters"]
    found = {
        (
            cluster["DatasetName"],
            cluster["LocationDateClusterLevel"],
            cluster["ProposedTitle"],
            cluster["LocationDateClusterStartTime"],
            cluster["LocationDateClusterEndTime"],
        )
        for cluster in clusters
    }
    assert found >= TRIPS
    suzhou = [cluster["Addresses"][0]["Province"] for cluster in clusters if cluster["ProposedTitle"] == "Suzhou Shi"]
    assert sorted(suzhou) == ["Anhui", "Jiangsu"]


def test_every_row_is_accepted_or_refused_with_its_reason(demo: Demo) -> None:
    counts = demo.document["Tasks"][0]["RowCounts"]
    assert counts["input"] == sum(len(library_lines(traveller)) for traveller in TRAVELLERS)
    assert counts["input"] == counts["accepted"] + sum(REFUSED.values())
    rejected = Lake(demo.lake).read("SELECT reason FROM rejected", "rejected")
    assert Counter(row["reason"] for row in rejected) == REFUSED


def test_both_jobs_leave_a_task_and_a_run(demo: Demo) -> None:
    ids = {task["TaskId"] for task in demo.document["Tasks"]}
    lake = Lake(demo.lake)
    succeeded = lake.read("SELECT task_id FROM tasks WHERE status = 'Succeeded'", "tasks")
    runs = lake.read("SELECT task_id FROM runs WHERE status = 'Succeeded'", "runs")
    assert {row["task_id"] for row in succeeded} == ids == {row["task_id"] for row in runs}


def test_the_data_pass_every_test(demo: Demo) -> None:
    assert run(lakealbum, ["check", "--lake", demo.lake]) == 0


def test_a_second_run_changes_no_table_and_says_so(demo: Demo, capsys: pytest.CaptureFixture[str]) -> None:
    before = demo.versions()
    assert run(lakealbum, ["demo", "--lake", demo.lake]) == 0
    assert demo.versions() == before
    said = capsys.readouterr().out
    assert "Nothing is new since the last time" in said
    assert "  Portugal " in said
    assert "duplicate_uri" in said
    assert "update location-date --project demo" in said


def test_a_lake_in_an_object_store_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(lakealbum, ["demo", "--lake", "s3://bucket/lake"]) == 2
    assert "'s3://bucket/lake'" in capsys.readouterr().err


def test_pictures_of_a_folder_that_is_not_there_are_refused(tmp_path: Path) -> None:
    assert run(lakealbum, ["demo", "--photos", str(tmp_path / "none")]) == 2
