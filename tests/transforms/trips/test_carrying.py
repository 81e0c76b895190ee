"""Tests of transforms/trips/carrying.py: which id a segment has, and what becomes of those that went."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from schemas.lake import CLUSTER_NAMESPACE
from tests.transforms.trips.histories import put_changes
from tests.transforms.trips.tables import DELETIONS, KEY, NO_DELETIONS, pick_columns, place_days
from transforms.tables.keyed import with_columns
from transforms.trips.carrying import SEGMENTS, decide_segments

CITY = "fr/occitanie/toulouse"
PLACE = f"{CITY}//"
CLUSTER = ("bucket", "project_name", "dataset_name", "object_id")
OPTIONS: dict[str, Any] = {"levels": ("city",), "gap_days": 1, "min_days": 1, "max_days": 15}


def id_of(generation: int, *, level: str = "city", place: str = CITY) -> str:
    """The id of a place's segment."""
    name = "\n".join(("p", "d", level, place, str(generation)))
    return f"location-date-cluster-{uuid.uuid5(CLUSTER_NAMESPACE, name)}"


@dataclass
class Memory:
    """The segments of one lake, run by run."""

    segments: pa.Table = field(default_factory=SEGMENTS.empty_table)
    runs: int = 0

    def run(self, *days: int, deletions: pa.Table = NO_DELETIONS, place: str = PLACE, **options: Any) -> pa.Table:
        """The changes that come of pictures on days of March 2026, by number; they are made."""
        rows = place_days(*((place, str(day_of(number))) for number in days))
        return self.decide(rows, deletions=deletions, **options)

    def decide(self, rows: pa.Table, *, deletions: pa.Table = NO_DELETIONS, **options: Any) -> pa.Table:
        """The changes that come of rows of `place_days`; they are made."""
        now = datetime(2026, 6, 1, tzinfo=UTC) + timedelta(days=self.runs)
        self.runs += 1
        chosen = {**OPTIONS, **options}
        changes = decide_segments(rows, segments=self.segments, deletions=deletions, now=now, **chosen)
        self.segments = put_changes(self.segments, changes, key=CLUSTER)
        return changes

    def told(self) -> set[tuple[Any, ...]]:
        """(generation, state, first day, last day) of all segments, days by number."""
        rows = self.segments.to_pylist()
        return {(r["generation"], r["state"], number_of(r["first_day"]), number_of(r["last_day"])) for r in rows}

    def row(self, generation: int) -> dict[str, Any]:
        """The segment of a generation."""
        (row,) = self.segments.filter(pc.equal(self.segments["generation"], generation)).to_pylist()
        return dict(row)


def day_of(number: int) -> date:
    """The day of March 2026."""
    return date(2026, 2, 28) + timedelta(days=number)


def number_of(day: date) -> int:
    """Its number."""
    return (day - date(2026, 2, 28)).days


def deletion(generation: int, first: int, last: int) -> pa.Table:
    """That a cluster is deleted, with its days."""
    span = {"first_day": day_of(first), "last_day": day_of(last)}
    row = {**KEY, "object_id": id_of(generation), "level": "city", "place_key": CITY, **span}
    return pa.Table.from_pylist([row], DELETIONS)


def test_new_segments_are_numbered_through_time_and_named_by_their_number() -> None:
    memory = Memory()
    changes = memory.run(20, 3, 4, 10)
    assert pick_columns(changes, "generation", "first_day", "object_id", "_action", "is_cluster") == {
        (1, "2026-03-03", id_of(1), "insert", True),
        (2, "2026-03-10", id_of(2), "insert", True),
        (3, "2026-03-20", id_of(3), "insert", True),
    }
    assert {row["cluster_since"] for row in changes.to_pylist()} == {datetime(2026, 6, 1, tzinfo=UTC)}
    assert len(memory.run(20, 3, 4, 10)) == 0


def test_a_segment_that_grows_keeps_its_id_and_its_times() -> None:
    memory = Memory()
    memory.run(3, 4)
    (row,) = memory.run(3, 4, 5).to_pylist()
    assert (row["object_id"], row["_action"], row["days"]) == (id_of(1), "update", 3)
    assert (row["create_time"], row["update_time"]) == tuple(datetime(2026, 6, day, tzinfo=UTC) for day in (1, 2))


def test_what_merges_follows_the_one_that_shares_most_days_and_the_other_names_it() -> None:
    memory = Memory()
    memory.run(1, 2, 5, 6, 7)
    memory.run(1, 2, 3, 4, 5, 6, 7)
    assert memory.told() == {(2, "live", 1, 7), (1, "gone", 1, 2)}
    assert memory.row(1)["successor_id"] == id_of(2)
    assert not memory.row(1)["is_cluster"]


def test_what_parts_stays_with_the_larger_part_and_the_other_names_its_origin() -> None:
    memory = Memory()
    memory.run(1, 3, 5, 6, 7)
    memory.run(1, 3, 5, 6, 7, gap_days=0)
    assert memory.told() == {(1, "live", 5, 7), (2, "live", 1, 1), (3, "live", 3, 3)}
    assert [memory.row(n)["origin_id"] for n in (1, 2, 3)] == [None, id_of(1), id_of(1)]


def test_ties_go_to_the_oldest_and_then_to_the_earlier() -> None:
    memory = Memory()
    memory.run(5, 6)
    memory.run(1, 2, 5, 6)  # the younger, 2, lies before
    assert memory.told() == {(1, "live", 5, 6), (2, "live", 1, 2)}
    memory.run(1, 2, 5, 6, gap_days=2)
    assert memory.told() == {(1, "live", 1, 6), (2, "gone", 1, 2)}
    parted = Memory()
    parted.run(1, 3)
    parted.run(1, 3, gap_days=0)
    assert parted.told() == {(1, "live", 1, 1), (2, "live", 3, 3)}


@pytest.mark.parametrize(
    ("middle", "origin"),
    [
        ((9, 13), min(id_of(1), id_of(2))),  # two days of either: the smaller id
        ((9, 12), id_of(1)),
        ((10, 14), id_of(2)),
    ],
)
def test_a_new_one_was_part_of_the_one_that_it_shares_most_days_with(middle: tuple[int, int], origin: str) -> None:
    memory = Memory()
    memory.run(*range(1, 11), *range(12, 21), gap_days=0)
    first, last = middle
    memory.run(*range(1, first - 1), *range(first, last + 1), *range(last + 2, 21), gap_days=0)
    assert memory.row(3)["origin_id"] == origin
    assert [memory.row(n)["origin_id"] for n in (1, 2)] == [None, None]


@pytest.mark.parametrize(("days", "successor"), [((11, 13), 1), ((11, 13, 14), 3), ((11, 12, 14), 1)])
def test_one_that_two_others_take_over_names_the_one_that_took_more_and_then_the_earlier(
    days: tuple[int, ...], successor: int
) -> None:
    memory = Memory()
    before, after = range(1, 9), range(17, 25)
    memory.run(*before, *days, *after)
    assert memory.row(2)["last_day"] == day_of(days[-1])
    grown = (*range(1, days[0] + 1), *days, *range(days[-1], 25))
    memory.run(*grown, gap_days=0)
    assert (memory.row(2)["state"], memory.row(2)["successor_id"]) == ("gone", id_of(successor))


def test_options_that_change_and_change_back_revive_what_there_was() -> None:
    memory = Memory()
    days = (1, 2, 5, 9, 10, 11)
    memory.run(*days)
    before = memory.told()
    memory.run(*days, gap_days=4)
    assert {state for _, state, *_ in memory.told()} == {"live", "gone"}
    memory.run(*days)
    assert memory.told() == before
    assert len(memory.run(*days)) == 0


def test_a_level_that_is_dropped_goes_and_comes_back_with_its_ids() -> None:
    memory = Memory()
    memory.run(1, 2, levels=("province", "city"))
    before = pick_columns(memory.segments, "object_id", "level", "state")
    assert {level for _, level, _ in before} == {"province", "city"}
    changes = memory.run(1, 2, levels=("city",))
    assert pick_columns(changes, "level", "state", "successor_id") == {("province", "gone", None)}
    memory.run(1, 2, levels=("province", "city"))
    assert pick_columns(memory.segments, "object_id", "level", "state") == before


def test_min_and_max_days_move_clusters_over_the_line_and_leave_segments_as_they_are() -> None:
    memory = Memory()
    memory.run(1, 2, 5)
    since = memory.row(1)["cluster_since"]
    changes = memory.run(1, 2, 5, min_days=2)
    assert pick_columns(changes, "generation", "is_cluster", "_action") == {(2, False, "update")}
    memory.run(1, 2, 5, min_days=3)
    memory.run(1, 2, 5)
    assert memory.row(1)["cluster_since"] == since
    never = Memory()
    never.run(1, min_days=2)
    assert never.row(1)["cluster_since"] is None


def test_a_deletion_strikes_the_segment_and_its_days_until_it_is_undone() -> None:
    memory = Memory()
    memory.run(1, 2, 3)
    gone = deletion(1, 1, 3)
    changes = memory.run(1, 2, 3, 4, deletions=gone)
    assert pick_columns(changes, "generation", "state", "first_day", "_action") == {
        (1, "deleted", "2026-03-01", "update"),
        (2, "live", "2026-03-04", "insert"),
    }
    assert len(memory.run(1, 2, 3, 4, deletions=gone)) == 0
    memory.run(1, 2, 3, 4)
    assert memory.told() == {(1, "live", 1, 4), (2, "gone", 4, 4)}
    assert memory.row(2)["successor_id"] == id_of(1)


def test_an_undone_deletion_whose_days_are_no_more_is_gone() -> None:
    memory = Memory()
    memory.run(1, 2)
    memory.run(9, deletions=deletion(1, 1, 2))
    memory.run(9)
    assert memory.told() == {(1, "gone", 1, 2), (2, "live", 9, 9)}


def test_a_number_is_never_given_twice() -> None:
    memory = Memory()
    memory.run(1)
    memory.run(10)
    memory.run(20)
    memory.run(30, deletions=deletion(3, 20, 20))
    assert memory.told() == {(1, "gone", 1, 1), (2, "gone", 10, 10), (3, "deleted", 20, 20), (4, "live", 30, 30)}


def test_what_went_comes_back_only_where_nothing_live_answers() -> None:
    memory = Memory()
    memory.run(1, 2, 3)
    memory.run(10)
    memory.run(1, 10)
    assert memory.told() == {(1, "live", 1, 1), (2, "live", 10, 10)}
    memory.run(10)
    memory.run(9, 10)  # 1 shares no day with it
    assert memory.told() == {(1, "gone", 1, 1), (2, "live", 9, 10)}


def test_only_what_is_in_scope_is_looked_at() -> None:
    memory = Memory()
    memory.run(1, place="fr/rhône/lyon//")
    place = {**KEY, "level": "city", "place_key": CITY}
    places = pa.Table.from_pylist([place], pa.schema([f for f in DELETIONS if f.name in place]))
    changes = memory.decide(place_days((PLACE, "2026-03-04"), (PLACE, "2026-03-05", "other")), places=places)
    assert pick_columns(changes, "dataset_name", "place_key", "_action") == {("d", CITY, "insert")}
    assert len(memory.segments) == 2
    everything = memory.decide(place_days((PLACE, "2026-03-04")))
    assert pick_columns(everything, "place_key", "state") == {("fr/rhône/lyon", "gone")}


def test_thousands_of_spans_of_one_place_are_matched_in_little_time() -> None:
    memory = Memory()
    days = tuple(range(1, 15_000, 3))
    memory.run(*days)
    assert len(memory.segments) == 5_000
    changes = memory.run(*(day + 1 for day in days))
    assert pick_columns(changes, "_action", "state") == {("update", "gone"), ("insert", "live")}
    back = memory.run(*days)
    assert pc.sum(pc.equal(back["state"], "live")).as_py() == 5_000
    assert set(back["_action"].to_pylist()) == {"update"}


def test_files_that_change_a_segment_by_counts_alone_update_it() -> None:
    memory = Memory()
    rows = place_days((PLACE, "2026-03-04"))
    memory.decide(rows)
    more = with_columns(rows, {name: pa.array([2], pa.int64()) for name in ("files", "images")})
    (row,) = memory.decide(more).to_pylist()
    assert (row["files"], row["_action"], row["generation"]) == (2, "update", 1)
