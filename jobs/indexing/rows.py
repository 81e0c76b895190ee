"""Rows of a source: read and judged; jobs.indexing.storing stores them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from pyspark.sql import DataFrame

from jobs.indexing.options import IndexFiles
from jobs.indexing.storing import store_rows
from jobs.people.erasures import read_erased
from jobs.runtime.kernels import apply_to_rows
from jobs.runtime.lake import Rows
from jobs.runtime.runs import Run
from jobs.runtime.session import FEW_ROWS
from jobs.sources.sources import Format, read_source
from schemas.file_features import FILE_FEATURES
from schemas.locations import absolute_uri
from transforms.people.erased import refuse_erased
from transforms.sources.imm import figures_from_imm, from_imm
from transforms.sources.rows import judge_figures, judge_files
from transforms.sources.validation import refuse_few_duplicates
from transforms.tables.frames import from_frame
from transforms.tables.source_columns import map_columns, untold_columns


def read_rows(run: Run, config: IndexFiles, uri: str, kind: Format) -> DataFrame:
    """The rows of the source at `uri`, as they are, under the lake's names."""
    raw = read_source(run.lake.spark, uri, format=kind, reading=config.reading)
    if kind == "imm":
        raw = figures_from_imm(raw) if config.rows == "figures" else from_imm(raw, language=run.lake.settings.language)
    return map_rows(raw, config)


def take_in(run: Run, config: IndexFiles, raw: DataFrame, uri: str, *, rows: int, stage: int) -> Rows:
    """Judges the rows of the source at `uri`, about `rows`, and stores what they say; `stage` is how far the run is
    then, percent. Returns the accepted ones, as store_rows does.
    """
    are_pictures = "content_identifier" in raw.columns  # photos and videos that we opened
    untold = untold_columns(raw)
    judged = _judge(run, config, raw, uri, rows=rows)
    run.progress.stage(f"storing {uri}", stage)
    told = [name for name in FILE_FEATURES.names if name not in untold]
    if run.lake.is_few(FILE_FEATURES, rows, told) and run.lake.is_few(FILE_FEATURES, judged.count(), told):
        return store_rows(run, config, from_frame(judged), uri, untold=untold, are_pictures=are_pictures)
    return store_rows(run, config, judged, uri, untold=untold, are_pictures=are_pictures)


def _judge(run: Run, config: IndexFiles, raw: DataFrame, uri: str, *, rows: int) -> DataFrame:
    """The rows judged, and kept."""
    judge: Callable[..., DataFrame] = partial(judge_files, time_is=config.time_is, media_type=config.media_type)
    if config.rows == "figures":
        erased = read_erased(run, project=config.project)
        refuse = partial(apply_to_rows, partial(refuse_erased, erased=erased)) if len(erased) else None
        judge = partial(judge_figures, refuse=refuse)
    judge = partial(judge, source=absolute_uri(uri), project=config.project, dataset=config.only_dataset)
    if rows <= FEW_ROWS:
        return run.cache(judge(raw))
    return judge(raw, refuse_duplicates=partial(refuse_few_duplicates, keep=run.cache))


def map_rows(raw: DataFrame, config: IndexFiles) -> DataFrame:
    """Rows of a source under the names that `--map` gives its columns."""
    return raw.transform(map_columns, config.map) if config.map else raw
