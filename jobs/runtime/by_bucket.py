"""Rows for kernels, of tables that may be larger than what this process takes on at once: read a bucket at a time.

A dataset is in one bucket, so no kernel needs rows of two. Where a table is not few rows, but each bucket is, its rows
are a ByBucket: nothing is read before somebody asks for a bucket. Commits ask: this process, bucket after bucket, or,
where Spark has executors, a task each. Where a bucket is too large, too, rows are a frame, and Spark shares them out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql.pandas.types import from_arrow_schema

from catalog.sql import all_of, equals
from schemas.contract import Contract
from transforms.tables.arrow_tables import ArrowBatches, gather_tables
from transforms.tables.frames import from_frame
from transforms.tables.grouped import is_equal
from transforms.tables.keyed import keep_rows, with_columns

if TYPE_CHECKING:
    from jobs.runtime.lake import Lake

AT_ONCE = 2
"""Buckets, or pieces, that are computed at the same time: kernels and delta-rs leave Python's lock to each other."""
FEW = 100_000
"""Rows up to which all at once are sooner read, and computed with, than bucket by bucket."""
FEW_OF = 10
"""Of as many keys, times this, as are few, all at once are sooner looked for: they are likely of few buckets."""
ROWS_AT_ONCE = 500_000
"""Rows that a kernel is handed together, or little more than one unit has: some 200 MB."""
PIECES = 10
"""As many rows, times `bucket_rows`, a bucket may have whose rows are handed to a kernel piece by piece."""
ByName = Mapping[str, "pa.Table | ByBucket"]
Item = TypeVar("Item")
Made = TypeVar("Made")


@dataclass(frozen=True, eq=False)
class ByBucket:
    """Rows of a schema, of all buckets from 0 to `buckets`: those of one are `function(bucket, **inputs)`, where each
    input has its own rows of that bucket. About `read` rows are read for all of them. `columns_of` reads some columns
    of a bucket alone, where that is less work.
    """

    schema: pa.Schema
    buckets: int
    read: int
    function: Callable[..., pa.Table]
    inputs: ByName = field(default_factory=dict)
    columns_of: Callable[[int, Sequence[str]], pa.Table] | None = None

    def table(self, bucket: int) -> pa.Table:
        """The rows of a bucket, computed now."""
        return self._table(bucket, {})

    def _table(self, bucket: int, known: dict[int, pa.Table]) -> pa.Table:
        """The same; `known` are the rows of that bucket of what was computed for it before, by identity."""
        if id(self) not in known:
            inputs = {
                name: rows._table(bucket, known) if isinstance(rows, ByBucket) else _of_bucket(rows, bucket)
                for name, rows in self.inputs.items()
            }
            known[id(self)] = self.function(bucket, **inputs).select(self.schema.names).cast(self.schema)
        return known[id(self)]

    def tables(self) -> Iterator[pa.Table]:
        """The rows of each bucket in order, computed by threads, at most AT_ONCE buckets ahead."""
        return map_ahead(self.table, range(self.buckets))

    def few(self, most: int) -> pa.Table | None:
        """All rows, computed by this process; None where they turn out to be more than `most`."""
        found = [self.schema.empty_table()]
        for rows in self.tables():
            found.append(rows)
            if sum(map(len, found)) > most:
                return None
        return pa.concat_tables(found)

    def with_columns(self, values: dict[str, pa.Scalar]) -> ByBucket:
        """With columns more that have one value in all rows."""
        schema = pa.schema([*self.schema, *(pa.field(name, value.type) for name, value in values.items())])

        def widen(bucket: int, *, rows: pa.Table) -> pa.Table:
            return with_columns(rows, values)

        return ByBucket(schema, self.buckets, self.read, widen, {"rows": self})

    def select(self, names: Sequence[str]) -> ByBucket:
        """With these columns alone, in this order."""
        schema = pa.schema([self.schema.field(name) for name in names])
        if (read := self.columns_of) is not None:
            return ByBucket(schema, self.buckets, self.read, lambda bucket: read(bucket, names))
        return ByBucket(schema, self.buckets, self.read, lambda bucket, *, rows: rows, {"rows": self})

    def frame(self, lake: Lake) -> DataFrame:
        """The same rows as a frame of Spark, whose tasks compute a bucket each."""

        def compute(batches: ArrowBatches) -> Iterator[pa.RecordBatch]:
            for batch in batches:
                for number in batch.column(0).to_pylist():
                    yield from self.table(number).to_batches()

        numbers = lake.spark.range(0, self.buckets, 1, self.buckets)
        return numbers.mapInArrow(compute, from_arrow_schema(self.schema, prefer_timestamp_ntz=True))


def map_ahead(function: Callable[[Item], Made], items: Iterable[Item]) -> Iterator[Made]:
    """What a function makes of each item, in order, by AT_ONCE threads that are as many items ahead."""
    with ThreadPoolExecutor(AT_ONCE, "ahead") as threads:
        ahead: list[Future[Made]] = []
        rest = iter(items)
        try:
            ahead += (threads.submit(function, item) for item in islice(rest, AT_ONCE))
            while ahead:
                made = ahead.pop(0).result()
                ahead += (threads.submit(function, item) for item in islice(rest, 1))
                yield made
        finally:
            for waiting in ahead:
                waiting.cancel()


Rows: TypeAlias = "pa.Table | ByBucket | DataFrame"
"""Rows for kernels and commits: of this process, to be read a bucket at a time, or of Spark."""


def collect(rows: Rows) -> pa.Table:
    """All rows, in this process, which must be little."""
    if isinstance(rows, ByBucket):
        return pa.concat_tables([*rows.tables(), rows.schema.empty_table()])
    return from_frame(rows) if isinstance(rows, DataFrame) else rows


def count(rows: Rows) -> int:
    """How many they are: they are computed for it."""
    if isinstance(rows, ByBucket):
        return sum(map(len, rows.tables()))
    return rows.count() if isinstance(rows, DataFrame) else len(rows)


def column_names(rows: Rows) -> list[str]:
    """The columns of rows."""
    return [*(rows.columns if isinstance(rows, DataFrame) else rows.schema.names)]


def _of_bucket(rows: pa.Table, bucket: int) -> pa.Table:
    return keep_rows(rows, is_equal(rows["bucket"], bucket))


def kernel_of(kernel: Callable[..., pa.Table], schema: pa.Schema, inputs: ByName, *, buckets: int) -> ByBucket:
    """What a kernel gives of each bucket."""
    read = sum(rows.read if isinstance(rows, ByBucket) else len(rows) for rows in inputs.values())
    return ByBucket(schema, buckets, read, lambda bucket, **tables: kernel(**tables), inputs)


def fetch(lake: Lake, contract: Contract, version: int, columns: Sequence[str], *, condition: str = "TRUE") -> Rows:
    """Columns of the rows of a table that satisfy a condition, as Lake.fetch has it."""
    rows = lake.rows(contract)
    if _is_few(lake, rows) or not _has_small_buckets(lake, contract):
        return lake.fetch(contract, version, columns, condition=condition)

    def load(bucket: int) -> pa.Table:
        return lake.load(contract, version, columns, condition=all_of([equals("bucket", bucket), condition]))

    return ByBucket(lake.schema_of(contract, columns), lake.settings.buckets, rows, load)


def fetch_mapped(
    lake: Lake,
    contract: Contract,
    version: int,
    columns: Sequence[str],
    *,
    each: Callable[[pa.Table], pa.Table],
    schema: pa.Schema,
    gives_few: bool = False,
) -> Rows:
    """What the kernel `each` makes of columns of a table, of as many rows of a bucket as it is given at once.

    `gives_few`: it makes so few rows that this process looks through more rows for them than it takes on.
    """
    rows = lake.rows(contract)

    def map_pieces(batches: ArrowBatches) -> Iterator[pa.Table]:
        return (each(piece).select(schema.names).cast(schema) for piece in gather_tables(batches, ROWS_AT_ONCE))

    def map_rows(condition: str) -> pa.Table:
        scanned = lake.scan(contract, version, columns, condition=condition)
        return pa.concat_tables([*map_pieces(scanned), schema.empty_table()])

    def map_task(batches: ArrowBatches) -> Iterator[pa.RecordBatch]:
        for piece in map_pieces(batches):
            yield from piece.to_batches()

    if _is_few(lake, rows) or (gives_few and lake.is_soon_scanned(contract)):
        return map_rows("TRUE")
    if _has_small_buckets(lake, contract, in_pieces=True):
        return ByBucket(schema, lake.settings.buckets, rows, lambda bucket: map_rows(equals("bucket", bucket)))
    read_all = lake.read(contract, version).select(*columns)
    return read_all.mapInArrow(map_task, from_arrow_schema(schema, prefer_timestamp_ntz=True))


def fetch_keys(
    lake: Lake, contract: Contract, version: int, keys: Rows, *, on: Sequence[str], columns: Sequence[str]
) -> Rows:
    """Columns of the rows whose columns `on`, a bucket first, are among `keys`, as Lake.fetch_keys has it."""
    if isinstance(keys, DataFrame) or not _has_small_buckets(lake, contract):
        keys = lake.frame(keys) if isinstance(keys, ByBucket) else keys
        return lake.fetch_keys(contract, version, keys, on=on, columns=columns)
    if isinstance(keys, pa.Table) and (_is_few(lake, lake.rows(contract)) or len(keys) * FEW_OF < FEW):
        found = lake.load_few_keys(contract, version, keys, on=on, columns=columns)
        if found is not None:
            return found

    def load(bucket: int, *, keys: pa.Table) -> pa.Table:
        return lake.load_keys(contract, version, keys, on=on, columns=columns)

    schema = lake.schema_of(contract, columns)
    return ByBucket(schema, lake.settings.buckets, lake.rows(contract), load, {"keys": keys.select(list(on))})


def fetch_changes(lake: Lake, contract: Contract, after: int, until: int, columns: Sequence[str]) -> Rows | None:
    """The change feed with `columns`, as Lake.fetch_changes has it; None if gone."""
    written = lake.rows_written(contract, after, until)
    if _is_few(lake, written) or not _has_small_buckets(lake, contract):
        return lake.fetch_changes(contract, after, until, columns)
    if lake.settled_version(contract, after) is None:
        return None

    def load(bucket: int) -> pa.Table:
        return lake.load_feed(contract, after, until, columns, condition=equals("bucket", bucket))

    return ByBucket(lake.feed_schema(contract, columns), lake.settings.buckets, written, load)


def _is_few(lake: Lake, rows: int) -> bool:
    return rows < min(FEW, lake.driver_rows)


def _has_small_buckets(lake: Lake, contract: Contract, *, in_pieces: bool = False) -> bool:
    """Whether this process, or a task, takes on any bucket of a table: at once, or piece by piece."""
    return lake.rows_of_largest_bucket(contract) < lake.bucket_rows * (PIECES if in_pieces else 1)
