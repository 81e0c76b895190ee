"""Tests of transforms/trips/days.py: what the files of a day come to, and days kept up to date."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from schemas.contract import LEVELS
from tests.transforms.trips.histories import FILES
from tests.transforms.trips.tables import KEY, pick_columns
from transforms.tables.keyed import semi_join, with_columns
from transforms.trips.days import (
    add_days,
    change_days,
    count_days,
    days_to_recount,
    replace_days,
    touched_days,
)

PLACE = "fr/occitanie/toulouse//"
DAY = date(2024, 2, 29)
DAY_KEY = ("bucket", "project_name", "dataset_name", "place_key", "local_date")


def file(uri: str, **more: Any) -> dict[str, Any]:
    """A picture at noon of a leap day."""
    names = dict(zip(LEVELS, (part or None for part in PLACE.split("/")), strict=True))
    taken = {"local_date": DAY, "produce_time": datetime(2024, 2, 29, 12, tzinfo=UTC), "utc_offset": 60}
    return {**KEY, **names, **taken, "place_key": PLACE, "uri": uri, "media_type": "image", "cover_rank": 0, **more}


def files(*rows: dict[str, Any]) -> pa.Table:
    """Rows of `file_places`."""
    return pa.Table.from_pylist(list(rows), FILES)


def feed(*rows: tuple[str, dict[str, Any]]) -> pa.Table:
    """A change feed of `file_places`."""
    kinds = pa.array([kind for kind, _ in rows], pa.string())
    return with_columns(files(*(row for _, row in rows)), {"_change_type": kinds})


def test_files_of_one_shot_count_once() -> None:
    shot = [file("a.heic", shot_id="a.heic"), file("a.mov", shot_id="a.heic", media_type="video", cover_rank=1)]
    (day,) = count_days(files(*shot, file("b"))).to_pylist()
    assert (day["files"], day["images"], day["videos"]) == (2, 2, 0)
    assert count_days(files(shot[1])).num_rows == 0
    # a video that was alone becomes a companion
    alone = file("a.mov", media_type="video", cover_rank=1)
    days = count_days(files(alone))
    changes = feed(("update_preimage", alone), ("update_postimage", shot[1]), ("insert", shot[0]))
    (change,) = change_days(changes, places=files(*shot), days=days).to_pylist()
    assert (change["files"], change["images"], change["videos"]) == (1, 1, 0)


def test_a_day_counts_its_files_and_knows_the_first_the_last_and_the_best_cover() -> None:
    early, late = (datetime(2024, 2, 29, hour, tzinfo=UTC) for hour in (6, 18))
    days = count_days(
        files(
            file("b", produce_time=late, utc_offset=-60, cover_rank=-5, city="Toulouse"),
            file("a", media_type="video", cover_rank=1),
            file("c", produce_time=early, utc_offset=120),
            file("no time", local_date=None, produce_time=None, utc_offset=None),
            file("elsewhere", place_key="fr/occitanie/albi//", city="albi"),
        )
    )
    assert pick_columns(days, "place_key", "local_date", "files", "images", "videos") == {
        (PLACE, "2024-02-29", 3, 2, 1),
        ("fr/occitanie/albi//", "2024-02-29", 1, 1, 0),
    }
    row = next(row for row in days.to_pylist() if row["place_key"] == PLACE)
    assert row["first"] == {"time": early, "utc_offset": 120}
    assert row["last"] == {"time": late, "utc_offset": -60}
    assert (row["cover"], row["city"]) == ({"rank": -5, "time": late, "uri": "b"}, "Toulouse")


@pytest.mark.parametrize("uris", [("a", "b"), ("Z", "a"), ("a", "ab"), ("z", "é"), ("\uffff", "😀"), ("", "a")])
def test_covers_that_are_alike_are_told_apart_by_the_octets_of_their_uri(uris: tuple[str, str]) -> None:
    for order in (uris, uris[::-1]):
        days = count_days(files(*(file(uri) for uri in order)))
        assert days["cover"].to_pylist()[0]["uri"] == min(uris, key=lambda uri: uri.encode())


def test_moments_at_one_instant_are_told_apart_by_their_offset() -> None:
    (day,) = count_days(files(file("a", utc_offset=60), file("b", utc_offset=-60), file("c", utc_offset=0))).to_pylist()
    assert (day["first"]["utc_offset"], day["last"]["utc_offset"]) == (-60, 60)


def test_days_at_the_ends_of_the_calendar_and_of_the_epoch_are_days() -> None:
    ends = [
        date(1, 1, 2),
        date(1582, 10, 4),
        date(1582, 10, 15),
        date(1969, 12, 31),
        date(1970, 1, 1),
        date(9999, 12, 30),
    ]
    taken = [datetime(day.year, day.month, day.day, 12, tzinfo=UTC) for day in ends]
    rows = [file(str(day), local_date=day, produce_time=time) for day, time in zip(ends, taken, strict=True)]
    days = count_days(files(*rows)).to_pylist()
    assert [(day["local_date"], day["first"]["time"]) for day in days] == list(zip(ends, taken, strict=True))


def test_no_files_are_no_days() -> None:
    assert len(count_days(files())) == 0
    assert len(change_days(feed(), places=files(), days=count_days(files()))) == 0


def test_days_that_are_added_up_are_days_of_all_files() -> None:
    chance = random.Random(5)
    rows = []
    for number in range(400):
        day = DAY + timedelta(days=chance.randrange(30))
        time = datetime(day.year, day.month, day.day, chance.randrange(3), tzinfo=UTC)
        more = {"utc_offset": chance.choice((0, 60)), "cover_rank": chance.randrange(3), "city": f"Town {number}"}
        place = chance.choice((PLACE, "sg/sg/sg//"))
        rows.append(file(f"{number}", local_date=day, produce_time=time, place_key=place, **more))
    whole = count_days(files(*rows))
    parts = add_days(pa.concat_tables([count_days(files(*rows[start::3])) for start in range(3)]))
    assert len(replace_days(parts, days=whole)) == 0
    assert len(whole) == len(parts)


def test_a_day_grows_by_what_came_and_is_counted_again_where_a_file_left_or_changed() -> None:
    other = DAY + timedelta(days=1)
    before = [
        file("stays"),
        file("goes", local_date=other),
        file("still", local_date=other),
        file("last", place_key="x"),
    ]
    came, moved = file("came"), {**before[1], "local_date": DAY + timedelta(days=2)}
    undated = file("undated", local_date=None, produce_time=None, utc_offset=None)
    changes = feed(
        ("insert", came),
        ("insert", undated),
        ("update_preimage", before[1]),
        ("update_postimage", moved),
        ("delete", before[3]),
    )
    after = files(before[0], before[2], came, moved, undated)
    days = count_days(files(*before))
    current = semi_join(days, touched_days(changes), on=DAY_KEY)
    assert pick_columns(days_to_recount(changes), "place_key", "local_date") == {(PLACE, str(other)), ("x", str(DAY))}
    recounted = semi_join(after, days_to_recount(changes), on=DAY_KEY)
    found = change_days(changes, places=recounted, days=current)
    assert pick_columns(found, "place_key", "local_date", "files", "_action") == {
        (PLACE, "2024-02-29", 2, "update"),
        (PLACE, "2024-03-01", 1, "update"),
        (PLACE, "2024-03-02", 1, "insert"),
        ("x", "2024-02-29", 1, "delete"),
    }
    whole = replace_days(count_days(after), days=days)
    assert sorted(map(str, whole.to_pylist())) == sorted(map(str, found.to_pylist()))


def test_a_file_that_came_and_moved_on_within_one_feed_is_counted_once() -> None:
    came, moved = file("a"), file("a", local_date=DAY + timedelta(days=1))
    changes = feed(("insert", came), ("update_preimage", came), ("update_postimage", moved))
    found = change_days(changes, places=files(), days=count_days(files()))
    assert pick_columns(found, "local_date", "files", "_action") == {("2024-03-01", 1, "insert")}
