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

from catalog.sql import all_of, equals
from jobs.indexing.options import IndexFiles
from jobs.people.erasures import read_erased
from jobs.runtime.by_bucket import ByBucket, map_ahead
from jobs.runtime.kernels import apply_to_rows
from jobs.runtime.lake import Rows
from jobs.runtime.runs import Run
from jobs.runtime.spool import Spool
from schemas.file_features import FEATURES
from schemas.files import FILES
from schemas.keys import FILE_KEY
from schemas.locations import absolute_uri
from transforms.people.erased import refuse_erased
from transforms.sources.columns import untold_columns
from transforms.sources.duplicates import ORDINAL, Duplicates, numbered_schema
from transforms.sources.rows import judge_figures, judge_files
from transforms.sources.validation import Judge
from transforms.tables.arrow_tables import ArrowBatches, gather_tables, split_datasets
from transforms.tables.digests import with_bucket
from transforms.tables.keyed import Bools, is_among, key_codes
from transforms.tables.source_columns import IS_JSON, JSON_TEXT
from transforms.tables.source_frames import quoted

JUDGED_AT_ONCE = 50_000
"""Rows that a task, or a thread, judges together: with pixels and embeddings some 200 MB."""
TOLD_EVERY = 20
"""Pieces after which it is told how many rows are judged: every 10 to 20 seconds."""
BUCKET_BYTES = 1 << 30
"""What the rows of a bucket may take as the source has them: some six million with an address."""
MOST_DOUBTFUL = 100_000
"""Keys that repeat, up to which they are sent to every worker."""
OBJECT = pa.schema([(name, pa.string()) for name in FILE_KEY[1:]])
"""What a file is known by: its project, its dataset and its uri."""
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

    def apply(self, raw: pa.Table, *, threads: int | None = None) -> pa.Table:
        """The result for rows as the source has them, all those of the same key among them."""
        judged = self.refuse(self.judge(raw, threads=threads))
        return self.duplicates.refuse(judged, texts=lambda positions: self.judge.texts(raw.take(positions)))

    @property
    def schema(self) -> pa.Schema:
        """The columns of the result."""
        return numbered_schema(self.judge.schema)


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
    if isinstance(raw, pa.Table):
        return rules.apply(raw)
    judge, refuse = rules.judge, rules.refuse
    judged = apply_to_rows(lambda rows: refuse(judge(rows, threads=1)), raw, schema=judge.schema, piece=JUDGED_AT_ONCE)
    return _refuse_duplicates(judged, rules.duplicates, keep=run.cache)


def judge_by_bucket(
    run: Run, config: IndexFiles, raw: pa.RecordBatchReader, uri: str
) -> tuple[ByBucket, ByBucket] | None:
    """The same of rows that come bit by bit, as many as the disk holds; None where a bucket has more than memory does.

    Rows are put on disk by bucket. Then each bucket's are judged, but for those that `files` has as they came: of
    these the files are given (OBJECT), as the second.
    """
    buckets = run.lake.settings.buckets
    rules = rules_of(run, config, raw.schema, uri)
    keys_schema = rules.judge.keys_schema
    names = [f"raw_{number}" for number in range(len(raw.schema))]
    own = [field.with_name(name) for field, name in zip(raw.schema, names, strict=True)]
    current = _known_rows(run, config, raw.schema)

    def find_keys(rows: pa.Table) -> list[pa.Table]:
        keys = rules.judge.keys(rows, threads=1)
        for field, column in zip(own, rows.columns, strict=True):
            keys = keys.append_column(field, column)
        return [*split_datasets(with_bucket(keys, buckets).sort_by("bucket").combine_chunks(), key=["bucket"])]

    def judge(bucket: int) -> tuple[pa.Table, pa.Table]:
        keys = came.read(bucket, keys_schema.names)
        known = np.zeros(len(keys), np.bool_)
        if current is not None:
            known = _is_known(keys, current(bucket), key=rules.duplicates.key)
        others = rules.schema.empty_table()
        if not known.all():
            rows = came.read(bucket, names).filter(pa.array(~known))
            found = rules.apply(pa.Table.from_arrays(rows.columns, schema=raw.schema), threads=1)
            others = found.select(rules.schema.names).cast(rules.schema)
        return others, keys.filter(pa.array(known)).select(OBJECT.names).cast(OBJECT)

    with Spool(pa.schema([*keys_schema, *own]), buckets=buckets) as came:
        for piece, rows in enumerate(map_ahead(find_keys, gather_tables(raw, JUDGED_AT_ONCE))):
            if piece % TOLD_EVERY == 0:
                run.progress.stage(f"reading {uri}: {came.rows:,} rows so far", run.progress.percent)
            for some in rows:
                came.write(some.drop_columns(["bucket"]), some["bucket"][0].as_py())
    if came.sizes.max() > BUCKET_BYTES:
        return None
    run.progress.stage(f"judging {uri}: {came.rows:,} rows", run.progress.percent)
    with Spool(rules.schema, buckets=buckets) as judged, Spool(OBJECT, buckets=buckets) as unchanged:
        for bucket, (some, known) in enumerate(map_ahead(judge, range(buckets))):
            judged.write(some, bucket)
            unchanged.write(known, bucket)
    return judged.by_bucket(), unchanged.by_bucket()


def _known_rows(run: Run, config: IndexFiles, source: pa.Schema) -> Callable[[int], pa.Table] | None:
    """What gives the files of a bucket that are there, with the digests of the rows that they came of; None where there
    are none yet, and where rows tell features, which are stored after files."""
    lake, version = run.lake, run.lake.version(FILES)
    tells_features = not untold_columns(source, config.map).issuperset(FEATURES)
    if config.rows == "figures" or tells_features or not lake.rows(FILES):
        return None
    there = (equals("project_name", config.project), "deleted_time IS NULL", "source_digest IS NOT NULL")

    def load(bucket: int) -> pa.Table:
        condition = all_of([equals("bucket", bucket), *there])
        return lake.load(FILES, version, ("dataset_name", "uri", "source_digest"), condition=condition)

    return load


def _is_known(rows: pa.Table, files: pa.Table, *, key: str) -> Bools:
    """Which rows repeat no key of others, and are, by their digest, as the file of that key has come."""
    (codes,) = key_codes(rows, key=("dataset_name", key))
    is_single = np.bincount(codes, minlength=1)[codes] == 1
    known: Bools = is_single & is_among(rows, files, on=("dataset_name", key, "source_digest"))
    return known


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

    return judged.repartition(*group).mapInArrow(number, from_arrow_schema(numbered_schema(given)))


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
