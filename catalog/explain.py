"""Why a cluster exists, or does not any more: what wrote it, from what, and what has become of it since."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from catalog import similar_images
from catalog.clusters import resolve_states, why_missing
from catalog.edits import fold_edits, overlay, read_edits
from catalog.lake import Lake, Row, Scope
from catalog.location_dates import curated_states
from catalog.sql import all_of, equals, literal, one_of, under
from catalog.times import TimeRange
from schemas.cluster_kinds import GROUPS, PEOPLE, TRIPS, ClusterKind
from schemas.errors import NotFound
from schemas.figures import MAX_ANGLE, is_good_sql

FACES_SHOWN = 100
"""Faces of a person that an explanation shows; `lakealbum query files --cluster ID` pages through all."""


@dataclass(frozen=True)
class Explanation:
    """All that the lake knows of one cluster.

    `status` is live, deleted, gone, or what hides it: filtered (a trip whose days are outside MinDays and MaxDays),
    emptied (people say that its pictures are not similar), merged (a person who went into another, the successor).
    `cluster` is its row, as people see it, and for a trip that is no cluster now its row of `location_date_segments`.
    `runs` are those that wrote the row or an event, oldest first; `options` those in force for its dataset; `evidence`
    has a row per day with files at a trip's place, or per member of similar images or of a person, and `pairs` the
    pairs of similar images among those; `events` and `edits` are in the order in which they happened.
    """

    kind: str
    status: str
    cluster: Row
    runs: list[Row]
    options: dict[str, Any]
    evidence: list[Row]
    events: list[Row]
    edits: list[Row]
    pairs: list[Row] = field(default_factory=list)


def explain_location_date(lake: Lake, scope: Scope, object_id: str) -> Explanation:
    """Says why a trip or stay exists. Raises NotFound where the lake never had it."""
    cluster, status = _find_trip(lake, scope, object_id)
    own = Scope(cluster["project_name"], (cluster["dataset_name"],))
    state = curated_states(lake, own).get(object_id)
    if state and state.deleted:
        status = "deleted"
    return _explain(
        lake, TRIPS, status, cluster, overlay(cluster, state), _days(lake, own, cluster), _options(lake, own, TRIPS)
    )


def explain_similar_images(lake: Lake, scope: Scope, object_id: str) -> Explanation:
    """Says why similar images are a cluster. Raises NotFound where the lake never had it."""
    this = all_of([scope.condition(lake), equals("object_id", object_id)])
    clusters = lake.read(f"SELECT * FROM similar_image_clusters WHERE {this}", "similar_image_clusters")
    if not clusters:
        raise _never(lake, scope, object_id)
    own = Scope(clusters[0]["project_name"], (clusters[0]["dataset_name"],))
    state = similar_images.read_decisions(lake, own, object_id).states.get(object_id)
    status = clusters[0]["state"]
    if state and not state.is_shown:
        status = "deleted" if state.deleted else "emptied"
    seen = overlay(clusters[0], state)
    if status == "live":
        seen["cover_uri"] = similar_images.find_cluster(lake, own, object_id)["cover_uri"]
    members = similar_images.members_for_explanation(lake, clusters[0])
    pairs = similar_images.pairs_of_cluster(lake, clusters[0])
    return _explain(lake, GROUPS, status, clusters[0], seen, members, _options(lake, own, GROUPS), pairs)


def explain_figures(lake: Lake, scope: Scope, object_id: str) -> Explanation:
    """Says why a person exists. Raises NotFound where the lake never had it, or it was erased."""
    this = all_of([scope.condition(lake), equals("object_id", object_id)])
    people = lake.read(f"SELECT * FROM figure_clusters WHERE {this}", "figure_clusters")
    if not people:
        raise NotFound(why_missing(lake, PEOPLE, scope, object_id, f"there is no person {object_id}"))
    (person,) = people
    own = Scope(person["project_name"], (person["dataset_name"],))
    edits = read_edits(lake, own, PEOPLE.name)
    state = (fold_edits(edits) | resolve_states(lake, PEOPLE, own, edits)).get(object_id)
    status = "merged" if person["successor_id"] else person["state"]
    if state and state.deleted:
        status = "deleted"
    options = _options(lake, own, PEOPLE)
    faces = _faces(lake, own, object_id, options)
    return _explain(lake, PEOPLE, status, person, overlay(person, state), faces, options)


def _explain(
    lake: Lake,
    kind: ClusterKind,
    status: str,
    computed: Row,
    cluster: Row,
    evidence: list[Row],
    options: dict[str, Any],
    pairs: Iterable[Row] = (),
) -> Explanation:
    own = Scope(computed["project_name"], (computed["dataset_name"],))
    this = all_of([own.condition(lake), equals("object_id", computed["object_id"])])
    statement = f"SELECT * FROM cluster_events WHERE {this} ORDER BY cluster_version, event"
    events = lake.read(statement, "cluster_events")
    return Explanation(
        kind=kind.name,
        status=status,
        cluster=cluster,
        runs=_runs(lake, {row["run_id"] for row in (computed, *events)}),
        options=options,
        evidence=evidence,
        events=events,
        edits=read_edits(lake, own, kind.name, computed["object_id"]),
        pairs=list(pairs),
    )


def _find_trip(lake: Lake, scope: Scope, object_id: str) -> tuple[Row, str]:
    this = all_of([scope.condition(lake), equals("object_id", object_id)])
    clusters = lake.read(f"SELECT * FROM location_date_clusters WHERE {this}", "location_date_clusters")
    if clusters:
        return clusters[0], "live"
    segments = lake.read(f"SELECT * FROM location_date_segments WHERE {this}", "location_date_segments")
    if not segments:
        raise _never(lake, scope, object_id)
    return segments[0], "filtered" if segments[0]["state"] == "live" else segments[0]["state"]


def _never(lake: Lake, scope: Scope, object_id: str) -> NotFound:
    scope.check(lake)
    return NotFound(f"project {scope.project!r} never had a cluster {object_id}")


def _runs(lake: Lake, run_ids: Iterable[str]) -> list[Row]:
    these = one_of("run_id", sorted(run_ids))
    return lake.read(f"SELECT * FROM runs WHERE {these} ORDER BY start_time, run_id", "runs")


def _options(lake: Lake, scope: Scope, kind: ClusterKind) -> dict[str, Any]:
    condition = all_of([scope.condition(lake), equals("kind", kind.name)])
    rows = lake.read(f"SELECT options FROM dataset_state WHERE {condition}", "dataset_state")
    options: dict[str, Any] = json.loads(rows[0]["options"]) if rows else {}
    return options


def _days(lake: Lake, scope: Scope, cluster: Row) -> list[Row]:
    days = TimeRange(cluster["first_day"], cluster["last_day"]).condition("local_date", "local_date")
    condition = all_of([scope.condition(lake), under("place_key", cluster["place_key"]), days])
    return lake.read(
        "SELECT local_date, sum(files) AS files, sum(images) AS images, sum(videos) AS videos "
        f"FROM place_days WHERE {condition} GROUP BY local_date ORDER BY local_date",
        "place_days",
    )


def _faces(lake: Lake, scope: Scope, object_id: str, options: dict[str, Any]) -> list[Row]:
    """The faces of a person, up to `FACES_SHOWN`, founders first, then the surest; `good` by what stands beside it."""
    looks = (
        f"SELECT figure_id AS face, {_good(options)} AS good, face_quality, boundary['width'] AS width, "
        "boundary['height'] AS height, head_pose['yaw'] AS yaw, head_pose['pitch'] AS pitch, head_pose['roll'] AS roll "
        f"FROM figures WHERE {scope.condition(lake)}"
    )
    where = all_of([scope.condition(lake), equals("object_id", object_id)])
    return lake.read(
        "SELECT figure_id, uri, role, confidence, good, face_quality, width, height, yaw, pitch, roll "
        f"FROM (SELECT * FROM figure_members WHERE {where}) LEFT JOIN ({looks}) ON figure_id = face "
        f"ORDER BY role <> 'founder', confidence DESC, figure_id LIMIT {FACES_SHOWN}",
        "figure_members",
        "figures",
    )


def _good(options: dict[str, Any]) -> str:
    """Whether a face of `figures` is good, by the profile of its model in the options in force."""
    by_family = "".join(
        f"WHEN split_part(model, '/', 1) = {literal(family)} THEN {_good_by(profile)} "
        for family, profile in options.get("families", {}).items()
    )
    return f"CASE {by_family}WHEN TRUE THEN {_good_by(options.get('profile', {}))} END"


def _good_by(profile: dict[str, Any]) -> str:
    return f"coalesce({is_good_sql(profile.get('good_angle', MAX_ANGLE))}, FALSE)"
