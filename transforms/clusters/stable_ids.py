"""Ids that outlive re-clustering: old and new spans of days are matched one to one by the days that they share."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from functools import reduce

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from transforms.tables.frames import union_by_name


def uuid5(namespace: uuid.UUID, *parts: str) -> Column:
    r"""RFC 9562 UUID version 5 of the columns `parts` joined by line feeds, as Python's uuid.uuid5 gives it.

    >>> df = spark.createDataFrame([("ada", 1)], "name string, n int")
    >>> df.select(uuid5(uuid.NAMESPACE_URL, "name", "n").alias("id")).first().id == str(
    ...     uuid.uuid5(uuid.NAMESPACE_URL, "ada\n1"))
    True
    """
    name = F.encode(F.concat_ws("\n", *(F.col(part).cast("string") for part in parts)), "UTF-8")
    digest = F.sha1(F.concat(F.unhex(F.lit(namespace.hex)), name))
    nibble = F.conv(F.substring(digest, 17, 1), 16, 10).cast("int")
    variant = F.substring(F.lit("89ab"), F.pmod(nibble, F.lit(4)) + 1, F.lit(1))
    return F.concat(
        F.substring(digest, 1, 8),
        F.lit("-"),
        F.substring(digest, 9, 4),
        F.lit("-5"),
        F.substring(digest, 14, 3),
        F.lit("-"),
        variant,
        F.substring(digest, 18, 3),
        F.lit("-"),
        F.substring(digest, 21, 12),
    )


def overlapping_spans(new: DataFrame, *, old: DataFrame, key: Sequence[str]) -> DataFrame:
    """One row per pair of a new and an old span of one key that share a day.

    Columns: `key`, `chain`, `first_day` (of the new span: its identity within the key), `object_id` and
    `generation` of the old one, `shared_days`. A chain is a run of spans of either side that overlap from one to
    the next: only spans of one chain are joined, so that a place with thousands of spans costs no square.
    """
    spans = new.select(*key, "first_day", "last_day", F.lit(None).alias("object_id"), F.lit(None).alias("generation"))
    spans = union_by_name(spans, old.select(*key, "first_day", "last_day", "object_id", "generation"))
    by_start = Window.partitionBy(*key).orderBy("first_day", "object_id")
    end_before = F.max("last_day").over(by_start.rowsBetween(Window.unboundedPreceding, -1))
    starts_chain = F.coalesce(F.col("first_day") > end_before, F.lit(True)).cast("int")
    spans = spans.withColumn("_starts", starts_chain).withColumn("chain", F.sum("_starts").over(by_start))
    left = spans.where(F.col("object_id").isNull()).alias("new")
    right = spans.where(F.col("object_id").isNotNull()).alias("old")
    on = reduce(Column.__and__, (F.col(f"new.{name}") == F.col(f"old.{name}") for name in (*key, "chain")))
    first, last = F.greatest("new.first_day", "old.first_day"), F.least("new.last_day", "old.last_day")
    return left.join(right, on & (first <= last), how="inner").select(
        *(F.col(f"new.{name}") for name in (*key, "chain", "first_day")),
        F.col("old.object_id"),
        F.col("old.generation"),
        (F.datediff(last, first) + 1).alias("shared_days"),
    )


def match_greedily(pairs: DataFrame, *, key: Sequence[str]) -> DataFrame:
    """One row per match (`key`, `first_day`, `object_id`): pairs taken by most shared days, each span once.

    Ties go to the oldest (the smallest generation), then to the earlier new span. A chain's pairs are decided in
    one row: bounded by the days of a calendar.
    """
    candidate = F.struct((-F.col("shared_days")).alias("rank"), "generation", "first_day", "object_id")
    chosen_type = "array<struct<first_day:date,object_id:string>>"

    def take(chosen: Column, pair: Column) -> Column:
        taken = F.exists(
            chosen, lambda match: (match["first_day"] == pair["first_day"]) | (match["object_id"] == pair["object_id"])
        )
        return F.when(taken, chosen).otherwise(F.array_append(chosen, F.struct(pair["first_day"], pair["object_id"])))

    matches = F.aggregate(F.array_sort(F.collect_list(candidate)), F.array().cast(chosen_type), take)
    return (
        pairs.groupBy(*key, "chain")
        .agg(matches.alias("matches"))
        .select(*key, F.explode("matches").alias("match"))
        .select(*key, "match.first_day", "match.object_id")
    )


def number_new(rows: DataFrame, *, old: DataFrame, key: Sequence[str], order: str = "first_day") -> DataFrame:
    """Adds `generation` to what has no match: counted on from the greatest that the key ever had, in `order`."""
    greatest = old.groupBy(*key).agg(F.max("generation").alias("_greatest"))
    number = F.row_number().over(Window.partitionBy(*key).orderBy(order))
    return (
        rows.join(greatest, list(key), how="left")
        .withColumn("generation", F.coalesce("_greatest", F.lit(0)) + number)
        .drop("_greatest")
    )


def most_shared(pairs: DataFrame, *, by: Sequence[str], other: str, shared: str = "shared_days") -> DataFrame:
    """Per one of a side (`by`), that of the other side (`other`) that shares most with it, ties to the smaller."""
    best = F.min_by(other, F.struct((-F.col(shared)).alias("rank"), other))
    return pairs.groupBy(*by).agg(best.alias(other))
