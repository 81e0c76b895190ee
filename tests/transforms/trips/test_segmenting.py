"""Tests of transforms/trips/segmenting.py: where the days of a place are cut, and what a level's day is made of."""

from __future__ import annotations

import pyarrow as pa
import pytest

from tests.transforms.trips.tables import DELETIONS, KEY, pick_columns, place_days
from transforms.tables.keyed import with_columns
from transforms.trips.segmenting import explode_levels, segment_days

TOULOUSE, ALBI, LYON = "fr/occitanie/toulouse//", "fr/occitanie/albi//", "fr/rhone/lyon//"


def spans(days: pa.Table, *, gap_days: int, levels: tuple[str, ...] = ("city",), **more: pa.Table) -> set[tuple]:
    """(place key, first day, last day, days with files) of each segment."""
    segments = segment_days(days, levels=levels, gap_days=gap_days, **more)
    return pick_columns(segments, "place_key", "first_day", "last_day", "days_with_files")


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
    gap_days: int, expected: set[tuple[str, str, int]]
) -> None:
    away = [(LYON, "2026-03-06")]  # a day elsewhere cuts nothing by itself
    days = place_days(*((TOULOUSE, f"2026-03-{day}") for day in ("10", "05", "04", "07")), *away)
    found = {(a[-2:], b[-2:], n) for place, a, b, n in spans(days, gap_days=gap_days) if "toulouse" in place}
    assert found == expected


def test_datasets_are_never_joined() -> None:
    days = place_days((TOULOUSE, "2026-03-04", "ada"), (TOULOUSE, "2026-03-05", "bob"), (TOULOUSE, "2026-03-06", "ada"))
    segments = segment_days(days, levels=("city",), gap_days=1)
    found = pick_columns(segments, "dataset_name", "first_day", "last_day", "days")
    assert found == {("ada", "2026-03-04", "2026-03-06", 3), ("bob", "2026-03-05", "2026-03-05", 1)}


def test_a_level_joins_the_days_of_the_places_in_it() -> None:
    days = place_days((TOULOUSE, "2024-02-28"), (ALBI, "2024-02-29"), (ALBI, "2024-02-28"), (LYON, "2024-03-01"))
    assert spans(days, gap_days=0, levels=("country", "province")) == {
        ("fr", "2024-02-28", "2024-03-01", 3),
        ("fr/occitanie", "2024-02-28", "2024-02-29", 2),
        ("fr/rhone", "2024-03-01", "2024-03-01", 1),
    }
    assert spans(days, gap_days=0, levels=("district",)) == set()


def test_a_place_has_the_levels_whose_part_is_not_empty() -> None:
    places = pa.table({"place_key": ["cn/beijing/beijing/haidian/", "日本/東京/東京//渋谷", "//x//"]})
    found = explode_levels(places, levels=("country", "city", "district", "township"))
    assert pick_columns(found, "level", "place_key") == {
        ("country", "cn"),
        ("city", "cn/beijing/beijing"),
        ("district", "cn/beijing/beijing/haidian"),
        ("country", "日本"),
        ("city", "日本/東京/東京"),
        ("township", "日本/東京/東京//渋谷"),
        ("city", "//x"),
    }


def test_a_segment_is_named_down_to_its_level_by_its_best_cover() -> None:
    days = place_days((TOULOUSE, "2026-03-05"), (ALBI, "2026-03-04"))
    segments = segment_days(days, levels=("province", "city"), gap_days=0)
    assert pick_columns(segments, "level", "country", "province", "city", "files") == {
        ("province", "fr", "occitanie", None, 2),
        ("city", "fr", "occitanie", "toulouse", 1),
        ("city", "fr", "occitanie", "albi", 1),
    }
    (province,) = (row for row in segments.to_pylist() if row["level"] == "province")
    assert province["cover"]["uri"] == "2026-03-04"
    assert (str(province["first"]["time"])[:10], str(province["last"]["time"])[:10]) == ("2026-03-04", "2026-03-05")


def test_calendars_and_epochs_turn_within_a_trip() -> None:
    pairs = (("0001-01-02", "0001-01-03"), ("1582-10-14", "1582-10-15"), ("1969-12-31", "1970-01-01"))
    ends = ("9999-12-30", "9999-12-31")
    days = place_days(*((TOULOUSE, day) for pair in (*pairs, ends) for day in pair))
    assert spans(days, gap_days=0) == {("fr/occitanie/toulouse", *pair, 2) for pair in (*pairs, ends)}
    assert segment_days(days, levels=("city",), gap_days=10_000_000)["days"].to_pylist() == [3652058]


def test_days_that_were_deleted_are_out_at_that_place_and_level_alone() -> None:
    rows = [
        {**KEY, "object_id": "a", "level": "city", "place_key": "fr/occitanie/toulouse", "first_day": 4, "last_day": 6},
        {
            **KEY,
            "object_id": "b",
            "level": "city",
            "place_key": "fr/occitanie/toulouse",
            "first_day": 3,
            "last_day": 10,
        },
        {
            **KEY,
            "object_id": "c",
            "level": "city",
            "place_key": "fr/occitanie/toulouse",
            "first_day": 20,
            "last_day": 20,
        },
        {**KEY, "object_id": "d", "level": "city", "place_key": "elsewhere", "first_day": 1, "last_day": 30},
    ]
    base = place_days((TOULOUSE, "2026-03-01"))["local_date"][0].cast(pa.int32()).as_py() - 1
    rows = [{**row, **{name: base + row[name] for name in ("first_day", "last_day")}} for row in rows]
    deletions = pa.Table.from_pylist(rows, DELETIONS)
    days = place_days(*((TOULOUSE, f"2026-03-{day:02d}") for day in (1, 2, 3, 6, 7, 10, 11, 20, 21)))
    days = pa.concat_tables([days, place_days((ALBI, "2026-03-05"))])
    found = spans(days, gap_days=0, deletions=deletions, levels=("city", "country"))
    assert {span for span in found if span[0] != "fr"} == {
        ("fr/occitanie/toulouse", "2026-03-01", "2026-03-02", 2),
        ("fr/occitanie/toulouse", "2026-03-11", "2026-03-11", 1),
        ("fr/occitanie/toulouse", "2026-03-21", "2026-03-21", 1),
        ("fr/occitanie/albi", "2026-03-05", "2026-03-05", 1),
    }
    assert ("fr", "2026-03-05", "2026-03-07", 3) in found


def test_only_the_places_in_scope_are_cut() -> None:
    days = place_days((TOULOUSE, "2026-03-04"), (LYON, "2026-03-04"), (LYON, "2026-03-04", "ada"))
    place = pa.table({**{k: [v] for k, v in KEY.items()}, "level": ["city"], "place_key": ["fr/rhone/lyon"]})
    place = with_columns(place, {"bucket": place["bucket"].cast(pa.int32())})
    ada = with_columns(place.select(["bucket", "project_name"]), {"dataset_name": pa.array(["ada"])})
    levels = ("country", "city")
    found = segment_days(days, levels=levels, gap_days=0, places=place, datasets=ada)
    assert pick_columns(found, "dataset_name", "level", "place_key") == {
        ("d", "city", "fr/rhone/lyon"),
        ("ada", "country", "fr"),
        ("ada", "city", "fr/rhone/lyon"),
    }
    assert len(segment_days(days, levels=levels, gap_days=0)) == 5
    assert len(segment_days(days, levels=levels, gap_days=0, datasets=ada.slice(0, 0))) == 0
