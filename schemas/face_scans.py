"""Contract of `face_scans`."""

import pyarrow as pa

from schemas.contract import BUCKET, DATASET, PROJECT, RUN_ID, TIMESTAMP, Column, Contract

FACE_SCANS = Contract(
    name="face_scans",
    row="picture in which faces were looked for",
    notes="Written after the faces: a picture that has a row of the model in force is not looked at again while its "
    "content is the same.",
    columns=(
        BUCKET,
        PROJECT,
        DATASET,
        Column("uri", pa.string(), "The file", nullable=False),
        Column("object_id", pa.string(), "The file's id", nullable=False),
        Column("content_hash", pa.string(), "SHA-256 of the content that was looked at"),
        Column("model", pa.string(), "Model that looked: family/version", nullable=False),
        Column("faces", pa.int32(), "Faces that it found, erased ones not counted", nullable=False),
        Column("update_time", TIMESTAMP, "When this row last changed", nullable=False),
        RUN_ID,
    ),
    key=("bucket", "project_name", "dataset_name", "uri"),
    partition_by=("bucket",),
    sort_by=("project_name", "dataset_name", "uri"),
    writer="jobs",
    merged=True,
)
