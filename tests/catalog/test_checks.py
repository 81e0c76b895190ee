"""Tests of the tests of the data: a lake that the jobs made passes; each test tells the rows that break it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from catalog.checks import CHECKS, run_check
from catalog.lake import Lake, Row
from jobs.cli.main import lakealbum, run
from schemas.lake import TABLES
from tests.catalog.conftest import LakeMaker, edit
from tests.jobs.albums import Album

BY_NAME = {check.name: check for check in CHECKS}


@pytest.fixture
def maker(library: Album, tmp_path: Path) -> LakeMaker:
    """A copy of the library, to be broken."""
    shutil.copytree(library.lake, tmp_path / "lake")
    return LakeMaker(tmp_path / "lake")


def rows(maker: LakeMaker, table: str) -> list[Row]:
    return maker.lake.read(f"SELECT * FROM {table}", table)


def break_contract(maker: LakeMaker) -> None:
    """A constraint that is dropped, a row against it; a table whose column may be null, and is."""
    where = f"{maker.root}/figure_members"
    DeltaTable(where).alter.drop_constraint("confidence_in_range")
    (first, *_) = (row for row in rows(maker, "figure_members") if row["object_id"])
    maker.insert("figure_members", [{**first, "figure_id": "new", "confidence": 2.0}])
    loose = pa.schema([field.with_nullable(True) for field in TABLES["datasets"].arrow_schema])
    untimed = pa.Table.from_pylist([{**rows(maker, "datasets")[0], "create_time": None}], loose)
    write_deltalake(f"{maker.root}/datasets", untimed, mode="overwrite", schema_mode="overwrite")


def break_key(maker: LakeMaker) -> None:
    maker.insert("place_days", rows(maker, "place_days")[:2])


def break_run(maker: LakeMaker) -> None:
    maker.remove("runs", "job = 'cluster-figures'")


def break_dataset(maker: LakeMaker) -> None:
    maker.remove("datasets", "dataset_name = 'ben'")


def break_bucket(maker: LakeMaker) -> None:
    maker.rewrite("dataset_state", [{**row, "bucket": 3} for row in rows(maker, "dataset_state")])


def break_file(maker: LakeMaker) -> None:
    maker.remove("files", "uri LIKE '%Berlin-1.jpg'")


def break_member(maker: LakeMaker) -> None:
    maker.remove("similar_image_clusters", "cover_uri LIKE '%Porto-1.jpg'")
    maker.remove("figure_clusters", "founders > 0")


def break_member_file(maker: LakeMaker) -> None:
    maker.remove("files", "uri LIKE '%Porto-1.jpg'")
    maker.remove("figures", "figure_id = '000-ada'")


def break_members_counted(maker: LakeMaker) -> None:
    maker.remove("similar_image_members", "uri LIKE '%Porto-1.jpg'")
    maker.remove("figure_members", "figure_id = '000-ada'")


def break_trip_segments(maker: LakeMaker) -> None:
    maker.remove("location_date_clusters", "title = 'Prague'")


def break_trip_days(maker: LakeMaker) -> None:
    maker.remove("place_days", "city = 'Vienna' AND local_date = DATE '2023-08-06'")


def break_events(maker: LakeMaker) -> None:
    """A trip without an event, one that went and has it, a group that went unsaid, a person with other counts."""
    (berlin, lisbon) = (row for row in rows(maker, "location_date_clusters") if row["title"] in ("Berlin", "Lisbon"))
    maker.remove("cluster_events", f"object_id = '{berlin['object_id']}'")
    (event,) = (row for row in rows(maker, "cluster_events") if row["object_id"] == lisbon["object_id"])
    ended = {"event": "removed", "first_day": None, "last_day": None, "cluster_version": event["cluster_version"] + 1}
    maker.insert("cluster_events", [{**event, **ended}])
    maker.remove("similar_image_clusters", "cover_uri LIKE '%Porto-1.jpg'")
    maker.rewrite("figure_clusters", [{**row, "files": row["files"] - 1, "images": row["images"] - 1}
                                      for row in rows(maker, "figure_clusters")])  # fmt: skip


def break_edits(maker: LakeMaker) -> None:
    maker.insert("cluster_edits", [edit(1000, "location-date-cluster-never", title="Nowhere")])


def break_reason(maker: LakeMaker) -> None:
    maker.insert("rejected", [{**rows(maker, "rejected")[0], "reject_id": "0", "reason": "whim"}])


def break_rows_counted(maker: LakeMaker) -> None:
    (counted,) = (row for row in rows(maker, "runs") if row["job"] == "index-files")
    counts = {**counted["row_counts"], "accepted": counted["row_counts"]["accepted"] - 1}
    maker.insert("runs", [{**counted, "run_id": "other", "row_counts": counts}])


OF_BEN = (
    *("files", "file_places", "file_features", "place_days", "location_date_segments", "location_date_clusters"),
    *("similar_image_pairs", "similar_image_clusters", "similar_image_members", "cluster_events", "dataset_state"),
)
BROKEN: dict[str, tuple[Callable[[LakeMaker], None], dict[str, int]]] = {
    "contract": (break_contract, {"figure_members": 1, "datasets": 1}),
    "key": (break_key, {"place_days": 2}),
    "run": (
        break_run,
        {"figure_clusters": 1, "figure_members": 1, "cluster_events": 1, "dataset_state": 1},
    ),
    "dataset": (break_dataset, dict.fromkeys(OF_BEN, 1)),
    "bucket": (break_bucket, {"dataset_state": 2}),
    "file": (break_file, {"file_places": 3, "file_features": 3}),
    "member": (break_member, {"similar_image_members": 4, "figure_members": 175}),
    "member file": (break_member_file, {"similar_image_members": 2, "figure_members": 1}),
    "members counted": (break_members_counted, {"similar_image_clusters": 2, "figure_clusters": 1}),
    "trip segments": (break_trip_segments, {"location_date_clusters": 1}),
    "trip days": (break_trip_days, {"location_date_clusters": 2}),
    "events": (break_events, {"location_date_clusters": 2, "similar_image_clusters": 2, "figure_clusters": 3}),
    "edits": (break_edits, {"cluster_edits": 1}),
    "reason": (break_reason, {"rejected": 1}),
    "rows counted": (break_rows_counted, {"runs": 1}),
}  # fmt: skip
"""Test -> what breaks it, and how many rows of which tables it tells then."""


@pytest.mark.long
def test_a_lake_that_the_jobs_made_passes(library: Album, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(lakealbum, ["check", "--lake", library.lake]) == 0
    printed = capsys.readouterr().out
    assert all(check.name in printed and check.holds in printed for check in CHECKS)
    assert "break it" not in printed


def test_every_test_is_broken_here() -> None:
    assert BROKEN.keys() == BY_NAME.keys()


@pytest.mark.long
@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_lake_is_told(name: str, maker: LakeMaker) -> None:
    breaking, expected = BROKEN[name]
    breaking(maker)
    found = run_check(maker.lake, BY_NAME[name])
    assert {finding.table: finding.rows for finding in found} == expected
    assert all(finding.examples for finding in found)


def test_the_verb_ends_with_1_and_tells_the_rows(maker: LakeMaker, capsys: pytest.CaptureFixture[str]) -> None:
    break_reason(maker)
    assert run(lakealbum, ["check", "--lake", maker.root, "--only", "reason", "--only", "key"]) == 1
    printed = capsys.readouterr().out
    assert "1 rows break it" in printed
    assert "whim" in printed
    assert run(lakealbum, ["check", "--lake", maker.root, "--only", "reason", "--json"]) == 1
    (check,) = json.loads(capsys.readouterr().out)["Checks"]
    assert (check["Name"], check["Passed"], check["Findings"][0]["Rows"]) == ("reason", False, 1)
    assert check["Findings"][0]["Examples"][0]["reason"] == "whim"


def test_a_test_that_is_not_known_is_refused(library: Album, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(lakealbum, ["check", "--lake", library.lake, "--only", "weather"]) == 2
    assert "weather" in capsys.readouterr().err


def test_a_table_that_is_missing_is_told(maker: LakeMaker, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(Path(maker.root) / "figures")
    assert run(lakealbum, ["check", "--lake", maker.root]) == 1
    assert "lakealbum migrate" in capsys.readouterr().err


def test_days_that_came_since_the_last_clustering_break_nothing(maker: LakeMaker) -> None:
    days = rows(maker, "place_days")
    (delivery,) = (row for row in rows(maker, "runs") if row["job"] == "index-files")
    later = {
        **delivery,
        "run_id": "later",
        "start_time": Lake(maker.root).read("SELECT now() AS t FROM runs LIMIT 1", "runs")[0]["t"],
    }
    maker.insert("runs", [later])
    maker.rewrite(
        "place_days",
        [{**row, "run_id": "later", "files": row["files"] + 1, "images": row["images"] + 1} for row in days],
    )
    assert not run_check(maker.lake, BY_NAME["trip days"])
