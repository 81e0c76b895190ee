"""Job: remove. Deletes the metadata of files, and their faces; trips keep the days that they have seen.

files (tombstones) -> figures; file_places; similar_image_clusters -> similar_image_members -> cluster_events
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click
from pydantic import Field
from pyspark.sql import functions as F

from catalog.file_meta import read_uris
from jobs.cli.main import run as run_command
from jobs.cli.options import JobConfig, build_config, job_options
from jobs.clusters.evidence import derive_cluster_events
from jobs.places.locating import refresh_file_places
from jobs.runtime.commits import Step, apply_changes, replace_rows, retry_conflicts
from jobs.runtime.lake import check_datasets
from jobs.runtime.runs import EMBEDDED, Run, print_result, run_job
from jobs.similar_images.pairs import drop_removed_members
from schemas.cluster_kinds import GROUPS
from schemas.errors import UsageError
from schemas.figures import FIGURES
from schemas.files import FILES
from schemas.keys import DATASET_KEY
from transforms.tables.changes import ACTION


class RemoveFiles(JobConfig):
    """What `remove` can be asked."""

    uri: tuple[str, ...] = Field(min_length=1, description="the files")


def remove_files(run: Run, config: RemoveFiles) -> None:
    """Turns the rows of the named files into tombstones, and says how many there were."""
    if len(config.dataset) != 1:
        raise UsageError("--dataset: exactly one must be given, the dataset of the files")
    check_datasets(run.lake, config.project, config.dataset)
    run.progress.stage("removing files", 10)
    with run.few_or_many(run.lake.rows(FILES)):
        retry_conflicts(lambda: _bury(run, config))
    run.progress.stage("faces", 40)
    with run.few_or_many(run.lake.rows(FILES) + EMBEDDED * run.lake.rows(FIGURES)):
        retry_conflicts(lambda: _drop_faces(run, config))
    run.progress.stage("places", 60)
    retry_conflicts(lambda: refresh_file_places(run))
    run.progress.stage("similar images", 80)
    with run.few_or_many(run.lake.rows(FILES, GROUPS.table, GROUPS.members)):
        retry_conflicts(lambda: drop_removed_members(run, project=config.project, datasets=config.dataset))
        retry_conflicts(lambda: derive_cluster_events(run, GROUPS))


def _bury(run: Run, config: RemoveFiles) -> None:
    step = Step.pin(run.lake, FILES, run.run_id, dry_run=run.dry_run)
    asked = run.lake.spark.createDataFrame([(uri,) for uri in sorted(set(config.uri))], "uri string")
    found = (
        step.current()
        .where((F.col("project_name") == config.project) & F.col("dataset_name").isin(*config.dataset))
        .where(F.col("deleted_time").isNull())
        .join(F.broadcast(asked), "uri", how="left_semi")
    )
    buried = found.withColumns({"deleted_time": run.clock(), "update_time": run.clock(), ACTION: F.lit("update")})
    done = apply_changes(step, run.stamp(buried))
    run.ledger.wrote(FILES, done)
    run.ledger.count("files.asked", len(set(config.uri)))
    run.ledger.count("files.removed", done.updated)


def _drop_faces(run: Run, config: RemoveFiles) -> None:
    """Deletes the faces of removed files; the next clustering takes them out of people."""
    step = Step.pin(run.lake, FIGURES, run.run_id, dry_run=run.dry_run)
    ours = (F.col("project_name") == config.project) & F.col("dataset_name").isin(*config.dataset)
    files = run.lake.read(FILES, run.lake.version(FILES)).where(ours & F.col("deleted_time").isNotNull())
    faces = step.current().where(ours).join(files.select(*DATASET_KEY, "uri"), [*DATASET_KEY, "uri"], how="left_semi")
    run.ledger.wrote(FIGURES, replace_rows(step, faces.limit(0), faces))


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
