"""Rows of a source: read, judged and stored, by this process where they are few, else by Spark."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

import pyarrow as pa
from pyspark.sql import DataFrame

from jobs.indexing.judging import arrow_columns, arrow_schema, judge_by_bucket, judge_rows
from jobs.indexing.options import IndexFiles
from jobs.indexing.storing import store_rows
from jobs.runtime import by_bucket
from jobs.runtime.by_bucket import Rows as JudgedRows
from jobs.runtime.kernels import apply_to_rows
from jobs.runtime.lake import Rows
from jobs.runtime.runs import Run
from jobs.runtime.session import FEW_ROWS, has_executors, planned_for
from jobs.sources.delta_tables import NotReadHere
from jobs.sources.sources import Source, open_source, read_source
from schemas.file_features import FILE_FEATURES
from transforms.sources.columns import untold_columns
from transforms.sources.imm import figures_from_imm, from_imm
from transforms.tables.frames import from_frame

log = logging.getLogger("lakealbum")

READ_HERE = 2
"""As many rows, times `driver_rows`, of a source this process reads, wherever tasks run: some 2 GB, in memory."""
READ_BYTES = 1 << 30
"""Bytes of files up to which it does: with pixels and embeddings rows are larger."""


def take_in_source(run: Run, config: IndexFiles, source: Source, *, stage: int) -> JudgedRows:
    """Reads the rows of a source, judges them, and stores what they say; `stage` is how far the run is then, percent.

    Many rows are read by tasks where these are of other machines. Returns the accepted ones, as store_rows does.
    """
    try:
        if (stored := _take_in_here(run, config, source, stage=stage)) is not None:
            return stored
    except NotReadHere as error:
        log.info("%s: read by Spark, as delta-rs can't: %s", source.uri, error)
    with planned_for(run.lake.spark, rows=source.rows):
        frame = run.lake.frame(_translate(run, config, source, read_source(run.lake.spark, source)))
        return take_in_frame(run, config, frame, source.uri, rows=source.rows, stage=stage)


def _take_in_here(run: Run, config: IndexFiles, source: Source, *, stage: int) -> JudgedRows | None:
    """The same by this process: few rows in memory, more bit by bit. None where Spark is to read the source."""
    lake = run.lake
    if not source.is_loadable:
        return None
    size = sum(source.files.values())
    is_few = source.rows < min(by_bucket.FEW, lake.driver_rows) and size <= READ_BYTES
    is_little_work = source.rows < READ_HERE * lake.driver_rows and size <= READ_BYTES
    fits_buckets = source.rows < lake.settings.buckets * lake.bucket_rows
    is_worth_it = fits_buckets and (is_little_work or not has_executors(lambda: lake.spark))
    if source.is_streamed and not is_few and is_worth_it:
        rows = open_source(source)
        found = judge_by_bucket(run, config, rows, source.uri)
        if found is not None:
            judged, unchanged = found
            return _store(run, config, judged, rows.schema, source.uri, stage=stage, unchanged=unchanged)
    if not is_little_work:
        return None
    raw = _translate(run, config, source, open_source(source).read_all())
    return take_in(run, config, raw, source.uri, stage=stage)


def _translate(run: Run, config: IndexFiles, source: Source, raw: Rows) -> Rows:
    """The rows of a source with the lake's names: those of IMM's objects have others."""
    if source.format != "imm":
        return raw
    in_files = partial(from_imm, language=run.lake.settings.language)
    translate: Callable[[pa.Table], pa.Table] = figures_from_imm if config.rows == "figures" else in_files
    schema = raw.schema if isinstance(raw, pa.Table) else arrow_schema(raw)
    return apply_to_rows(translate, raw, schema=translate(schema.empty_table()).schema)


def take_in_frame(run: Run, config: IndexFiles, raw: DataFrame, uri: str, *, rows: int, stage: int) -> JudgedRows:
    """The same of rows that Spark reads, about so many: few of them as a table."""
    raw = arrow_columns(raw)
    features = [name for name in FILE_FEATURES.names if name in raw.columns]
    is_few = rows <= FEW_ROWS and run.lake.is_few(FILE_FEATURES, rows, features)
    return take_in(run, config, from_frame(raw) if is_few else raw, uri, stage=stage)


def take_in(run: Run, config: IndexFiles, raw: Rows, uri: str, *, stage: int) -> JudgedRows:
    """The same of the rows of the source at `uri` as they are."""
    schema = raw.schema if isinstance(raw, pa.Table) else arrow_schema(raw)
    return _store(run, config, judge_rows(run, config, raw, uri), schema, uri, stage=stage)


def _store(
    run: Run,
    config: IndexFiles,
    judged: JudgedRows,
    source: pa.Schema,
    uri: str,
    *,
    stage: int,
    unchanged: by_bucket.ByBucket | None = None,
) -> JudgedRows:
    run.progress.stage(f"storing {uri}", stage)
    are_pictures = "content_identifier" in source.names  # photos and videos that we opened
    untold = untold_columns(source, config.map)
    return store_rows(run, config, judged, uri, untold=untold, are_pictures=are_pictures, unchanged=unchanged)
