"""The ids of groups of members: whom each follows of the clusters that there were, and who is new.

Tables in, tables out, of many datasets at once. `members` has a row per member of a group: GROUP_KEY, the kind's
columns `member` and `look`, and `node`, which equals `representative` for the member that it names. `old_clusters` and
`old_members` are rows of the kind's tables.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.cluster_kinds import MemberKind
from schemas.keys import CLUSTER_KEY, DATASET_KEY, GROUP_KEY
from schemas.lake import CLUSTER_NAMESPACE
from transforms.clusters.ids import match_greedily, uuid5
from transforms.tables.grouped import first_of_each, holds, integers, is_equal, number_rows, ranks, select_as, unnest
from transforms.tables.keyed import (
    Bools,
    Ints,
    anti_join,
    distinct,
    inner_join,
    is_among,
    key_codes,
    left_join,
    look_up,
    semi_join,
    union_by_name,
    with_columns,
)

PARTED = "#"
"""In a node, between the look and the name of a member that a person set apart from others of the look."""
NAMES = (*GROUP_KEY, "object_id", "generation", "anchor", "origin_id")
"""What a cluster is called, and what its id is made of."""


def name_groups(
    members: pa.Table,
    *,
    kind: MemberKind,
    old_members: pa.Table,
    old_clusters: pa.Table,
    several: pa.Table | None = None,
) -> pa.Table:
    """One row per group (NAMES).

    A group follows the live cluster that it shares most members with, one to one, ties to the oldest, then to the
    lesser ids. What no live cluster answers for follows the cluster that went that it shares most looks with. What is
    left is new: its id is made of its representative and a generation. Clusters among `several` (CLUSTER_KEY), which
    people merged, are followed by every group that shares most with them and follows no other.

    A cluster without members was committed by a run that was killed before its members were: its representative
    answers for it.
    """
    groups = distinct(members.select(GROUP_KEY), key=GROUP_KEY)
    shared = _shared(members, kind=kind, old_members=old_members, old_clusters=old_clusters)
    matches = _match(shared, old_clusters=old_clusters)
    origins = most_shared(shared.filter(pa.array(is_equal(shared["turn"], 0))), by=GROUP_KEY, other="object_id")
    if several is not None:
        more = anti_join(semi_join(origins, several, on=CLUSTER_KEY), matches, on=GROUP_KEY)
        matches = union_by_name(matches, more)
    kept = inner_join(matches, old_clusters, on=CLUSTER_KEY, columns=["generation", "anchor", "origin_id"])
    fresh = anti_join(groups, kept, on=GROUP_KEY)
    return pa.concat_tables([kept.select(NAMES), _name_new(fresh, kind=kind, old=old_clusters, origins=origins)])


def _name_new(groups: pa.Table, *, kind: MemberKind, old: pa.Table, origins: pa.Table) -> pa.Table:
    """Names of groups that follow no cluster: counted on from the last that began at the same representative."""
    named = groups.append_column("anchor", groups["representative"])
    anchors, before = key_codes(named, old, key=(*DATASET_KEY, "anchor"))
    greatest = np.zeros(max(anchors.max(initial=-1), before.max(initial=-1)) + 1, np.int64)
    np.maximum.at(greatest, before, integers(old["generation"], null=0))
    numbers = greatest[anchors] + number_rows(anchors, ranks(named["representative"]))
    parts = (named["project_name"], named["dataset_name"], pa.repeat(kind.name, len(named)), named["anchor"])
    made = uuid5(CLUSTER_NAMESPACE, *parts, pa.array(numbers))
    ids = pc.binary_join_element_wise(pa.repeat(kind.prefix, len(named)), made, "")
    named = with_columns(named, {"object_id": ids, "generation": pa.array(numbers)})
    origins = select_as(origins, GROUP_KEY, origin_id="object_id")
    return left_join(named, origins, on=GROUP_KEY, columns=["origin_id"]).select(NAMES)


def _shared(members: pa.Table, *, kind: MemberKind, old_members: pa.Table, old_clusters: pa.Table) -> pa.Table:
    """How many members a group and an older cluster have in common (`turn` 0), or looks, of one that went (1)."""
    owned = old_members.filter(pc.is_valid(old_members["object_id"])).select([*CLUSTER_KEY, kind.member])
    halfway = anti_join(old_clusters.filter(pa.array(is_live(old_clusters))), owned, on=CLUSTER_KEY)
    halfway = select_as(halfway, CLUSTER_KEY, node="representative")
    gone = old_clusters.filter(pa.array(is_equal(old_clusters["state"], "gone")))
    gone = unnest(gone.select([*CLUSTER_KEY, kind.last]), kind.last, to=kind.look)
    looks = distinct(members.select([*GROUP_KEY, kind.look]), key=(*GROUP_KEY, kind.look))
    turns = [
        inner_join(members, owned, on=(*DATASET_KEY, kind.member), columns=["object_id"]),
        inner_join(members, halfway, on=(*DATASET_KEY, "node"), columns=["object_id"]),
        inner_join(looks, gone, on=(*DATASET_KEY, kind.look), columns=["object_id"]),
    ]
    pairs = [rows.select([*GROUP_KEY, "object_id"]) for rows in turns]
    turn = np.repeat([0, 0, 1], [len(rows) for rows in pairs])
    return count_pairs(pa.concat_tables(pairs).append_column("turn", pa.array(turn)))


def count_pairs(rows: pa.Table) -> pa.Table:
    """The different rows, with how often each occurs: `shared`."""
    (codes,) = key_codes(rows, key=rows.column_names)
    once = rows.take(pa.array(first_of_each(codes)))
    return once.append_column("shared", pa.array(np.bincount(codes)[: len(once)].astype(np.int64)))


def _match(shared: pa.Table, *, old_clusters: pa.Table) -> pa.Table:
    """The pairs of groups and clusters (GROUP_KEY, `object_id`) by which ids live on."""
    pairs = inner_join(shared, old_clusters, on=CLUSTER_KEY, columns=["create_time"])
    (groups,), (clusters,) = key_codes(pairs, key=GROUP_KEY), key_codes(pairs, key=CLUSTER_KEY)
    order = [
        integers(pairs["turn"], null=0),
        -integers(pairs["shared"], null=0),
        integers(pairs["create_time"], null=0),
        ranks(pairs["object_id"]),
        ranks(pairs["representative"]),
    ]
    return pairs.take(pa.array(match_greedily(groups, clusters, order=order))).select([*GROUP_KEY, "object_id"])


def most_shared(pairs: pa.Table, *, by: tuple[str, ...], other: str) -> pa.Table:
    """Per one of a side (`by`) that of the other side (`other`) that shares most with it, ties to the smaller."""
    (codes,) = key_codes(pairs, key=by)
    best = first_of_each(codes, -integers(pairs["shared"], null=0), ranks(pairs[other]))
    return pairs.take(pa.array(best)).select([*by, other])


def is_live(clusters: pa.Table) -> Bools:
    """Which clusters there are now: bool (n,)."""
    return is_equal(clusters["state"], "live")


def keep_names(members: pa.Table, *, old_clusters: pa.Table, least: int) -> pa.Table:
    """The names (NAMES) of the clusters that still have `least` members, after some were removed."""
    clusters, of = key_codes(old_clusters, members, key=CLUSTER_KEY)
    counts = np.bincount(of, minlength=clusters.max(initial=-1) + 1)
    return old_clusters.filter(pa.array(is_live(old_clusters) & (counts[clusters] >= least))).select(NAMES)


def clusters_of_looks(clusters: pa.Table, *, kind: MemberKind, looks: pa.Table) -> pa.Table:
    """The clusters that names of groups of `looks` depend on: anchor, representative or a last member looks so."""
    by_look = (*DATASET_KEY, kind.look)
    own = with_columns(clusters.select(CLUSTER_KEY), {"_row": pa.array(np.arange(len(clusters)))})
    last = unnest(own.append_column(kind.last, clusters[kind.last]), kind.last, to=kind.look)
    ends = [own.append_column(kind.look, _look_of_node(clusters[name])) for name in ("representative", "anchor")]
    related = semi_join(union_by_name(*ends, last), looks, on=by_look)
    return clusters.take(pc.unique(related["_row"]).sort())


def clusters_within_looks(clusters: pa.Table, *, kind: MemberKind, looks: pa.Table) -> pa.Table:
    """Of clusters_of_looks those that went, and those whose representative looks so now: all of their members do."""
    marked = clusters.select(DATASET_KEY).append_column(kind.look, _look_of_node(clusters["representative"]))
    near = is_among(marked, looks, on=(*DATASET_KEY, kind.look))
    return clusters.filter(pa.array(near | ~is_live(clusters)))


def _look_of_node(nodes: pa.ChunkedArray) -> pa.Array:
    at = holds(pc.greater_equal(pc.find_substring(nodes, PARTED), 0))
    if not at.any():
        return nodes
    return pc.list_element(pc.split_pattern(nodes, PARTED, max_splits=1), 0)


def positions_of(rows: pa.Table, among: pa.Table, *, on: tuple[str, ...]) -> Ints:
    """Per row the position among rows of unique keys, -1 where its key has none: int64 (n,)."""
    if not len(rows) or not len(among):
        return np.full(len(rows), -1, np.int64)
    codes, there = key_codes(rows, among, key=on)
    return look_up(codes, there)
