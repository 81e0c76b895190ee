"""What must change for a table to hold the rows wanted: the difference of two frames by key."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

ACTION = "_action"


def diff_rows(wanted: DataFrame, *, current: DataFrame, key: Sequence[str], compare: Sequence[str]) -> DataFrame:
    """One row per key that must change, with `_action`: insert, update or delete.

    `current` holds the rows that `wanted` replaces: a key that is only there is deleted. Rows whose `compare`
    columns are equal, null-safe, are left out. The columns are those of `wanted`; a delete carries the old row.
    """
    columns = wanted.columns
    old = current.select(*columns, F.lit(True).alias("_there")).alias("old")
    new = wanted.select(*columns, F.lit(True).alias("_there")).alias("new")
    on = reduce(Column.__and__, (F.col(f"new.{name}") == F.col(f"old.{name}") for name in key))
    same = F.struct(*(F.col(f"new.{c}") for c in compare)).eqNullSafe(F.struct(*(F.col(f"old.{c}") for c in compare)))
    action = (
        F.when(F.col("old._there").isNull(), "insert")
        .when(F.col("new._there").isNull(), "delete")
        .when(~same, "update")
    )
    picked = (F.when(F.col("new._there"), F.col(f"new.{c}")).otherwise(F.col(f"old.{c}")).alias(c) for c in columns)
    return new.join(old, on, how="full").select(*picked, action.alias(ACTION)).where(F.col(ACTION).isNotNull())


def keep_keys(rows: DataFrame, *, keys: DataFrame, on: Sequence[str]) -> DataFrame:
    """The rows whose `on` columns are among `keys`; null-safe is not needed, as key columns are never null."""
    return rows.join(keys, list(on), how="left_semi")
