"""Where files are: the step that keeps `file_places` in line with `files`."""

from __future__ import annotations

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.places.area_indexes import INDEX_VERSION, locator_over, newest_builds, refresh_area_index
from jobs.runtime.commits import Committed, Mark, Step, replace_rows, retry_conflicts
from jobs.runtime.lake import Rows
from jobs.runtime.runs import Run
from jobs.runtime.session import planned_for_few_rows
from schemas.file_places import FILE_PLACES
from schemas.files import FILES
from schemas.place_days import PLACE_DAYS
from transforms.places.area_geocoding import AreaLocator
from transforms.places.area_tiles import tile_of
from transforms.places.file_places import place_files
from transforms.places.geocoding import GazetteerLocator, Locator, is_place
from transforms.tables import keyed
from transforms.tables.changes import keep_keys, keys_before, latest_rows
from transforms.tables.frames import from_frame


def locator_of(run: Run) -> Locator:
    """What finds addresses in this lake: its areas once some are loaded, else the embedded gazetteer.

    Where a run was killed after it had loaded areas, the index is brought in step with them first.
    """
    retry_conflicts(lambda: refresh_area_index(run))
    return locator_over(run.lake) or GazetteerLocator()


def refresh_file_places(run: Run) -> None:
    """Locates every file that was added, changed or removed since this was last done, in all datasets."""
    lake = run.lake
    until = lake.version(FILES)
    step = Step.pin(lake, FILE_PLACES, run.run_id, consumes={FILES.name: until}, dry_run=run.dry_run)
    consumed = step.consumed(FILES)
    run.ledger.read(FILES, until)
    if consumed == until:
        return
    locator = locator_of(run)
    changes = lake.fetch_changes(FILES, consumed, until, FILES.names) if consumed is not None else None
    if changes is None:
        files, current = lake.fetch(FILES, until, FILES.names), step.current()
    elif isinstance(changes, pa.Table):
        files = keyed.latest_rows(changes, key=FILES.key).select(FILES.names)
        before = keyed.rows_before(changes).select(list(FILES.key))
        current = lake.fetch_keys(FILE_PLACES, step.base, before, on=FILES.key, columns=FILE_PLACES.names)
    else:
        files = changes.transform(latest_rows, key=FILES.key, columns=FILES.names)
        before = run.cache_keys(changes.transform(keys_before, key=FILES.key), "files.replaced")
        current = step.current().transform(keep_keys, keys=before, on=FILES.key)
    run.ledger.wrote(FILE_PLACES, _place(run, step, files, current, locator))


def relocate_files(run: Run) -> None:
    """Looks up again the files that other areas, or a gazetteer, located, where the answer may have changed since; and
    those that none could locate.
    """
    lake = run.lake
    files = lake.read(FILES, lake.version(FILES))
    step = Step.pin(lake, FILE_PLACES, run.run_id, dry_run=run.dry_run)
    places = step.current()
    locator = locator_of(run)
    outdated = places.where((F.col("address_method") != "supplied") & (F.col("index_version") != locator.version))
    if isinstance(locator, AreaLocator):
        outdated = outdated.transform(_near_newer_tiles, files=files, tiles=newest_builds(lake))
    somewhere = files.where(is_place(F.col("longitude"), F.col("latitude")) & F.col("deleted_time").isNull())
    unlocated = somewhere.join(places, list(FILES.key), how="left_anti")
    keys = outdated.select(*FILES.key).unionByName(unlocated.select(*FILES.key))
    keys = run.cache_keys(keys, "files.to_relocate")
    files, places = (rows.transform(keep_keys, keys=keys, on=FILES.key) for rows in (files, places))
    run.ledger.wrote(FILE_PLACES, _place(run, step, files, places, locator))


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


def _place(run: Run, step: Step, files: Rows, current: Rows, locator: Locator) -> Committed:
    lake = run.lake
    if isinstance(files, pa.Table):
        with planned_for_few_rows(lake.spark):
            return replace_rows(step, from_frame(_locate(run, lake.frame(files), locator)), current)
    return replace_rows(step, _locate(run, files, locator), current)


def _locate(run: Run, files: DataFrame, locator: Locator) -> DataFrame:
    located = place_files(files, default_zone=run.lake.settings.time_zone, locator=locator, run_id=run.run_id)
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
