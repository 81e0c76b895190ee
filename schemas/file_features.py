"""Contract of `file_features`."""

import pyarrow as pa

from schemas.contract import BUCKET, DATASET, PROJECT, RUN_ID, TIMESTAMP, Column, Contract

FILE_FEATURES = Contract(
    name="file_features",
    row="picture with features",
    notes="Apart from `files`, so that nothing else ever rewrites these wide rows.",
    columns=(
        BUCKET,
        PROJECT,
        DATASET,
        Column("uri", pa.string(), "The file", nullable=False),
        Column("object_id", pa.string(), "The file's id", nullable=False),
        Column("perceptual_hash", pa.string(), "256-bit PDQ hash, 64 hex digits"),
        Column("perceptual_hash_quality", pa.int32(), "Quality of the hash, 0 to 100"),
        Column("image_score", pa.float64(), "The picture's own quality, 0 to 1"),
        Column("embedding", pa.list_(pa.float32()), "Embedding of the picture, any dimension"),
        Column("update_time", TIMESTAMP, "When this row last changed", nullable=False),
        RUN_ID,
    ),
    key=("bucket", "project_name", "dataset_name", "uri"),
    checks={"image_score_in_range": "image_score IS NULL OR image_score BETWEEN 0 AND 1"},
    partition_by=("bucket",),
    sort_by=("project_name", "dataset_name", "uri"),
    writer="spark",
    change_feed=True,
    merged=True,
)
