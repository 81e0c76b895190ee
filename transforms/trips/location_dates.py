"""Trips: the days of a place, cut where nothing was taken for more than GapDays days.

The trip logic is `segment_days`; everything before it prepares its days, everything after it dresses its result.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from schemas.contract import LEVELS
from schemas.keys import DATASET_KEY, DAY_KEY, PLACE_KEY
from schemas.lake import LEVEL_DEPTH

NAMES = (*LEVELS, *(f"{level}_code" for level in LEVELS))


def put_together() -> list[Column]:
    """What the rows of several days count together."""
    return [
        *(F.sum(name).alias(name) for name in ("files", "images", "videos")),
        F.min("first").alias("first"),
        F.max("last").alias("last"),
        F.min(F.struct("cover", *NAMES)).alias("best"),
    ]


def days_between(day: str | Column, earlier: str | Column) -> Column:
    """Calendar days from `earlier` to `day`.

    >>> df = spark.sql("SELECT date'2024-03-01' AS a, date'2024-02-28' AS b")
    >>> df.select(days_between("a", "b").alias("days")).show()
    +----+
    |days|
    +----+
    |   2|
    +----+
    """
    return F.datediff(day, earlier)


def place_at(level: str) -> Column:
    """Key of the place at `level`: the first parts of a full place key; null where the level does not exist there.

    >>> df = spark.createDataFrame([("fr/occitanie/toulouse//",)], "place_key string")
    >>> df.select(place_at("province").alias("p"), place_at("district").alias("d")).show()
    +------------+----+
    |           p|   d|
    +------------+----+
    |fr/occitanie|NULL|
    +------------+----+
    """
    depth = LEVEL_DEPTH[level]
    exists = F.split_part("place_key", F.lit("/"), F.lit(depth)) != ""
    return F.when(exists, F.substring_index("place_key", "/", depth))


def by_hash(key: Sequence[str]) -> Column:
    """A number to group or partition by in front of a key of texts: Spark then sorts by numbers, twice as fast."""
    return F.xxhash64(*key).alias("_hash")


def count_days(places: DataFrame) -> DataFrame:
    """One row per dataset, place and local date with a located, dated file: the columns of `place_days` but run_id."""
    return places.transform(day_of_each).transform(combine_days)


def day_of_each(places: DataFrame) -> DataFrame:
    """One row per located, dated file: what `place_days` would say of its day if there were no other."""
    moment = F.struct(F.col("produce_time").alias("time"), "utc_offset")
    is_video = F.col("media_type") == "video"
    return places.where(F.col("local_date").isNotNull()).select(
        *DAY_KEY,
        *NAMES,
        moment.alias("first"),
        moment.alias("last"),
        F.lit(1).cast("bigint").alias("files"),
        (~is_video).cast("bigint").alias("images"),
        is_video.cast("bigint").alias("videos"),
        F.struct(F.col("cover_rank").alias("rank"), F.col("produce_time").alias("time"), "uri").alias("cover"),
    )


def combine_days(days: DataFrame) -> DataFrame:
    """One row per dataset, place and local date, of one or more that count different files.

    Names are those of the best cover, so that a place spelt in two ways has one deterministic name a day.
    """
    return (
        days.groupBy(by_hash(DAY_KEY), *DAY_KEY)
        .agg(*put_together())
        .select(
            *DAY_KEY,
            *(F.col(f"best.{name}").alias(name) for name in NAMES),
            *("files", "images", "videos", "first", "last"),
            F.col("best.cover").alias("cover"),
        )
    )


def explode_levels(days: DataFrame, *, levels: Sequence[str]) -> DataFrame:
    """One row per place day and level that exists there: adds `level`, and `place_key` becomes the level's key."""
    places = F.array(*(F.struct(F.lit(level).alias("level"), place_at(level).alias("key")) for level in levels))
    existing = F.filter(places, lambda place: place["key"].isNotNull())
    return (
        days.withColumn("_place", F.explode(existing))
        .withColumn("level", F.col("_place.level"))
        .withColumn("place_key", F.col("_place.key"))
        .drop("_place")
    )


def drop_deleted_days(days: DataFrame, *, deletions: DataFrame) -> DataFrame:
    """The days that no deletion takes out. `deletions` has a dataset, level, place and first_day to last_day a row."""
    spans = F.broadcast(deletions.select(*PLACE_KEY, "first_day", "last_day")).alias("gone")
    on = reduce(Column.__and__, (F.col(f"day.{name}") == F.col(f"gone.{name}") for name in PLACE_KEY))
    within = F.col("day.local_date").between(F.col("gone.first_day"), F.col("gone.last_day"))
    return days.alias("day").join(spans, on & within, how="left_anti")


def segment_days(days: DataFrame, *, gap_days: int) -> DataFrame:
    """One row per run of days at a place: cut where more than `gap_days` days without a file lie between two with one.

    `days` has one or more rows per dataset, level, place and local date (a level's day is spread over the places in
    it). `number` counts the segments of a place through time, from 1. Sorting is within one place of one dataset:
    bounded by the days of a calendar times the places in it.
    """
    by_day = Window.partitionBy("_hash", *PLACE_KEY).orderBy("local_date")
    step = days_between("local_date", F.lag("local_date").over(by_day))
    new_day = F.coalesce(step > 0, F.lit(True))
    new_segment = F.coalesce(step > gap_days + 1, F.lit(True))
    return (
        days.withColumn("_hash", by_hash(PLACE_KEY))
        .withColumn("_new_day", new_day.cast("int"))
        .withColumn("number", F.sum(new_segment.cast("bigint")).over(by_day))
        .groupBy("_hash", *PLACE_KEY, "number")
        .agg(
            F.min("local_date").alias("first_day"),
            F.max("local_date").alias("last_day"),
            F.sum("_new_day").cast("int").alias("days_with_files"),
            *put_together(),
        )
        .select(
            *PLACE_KEY,
            "number",
            "first_day",
            "last_day",
            (days_between("last_day", "first_day") + 1).alias("days"),
            *("days_with_files", "files", "images", "videos", "first", "last"),
            F.col("best.cover").alias("cover"),
            *(_name_within_level(name) for name in NAMES),
        )
    )


def _name_within_level(name: str) -> Column:
    depth = LEVEL_DEPTH[name.removesuffix("_code")]
    deep_enough = [level for level in LEVELS if LEVEL_DEPTH[level] >= depth]
    return F.when(F.col("level").isin(deep_enough), F.col(f"best.{name}")).alias(name)


def within_span(min_days: int, max_days: int) -> Column:
    """Whether a segment lasts at least `min_days` and at most `max_days`, first and last day counted."""
    return F.col("days").between(min_days, max_days)


def describe_clusters(segments: DataFrame) -> DataFrame:
    """One row per segment, as the columns of `location_date_clusters` but run_id.

    A cluster starts at 00:00:00 of its first local day and ends with its last, each at the offset in force where
    and when the first, or last, file was taken.
    """
    return segments.select(
        *DATASET_KEY,
        "object_id",
        "level",
        "place_key",
        F.coalesce(*(F.col(level) for level in reversed(LEVELS))).alias("title"),
        *NAMES,
        "first_day",
        "last_day",
        _instant(F.col("first_day"), F.col("first.utc_offset"), F.lit(0)).alias("start_time"),
        F.col("first.utc_offset").alias("start_offset"),
        _instant(F.date_add("last_day", 1), F.col("last.utc_offset"), F.lit(-1)).alias("end_time"),
        F.col("last.utc_offset").alias("end_offset"),
        "days",
        "days_with_files",
        "files",
        "images",
        "videos",
        F.col("cover.uri").alias("cover_uri"),
        F.col("cluster_since").alias("create_time"),
        "update_time",
    )


def _instant(day: Column, offset: Column, microseconds: Column) -> Column:
    midnight = F.unix_micros(day.cast("timestamp")) - offset.cast("bigint") * 60_000_000
    return F.timestamp_micros(midnight + microseconds)
