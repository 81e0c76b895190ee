"""What happened to clusters, read off their table's change feed."""

from __future__ import annotations

from datetime import datetime

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from schemas.keys import DATASET_KEY
from transforms.tables.actions import BEFORE
from transforms.tables.frames import union_by_name


def derive_events(changes: DataFrame, *, segments: DataFrame, known: DataFrame, kind: str) -> DataFrame:
    """One row per change to a cluster, as the columns of `cluster_events` but run_id.

    `changes` is the change feed of `location_date_clusters`; `segments` are the segments as of its last version;
    `known` has the keys of clusters that have events already: one of those that appears is revived, not created.
    A cluster whose counts alone changed has no event. One that grew at one end and lost days at the other has two.
    """
    was = F.col("_change_type").isin(*BEFORE)
    per_change = (
        changes.groupBy(*DATASET_KEY, "object_id", "_commit_version", "_commit_timestamp")
        .agg(
            *(F.max(F.when(was, F.col(day))).alias(f"{day}_before") for day in ("first_day", "last_day")),
            *(F.max(F.when(~was, F.col(day))).alias(day) for day in ("first_day", "last_day")),
        )
        .withColumnsRenamed({"_commit_version": "cluster_version", "_commit_timestamp": "event_time"})
    )
    known = known.select(*DATASET_KEY, "object_id").distinct().withColumn("_known", F.lit(True))
    told = ("state", "successor_id", "origin_id", "days")
    context = segments.where(~F.col("is_cluster") | F.col("origin_id").isNotNull())  # of the others nothing is told
    context = context.select(*DATASET_KEY, "object_id", *told)
    return (
        per_change.join(context, [*DATASET_KEY, "object_id"], how="left")
        .join(known, [*DATASET_KEY, "object_id"], how="left")
        .withColumn("existed_before", F.col("_known").isNotNull())
        .withColumn("_event", F.explode(F.filter(_events(), lambda event: event["event"].isNotNull())))
        .select(
            *DATASET_KEY,
            F.lit(kind).alias("kind"),
            "object_id",
            "_event.event",
            "_event.other_id",
            "_event.reason",
            "first_day_before",
            "last_day_before",
            "first_day",
            "last_day",
            F.lit(None).cast("bigint").alias("files_before"),
            F.lit(None).cast("bigint").alias("files"),
            "cluster_version",
            "event_time",
        )
    )


def derive_member_events(changes: DataFrame, *, known: DataFrame, kind: str) -> DataFrame:
    """One row per change to a cluster of members, as the columns of `cluster_events` but run_id.

    `changes` is the change feed of the kind's table of clusters, whose rows have `state`, `files`, `origin_id` and
    `successor_id`; `known` has the keys of clusters that have events already. A cluster of which a file came and
    another went, so that it has as many, has no event.
    """
    was = F.col("_change_type").isin(*BEFORE)
    told = ("state", "files", "origin_id", "successor_id")
    key = [*DATASET_KEY, "object_id"]
    per_change = (
        changes.groupBy(*key, "_commit_version", "_commit_timestamp")
        .agg(
            F.max(F.when(was & (F.col("state") == "live"), F.col("files"))).alias("files_before"),
            F.max(F.when(~was, F.struct(*told))).alias("now"),
        )
        .withColumnsRenamed({"_commit_version": "cluster_version", "_commit_timestamp": "event_time"})
        .withColumns({name: F.col(f"now.{name}") for name in told})
        .withColumn("files", F.when(F.col("state") == "live", F.col("files")))
    )
    known = known.select(*key).distinct().withColumn("_known", F.lit(True))
    no_day = F.lit(None).cast("date")
    return (
        per_change.join(known, key, how="left")
        .withColumn("existed_before", F.col("_known").isNotNull())
        .withColumn("_event", F.explode(F.filter(_member_events(), lambda event: event["event"].isNotNull())))
        .select(
            *DATASET_KEY,
            F.lit(kind).alias("kind"),
            "object_id",
            "_event.event",
            "_event.other_id",
            "_event.reason",
            *(no_day.alias(name) for name in ("first_day_before", "last_day_before", "first_day", "last_day")),
            "files_before",
            "files",
            "cluster_version",
            "event_time",
        )
    )


def member_changes_since_events(clusters: DataFrame, *, events: DataFrame, version: int, now: datetime) -> DataFrame:
    """As changes_since_events, for clusters of members."""
    key = [*DATASET_KEY, "object_id"]
    last = F.max_by(F.struct("event", "files"), "cluster_version").alias("last")
    before = events.groupBy(*key).agg(last).where(~F.col("last.event").isin("removed", "merged_into"))
    nothing = F.lit(None).cast("string")
    untold = {"state": F.lit("live"), "origin_id": nothing, "successor_id": nothing}
    before = before.select(*key, "last.files").withColumns({**untold, "_change_type": F.lit("update_preimage")})
    after = clusters.select(*key, "files", "state", "origin_id", "successor_id")
    after = after.withColumn("_change_type", F.lit("update_postimage"))
    return union_by_name(before, after).withColumns(
        {"_commit_version": F.lit(version).cast("bigint"), "_commit_timestamp": F.lit(now)}
    )


def changes_since_events(clusters: DataFrame, *, events: DataFrame, version: int, now: datetime) -> DataFrame:
    """What the change feed would say, where it is gone: the clusters against what their last events say of them.

    One row per cluster before and one after, with the columns of a change feed that `derive_events` reads.
    """
    key = [*DATASET_KEY, "object_id"]
    last = F.max_by(F.struct("event", "first_day", "last_day"), "cluster_version").alias("last")
    before = events.groupBy(*key).agg(last).where(~F.col("last.event").isin("removed", "merged_into"))
    before = before.select(*key, "last.first_day", "last.last_day", F.lit("update_preimage").alias("_change_type"))
    after = clusters.select(*key, "first_day", "last_day", F.lit("update_postimage").alias("_change_type"))
    return union_by_name(before, after).withColumns(
        {"_commit_version": F.lit(version).cast("bigint"), "_commit_timestamp": F.lit(now)}
    )


def _events() -> Column:
    appeared, went = F.col("first_day_before").isNull(), F.col("first_day").isNull()
    grew = (F.col("first_day") < F.col("first_day_before")) | (F.col("last_day") > F.col("last_day_before"))
    shrank = (F.col("first_day") > F.col("first_day_before")) | (F.col("last_day") < F.col("last_day_before"))
    split, merged = F.col("origin_id").isNotNull(), F.col("successor_id").isNotNull()
    deleted, live = F.col("state") == "deleted", F.col("state") == "live"
    outside = F.concat(F.lit("its "), F.col("days"), F.lit(" days are no longer within MinDays and MaxDays"))
    return F.array(
        _event(appeared & F.col("existed_before"), "revived", "its days make a cluster again"),
        _event(appeared & ~F.col("existed_before") & split, "split_from", "its days were cut off", "origin_id"),
        _event(appeared & ~F.col("existed_before") & ~split, "created", "new days"),
        _event(~appeared & ~went & grew, "extended", "days were added at an end"),
        _event(~appeared & ~went & shrank, "shrunk", "days went at an end"),
        _event(went & deleted, "removed", "deleted by a person"),
        _event(went & live, "removed", outside),
        _event(went & (F.col("state") == "gone") & merged, "merged_into", "its days joined another", "successor_id"),
        _event(went & (F.col("state") == "gone") & ~merged, "removed", "its days are no longer evidence at this level"),
    )


def _member_events() -> Column:
    appeared = F.col("files_before").isNull() & F.col("files").isNotNull()
    went = F.col("files_before").isNotNull() & F.col("files").isNull()
    split, merged = F.col("origin_id").isNotNull(), F.col("successor_id").isNotNull()
    erased = F.col("state").isNull()  # only then a row goes from the table
    return F.array(
        _event(appeared & F.col("existed_before"), "revived", "its members are together again"),
        _event(appeared & ~F.col("existed_before") & split, "split_from", "its members were cut off", "origin_id"),
        _event(appeared & ~F.col("existed_before") & ~split, "created", "new members"),
        _event(F.col("files") > F.col("files_before"), "extended", "members were added"),
        _event(F.col("files") < F.col("files_before"), "shrunk", "members went"),
        _event(went & merged, "merged_into", "its members joined another", "successor_id"),
        _event(went & ~merged & ~erased, "removed", "too few of its members are left"),
        _event(went & erased, "removed", "erased by a person"),
    )


def _event(holds: Column, event: str, reason: str | Column, other_id: str | None = None) -> Column:
    return F.struct(
        F.when(holds, event).alias("event"),
        (F.col(other_id) if other_id else F.lit(None).cast("string")).alias("other_id"),
        (F.lit(reason) if isinstance(reason, str) else reason).alias("reason"),
    )
