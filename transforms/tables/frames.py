"""Arrow tables as Spark frames, and back; and how a frame's rows are shared out among tasks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructType


def to_frame(spark: SparkSession, rows: pa.Table, schema: StructType | str) -> DataFrame:
    """Rows as a frame. In one piece, as Spark takes an empty batch for the end."""
    return spark.createDataFrame(rows.combine_chunks() if len(rows) else rows.schema.empty_table(), schema)


def from_frame(rows: DataFrame) -> pa.Table:
    """A frame's rows, for other engines too: Spark's Arrow leaves out the offsets of an array without values (those of
    lists that are all empty), which delta-rs reads even so. Copied, arrays have them."""
    found = rows.toArrow()
    return found.take(pa.array(np.arange(len(found))))


def union_by_name(*frames: DataFrame) -> DataFrame:
    """The rows of all frames, by the names of their columns."""
    return reduce(DataFrame.unionByName, frames)


def gather_whole(rows: DataFrame, *, key: Sequence[str]) -> DataFrame:
    """The rows so that those of one key are all in one task, sorted by it."""
    return rows.repartition(*key).sortWithinPartitions(*key)
