"""Faces to people: which faces are good, the people of every dataset, what people decided, and what a person is.

The grouping itself is transforms.people.grouping; the ids of people through time, transforms.clusters.member_clusters.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from schemas.figure_clusters import FIGURE_CLUSTERS
from schemas.figures import IS_GOOD
from schemas.keys import CLUSTER_KEY, DATASET_KEY, FACE_KEY
from transforms.graphs.components import Checkpoint, Log
from transforms.people.grouping import Profile
from transforms.people.large_libraries import LargeLibraries
from transforms.people.libraries import group_libraries
from transforms.people.linkage import LIMITS, Limits
from transforms.tables.arrow_tables import ArrowBatches, whole_datasets
from transforms.tables.frames import gather_whole, union_by_name

FACES_AT_ONCE = 20_000
"""Faces of small datasets that come to Python together: some 40 MB."""

MOST_DOUBLINGS = 20
"""A line of a million heirs is followed to its end in so many."""

_GROUPED = "figure_id string, representative string, confidence double, role string"


def is_good() -> Column:
    """Whether a face (a row of `figures`) can found a person. False where any of what is asked is missing.

    Both sides of the box over 75 pixels, yaw, pitch and roll under 30 degrees either way, quality over 0.8.
    """
    return F.coalesce(F.expr(IS_GOOD), F.lit(False))


def large_libraries(faces: DataFrame, *, limits: Limits = LIMITS) -> DataFrame:
    """The datasets (DATASET_KEY) that have more faces than one task groups."""
    return faces.groupBy(*DATASET_KEY).count().where(F.col("count") > limits.faces_per_task).select(*DATASET_KEY)


def group_figures(
    faces: DataFrame,
    *,
    large: DataFrame,
    profile: Profile,
    checkpoint: Checkpoint,
    log: Log,
    limits: Limits = LIMITS,
) -> DataFrame:
    """One row per face of a person: FACE_KEY, `representative` (names the person), `confidence`, `role`.

    `faces` has FACE_KEY, `uri`, `embedding` and `is_good`. A person's representative is the founder nearest to the
    person's mean. Faces whose embeddings have other lengths than most of their dataset's are of no person: lengths tell
    models apart, whose embeddings cannot be compared. A dataset's faces are grouped in one task, many small datasets in
    each; those of `large` ones (DATASET_KEY) by many tasks. The result is a function of the set of faces alone.
    """
    fields = [faces.schema[name] for name in DATASET_KEY]
    schema = ", ".join(f"{field.name} {field.dataType.simpleString()}" for field in fields)
    asked = faces.where(F.col("embedding").isNotNull())
    asked = asked.select(*FACE_KEY, "uri", "embedding", "is_good", "face_quality")
    is_any_large = not large.isEmpty()
    small = asked.join(F.broadcast(large), list(DATASET_KEY), how="left_anti") if is_any_large else asked
    sorted_ = gather_whole(small, key=DATASET_KEY)
    grouped = sorted_.mapInArrow(
        lambda batches: _group_batches(batches, profile, limits), schema=f"{schema}, {_GROUPED}"
    )
    if not is_any_large:
        return grouped
    shared_out = LargeLibraries(DATASET_KEY, profile, limits, checkpoint, log)
    of_large = asked.join(F.broadcast(large), list(DATASET_KEY), how="left_semi")
    return grouped.unionByName(shared_out.group(of_large))


def _group_batches(batches: ArrowBatches, profile: Profile, limits: Limits) -> Iterator[pa.RecordBatch]:
    for table in whole_datasets(batches, key=DATASET_KEY, rows=FACES_AT_ONCE):
        yield from group_libraries(table, profile=profile, limits=limits).to_batches()


@dataclass(frozen=True)
class Decisions:
    """What people decided about the faces of some datasets.

    `chosen` and `barred` have FACE_KEY and `object_id`: the face is that person's, or is not. `merged` has
    CLUSTER_KEY and `into`: all faces of a person are another's. `unmerged` are the people
    (CLUSTER_KEY) of whom that is no longer so.
    """

    chosen: DataFrame
    barred: DataFrame
    merged: DataFrame
    unmerged: DataFrame

    @classmethod
    def of(cls, edits: DataFrame, *, old_clusters: DataFrame, checkpoint: Checkpoint) -> Decisions:
        """What is in force by edits (rows of `cluster_edits` with their bucket): the last about a face and a person.

        People who went stand for those who took most of their faces (`old_clusters`).
        """
        merges = _last(
            edits.where(F.col("action").isin("merge", "unmerge")), by=CLUSTER_KEY, kept=("action", "other_id")
        )
        unmerged = merges.where("action = 'unmerge'").select(*CLUSTER_KEY)
        merges = merges.where("action = 'merge'").select(*CLUSTER_KEY, F.col("other_id").alias("into"))
        went = old_clusters.where("state = 'gone' AND successor_id IS NOT NULL")
        went = went.select(*CLUSTER_KEY, F.col("successor_id").alias("into")).join(
            merges, list(CLUSTER_KEY), how="left_anti"
        )
        heirs = _follow(union_by_name(merges, went), checkpoint=checkpoint)
        told = edits.where(F.col("action").isin("join", "leave", "part", "rejoin"))
        last = _last(told, by=(*FACE_KEY, "object_id"), kept=("action", "sequence")).transform(_resolve, heirs=heirs)
        last = checkpoint(last)
        joined = last.where("action = 'join'")
        chosen = joined.groupBy(*FACE_KEY).agg(F.max_by("object_id", "sequence").alias("object_id"))
        barred = last.where("action = 'part'").select(*FACE_KEY, "object_id").distinct()
        merged = heirs.join(merges.select(*CLUSTER_KEY), list(CLUSTER_KEY), how="left_semi")
        return cls(chosen, barred, checkpoint(merged), unmerged)


def _last(edits: DataFrame, *, by: Sequence[str], kept: Sequence[str]) -> DataFrame:
    return edits.groupBy(*by).agg(F.max_by(F.struct(*kept), "sequence").alias("_last")).select(*by, "_last.*")


def _follow(heirs: DataFrame, *, checkpoint: Checkpoint) -> DataFrame:
    """Heirs (CLUSTER_KEY, `into`) followed to the last of each line, by doubling; of a ring nobody is the heir."""
    for _ in range(MOST_DOUBLINGS):
        further = heirs.select(*DATASET_KEY, F.col("object_id").alias("into"), F.col("into").alias("_further"))
        heirs = heirs.join(further, [*DATASET_KEY, "into"], how="left").select(
            *CLUSTER_KEY, F.coalesce("_further", "into").alias("into"), F.col("_further").isNotNull().alias("_moved")
        )
        heirs = checkpoint(heirs)
        if heirs.where("_moved").isEmpty():
            break
    return heirs.drop("_moved").where("into != object_id")


def _resolve(rows: DataFrame, heirs: DataFrame) -> DataFrame:
    """Rows about people as rows about their heirs."""
    found = rows.join(F.broadcast(heirs), list(CLUSTER_KEY), how="left")
    return found.withColumn("object_id", F.coalesce("into", "object_id")).drop("into")


def merge_people(members: DataFrame, *, decisions: Decisions) -> DataFrame:
    """Members of people, those of people who were merged into others as these others'."""
    return members.transform(_resolve, heirs=decisions.merged).select(*members.columns)


def name_people(members: DataFrame, *, names: DataFrame, old_clusters: DataFrame) -> DataFrame:
    """The names of the people of `members`, one row each: `names` (those of groups), else what they were before.

    A person of several groups, which people merged, has the representative of one of them; one whom no group follows
    that of before.
    """
    columns = ("representative", "generation", "anchor", "origin_id")
    before = old_clusters.select(*CLUSTER_KEY, *columns, F.lit(1).alias("_turn"))
    either = union_by_name(names.select(*CLUSTER_KEY, *columns, F.lit(0).alias("_turn")), before)
    first = F.min(F.struct("_turn", *columns)).alias("_first")
    people = members.select(*CLUSTER_KEY).distinct()
    named = either.join(people, list(CLUSTER_KEY), how="left_semi").groupBy(*CLUSTER_KEY).agg(first)
    return named.select(*CLUSTER_KEY, *(f"_first.{name}" for name in columns))


def restore_members(decisions: Decisions, *, old_clusters: DataFrame, faces: DataFrame) -> DataFrame:
    """The faces that people had before they were merged, of those who went and were unmerged since.

    FACE_KEY, `uri`, `object_id`, `confidence` and `role` a row; of `faces`, which has those that there are. As a person
    who went remembers no more than some of the faces, and not how they came, all count as joined, without doubt.
    """
    went = old_clusters.where("state = 'gone'").join(decisions.unmerged, list(CLUSTER_KEY), how="left_semi")
    remembered = went.select(*CLUSTER_KEY, F.explode("last_figures").alias("figure_id"))
    there = remembered.join(faces.select(*FACE_KEY, "uri"), list(FACE_KEY), how="inner")
    return there.select(*FACE_KEY, "uri", "object_id", F.lit(1.0).alias("confidence"), F.lit("joined").alias("role"))


def stay_people(members: DataFrame, *, old_members: DataFrame, faces: DataFrame) -> DataFrame:
    """The faces of people whom no group follows, and who stay: the columns of `members`.

    A person once founded stays until all images are gone. So one whose founders went, or are too few by now, keeps the
    faces that are there and nobody else's; unless most of those are somebody else's now: then the person went into
    that one. `members` and `old_members` have FACE_KEY, `uri`, `object_id`, `confidence`, `role`; `faces` those that
    there are.
    """
    there = old_members.join(faces.select(*FACE_KEY), list(FACE_KEY), how="left_semi")
    there = there.join(members.select(*CLUSTER_KEY).distinct(), list(CLUSTER_KEY), how="left_anti")
    taken = members.select(*FACE_KEY, F.lit(True).alias("_taken"))
    marked = there.join(taken, list(FACE_KEY), how="left")
    stays = marked.groupBy(*CLUSTER_KEY).agg((F.count("_taken") * 2 < F.count("*")).alias("_stays")).where("_stays")
    left = marked.where(F.col("_taken").isNull()).join(stays.select(*CLUSTER_KEY), list(CLUSTER_KEY), how="left_semi")
    return left.drop("_taken")


def decide_members(members: DataFrame, *, decisions: Decisions, faces: DataFrame) -> DataFrame:
    """Members (FACE_KEY, `uri`, `object_id`, `confidence`, `role`) as people decided them.

    A face that people barred from its person is of nobody then. One that they chose is that person's, whatever its
    embedding says, with confidence 1. `faces` has the faces that there are.
    """
    left = members.join(F.broadcast(decisions.barred), [*FACE_KEY, "object_id"], how="left_anti")
    left = left.join(F.broadcast(decisions.chosen), list(FACE_KEY), how="left_anti")
    given = faces.select(*FACE_KEY, "uri").join(F.broadcast(decisions.chosen), list(FACE_KEY), how="inner")
    given = given.withColumns({"confidence": F.lit(1.0), "role": F.lit("chosen")})
    return union_by_name(left, given.select(*left.columns))


def describe_people(members: DataFrame) -> DataFrame:
    """One row per person, with the columns that `figure_clusters` alone has, but the representative.

    `members` has CLUSTER_KEY, `figure_id`, `uri`, `role`, the face's `age`, `gender` and `face_quality`, and the file's
    `media_type`. The cover is the face of the highest quality, of a picture rather than a video, ties by figure_id.
    """
    best = F.struct(
        (F.col("media_type") == "image").alias("is_image"), F.coalesce("face_quality", F.lit(-1.0)).alias("quality")
    )
    first = Window.partitionBy(*CLUSTER_KEY).orderBy(best.desc(), "figure_id")
    ranked = members.withColumn("_place", F.row_number().over(first))
    of_kind = [
        F.count_distinct(F.when(F.col("media_type") == kind, F.col("uri"))).alias(f"{kind}s")
        for kind in ("image", "video")
    ]
    is_female, is_male = (F.count_if(F.col("gender") == gender) for gender in ("female", "male"))
    gender = F.when(is_female + is_male == 0, F.lit(None)).when(is_female >= is_male, "female").otherwise("male")
    described = ranked.groupBy(*CLUSTER_KEY).agg(
        F.count("*").alias("faces"),
        F.count_if(F.col("role") == "founder").alias("founders"),
        F.count_distinct("uri").alias("files"),
        *of_kind,
        F.min("age").alias("min_age"),
        F.max("age").alias("max_age"),
        F.avg("age").alias("average_age"),
        gender.alias("gender"),
        F.min_by("figure_id", "_place").alias("cover_figure_id"),
        F.min_by("uri", "_place").alias("cover_uri"),
    )
    own = [name for name in FIGURE_CLUSTERS.names if name in described.columns]
    return described.select(*own)
