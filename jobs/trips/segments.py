"""The commits of trips: `location_date_segments` from the evidence, `location_date_clusters` from the segments."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from jobs.clusters.events import follow_clusters
from jobs.clusters.scope import ClusteringConfig, Scope, load_edits
from jobs.runtime import by_bucket
from jobs.runtime.by_bucket import ByBucket, Rows
from jobs.runtime.commits import Step, apply_changes
from jobs.runtime.kernels import apply_kernel
from jobs.runtime.runs import Run
from schemas.cluster_kinds import TRIPS
from schemas.keys import CLUSTER_KEY, DATASET_KEY, PLACE_KEY
from schemas.location_date_clusters import LOCATION_DATE_CLUSTERS
from schemas.location_date_segments import LOCATION_DATE_SEGMENTS
from schemas.place_days import PLACE_DAYS
from transforms.tables.actions import ACTION
from transforms.tables.keyed import distinct, union_by_name
from transforms.trips.carrying import SEGMENTS, decide_segments
from transforms.trips.clusters import CLUSTERS, change_clusters, follow_segments
from transforms.trips.days import DAYS
from transforms.trips.events import CONTEXT_COLUMNS, SPAN, changes_since_events, derive_events
from transforms.trips.scope import changed_places, deletions_in_force, edited_places
from transforms.trips.segmenting import days_in_scope, is_in_scope

COUNTRY = (*DATASET_KEY, "substring_index(place_key, '/', 1)")
"""The unit of segments: of every place at any level all days are within one country."""
MOST_PLACES = 100_000
"""Changed places up to which only these are cut again."""
_PLACE_KEYS = pa.schema([SEGMENTS.field(name) for name in PLACE_KEY])


class TripConfig(ClusteringConfig, Protocol):
    """A clustering's configuration, with the rule of trips."""

    @property
    def levels(self) -> tuple[str, ...]: ...
    @property
    def gap_days(self) -> int: ...
    @property
    def min_days(self) -> int: ...
    @property
    def max_days(self) -> int: ...


@dataclass(frozen=True)
class Places:
    """What is cut again: `places` (PLACE_KEY), and every place of `datasets` (DATASET_KEY)."""

    places: pa.Table
    datasets: pa.Table


def commit_segments(run: Run, config: TripConfig, scope: Scope) -> int:
    """Commits what the days are cut into now, of all places that changed. Returns the version of the segments."""
    lake = run.lake
    edits = load_edits(run, config, kind=TRIPS.name, until=scope.edits_version)
    found = _find_places(run, config, scope, edits)
    if not len(found.places) and not len(found.datasets):
        return lake.version(LOCATION_DATE_SEGMENTS)
    step = Step.pin(lake, LOCATION_DATE_SEGMENTS, run.run_id, dry_run=run.dry_run)
    which = {"places": found.places, "datasets": found.datasets}
    days_of, segments_of = partial(days_in_scope, levels=config.levels, **which), partial(_segments_in_scope, **which)
    fetch = partial(by_bucket.fetch_mapped, lake, gives_few=not len(found.datasets))
    decide = partial(
        decide_segments,
        deletions=deletions_in_force(edits),
        levels=config.levels,
        gap_days=config.gap_days,
        min_days=config.min_days,
        max_days=config.max_days,
        now=run.now,
        **which,
    )
    changes = apply_kernel(
        lake,
        decide,
        schema=SEGMENTS.append(pa.field(ACTION, pa.string())),
        unit=COUNTRY,
        days=fetch(PLACE_DAYS, scope.versions[PLACE_DAYS.name], DAYS.names, each=days_of, schema=DAYS),
        segments=fetch(LOCATION_DATE_SEGMENTS, step.base, SEGMENTS.names, each=segments_of, schema=SEGMENTS),
    )
    done = apply_changes(step, run.stamp(changes))
    run.ledger.wrote(LOCATION_DATE_SEGMENTS, done)
    return done.version


def _segments_in_scope(segments: pa.Table, *, places: pa.Table, datasets: pa.Table) -> pa.Table:
    return segments.filter(pa.array(is_in_scope(segments, places=places, datasets=datasets)))


def _find_places(run: Run, config: TripConfig, scope: Scope, edits: pa.Table) -> Places:
    """The places whose days or deletions changed since their dataset was last clustered, and the datasets that are
    clustered again whole: also those of which too many places changed, or nobody can tell which.
    """
    lake, seen = run.lake, scope.seen(PLACE_DAYS)
    after, until = pc.min(seen["evidence_version"]).as_py(), scope.versions[PLACE_DAYS.name]
    places: Rows | None = _PLACE_KEYS.empty_table()
    if after is not None and after < until:
        feed = by_bucket.fetch_changes(lake, PLACE_DAYS, after, until, (*DATASET_KEY, "place_key"))
        find = partial(changed_places, seen=seen, levels=config.levels)
        places = None if feed is None else apply_kernel(lake, find, schema=_PLACE_KEYS, unit=COUNTRY, feed=feed)
        places = places.few(MOST_PLACES) if isinstance(places, ByBucket) else places
    if not isinstance(places, pa.Table) or len(places) > MOST_PLACES:
        run.ledger.count("datasets.changed", len(scope.datasets))
        return Places(_PLACE_KEYS.empty_table(), scope.datasets.select(DATASET_KEY))
    changed = distinct(union_by_name(places, edited_places(edits, seen=seen)), key=PLACE_KEY)
    run.ledger.count("places.changed", len(changed))
    return Places(changed, scope.stale)


def refresh_clusters(run: Run) -> None:
    """Brings `location_date_clusters` in line with the segments that are clusters, for all that changed."""
    lake = run.lake
    until = lake.version(LOCATION_DATE_SEGMENTS)
    consumes = {LOCATION_DATE_SEGMENTS.name: until}
    step = Step.pin(lake, LOCATION_DATE_CLUSTERS, run.run_id, consumes=consumes, dry_run=run.dry_run)
    run.ledger.read(LOCATION_DATE_SEGMENTS, until)
    consumed = step.consumed(LOCATION_DATE_SEGMENTS)
    if consumed == until:
        return
    schema = CLUSTERS.append(pa.field(ACTION, pa.string()))
    feed = None
    if consumed is not None:
        feed = by_bucket.fetch_changes(lake, LOCATION_DATE_SEGMENTS, consumed, until, SEGMENTS.names)
    if feed is not None:
        follow = partial(follow_segments, now=run.now)
        changes = apply_kernel(lake, follow, schema=schema, unit=CLUSTER_KEY, feed=feed)
    else:
        changes = apply_kernel(
            lake,
            partial(change_clusters, now=run.now),
            schema=schema,
            unit=CLUSTER_KEY,
            segments=by_bucket.fetch(lake, LOCATION_DATE_SEGMENTS, until, SEGMENTS.names, condition="is_cluster"),
            clusters=by_bucket.fetch(lake, LOCATION_DATE_CLUSTERS, step.base, CLUSTERS.names),
        )
    run.ledger.wrote(LOCATION_DATE_CLUSTERS, apply_changes(step, run.stamp(changes)))


def derive_trip_events(run: Run) -> None:
    """Writes the events of every version of `location_date_clusters` that has none yet."""
    lake = run.lake

    def segments_of(feed: Rows) -> dict[str, Rows]:
        until = lake.version(LOCATION_DATE_SEGMENTS)
        which = {"on": CLUSTER_KEY, "columns": CONTEXT_COLUMNS}
        found = by_bucket.fetch_keys(lake, LOCATION_DATE_SEGMENTS, until, feed, **which)
        return {"segments": found}

    version = lake.version(LOCATION_DATE_CLUSTERS)
    follow_clusters(
        run,
        LOCATION_DATE_CLUSTERS,
        kind=TRIPS.name,
        columns=(*CLUSTER_KEY, *SPAN),
        derive=derive_events,
        compare=partial(changes_since_events, version=version, now=run.now),
        context=segments_of,
    )
