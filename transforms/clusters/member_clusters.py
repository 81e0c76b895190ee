"""Clusters of members through time: the ids of new groups, and what became of the clusters before."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from schemas.cluster_kinds import MemberKind
from schemas.keys import CLUSTER_KEY, DATASET_KEY, GROUP_KEY
from schemas.lake import CLUSTER_NAMESPACE
from transforms.clusters.member_matching import match_members
from transforms.clusters.stable_ids import most_shared, number_new, uuid5
from transforms.tables.changes import diff_rows
from transforms.tables.frames import union_by_name

PARTED = "#"
"""In a node, between the look and the name of a member that a person set apart from others of the look."""
REMEMBERED = 100
"""Members by whose looks a cluster that went is known again."""

Checkpoint = Callable[[DataFrame], DataFrame]


def name_groups(
    members: DataFrame,
    *,
    kind: MemberKind,
    old_members: DataFrame,
    old_clusters: DataFrame,
    checkpoint: Checkpoint,
    several: DataFrame | None = None,
) -> DataFrame:
    """One row per group (GROUP_KEY) with its `object_id`, `generation`, `anchor`, `origin_id`.

    `members` has a row per member of a group: the kind's columns `member` and `look`, `representative`, which tells one
    group of a dataset from another, and `node`, which equals it for the member it names. `old_members` and
    `old_clusters` are the tables' rows of the same datasets. A group follows the live cluster that it shares most
    members with, one to one, ties to the oldest; what none of them answers for, the cluster that went that it shares
    most looks with; what is left is new: an id of its representative and a generation. Clusters among `several`
    (CLUSTER_KEY), which people merged, are followed by every group that shares most with them and follows no other.

    A cluster without members was committed by a run that was killed before its members were: its representative
    answers for it.
    """
    groups = members.select(*GROUP_KEY).distinct()
    remembered = old_clusters.select(*CLUSTER_KEY, "create_time", "generation", "anchor", "origin_id")
    shared = checkpoint(_shared(members, kind=kind, old_members=old_members, old_clusters=old_clusters))
    matches = shared.join(remembered.select(*CLUSTER_KEY, "create_time"), list(CLUSTER_KEY), how="inner").transform(
        match_members, key=DATASET_KEY
    )
    origins = most_shared(shared.where("turn = 0"), by=GROUP_KEY, other="object_id", shared="shared")
    if several is not None:
        more = origins.join(several, list(CLUSTER_KEY), how="left_semi")
        matches = checkpoint(matches)
        matches = union_by_name(matches, more.join(matches, list(GROUP_KEY), how="left_anti"))
    kept = matches.join(remembered.drop("create_time"), list(CLUSTER_KEY), how="inner")
    named = checkpoint(groups.join(kept, list(GROUP_KEY), how="left"))
    name = uuid5(CLUSTER_NAMESPACE, "project_name", "dataset_name", "kind", "anchor", "generation")
    fresh = (
        named.where(F.col("object_id").isNull())
        .select(*GROUP_KEY, F.col("representative").alias("anchor"), F.lit(kind.name).alias("kind"))
        .transform(number_new, old=old_clusters, key=(*DATASET_KEY, "anchor"), order="representative")
        .join(origins.withColumnRenamed("object_id", "origin_id"), list(GROUP_KEY), how="left")
        .withColumn("object_id", F.concat(F.lit(kind.prefix), name))
    )
    columns = (*GROUP_KEY, "object_id", "generation", "anchor", "origin_id")
    return checkpoint(
        union_by_name(named.where(F.col("object_id").isNotNull()).select(*columns), fresh.select(*columns))
    )


def _shared(members: DataFrame, *, kind: MemberKind, old_members: DataFrame, old_clusters: DataFrame) -> DataFrame:
    """How many members a group and an older cluster have in common (`turn` 0), or looks, of one that went (1)."""
    halfway = old_clusters.where(kind.live).join(old_members, list(CLUSTER_KEY), how="left_anti")
    gone = old_clusters.where("state = 'gone'").select(*CLUSTER_KEY, F.explode(kind.last).alias(kind.look))
    old_members = old_members.where(F.col("object_id").isNotNull()).select(*CLUSTER_KEY, kind.member)
    by_member = members.join(old_members, [*DATASET_KEY, kind.member], how="inner")
    by_node = members.join(
        halfway.select(*CLUSTER_KEY, F.col("representative").alias("node")), [*DATASET_KEY, "node"], how="inner"
    )
    looks = members.select(*GROUP_KEY, kind.look).distinct()
    by_look = looks.join(gone, [*DATASET_KEY, kind.look], how="inner")
    turns = (
        rows.select(*GROUP_KEY, "object_id", F.lit(turn).alias("turn"))
        for rows, turn in ((by_member, 0), (by_node, 0), (by_look, 1))
    )
    return union_by_name(*turns).groupBy(*GROUP_KEY, "object_id", "turn").agg(F.count("*").alias("shared"))


def clusters_of_looks(clusters: DataFrame, *, kind: MemberKind, looks: DataFrame) -> DataFrame:
    """The clusters that names of groups of `looks` depend on: anchor, representative or a last member looks so."""
    ends = F.array(*(_look_of_node(name) for name in ("representative", "anchor")))
    own = F.array_union(F.coalesce(kind.last, F.array().cast("array<string>")), ends)
    related = clusters.select(*CLUSTER_KEY, F.explode(own).alias(kind.look))
    related = related.join(looks, [*DATASET_KEY, kind.look], how="left_semi").select(*CLUSTER_KEY).distinct()
    return clusters.join(related, list(CLUSTER_KEY), how="left_semi")


def clusters_within_looks(clusters: DataFrame, *, kind: MemberKind, looks: DataFrame) -> DataFrame:
    """Of clusters_of_looks those that went, and those whose representative looks so now: all of their members do."""
    marked = clusters.withColumn(kind.look, _look_of_node("representative"))
    near = marked.join(looks, [*DATASET_KEY, kind.look], how="left_semi").where(kind.live)
    return union_by_name(near.drop(kind.look), clusters.where(~F.expr(kind.live)))


def _look_of_node(name: str) -> Column:
    return F.split_part(F.col(name), F.lit(PARTED), F.lit(1))


def live_clusters(groups: DataFrame, *, kind: MemberKind, names: DataFrame, now: datetime) -> DataFrame:
    """One row per live cluster, as the columns of the kind's table but run_id.

    `groups` has a row per cluster with the columns that the kind alone has; `names` those of name_groups.
    """
    nothing = F.lit(None)
    states = {
        "state": F.lit("live"),
        "successor_id": nothing.cast("string"),
        kind.last: nothing.cast("array<string>"),
        "create_time": F.lit(now),
        "update_time": F.lit(now),
    }
    return groups.join(names, list(CLUSTER_KEY), how="inner").withColumns(states).select(*_columns(kind))


def change_clusters(
    live: DataFrame,
    *,
    kind: MemberKind,
    members: DataFrame,
    old_members: DataFrame,
    old_clusters: DataFrame,
    now: datetime,
) -> DataFrame:
    """The clusters that change, one row each: the columns of the kind's table but run_id, and `_action`.

    `members` and `old_members` have the columns of the kind's table of members but run_id. A live cluster that no group
    follows is gone: it names as successor the cluster that took most of its members, and remembers their looks. A row
    whose membership changed changes too, so that its update_time tells.
    """
    member = [*DATASET_KEY, kind.member]
    took = old_members.select(*CLUSTER_KEY, kind.member).join(
        members.select(*member, F.col("object_id").alias("_heir")), member, how="inner"
    )
    took = took.groupBy(*CLUSTER_KEY, "_heir").agg(F.count("*").alias("shared"))
    heirs = most_shared(took, by=CLUSTER_KEY, other="_heir", shared="shared")
    looks = old_members.groupBy(*CLUSTER_KEY).agg(
        F.slice(F.array_sort(F.collect_set(kind.look)), 1, REMEMBERED).alias("_looks")
    )
    left = old_clusters.where(kind.live).join(live, list(CLUSTER_KEY), how="left_anti")
    gone = (
        left.join(heirs, list(CLUSTER_KEY), how="left")
        .join(looks, list(CLUSTER_KEY), how="left")
        .withColumns(
            {
                "state": F.lit("gone"),
                "successor_id": F.col("_heir"),
                kind.last: F.coalesce("_looks", F.array("representative")),
                "update_time": F.lit(now),
            }
        )
        .select(*_columns(kind))
    )
    wanted = union_by_name(live, gone)
    moved = _moved(members, kind=kind, old_members=old_members)
    current = old_clusters.select(*_columns(kind))
    compare = [name for name in _columns(kind) if name not in ("create_time", "update_time")]
    touched = wanted.join(moved, list(CLUSTER_KEY), how="left").withColumn("_moved", F.coalesce("_moved", F.lit(False)))
    same = current.withColumn("_moved", F.lit(False))
    return diff_rows(
        touched, current=same, key=CLUSTER_KEY, compare=[*compare, "_moved"], keep=("create_time",), absent="leave"
    ).drop("_moved")


def _moved(members: DataFrame, *, kind: MemberKind, old_members: DataFrame) -> DataFrame:
    """The clusters of which a member came, went or is another now, with `_moved` true."""
    content = [name for name in kind.members.names if name not in ("run_id", *CLUSTER_KEY)]
    new, old = members.select(*CLUSTER_KEY, *content), old_members.select(*CLUSTER_KEY, *content)
    both = union_by_name(new.withColumn("_side", F.lit(1)), old.withColumn("_side", F.lit(-1)))
    differing = both.groupBy(*CLUSTER_KEY, *content).agg(F.sum("_side").alias("_sides")).where("_sides != 0")
    return differing.select(*CLUSTER_KEY).distinct().withColumn("_moved", F.lit(True))


def _columns(kind: MemberKind) -> list[str]:
    return [name for name in kind.table.names if name != "run_id"]


def keep_names(members: DataFrame, *, kind: MemberKind, old_clusters: DataFrame, least: int) -> DataFrame:
    """The names (name_groups' columns) of the clusters that still have `least` members, after some were removed."""
    there = members.groupBy(*CLUSTER_KEY).count().where(F.col("count") >= least).drop("count")
    names = old_clusters.where(kind.live).join(there, list(CLUSTER_KEY), how="left_semi")
    return names.select(*GROUP_KEY, "object_id", "generation", "anchor", "origin_id")
