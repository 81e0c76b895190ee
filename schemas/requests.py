"""Contract of `requests`."""

import pyarrow as pa

from schemas.contract import DATASET, PROJECT, TIMESTAMP, Column, Contract

REQUESTS = Contract(
    name="requests",
    row="piece of work that the endpoint accepted, or what became of one",
    notes="Append-only: `asked` when the work was accepted, then `started` as often as it was begun, and "
    "`done` or `failed` once. What is neither is carried out, in the order in which it was asked, after a restart "
    "too. One request may be many pieces, a file each.",
    columns=(
        Column("piece_id", pa.string(), "The piece of work, the same in all its rows", nullable=False),
        Column("step", pa.string(), "asked, started, done or failed", nullable=False),
        Column("ask_time", TIMESTAMP, "When it was asked: the order", nullable=False),
        Column("number", pa.int32(), "Its place among those asked at once", nullable=False),
        Column("operation", pa.string(), "The operation that asked for it", nullable=False),
        PROJECT,
        DATASET,
        Column("uri", pa.string(), "The file that it is about, where it is about one"),
        Column("request_id", pa.string(), "Id of the request", nullable=False),
        Column("event_id", pa.string(), "Id of its event", nullable=False),
        Column("task_id", pa.string(), "Its task, if it has one"),
        Column("parameters", pa.string(), "What was asked, as JSON", nullable=False),
        Column("message", pa.string(), "failed: why"),
        Column("step_time", TIMESTAMP, "When this row was written", nullable=False),
    ),
    key=("piece_id", "step", "step_time"),
    checks={"step_known": "step IN ('asked', 'started', 'done', 'failed')"},
    writer="catalog",
    retention="once done: an hour; with a task as long as that",
)
