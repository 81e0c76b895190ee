"""What happened to clusters of members, read off their table's change feed."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.cluster_events import CLUSTER_EVENTS
from schemas.keys import CLUSTER_KEY
from transforms.tables.actions import BEFORE
from transforms.tables.grouped import first_of_each, integers, is_equal, ranks
from transforms.tables.keyed import Bools, indices_or_null, is_among, key_codes, with_columns

_TOLD = ("state", "files", "origin_id", "successor_id")
_ENDED = ("removed", "merged_into")
"""Events after which a cluster is not there."""
_UNKNOWN = -1
"""Of files: the cluster is not live."""


def derive_member_events(feed: pa.Table, *, known: pa.Table, kind: str) -> pa.Table:
    """One row per change to a cluster of members, as the columns of `cluster_events` but run_id.

    `feed` is the change feed of the kind's table of clusters: CLUSTER_KEY, `state`, `files`, `origin_id`,
    `successor_id`, `_change_type`, `_commit_version`, `_commit_timestamp`. `known` has the keys of clusters that have
    events already. A cluster of which a file came and another went, so that it has as many, has no event.
    """
    commit = (*CLUSTER_KEY, "_commit_version", "_commit_timestamp")
    (codes,) = key_codes(feed, key=commit)
    was = pc.is_in(feed["_change_type"], pa.array(BEFORE)).to_numpy(zero_copy_only=False)
    counted = np.where(is_equal(feed["state"], "live"), integers(feed["files"], null=_UNKNOWN), _UNKNOWN)
    first = first_of_each(codes)
    before = np.full(len(first), _UNKNOWN, np.int64)
    np.maximum.at(before, codes[was], counted[was])
    after = np.flatnonzero(~was)
    order = [-ranks(feed[name])[after] for name in _TOLD]
    last = after[first_of_each(codes[after], *order)]
    at = np.full(len(first), -1, np.int64)
    at[codes[last]] = last
    now = feed.select(_TOLD).take(indices_or_null(at))
    files = np.where(at >= 0, counted[at], _UNKNOWN) if len(counted) else before
    per_change = with_columns(
        feed.select(commit).take(pa.array(first)),
        {
            "kind": pa.scalar(kind),
            "files_before": pa.array(before, mask=before == _UNKNOWN),
            "files": pa.array(files, mask=files == _UNKNOWN),
        },
    ).rename_columns({"_commit_version": "cluster_version", "_commit_timestamp": "event_time"})
    appeared, went = (before == _UNKNOWN) & (files != _UNKNOWN), (before != _UNKNOWN) & (files == _UNKNOWN)
    lives = (before != _UNKNOWN) & (files != _UNKNOWN)
    existed = is_among(per_change, known, on=CLUSTER_KEY)
    split, merged = (pc.is_valid(now[name]).to_numpy(zero_copy_only=False) for name in ("origin_id", "successor_id"))
    erased = at < 0  # only then a row goes from the table
    nobody = pa.nulls(len(first), pa.string())

    def tell(holds: Bools, event: str, reason: str, other_id: pa.ChunkedArray | pa.Array = nobody) -> pa.Table:
        told = {"event": pa.scalar(event), "other_id": other_id, "reason": pa.scalar(reason)}
        return with_columns(per_change, told).filter(pa.array(holds))

    return _as_events(
        tell(appeared & existed, "revived", "its members are together again"),
        tell(appeared & ~existed & split, "split_from", "its members were cut off", now["origin_id"]),
        tell(appeared & ~existed & ~split, "created", "new members"),
        tell(lives & (files > before), "extended", "members were added"),
        tell(lives & (files < before), "shrunk", "members went"),
        tell(went & merged, "merged_into", "its members joined another", now["successor_id"]),
        tell(went & ~merged & ~erased, "removed", "too few of its members are left"),
        tell(went & erased, "removed", "erased by a person"),
    )


def _as_events(*told: pa.Table) -> pa.Table:
    """The columns of `cluster_events` but run_id; those of trips are null."""
    schema = CLUSTER_EVENTS.computed_schema
    rows = pa.concat_tables(told)
    missing = {field.name: pa.nulls(len(rows), field.type) for field in schema if field.name not in rows.column_names}
    return with_columns(rows, missing).select(schema.names).cast(schema)


def member_changes_since_events(clusters: pa.Table, *, events: pa.Table, version: int, now: datetime) -> pa.Table:
    """What the change feed would say, where it is gone: the clusters against what their last events say of them.

    One row per cluster before and one after, with the columns of a change feed that `derive_member_events` reads.
    """
    (codes,) = key_codes(events, key=CLUSTER_KEY)
    last = events.take(pa.array(first_of_each(codes, -integers(events["cluster_version"], null=0))))
    there = last.filter(pc.invert(pc.is_in(last["event"], pa.array(_ENDED))))
    nothing = pa.scalar(None, pa.string())
    untold = {"state": pa.scalar("live"), "origin_id": nothing, "successor_id": nothing}
    columns = [*CLUSTER_KEY, *_TOLD, "_change_type"]
    before = with_columns(there.select([*CLUSTER_KEY, "files"]), {**untold, "_change_type": pa.scalar(BEFORE[1])})
    after = with_columns(clusters.select([*CLUSTER_KEY, *_TOLD]), {"_change_type": pa.scalar("update_postimage")})
    both = pa.concat_tables([before.select(columns).cast(after.schema), after])
    clock = pa.scalar(now, CLUSTER_EVENTS.arrow_schema.field("event_time").type)
    return with_columns(both, {"_commit_version": pa.scalar(version, pa.int64()), "_commit_timestamp": clock})
