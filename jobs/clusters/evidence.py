"""Evidence and lineage: the tables that follow another table's change feed, for all datasets."""

from __future__ import annotations

from collections.abc import Callable

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.runtime.commits import Step, add_rows
from jobs.runtime.runs import Run
from schemas.cluster_events import CLUSTER_EVENTS
from schemas.cluster_kinds import MemberKind
from schemas.contract import Contract
from schemas.keys import CLUSTER_KEY
from transforms.clusters.lineage import (
    derive_member_events,
    member_changes_since_events,
)
from transforms.tables.changes import keep_keys


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
