"""Contract of `figures`."""

import pyarrow as pa

from schemas.contract import BUCKET, DATASET, PROJECT, RUN_ID, TIMESTAMP, Column, Contract

BOUNDARY = pa.struct([pa.field(side, pa.int32()) for side in ("left", "top", "width", "height")])
HEAD_POSE = pa.struct([pa.field(angle, pa.float32()) for angle in ("yaw", "pitch", "roll")])

FOUND_ID = "Face-"
"""Begins the ids of faces that `index --faces` found."""

MIN_SIDE = 75
MAX_ANGLE = 30.0
MIN_QUALITY = 0.8
"""What makes a face good enough to found a person, by IMM: each is exceeded, or fallen short of."""


def is_good_sql(max_angle: float = MAX_ANGLE) -> str:
    """Whether a face (a row of `figures`) can found a person, in the SQL of Spark and DataFusion; null for not."""
    return " AND ".join(
        (
            *(f"boundary['{side}'] > {MIN_SIDE}" for side in ("width", "height")),
            *(f"abs(head_pose['{angle}']) < {max_angle}" for angle in ("yaw", "pitch", "roll")),
            # 0.8 as a 32-bit number, as the column is one: a face of exactly 0.8 is not over it.
            f"face_quality > CAST({MIN_QUALITY} AS FLOAT)",
            "embedding IS NOT NULL",
        )
    )


FIGURES = Contract(
    name="figures",
    row="face in a file",
    columns=(
        BUCKET,
        PROJECT,
        DATASET,
        Column("figure_id", pa.string(), "The face; unique in its dataset", nullable=False),
        Column("uri", pa.string(), "The file that shows it", nullable=False),
        Column("object_id", pa.string(), "The file's id", nullable=False),
        Column("boundary", BOUNDARY, "Box of the face: left, top, width and height in pixels"),
        Column("head_pose", HEAD_POSE, "Yaw, pitch and roll of the head, degrees; 0 faces the camera"),
        Column("face_quality", pa.float32(), "Quality of the face for recognition, 0 to 1"),
        Column("gender", pa.string(), "Estimated: male or female"),
        Column("age", pa.int32(), "Estimated age, years"),
        Column("embedding", pa.list_(pa.float32()), "Embedding of the face, any dimension"),
        Column(
            "model",
            pa.string(),
            "Model that made the embedding, family/version: by `index --faces`, or as the source says; null where it "
            "says nothing",
        ),
        Column(
            "attributes",
            pa.string(),
            "What else the source says, a JSON object: of IMM's Figures every field without a column of its own, such "
            "as Emotion",
        ),
        Column("update_time", TIMESTAMP, "When this row last changed", nullable=False),
        RUN_ID,
    ),
    key=("bucket", "project_name", "dataset_name", "figure_id"),
    checks={"face_quality_in_range": "face_quality IS NULL OR face_quality BETWEEN 0 AND 1"},
    partition_by=("bucket",),
    sort_by=("project_name", "dataset_name", "figure_id"),
    writer="jobs",
    change_feed=True,
    merged=True,
)
