"""Kernels over tables (transforms): called in this process where its tables are here, bucket by bucket where those are,
else by Spark over whole units.

A kernel takes Arrow tables by name and gives one back. It handles many units at once (datasets, places), and no unit
matters to another. So it may be handed any packing of whole units: those of a bucket, or those of a task.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import reduce
from typing import overload

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import from_arrow_schema, to_arrow_schema

from jobs.runtime.by_bucket import ROWS_AT_ONCE, ByBucket, Rows, kernel_of
from jobs.runtime.lake import Lake
from schemas.keys import DATASET_KEY
from transforms.tables.arrow_tables import ArrowBatches, gather_tables, whole_datasets

PIECE = 100_000
"""Rows that a kernel is handed together to which no row matters but its own: up to 300 MB."""
Kernel = Callable[..., pa.Table]
_INPUT = "_input"


def apply_kernel(
    lake: Lake, kernel: Kernel, *, schema: pa.Schema, unit: Sequence[str] = DATASET_KEY, **inputs: Rows
) -> Rows:
    """What `kernel(**inputs)` gives, with the columns of `schema`: a table if all inputs are tables, a frame if one is
    a frame, else by bucket.

    By Spark, all rows of a unit come to one task, those of several units together. `unit` are SQL expressions over
    columns that all inputs have, a bucket first.
    """
    here = {name: rows for name, rows in inputs.items() if not isinstance(rows, DataFrame)}
    if all(isinstance(rows, pa.Table) for rows in inputs.values()):
        return kernel(**inputs).select(schema.names).cast(schema)
    if len(here) == len(inputs):
        return kernel_of(kernel, schema, here, buckets=lake.settings.buckets)
    frames = {name: lake.frame(rows) for name, rows in inputs.items()}
    names = [f"_unit{number}" for number in range(len(unit))]
    tagged = (
        frame.select(
            *(F.expr(part).alias(name) for part, name in zip(unit, names, strict=True)),
            F.lit(number).alias(_INPUT),
            *(
                (F.struct(*frame.columns) if own == number else F.lit(None).cast(other.schema)).alias(f"_rows{own}")
                for own, other in enumerate(frames.values())
            ),
        )
        for number, frame in enumerate(frames.values())
    )
    together = reduce(DataFrame.unionAll, tagged).repartition(*names).sortWithinPartitions(*names)
    schemas = {name: _arrow_schema(rows) for name, rows in inputs.items()}
    run = _Units(kernel, names, schemas, schema)
    return together.mapInArrow(run, from_arrow_schema(schema, prefer_timestamp_ntz=True))


@overload
def apply_to_rows(
    kernel: Kernel, rows: DataFrame, *, schema: pa.Schema | None = ..., piece: int = ...
) -> DataFrame: ...
@overload
def apply_to_rows(kernel: Kernel, rows: Rows, *, schema: pa.Schema | None = ..., piece: int = ...) -> Rows: ...
def apply_to_rows(kernel: Kernel, rows: Rows, *, schema: pa.Schema | None = None, piece: int = PIECE) -> Rows:
    """What a kernel to which no row matters but its own makes of rows: here, or by tasks, `piece` rows at a time.

    It has the columns of `schema`, or those of the rows.
    """
    if isinstance(rows, ByBucket):
        return ByBucket(schema or rows.schema, rows.buckets, rows.read, lambda _, *, rows: kernel(rows), {"rows": rows})
    if isinstance(rows, pa.Table):
        wanted = schema or rows.schema
        return kernel(rows).select(wanted.names).cast(wanted)
    wanted = schema or to_arrow_schema(rows.schema, timestamp_utc=True)

    def map_pieces(batches: ArrowBatches) -> Iterator[pa.RecordBatch]:
        for some in gather_tables(batches, piece):
            yield from kernel(some).select(wanted.names).cast(wanted).to_batches()

    return rows.mapInArrow(map_pieces, from_arrow_schema(wanted, prefer_timestamp_ntz=True))


def _arrow_schema(rows: Rows) -> pa.Schema | None:
    """The types that a kernel has its input in, where this process knows them; else those that Spark gives."""
    return None if isinstance(rows, DataFrame) else rows.schema


class _Units:
    """What a task does: units are gathered, taken apart by input, and handed to the kernel."""

    def __init__(
        self, kernel: Kernel, unit: Sequence[str], inputs: Mapping[str, pa.Schema | None], schema: pa.Schema
    ) -> None:
        self.kernel, self.unit, self.inputs, self.schema = kernel, unit, inputs, schema

    def __call__(self, batches: ArrowBatches) -> Iterator[pa.RecordBatch]:
        for table in whole_datasets(batches, key=self.unit, rows=ROWS_AT_ONCE):
            tables = {name: self._input(table, number) for number, name in enumerate(self.inputs)}
            yield from self.kernel(**tables).select(self.schema.names).cast(self.schema).to_batches()

    def _input(self, table: pa.Table, number: int) -> pa.Table:
        rows = table.filter(pc.equal(table[_INPUT], number))[f"_rows{number}"]
        fields = list(rows.type)
        batches = [pa.RecordBatch.from_struct_array(chunk) for chunk in rows.chunks]
        wanted = list(self.inputs.values())[number] or pa.schema([(field.name, field.type) for field in fields])
        return pa.Table.from_batches(batches, pa.schema(fields)).cast(wanted)
