"""Trips through the jobs' own functions: the design's worked examples, options, deletions, days and time zones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from catalog.lake import Lake, Scope
from catalog.location_dates import delete_cluster, undelete_cluster
from jobs.cluster_location_dates import ClusterLocationDates
from jobs.options import build_config
from schemas.errors import UsageError
from tests.jobs.albums import PROJECT, Album, photo

HANGZHOU, JIAXING, NINGBO = "China/Zhejiang/Hangzhou", "China/Zhejiang/Jiaxing", "China/Zhejiang/Ningbo"
pytestmark = pytest.mark.usefixtures("spark")


@pytest.fixture
def album(tmp_path: Path, spark: SparkSession) -> Album:
    """An empty lake."""
    return Album(tmp_path)


def days(place: str, *numbers: int, month: str = "2026-03", **more: object) -> list[dict[str, object]]:
    """A picture on each day of a month."""
    return [photo(f"{month}-{number:02d}", place, **more) for number in numbers]


def test_worked_examples_of_the_design(album: Album) -> None:
    # One dataset per example, so that one run does them all.
    rows = [
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
    album.index(rows)
    album.cluster(levels=("country", "province", "city", "district"))
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
    again = album.cluster(levels=("country", "province", "city", "district"))
    assert album.versions() == before, again.ledger.row_counts


@pytest.mark.slow
def test_options_changed_and_changed_back_revive_ids_and_say_why(album: Album) -> None:
    album.index([*days(HANGZHOU, 1, 2, 3, 6), *days(HANGZHOU, 20)])
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


def test_growth_keeps_the_id_a_bridge_merges_a_correction_moves_a_day_and_removed_files_stay_evidence(
    album: Album,
) -> None:
    ann = [photo("2026-03-03", HANGZHOU, dataset="ann", uri="a"), photo("2026-03-04", HANGZHOU, dataset="ann", uri="b")]
    rex, unseen = ([photo(f"2026-03-0{day}", HANGZHOU, dataset="rex") for day in some] for some in ((3, 4), (9,)))
    album.index([*days(HANGZHOU, 1, 2, 3, 7), *ann, *rex])
    album.cluster()
    first = {(row["dataset_name"], str(row["first_day"])): row["object_id"] for row in album.clusters()}
    corrected = photo("2026-05-01", JIAXING, dataset="ann", uri="a")
    album.index([*days(HANGZHOU, 5), corrected, *unseen])
    album.remove(rex[0]["uri"], unseen[0]["uri"], dataset="rex")
    album.cluster()
    expected = {
        ("ada", "Hangzhou", "2026-03-01", "2026-03-07"),
        ("ann", "Hangzhou", "2026-03-04", "2026-03-04"),
        ("ann", "Jiaxing", "2026-05-01", "2026-05-01"),
    }
    assert album.trips() == {*expected, ("rex", "Hangzhou", "2026-03-03", "2026-03-04")}
    now = {(row["dataset_name"], str(row["first_day"])): row for row in album.clusters()}
    assert now["ada", "2026-03-01"]["object_id"] == first["ada", "2026-03-01"]
    assert now["ann", "2026-03-04"]["object_id"] == first["ann", "2026-03-03"]
    assert ("merged_into", first["ada", "2026-03-07"]) in album.events()
    seen = now["rex", "2026-03-03"]
    assert (seen["object_id"], seen["files"], seen["cover_uri"]) == (first["rex", "2026-03-03"], 2, rex[1]["uri"])
    album.cluster(rebuild=True)
    assert album.trips() == {*expected, ("rex", "Hangzhou", "2026-03-04", "2026-03-04")}


def test_deleted_cluster_stays_away_new_days_cluster_and_undo_brings_it_back(album: Album) -> None:
    album.index(days(HANGZHOU, 3, 4, 5))
    album.cluster()
    id_ = album.ids()["Hangzhou", "2026-03-03"]
    _edit(album, id_, delete_cluster)
    album.cluster()
    assert album.trips() == set()
    assert ("removed", id_) in album.events()

    album.index([*days(HANGZHOU, 4, n=1), *days(HANGZHOU, 6, 7)])  # a deleted day, and new ones beside it
    album.cluster()
    assert album.trips() == {("ada", "Hangzhou", "2026-03-06", "2026-03-07")}
    assert id_ not in album.ids().values()
    album.cluster(full=True)
    assert album.trips() == {("ada", "Hangzhou", "2026-03-06", "2026-03-07")}

    _edit(album, id_, undelete_cluster)
    album.cluster()
    assert album.trips() == {("ada", "Hangzhou", "2026-03-03", "2026-03-07")}
    assert set(album.ids().values()) == {id_}
    assert ("revived", id_) in album.events()


def test_local_days_across_zones_the_date_line_dst_and_leap_days(album: Album) -> None:
    at = {
        "tokyo": (35.68, 139.69),
        "newyork": (40.71, -74.0),
        "auckland": (-36.85, 174.76),
        "apia": (-13.83, -171.76),
    }

    def taken(dataset: str, time: str, where: str) -> dict[str, object]:
        latitude, longitude = at[where]
        return {**photo(time, "X/Y/Z", dataset=dataset), "latitude": latitude, "longitude": longitude}

    album.index(
        [
            taken("instant", "2026-03-03T20:00:00Z", "tokyo"),  # the 4th in Tokyo
            taken("offset", "2026-03-03T20:00:00-05:00", "tokyo"),  # an explicit offset is trusted
            taken("wall", "2026-03-08T02:30:00", "newyork"),  # skipped by summer time
            taken("dateline", "2026-01-01T10:30:00Z", "apia"),
            taken("dateline", "2026-01-01T10:30:00Z", "auckland") | {"uri": "other"},
            taken("leap", "2024-02-28T23:59:59+00:00", "tokyo"),
            taken("leap", "2024-02-29T00:00:00+00:00", "tokyo"),
            taken("leap", "2024-03-01T00:00:00+00:00", "tokyo"),
        ]
    )
    album.cluster(gap_days=0)
    spans = {(trip[0], trip[2], trip[3]) for trip in album.trips()}
    assert spans == {
        ("instant", "2026-03-04", "2026-03-04"),
        ("offset", "2026-03-03", "2026-03-03"),
        ("wall", "2026-03-08", "2026-03-08"),
        ("dateline", "2026-01-01", "2026-01-01"),
        ("leap", "2024-02-28", "2024-03-01"),
    }
    offsets = {row["dataset_name"]: row["start_offset"] for row in album.clusters()}
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
    given = dict.fromkeys(("lake", "project", "dataset", "config", "run_id", "dry_run", "user_data"))
    with pytest.raises(UsageError, match=says):
        build_config(ClusterLocationDates, {**given, "lake": "x", "set": (), "tag": ()}, options)


def _edit(album: Album, id_: str, change: Callable[[Lake, Scope, str], object]) -> None:
    lake = Lake(album.lake)
    change(lake, Scope(PROJECT), id_)
