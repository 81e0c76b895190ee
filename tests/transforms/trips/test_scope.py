"""Tests of transforms/trips/scope.py: what a clustering looks at, and which deletions it obeys."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa

from tests.transforms.trips.histories import EDITS, STATES
from tests.transforms.trips.tables import KEY, pick_columns, place_days
from transforms.tables.keyed import with_columns
from transforms.trips.scope import changed_places, deletions_in_force, edited_places

TOULOUSE, SINGAPORE = "fr/occitanie/toulouse//", "sg/sg/sg//"


def seen(**datasets: tuple[int, int]) -> pa.Table:
    """(evidence_version, edits_version) of datasets that were clustered before."""
    rows = [
        {**KEY, "dataset_name": name, "evidence_version": evidence, "edits_version": edits}
        for name, (evidence, edits) in datasets.items()
    ]
    return pa.Table.from_pylist(rows, STATES)


def edits(*rows: tuple[int, str, str, str]) -> pa.Table:
    """(sequence, dataset, action, object_id) of edits; each cluster lies at a place that is named for it."""
    made: list[dict[str, Any]] = []
    for sequence, dataset, action, object_id in rows:
        edit = {**KEY, "dataset_name": dataset, "sequence": sequence, "action": action, "object_id": object_id}
        span = {
            "level": "city",
            "place_key": f"at {object_id}",
            "first_day": date(2026, 3, 1),
            "last_day": date(2026, 3, 2),
        }
        made.append(
            {
                **edit,
                **(span if action == "delete" else {}),
                "kind": "location-date",
                "edit_time": datetime(2026, 4, 1, tzinfo=UTC),
            }
        )
    return pa.Table.from_pylist(made, EDITS)


def test_changed_places_are_those_of_days_that_changed_since_their_dataset_was_clustered() -> None:
    days = place_days(
        (TOULOUSE, "2026-03-01", "ada"),
        (TOULOUSE, "2026-03-02", "ada"),
        (SINGAPORE, "2026-03-01", "ada"),
        (SINGAPORE, "2026-03-01", "bob"),
        (SINGAPORE, "2026-03-01", "new"),
    )
    feed = with_columns(days, {"_commit_version": pa.array([5, 6, 4, 5, 9], pa.int64())})
    places = changed_places(feed, seen=seen(ada=(4, 0), bob=(3, 0)), levels=("city", "country", "district"))
    assert sorted(pick_columns(places, "dataset_name", "level", "place_key")) == [
        ("ada", "city", "fr/occitanie/toulouse"),
        ("ada", "country", "fr"),
        ("bob", "city", "sg/sg/sg"),
        ("bob", "country", "sg"),
    ]
    assert len(places) == 4


def test_edited_places_are_those_of_clusters_deleted_or_undeleted_since() -> None:
    rows = edits(
        (1, "ada", "delete", "old"),
        (2, "ada", "delete", "undone"),
        (3, "ada", "undelete", "undone"),
        (4, "ada", "delete", "struck"),
        (5, "bob", "delete", "bobs"),
        (6, "ada", "update", "named"),
    )
    places = edited_places(rows, seen=seen(ada=(0, 2), bob=(0, 5)))
    assert pick_columns(places, "dataset_name", "place_key") == {("ada", "at undone"), ("ada", "at struck")}


def test_the_last_edit_of_a_cluster_holds_whatever_the_order_of_the_rows() -> None:
    rows = edits(
        (7, "ada", "delete", "twice"),
        (6, "ada", "undelete", "twice"),
        (5, "ada", "delete", "twice"),
        (2, "ada", "undelete", "undone"),
        (1, "ada", "delete", "undone"),
        (3, "bob", "delete", "bobs"),
        (4, "bob", "update", "bobs"),
    )
    found = pick_columns(deletions_in_force(rows), "dataset_name", "object_id", "place_key", "first_day")
    assert found == {("ada", "twice", "at twice", "2026-03-01"), ("bob", "bobs", "at bobs", "2026-03-01")}
    assert len(deletions_in_force(edits())) == 0
    assert len(edited_places(edits(), seen=seen())) == 0
