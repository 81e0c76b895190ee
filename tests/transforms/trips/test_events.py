"""Tests of transforms/trips/events.py: what a change of a cluster is called, and why it happened."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pytest

from schemas.location_date_segments import LOCATION_DATE_SEGMENTS
from tests.transforms.trips.tables import KEY, pick_columns
from transforms.trips.clusters import CLUSTERS
from transforms.trips.events import CONTEXT_COLUMNS, EVENTS, FEED_COLUMNS, changes_since_events, derive_events

NOW = datetime(2026, 4, 1, tzinfo=UTC)
COMMIT = {
    "_change_type": pa.string(),
    "_commit_version": pa.int64(),
    "_commit_timestamp": pa.timestamp("us", tz="UTC"),
}
FEED = pa.schema([pa.field(n, COMMIT[n]) if n in COMMIT else CLUSTERS.field(n) for n in FEED_COLUMNS])
CONTEXT = pa.schema([LOCATION_DATE_SEGMENTS.arrow_schema.field(name) for name in CONTEXT_COLUMNS])


def feed(*changes: tuple[str, str, int, int], version: int = 5) -> pa.Table:
    """(object_id, kind of change, first, last day of March) of each row of the feed."""
    commit = {"_commit_version": version, "_commit_timestamp": NOW}
    rows = [
        {
            **KEY,
            **commit,
            "object_id": name,
            "_change_type": kind,
            "first_day": date(2026, 3, first),
            "last_day": date(2026, 3, last),
        }
        for name, kind, first, last in changes
    ]
    return pa.Table.from_pylist(rows, FEED)


def context(**segments: dict[str, Any]) -> pa.Table:
    """What the segments say, by object_id."""
    usual = {"is_cluster": True, "state": "live", "days": 3}
    return pa.Table.from_pylist([{**KEY, **usual, "object_id": n, **more} for n, more in segments.items()], CONTEXT)


def known(*names: str) -> pa.Table:
    """Events of clusters that there were before."""
    return feed(*((name, "insert", 1, 1) for name in names))


def test_one_that_appears_is_created_revived_or_split_off() -> None:
    changes = feed(*((name, "insert", 1, 2) for name in ("new", "back", "part")))
    segments = context(new={}, back={"origin_id": "x"}, part={"origin_id": "whole"})
    events = derive_events(changes, segments=segments, known=known("back"))
    assert pick_columns(events, "object_id", "event", "other_id", "first_day_before", "first_day") == {
        ("new", "created", None, None, "2026-03-01"),
        ("back", "revived", None, None, "2026-03-01"),
        ("part", "split_from", "whole", None, "2026-03-01"),
    }
    assert pick_columns(events, "cluster_version", "event_time", "kind") == {(5, str(NOW), "location-date")}
    assert events.schema.names == EVENTS.names


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ((3, 5), (3, 6), {"extended"}),
        ((3, 5), (2, 5), {"extended"}),
        ((3, 5), (4, 5), {"shrunk"}),
        ((3, 5), (3, 4), {"shrunk"}),
        ((3, 5), (4, 6), {"extended", "shrunk"}),
        ((3, 5), (2, 6), {"extended"}),
        ((3, 5), (3, 5), set()),
    ],
)
def test_one_that_stays_is_extended_shrunk_or_both(
    before: tuple[int, int], after: tuple[int, int], expected: set[str]
) -> None:
    changes = feed(("a", "update_preimage", *before), ("a", "update_postimage", *after))
    events = derive_events(changes, segments=context(), known=known("a"))
    assert {row["event"] for row in events.to_pylist()} == expected


def test_one_that_goes_was_deleted_fell_outside_joined_another_or_lost_its_days() -> None:
    names = ("struck", "long", "joined", "lost", "unknown")
    segments = context(
        struck={"is_cluster": False, "state": "deleted"},
        long={"is_cluster": False, "days": 20},
        joined={"is_cluster": False, "state": "gone", "successor_id": "other"},
        lost={"is_cluster": False, "state": "gone"},
    )
    events = derive_events(feed(*((n, "delete", 1, 2) for n in names)), segments=segments, known=known(*names))
    assert pick_columns(events, "object_id", "event", "other_id", "reason", "first_day") == {
        ("struck", "removed", None, "deleted by a person", None),
        ("long", "removed", None, "its 20 days are no longer within MinDays and MaxDays", None),
        ("joined", "merged_into", "other", "its days joined another", None),
        ("lost", "removed", None, "its days are no longer evidence at this level", None),
    }


def test_each_version_of_the_table_has_its_own_events() -> None:
    first = feed(("a", "insert", 1, 2), version=1)
    second = feed(("a", "update_preimage", 1, 2), ("a", "update_postimage", 1, 3), version=2)
    events = derive_events(pa.concat_tables([second, first]), segments=context(), known=known())
    found = pick_columns(events, "cluster_version", "event", "last_day_before", "last_day")
    assert found == {(1, "created", None, "2026-03-02"), (2, "extended", "2026-03-02", "2026-03-03")}


def test_nothing_changed_is_no_event() -> None:
    assert len(derive_events(feed(), segments=context(), known=known())) == 0


def test_where_the_feed_is_gone_the_last_events_say_what_there_was() -> None:
    told = derive_events(
        feed(*((name, "insert", 1, 2) for name in ("stays", "grows", "went", "gone"))),
        segments=context(),
        known=known(),
    )
    removed = derive_events(
        feed(("gone", "delete", 1, 2), version=6), segments=context(gone={"is_cluster": False, "days": 20}), known=told
    )
    there = feed(("stays", "insert", 1, 2), ("grows", "insert", 1, 4), ("new", "insert", 7, 7))
    events = pa.concat_tables([told, removed])
    changes = changes_since_events(there, events=events, version=9, now=NOW)
    segments = context(went={"is_cluster": False, "state": "gone"})
    found = derive_events(changes, segments=segments, known=events)
    assert pick_columns(found, "object_id", "event", "cluster_version") == {
        ("grows", "extended", 9),
        ("new", "created", 9),
        ("went", "removed", 9),
    }
