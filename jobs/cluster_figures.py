"""Job: cluster figures. Groups faces into people.

figures -> figure_clusters -> figure_members -> cluster_events -> dataset_state
"""

from __future__ import annotations

import json
import sys
from contextlib import nullcontext
from dataclasses import asdict
from functools import partial
from typing import Any

import click
from pydantic import Field
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.cli.main import run as run_command
from jobs.cli.options import JobConfig, build_config, job_options
from jobs.clusters.clustering import edits_of_kind
from jobs.clusters.member_clusters import Changed, MemberClusters, cluster_members
from jobs.people.erasures import read_erased
from jobs.runtime.commits import retry_conflicts
from jobs.runtime.runs import Run, print_result, run_job
from schemas.cluster_kinds import PEOPLE
from schemas.figure_clusters import FIGURE_CLUSTERS
from schemas.figure_members import FIGURE_MEMBERS
from schemas.figures import FIGURES
from schemas.files import FILES
from schemas.keys import DATASET_KEY, FACE_KEY, GROUP_KEY
from transforms.people.erasures import drop_erased
from transforms.people.figures import (
    Decisions,
    decide_members,
    describe_people,
    group_figures,
    is_good,
    large_libraries,
    merge_people,
    name_people,
    restore_members,
    stay_people,
)
from transforms.people.grouping import Profile
from transforms.tables.frames import union_by_name

TASK_TYPE = "FaceClustering"
TASK_NAME = "CreateFigureClusteringTask"
"""What the ids of these tasks begin with in IMM, where it is not their type."""
EVIDENCE = (FIGURES, FILES)
MOST_IDS = 1000
"""Ids of people that a run's result names."""


class ClusterFigures(JobConfig):
    """What `cluster figures` can be asked."""

    profile: Profile = Field(default=Profile(), description="what the embedding model decides")
    full: bool = Field(default=False, description="group all faces again")

    @property
    def options(self) -> str:
        """The options that shape clusters, as kept in dataset_state."""
        return json.dumps({"profile": asdict(self.profile)}, sort_keys=True)


def cluster_figures(run: Run, config: ClusterFigures) -> None:
    """Brings the people of the asked datasets up to date. Harmless to repeat; started over when it loses a race."""
    commit = partial(_commit, config=config)
    with nullcontext():
        retry_conflicts(lambda: cluster_members(run, config, PEOPLE, evidence=EVIDENCE, commit=commit))


def _commit(changed: Changed, *, config: ClusterFigures) -> int:
    run = changed.run
    # Pinned before it is asked who was erased: an erasure that commits later makes this run start over.
    pinned = MemberClusters.pin(run, PEOPLE, changed.datasets)
    erased = read_erased(run, project=config.project)
    files = changed.read(FILES).where(F.col("deleted_time").isNull()).select(*DATASET_KEY, "uri", "media_type")
    faces = changed.read(FIGURES).transform(drop_erased, erased=erased)
    faces = faces.join(files, [*DATASET_KEY, "uri"], how="inner").withColumn("is_good", is_good())
    run.progress.stage("people: grouping faces", 10)
    embedded, faces = faces, run.cache(faces.select(*FACE_KEY, "uri", "media_type", "age", "gender", "face_quality"))
    large = run.cache(large_libraries(faces))
    with nullcontext():
        grouped = group_figures(embedded, large=large, profile=config.profile, checkpoint=run.cache, log=run.log_round)
        grouped = run.cache(grouped)
    groups = grouped.join(faces.select(*FACE_KEY, "uri"), list(FACE_KEY), how="inner")
    groups = run.cache(groups.withColumn("node", F.col("figure_id")))

    run.progress.stage("clusters", 60)
    with nullcontext():
        return _commit_people(changed, config, pinned, groups=groups, faces=faces)


def _commit_people(
    changed: Changed, config: ClusterFigures, pinned: MemberClusters, *, groups: DataFrame, faces: DataFrame
) -> int:
    """Commits who the people of the groups are, with what people said of them, and of the faces that there are."""
    run = changed.run
    old_members = pinned.old_members.where(F.col("object_id").isNotNull()).drop("run_id")
    edits = edits_of_kind(run, config, kind=PEOPLE.name, until=changed.scope.edits_version)
    decisions = Decisions.of(edits, old_clusters=pinned.old_clusters, checkpoint=run.cache)
    kept_together = decisions.merged.select(*DATASET_KEY, F.col("into").alias("object_id")).distinct()
    names = pinned.name(groups, several=kept_together)
    members = groups.join(names.select(*GROUP_KEY, "object_id"), list(GROUP_KEY), how="inner")
    members = members.select(*FACE_KEY, "uri", "object_id", "confidence", "role")
    merged = run.cache(members.transform(merge_people, decisions=decisions))
    restored = restore_members(decisions, old_clusters=pinned.old_clusters, faces=faces)
    before = union_by_name(old_members.select(*restored.columns), restored)
    staying = stay_people(merged, old_members=before, faces=faces)
    decided = union_by_name(merged, staying.select(*merged.columns))
    decided = run.cache(decided.transform(decide_members, decisions=decisions, faces=faces))
    independent = faces.join(decided.select(*FACE_KEY), list(FACE_KEY), how="left_anti").select(*FACE_KEY, "uri")
    people = decided.join(faces.drop("uri"), list(FACE_KEY), how="inner").transform(describe_people)
    return pinned.commit(
        decided.unionByName(independent, allowMissingColumns=True),
        groups=people,
        names=decided.transform(name_people, names=names, old_clusters=pinned.old_clusters),
    )


def what_changed(run: Run) -> dict[str, object]:
    """What the run did to people, by IMM's names. Of ids up to MOST_IDS are named; `cluster_events` has all."""
    count = run.ledger.row_counts.get
    version = run.ledger.outputs.get(FIGURE_CLUSTERS.name)
    changes = None if version is None else run.lake.read_changes(FIGURE_CLUSTERS, version - 1, version)

    def named(change: str) -> list[str]:
        if changes is None:
            return []
        ids = changes.where(F.col("_change_type") == change).select("object_id").sort("object_id")
        return [row.object_id for row in ids.limit(MOST_IDS).collect()]

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
