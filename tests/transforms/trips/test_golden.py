"""A thousand random histories through the kernels of trips: what the Spark chains that they took the place of gave."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from schemas.keys import CLUSTER_KEY
from tests.transforms.trips.histories import KEYS, Histories, Turn, digest, play
from transforms.tables.keyed import latest_rows, semi_join, union_by_name
from transforms.trips.carrying import decide_segments
from transforms.trips.clusters import change_clusters
from transforms.trips.days import change_days, count_days, days_to_recount, replace_days, touched_days
from transforms.trips.events import changes_since_events, derive_events
from transforms.trips.scope import changed_places, deletions_in_force, edited_places

GOLDEN = Path(__file__).with_name("golden.json")
"""Made by the chains: of each step and table a digest of the changes, and all events of a few datasets."""
DATASETS = 1000


class Kernels:
    """The kernels, handed what the jobs hand them."""

    def change_days(self, turn: Turn, *, files: pa.Table, days: pa.Table) -> pa.Table:
        if turn.feeds_are_gone:
            return replace_days(count_days(files), days=days)
        places = semi_join(files, days_to_recount(turn.feed), on=KEYS["days"])
        current = semi_join(days, touched_days(turn.feed), on=KEYS["days"])
        return change_days(turn.feed, places=places, days=current)

    def change_segments(
        self, turn: Turn, *, days: pa.Table, feed: pa.Table, segments: pa.Table, edits: pa.Table, states: pa.Table
    ) -> pa.Table:
        stale = states.filter(states["is_stale"])
        fresh = states.filter(pc.invert(states["is_stale"]))
        scope: dict[str, pa.Table] = {"datasets": states}
        if not turn.feeds_are_gone:
            places = union_by_name(
                changed_places(feed, seen=fresh, levels=turn.options["levels"]), edited_places(edits, seen=fresh)
            )
            scope = {"places": places, "datasets": stale}
        return decide_segments(
            days, segments=segments, deletions=deletions_in_force(edits), now=turn.now, **turn.options, **scope
        )

    def change_clusters(self, turn: Turn, *, feed: pa.Table, segments: pa.Table, clusters: pa.Table) -> pa.Table:
        if turn.feeds_are_gone:
            return change_clusters(segments, clusters=clusters, now=turn.now)
        current = semi_join(clusters, feed, on=CLUSTER_KEY)
        return change_clusters(latest_rows(feed, key=CLUSTER_KEY), clusters=current, now=turn.now)

    def derive_events(
        self, turn: Turn, *, feed: pa.Table, segments: pa.Table, clusters: pa.Table, events: pa.Table
    ) -> pa.Table:
        if turn.feeds_are_gone:
            feed = changes_since_events(clusters, events=events, version=turn.version, now=turn.now)
        return derive_events(feed, segments=segments, known=events)


def told(turn: Turn, changes: dict[str, pa.Table]) -> list[str]:
    """The events of a few datasets, for people to read; of ids the first eight digits."""
    few = pc.less(changes["events"]["dataset_name"], "d0004")
    rows = changes["events"].filter(few).sort_by([(name, "ascending") for name in KEYS["events"]]).to_pylist()
    return [
        " ".join(
            (
                *(str(turn.step), row["dataset_name"], row["event"]),
                *((row[name] or "-")[-36:][:8] for name in ("object_id", "other_id")),
                *(str(row[name] or "-") for name in ("first_day", "last_day")),
            )
        )
        for row in rows
    ]


def test_a_thousand_histories_come_to_what_they_always_came_to() -> None:
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    events: list[str] = []
    for turn, changes in play(Histories.begin(DATASETS), Kernels()):
        found = {name: digest(changes[name], key=KEYS[name]) for name in KEYS}
        assert found == golden["digests"][turn.step], f"step {turn.step}"
        events += told(turn, changes)
    assert events == golden["events"]
