"""Where files are: the step that keeps `file_places` in line with `files`."""

from __future__ import annotations

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.places.area_indexes import INDEX_VERSION, locator_over, newest_builds, refresh_area_index
from jobs.runtime.commits import Committed, Mark, Step, replace_rows, retry_conflicts
from jobs.runtime.lake import FEED, Lake, Rows
from jobs.runtime.runs import Run
from jobs.runtime.session import FEW_ROWS, planned_for
from schemas.area_index import AREA_INDEX
from schemas.areas import AREAS
from schemas.file_edits import FILE_EDITS
from schemas.file_places import FILE_PLACES
from schemas.files import FILES
from schemas.keys import DATASET_KEY
from schemas.lake import bucket_of
from schemas.place_days import PLACE_DAYS
from transforms.places.area_tiles import tile_of
from transforms.places.corrections import correct_files, fold_corrections
from transforms.places.file_places import place_files
from transforms.places.geocoding import GazetteerLocator, Locator, is_place
from transforms.tables import keyed
from transforms.tables.changes import drop_keys, keep_keys, keys_before, latest_rows
from transforms.tables.frames import from_frame


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
    changes = _changes(lake, consumed, until)
    if changes is None:
        # Spark locates: what it reads itself need not come by this process
        few = lake.rows(FILES) <= FEW_ROWS
        files = lake.fetch(FILES, until, FILES.names) if few else lake.read(FILES, until).select(*FILES.names)
        current = step.current()
    elif isinstance(changes, pa.Table) and not isinstance(touched, DataFrame):
        files = keyed.latest_rows(changes, key=FILES.key).select(FILES.names)
        before = keyed.rows_before(changes).select(list(FILES.key))
        if touched is not None:
            files = keyed.union_by_name(files, keyed.anti_join(touched, files, on=FILES.key))
            before = keyed.union_by_name(before, touched.select(list(FILES.key)))
        current = lake.fetch_keys(FILE_PLACES, step.base, before, on=FILES.key, columns=FILE_PLACES.names)
    else:
        changes = lake.frame(changes)
        files = changes.transform(latest_rows, key=FILES.key, columns=FILES.names)
        before = changes.transform(keys_before, key=FILES.key)
        if touched is not None:
            unchanged = lake.frame(touched).transform(drop_keys, keys=files.select(*FILES.key), on=FILES.key)
            files, before = files.unionByName(unchanged), before.unionByName(unchanged.select(*FILES.key))
        before = run.cache_keys(before, "files.replaced")
        current = step.current().transform(keep_keys, keys=before, on=FILES.key)
    run.ledger.wrote(FILE_PLACES, _place(run, step, files, current, locator, edited))


def _changes(lake: Lake, consumed: int | None, until: int) -> Rows | None:
    """What has changed in `files`; None where all is to be compared."""
    if consumed == until:
        return pa.schema([*FILES.arrow_schema, *FEED]).empty_table()
    return lake.fetch_changes(FILES, consumed, until, FILES.names) if consumed is not None else None


def _edited_files(run: Run, version: int, edits_version: int, *, after: int) -> Rows | None:
    """The files, at a version, that edits are about that came after one; None where none came."""
    lake = run.lake
    names = ("project_name", "dataset_name", "object_id")
    edits = lake.load(FILE_EDITS, edits_version, names, condition=f"sequence > {after}")
    if not len(edits):
        return None
    datasets = keyed.distinct(edits, key=names[:2]).select(names[:2])
    whose = zip(*datasets.to_pydict().values(), strict=True)
    buckets = [bucket_of(project, dataset, lake.settings.buckets) for project, dataset in whose]
    datasets = datasets.append_column("bucket", pa.array(buckets, pa.int32()))
    keys = keyed.left_join(edits, datasets, on=names[:2], columns=("bucket",))
    return lake.fetch_keys(FILES, version, keys, on=(*DATASET_KEY, "object_id"), columns=FILES.names)


def _correct(run: Run, files: DataFrame, edits_version: int) -> DataFrame:
    """Files with what people said of when and where they were taken; those that were only moved are left out."""
    there = files.where(F.col("moved_to").isNull())
    if not edits_version:
        return there
    edits = run.lake.frame(run.lake.fetch(FILE_EDITS, edits_version, FILE_EDITS.names))
    return there.transform(correct_files, corrections=edits.transform(fold_corrections))


def relocate_files(run: Run) -> None:
    """Looks up again the files that other areas, or a gazetteer, located, where the answer may have changed since; and
    those that none could locate.
    """
    from transforms.places.area_geocoding import AreaLocator  # it loads pandas: see locator_over

    lake = run.lake
    edited = lake.version(FILE_EDITS)
    files = lake.read(FILES, lake.version(FILES))
    corrected = _correct(run, files, edited)
    step = Step.pin(lake, FILE_PLACES, run.run_id, dry_run=run.dry_run)
    places = step.current()
    locator = locator_of(run)
    outdated = places.where((F.col("address_method") != "supplied") & (F.col("index_version") != locator.version))
    if isinstance(locator, AreaLocator):
        outdated = outdated.transform(_near_newer_tiles, files=corrected, tiles=newest_builds(lake))
    somewhere = corrected.where(is_place(F.col("longitude"), F.col("latitude")) & F.col("deleted_time").isNull())
    unlocated = somewhere.join(places, list(FILES.key), how="left_anti")
    keys = outdated.select(*FILES.key).unionByName(unlocated.select(*FILES.key))
    keys = run.cache_keys(keys, "files.to_relocate")
    files, places = (rows.transform(keep_keys, keys=keys, on=FILES.key) for rows in (files, places))
    run.ledger.wrote(FILE_PLACES, _place(run, step, files, places, locator, edited))


def _near_newer_tiles(places: DataFrame, *, files: DataFrame, tiles: DataFrame) -> DataFrame:
    """The places that were not located by areas, or by areas that were cut again since there or next to it."""
    points = files.select(*FILES.key, tile_of(F.col("longitude"), F.col("latitude")).alias("tile"))
    built = F.regexp_extract("index_version", INDEX_VERSION, 1).try_cast("long")
    return (
        places.join(points, list(FILES.key), how="inner")
        .join(F.broadcast(tiles), "tile", how="left")
        .where(built.isNull() | (F.col("newest") > built))
        .select(*places.columns)
    )


def _place(run: Run, step: Step, files: Rows, current: Rows, locator: Locator, edits_version: int) -> Committed:
    lake = run.lake
    if isinstance(files, pa.Table):
        with planned_for(lake.spark, rows=len(files)):
            return replace_rows(step, from_frame(_locate(run, lake.frame(files), locator, edits_version)), current)
    return replace_rows(step, _locate(run, files, locator, edits_version), current)


def _locate(run: Run, files: DataFrame, locator: Locator, edits_version: int) -> DataFrame:
    corrected = _correct(run, files, edits_version)
    located = place_files(corrected, default_zone=run.lake.settings.time_zone, locator=locator, run_id=run.run_id)
    return _keep_seen(run, located, files)


def _keep_seen(run: Run, located: DataFrame, files: DataFrame) -> DataFrame:
    """`located` without the removed `files` that no clustering has seen: only what a run has seen stays as evidence."""
    lake = run.lake
    seen = Mark.of(lake.log(PLACE_DAYS)).consumed.get(FILE_PLACES.name)
    there, removed = located.where(F.col("deleted_time").isNull()), located.where(F.col("deleted_time").isNotNull())
    if seen is None or files.where(F.col("deleted_time").isNotNull()).isEmpty():
        return there
    seen = lake.settled_version(FILE_PLACES, seen)
    if seen is None:
        return there.unionByName(removed)  # what was seen can't be told any more: keep rather than lose evidence
    return there.unionByName(removed.join(lake.read(FILE_PLACES, seen), list(FILE_PLACES.key), how="left_semi"))
