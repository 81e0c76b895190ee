"""Events: the table that follows every kind's table of clusters, whose change feeds tell what became of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame

from catalog.sql import equals
from jobs.runtime import by_bucket
from jobs.runtime.by_bucket import Rows
from jobs.runtime.commits import Step, add_rows
from jobs.runtime.kernels import apply_kernel
from jobs.runtime.lake import FEED
from jobs.runtime.runs import Run
from schemas.cluster_events import CLUSTER_EVENTS
from schemas.contract import Contract
from schemas.keys import CLUSTER_KEY

EVENTS = CLUSTER_EVENTS.computed_schema
"""The columns of `cluster_events` but run_id."""


def follow_clusters(
    run: Run,
    clusters: Contract,
    *,
    kind: str,
    columns: Sequence[str],
    derive: Callable[..., pa.Table],
    compare: Callable[..., pa.Table],
    context: Callable[[Rows], dict[str, Rows]] = lambda feed: {},
) -> None:
    """Writes the events of every version of a table of clusters that has none yet.

    `derive` is the kernel that makes them of the change feed with `columns`, of the keys of clusters that have events
    already (`known`), and of what `context` fetches for the clusters in the feed. Where the change feed is gone,
    `compare` makes one of the clusters, and of what their last events say of them.
    """
    lake = run.lake
    until = lake.version(clusters)
    step = Step.pin(lake, CLUSTER_EVENTS, run.run_id, consumes={clusters.name: until}, dry_run=run.dry_run)
    run.ledger.read(clusters, until)
    consumed = step.consumed(clusters)
    after = consumed or 0  # version 0 made the table
    if after == until or run.dry_run:
        return
    is_first = consumed is None and not len(
        lake.load(CLUSTER_EVENTS, step.base, ("kind",), condition=equals("kind", kind))
    )
    feed = by_bucket.fetch_changes(lake, clusters, after, until, columns) if consumed is not None or is_first else None
    if feed is None:
        events = by_bucket.fetch(lake, CLUSTER_EVENTS, step.base, EVENTS.names, condition=equals("kind", kind))
        rows = by_bucket.fetch(lake, clusters, until, columns)
        schema = pa.schema([*(clusters.arrow_schema.field(name) for name in columns), *FEED])
        feed = apply_kernel(run.lake, compare, schema=schema, clusters=rows, events=events)
        known = events.select(*CLUSTER_KEY) if isinstance(events, DataFrame) else events
    elif is_first:
        known = EVENTS.empty_table().select(CLUSTER_KEY)
    else:
        known = by_bucket.fetch_keys(lake, CLUSTER_EVENTS, step.base, feed, on=CLUSTER_KEY, columns=CLUSTER_KEY)
    inputs: dict[str, Any] = {"feed": feed, "known": known, **context(feed)}
    events = apply_kernel(lake, derive, schema=EVENTS, **inputs)
    run.ledger.wrote(CLUSTER_EVENTS, add_rows(step, run.stamp(events)))
