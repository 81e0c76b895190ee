"""A step of a history by the chains of joins on Spark: what the kernels are held against until these chains go."""

from __future__ import annotations

from datetime import datetime
from functools import partial

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from schemas.cluster_kinds import GROUPS, PEOPLE
from schemas.keys import CLUSTER_KEY, DATASET_KEY, FACE_KEY, FILE_KEY, GROUP_KEY
from tests.transforms.clusters.histories import Inputs, State
from transforms.clusters import lineage
from transforms.clusters.member_clusters import change_clusters, live_clusters, name_groups
from transforms.graphs.stars import group_stars
from transforms.people.figures import (
    Decisions,
    decide_members,
    describe_people,
    merge_people,
    name_people,
    restore_members,
    stay_people,
)
from transforms.similar_images.similarity import (
    describe_groups,
    describe_members,
    gather_members,
    hash_look,
    link_nodes,
    linked_looks,
    part_images,
)
from transforms.tables.arrow_tables import from_frame
from transforms.tables.changes import diff_rows
from transforms.tables.frames import union_by_name


def _frame(spark: SparkSession, rows: pa.Table) -> DataFrame:
    return spark.createDataFrame(rows.combine_chunks() if len(rows) else rows.schema.empty_table())


def _keep(rows: DataFrame) -> DataFrame:
    return rows.localCheckpoint()


def decide(inputs: Inputs, state: State, now: datetime, *, spark: SparkSession) -> tuple[pa.Table, pa.Table]:
    """The changes of clusters and members, by the chains."""
    old_clusters, old_members = (_keep(_frame(spark, rows)) for rows in (state.clusters, state.members))
    of_kind = _people if state.kind is PEOPLE else _albums
    members, groups, names = of_kind(inputs, spark, old_clusters, old_members)
    members = _keep(members)
    changes = change_clusters(
        live_clusters(groups, kind=state.kind, names=names, now=now),
        kind=state.kind,
        members=members,
        old_members=old_members,
        old_clusters=old_clusters,
        now=now,
    )
    key = state.kind.members.key
    compare = [name for name in old_members.columns if name not in key]
    moved = diff_rows(members.select(*old_members.columns), current=old_members, key=key, compare=compare)
    return tuple(_arrow(rows, like) for rows, like in ((changes, state.clusters), (moved, state.members)))


def _arrow(rows: DataFrame, like: pa.Table) -> pa.Table:
    found = from_frame(rows)
    return found.select([*like.column_names, "_action"]).cast(like.schema.append(pa.field("_action", pa.string())))


def _people(inputs: Inputs, spark: SparkSession, old_clusters: DataFrame, old_members: DataFrame):
    """As jobs.cluster_figures._commit_people, but that a face is restored to one person alone."""
    faces = _keep(_frame(spark, inputs.tables["faces"]))
    grouped = _frame(spark, inputs.tables["groups"])
    groups = grouped.join(faces.select(*FACE_KEY, "uri"), list(FACE_KEY), how="inner")
    groups = _keep(groups.withColumn("node", F.col("figure_id")))
    owned = old_members.where(F.col("object_id").isNotNull())
    decisions = Decisions.of(_frame(spark, inputs.edits), old_clusters=old_clusters, checkpoint=_keep)
    kept_together = decisions.merged.select(*DATASET_KEY, F.col("into").alias("object_id")).distinct()
    names = name_groups(
        groups,
        kind=PEOPLE,
        old_members=old_members,
        old_clusters=old_clusters,
        checkpoint=_keep,
        several=kept_together,
    )
    members = groups.join(names.select(*GROUP_KEY, "object_id"), list(GROUP_KEY), how="inner")
    members = members.select(*FACE_KEY, "uri", "object_id", "confidence", "role")
    merged = _keep(members.transform(merge_people, decisions=decisions))
    restored = restore_members(decisions, old_clusters=old_clusters, faces=faces)
    went = old_clusters.select(*CLUSTER_KEY, (-F.unix_micros("update_time")).alias("went"))
    one = restored.join(went, list(CLUSTER_KEY), how="inner").groupBy(*FACE_KEY)
    one = one.agg(F.min_by("object_id", F.struct("went", "object_id")).alias("object_id"))
    restored = _keep(restored.join(one, [*FACE_KEY, "object_id"], how="left_semi"))
    others = owned.select(*restored.columns).join(restored, list(FACE_KEY), how="left_anti")
    staying = stay_people(merged, old_members=union_by_name(others, restored), faces=faces)
    decided = union_by_name(merged, staying.select(*merged.columns))
    decided = _keep(decided.transform(decide_members, decisions=decisions, faces=faces))
    independent = faces.join(decided.select(*FACE_KEY), list(FACE_KEY), how="left_anti").select(*FACE_KEY, "uri")
    people = decided.join(faces.drop("uri"), list(FACE_KEY), how="inner").transform(describe_people)
    return (
        decided.unionByName(independent, allowMissingColumns=True),
        people,
        decided.transform(name_people, names=names, old_clusters=old_clusters),
    )


def _albums(inputs: Inputs, spark: SparkSession, old_clusters: DataFrame, old_members: DataFrame):
    """As jobs.cluster_similar_images._group, then jobs.similar_images.pairs.commit_similar_images."""
    images, pairs = (_keep(_frame(spark, inputs.tables[name])) for name in ("images", "pairs"))
    looks = pairs.transform(linked_looks, images=images)
    images = images.withColumn("look", hash_look()).join(looks, "look", how="left_semi").drop("look")
    images = _keep(images.transform(part_images, parted=_parted(_frame(spark, inputs.edits)), pairs=pairs))
    links = _keep(pairs.transform(link_nodes, images=images))
    stars = group_stars(links, key=DATASET_KEY, checkpoint=_keep, log=lambda *_: None)
    groups = _keep(images.transform(gather_members, stars=stars))
    names = name_groups(groups, kind=GROUPS, old_members=old_members, old_clusters=old_clusters, checkpoint=_keep)
    named = groups.join(names.select(*GROUP_KEY, "object_id"), list(GROUP_KEY), how="inner")
    members = _keep(named.transform(describe_members).select(*old_members.columns, "produce_time"))
    return members.drop("produce_time"), members.transform(describe_groups), names


def _parted(edits: DataFrame) -> DataFrame:
    """As jobs.cluster_similar_images._parted."""
    edits = edits.where(F.col("action").isin("part", "rejoin"))
    rejoined = F.max(F.when(F.col("action") == "rejoin", F.col("sequence")))
    parts = F.collect_list(F.when(F.col("action") == "part", F.struct("sequence", "fingerprints")))
    since = F.filter("parts", lambda part: F.col("rejoined").isNull() | (part["sequence"] > F.col("rejoined")))
    apart = F.array_distinct(F.flatten(F.transform(since, lambda part: part["fingerprints"])))
    found = (
        edits.groupBy(*FILE_KEY)
        .agg(rejoined.alias("rejoined"), parts.alias("parts"))
        .select(*FILE_KEY, F.array_sort(apart).alias("apart"))
    )
    return found.where(F.size("apart") > 0)


def derive(feed: pa.Table, *, known: pa.Table, kind: str, spark: SparkSession) -> pa.Table:
    """derive_member_events by the chains."""
    found = lineage.derive_member_events(_frame(spark, feed), known=_frame(spark, known), kind=kind)
    return from_frame(found).select(known.column_names).cast(known.schema)


def on(spark: SparkSession) -> dict[str, partial]:
    """Both, by a session."""
    return {"decide": partial(decide, spark=spark), "derive": partial(derive, spark=spark)}
