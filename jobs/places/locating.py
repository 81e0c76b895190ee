"""Where files are: the step that keeps `file_places` in line with `files`."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.places.area_indexes import INDEX_VERSION, locator_over, newest_builds, refresh_area_index
from jobs.runtime.commits import Committed, Mark, Step, replace_rows, retry_conflicts
from jobs.runtime.lake import select_rows
from jobs.runtime.runs import Run
from schemas.file_edits import FILE_EDITS
from schemas.file_places import FILE_PLACES
from schemas.files import FILES
from schemas.keys import DATASET_KEY
from schemas.place_days import PLACE_DAYS
from transforms.places.area_geocoding import AreaLocator
from transforms.places.area_tiles import tile_of
from transforms.places.corrections import correct_files, fold_corrections
from transforms.places.file_places import place_files
from transforms.places.geocoding import GazetteerLocator, Locator, is_place
from transforms.tables.changes import drop_keys, keep_keys, keys_before, latest_rows


def locator_of(run: Run) -> Locator:
    """What finds addresses in this lake: its areas once some are loaded, else the embedded gazetteer.

    Where a run was killed after it had loaded areas, the index is brought in step with them first.
    """
    retry_conflicts(lambda: refresh_area_index(run))
    return locator_over(run.lake) or GazetteerLocator()


def refresh_file_places(run: Run) -> None:
    """Locates every file that was added, changed, corrected or removed since this was last done, in all datasets."""
    lake = run.lake
    until, edited = lake.version(FILES), lake.version(FILE_EDITS)
    consumes = {FILES.name: until} | ({FILE_EDITS.name: edited} if edited else {})
    step = Step.pin(lake, FILE_PLACES, run.run_id, consumes=consumes, dry_run=run.dry_run)
    consumed, obeyed = step.consumed(FILES), step.consumed(FILE_EDITS) or 0
    run.ledger.read(FILES, until)
    is_newly_edited = edited > obeyed and bool(
        select_rows(lake.log(FILE_EDITS), ("1",), f"sequence > {obeyed} LIMIT 1")
    )
    if consumed == until and not is_newly_edited:
        return
    locator = locator_of(run)
    with run.few_or_many(lake.rows(FILES, FILE_PLACES)):
        files, current = lake.read(FILES, until), step.current()
        if consumed == until:
            files, keys = files.limit(0), files.limit(0).select(*FILES.key)
        elif consumed is not None and (changes := lake.changes(FILES, consumed, until)) is not None:
            files = changes.transform(latest_rows, key=FILES.key, columns=files.columns)
            keys = changes.transform(keys_before, key=FILES.key)
        else:
            keys = None
        if keys is not None:
            if is_newly_edited:
                touched = _edited_files(run, until, edited, after=obeyed).transform(drop_keys, keys=files, on=FILES.key)
                files, keys = files.unionByName(touched), keys.unionByName(touched.select(*FILES.key))
            keys = run.cache_keys(keys, "files.replaced")
            current = current.transform(keep_keys, keys=keys, on=FILES.key)
        run.ledger.wrote(FILE_PLACES, _place(run, step, files, current, locator, edited))


def _edited_files(run: Run, version: int, edits_version: int, *, after: int) -> DataFrame:
    """The files, at a version, that edits are about that came after one."""
    lake = run.lake
    edits = lake.read(FILE_EDITS, edits_version).where(F.col("sequence") > after)
    on = (*DATASET_KEY, "object_id")
    keys = edits.withColumn("bucket", lake.bucket()).select(*on).distinct()
    return lake.rows_of(FILES, version, keys, on=on, columns=FILES.names)


def _correct(run: Run, files: DataFrame, edits_version: int) -> DataFrame:
    """Files with what people said of when and where they were taken; those that were only moved are left out."""
    there = files.where(F.col("moved_to").isNull())
    if not edits_version:
        return there
    corrections = run.lake.read(FILE_EDITS, edits_version).transform(fold_corrections)
    return there.transform(correct_files, corrections=corrections)


def relocate_files(run: Run) -> None:
    """Looks up again the files that other areas, or a gazetteer, located, where the answer may have changed since; and
    those that none could locate.
    """
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


def _place(
    run: Run, step: Step, files: DataFrame, current: DataFrame, locator: Locator, edits_version: int
) -> Committed:
    files = _correct(run, files, edits_version)
    located = place_files(files, default_zone=run.lake.settings.time_zone, locator=locator, run_id=run.run_id)
    return replace_rows(step, _keep_seen(run, located, files), current)


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
