"""Contract of `file_features`."""

import pyarrow as pa

from schemas.contract import BUCKET, DATASET, PROJECT, RUN_ID, TIMESTAMP, Column, Contract

HASH_BYTES = 32
CROPS = (0.95, 0.90, 0.85, 0.80)
"""Shares of both sides that the centre crops of `crop_hashes` keep."""
TURNS = 7
"""Forms of a picture that are rotated or mirrored: `turned_hashes`."""
THUMBNAIL_SIDE = 32
"""Luminances a row, and rows, of `thumbnail`."""
PIXEL_FEATURES = (
    "perceptual_hash",
    "perceptual_hash_quality",
    "crop_hashes",
    "turned_hashes",
    "thumbnail",
    "image_score",
)
"""The columns that need pixels."""
FEATURES = (*PIXEL_FEATURES, "embedding")

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
        Column(
            "crop_hashes",
            pa.binary(),
            "PDQ hashes of the centre crops at 95, 90, 85 and 80 % of both sides, 32 bytes each",
        ),
        Column(
            "turned_hashes",
            pa.binary(),
            "PDQ hashes of the picture rotated by 90, 180 and 270 degrees and of the mirrored four, 32 bytes each",
        ),
        Column("thumbnail", pa.binary(), "32 x 32 luminances of the whole picture, one byte each, row by row"),
        Column("image_score", pa.float64(), "The picture's own quality, 0 to 1"),
        Column("embedding", pa.list_(pa.float32()), "Embedding of the picture, any dimension"),
        Column(
            "fingerprint",
            pa.string(),
            "What the picture looks like: pictures of one fingerprint count as one where similar ones are sought. The "
            "perceptual hash if its quality allows, else `content:` and the content hash; then `/` and a digest of the "
            "embedding, if there is one",
        ),
        Column("update_time", TIMESTAMP, "When this row last changed", nullable=False),
        RUN_ID,
    ),
    key=("bucket", "project_name", "dataset_name", "uri"),
    checks={"image_score_in_range": "image_score IS NULL OR image_score BETWEEN 0 AND 1"},
    partition_by=("bucket",),
    sort_by=("project_name", "dataset_name", "uri"),
    writer="jobs",
    change_feed=True,
    merged=True,
)
