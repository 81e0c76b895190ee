"""Rows of sources as Spark's frames: columns by name, and the row as JSON."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, NumericType, StructField

from transforms.tables.source_columns import LONGEST_ARRAY_IN_ROW


def quoted(name: str) -> Column:
    """The column of exactly this name, dots and all."""
    return F.col("`" + name.replace("`", "``") + "`")


def row_json(raw: DataFrame) -> Column:
    """The row as JSON, in valid UTF-8: nulls left out, NaN as text, binary as base64, long lists of numbers cut."""
    shown = [_shortened(column).alias(column.name) for column in raw.schema.fields]
    return F.make_valid_utf8(F.to_json(F.struct(*shown))) if shown else F.lit("{}")


def _shortened(column: StructField) -> Column:
    kind = column.dataType
    if isinstance(kind, ArrayType) and isinstance(kind.elementType, NumericType):
        return F.slice(quoted(column.name), 1, LONGEST_ARRAY_IN_ROW)
    return quoted(column.name)
