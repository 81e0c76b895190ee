"""Clusters of trips: the segments within MinDays and MaxDays, dressed."""

from __future__ import annotations

from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from schemas.contract import LEVELS, TIMESTAMP
from schemas.keys import CLUSTER_KEY
from schemas.location_date_clusters import LOCATION_DATE_CLUSTERS
from transforms.tables.columns import column_of, ints
from transforms.tables.keyed import diff_rows, first_before, latest_rows, with_columns

CLUSTERS = LOCATION_DATE_CLUSTERS.computed_schema
"""The columns of `location_date_clusters` but run_id."""
DAY, MINUTE = 86_400_000_000, 60_000_000
"""In microseconds."""


def describe_clusters(segments: pa.Table) -> pa.Table:
    """One row per segment, as the columns of `location_date_clusters` but run_id.

    A cluster starts at 00:00:00 of its first local day and ends with the last microsecond of its last, each at the
    offset in force where and when the first, or last, file was taken.
    """
    start_offset, end_offset = (column_of(segments, f"{end}.utc_offset") for end in ("first", "last"))
    start = ints(segments, "first_day") * DAY - ints(segments, "first.utc_offset") * MINUTE
    end = (ints(segments, "last_day") + 1) * DAY - ints(segments, "last.utc_offset") * MINUTE - 1
    columns = {
        "title": pc.coalesce(*(segments[level] for level in reversed(LEVELS))),
        "start_time": pa.array(start, TIMESTAMP),
        "start_offset": start_offset,
        "end_time": pa.array(end, TIMESTAMP),
        "end_offset": end_offset,
        "cover_uri": column_of(segments, "cover.uri"),
        "create_time": segments["cluster_since"],
    }
    return with_columns(segments, columns).select(CLUSTERS.names).cast(CLUSTERS)


def follow_segments(feed: pa.Table, *, now: datetime) -> pa.Table:
    """The rows of `location_date_clusters` that must change, with `_action`, by the change feed of the segments.

    `feed` has the columns of `location_date_segments`, and all changes since the clusters were last in line with them:
    what the clusters were is then what the segments said before.
    """
    before = describe_clusters(_clusters_of(first_before(feed, key=CLUSTER_KEY)))
    after = latest_rows(feed, key=CLUSTER_KEY)
    return change_clusters(after, clusters=before, now=now)


def _clusters_of(segments: pa.Table) -> pa.Table:
    return segments.filter(segments["is_cluster"])


def change_clusters(segments: pa.Table, *, clusters: pa.Table, now: datetime) -> pa.Table:
    """The rows of `location_date_clusters` that must change, with `_action`: all columns but run_id.

    `segments` are those that changed, as they are now, and `clusters` the rows of the same ids: of both tables all
    where no change feed tells what changed. A row that differs in its update_time alone does not change.
    """
    wanted = describe_clusters(_clusters_of(segments))
    wanted = with_columns(wanted, {"update_time": pa.scalar(now, TIMESTAMP)})
    compare = [name for name in CLUSTERS.names if name != "update_time"]
    return diff_rows(wanted, current=clusters, key=CLUSTER_KEY, compare=compare)
