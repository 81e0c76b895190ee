"""Frames of Spark through kernels that look points up: in its tasks, with the locator sent to each."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql.pandas.types import from_arrow_schema
from pyspark.sql.types import IntegerType, StructField, StructType

from transforms.places.geocoding import LOCATED_SCHEMA, Locator
from transforms.tables.arrow_tables import ArrowBatches, gather_tables
from transforms.tables.keyed import with_columns

ROWS_AT_ONCE = 100_000
"""Rows that a kernel is handed together: some 100 MB of a task's memory."""
PART = "index_part"


def locate_points(points: DataFrame, *, locator: Locator, needs_zone: bool = True) -> DataFrame:
    """Adds the address and the time zone of `longitude` and `latitude` to each row of any frame: LOCATED_SCHEMA, as
    Locator.locate has it. `needs_zone`: whether all rows need the zone.
    """
    for taken in set(LOCATED_SCHEMA.names) & set(points.columns):
        raise ValueError(f"the frame already has a column {taken}; locate_points adds it")

    def locate(rows: pa.Table) -> pa.Table:
        asks = np.full(len(rows), needs_zone)
        located = locator.locate(*_axes(rows), needs_zone=asks)
        return with_columns(rows, {name: located[name] for name in LOCATED_SCHEMA.names})

    schema = StructType([*points.schema, *from_arrow_schema(LOCATED_SCHEMA)])
    return map_points(points, locate, locator=locator, schema=schema)


def map_points(
    points: DataFrame, kernel: Callable[[pa.Table], pa.Table], *, locator: Locator, schema: StructType
) -> DataFrame:
    """What a kernel that looks points up by a locator makes of rows, none of which matters to another.

    A locator of several parts is looked up in one part after another: rows come to tasks by part.
    """
    given = points.columns

    def run(batches: ArrowBatches) -> Iterator[pa.RecordBatch]:
        for table in gather_tables(batches, ROWS_AT_ONCE):
            yield from kernel(table.select(given)).select(schema.names).to_batches()

    return _gather_parts(points, locator).mapInArrow(run, schema)


def _gather_parts(points: DataFrame, locator: Locator) -> DataFrame:
    if len(locator.first_tiles) == 1:
        return points
    from transforms.places.area_geocoding import parts_of

    first_tiles = locator.first_tiles

    def add_part(batches: ArrowBatches) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            parts = parts_of(*_axes(pa.Table.from_batches([batch])), first_tiles)
            yield batch.append_column(PART, pa.array(parts, pa.int32()))

    numbered = points.mapInArrow(add_part, StructType([*points.schema, StructField(PART, IntegerType())]))
    return numbered.repartitionByRange(PART, "longitude", "latitude").sortWithinPartitions(PART)


def _axes(rows: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    """Longitudes and latitudes, float64 (n,), NaN for null."""
    return rows["longitude"].cast(pa.float64()).to_numpy(), rows["latitude"].cast(pa.float64()).to_numpy()
