"""Rows of a source as they are, judged: a table by this process, a frame by Spark's tasks, with the same kernels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pyarrow as pa
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import from_arrow_schema, to_arrow_schema, to_arrow_type
from pyspark.sql.types import DataType

from jobs.indexing.options import IndexFiles
from jobs.people.erasures import read_erased
from jobs.runtime.kernels import apply_to_rows
from jobs.runtime.lake import Rows
from jobs.runtime.runs import Run
from schemas.locations import absolute_uri
from transforms.people.erased import refuse_erased
from transforms.sources.duplicates import ORDINAL, Duplicates
from transforms.sources.rows import judge_figures, judge_files
from transforms.tables.arrow_tables import ArrowBatches
from transforms.tables.source_columns import IS_JSON, JSON_TEXT
from transforms.tables.source_frames import quoted

JUDGED_AT_ONCE = 50_000
"""Rows that a task judges together: with pixels and embeddings some 200 MB."""
MOST_DOUBTFUL = 100_000
"""Keys that repeat, up to which they are sent to every worker."""
TASK_MEMORY = "1GB"
"""What sorting takes of a task's memory; the rest it does on disk."""
Refuse = Callable[[pa.Table], pa.Table]


def judge_rows(run: Run, config: IndexFiles, raw: Rows, uri: str) -> Rows:
    """Rows of the source at `uri`, judged as files or figures (transforms.sources.rows), and kept.

    One of those that repeat a key is accepted. Faces that were erased are refused.
    """
    whose: dict[str, Any] = {"source": absolute_uri(uri), "project": config.project, "dataset": config.only_dataset}
    schema = raw.schema if isinstance(raw, pa.Table) else arrow_schema(raw)
    if config.rows == "figures":
        judge = judge_figures(schema, mapping=config.map, **whose)
        erased = read_erased(run, project=config.project)
        refuse: Refuse = partial(refuse_erased, erased=erased) if len(erased) else _refuse_none
        duplicates = Duplicates("figure_id", "duplicate_figure")
    else:
        told: dict[str, Any] = {"time_is": config.time_is, "media_type": config.media_type}
        judge = judge_files(schema, mapping=config.map, **whose, **told)
        refuse, duplicates = _refuse_none, Duplicates("uri", "duplicate_uri")
    if isinstance(raw, DataFrame):
        judged = apply_to_rows(
            lambda rows: refuse(judge(rows, threads=1)), raw, schema=judge.schema, piece=JUDGED_AT_ONCE
        )
        return _refuse_duplicates(judged, duplicates, keep=run.cache)
    return duplicates.refuse(refuse(judge(raw)), texts=lambda positions: judge.texts(raw.take(positions)))


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
