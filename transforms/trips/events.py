"""What happened to clusters of trips, read off their table's change feed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.cluster_events import CLUSTER_EVENTS
from schemas.cluster_kinds import TRIPS
from schemas.contract import TIMESTAMP
from schemas.keys import CLUSTER_KEY
from transforms.tables.actions import BEFORE
from transforms.tables.keyed import first_rows, is_among, key_codes, left_join, union_by_name, with_columns

EVENTS = CLUSTER_EVENTS.computed_schema
"""The columns of `cluster_events` but run_id."""
SPAN = ("first_day", "last_day")
FEED_COLUMNS = (*CLUSTER_KEY, *SPAN, "_change_type", "_commit_version", "_commit_timestamp")
"""The columns of the change feed of `location_date_clusters` that events are derived from."""
CONTEXT_COLUMNS = (*CLUSTER_KEY, "is_cluster", "state", "successor_id", "origin_id", "days")
"""The columns of `location_date_segments` that say why."""
_TOLD = ("state", "successor_id", "origin_id", "days")


def derive_events(feed: pa.Table, *, segments: pa.Table, known: pa.Table) -> pa.Table:
    """One row per change to a cluster, as the columns of `cluster_events` but run_id.

    `feed` is the change feed of `location_date_clusters` (FEED_COLUMNS); `segments` are those of the clusters in it,
    as of its last version (CONTEXT_COLUMNS); `known` has the keys of clusters that have events already: one of those
    that appears is revived, not created. A cluster whose counts alone changed has no event. One that grew at one end
    and lost days at the other has two.
    """
    changes = _changes(feed)
    telling = pc.or_(pc.invert(segments["is_cluster"]), pc.is_valid(segments["origin_id"]))
    changes = left_join(changes, segments.filter(telling), on=CLUSTER_KEY, columns=_TOLD)
    changes = with_columns(changes, {"is_known": pa.array(is_among(changes, known, on=CLUSTER_KEY))})
    return pa.concat_tables(list(_events(changes)))


def changes_since_events(clusters: pa.Table, *, events: pa.Table, version: int, now: datetime) -> pa.Table:
    """What the change feed would say, where it is gone: the clusters against what their last events say of them.

    FEED_COLUMNS, one row per cluster before and one after. `events` are all rows of `cluster_events` of trips.
    """
    events = events.take(pc.sort_indices(events, [("cluster_version", "descending")]))
    (codes,) = key_codes(events, key=CLUSTER_KEY)
    last = events.take(pa.array(first_rows(codes)))
    left = pc.is_in(last["event"], value_set=pa.array(["removed", "merged_into"]))
    columns = [*CLUSTER_KEY, *SPAN]
    before = with_columns(last.filter(pc.invert(left)).select(columns), {"_change_type": pa.scalar("update_preimage")})
    after = with_columns(clusters.select(columns), {"_change_type": pa.scalar("update_postimage")})
    commit = {"_commit_version": pa.scalar(version, pa.int64()), "_commit_timestamp": pa.scalar(now, TIMESTAMP)}
    return with_columns(union_by_name(before, after), commit)


def _changes(feed: pa.Table) -> pa.Table:
    """One row per cluster and version: its span before and after, null where it was not there."""
    (codes,) = key_codes(feed, key=(*CLUSTER_KEY, "_commit_version"))
    changes = feed.select([*CLUSTER_KEY, "_commit_version", "_commit_timestamp"]).take(pa.array(first_rows(codes)))
    is_before = pc.is_in(feed["_change_type"], value_set=pa.array(BEFORE)).to_numpy()
    for suffix, side in (("_before", is_before), ("", ~is_before)):
        row_of = np.full(len(changes), -1, np.int64)
        row_of[codes[side]] = np.flatnonzero(side)
        rows = pa.array(row_of, mask=row_of < 0)
        changes = with_columns(changes, {f"{day}{suffix}": feed[day].take(rows) for day in SPAN})
    return changes.rename_columns({"_commit_version": "cluster_version", "_commit_timestamp": "event_time"})


def _events(changes: pa.Table) -> Iterator[pa.Table]:
    """The changes that are each kind of event."""
    appeared, went = (pc.is_null(changes[name]) for name in ("first_day_before", "first_day"))
    stayed = pc.invert(pc.or_(appeared, went))
    is_known, split, merged = (
        changes["is_known"],
        pc.is_valid(changes["origin_id"]),
        pc.is_valid(changes["successor_id"]),
    )
    is_new = pc.and_(appeared, pc.invert(is_known))
    first, last, first_before, last_before = (changes[f"{day}{side}"] for side in ("", "_before") for day in SPAN)
    grew = pc.or_(pc.less(first, first_before), pc.greater(last, last_before))
    shrank = pc.or_(pc.greater(first, first_before), pc.less(last, last_before))
    is_live, is_deleted, is_gone = (pc.equal(changes["state"], state) for state in ("live", "deleted", "gone"))
    went_by_itself = pc.and_(went, is_gone)
    outside = pc.binary_join_element_wise(
        "its ", pc.cast(changes["days"], pa.string()), " days are no longer within MinDays and MaxDays", ""
    )

    def told(holds: pa.ChunkedArray, event: str, reason: str | pa.ChunkedArray, other: str | None = None) -> pa.Table:
        columns = {
            "kind": pa.scalar(TRIPS.name),
            "event": pa.scalar(event),
            "other_id": changes[other] if other else pa.scalar(None, pa.string()),
            "reason": pa.scalar(reason) if isinstance(reason, str) else reason,
            **{name: pa.scalar(None, pa.int64()) for name in ("files_before", "files")},
        }
        return with_columns(changes, columns).select(EVENTS.names).filter(holds).cast(EVENTS)

    yield told(pc.and_(appeared, is_known), "revived", "its days make a cluster again")
    yield told(pc.and_(is_new, split), "split_from", "its days were cut off", "origin_id")
    yield told(pc.and_(is_new, pc.invert(split)), "created", "new days")
    yield told(pc.and_(stayed, grew), "extended", "days were added at an end")
    yield told(pc.and_(stayed, shrank), "shrunk", "days went at an end")
    yield told(pc.and_(went, is_deleted), "removed", "deleted by a person")
    yield told(pc.and_(went, is_live), "removed", outside)
    yield told(pc.and_(went_by_itself, merged), "merged_into", "its days joined another", "successor_id")
    yield told(pc.and_(went_by_itself, pc.invert(merged)), "removed", "its days are no longer evidence at this level")
