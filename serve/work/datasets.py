"""Work on whole datasets: clusterings, merging people, following sources, and what a deleted dataset leaves."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from catalog.bindings import change_binding, list_bindings
from catalog.commits import remove
from catalog.edits import read_edits
from catalog.figures import Change, update_person
from catalog.lake import Lake, Row, Scope
from catalog.projects import count_files
from catalog.requests import Piece
from catalog.sql import all_of, equals
from catalog.tasks import get_task
from schemas.cluster_events import CLUSTER_EVENTS
from schemas.cluster_kinds import GROUPS, PEOPLE
from schemas.dataset_state import DATASET_STATE
from schemas.datasets import DATASETS
from schemas.errors import NotFound
from schemas.lake import TABLES
from schemas.projects import DATASET_SETTINGS
from schemas.rejected import REJECTED
from schemas.requests import REQUESTS
from serve.sources import Sources
from serve.work.groups import Group

NOT_READABLE = "the server may not read it: `lakealbum serve --source` names what it may"


def _cluster_location_dates(lake: Lake, group: Group) -> None:
    from jobs.cluster_location_dates import TASK_TYPE, ClusterLocationDates, cluster_location_dates
    from jobs.runtime.runs import run_job

    asked = group.pieces[0].parameters
    days = asked["DateOptions"]
    config = ClusterLocationDates(
        lake=lake.root,
        project=group.project,
        dataset=group.datasets,
        gap_days=days["GapDays"],
        min_days=days["MinDays"],
        max_days=days["MaxDays"],
        levels=tuple(asked["LocationOptions"]["LocationDateClusterLevels"]),
        **_caller(group),
    )
    with run_job(config, job="cluster-location-dates", task_type=TASK_TYPE, asked=_task_of(lake, group)) as run:
        cluster_location_dates(run, config)


def _cluster_similar_images(lake: Lake, group: Group) -> None:
    from jobs.cluster_similar_images import TASK_TYPE, ClusterSimilarImages, cluster_similar_images
    from jobs.runtime.runs import run_job

    for number, (options, datasets) in enumerate(_by_options(lake, group, GROUPS.name)):
        config = ClusterSimilarImages(
            lake=lake.root, project=group.project, dataset=datasets, **options, **_caller(group)
        )
        asked = _task_of(lake, group) if number == 0 else None
        with run_job(config, job="cluster-similar-images", task_type=TASK_TYPE, asked=asked) as run:
            cluster_similar_images(run, config)


def _cluster_figures(lake: Lake, group: Group) -> None:
    from jobs.cluster_figures import TASK_TYPE, ClusterFigures, cluster_figures
    from jobs.runtime.runs import run_job

    for number, (options, datasets) in enumerate(_by_options(lake, group, PEOPLE.name)):
        told = {} if "families" in options else options  # where no profile was told, each model's is taken
        config = ClusterFigures(lake=lake.root, project=group.project, dataset=datasets, **told, **_caller(group))
        asked = _task_of(lake, group) if number == 0 else None
        with run_job(config, job="cluster-figures", task_type=TASK_TYPE, asked=asked) as run:
            cluster_figures(run, config)


def _merge_figures(lake: Lake, group: Group) -> None:
    """Writes down that people are one, unless a worker before did, and clusters their faces again."""
    piece = group.pieces[0]
    scope, into = Scope(group.project, group.datasets), piece.parameters["To"]
    edits = read_edits(lake, scope, PEOPLE.name)
    merged = {edit["object_id"] for edit in edits if edit["action"] == "merge" and edit["other_id"] == into}
    if froms := [object_id for object_id in piece.parameters["Froms"] if object_id not in merged]:
        update_person(lake, scope, into, Change(merge=tuple(froms)))
    _cluster_figures(lake, group)


def follow_sources(lake: Lake, group: Group, sources: Sources) -> None:
    """Brings datasets in step with bound sources; of one that the server may not read, the binding tells."""
    from jobs.sync_bindings import SyncBindings, sync_bindings

    asked = {piece.parameters["BindingId"] for piece in group.pieces}
    there = [row for row in list_bindings(lake, Scope(group.project, group.datasets)) if row["binding_id"] in asked]
    readable = [row["binding_id"] for row in there if sources.may_read(row["source"])]
    for row in there:
        if row["binding_id"] not in readable:
            change_binding(lake, row, reason=NOT_READABLE)
    if readable:
        sync_bindings(SyncBindings(lake=lake.root, project=group.project, binding=tuple(readable)))


def _purge(lake: Lake, group: Group) -> None:
    """Deletes what is left of datasets that were deleted, unless files have come to a new one of the name since."""
    for dataset in group.datasets:
        scope = Scope(group.project, (dataset,))
        if count_files(lake, scope).files:
            continue
        for contract in TABLES.values():
            names = set(contract.names)
            if contract in KEPT or not {"project_name", "dataset_name"} <= names:
                continue
            ours = scope.condition(lake, bucketed="bucket" in names)
            if lake.count(f"{contract.name} WHERE {ours}", contract.name):
                remove(lake.root, contract, ours)


KEPT = (DATASETS, DATASET_SETTINGS, CLUSTER_EVENTS, REQUESTS, REJECTED)
"""Tables that tell of a deleted dataset as before: what happened, and the names that may be in use again."""
DATASET_WORK: Mapping[str, Callable[[Lake, Group], None]] = {
    "CreateLocationDateClusteringTask": _cluster_location_dates,
    "CreateSimilarImageClusteringTask": _cluster_similar_images,
    "CreateFigureClusteringTask": _cluster_figures,
    "CreateFigureClustersMergingTask": _merge_figures,
    "DeleteDataset": _purge,
}
"""Operation -> how its work is done, for work on whole datasets."""


def _by_options(lake: Lake, group: Group, kind: str) -> Iterator[tuple[dict[str, Any], tuple[str, ...]]]:
    """The datasets by the options in force for them; those never clustered go by the defaults."""
    scope = Scope(group.project, group.datasets)
    where = all_of([scope.condition(lake), equals("kind", kind)])
    rows = lake.read(f"SELECT dataset_name, options FROM dataset_state WHERE {where}", DATASET_STATE.name)
    in_force = {row["dataset_name"]: row["options"] for row in rows}
    alike: dict[str, list[str]] = {}
    for dataset in group.datasets:
        alike.setdefault(in_force.get(dataset, "{}"), []).append(dataset)
    for options, datasets in alike.items():
        yield json.loads(options), tuple(datasets)


def _caller(group: Group) -> dict[str, Any]:
    """What the caller wants kept with the task."""
    asked = group.pieces[0].parameters
    return {"user_data": asked.get("UserData"), "tag": asked.get("Tags") or {}}


def _task_of(lake: Lake, group: Group) -> dict[str, object]:
    """The task of the first piece, as it was promised to its caller."""
    state = state_of(lake, group.pieces[0])
    kept = ("task_id", "task_type", "dataset_names", "event_id", "request_id", "start_time", "tags", "user_data")
    return {name: state[name] for name in kept if name in state}


def state_of(lake: Lake, piece: Piece) -> Row:
    """The last state of a piece's task."""
    assert piece.task_id is not None, piece.operation
    try:
        return {name: value for name, value in get_task(lake, piece.task_id).items() if name != "sort_end_time"}
    except NotFound:  # it expired while it waited
        return {"task_id": piece.task_id}
