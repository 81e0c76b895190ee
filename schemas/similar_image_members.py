"""Contract of `similar_image_members`."""

import pyarrow as pa

from schemas.contract import BUCKET, DATASET, PROJECT, RUN_ID, Column, Contract

SIMILAR_IMAGE_MEMBERS = Contract(
    name="similar_image_members",
    row="picture in a similar-image cluster",
    notes="A picture is in one cluster at most. How alike two are is in `similar_image_pairs`, by their fingerprints.",
    columns=(
        BUCKET,
        PROJECT,
        DATASET,
        Column("uri", pa.string(), "The picture", nullable=False),
        Column("object_id", pa.string(), "The cluster", nullable=False),
        Column("fingerprint", pa.string(), "What it looks like (file_features)", nullable=False),
        Column(
            "kind",
            pa.string(),
            "shot (another member, before it, is of the same shot: raw file and JPEG), copy (another, before it, has "
            "the same content), burst (taken by the same device within seconds of another member) or near-duplicate",
            nullable=False,
        ),
        Column(
            "similarity",
            pa.float64(),
            "To the representative, as in similar_image_pairs; 1 if it looks the same",
            nullable=False,
        ),
        Column("image_score", pa.float64(), "The picture's own quality, 0 to 1", nullable=False),
        Column("rank", pa.int32(), "1 is the best, by image_score, then by uri", nullable=False),
        RUN_ID,
    ),
    key=("bucket", "project_name", "dataset_name", "uri"),
    checks={
        "kind_known": "kind = 'shot' OR kind = 'copy' OR kind = 'burst' OR kind = 'near-duplicate'",
        "image_score_in_range": "image_score BETWEEN 0 AND 1",
    },
    partition_by=("bucket",),
    sort_by=("project_name", "dataset_name", "object_id", "rank"),
    writer="jobs",
    merged=True,
)
