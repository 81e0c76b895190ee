"""Tasks: the three clusterings and the merging of people, and what became of them."""

from __future__ import annotations

import uuid
from typing import Any

from catalog import imm
from catalog.figures import MOST_MERGED, FigureQuery, query_figures
from catalog.lake import Row
from catalog.requests import Piece, read_definition
from catalog.tasks import SORTS, TaskQuery, get_task, list_tasks
from catalog.times import ANY_TIME
from schemas.contract import LEVELS
from schemas.errors import NotFound
from serve.errors import invalid, not_found, too_many
from serve.operations.parameters import (
    NEXT_TOKEN,
    NOTIFICATION,
    TAGS,
    USER_DATA,
    choice,
    flag,
    integer,
    label_filter,
    max_results,
    record,
    text,
    texts,
    time_range,
)
from serve.operations.registry import Context, Fields, Params, operation

TASK_TYPES = (
    "LocationDateClustering",
    "SimilarImageClustering",
    "FaceClustering",
    "FigureClustersMerging",
)
"""The types of tasks that callers make; those of the command line's other jobs are listed where they are asked for."""
DEFAULT_RESULTS = 100
_ASKED = (NOTIFICATION, TAGS, USER_DATA)
_DESCENDING = ("desc", "des")


@operation(
    "CreateLocationDateClusteringTask",
    "dataset",
    record(
        "DateOptions",
        integer("GapDays", 0, 99999).must,
        integer("MinDays", 1, 99999).must,
        integer("MaxDays", 1, 99999).must,
    ).must,
    record("LocationOptions", texts("LocationDateClusterLevels", least=1).must).must,
    *_ASKED,
)
def create_location_date_clustering_task(context: Context, params: Params) -> Fields:
    """Asks for trips."""
    days = params["DateOptions"]
    if days["MinDays"] > days["MaxDays"]:
        raise invalid(f"DateOptions.MinDays {days['MinDays']} is greater than MaxDays {days['MaxDays']}")
    for level in params["LocationOptions"]["LocationDateClusterLevels"]:
        if level not in LEVELS:
            raise invalid(
                f"LocationOptions.LocationDateClusterLevels has {level[:100]!r}; accepted are {', '.join(LEVELS)}"
            )
    return _create_task(context, params, "CreateLocationDateClusteringTask", "LocationDateClustering")


@operation("CreateSimilarImageClusteringTask", "dataset", *_ASKED)
def create_similar_image_clustering_task(context: Context, params: Params) -> Fields:
    """Asks for groups of similar images, by the options in force for the dataset."""
    return _create_task(context, params, "CreateSimilarImageClusteringTask", "SimilarImageClustering")


@operation("CreateFigureClusteringTask", "dataset", *_ASKED)
def create_figure_clustering_task(context: Context, params: Params) -> Fields:
    """Asks for people, by the profile in force for the dataset."""
    operation_name = "CreateFigureClusteringTask"
    return _create_task(context, params, operation_name, "FaceClustering", prefix=operation_name)


@operation(
    "CreateFigureClustersMergingTask",
    "dataset",
    text("From"),
    texts("Froms"),
    text("To").must,
    *_ASKED,
)
def create_figure_clusters_merging_task(context: Context, params: Params) -> Fields:
    """Asks for people to become one, now and in every later clustering."""
    if ("From" in params) == bool(params.get("Froms")):
        raise invalid("exactly one of From and Froms must be given")
    froms = list(dict.fromkeys(params.get("Froms") or [params["From"]]))
    if len(froms) > MOST_MERGED:
        raise too_many("Froms", len(froms), MOST_MERGED)
    if params["To"] in froms:
        raise invalid(f"{params['To'][:200]!r} cannot be merged into itself")
    for ids in ((params["To"],), tuple(froms)):
        people = query_figures(context.lake, FigureQuery(context.scope, object_ids=ids, max_results=MOST_MERGED)).rows
        known = {person["object_id"] for person in people}
        if missing := [object_id for object_id in ids if object_id not in known]:
            raise not_found("FigureCluster", missing[0][:200])
    merging = {key: value for key, value in params.items() if key != "From"} | {"Froms": froms}
    return _create_task(context, merging, "CreateFigureClustersMergingTask", "FigureClustersMerging")


@operation("GetTask", "project", flag("RequestDefinition"), text("TaskId").must, text("TaskType").must)
def get_task_operation(context: Context, params: Params) -> Fields:
    """The state of a task of this project."""
    try:
        row = get_task(context.lake, params["TaskId"], context.now)
    except NotFound:
        raise not_found("Task", params["TaskId"][:200]) from None
    if (row["project_name"], row["task_type"]) != (context.project, params["TaskType"]):
        raise not_found("Task", params["TaskId"][:200])
    return {
        **_task(context, row, with_definition=params.get("RequestDefinition", False)),
        "ProjectName": context.project,
        "EventId": row["event_id"],
    }


@operation(
    "ListTasks",
    "project",
    time_range("EndTimeRange"),
    max_results(least=1),
    NEXT_TOKEN,
    choice("Order", "asc", "desc", "des"),
    flag("RequestDefinition"),
    choice("Sort", *SORTS),
    time_range("StartTimeRange"),
    choice("Status", "Running", "Succeeded", "Failed"),
    label_filter("TagSelector"),
    texts("TaskTypes"),
)
def list_tasks_operation(context: Context, params: Params) -> Fields:
    """A page of the project's tasks."""
    query = TaskQuery(
        context.project,
        tuple(params.get("TaskTypes") or TASK_TYPES),
        params.get("Status"),
        params.get("TagSelector", {}),
        params.get("StartTimeRange", ANY_TIME),
        params.get("EndTimeRange", ANY_TIME),
        params.get("Sort", "TaskId"),
        "desc" if params.get("Order") in _DESCENDING else "asc",
        params.get("MaxResults") or DEFAULT_RESULTS,
    )
    page = list_tasks(context.lake, query, params.get("NextToken"), context.now)
    with_definition = params.get("RequestDefinition", False)
    return {
        "ProjectName": context.project,
        "MaxResults": str(query.max_results),
        "Tasks": [_task(context, row, with_definition=with_definition) for row in page.rows],
        "NextToken": page.next_token or "",
    }


def _create_task(context: Context, params: Params, asked: str, task_type: str, *, prefix: str = "") -> Fields:
    """Puts a piece of work in the queue, and a task that tells of it."""
    task_id, event_id = f"{prefix or task_type}-{uuid.uuid4()}", str(uuid.uuid4()).upper()
    piece = Piece(asked, context.project, context.dataset, context.request_id, event_id, params, task_id=task_id)
    task: Row = {
        "task_id": task_id,
        "task_type": task_type,
        "project_name": context.project,
        "dataset_names": [context.dataset],
        "event_id": event_id,
        "request_id": context.request_id,
        "run_id": piece.piece_id,
        "status": "Running",
        "progress": 0,
        "tags": params.get("Tags"),
        "user_data": params.get("UserData"),
        "start_time": context.now,
        "update_time": context.now,
    }
    context.accept([piece], task)
    return {"TaskId": task_id, "EventId": event_id}


def _task(context: Context, row: Row, *, with_definition: bool) -> dict[str, Any]:
    """A TaskInfo. A message of what was done is no reason of failure, and is left out."""
    document = imm.task(row)
    told: tuple[str, ...] = ("TaskId", "TaskType", "Status", "Progress", "StartTime", "EndTime", "Tags", "UserData")
    if row["status"] == "Failed":
        told = (*told, "Code", "Message")
    info = {name: document[name] for name in told if name in document}
    if with_definition and (found := read_definition(context.lake, row["task_id"])):
        info["TaskRequestDefinition"] = found["parameters"]
    return info
