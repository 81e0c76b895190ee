"""Contract of `dataset_state`."""

import pyarrow as pa

from schemas.contract import BUCKET, DATASET, PROJECT, RUN_ID, TIMESTAMP, Column, Contract

DATASET_STATE = Contract(
    name="dataset_state",
    row="dataset x kind of clustering",
    notes="The options in force and what has been consumed. Written last, so that repeating a clustering is harmless.",
    columns=(
        BUCKET,
        PROJECT,
        DATASET,
        Column("kind", pa.string(), "location-date, similar-images or figures", nullable=False),
        Column(
            "options",
            pa.string(),
            'The options in force, canonical JSON: {"gap_days": 1, "levels": ["city"], ...}',
            nullable=False,
        ),
        Column(
            "evidence_versions",
            pa.map_(pa.string(), pa.int64()),
            "Tables that the clusters are computed from (for trips: place_days), and the version of each",
            nullable=False,
        ),
        Column("edits_version", pa.int64(), "Last sequence of cluster_edits that was consumed", nullable=False),
        Column("update_time", TIMESTAMP, "When this row last changed", nullable=False),
        RUN_ID,
    ),
    key=("bucket", "project_name", "dataset_name", "kind"),
    partition_by=("bucket",),
    sort_by=("project_name", "dataset_name"),
    writer="jobs",
    merged=True,
)
