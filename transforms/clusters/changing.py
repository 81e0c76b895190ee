"""What a clustering of members changes: rows of the kind's table of clusters, and of its table of members.

`members` and `old_members` are rows of the table of members now and before, `old_clusters` those of the clusters.
All are tables of many datasets at once. Clusters are committed first: killed between the two, the next run finds
clusters without members, and knows them by their representatives (naming.name_groups).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.cluster_kinds import MemberKind
from schemas.keys import CLUSTER_KEY, DATASET_KEY
from transforms.clusters.naming import count_pairs, is_live, most_shared, positions_of
from transforms.tables.actions import ACTION
from transforms.tables.grouped import gather_lists, select_as
from transforms.tables.keyed import (
    anti_join,
    diff_rows,
    distinct,
    inner_join,
    is_among,
    left_join,
    same_values,
    semi_join,
    with_columns,
)

REMEMBERED = 100
"""Members by whose looks a cluster that went is known again."""


@dataclass(frozen=True)
class Clustering:
    """What the clusters of some datasets are now.

    `members` has the columns of the kind's table of members but run_id; `groups` a row per cluster with the columns
    that the kind alone has; `names` those of naming.NAMES.
    """

    kind: MemberKind
    members: pa.Table
    groups: pa.Table
    names: pa.Table

    def change_clusters(self, *, old_clusters: pa.Table, old_members: pa.Table, now: datetime) -> pa.Table:
        """The clusters that change: rows of the kind's table but run_id, with `_action`."""
        live = live_clusters(self.groups, kind=self.kind, names=self.names, now=now)
        return change_clusters(
            live, kind=self.kind, members=self.members, old_members=old_members, old_clusters=old_clusters, now=now
        )

    def change_members(self, *, old_members: pa.Table) -> pa.Table:
        """The members that change: rows of the kind's table of members but run_id, with `_action`."""
        return change_members(self.members, kind=self.kind, old_members=old_members)


def live_clusters(groups: pa.Table, *, kind: MemberKind, names: pa.Table, now: datetime) -> pa.Table:
    """One row per live cluster, as the columns of the kind's table but run_id.

    `groups` has a row per cluster with the columns that the kind alone has; `names` those of naming.NAMES.
    """
    schema = kind.table.computed_schema
    live = inner_join(groups, names, on=CLUSTER_KEY, columns=["representative", "generation", "anchor", "origin_id"])
    clock = pa.scalar(now, schema.field("create_time").type)
    own = {"state": pa.scalar("live"), "create_time": clock, "update_time": clock}
    nulls = {name: pa.scalar(None, schema.field(name).type) for name in ("successor_id", kind.last)}
    return with_columns(live, {**own, **nulls}).select(schema.names).cast(schema)


def change_clusters(
    live: pa.Table,
    *,
    kind: MemberKind,
    members: pa.Table,
    old_members: pa.Table,
    old_clusters: pa.Table,
    now: datetime,
) -> pa.Table:
    """The clusters that change, one row each: the columns of the kind's table but run_id, and `_action`.

    A live cluster that no group follows is gone: it names as successor the cluster that took most of its members, and
    remembers their looks. A row whose membership changed changes too, so that its update_time tells.
    """
    schema = kind.table.computed_schema
    current = old_clusters.select(schema.names).cast(schema)
    left = anti_join(current.filter(pa.array(is_live(current))), live, on=CLUSTER_KEY)
    wanted = pa.concat_tables([live, _end(left, kind=kind, members=members, old_members=old_members, now=now)])
    moved = pa.array(is_among(wanted, moved_clusters(members, kind=kind, old_members=old_members), on=CLUSTER_KEY))
    compare = [name for name in schema.names if name not in ("create_time", "update_time")]
    return diff_rows(
        wanted.append_column("_moved", moved),
        current=with_columns(current, {"_moved": pa.scalar(False)}),
        key=CLUSTER_KEY,
        compare=[*compare, "_moved"],
        keep=("create_time",),
        absent="leave",
    ).drop_columns(["_moved"])


def _end(clusters: pa.Table, *, kind: MemberKind, members: pa.Table, old_members: pa.Table, now: datetime) -> pa.Table:
    """Clusters that no group follows, as gone: their heirs, and what their members looked like."""
    its = semi_join(old_members, clusters, on=CLUSTER_KEY)
    took = inner_join(
        its.select([*CLUSTER_KEY, kind.member]),
        select_as(members, (*DATASET_KEY, kind.member), _heir="object_id"),
        on=(*DATASET_KEY, kind.member),
        columns=["_heir"],
    )
    heirs = most_shared(count_pairs(took.select([*CLUSTER_KEY, "_heir"])), by=CLUSTER_KEY, other="_heir")
    heirs = left_join(clusters.select(CLUSTER_KEY), heirs, on=CLUSTER_KEY, columns=["_heir"])["_heir"]
    codes = positions_of(its, clusters, on=CLUSTER_KEY)
    looks = gather_lists(codes, its[kind.look], groups=len(clusters), most=REMEMBERED)
    own = pa.ListArray.from_arrays(
        pa.array(np.arange(len(clusters) + 1, dtype=np.int32)), _whole(clusters["representative"])
    )
    clock = pa.scalar(now, clusters.schema.field("update_time").type)
    ended = {
        "state": pa.scalar("gone"),
        "successor_id": heirs,
        kind.last: pc.if_else(pc.is_valid(looks), looks, own),
        "update_time": clock,
    }
    return with_columns(clusters, ended).cast(clusters.schema)


def _whole(column: pa.ChunkedArray) -> pa.Array:
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def moved_clusters(members: pa.Table, *, kind: MemberKind, old_members: pa.Table) -> pa.Table:
    """The clusters (CLUSTER_KEY) of which a member came, went or is another now."""
    member = (*DATASET_KEY, kind.member)
    was = positions_of(members, old_members, on=member)
    stays = np.flatnonzero(was >= 0)
    now, before = members.take(pa.array(stays)), old_members.take(pa.array(was[stays]))
    same = np.ones(len(stays), np.bool_)
    for name in kind.members.names:
        if name not in (*member, "run_id"):
            same &= same_values(now[name], before[name])
    is_new, is_old = np.ones(len(members), np.bool_), np.ones(len(old_members), np.bool_)
    is_new[stays[same]], is_old[was[stays[same]]] = False, False
    differing = [
        rows.filter(pa.array(differs)).select(CLUSTER_KEY)
        for rows, differs in ((members, is_new), (old_members, is_old))
    ]
    touched = pa.concat_tables([rows.cast(differing[0].schema) for rows in differing])
    return distinct(touched.filter(pc.is_valid(touched["object_id"])), key=CLUSTER_KEY)


def change_members(members: pa.Table, *, kind: MemberKind, old_members: pa.Table) -> pa.Table:
    """The members that change, one row each: the columns of the kind's table of members but run_id, and `_action`."""
    schema = kind.members.computed_schema
    compare = [name for name in schema.names if name not in kind.members.key]
    return diff_rows(
        members.select(schema.names).cast(schema), current=old_members, key=kind.members.key, compare=compare
    )


def apply_changes(rows: pa.Table, changes: pa.Table, *, key: tuple[str, ...]) -> pa.Table:
    """The rows of a table after changes (`_action`): what a commit makes of it."""
    kept = anti_join(rows, changes, on=key)
    put = changes.filter(pc.not_equal(changes[ACTION], "delete")).select(rows.column_names).cast(rows.schema)
    return pa.concat_tables([kept, put])
