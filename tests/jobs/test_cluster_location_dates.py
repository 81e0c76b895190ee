"""Trips through the jobs' own functions: the design's worked examples, options, deletions, days and time zones."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from catalog.lake import Lake, Scope
from catalog.location_dates import delete_cluster, undelete_cluster
from jobs.cli.options import build_config
from jobs.cluster_location_dates import ClusterLocationDates
from jobs.runtime import by_bucket
from schemas.errors import UsageError
from tests.jobs.albums import BY_BUCKET, PROJECT, TRIP_WAYS, TRIP_WAYS_SLOW, Album, Row, photo

pytestmark = pytest.mark.long

HANGZHOU, JIAXING = "China/Zhejiang/Hangzhou", "China/Zhejiang/Jiaxing"

LEVELS = ("country", "province", "city", "district")


@pytest.fixture(scope="module")
def working(way: Row) -> Iterator[Row]:
    """The way; by bucket no rows are too few for it meanwhile."""
    with pytest.MonkeyPatch.context() as patch:
        if way == BY_BUCKET:
            patch.setattr(by_bucket, "FEW", 1)
        yield way


@pytest.fixture
def album(tmp_path: Path, working: Row) -> Album:
    """An empty lake."""
    return Album(tmp_path, working)


def days(place: str, *numbers: int, month: str = "2026-03", **more: object) -> list[dict[str, object]]:
    """A picture on each day of a month."""
    return [photo(f"{month}-{number:02d}", place, **more) for number in numbers]


WORKED_EXAMPLES = [
    *days(HANGZHOU, 4, 5, 7, dataset="gap"),
    *days(HANGZHOU, 3, 4, 5, dataset="two"),
    *days(JIAXING, 6, 7, 8, dataset="two"),
    *days(HANGZHOU, 1, 2, 5, dataset="aba"),  # away on the 3rd and 4th
    *days(JIAXING, 3, 4, dataset="aba"),
    *days("Singapore", 1, dataset="citystate"),
    *days("USA/Oregon/Portland", 1, dataset="names"),
    *days("USA/Maine/Portland", 2, dataset="names"),
    *days("China/Beijing//Chaoyang", 1, dataset="municipality"),
    {**photo("2026-03-01", "x", dataset="nowhere"), "address": None},
    {**photo("2026-03-01", HANGZHOU, dataset="nowhen"), "produce_time": None},
]
"""The design's, one dataset each."""


def taken(dataset: str, time: str, latitude: float, longitude: float, **more: object) -> dict[str, object]:
    """A picture of a time and coordinates."""
    return photo(time, "X/Y/Z", dataset=dataset, latitude=latitude, longitude=longitude, **more)


TOKYO, NEW_YORK, AUCKLAND, APIA = (35.68, 139.69), (40.71, -74.0), (-36.85, 174.76), (-13.83, -171.76)
LOCAL_DAYS = [
    taken("instant", "2026-03-03T20:00:00Z", *TOKYO),  # the 4th in Tokyo
    taken("offset", "2026-03-03T20:00:00-05:00", *TOKYO),  # an explicit offset is trusted
    taken("wall", "2026-03-08T02:30:00", *NEW_YORK),  # skipped by summer time
    taken("dateline", "2026-01-01T10:30:00Z", *APIA),
    taken("dateline", "2026-01-01T10:30:00Z", *AUCKLAND, uri="other"),
    taken("leap", "2024-02-28T23:59:59+00:00", *TOKYO),
    taken("leap", "2024-02-29T00:00:00+00:00", *TOKYO),
    taken("leap", "2024-03-01T00:00:00+00:00", *TOKYO),
]
ANN = [photo("2026-03-03", HANGZHOU, dataset="ann", uri="a"), photo("2026-03-04", HANGZHOU, dataset="ann", uri="b")]
REX = days(HANGZHOU, 3, 4, dataset="rex")
TO_COME = [*days(HANGZHOU, 1, 2, 3, 7), *ANN, *REX, *days(HANGZHOU, 3, 4, 5, dataset="dee")]
"""The beginnings of four datasets that change later."""


@pytest.fixture(scope="module")
def first_run(tmp_path_factory: pytest.TempPathFactory, working: Row) -> Album:
    """A lake after its first clustering: one run for all that needs no more."""
    album = Album(tmp_path_factory.mktemp("first"), working)
    album.deliver([*WORKED_EXAMPLES, *TO_COME])
    album.cluster(levels=LEVELS)
    return album


@TRIP_WAYS
def test_worked_examples_of_the_design(first_run: Album) -> None:
    album = first_run
    city = album.trips("city")
    assert {trip for trip in city if trip[0] == "gap"} == {("gap", "Hangzhou", "2026-03-04", "2026-03-07")}
    assert {trip for trip in city if trip[0] == "two"} == {
        ("two", "Hangzhou", "2026-03-03", "2026-03-05"),
        ("two", "Jiaxing", "2026-03-06", "2026-03-08"),
    }
    assert ("two", "Zhejiang", "2026-03-03", "2026-03-08") in album.trips("province")
    assert {trip for trip in city if trip[0] == "aba"} == {
        ("aba", "Hangzhou", "2026-03-01", "2026-03-02"),
        ("aba", "Hangzhou", "2026-03-05", "2026-03-05"),
        ("aba", "Jiaxing", "2026-03-03", "2026-03-04"),
    }
    assert ("citystate", "Singapore", "2026-03-01", "2026-03-01") in album.trips("province")
    assert ("citystate", "Singapore", "2026-03-01", "2026-03-01") in city
    assert {trip[1:] for trip in city if trip[0] == "names"} == {
        ("Portland", "2026-03-01", "2026-03-01"),
        ("Portland", "2026-03-02", "2026-03-02"),
    }
    assert ("municipality", "Beijing", "2026-03-01", "2026-03-01") in city
    assert ("municipality", "Chaoyang", "2026-03-01", "2026-03-01") in album.trips("district")
    assert {trip[0] for trip in album.trips("district")} == {"municipality"}
    assert not {trip for trip in album.trips() if trip[0] in ("nowhere", "nowhen")}

    before = album.versions()
    again = album.cluster(levels=LEVELS)
    assert album.versions() == before, again.ledger.row_counts


@TRIP_WAYS_SLOW
def test_options_changed_and_changed_back_revive_ids_and_say_why(album: Album) -> None:
    album.deliver([*days(HANGZHOU, 1, 2, 3, 6), *days(HANGZHOU, 20)])
    album.cluster(gap_days=1)
    first = album.ids()
    assert len(first) == 3
    long_id, short_id = first["Hangzhou", "2026-03-01"], first["Hangzhou", "2026-03-06"]

    album.cluster(gap_days=3)
    merged = album.ids()
    assert merged["Hangzhou", "2026-03-01"] == long_id
    assert short_id not in merged.values()
    assert ("merged_into", short_id) in album.events()
    assert ("extended", long_id) in album.events()

    album.cluster(gap_days=1)
    assert album.ids() == first
    assert ("revived", short_id) in album.events()
    assert ("shrunk", long_id) in album.events()

    album.cluster(gap_days=1, min_days=2, levels=("city", "province"))
    assert set(album.ids()) == {("Hangzhou", "2026-03-01"), ("Zhejiang", "2026-03-01")}
    assert album.ids()["Hangzhou", "2026-03-01"] == long_id
    album.cluster(gap_days=1)
    assert {key: id_ for key, id_ in album.ids().items() if key[0] == "Hangzhou"} == first
    created = [id_ for event, id_ in album.events() if event == "created"]
    assert len(created) == len(set(created))


def grown(first_run: Album, root: Path) -> tuple[Album, str]:
    """A copy of the lake in which some days grew, one was corrected, one removed and one cluster deleted; its id."""
    shutil.copytree(first_run.root, root, dirs_exist_ok=True)
    album = Album(root, first_run.way)
    deleted = cities(album)["dee", "2026-03-03"]["object_id"]
    corrected, unseen = (
        photo("2026-05-01", JIAXING, dataset="ann", uri="a"),
        photo("2026-03-09", HANGZHOU, dataset="rex"),
    )
    album.deliver([*days(HANGZHOU, 5), corrected, unseen])
    album.remove(REX[0]["uri"], unseen["uri"], dataset="rex")
    _edit(album, deleted, delete_cluster)
    album.cluster(levels=LEVELS)
    return album, deleted


def cities(album: Album) -> dict[tuple[str, str], Row]:
    """The city trips, by dataset and first day."""
    return {(row["dataset_name"], str(row["first_day"])): row for row in album.clusters() if row["level"] == "city"}


@TRIP_WAYS_SLOW
def test_growth_bridges_corrections_removed_files_and_deleted_clusters(first_run: Album, tmp_path: Path) -> None:
    first = {key: row["object_id"] for key, row in cities(first_run).items()}
    # Growth keeps the id, a bridge merges, a correction moves a day, a removed file stays; a deleted cluster goes.
    album, deleted = grown(first_run, tmp_path)
    others = {
        ("ada", "Hangzhou", "2026-03-01", "2026-03-07"),
        ("ann", "Hangzhou", "2026-03-04", "2026-03-04"),
        ("ann", "Jiaxing", "2026-05-01", "2026-05-01"),
    }
    assert changing(album) == {*others, ("rex", "Hangzhou", "2026-03-03", "2026-03-04")}
    now = cities(album)
    assert now["ada", "2026-03-01"]["object_id"] == first["ada", "2026-03-01"]
    assert now["ann", "2026-03-04"]["object_id"] == first["ann", "2026-03-03"]
    assert ("merged_into", first["ada", "2026-03-07"]) in album.events()
    seen = now["rex", "2026-03-03"]
    assert (seen["object_id"], seen["files"], seen["cover_uri"]) == (first["rex", "2026-03-03"], 2, REX[1]["uri"])
    assert ("removed", deleted) in album.events()


@TRIP_WAYS_SLOW
def test_what_was_deleted_stays_away_until_it_is_undone(first_run: Album, tmp_path: Path) -> None:
    album, deleted = grown(first_run, tmp_path)
    others = changing(album) - {("rex", "Hangzhou", "2026-03-03", "2026-03-04")}

    # A deleted day stays away with a picture more, and new ones beside it make a cluster of their own.
    album.deliver([*days(HANGZHOU, 4, n=1, dataset="dee"), *days(HANGZHOU, 6, 7, dataset="dee")])
    album.cluster(levels=LEVELS)
    others.add(("rex", "Hangzhou", "2026-03-03", "2026-03-04"))
    assert changing(album) == {*others, ("dee", "Hangzhou", "2026-03-06", "2026-03-07")}
    assert deleted not in {row["object_id"] for row in album.clusters()}
    album.cluster(levels=LEVELS, full=True)
    assert changing(album) == {*others, ("dee", "Hangzhou", "2026-03-06", "2026-03-07")}

    # Undone, it is back as it was; rebuilt, the days of removed files are gone.
    _edit(album, deleted, undelete_cluster)
    album.cluster(levels=LEVELS, rebuild=True)
    others -= {("rex", "Hangzhou", "2026-03-03", "2026-03-04")}
    others |= {("rex", "Hangzhou", "2026-03-04", "2026-03-04"), ("dee", "Hangzhou", "2026-03-03", "2026-03-07")}
    assert changing(album) == others
    assert {r["object_id"] for r in album.clusters() if (r["dataset_name"], r["level"]) == ("dee", "city")} == {deleted}
    assert ("revived", deleted) in album.events()


def changing(album: Album) -> set[tuple[str, str, str, str]]:
    """The city trips of the datasets that change."""
    return {trip for trip in album.trips("city") if trip[0] in {"ada", "ann", "rex", "dee"}}


def test_local_days_across_zones_the_date_line_dst_and_leap_days(tmp_path: Path, spark: SparkSession) -> None:
    album = Album(tmp_path)
    album.index(LOCAL_DAYS)
    album.cluster()
    rows = album.clusters()
    assert sorted(
        (row["dataset_name"], str(row["first_day"]), row["days"], row["days_with_files"]) for row in rows
    ) == [
        ("dateline", "2026-01-01", 1, 1),
        ("instant", "2026-03-04", 1, 1),
        ("leap", "2024-02-28", 3, 3),
        ("offset", "2026-03-03", 1, 1),
        ("wall", "2026-03-08", 1, 1),
    ]
    offsets = {row["dataset_name"]: row["start_offset"] for row in rows}
    assert offsets == {"instant": 540, "offset": -300, "wall": -240, "dateline": offsets["dateline"], "leap": 0}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"gap_days": 1, "min_days": 5, "max_days": 2, "levels": "city"}, "min_days 5 is greater than max_days 2"),
        ({"gap_days": -1, "min_days": 1, "max_days": 2, "levels": "city"}, "gap_days"),
        ({"gap_days": 100000, "min_days": 1, "max_days": 2, "levels": "city"}, "gap_days"),
        ({"gap_days": 1, "min_days": 0, "max_days": 2, "levels": "city"}, "min_days"),
        ({"gap_days": 1, "min_days": 1, "max_days": 2, "levels": "city,planet"}, "'planet'; accepted are country"),
        ({"gap_days": 1, "min_days": 1, "max_days": 2}, "levels: must be given"),
    ],
)
def test_options_are_refused_by_name_and_value(options: dict[str, object], says: str) -> None:
    given = dict.fromkeys(("lake", "project", "dataset", "config", "run_id", "dry_run", "user_data", "notify"))
    with pytest.raises(UsageError, match=says):
        build_config(ClusterLocationDates, {**given, "lake": "x", "set": (), "tag": ()}, options)


def _edit(album: Album, id_: str, change: Callable[[Lake, Scope, str], object]) -> None:
    lake = Lake(album.lake)
    change(lake, Scope(PROJECT), id_)
