"""Rows shared out among tasks, where one task is planned for and where many are."""

from __future__ import annotations

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.runtime.session import FOR_FEW_ROWS, session_settings
from transforms.tables.partitions import gather_whole, is_for_one_task, unite


def parts_of(rows: DataFrame) -> list[list[tuple[object, ...]]]:
    """The rows of each partition that has some, in order."""
    parts: dict[int, list[tuple[object, ...]]] = {}
    for part, *row in rows.select(F.spark_partition_id(), "*").collect():
        parts.setdefault(part, []).append(tuple(row))
    return list(parts.values())


def test_a_session_of_one_shuffle_partition_is_not_planned_for_one_task(spark: SparkSession) -> None:
    with session_settings(spark, {"spark.sql.shuffle.partitions": "1"}):
        assert not is_for_one_task(spark)
    with session_settings(spark, FOR_FEW_ROWS):
        assert is_for_one_task(spark)
    assert not is_for_one_task(spark)


@pytest.mark.parametrize("few", [True, False])
def test_united_rows_are_those_of_all_frames_by_name(spark: SparkSession, few: bool) -> None:
    with session_settings(spark, FOR_FEW_ROWS if few else {}):
        one, other = (
            spark.range(n, n + 2).coalesce(1).select("id", F.lit(name).alias("x")) for n, name in ((0, "a"), (5, "b"))
        )
        parts = parts_of(unite(one, other.select("x", "id"), one))
    assert len(parts) == (1 if few else 3)
    assert sorted(row for part in parts for row in part) == [(n, "a") for n in (0, 0, 1, 1)] + [(5, "b"), (6, "b")]


@pytest.mark.parametrize("few", [True, False])
def test_a_task_has_all_rows_of_a_key_in_order(spark: SparkSession, few: bool) -> None:
    with session_settings(spark, FOR_FEW_ROWS if few else {}):
        rows = spark.range(40, numPartitions=3).select((F.col("id") % 7).alias("key"), "id")
        parts = parts_of(gather_whole(rows, key=["key"]))
    assert all([key for key, _ in part] == sorted(key for key, _ in part) for part in parts)
    assert sum(len({key for key, _ in part}) for part in parts) == 7
    assert sorted(number for part in parts for _, number in part) == list(range(40))
    assert not few or len(parts) == 1
