"""Contract of `similar_image_pairs`."""

import pyarrow as pa

from schemas.contract import BUCKET, DATASET, PROJECT, RUN_ID, Column, Contract

SIGNALS = ("hash", "crop", "turned", "embedding")
"""How a pair was told, the first that holds."""

SIMILAR_IMAGE_PAIRS = Contract(
    name="similar_image_pairs",
    row="verified pair of similar pictures",
    notes="Between fingerprints, each of which may stand for many files: `similar_image_members` ties them to files. "
    "Every pair within the widest thresholds is kept; clustering takes those within its own.",
    columns=(
        BUCKET,
        PROJECT,
        DATASET,
        Column("fingerprint", pa.string(), "Fingerprint of the one", nullable=False),
        Column("other_fingerprint", pa.string(), "Fingerprint of the other, the greater", nullable=False),
        Column(
            "signal",
            pa.string(),
            "hash: perceptual hashes within 31 bits; crop: crops of both match, and the pictures agree once aligned; "
            "turned: as hash, one of them rotated or mirrored; embedding: cosine similarity of 0.9 or more",
            nullable=False,
        ),
        Column("distance", pa.int32(), "Bits in which the hashes differ, for crop those of the best crops, 0 to 256"),
        Column(
            "similarity",
            pa.float64(),
            "0 to 1. hash, turned: 1 - distance / 256; crop: correlation of the aligned pictures' gradients; "
            "embedding: cosine",
            nullable=False,
        ),
        RUN_ID,
    ),
    key=("bucket", "project_name", "dataset_name", "fingerprint", "other_fingerprint"),
    checks={
        "signal_known": "signal IN ('hash', 'crop', 'turned', 'embedding')",
        "pair_in_order": "fingerprint < other_fingerprint",
        "similarity_in_range": "similarity BETWEEN 0 AND 1",
    },
    partition_by=("bucket",),
    sort_by=("project_name", "dataset_name", "fingerprint"),
    writer="jobs",
    change_feed=True,
    merged=True,
)
