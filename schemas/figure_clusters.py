"""Contract of `figure_clusters`."""

import pyarrow as pa

from schemas.contract import BUCKET, DATASET, PROJECT, RUN_ID, TIMESTAMP, Column, Contract

FIGURE_CLUSTERS = Contract(
    name="figure_clusters",
    row="person",
    notes="Those that went stay as rows with state `gone`, so that one that comes back has its id and its edits again: "
    "read `WHERE state = 'live'`. What people decided is in `cluster_edits`.",
    columns=(
        BUCKET,
        PROJECT,
        DATASET,
        Column("object_id", pa.string(), "Cluster-<uuid>", nullable=False),
        Column("state", pa.string(), "live or gone", nullable=False),
        Column("faces", pa.int64(), "Faces of the person", nullable=False),
        Column("founders", pa.int64(), "Good faces among them that found the person", nullable=False),
        Column("files", pa.int64(), "Files that show the person", nullable=False),
        Column("images", pa.int64(), "Pictures among them", nullable=False),
        Column("videos", pa.int64(), "Videos among them", nullable=False),
        Column("min_age", pa.int32(), "Least age estimated for a face, years"),
        Column("max_age", pa.int32(), "Greatest age"),
        Column("average_age", pa.float64(), "Mean age"),
        Column("gender", pa.string(), "What most faces are estimated to be: male or female; ties to female"),
        Column("cover_figure_id", pa.string(), "The face of the highest quality", nullable=False),
        Column("cover_uri", pa.string(), "The file that shows it", nullable=False),
        Column("representative", pa.string(), "The face nearest to the person's mean", nullable=False),
        Column("generation", pa.int64(), "Number of the person among those that began at the anchor", nullable=False),
        Column(
            "anchor",
            pa.string(),
            "The representative when the person was new: with the generation, what the id is made of",
            nullable=False,
        ),
        Column("origin_id", pa.string(), "When it was new: the person who had most of the faces"),
        Column("successor_id", pa.string(), "gone: the person who took most of the faces"),
        Column("last_figures", pa.list_(pa.string()), "gone: the faces, up to 100"),
        Column("create_time", TIMESTAMP, "When the person was founded", nullable=False),
        Column("update_time", TIMESTAMP, "When the row last changed", nullable=False),
        RUN_ID,
    ),
    key=("bucket", "project_name", "dataset_name", "object_id"),
    checks={
        "state_known": "state IN ('live', 'gone')",
        "faces_counted": "state = 'gone' OR (faces >= 1 AND files BETWEEN 1 AND faces AND images + videos = files)",
    },
    partition_by=("bucket",),
    sort_by=("project_name", "dataset_name", "object_id"),
    writer="jobs",
    change_feed=True,
    merged=True,
)
