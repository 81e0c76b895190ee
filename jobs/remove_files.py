"""Job: remove. Deletes the metadata of files, and their faces; trips keep the days that they have seen.

files (tombstones) -> figures, face_scans; file_places; figure_clusters -> figure_members;
similar_image_clusters -> similar_image_members; cluster_events
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from catalog.file_meta import read_uris
from jobs.cli.main import run as run_command
from jobs.cli.options import JobConfig, build_config, job_options
from jobs.clusters.members import derive_cluster_events
from jobs.people.removals import drop_removed_faces
from jobs.places.locating import refresh_file_places
from jobs.runtime.commits import Step, apply_changes, retry_conflicts
from jobs.runtime.lake import check_datasets
from jobs.runtime.runs import Run, print_result, run_job
from jobs.similar_images.groups import drop_removed_members
from schemas.cluster_kinds import GROUPS, PEOPLE
from schemas.contract import TIMESTAMP
from schemas.errors import UsageError
from schemas.face_scans import FACE_SCANS
from schemas.figures import FIGURES
from schemas.files import FILES
from schemas.keys import FILE_KEY
from schemas.lake import bucket_of
from transforms.tables.keyed import with_action, with_columns


class RemoveFiles(JobConfig):
    """What `remove` can be asked."""

    uri: tuple[str, ...] = Field(min_length=1, description="the files")


def remove_files(run: Run, config: RemoveFiles) -> None:
    """Turns the rows of the named files into tombstones, and says how many there were."""
    if len(config.dataset) != 1:
        raise UsageError("--dataset: exactly one must be given, the dataset of the files")
    check_datasets(run.lake, config.project, config.dataset)
    run.progress.stage("removing files", 10)
    retry_conflicts(lambda: _bury(run, config))
    run.progress.stage("faces", 40)
    retry_conflicts(lambda: _drop_faces(run, config))
    retry_conflicts(lambda: _drop_scans(run, config))
    run.progress.stage("places", 60)
    retry_conflicts(lambda: refresh_file_places(run))
    run.progress.stage("people", 70)
    retry_conflicts(lambda: drop_removed_faces(run, _removed(run, config)))
    retry_conflicts(lambda: derive_cluster_events(run, PEOPLE))
    run.progress.stage("similar images", 80)
    retry_conflicts(lambda: drop_removed_members(run, _removed(run, config)))
    retry_conflicts(lambda: derive_cluster_events(run, GROUPS))


def _bury(run: Run, config: RemoveFiles) -> None:
    step = Step.pin(run.lake, FILES, run.run_id, dry_run=run.dry_run)
    asked = _asked(run, config)
    found = run.lake.load_keys(FILES, step.base, asked, on=FILE_KEY, columns=FILES.names)
    found = found.filter(pc.is_null(found["deleted_time"]))
    buried = with_columns(found, dict.fromkeys(("deleted_time", "update_time"), pa.scalar(run.now, TIMESTAMP)))
    done = apply_changes(step, with_action(run.stamp(buried), "update"))
    run.ledger.wrote(FILES, done)
    run.ledger.count("files.asked", len(asked))
    run.ledger.count("files.removed", done.updated)


def _drop_faces(run: Run, config: RemoveFiles) -> None:
    """Deletes the faces of the files asked for, which are removed."""
    step = Step.pin(run.lake, FIGURES, run.run_id, dry_run=run.dry_run)
    faces = run.lake.load_keys(FIGURES, step.base, _removed(run, config), on=FILE_KEY, columns=FIGURES.names)
    run.ledger.wrote(FIGURES, apply_changes(step, with_action(faces, "delete")))


def _drop_scans(run: Run, config: RemoveFiles) -> None:
    """Forgets that faces were looked for in the files, so that they are if the files come back."""
    step = Step.pin(run.lake, FACE_SCANS, run.run_id, dry_run=run.dry_run)
    scans = run.lake.load_keys(FACE_SCANS, step.base, _removed(run, config), on=FILE_KEY, columns=FACE_SCANS.names)
    run.ledger.wrote(FACE_SCANS, apply_changes(step, with_action(scans, "delete")))


def _removed(run: Run, config: RemoveFiles) -> pa.Table:
    """Of the files asked for those that are removed, by this run or before: FILE_KEY."""
    columns = (*FILE_KEY, "deleted_time")
    files = run.lake.load_keys(FILES, run.lake.version(FILES), _asked(run, config), on=FILE_KEY, columns=columns)
    return files.filter(pc.is_valid(files["deleted_time"])).select(FILE_KEY)


def _asked(run: Run, config: RemoveFiles) -> pa.Table:
    """The keys of the files asked for, FILE_KEY."""
    uris = pa.array(sorted(set(config.uri)), pa.string())
    (dataset,) = config.dataset
    bucket = pa.scalar(bucket_of(config.project, dataset, run.lake.settings.buckets), pa.int32())
    same = {"bucket": bucket, "project_name": pa.scalar(config.project), "dataset_name": pa.scalar(dataset)}
    return pa.table({**{name: pa.repeat(value, len(uris)) for name, value in same.items()}, "uri": uris})


@click.command("remove")
@click.argument("uri", nargs=-1)
@click.option("--from", "source", type=click.Path(path_type=Path), help="A file with more URIs, one a line.")
@job_options
def command(uri: tuple[str, ...], source: Path | None, given: dict[str, Any], as_json: bool) -> None:
    """Delete the metadata of the files URI... of one dataset, and their faces."""
    config = build_config(RemoveFiles, given, {"uri": (*uri, *(read_uris(source) if source else ()))})
    with run_job(config, job="remove-files", task_type="FileRemoving") as run:
        remove_files(run, config)
    print_result(run, as_json=as_json)


if __name__ == "__main__":
    sys.exit(run_command(command))
