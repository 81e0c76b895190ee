"""Job: cluster figures. Groups faces into people.

figures -> figure_clusters -> figure_members -> cluster_events -> dataset_state
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import Any

import click
import pyarrow.compute as pc
from pydantic import Field
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.cli.main import run as run_command
from jobs.cli.options import JobConfig, build_config, job_options
from jobs.clusters.members import Changed, MemberSteps, derive_cluster_events, find_changed
from jobs.clusters.scope import Scope, end_clustering, load_edits, pin_scope
from jobs.people.faces import EVIDENCE, group_faces_of
from jobs.people.profiles import Profiles
from jobs.runtime.commits import retry_conflicts
from jobs.runtime.runs import Run, print_result, run_job
from schemas.cluster_kinds import PEOPLE
from schemas.figure_clusters import FIGURE_CLUSTERS
from schemas.figure_members import FIGURE_MEMBERS
from transforms.people.deciding import decide_people
from transforms.people.grouping import Profile

TASK_TYPE = "FaceClustering"
TASK_NAME = "CreateFigureClusteringTask"
"""What the ids of these tasks begin with in IMM, where it is not their type."""
MOST_IDS = 1000
"""Ids of people that a run's result names."""


class ClusterFigures(JobConfig):
    """What `cluster figures` can be asked."""

    profile: Profile | None = Field(
        default=None, description="what the embedding model decides; left out: as it says in conf/face-models"
    )
    full: bool = Field(default=False, description="group all faces again")

    @property
    def options(self) -> str:
        """The options that shape clusters, as kept in dataset_state: all profiles that may be taken."""
        known = {name: asdict(profile) for name, profile in self.profiles.known().items()}
        return json.dumps({"profile": known.pop(""), **({"families": known} if known else {})}, sort_keys=True)

    @property
    def profiles(self) -> Profiles:
        """The profile that was told, or those of the models."""
        return Profiles(self.profile)


def cluster_figures(run: Run, config: ClusterFigures) -> None:
    """Brings the people of the asked datasets up to date. Harmless to repeat; started over when it loses a race."""
    retry_conflicts(lambda: _cluster(run, config))


def _cluster(run: Run, config: ClusterFigures) -> None:
    scope = pin_scope(run, config, kind=PEOPLE.name, evidence=EVIDENCE)
    changed = find_changed(run, config, scope, kind=PEOPLE.name, evidence=EVIDENCE)
    version = run.lake.version(PEOPLE.table)
    if changed is not None:
        version = _commit(run, config, scope, changed)
    run.progress.stage("events", 85)
    derive_cluster_events(run, PEOPLE)
    run.progress.stage("state", 95)
    end_clustering(run, config, scope, kind=PEOPLE.name, result=PEOPLE.table, result_version=version)


def _commit(run: Run, config: ClusterFigures, scope: Scope, changed: Changed) -> int:
    # Pinned before it is asked who was erased: an erasure that commits later makes this run start over.
    steps = MemberSteps.pin(run, PEOPLE)
    run.progress.stage("people: grouping faces", 10)
    faces, groups = group_faces_of(run, scope, changed, profiles=config.profiles, project=config.project)
    run.progress.stage("clusters", 60)
    edits = load_edits(run, config, kind=PEOPLE.name, until=scope.edits_version)
    return steps.commit(decide_people, groups=groups, faces=faces, edits=edits, **steps.known(changed))


def what_changed(run: Run) -> dict[str, object]:
    """What the run did to people, by IMM's names. Of ids up to MOST_IDS are named; `cluster_events` has all."""
    count = run.ledger.row_counts.get
    version = run.ledger.outputs.get(FIGURE_CLUSTERS.name)
    feed = None if version is None else run.lake.fetch_changes(FIGURE_CLUSTERS, version - 1, version, ("object_id",))

    def named(change: str) -> list[str]:
        if feed is None:
            return []
        if isinstance(feed, DataFrame):
            few = feed.where(F.col("_change_type") == change).sort("object_id").limit(MOST_IDS)
            return [row.object_id for row in few.collect()]
        return sorted(feed.filter(pc.equal(feed["_change_type"], change))["object_id"].to_pylist())[:MOST_IDS]

    return {
        "NewClusterCount": count(f"{FIGURE_CLUSTERS.name}.inserted", 0),
        "UpdatedClusterCount": count(f"{FIGURE_CLUSTERS.name}.updated", 0),
        "UpdatedFigureCount": sum(
            count(f"{FIGURE_MEMBERS.name}.{action}", 0) for action in ("inserted", "updated", "deleted")
        ),
        "NewClusterIds": named("insert"),
        "UpdatedClusterIds": named("update_postimage"),
    }


@click.command("figures")
@click.option("--full", is_flag=True, default=None, help="Group all faces again.")
@job_options
def command(given: dict[str, Any], as_json: bool, **own: Any) -> None:
    """Group faces into people."""
    config = build_config(ClusterFigures, given, own)
    with run_job(config, job="cluster-figures", task_type=TASK_TYPE, task_name=TASK_NAME) as run:
        cluster_figures(run, config)
        changed = what_changed(run) if as_json else {}
    print_result(run, as_json=as_json, **changed)


if __name__ == "__main__":
    sys.exit(run_command(command))
