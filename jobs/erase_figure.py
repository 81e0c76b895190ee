"""Job: erase figure. Takes a person's faces out of the lake for good.

cluster_edits (that they are erased) -> figures -> rejected -> figure_members -> figure_clusters -> cluster_events
-> cluster_edits (without what was said of the person)
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import click
import pyarrow as pa
from pydantic import Field
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from catalog.erasures import Erasure, plan_erasure, record_erasure, remove_decisions
from catalog.lake import Lake as Catalog
from catalog.lake import Scope
from jobs.cli.main import run as run_command
from jobs.cli.options import JobConfig, build_config, job_options
from jobs.clusters.members import derive_cluster_events
from jobs.runtime.commits import Step, apply_changes, reach_failure_point, retry_conflicts
from jobs.runtime.runs import Run, print_result, run_job
from schemas.cluster_edits import CLUSTER_EDITS
from schemas.cluster_kinds import PEOPLE
from schemas.contract import Contract
from schemas.figure_clusters import FIGURE_CLUSTERS
from schemas.figure_members import FIGURE_MEMBERS
from schemas.figures import FIGURES
from schemas.lake import bucket_of
from schemas.rejected import REJECTED
from transforms.people.erasures import forget_faces, keep_erased, rows_about
from transforms.tables.actions import ACTION

Pick = Callable[[DataFrame], DataFrame]


class EraseFigure(JobConfig):
    """What `erase figure` can be asked."""

    figure: str = Field(min_length=1, description="id of the person")


def erase_figure(run: Run, config: EraseFigure) -> Erasure:
    """Takes out of every table what tells of a person's faces. Harmless to repeat, and finished by repeating it.

    First it is written down that they are erased, then the embeddings go. Raises NotFound for a person who is not
    there, UsageError where the next clustering is still to say whose faces are whose.
    """
    catalog = Catalog(config.lake)
    run.progress.stage("faces", 5)
    erasure = plan_erasure(catalog, Scope(config.project, config.dataset), PEOPLE.full_id(config.figure))
    run.ledger.count("faces", len(erasure.digests))
    run.ledger.count("people.merged", len(erasure.object_ids) - 1)
    if not run.dry_run:
        reach_failure_point("before:erase.recorded")
        record_erasure(catalog, erasure)
        reach_failure_point("after:erase.recorded")
    erased = run.cache(_digests(run, erasure))
    dataset = erasure.own.datasets[0]
    is_person = F.col("object_id").isin(*erasure.object_ids)

    def of_dataset(rows: DataFrame) -> DataFrame:
        bucket = bucket_of(erasure.own.project, dataset, run.lake.settings.buckets)
        return rows.where((F.col("bucket") == bucket) & (F.col("dataset_name") == dataset))

    def faces(rows: DataFrame) -> DataFrame:
        return _deleted(of_dataset(rows).transform(keep_erased, erased=erased))

    def refusals(rows: DataFrame) -> DataFrame:
        return _deleted(rows.transform(rows_about, erased=erased, dataset=dataset))

    def members(rows: DataFrame) -> DataFrame:
        theirs = of_dataset(rows).where(is_person)
        return faces(rows).unionByName(_deleted(theirs)).distinct()

    def clusters(rows: DataFrame) -> DataFrame:
        others = of_dataset(rows).where(~is_person).transform(forget_faces, erased=erased)
        others = run.stamp(others).withColumns({"update_time": run.clock(), ACTION: F.lit("update")})
        return _deleted(of_dataset(rows).where(is_person)).unionByName(others)

    steps: tuple[tuple[Contract, Pick], ...] = (
        (FIGURES, faces),
        (REJECTED, refusals),
        (FIGURE_MEMBERS, members),
        (FIGURE_CLUSTERS, clusters),
    )
    for number, (contract, pick) in enumerate(steps):
        run.progress.stage(contract.name, 20 + 15 * number)
        retry_conflicts(partial(_commit, run, contract, pick, project=config.project))
    run.progress.stage("events", 80)
    retry_conflicts(lambda: derive_cluster_events(run, PEOPLE))
    run.progress.stage("decisions", 95)
    if not run.dry_run:
        reach_failure_point("before:erase.decisions")
        run.ledger.count(f"{CLUSTER_EDITS.name}.deleted", remove_decisions(catalog, erasure))
        reach_failure_point("after:erase.decisions")
    return erasure


def _commit(run: Run, contract: Contract, pick: Pick, *, project: str) -> None:
    """Commits the changes that `pick` makes of a project's rows: whole rows with `_action`."""
    step = Step.pin(run.lake, contract, run.run_id, dry_run=run.dry_run)
    changes = step.current().where(F.col("project_name") == project).transform(pick)
    run.ledger.wrote(contract, apply_changes(step, changes))


def _deleted(rows: DataFrame) -> DataFrame:
    return rows.withColumn(ACTION, F.lit("delete"))


def _digests(run: Run, erasure: Erasure) -> DataFrame:
    """The faces as transforms.people.erased.erased_faces has them."""
    count = len(erasure.digests)
    names = {"project_name": erasure.own.project, "dataset_name": erasure.own.datasets[0]}
    columns = {name: pa.repeat(value, count) for name, value in names.items()}
    return run.lake.spark.createDataFrame(
        pa.table({**columns, "figure_digest": pa.array(erasure.digests, pa.string())})
    )


@click.group("erase")
def erase() -> None:
    """Erase for good what data protection laws ask to be erased."""


@erase.command("figure")
@click.argument("figure", metavar="ID")
@job_options
def command(given: dict[str, Any], as_json: bool, figure: str) -> None:
    """Erase the person ID: faces, embeddings, name and all that was said of them. The pictures stay."""
    config = build_config(EraseFigure, given, {"figure": figure})
    with run_job(config, job="erase-figure", task_type="FaceErasing") as run:
        erasure = erase_figure(run, config)
    freed_by = f"lakealbum maintain --erased --lake {config.lake}"
    person = erasure.person["object_id"]
    if as_json:
        print_result(
            run, as_json=True, Person=person, AlreadyErased=erasure.is_said, DryRun=run.dry_run, FreedBy=freed_by
        )
        return
    print_result(run, as_json=False)
    if run.dry_run:
        print(f"Dry run: {person} is still there.")
        return
    print(
        f"{person} {'was erased already' if erasure.is_said else 'is erased'}; `index` refuses its faces from now on."
    )
    print(f"What older versions of the tables still hold goes from disk with: {freed_by}")


if __name__ == "__main__":
    sys.exit(run_command(command))
