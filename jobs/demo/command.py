"""The verb `demo`: the whole chain on a made-up library, or on one's own pictures, and the trips to read.

travellers -> JSON lines -> index -> cluster location-date -> the trips, as the catalog tells them
"""

from __future__ import annotations

import logging
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from catalog import imm
from catalog.commands.output import print_document
from catalog.lake import Lake, Row, Scope
from catalog.location_dates import LocationDateQuery, query_location_dates
from jobs.cli.main import run as run_command
from jobs.cluster_location_dates import TASK_TYPE, ClusterLocationDates, cluster_location_dates
from jobs.demo.report import Report, print_report
from jobs.index_files import index_files
from jobs.indexing.options import IndexFiles
from jobs.runtime.progress import configure_logging
from jobs.runtime.runs import Run, run_job
from schemas.errors import UsageError
from schemas.lake import NAME_PATTERN
from transforms.demo.library import TRAVELLERS, library_lines

log = logging.getLogger("lakealbum")

DEFAULT_LAKE = "demo-lake"
OPTIONS: dict[str, Any] = {"gap_days": 1, "min_days": 1, "max_days": 30, "levels": ("country", "province", "city")}


def write_library(folder: Path) -> None:
    """Writes the travellers' files as JSON lines, a file each. The same bytes every time."""
    folder.mkdir(parents=True, exist_ok=True)
    for traveller in TRAVELLERS:
        text = "".join(f"{line}\n" for line in library_lines(traveller))
        (folder / f"{traveller.name}.jsonl").write_text(text, encoding="utf-8")


def run_chain(lake: str, scope: Scope, source: Path, *, kind: str) -> tuple[Run, Run]:
    """Indexes the source and clusters the scope, as `lakealbum index` and `lakealbum cluster location-date` do.

    Returns both runs, each with a task of its own.
    """
    where = {"lake": lake, "project": scope.project, "dataset": scope.datasets}
    index = IndexFiles.model_validate({**where, "source": (str(source),), "format": kind})
    with (
        _timed("reading, storing and locating the files"),
        run_job(index, job="index-files", task_type="FileIndexing", create=index.settings) as indexed,
    ):
        index_files(indexed, index)
    cluster = ClusterLocationDates.model_validate({**where, **OPTIONS})
    with (
        _timed("cutting their days into trips and stays"),
        run_job(cluster, job="cluster-location-dates", task_type=TASK_TYPE) as clustered,
    ):
        cluster_location_dates(clustered, cluster)
    return indexed, clustered


def read_clusters(lake: Lake, scope: Scope) -> list[Row]:
    """All clusters of the scope, by start."""
    query = LocationDateQuery(scope, max_results=100)
    page = query_location_dates(lake, query)
    rows = page.rows
    while page.next_token:
        page = query_location_dates(lake, query, page.next_token)
        rows += page.rows
    return rows


@click.command("demo")
@click.option("--lake", default=DEFAULT_LAKE, show_default=True, help="Directory of the lake; made if it is not there.")
@click.option(
    "--photos",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="Your own photos and videos, instead of the made-up library. They are read, never changed.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON document.")
def demo(lake: str, photos: Path | None, as_json: bool) -> None:
    """Make a library of a few travellers, or take your own pictures, and show the trips."""
    if "://" in lake:
        raise UsageError(f"--lake {lake!r}: demo makes its lake in a directory; `lakealbum index` takes URIs")
    configure_logging()
    if photos is None:
        source, scope, kind = Path(f"{lake.rstrip('/')}-source"), Scope("demo"), "json"
        with _timed(f"making up the pictures of {len(TRAVELLERS)} travellers: {source}"):
            write_library(source)
    else:
        source, scope, kind = photos, Scope("photos", (_dataset_name(photos),)), "photos"
    indexed, clustered = run_chain(lake, scope, source, kind=kind)
    opened = Lake(lake)
    report = Report.of(opened, scope, read_clusters(opened, scope), indexed.ledger, clustered.ledger, source=source)
    if as_json:
        print_document(_document(report, indexed, clustered))
    else:
        print_report(report)


def _dataset_name(folder: Path) -> str:
    name = folder.resolve().name
    return name if re.match(NAME_PATTERN, name) else "mine"


def _document(report: Report, indexed: Run, clustered: Run) -> imm.Document:
    return {
        "Lake": report.lake.root,
        "ProjectName": report.scope.project,
        "Source": str(report.source),
        "Tasks": [
            {"TaskId": run.task_id, "RunId": run.run_id, "RowCounts": run.ledger.row_counts}
            for run in (indexed, clustered)
        ],
        "LocationDateClusters": [
            imm.location_date_cluster(row, report.lake.settings.language) for row in report.clusters
        ],
    }


@contextmanager
def _timed(what: str) -> Iterator[None]:
    """Says on stderr what has been done and how long it took: on a terminal in words, elsewhere in the log."""
    started = time.monotonic()
    yield
    seconds = time.monotonic() - started
    if sys.stderr.isatty():
        click.echo(f"{seconds:6.1f} s  {what}", err=True)
    else:
        log.info("demo", extra={"done": what, "seconds": round(seconds, 1)})


if __name__ == "__main__":
    sys.exit(run_command(demo))
