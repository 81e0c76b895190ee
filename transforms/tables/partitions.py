"""How rows are shared out among tasks. Of few rows one task has all, and nothing is shuffled."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

from pyspark.sql import DataFrame, SparkSession

IS_FOR_ONE_TASK = "lakealbum.isForOneTask"
ONE_TASK = {IS_FOR_ONE_TASK: "true", "spark.sql.shuffle.partitions": "1"}
"""The settings of a session while what is planned is planned for one task."""


def is_for_one_task(spark: SparkSession) -> bool:
    """Whether what is planned now is planned for one task."""
    return spark.conf.get(IS_FOR_ONE_TASK, None) is not None


def gather_few(rows: DataFrame) -> DataFrame:
    """`rows` in one partition, where they are planned for one task: no join or grouping of them need shuffle."""
    return rows.coalesce(1) if is_for_one_task(rows.sparkSession) else rows


def unite(*frames: DataFrame) -> DataFrame:
    """The rows of all frames, by the names of their columns; few in one partition, which a union by itself is not."""
    return gather_few(reduce(DataFrame.unionByName, frames))


def gather_whole(rows: DataFrame, *, key: Sequence[str]) -> DataFrame:
    """The rows so that those of one key are all in one task, sorted by it."""
    whole = gather_few(rows) if is_for_one_task(rows.sparkSession) else rows.repartition(*key)
    return whole.sortWithinPartitions(*key)
