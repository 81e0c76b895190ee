"""The evidence of trips: `place_days`, which follows `file_places`, for all datasets."""

from __future__ import annotations

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from catalog.sql import all_of, equals, one_of
from jobs.runtime import by_bucket
from jobs.runtime.by_bucket import Rows
from jobs.runtime.commits import Step, apply_changes, replace_rows
from jobs.runtime.kernels import apply_kernel
from jobs.runtime.runs import Run
from schemas.file_places import FILE_PLACES
from schemas.keys import DATASET_KEY, DAY_KEY
from schemas.place_days import PLACE_DAYS
from transforms.tables.actions import ACTION
from transforms.tables.keyed import with_action
from transforms.trips.days import DAYS, FILE_COLUMNS, add_days, change_days, count_days, days_to_recount, touched_days

PLACE = (*DATASET_KEY, "place_key")
CHANGED_DAYS = DAYS.append(pa.field(ACTION, pa.string()))
_DAY_KEYS = pa.schema([DAYS.field(name) for name in DAY_KEY])


def refresh_place_days(run: Run) -> None:
    """Brings every day of a place up to date that a change of `file_places` touches."""
    lake = run.lake
    until = lake.version(FILE_PLACES)
    step = Step.pin(lake, PLACE_DAYS, run.run_id, consumes={FILE_PLACES.name: until}, dry_run=run.dry_run)
    consumed = step.consumed(FILE_PLACES)
    run.ledger.read(FILE_PLACES, until)
    if consumed == until:
        return
    feed = by_bucket.fetch_changes(lake, FILE_PLACES, consumed, until, FILE_COLUMNS) if consumed is not None else None
    if feed is None:
        days = by_bucket.fetch(lake, PLACE_DAYS, step.base, DAYS.names)
        run.ledger.wrote(PLACE_DAYS, replace_rows(step, run.stamp(_count_all(run, until)), run.stamp(days)))
        return
    feed = run.cache(feed)
    touched = apply_kernel(lake, touched_days, schema=_DAY_KEYS, unit=PLACE, feed=feed)
    recounted = apply_kernel(lake, days_to_recount, schema=_DAY_KEYS, unit=PLACE, feed=feed)
    changes = apply_kernel(
        lake,
        change_days,
        schema=CHANGED_DAYS,
        unit=PLACE,
        feed=feed,
        places=by_bucket.fetch_keys(lake, FILE_PLACES, until, recounted, on=DAY_KEY, columns=FILE_COLUMNS),
        days=by_bucket.fetch_keys(lake, PLACE_DAYS, step.base, touched, on=DAY_KEY, columns=DAYS.names),
    )
    run.ledger.wrote(PLACE_DAYS, apply_changes(step, run.stamp(changes)))


def _count_all(run: Run, version: int) -> Rows:
    """The days of all files: counted of pieces, of which no place is whole, and added up."""
    counted = by_bucket.fetch_mapped(run.lake, FILE_PLACES, version, FILE_COLUMNS, each=count_days, schema=DAYS)
    return apply_kernel(run.lake, add_days, schema=DAYS, unit=PLACE, days=counted)


def drop_removed_places(run: Run, *, project: str, datasets: tuple[str, ...]) -> None:
    """For --rebuild: forgets where removed files were taken, so that the evidence starts from the files there are."""
    step = Step.pin(run.lake, FILE_PLACES, run.run_id, dry_run=run.dry_run)
    named = [equals("project_name", project), "deleted_time IS NOT NULL"]
    named += [one_of("dataset_name", datasets)] if datasets else []
    removed = run.lake.fetch(FILE_PLACES, step.base, FILE_PLACES.names, condition=all_of(named))
    if isinstance(removed, DataFrame):
        removed = removed.withColumn(ACTION, F.lit("delete"))
    else:
        removed = with_action(removed, "delete")
    run.ledger.wrote(FILE_PLACES, apply_changes(step, removed))
