"""Rows of a source as they are, judged: a table or bit by bit by this process, a frame by Spark's tasks, with the same
kernels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import from_arrow_schema, to_arrow_schema, to_arrow_type
from pyspark.sql.types import DataType

from jobs.indexing.options import IndexFiles
from jobs.people.erasures import read_erased
from jobs.runtime.by_bucket import ByBucket, map_ahead
from jobs.runtime.kernels import apply_to_rows
from jobs.runtime.lake import Rows
from jobs.runtime.runs import Run
from jobs.runtime.spool import Spool
from schemas.locations import absolute_uri
from transforms.people.erased import refuse_erased
from transforms.sources.duplicates import ORDINAL, Duplicates
from transforms.sources.rows import judge_figures, judge_files
from transforms.sources.validation import Judge
from transforms.tables.arrow_tables import ArrowBatches, gather_tables
from transforms.tables.digests import with_bucket
from transforms.tables.keyed import Ints
from transforms.tables.source_columns import IS_JSON, JSON_TEXT
from transforms.tables.source_frames import quoted

JUDGED_AT_ONCE = 50_000
"""Rows that a task, or a thread, judges together: with pixels and embeddings some 200 MB."""
TOLD_EVERY = 20
"""Pieces after which it is told how many rows are judged: every 10 to 20 seconds."""
BUCKET_BYTES = 2 << 30
"""What the rows of a bucket may take, judged and as the source has them: some three million with an address."""
MOST_DOUBTFUL = 100_000
"""Keys that repeat, up to which they are sent to every worker."""
TASK_MEMORY = "1GB"
"""What sorting takes of a task's memory; the rest it does on disk."""


@dataclass(frozen=True)
class Rules:
    """How rows of a source are judged: each by itself, then those that repeat a key. Erased faces are refused.

    Judged rows are those of transforms.sources.rows; the result has no `seen_time`, and ORDINAL.
    """

    judge: Judge
    refuse: Callable[[pa.Table], pa.Table]
    duplicates: Duplicates

    @property
    def schema(self) -> pa.Schema:
        """The columns of the result."""
        return pa.schema([*(column for column in self.judge.schema if column.name != "seen_time"), ORDINAL])

    def settle(self, judged: pa.Table, raw: pa.Table) -> pa.Table:
        """The result for rows that were judged one by one, all those of the same key among them; `raw` are the same
        rows as the source has them."""
        return self.duplicates.refuse(judged, texts=lambda positions: self.judge.texts(raw.take(positions)))


def rules_of(run: Run, config: IndexFiles, source: pa.Schema, uri: str) -> Rules:
    """The rules for rows of the source at `uri`, which has these columns, as files or as figures."""
    whose: dict[str, Any] = {"source": absolute_uri(uri), "project": config.project, "dataset": config.only_dataset}
    if config.rows == "figures":
        judge = judge_figures(source, mapping=config.map, **whose)
        erased = read_erased(run, project=config.project)
        refuse = partial(refuse_erased, erased=erased) if len(erased) else _refuse_none
        return Rules(judge, refuse, Duplicates("figure_id", "duplicate_figure"))
    told: dict[str, Any] = {"time_is": config.time_is, "media_type": config.media_type}
    judge = judge_files(source, mapping=config.map, **whose, **told)
    return Rules(judge, _refuse_none, Duplicates("uri", "duplicate_uri"))


def judge_rows(run: Run, config: IndexFiles, raw: Rows, uri: str) -> Rows:
    """Rows of the source at `uri`, judged: one of those that repeat a key is accepted."""
    rules = rules_of(run, config, raw.schema if isinstance(raw, pa.Table) else arrow_schema(raw), uri)
    judge, refuse = rules.judge, rules.refuse
    if isinstance(raw, pa.Table):
        return rules.settle(refuse(judge(raw)), raw)
    judged = apply_to_rows(lambda rows: refuse(judge(rows, threads=1)), raw, schema=judge.schema, piece=JUDGED_AT_ONCE)
    return _refuse_duplicates(judged, rules.duplicates, keep=run.cache)


def judge_by_bucket(run: Run, config: IndexFiles, raw: pa.RecordBatchReader, uri: str) -> ByBucket | None:
    """The same of rows that come bit by bit, as many as the disk holds; None where a bucket has more than memory does.

    They are judged as they come, and put on disk with the rows as the source has them; then those that repeat a key
    are refused, bucket by bucket.
    """
    buckets = run.lake.settings.buckets
    rules = rules_of(run, config, raw.schema, uri)
    names = [f"raw_{number}" for number in range(len(raw.schema))]
    own = pa.schema([field.with_name(name) for field, name in zip(raw.schema, names, strict=True)])

    def judge(rows: pa.Table) -> pa.Table:
        judged = rules.refuse(rules.judge(rows, threads=1))
        for field, column in zip(own, rows.columns, strict=True):
            judged = judged.append_column(field, column)
        return _split(judged, with_bucket(judged, buckets)["bucket"].to_numpy())

    def settle(bucket: int) -> pa.Table:
        rows = judged.read(bucket)
        columns = rows.select(names).columns
        return rules.settle(rows.select(rules.judge.schema.names), pa.Table.from_arrays(columns, schema=raw.schema))

    with Spool(pa.schema([*rules.judge.schema, *own]), buckets=buckets) as judged:
        for piece, rows in enumerate(map_ahead(judge, gather_tables(raw, JUDGED_AT_ONCE))):
            if piece % TOLD_EVERY == 0:
                run.progress.stage(f"judging {uri}: {judged.rows:,} rows so far", run.progress.percent)
            for bucket, some in rows:
                judged.write(some, bucket)
    if judged.sizes.max() > BUCKET_BYTES:
        return None
    with Spool(rules.schema, buckets=buckets) as settled:
        for bucket, some in enumerate(map_ahead(settle, range(buckets))):
            settled.write(some.cast(rules.schema), bucket)
    return settled.by_bucket()


def _split(rows: pa.Table, numbers: Ints) -> list[tuple[int, pa.Table]]:
    """The rows of each number that occurs."""
    order = np.argsort(numbers, kind="stable")
    begins = np.flatnonzero(np.diff(numbers[order], prepend=-1))
    sorted_rows = rows.take(pa.array(order)).combine_chunks()
    ends = [*begins[1:], len(rows)]
    return [
        (int(numbers[order[begin]]), sorted_rows.slice(begin, end - begin))
        for begin, end in zip(begins.tolist(), ends, strict=True)
    ]


def _refuse_none(judged: pa.Table) -> pa.Table:
    return judged


def _refuse_duplicates(
    judged: DataFrame, duplicates: Duplicates, *, keep: Callable[[DataFrame], DataFrame]
) -> DataFrame:
    """Judged rows, of which few are refused, or repeat a key: these alone are sorted. `keep` computes a frame now."""
    judged = keep(judged)
    good = F.col("reason").isNull()
    key = ["dataset_name", duplicates.key]
    counted = judged.groupBy(*(F.when(good, F.col(name)).alias(name) for name in key)).agg(F.count("*").alias("rows"))
    doubtful = keep(counted.where((F.col("rows") > 1) | F.col(duplicates.key).isNull()).select(*key))
    found = doubtful.count()
    if found > MOST_DOUBTFUL:
        return keep(_number(judged, duplicates))
    single = judged.where(good).join(F.broadcast(doubtful), key, how="left_anti") if found else judged
    single = single.withColumn(ORDINAL.name, F.lit(0).cast("long")).drop("seen_time")
    if not found:
        return single
    repeated = judged.where(good).join(F.broadcast(doubtful), key, how="left_semi")
    return single.unionByName(keep(_number(repeated.unionByName(judged.where(~good)), duplicates)))


def _number(judged: DataFrame, duplicates: Duplicates) -> DataFrame:
    """Duplicates.number, by tasks that have all rows of a group each."""
    good = F.col("reason").isNull()
    group = (
        F.coalesce("reason", F.lit("")),
        F.when(good, F.col("dataset_name")),
        F.when(good, F.col(duplicates.key)).otherwise(F.col("row")),
    )
    given = to_arrow_schema(judged.schema, timestamp_utc=True)
    settings = f"SET threads = 1; SET memory_limit = '{TASK_MEMORY}'"

    def number(batches: ArrowBatches) -> Iterator[pa.RecordBatch]:
        yield from duplicates.number(pa.RecordBatchReader.from_batches(given, batches), settings=settings)

    schema = pa.schema([*(column for column in given if column.name != "seen_time"), ORDINAL])
    return judged.repartition(*group).mapInArrow(number, from_arrow_schema(schema))


def arrow_columns(raw: DataFrame) -> DataFrame:
    """A source without columns of types that Arrow lacks, which hold no field; rows as JSON have them."""
    return raw.select(*(quoted(column.name) for column in raw.schema.fields if _is_in_arrow(column.dataType)))


def _is_in_arrow(kind: DataType) -> bool:
    try:
        to_arrow_type(kind)
    except PySparkException:
        return False
    return True


def arrow_schema(raw: DataFrame) -> pa.Schema:
    """The columns of a source as kernels have them, JSON text marked (IS_JSON)."""
    schema = to_arrow_schema(raw.schema, timestamp_utc=True)
    marked = {field.name for field in raw.schema.fields if JSON_TEXT.items() <= field.metadata.items()}
    return pa.schema([f.with_metadata(IS_JSON) if f.name in marked else f for f in schema])
