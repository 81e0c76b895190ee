"""What must change for a table to hold the rows wanted: the difference of two frames by key."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Literal

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import MapType

from transforms.tables.actions import ACTION


def diff_rows(
    wanted: DataFrame,
    *,
    current: DataFrame,
    key: Sequence[str],
    compare: Sequence[str],
    keep: Sequence[str] = (),
    absent: Literal["delete", "leave"] = "delete",
) -> DataFrame:
    """One row per key that must change, with `_action`: insert, update or delete.

    Rows whose `compare` columns are equal, null-safe, are left out. An update keeps the old values of the columns
    `keep`. A key that only `current` has is deleted, or left alone, as `absent` says; a delete carries the old row.
    The columns are those of `wanted`.
    """
    columns = wanted.columns
    old = current.select(*columns, F.lit(True).alias("_there")).alias("old")
    new = wanted.select(*columns, F.lit(True).alias("_there")).alias("new")
    on = reduce(Column.__and__, (F.col(f"new.{name}") == F.col(f"old.{name}") for name in key))
    joined = new.join(old, on, how="full" if absent == "delete" else "left")
    maps = {column.name for column in wanted.schema if isinstance(column.dataType, MapType)}
    differs = [
        ~_comparable(f"new.{name}", name in maps).eqNullSafe(_comparable(f"old.{name}", name in maps))
        for name in compare
    ]
    action = (
        F.when(F.col("old._there").isNull(), "insert")
        .when(F.col("new._there").isNull(), "delete")
        .when(reduce(Column.__or__, differs, F.lit(False)), "update")
    )
    from_old = F.col("new._there").isNull()
    picked = (
        F.when(F.col("old._there") if name in keep else from_old, F.col(f"old.{name}"))
        .otherwise(F.col(f"new.{name}"))
        .alias(name)
        for name in columns
    )
    return joined.select(*picked, action.alias(ACTION)).where(F.col(ACTION).isNotNull())


def _comparable(name: str, is_map: bool) -> Column:
    """The column, or a map's entries in order, since Spark compares no maps."""
    return F.array_sort(F.map_entries(name)) if is_map else F.col(name)


def keep_keys(rows: DataFrame, *, keys: DataFrame, on: Sequence[str]) -> DataFrame:
    """The rows whose `on` columns are among `keys`; null-safe is not needed, as key columns are never null."""
    return rows.join(keys, list(on), how="left_semi")


def drop_keys(rows: DataFrame, *, keys: DataFrame, on: Sequence[str]) -> DataFrame:
    """The rows whose `on` columns are not among `keys`."""
    return rows.join(keys, list(on), how="left_anti")
