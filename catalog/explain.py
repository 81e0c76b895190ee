"""Why a cluster exists, or does not any more: what wrote it, from what, and what has become of it since."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from catalog.edits import overlay, read_edits
from catalog.lake import Lake, Row, Scope
from catalog.location_dates import KIND, curated_states
from catalog.sql import all_of, equals, one_of, under
from catalog.times import TimeRange
from schemas.errors import NotFound


@dataclass(frozen=True)
class Explanation:
    """All that the lake knows of one location-date cluster.

    `status` is live, deleted, filtered (its days are outside MinDays and MaxDays) or gone; `cluster` its row,
    as people see it, and for one that is no cluster now its row of `location_date_segments`. `runs` are those
    that wrote the row or an event, oldest first; `options` those in force for its dataset; `evidence` has a
    row per day with files at its place; `events` and `edits` are in the order in which they happened.
    """

    status: str
    cluster: Row
    runs: list[Row]
    options: dict[str, Any]
    evidence: list[Row]
    events: list[Row]
    edits: list[Row]


def explain_location_date(lake: Lake, scope: Scope, object_id: str) -> Explanation:
    """Says why a cluster exists. Raises NotFound where the lake never had it."""
    cluster, status = _find(lake, scope, object_id)
    own = Scope(cluster["project_name"], (cluster["dataset_name"],))
    this = all_of([own.condition(lake), equals("object_id", object_id)])
    statement = f"SELECT * FROM cluster_events WHERE {this} ORDER BY cluster_version, event"
    events = lake.read(statement, "cluster_events")
    state = curated_states(lake, own).get(object_id)
    return Explanation(
        status="deleted" if state and state.deleted else status,
        cluster=overlay(cluster, state),
        runs=_runs(lake, {row["run_id"] for row in (cluster, *events)}),
        options=_options(lake, own),
        evidence=_evidence(lake, own, cluster),
        events=events,
        edits=read_edits(lake, own, KIND, object_id),
    )


def _find(lake: Lake, scope: Scope, object_id: str) -> tuple[Row, str]:
    this = all_of([scope.condition(lake), equals("object_id", object_id)])
    clusters = lake.read(f"SELECT * FROM location_date_clusters WHERE {this}", "location_date_clusters")
    if clusters:
        return clusters[0], "live"
    segments = lake.read(f"SELECT * FROM location_date_segments WHERE {this}", "location_date_segments")
    if not segments:
        scope.check(lake)
        raise NotFound(f"project {scope.project!r} never had a cluster {object_id}")
    return segments[0], "filtered" if segments[0]["state"] == "live" else segments[0]["state"]


def _runs(lake: Lake, run_ids: Iterable[str]) -> list[Row]:
    these = one_of("run_id", sorted(run_ids))
    return lake.read(f"SELECT * FROM runs WHERE {these} ORDER BY start_time, run_id", "runs")


def _options(lake: Lake, scope: Scope) -> dict[str, Any]:
    condition = all_of([scope.condition(lake), equals("kind", KIND)])
    rows = lake.read(f"SELECT options FROM dataset_state WHERE {condition}", "dataset_state")
    options: dict[str, Any] = json.loads(rows[0]["options"]) if rows else {}
    return options


def _evidence(lake: Lake, scope: Scope, cluster: Row) -> list[Row]:
    days = TimeRange(cluster["first_day"], cluster["last_day"]).condition("local_date", "local_date")
    condition = all_of([scope.condition(lake), under("place_key", cluster["place_key"]), days])
    return lake.read(
        "SELECT local_date, sum(files) AS files, sum(images) AS images, sum(videos) AS videos "
        f"FROM place_days WHERE {condition} GROUP BY local_date ORDER BY local_date",
        "place_days",
    )
