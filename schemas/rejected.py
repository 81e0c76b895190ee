"""Contract of `rejected`, and the reasons for which a row is refused."""

import pyarrow as pa

from schemas.contract import BUCKET, PROJECT, RUN_ID, TIMESTAMP, Column, Contract

REJECTED = Contract(
    name="rejected",
    row="refused input row",
    notes="Input rows = accepted + rejected, always. Keyed by what was refused, so that a repeated run adds none. "
    "The reason codes are listed at the end of docs/tables.md.",
    columns=(
        BUCKET,
        PROJECT,
        Column("dataset_name", pa.string(), "Dataset that the row was meant for, as far as it can be told"),
        Column(
            "reject_id", pa.string(), "SHA-256 of source, reason, row and its count among equal rows", nullable=False
        ),
        Column("source", pa.string(), "The source that the row came from", nullable=False),
        Column("reason", pa.string(), "Reason code, as listed below", nullable=False),
        Column("message", pa.string(), "The column, the value, and what is accepted", nullable=False),
        Column("row", pa.string(), "The row as JSON", nullable=False),
        Column("reject_time", TIMESTAMP, "When it was first refused", nullable=False),
        RUN_ID,
    ),
    key=("bucket", "project_name", "reject_id"),
    partition_by=("bucket",),
    sort_by=("source", "reason"),
    writer="jobs",
)
