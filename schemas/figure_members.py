"""Contract of `figure_members`."""

import pyarrow as pa

from schemas.contract import BUCKET, DATASET, PROJECT, RUN_ID, Column, Contract

FIGURE_MEMBERS = Contract(
    name="figure_members",
    row="face that a clustering has seen",
    notes="A face is of one person at most. One without a row is not clustered yet.",
    columns=(
        BUCKET,
        PROJECT,
        DATASET,
        Column("figure_id", pa.string(), "The face", nullable=False),
        Column("uri", pa.string(), "The file that shows it", nullable=False),
        Column("object_id", pa.string(), "The person; null for a face that is no known person's"),
        Column("confidence", pa.float64(), "How sure it is that the face is the person's, 0 to 1; null without one"),
        Column("role", pa.string(), "founder (a good face that founds the person), joined, or chosen by people"),
        RUN_ID,
    ),
    key=("bucket", "project_name", "dataset_name", "figure_id"),
    checks={
        "role_known": "role IS NULL OR role IN ('founder', 'joined', 'chosen')",
        "confidence_in_range": "confidence IS NULL OR confidence BETWEEN 0 AND 1",
        "whole_or_nothing": "(object_id IS NULL) = (confidence IS NULL) AND (object_id IS NULL) = (role IS NULL)",
    },
    partition_by=("bucket",),
    sort_by=("project_name", "dataset_name", "object_id", "figure_id"),
    writer="jobs",
    merged=True,
)
