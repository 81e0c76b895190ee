"""Segments through time: the ids of new ones, what became of old ones, and which are clusters."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from schemas.cluster_kinds import TRIPS
from schemas.keys import DATASET_KEY, PLACE_KEY
from schemas.lake import CLUSTER_NAMESPACE
from schemas.location_date_segments import LOCATION_DATE_SEGMENTS
from transforms.clusters.stable_ids import match_greedily, most_shared, number_new, overlapping_spans, uuid5
from transforms.tables.actions import ACTION
from transforms.tables.frames import union_by_name
from transforms.trips.location_dates import NAMES

SPAN = (*PLACE_KEY, "first_day")
MEASURED = ("days", "days_with_files", "files", "images", "videos", "first", "last", "cover", *NAMES)
REMEMBERED = ("object_id", "generation", "origin_id", "cluster_since", "create_time")
COLUMNS = tuple(name for name in LOCATION_DATE_SEGMENTS.names if name != "run_id")

Checkpoint = Callable[[DataFrame], DataFrame]


def begin_segments(new: DataFrame, *, is_cluster: Column, now: datetime) -> DataFrame:
    """The segments of a lake that never had any: each is new. The columns of `location_date_segments` but run_id."""
    fresh = new.withColumnRenamed("number", "generation").withColumn("origin_id", F.lit(None).cast("string"))
    return _live(_name_fresh(fresh, now=now), is_cluster=is_cluster, now=now)


def carry_segments(
    new: DataFrame, *, old: DataFrame, deleted: DataFrame, is_cluster: Column, now: datetime, checkpoint: Checkpoint
) -> DataFrame:
    """The segments that change, one row each: the columns of `location_date_segments` but run_id, and `_action`.

    `new` are the segments of the places in scope as cut now (transforms.trips.location_dates.segment_days); `old` all
    rows of the same places as last committed; `deleted` the object_ids of clusters that are deleted now;
    `is_cluster` tells a cluster by its `days`.

    An old segment is followed by the new one that shares most days with it, one to one: live ones and those whose
    deletion was undone first, then those that went. What no old segment answers for is new. A live one that
    nothing follows goes, and names as successor the new segment that took most of its days.

    The spans of either side are disjoint, so one that is the same on both sides can match nothing else: one join
    settles those, and only what remains is matched. `checkpoint` keeps a frame that several later steps read.
    """
    marks = F.broadcast(deleted.select("object_id", F.lit(True).alias("_deleted")))
    old = old.join(marks, "object_id", how="left")
    is_deleted = F.col("_deleted").isNotNull()
    present = ~is_deleted & F.col("state").isin("live", "deleted")
    moved = checkpoint(_pair_same_spans(new, old=old.where(present), is_cluster=is_cluster))

    same = moved.where("new.days IS NOT NULL AND old.days IS NOT NULL").select("new.*", *_of("old", REMEMBERED))
    rest_new = moved.where("old.days IS NULL").select("new.*")
    rest_old = moved.where("new.days IS NULL").select("old.*")
    places = F.broadcast(rest_new.select(*PLACE_KEY).distinct())
    earlier = checkpoint(
        old.join(places, list(PLACE_KEY), how="left_semi").select(*SPAN, "last_day", *REMEMBERED, "state", "_deleted")
    )

    pairs = checkpoint(overlapping_spans(rest_new, old=rest_old, key=PLACE_KEY))
    followed = checkpoint(match_greedily(pairs, key=PLACE_KEY))
    unfollowed = checkpoint(rest_new.join(followed, list(SPAN), how="left_anti"))
    gone = earlier.where(~is_deleted & (F.col("state") == "gone"))
    revived = checkpoint(match_greedily(overlapping_spans(unfollowed, old=gone, key=PLACE_KEY), key=PLACE_KEY))

    remembered = earlier.select(*DATASET_KEY, *REMEMBERED)
    kept = rest_new.join(union_by_name(followed, revived), list(SPAN), how="inner").join(
        remembered, [*DATASET_KEY, "object_id"], how="inner"
    )
    origins = most_shared(pairs, by=SPAN, other="object_id").withColumnRenamed("object_id", "origin_id")
    fresh = (
        unfollowed.join(revived, list(SPAN), how="left_anti")
        .transform(number_new, old=earlier, key=PLACE_KEY)
        .join(origins, list(SPAN), how="left")
        .transform(_name_fresh, now=now)
    )
    updated = checkpoint(_live(union_by_name(same, kept), is_cluster=is_cluster, now=now))
    inserted = checkpoint(_live(fresh, is_cluster=is_cluster, now=now))
    live = union_by_name(updated, inserted)
    left = rest_old.join(followed, [*DATASET_KEY, "object_id"], how="left_anti")
    went = _went(left, live=live, pairs=pairs, now=now)
    struck = old.where(is_deleted & (F.col("state") != "deleted"))
    struck = _leave(struck, state="deleted", successor=F.lit(None).cast("string"), now=now)
    updates = union_by_name(updated, went, struck).withColumn(ACTION, F.lit("update"))
    return union_by_name(updates, inserted.withColumn(ACTION, F.lit("insert")))


def _pair_same_spans(new: DataFrame, *, old: DataFrame, is_cluster: Column) -> DataFrame:
    """Structs `new` and `old`, one of them null where the other side has no such span; what is unchanged left out."""
    new = new.select(*PLACE_KEY, "first_day", "last_day", F.struct(*new.columns).alias("new"), is_cluster.alias("_is"))
    old = old.select(*PLACE_KEY, "first_day", "last_day", F.struct(*old.columns).alias("old"))
    pairs = new.join(old, [*SPAN, "last_day"], how="full")
    equal = F.struct(*_of("new", MEASURED)).eqNullSafe(F.struct(*_of("old", MEASURED)))
    settled = (F.col("old.state") == "live") & equal & (F.col("_is") == F.col("old.is_cluster"))
    return pairs.where(~F.coalesce(settled, F.lit(False))).select("new", "old")


def _of(side: str, names: tuple[str, ...]) -> list[Column]:
    return [F.col(f"{side}.{name}") for name in names]


def _name_fresh(fresh: DataFrame, *, now: datetime) -> DataFrame:
    uuid = uuid5(CLUSTER_NAMESPACE, "project_name", "dataset_name", "level", "place_key", "generation")
    return fresh.withColumns(
        {
            "object_id": F.concat(F.lit(TRIPS.prefix), uuid),
            "cluster_since": F.lit(None).cast("timestamp"),
            "create_time": F.lit(now),
        }
    )


def _live(segments: DataFrame, *, is_cluster: Column, now: datetime) -> DataFrame:
    return segments.withColumns(
        {
            "is_cluster": is_cluster,
            "cluster_since": F.coalesce("cluster_since", F.when(is_cluster, F.lit(now))),
            "state": F.lit("live"),
            "successor_id": F.lit(None).cast("string"),
            "update_time": F.lit(now),
        }
    ).select(*COLUMNS)


def _went(left: DataFrame, *, live: DataFrame, pairs: DataFrame, now: datetime) -> DataFrame:
    """The old segments that no new one follows, with the successor that took most of their days."""
    heirs = most_shared(pairs, by=[*PLACE_KEY, "object_id"], other="first_day")
    names = live.select(*SPAN, F.col("object_id").alias("_successor"))
    heirs = heirs.join(names, list(SPAN), how="inner").select(*DATASET_KEY, "object_id", "_successor")
    left = left.join(heirs, [*DATASET_KEY, "object_id"], how="left")
    return _leave(left, state="gone", successor=F.col("_successor"), now=now)


def _leave(segments: DataFrame, *, state: str, successor: Column, now: datetime) -> DataFrame:
    return segments.withColumns(
        {
            "state": F.lit(state),
            "is_cluster": F.lit(False),
            "successor_id": successor,
            "update_time": F.lit(now),
        }
    ).select(*COLUMNS)
