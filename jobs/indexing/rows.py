"""Rows of a source: judged, and stored as files or as figures."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.indexing.options import IndexFiles
from jobs.people.erasures import read_erased
from jobs.people.waiting import WAITING, count_waiting
from jobs.runtime.runs import Run
from jobs.runtime.session import FEW_ROWS
from jobs.sources.intake import Settle, count_verdicts, put
from jobs.sources.sources import Source, read_source
from schemas.contract import Contract
from schemas.datasets import DATASETS
from schemas.figures import FIGURES
from schemas.file_features import FEATURES, FILE_FEATURES
from schemas.files import FILES
from schemas.locations import absolute_uri
from schemas.rejected import REJECTED
from transforms.people.erasures import drop_erased, refuse_erased
from transforms.pictures.files import BROKEN_PIXELS
from transforms.pictures.perceptual_hashes import settle_features
from transforms.sources.imm import figures_from_imm, from_imm
from transforms.sources.rows import accepted, judge_figures, judge_files, refused
from transforms.sources.validation import refuse_few_duplicates
from transforms.tables.frames import from_frame
from transforms.tables.source_columns import map_columns, untold_columns

NO_CHANGE = frozenset({"object_id", "source", "create_time", "update_time", "run_id"})
"""Columns of a file in which a difference alone is no change."""


def read_rows(run: Run, config: IndexFiles, source: Source) -> DataFrame:
    """The rows of a source, as they are, under the lake's names."""
    raw = read_source(run.lake.spark, source)
    if source.format == "imm":
        raw = figures_from_imm(raw) if config.rows == "figures" else from_imm(raw, language=run.lake.settings.language)
    return map_rows(raw, config)


def take_in(run: Run, config: IndexFiles, raw: DataFrame, uri: str, *, rows: int, stage: int) -> DataFrame:
    """Judges the rows of the source at `uri`, about `rows`, and stores what they say; `stage` is how far the run is
    then, percent. Returns the accepted ones.
    """
    are_read_here = "content_identifier" in raw.columns  # photos and videos that we opened
    untold = untold_columns(raw)
    judged = _judge(run, config, raw, uri, rows=rows)
    run.progress.stage(f"storing {uri}", stage)
    verdicts = count_verdicts(run, judged, sources=(uri,), suffixes=are_read_here)
    if run.lake.is_few(FILE_FEATURES, verdicts.accepted + verdicts.refused, FILE_FEATURES.names):
        judged = run.lake.frame(from_frame(judged))  # what follows is then computed without a Spark job
    if verdicts.refused:
        told = {"reject_time": run.clock(), "dataset_name": _valid_dataset(config)}
        put(run, REJECTED, refused(judged).withColumns(told), count=verdicts.refused, compare=())
    good, count = accepted(judged), verdicts.accepted
    names = good.select("project_name", "dataset_name").distinct()
    put(run, DATASETS, names.withColumns(_new_dataset(run)), count=verdicts.datasets, compare=())
    if config.rows == "files":
        settle = _keep_hashes if are_read_here and not config.hashes else None
        _store_files(run, good, count=count, untold=untold, settle=settle)
    else:
        _store_figures(run, good, count=count, project=config.project, untold=untold)
        _count_waiting(run, good)
    return good


def _judge(run: Run, config: IndexFiles, raw: DataFrame, uri: str, *, rows: int) -> DataFrame:
    """The rows judged, and kept."""
    judge: Callable[..., DataFrame] = partial(judge_files, time_is=config.time_is, media_type=config.media_type)
    if config.rows == "figures":
        judge = partial(judge_figures, refuse=partial(refuse_erased, erased=read_erased(run, project=config.project)))
    judge = partial(judge, source=absolute_uri(uri), project=config.project, dataset=config.only_dataset)
    if rows <= FEW_ROWS:
        return run.cache(judge(raw))
    return judge(raw, refuse_duplicates=partial(refuse_few_duplicates, keep=run.cache))


def _store_files(run: Run, good: DataFrame, *, count: int, untold: frozenset[str], settle: Settle | None) -> None:
    keyed = good.withColumn("object_id", _object_id())
    files = keyed.withColumns(
        {
            "create_time": run.clock(),
            "update_time": run.clock(),
            "deleted_time": F.lit(None).cast("timestamp"),
            "moved_to": F.lit(None).cast("string"),
        }
    )
    compare = [name for name in FILES.names if name not in NO_CHANGE]
    rows, keep = files.select(*_columns(FILES)), ("create_time", "object_id")
    put(run, FILES, rows, count=count, compare=compare, keep=keep, untold=untold, settle=settle)
    if untold.issuperset(FEATURES):
        return
    has_features = reduce(Column.__or__, (F.col(name).isNotNull() for name in FEATURES))
    features = keyed.where(has_features & (F.col("media_type") == "image")).withColumn("update_time", run.clock())
    features = features.select(*_columns(FILE_FEATURES, but="fingerprint"), "content_hash")

    def settled_features(rows: DataFrame, current: DataFrame) -> DataFrame:
        settled = settle_features(rows, current, key=FILE_FEATURES.key, untold=untold)
        return settled.select(*FILE_FEATURES.names)

    put(run, FILE_FEATURES, features, count=count, compare=(*FEATURES, "fingerprint"), settle=settled_features)


def _keep_hashes(rows: DataFrame, current: DataFrame) -> DataFrame:
    """Rows of `files` read from headers alone, with what whole files of their size told: hashes, and broken pixels."""
    told = ("size", "content_hash", "warning")
    known = current.select(*FILES.key, *(F.col(name).alias(f"_{name}") for name in told))
    is_same = F.col("size") == F.col("_size")
    kept = {
        "content_hash": F.coalesce("content_hash", F.when(is_same, F.col("_content_hash"))),
        "warning": F.coalesce(
            "warning", F.when(is_same & F.contains("_warning", F.lit(BROKEN_PIXELS)), F.col("_warning"))
        ),
    }
    return rows.join(known, list(FILES.key), how="left").withColumns(kept).select(*FILES.names)


def _store_figures(run: Run, good: DataFrame, *, count: int, project: str, untold: frozenset[str]) -> None:
    figures = good.withColumns({"object_id": _object_id(), "update_time": run.clock()}).select(*_columns(FIGURES))

    def settle(rows: DataFrame, _: DataFrame) -> DataFrame:
        return rows.transform(drop_erased, erased=read_erased(run, project=project))

    compare = [name for name in FIGURES.names if name not in NO_CHANGE]
    put(run, FIGURES, figures, count=count, compare=compare, untold=untold, settle=settle)


def _columns(contract: Contract, *, but: str = "") -> list[str]:
    """The columns of a table but those that `put` fills in."""
    return [name for name in contract.names if name not in ("bucket", "run_id", but)]


def _count_waiting(run: Run, figures: DataFrame) -> None:
    key = ["project_name", "dataset_name", "uri"]
    files = run.lake.fetch(FILES, run.lake.version(FILES), (*key, "deleted_time"))
    there = run.lake.frame(files).where(F.col("deleted_time").isNull())
    waiting = figures.join(there, key, how="left_anti")
    count_waiting(run, waiting, before=run.ledger.row_counts.get(WAITING, 0))


def _object_id() -> Column:
    return F.sha2(F.concat_ws("\n", "project_name", "dataset_name", "uri"), 256)


def _valid_dataset(config: IndexFiles) -> Column:
    return F.coalesce("dataset_name", F.lit(config.only_dataset).cast("string"))


def _new_dataset(run: Run) -> dict[str, Column]:
    nothing = F.lit(None).cast("string")
    unsaid = ("template_id", "description", "faces", "faces_set_by", "faces_run_id")
    times = {"create_time": run.clock(), "update_time": run.clock()}
    return {**dict.fromkeys(unsaid, nothing), **times}


def map_rows(raw: DataFrame, config: IndexFiles) -> DataFrame:
    """Rows of a source under the names that `--map` gives its columns."""
    return raw.transform(map_columns, config.map) if config.map else raw
