"""Judged rows of a source, stored: the refused ones, datasets, and files with their features, or figures.

Judged rows are a table where they are few, and all is done by this process then; more are by bucket, or a frame.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame

from jobs.indexing.judging import OBJECT
from jobs.indexing.options import IndexFiles
from jobs.people.erasures import without_erased
from jobs.people.waiting import WAITING, count_waiting
from jobs.runtime.by_bucket import ByBucket, Rows, collect, column_names, fetch_keys
from jobs.runtime.kernels import apply_kernel, apply_to_rows
from jobs.runtime.runs import Run
from jobs.sources.intake import Settle, add_bucket, count_verdicts, put
from schemas.contract import Contract
from schemas.datasets import DATASETS
from schemas.figures import FIGURES
from schemas.file_features import FEATURES, FILE_FEATURES
from schemas.files import FILES
from schemas.keys import FILE_KEY
from schemas.rejected import REJECTED
from transforms.people.waiting import without_files
from transforms.pictures.contents import keep_hashes
from transforms.pictures.perceptual_hashes import settle_features
from transforms.sources.verdicts import (
    FEATURE_ROWS,
    REFUSAL,
    accepted,
    computed,
    dataset_rows,
    feature_rows,
    figure_rows,
    file_rows,
    refused,
)
from transforms.tables.changes import keep_keys

NO_CHANGE = frozenset({"object_id", "source", "source_digest", "create_time", "update_time", "run_id"})
"""Columns of a file in which a difference alone is no change."""
SAME_FILE = ("bucket", "xxhash64(project_name, dataset_name, uri)")
"""Rows that go to one task where rows are joined by file."""


def store_rows(
    run: Run,
    config: IndexFiles,
    judged: Rows,
    uri: str,
    *,
    untold: frozenset[str],
    are_pictures: bool,
    unchanged: ByBucket | None = None,
) -> Rows:
    """Stores what judged rows of the source at `uri` say; of `untold` columns the source says nothing.

    `are_pictures`: they are of photos and videos that we opened. `unchanged`: rows that are accepted as they are there
    (OBJECT). Returns the accepted ones, with the columns OBJECT.
    """
    known = unchanged.read if unchanged else 0
    verdicts = count_verdicts(run, judged, sources=(uri,), suffixes=are_pictures, known=known)
    count = verdicts.accepted - known
    good = _make_rows(accepted, judged, OBJECT)
    if unchanged:
        good = apply_kernel(run.lake, _both, schema=OBJECT, judged=good, unchanged=unchanged)
    if verdicts.refused:
        bad = judged.where("reason IS NOT NULL") if isinstance(judged, DataFrame) else judged
        told = {"dataset": config.only_dataset, "now": run.now}
        rows = _make_rows(refused, bad, computed(REJECTED), needs=REFUSAL, **told)
        put(run, REJECTED, rows, count=verdicts.refused, compare=())
    names = _make_rows(dataset_rows, judged, computed(DATASETS), now=run.now)
    if isinstance(names, DataFrame):
        names = names.distinct()  # tasks have told each their own
    elif isinstance(names, ByBucket):
        names = collect(names)
    put(run, DATASETS, names, count=verdicts.datasets, compare=())
    if config.rows == "files":
        _store_files(run, judged, count=count, untold=untold, keeps_hashes=are_pictures and not config.hashes)
        _store_features(run, judged, count=count, untold=untold)
        return good
    _store_figures(run, judged, count=count, project=config.project, untold=untold)
    _count_waiting(run, good)
    return good


def _both(judged: pa.Table, unchanged: pa.Table) -> pa.Table:
    return pa.concat_tables([judged, unchanged])


def _make_rows(
    kernel: Callable[..., pa.Table], judged: Rows, schema: pa.Schema, *, needs: Sequence[str] = (), **how: Any
) -> Rows:
    """What a kernel makes of judged rows, with the columns of `schema`, of those and the columns that it `needs`."""
    there = set(column_names(judged))
    told = judged.select([name for name in dict.fromkeys(("reason", *schema.names, *needs)) if name in there])
    return apply_to_rows(partial(kernel, **how), told, schema=schema)


def _store_files(run: Run, judged: Rows, *, count: int, untold: frozenset[str], keeps_hashes: bool) -> None:
    files = _make_rows(file_rows, judged, computed(FILES), now=run.now)
    compare = [name for name in FILES.names if name not in NO_CHANGE]
    settle = _with_current(run, FILES, keep_hashes) if keeps_hashes else None
    put(
        run, FILES, files, count=count, compare=compare, keep=("create_time", "object_id"), untold=untold, settle=settle
    )


def _store_features(run: Run, judged: Rows, *, count: int, untold: frozenset[str]) -> None:
    if untold.issuperset(FEATURES):
        return
    features = _make_rows(feature_rows, judged, FEATURE_ROWS, needs=("media_type",), now=run.now)
    settle = _with_current(run, FILE_FEATURES, partial(settle_features, untold=untold))
    put(run, FILE_FEATURES, features, count=count, compare=(*FEATURES, "fingerprint"), settle=settle)


def _with_current(run: Run, contract: Contract, kernel: Callable[..., pa.Table]) -> Settle:
    """What a kernel makes of rows of files, and of what the table has of the same files."""

    def settle(rows: Rows, current: Rows) -> Rows:
        if isinstance(rows, DataFrame):
            current = keep_keys(run.lake.frame(current), keys=rows, on=contract.key)
        schema = run.lake.schema_of(contract, contract.names)
        return apply_kernel(run.lake, kernel, schema=schema, unit=SAME_FILE, rows=rows, current=current)

    return settle


def _store_figures(run: Run, judged: Rows, *, count: int, project: str, untold: frozenset[str]) -> None:
    figures = _make_rows(figure_rows, judged, computed(FIGURES), now=run.now)

    def settle(rows: Rows, _: Rows) -> Rows:
        return without_erased(run, rows, project=project)

    compare = [name for name in FIGURES.names if name not in NO_CHANGE]
    put(run, FIGURES, figures, count=count, compare=compare, untold=untold, settle=settle)


def _count_waiting(run: Run, figures: Rows) -> None:
    """Counts the figures whose files are not in the lake."""
    figures = add_bucket(run.lake, figures)
    columns = (*FILE_KEY, "deleted_time")
    files = fetch_keys(run.lake, FILES, run.lake.version(FILES), figures, on=FILE_KEY, columns=columns)
    schema = pa.schema([("uri", pa.string())])
    waiting = apply_kernel(run.lake, without_files, schema=schema, unit=SAME_FILE, faces=figures, files=files)
    waiting = collect(waiting) if isinstance(waiting, ByBucket) else waiting
    count_waiting(run, waiting, before=run.ledger.row_counts.get(WAITING, 0))
