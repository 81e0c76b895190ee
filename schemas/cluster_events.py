"""Contract of `cluster_events`."""

import pyarrow as pa

from schemas.contract import BUCKET, DATASET, PROJECT, RUN_ID, TIMESTAMP, Column, Contract

CLUSTER_EVENTS = Contract(
    name="cluster_events",
    row="change to a cluster",
    notes="Derived from the cluster table's change feed, so that a kill loses none.",
    columns=(
        BUCKET,
        PROJECT,
        DATASET,
        Column("kind", pa.string(), "location-date, similar-images or figures", nullable=False),
        Column("object_id", pa.string(), "The cluster", nullable=False),
        Column(
            "event",
            pa.string(),
            "created, extended, shrunk, merged_into, split_from, removed or revived",
            nullable=False,
        ),
        Column("other_id", pa.string(), "merged_into: the survivor; split_from: the cluster it was part of"),
        Column("reason", pa.string(), "Why, in a few words", nullable=False),
        Column("first_day_before", pa.date32(), "First day before the change; null but for trips"),
        Column("last_day_before", pa.date32(), "Last day before the change"),
        Column("first_day", pa.date32(), "First day after the change"),
        Column("last_day", pa.date32(), "Last day after the change"),
        Column("files_before", pa.int64(), "Members before the change; null for trips"),
        Column("files", pa.int64(), "Members after the change; null for trips"),
        Column("cluster_version", pa.int64(), "Version of the cluster table that made the change", nullable=False),
        Column("event_time", TIMESTAMP, "When that version was committed", nullable=False),
        RUN_ID,
    ),
    key=("bucket", "project_name", "dataset_name", "object_id", "cluster_version", "event"),
    checks={
        "event_known": "event IN ('created', 'extended', 'shrunk', 'merged_into', 'split_from', 'removed', 'revived')"
    },
    partition_by=("bucket",),
    sort_by=("project_name", "dataset_name", "object_id", "cluster_version"),
    writer="jobs",
)
