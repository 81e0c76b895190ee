"""Job: index. Brings files, or figures, from sources into the lake, and locates them.

source -> rejected, datasets, files, file_features (-> figures, face_scans) -> file_places
source -> rejected, datasets, figures
"""

from __future__ import annotations

import sys
from functools import partial
from typing import Any
from urllib.parse import unquote

import click

from catalog.commands.arguments import pairs
from jobs.cli.main import run as run_command
from jobs.cli.options import build_config, job_options
from jobs.indexing.options import IndexFiles
from jobs.indexing.pictures import catch_up, choose_faces, take_in_pictures
from jobs.indexing.rows import take_in_source
from jobs.places.locating import refresh_file_places
from jobs.runtime.commits import retry_conflicts
from jobs.runtime.runs import Run, print_result, run_job
from jobs.sources.intake import count_not_taken
from jobs.sources.sources import find_source, list_photos
from schemas.errors import UsageError
from transforms.pictures.listings import Listing

UNMATCHED = "sidecars.unmatched"
"""The stage that counts sidecars that fit no file."""
SHOWN_NAMES = 20


def index_files(run: Run, config: IndexFiles) -> list[str]:
    """Reads, judges and stores each source; then locates what changed. Gives the uris of sidecars that fit no file."""
    unmatched: list[str] = []
    family = choose_faces(run, config)
    for number, uri in enumerate(config.source):
        run.progress.stage(f"reading {uri}", 5 + 60 * number // len(config.source))
        source = find_source(uri, format=config.format, start_spark=lambda: run.lake.spark)
        if source.format == "photos":
            if config.only_dataset is None:
                raise UsageError(f"{uri}: photos do not tell their dataset, so one --dataset must be given")
            listed = partial(_note_listing, run, unmatched)
            take_in_pictures(run, config, list_photos(uri, listed), uri, family=family, stage=20)
            continue
        take_in_source(run, config, source, stage=20 + 60 * number // len(config.source))
    if config.again and family:
        catch_up(run, config, family)
    if config.rows == "files":
        run.progress.stage("finding places", 75)
        retry_conflicts(lambda: refresh_file_places(run))
    return unmatched


def _note_listing(run: Run, unmatched: list[str], listing: Listing) -> None:
    """Counts what a folder holds and is not taken in, and notes the sidecars that fit no file."""
    unmatched.extend(listing.unmatched)
    for suffix, files in sorted(listing.passed_over.items()):
        count_not_taken(run, suffix, files)
    if listing.unmatched:
        names = [unquote(uri.rpartition("/")[2]) for uri in listing.unmatched]
        more = f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else ""
        total = run.ledger.row_counts.get(UNMATCHED, 0) + len(names)
        run.ledger.count(UNMATCHED, total, example=", ".join(names[:SHOWN_NAMES]) + more)


@click.command("index")
@click.argument("source", nargs=-1)
@click.option("--rows", type=click.Choice(["files", "figures"]), help="What a row is.  [default: files]")
@click.option("--format", help="parquet, delta, csv, json, imm or photos.  [default: detected]")
@click.option("--map", "mapping", multiple=True, metavar="COLUMN=FIELD", help="Take a column as a field; repeatable.")
@click.option("--time-is", help="What times mean: offset, instant or local.  [default: as each is written]")
@click.option(
    "--media-type", type=click.Choice(["image", "video"]), help="Media type of the files that do not tell it."
)
@click.option("--hashes/--no-hashes", default=None, help="Read files whole, or headers alone.  [default: hashes]")
@click.option(
    "--turned/--no-turned",
    default=None,
    help="Also hash the mirrored and rotated forms, so that clustering finds such copies.  [default: no-turned]",
)
@click.option(
    "--name-times/--no-name-times",
    default=None,
    help="Take dates from names of photos where nothing else tells, or not.  [default: name-times]",
)
@click.option(
    "--prefer",
    type=click.Choice(["embedded", "takeout"]),
    help="Whom to believe: the file itself, or Google Takeout's sidecar.  [default: embedded]",
)
@click.option(
    "--faces/--no-faces",
    default=None,
    help="Find the faces in photos, from now on, or no more (docs/privacy.md).  [default: as the dataset has it]",
)
@click.option("--face-models", help="By which models faces are found (see `models list`).  [default: yunet-sface]")
@click.option("--again", is_flag=True, default=None, help="Find faces in photos that are there, where models changed.")
@click.option("--buckets", type=int, help="Partitions, if the lake is made now: 16 to 1024.  [default: 16]")
@click.option("--language", help="Language of addresses, if the lake is made now.  [default: en]")
@click.option("--time-zone", help="Zone of instants that lie nowhere, if the lake is made now.  [default: UTC]")
@click.option("--nearest-limit-m", type=int, help="How far the nearest area may be, if the lake is made now.")
@job_options
def command(given: dict[str, Any], as_json: bool, mapping: tuple[str, ...], **own: Any) -> None:
    """Bring files or figures (faces) from SOURCE... into the lake, and locate the files."""
    own["map"] = pairs("--map", mapping) or None
    config = build_config(IndexFiles, given, own)
    with run_job(config, job="index-files", task_type="FileIndexing", create=config.settings) as run:
        unmatched = index_files(run, config)
    print_result(run, as_json=as_json, **({"UnmatchedSidecars": unmatched} if as_json and unmatched else {}))


if __name__ == "__main__":
    sys.exit(run_command(command))
