"""Rows of a source: read, judged and stored, by this process where they are few, else by Spark."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pyarrow as pa
from pyspark.sql import DataFrame

from jobs.indexing.judging import arrow_columns, arrow_schema, judge_rows
from jobs.indexing.options import IndexFiles
from jobs.indexing.storing import store_rows
from jobs.runtime.kernels import apply_to_rows
from jobs.runtime.lake import Rows
from jobs.runtime.runs import Run
from jobs.runtime.session import FEW_ROWS, planned_for
from jobs.sources.sources import Source, load_source, read_source
from schemas.file_features import FILE_FEATURES
from transforms.sources.columns import untold_columns
from transforms.sources.imm import figures_from_imm, from_imm
from transforms.tables.frames import from_frame

READ_HERE = 2
"""As many rows, times `driver_rows`, of a source this process reads and judges: some 2 GB of them."""
READ_BYTES = 1 << 30
"""Bytes of files up to which it does: with pixels and embeddings rows are larger."""


def take_in_source(run: Run, config: IndexFiles, source: Source, *, stage: int) -> Rows:
    """Reads the rows of a source, judges them, and stores what they say; `stage` is how far the run is then, percent.

    Returns the accepted ones, as store_rows does.
    """
    is_small = source.rows < READ_HERE * run.lake.driver_rows and sum(source.files.values()) <= READ_BYTES
    if source.is_loadable and is_small:
        raw = load_source(source)
        return take_in(run, config, _translate(run, config, source, raw), source.uri, stage=stage)
    with planned_for(run.lake.spark, rows=source.rows):
        frame = run.lake.frame(_translate(run, config, source, read_source(run.lake.spark, source)))
        return take_in_frame(run, config, frame, source.uri, rows=source.rows, stage=stage)


def _translate(run: Run, config: IndexFiles, source: Source, raw: Rows) -> Rows:
    """The rows of a source with the lake's names: those of IMM's objects have others."""
    if source.format != "imm":
        return raw
    in_files = partial(from_imm, language=run.lake.settings.language)
    translate: Callable[[pa.Table], pa.Table] = figures_from_imm if config.rows == "figures" else in_files
    schema = raw.schema if isinstance(raw, pa.Table) else arrow_schema(raw)
    return apply_to_rows(translate, raw, schema=translate(schema.empty_table()).schema)


def take_in_frame(run: Run, config: IndexFiles, raw: DataFrame, uri: str, *, rows: int, stage: int) -> Rows:
    """The same of rows that Spark reads, about so many: few of them as a table."""
    raw = arrow_columns(raw)
    features = [name for name in FILE_FEATURES.names if name in raw.columns]
    is_few = rows <= FEW_ROWS and run.lake.is_few(FILE_FEATURES, rows, features)
    return take_in(run, config, from_frame(raw) if is_few else raw, uri, stage=stage)


def take_in(run: Run, config: IndexFiles, raw: Rows, uri: str, *, stage: int) -> Rows:
    """The same of the rows of the source at `uri` as they are."""
    schema = raw.schema if isinstance(raw, pa.Table) else arrow_schema(raw)
    judged = judge_rows(run, config, raw, uri)
    run.progress.stage(f"storing {uri}", stage)
    are_pictures = "content_identifier" in schema.names  # photos and videos that we opened
    untold = untold_columns(schema, config.map)
    return store_rows(run, config, judged, uri, untold=untold, are_pictures=are_pictures)
