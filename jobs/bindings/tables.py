"""A table that is followed: read anew where its version changed, and its rows that went."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from catalog.bindings import LISTING_SCHEMA
from catalog.lake import Row
from catalog.sql import all_of, equals
from jobs.bindings.storing import index_config, remove_live
from jobs.bindings.work import Seen, Work, whole, without
from jobs.indexing.rows import take_in_source
from jobs.indexing.storing import SAME_FILE
from jobs.places.locating import refresh_file_places
from jobs.runtime.by_bucket import ByBucket, Rows, collect, count
from jobs.runtime.commits import retry_conflicts
from jobs.runtime.kernels import apply_kernel, apply_to_rows
from jobs.runtime.runs import Run
from jobs.sources.intake import add_bucket
from jobs.sources.sources import find_source
from schemas.errors import SourceError
from schemas.files import FILES
from schemas.keys import DATASET_KEY, FILE_KEY
from schemas.lake import bucket_of
from transforms.sources.gone import files_gone
from transforms.tables.keyed import semi_join


def sync_table(run: Run, work: Work, *, now: datetime, grace: timedelta, allow_mass_removal: bool) -> Seen:
    """Reads a table anew where it changed, and removes the files of rows that have been missing for long enough."""
    plan, binding = work.plan, work.binding
    missing, back = plan.missing, plan.missing.slice(0, 0)
    if work.version != binding["source_version"]:
        run.progress.stage(f"reading {binding['source']}", 10)
        index = index_config(run, binding)
        source = find_source(binding["source"], format=index.format or "delta", start_spark=lambda: run.lake.spark)
        good = take_in_source(run, index, source, stage=60)
        listed, lacking = _rows_gone(run, good, binding)
        if len(lacking) > listed and not allow_mass_removal:
            raise SourceError(
                f"{binding['source']} has {listed:,} rows, and lacks {len(lacking):,} that it had: more than half are "
                "gone. None was removed; --allow-mass-removal takes it for true"
            )
        known = pc.is_in(missing["uri"], value_set=lacking)
        back, missing = missing.filter(pc.invert(known)), missing.filter(known)
        fresh = lacking.filter(pc.invert(pc.is_in(lacking, value_set=missing["uri"].combine_chunks())))
        since = pa.repeat(pa.scalar(now, missing.schema.field("missing_since").type), len(fresh))
        added = pa.table({"uri": fresh, "missing_since": since})
        missing = pa.concat_tables([missing, added], promote_options="default").cast(LISTING_SCHEMA)
        work.done.listed = listed
    expired = missing.filter(pc.less_equal(missing["missing_since"], pa.scalar(now - grace)))
    work.done.removed = remove_live(run, binding, expired["uri"])
    run.progress.stage(f"{binding['source']}: finding places", 90)
    retry_conflicts(lambda: refresh_file_places(run))
    work.done.missing = missing.num_rows - expired.num_rows
    return Seen(without(missing, expired["uri"]), [*expired["uri"].to_pylist(), *back["uri"].to_pylist()])


def _rows_gone(run: Run, good: Rows, binding: Row) -> tuple[int, pa.Array]:
    """How many rows a table has, and the files that came of rows that it has no more."""
    lake, project, dataset = run.lake, binding["project_name"], binding["dataset_name"]
    whose = dict(zip(DATASET_KEY, (bucket_of(project, dataset, lake.settings.buckets), project, dataset), strict=True))
    ours = pa.Table.from_pylist([whose], lake.schema_of(FILES, DATASET_KEY))
    of_dataset = partial(semi_join, keys=ours, on=DATASET_KEY)
    rows = apply_to_rows(of_dataset, add_bucket(lake, collect(good) if isinstance(good, ByBucket) else good))
    files = lake.fetch(
        FILES,
        lake.version(FILES),
        (*FILE_KEY, "source", "deleted_time"),
        condition=all_of(equals(name, value) for name, value in whose.items()),
    )
    find = partial(files_gone, source=binding["source"])
    schema = pa.schema([("uri", pa.string())])
    gone: Rows = apply_kernel(lake, find, schema=schema, unit=SAME_FILE, files=files, rows=rows)
    return count(rows), whole(collect(gone)["uri"])
