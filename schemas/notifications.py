"""Contract of `notifications`."""

import pyarrow as pa

from schemas.contract import DATASET, PROJECT, TIMESTAMP, Column, Contract

NOTIFICATIONS = Contract(
    name="notifications",
    row="state of a notification",
    notes="The outbox. Append-only; the row with the greatest `update_time` is the notification's state: it waits for "
    "its task to end, is pending until its receiver took it, then is delivered; or it is dead after too many tries.",
    columns=(
        Column("notification_id", pa.string(), "The notification: the id of its message", nullable=False),
        Column("delivery", pa.string(), "waiting, pending, delivered or dead", nullable=False),
        PROJECT,
        Column("dataset_name", DATASET.type, "Dataset; null where it is about several, or all"),
        Column(
            "event_type", pa.string(), "What happened, as IMM names it: imm:Task:LocationDateClustering", nullable=False
        ),
        Column("task_id", pa.string(), "The task that it is about, if it is about one"),
        Column("url", pa.string(), "Where it is sent to", nullable=False),
        Column("topic", pa.string(), "The topic that was asked for, if one was"),
        Column("account", pa.string(), "The account that asked, as the message's subject names it", nullable=False),
        Column("message", pa.string(), "The message, JSON; null while it waits"),
        Column("attempts", pa.int32(), "How often it was sent", nullable=False),
        Column("next_time", TIMESTAMP, "pending: when it is sent next"),
        Column("reason", pa.string(), "Why it could not be delivered the last time"),
        Column("create_time", TIMESTAMP, "When it was asked for", nullable=False),
        Column("update_time", TIMESTAMP, "When this state was written", nullable=False),
    ),
    key=("notification_id", "update_time"),
    checks={"delivery_known": "delivery IN ('waiting', 'pending', 'delivered', 'dead')"},
    writer="catalog",
    retention="30 days from when it was asked for",
)
