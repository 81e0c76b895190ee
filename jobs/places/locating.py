"""Where files are: the step that keeps `file_places` in line with `files`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.places.area_indexes import locator_over, newest_builds, refresh_area_index
from jobs.runtime import by_bucket
from jobs.runtime.by_bucket import Rows
from jobs.runtime.commits import Committed, Mark, Step, replace_rows, retry_conflicts
from jobs.runtime.kernels import apply_kernel
from jobs.runtime.lake import Lake, spark_schema
from jobs.runtime.runs import Run
from jobs.runtime.session import has_executors
from schemas.area_index import AREA_INDEX
from schemas.areas import AREAS
from schemas.contract import Contract
from schemas.file_edits import FILE_EDITS
from schemas.file_places import FILE_PLACES
from schemas.files import FILES
from schemas.keys import DATASET_KEY
from schemas.lake import bucket_of
from schemas.place_days import PLACE_DAYS
from transforms.places.changed_files import (
    COLUMNS,
    LOCATED_COLUMNS,
    changed_files,
    correct_by_edits,
    keep_seen,
    locate_files,
    outdated_keys,
    removed_keys,
    replaced_keys,
)
from transforms.places.corrections import CORRECTED, EDIT_COLUMNS, FILE_KEY, fold_corrections
from transforms.places.geocoding import GazetteerLocator, Locator
from transforms.places.located_frames import map_points
from transforms.tables import keyed

LOCATED_HERE = 4
"""As many rows, times `driver_rows`, this process locates by bucket before tasks could start elsewhere: it takes
5 microseconds a row."""
_KEYS = pa.schema([FILES.arrow_schema.field(name) for name in FILES.key])


def locator_of(run: Run) -> Locator:
    """What finds addresses in this lake: its areas once some are loaded, else the embedded gazetteer.

    Where a run was killed after it had loaded areas, the index is brought in step with them first.
    """
    retry_conflicts(lambda: refresh_area_index(run))
    locator = locator_over(run.lake)
    if locator is None:
        return GazetteerLocator()
    for contract in (AREAS, AREA_INDEX):
        run.ledger.read(contract, run.lake.version(contract))
    return locator


def refresh_file_places(run: Run) -> None:
    """Locates every file that was added, changed, corrected or removed since this was last done, in all datasets."""
    lake = run.lake
    until, edited = lake.version(FILES), lake.version(FILE_EDITS)
    consumes = {FILES.name: until} | ({FILE_EDITS.name: edited} if edited else {})
    step = Step.pin(lake, FILE_PLACES, run.run_id, consumes=consumes, dry_run=run.dry_run)
    consumed, obeyed = step.consumed(FILES), step.consumed(FILE_EDITS) or 0
    run.ledger.read(FILES, until)
    if edited:
        run.ledger.read(FILE_EDITS, edited)
    touched = _edited_files(run, until, edited, after=obeyed) if edited > obeyed else None
    if consumed == until and touched is None:
        return
    locator = locator_of(run)
    changes = _changes(lake, consumed, until, locator)
    if changes is None:
        files = _fetch(lake, FILES, until, COLUMNS, locator)
        current = _fetch(lake, FILE_PLACES, step.base, FILE_PLACES.names, locator)
    else:
        nothing = lake.schema_of(FILES, COLUMNS).empty_table()
        inputs = {"changes": run.cache(changes), "touched": nothing if touched is None else touched}
        files = apply_kernel(lake, changed_files, schema=lake.schema_of(FILES, COLUMNS), unit=FILES.key, **inputs)
        files = run.cache(files)
        before = apply_kernel(lake, replaced_keys, schema=_KEYS, unit=FILES.key, **inputs)
        current = by_bucket.fetch_keys(lake, FILE_PLACES, step.base, before, on=FILES.key, columns=FILE_PLACES.names)
    run.ledger.wrote(FILE_PLACES, _place(run, step, files, current, locator, edited))


def _changes(lake: Lake, consumed: int | None, until: int, locator: Locator) -> Rows | None:
    """What has changed in `files`; None where all is to be compared."""
    if consumed is None:
        return None
    if consumed == until:
        return lake.feed_schema(FILES, COLUMNS).empty_table()
    if _is_located_here(lake, lake.rows_written(FILES, consumed, until), locator):
        return by_bucket.fetch_changes(lake, FILES, consumed, until, COLUMNS)
    return lake.fetch_changes(FILES, consumed, until, COLUMNS)


def _fetch(lake: Lake, contract: Contract, version: int, columns: Sequence[str], locator: Locator) -> Rows:
    """Columns of a table: of this process, or by bucket, where it locates so many rows, else of Spark."""
    if _is_located_here(lake, lake.rows(contract), locator):
        return by_bucket.fetch(lake, contract, version, columns)
    return lake.read(contract, version).select(*columns)


def _is_located_here(lake: Lake, rows: int, locator: Locator) -> bool:
    if rows < LOCATED_HERE * lake.driver_rows:
        return True
    has_parts = len(locator.first_tiles) > 1  # of which each bucket needs all, and tasks one each
    return not has_parts and not has_executors(lambda: lake.spark)


def _edited_files(run: Run, version: int, edits_version: int, *, after: int) -> Rows | None:
    """The files, at a version, that edits are about that came after one; None where none came."""
    lake = run.lake
    edits = lake.load(FILE_EDITS, edits_version, FILE_KEY, condition=f"sequence > {after}")
    if not len(edits):
        return None
    datasets = keyed.distinct(edits, key=FILE_KEY[:2]).select(FILE_KEY[:2])
    whose = zip(*datasets.to_pydict().values(), strict=True)
    buckets = [bucket_of(project, dataset, lake.settings.buckets) for project, dataset in whose]
    datasets = datasets.append_column("bucket", pa.array(buckets, pa.int32()))
    keys = keyed.left_join(edits, datasets, on=FILE_KEY[:2], columns=("bucket",))
    return by_bucket.fetch_keys(lake, FILES, version, keys, on=(*DATASET_KEY, "object_id"), columns=COLUMNS)


def relocate_files(run: Run) -> None:
    """Looks up again the files that other areas, or a gazetteer, located, where the answer may have changed since; and
    those that none could locate.
    """
    lake = run.lake
    until, edited = lake.version(FILES), lake.version(FILE_EDITS)
    step = Step.pin(lake, FILE_PLACES, run.run_id, dry_run=run.dry_run)
    locator = locator_of(run)
    newest = newest_builds(lake) if locator.keyed_by_codes else None
    files, corrections = _corrections(run, _fetch(lake, FILES, until, COLUMNS, locator), edited)
    find = partial(outdated_keys, corrections=corrections, version=locator.version, newest=newest)
    places = _fetch(lake, FILE_PLACES, step.base, LOCATED_COLUMNS, locator)
    keys = apply_kernel(lake, find, schema=_KEYS, unit=FILES.key, files=files, places=places)
    keys = run.count_keys(keys, "files.to_relocate")
    files = by_bucket.fetch_keys(lake, FILES, until, keys, on=FILES.key, columns=COLUMNS)
    current = by_bucket.fetch_keys(lake, FILE_PLACES, step.base, keys, on=FILES.key, columns=FILE_PLACES.names)
    run.ledger.wrote(FILE_PLACES, _place(run, step, files, current, locator, edited))


def _place(run: Run, step: Step, files: Rows, current: Rows, locator: Locator, edits_version: int) -> Committed:
    """Commits where files are, in place of what the table has of them."""
    lake = run.lake
    files, keeps_removed = _drop_unseen(run, files)
    files, corrections = _corrections(run, files, edits_version)
    locate = partial(
        locate_files,
        corrections=corrections,
        keeps_removed=keeps_removed,
        default_zone=lake.settings.time_zone,
        locator=locator,
        run_id=run.run_id,
    )
    located: Rows
    if isinstance(files, DataFrame):
        located = map_points(files, locate, locator=locator, schema=spark_schema(FILE_PLACES))
    else:
        located = apply_kernel(lake, locate, schema=FILE_PLACES.arrow_schema, files=files)
    return replace_rows(step, located, current)


def _corrections(run: Run, files: Rows, edits_version: int) -> tuple[Rows, pa.Table | None]:
    """Files, and the corrections to lay over them; where these are too many for this process, files that Spark has
    corrected, and none."""
    lake = run.lake
    if not edits_version:
        return files, None
    edits = lake.fetch(FILE_EDITS, edits_version, EDIT_COLUMNS)
    if isinstance(edits, pa.Table):
        return files, fold_corrections(edits)
    schema = lake.schema_of(FILES, COLUMNS).append(pa.field(CORRECTED, pa.bool_()))
    inputs = {"files": lake.frame(files), "edits": edits}
    return apply_kernel(lake, correct_by_edits, schema=schema, unit=FILE_KEY, **inputs), None


def _drop_unseen(run: Run, files: Rows) -> tuple[Rows, bool]:
    """The files, and whether the removed ones among them stay: only what a clustering has seen stays as evidence."""
    lake = run.lake
    seen = Mark.of(lake.log(PLACE_DAYS)).consumed.get(FILE_PLACES.name)
    if seen is None:
        return files, False
    version = lake.settled_version(FILE_PLACES, seen)
    if version is None:
        return files, True  # what was seen can't be told any more: keep rather than lose evidence
    removed: Rows
    if isinstance(files, DataFrame):
        removed = files.where(F.col("deleted_time").isNotNull()).select(*FILES.key)
        if removed.isEmpty():
            return files, False
    else:
        removed = apply_kernel(lake, removed_keys, schema=_KEYS, unit=FILES.key, files=files)
    evidence = by_bucket.fetch_keys(lake, FILE_PLACES, version, removed, on=FILES.key, columns=FILES.key)
    schema = lake.schema_of(FILES, COLUMNS)
    return apply_kernel(lake, keep_seen, schema=schema, unit=FILES.key, files=files, seen=evidence), True
