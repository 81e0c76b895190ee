"""Contract of `tasks`."""

import pyarrow as pa

from schemas.contract import LABELS, TIMESTAMP, Column, Contract

TASKS = Contract(
    name="tasks",
    row="state of a task",
    notes="Append-only; the row with the greatest `update_time` is the task's state. A task that says Running and has "
    "not been heard of for a while was killed; readers see it as Failed.",
    columns=(
        Column("task_id", pa.string(), "<TaskType>-<uuid>", nullable=False),
        Column("task_type", pa.string(), "What kind of task, as listed below", nullable=False),
        Column("project_name", pa.string(), "Project", nullable=False),
        Column("dataset_names", pa.list_(pa.string()), "Datasets asked for; empty means all"),
        Column("event_id", pa.string(), "Id of the request's event", nullable=False),
        Column("request_id", pa.string(), "Id of the request", nullable=False),
        Column("run_id", pa.string(), "The run that carries the task out", nullable=False),
        Column("status", pa.string(), "Running, Succeeded or Failed", nullable=False),
        Column("progress", pa.int32(), "Percent", nullable=False),
        Column("code", pa.string(), "Why it failed: the kind of error"),
        Column("message", pa.string(), "Why it failed, in a sentence; or what was done"),
        Column("tags", LABELS, "The caller's tags"),
        Column("user_data", pa.string(), "The caller's data, up to 2,048 bytes"),
        Column("start_time", TIMESTAMP, "When it started", nullable=False),
        Column("end_time", TIMESTAMP, "When it ended"),
        Column("update_time", TIMESTAMP, "When this state was written: the heartbeat", nullable=False),
    ),
    key=("task_id", "update_time"),
    checks={"status_known": "status IN ('Running', 'Succeeded', 'Failed')"},
    writer="catalog",
    retention="7 days from the task's start, unless configured",
)

TASK_TYPES: dict[str, str] = {
    "AreaBuilding": "`lakealbum boundaries`",
    "FileIndexing": "`lakealbum index`",
    "FileLocating": "`lakealbum locate`",
    "FileRemoving": "`lakealbum remove`",
    "LocationDateClustering": "`lakealbum cluster location-date`",
    "SimilarImageClustering": "`lakealbum cluster similar-images`",
    "FaceClustering": "`lakealbum cluster figures`; its tasks are CreateFigureClusteringTask-<uuid>",
    "FigureClustersMerging": "CreateFigureClustersMergingTask of the endpoint",
    "FaceErasing": "`lakealbum erase figure`",
    "BindingSync": "`lakealbum sync`",
    "LakeMaintenance": "`lakealbum maintain`",
}
"""The types of tasks, and the command that each comes from."""
