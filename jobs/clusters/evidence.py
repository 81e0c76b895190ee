"""Evidence and lineage: the tables that follow another table's change feed, for all datasets."""

from __future__ import annotations

from collections.abc import Callable

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.runtime.commits import Step, add_rows, replace_rows
from jobs.runtime.runs import Run
from schemas.cluster_events import CLUSTER_EVENTS
from schemas.cluster_kinds import TRIPS, MemberKind
from schemas.contract import Contract
from schemas.file_places import FILE_PLACES
from schemas.keys import CLUSTER_KEY, DAY_KEY
from schemas.location_date_clusters import LOCATION_DATE_CLUSTERS
from schemas.location_date_segments import LOCATION_DATE_SEGMENTS
from schemas.place_days import PLACE_DAYS
from transforms.clusters.lineage import (
    changes_since_events,
    derive_events,
    derive_member_events,
    member_changes_since_events,
)
from transforms.tables.actions import BEFORE
from transforms.tables.changes import drop_keys, keep_keys, keys_before, latest_rows
from transforms.tables.frames import union_by_name
from transforms.trips.location_dates import combine_days, count_days, day_of_each, describe_clusters


def refresh_place_days(run: Run) -> None:
    """Brings every day of a place up to date that a change of `file_places` touches.

    Files are added to a day that has only gained some: as a commit consumes its source once, that comes to the same
    as counting all again, which is done for the days that a file left or changed on.
    """
    lake = run.lake
    until = lake.version(FILE_PLACES)
    step = Step.pin(lake, PLACE_DAYS, run.run_id, consumes={FILE_PLACES.name: until}, dry_run=run.dry_run)
    consumed = step.consumed(FILE_PLACES)
    run.ledger.read(FILE_PLACES, until)
    if consumed == until:
        return
    places, current = lake.read(FILE_PLACES, until), step.current()
    changes = lake.read_changes(FILE_PLACES, consumed, until) if consumed is not None else None
    if changes is None:
        days = places.transform(count_days)
    else:
        dated = changes.where(F.col("local_date").isNotNull())
        touched = run.cache_keys(dated.select(*DAY_KEY).distinct(), "place_days.touched")
        uncertain = run.cache_keys(dated.transform(keys_before, key=DAY_KEY), "place_days.recounted")
        current = run.cache(current.transform(keep_keys, keys=touched, on=DAY_KEY))
        added = dated.where(~F.col("_change_type").isin(*BEFORE)).transform(day_of_each)
        grown = union_by_name(added, current.drop("run_id")).transform(drop_keys, keys=uncertain, on=DAY_KEY)
        recounted = places.transform(keep_keys, keys=uncertain, on=DAY_KEY).transform(count_days)
        days = union_by_name(grown.transform(combine_days), recounted)
    run.ledger.wrote(PLACE_DAYS, replace_rows(step, run.stamp(days), current))


def drop_removed_places(run: Run, *, project: str, datasets: tuple[str, ...]) -> None:
    """For --rebuild: forgets where removed files were taken, so that the evidence starts from the files there are."""
    step = Step.pin(run.lake, FILE_PLACES, run.run_id, dry_run=run.dry_run)
    removed = step.current().where((F.col("project_name") == project) & F.col("deleted_time").isNotNull())
    if datasets:
        removed = removed.where(F.col("dataset_name").isin(*datasets))
    run.ledger.wrote(FILE_PLACES, replace_rows(step, removed.limit(0), removed))


def refresh_clusters(run: Run) -> None:
    """Brings `location_date_clusters` in line with the segments that are clusters, for all that changed."""
    lake = run.lake
    until = lake.version(LOCATION_DATE_SEGMENTS)
    consumes = {LOCATION_DATE_SEGMENTS.name: until}
    step = Step.pin(lake, LOCATION_DATE_CLUSTERS, run.run_id, consumes=consumes, dry_run=run.dry_run)
    consumed = step.consumed(LOCATION_DATE_SEGMENTS)
    if consumed == until:
        return
    segments, current = lake.read(LOCATION_DATE_SEGMENTS, until), step.current()
    changes = lake.read_changes(LOCATION_DATE_SEGMENTS, consumed, until) if consumed is not None else None
    if changes is not None:
        segments = changes.transform(latest_rows, key=CLUSTER_KEY, columns=segments.columns)
        keys = run.cache_keys(changes.transform(keys_before, key=CLUSTER_KEY), "location_date_segments.replaced")
        current = current.transform(keep_keys, keys=keys, on=CLUSTER_KEY)
    clusters = segments.where("is_cluster").transform(describe_clusters).withColumn("update_time", run.clock())
    done = replace_rows(step, run.stamp(clusters), current, ignore=("run_id", "update_time"))
    run.ledger.wrote(LOCATION_DATE_CLUSTERS, done)


def derive_trip_events(run: Run) -> None:
    """Writes the events of every version of `location_date_clusters` that has none yet."""
    segments = run.lake.read(LOCATION_DATE_SEGMENTS, run.lake.version(LOCATION_DATE_SEGMENTS))

    def derive(changes: DataFrame, known: DataFrame, keys: DataFrame | None) -> DataFrame:
        context = segments if keys is None else segments.transform(keep_keys, keys=keys, on=CLUSTER_KEY)
        return changes.transform(derive_events, segments=context, known=known, kind=TRIPS.name)

    _derive_events(run, LOCATION_DATE_CLUSTERS, TRIPS.name, derive=derive, compare=changes_since_events)


def derive_cluster_events(run: Run, kind: MemberKind) -> None:
    """Writes the events of every version of a kind's table of clusters that has none yet."""

    def derive(changes: DataFrame, known: DataFrame, keys: DataFrame | None) -> DataFrame:
        return changes.transform(derive_member_events, known=known, kind=kind.name)

    _derive_events(run, kind.table, kind.name, derive=derive, compare=member_changes_since_events)


def _derive_events(
    run: Run,
    clusters: Contract,
    kind: str,
    *,
    derive: Callable[[DataFrame, DataFrame, DataFrame | None], DataFrame],
    compare: Callable[..., DataFrame],
) -> None:
    """Appends what `derive` makes of a table's changes, the events known so far, and the keys changed (None: all).

    Where the change feed is gone, `compare` makes one of the clusters and what their last events say of them.
    """
    lake = run.lake
    until = lake.version(clusters)
    step = Step.pin(lake, CLUSTER_EVENTS, run.run_id, consumes={clusters.name: until}, dry_run=run.dry_run)
    consumed = step.consumed(clusters)
    after = consumed or 0  # version 0 made the table
    if after == until or run.dry_run:
        return
    known = step.current().where(F.col("kind") == kind)
    is_first = consumed is None and (step.is_empty() or known.isEmpty())
    changes = lake.read_changes(clusters, after, until) if consumed is not None or is_first else None
    if changes is None:
        changes = lake.read(clusters, until).transform(compare, events=known, version=until, now=run.now)
    keys = None
    if consumed is not None:
        keys = run.cache_keys(changes.select(*CLUSTER_KEY).distinct(), f"{clusters.name}.changed")
        known = known.transform(keep_keys, keys=keys, on=CLUSTER_KEY)
    run.ledger.wrote(CLUSTER_EVENTS, add_rows(step, run.stamp(derive(changes, known, keys))))
