"""Contract of `similar_image_clusters`."""

import pyarrow as pa

from schemas.contract import BUCKET, DATASET, PROJECT, RUN_ID, TIMESTAMP, Column, Contract

SIMILAR_IMAGE_CLUSTERS = Contract(
    name="similar_image_clusters",
    row="group of similar pictures, at least two",
    notes="Those that went stay as rows with state `gone`, so that one that comes back has its id and its edits again: "
    "read `WHERE state = 'live'`. What people decided is in `cluster_edits`.",
    columns=(
        BUCKET,
        PROJECT,
        DATASET,
        Column("object_id", pa.string(), "SimilarImageCluster-<uuid>", nullable=False),
        Column("state", pa.string(), "live or gone", nullable=False),
        Column(
            "kind",
            pa.string(),
            "shots (all of one shot), copies (all of one content), burst or near-duplicates",
            nullable=False,
        ),
        Column("files", pa.int64(), "Pictures in it", nullable=False),
        Column("cover_uri", pa.string(), "The best picture: the highest ImageScore", nullable=False),
        Column(
            "representative",
            pa.string(),
            "Fingerprint of the picture that all members are similar to",
            nullable=False,
        ),
        Column("first_time", TIMESTAMP, "When the earliest was taken, of those whose time is known"),
        Column("last_time", TIMESTAMP, "When the latest was taken"),
        Column("generation", pa.int64(), "Number of the cluster among those that began at its anchor", nullable=False),
        Column(
            "anchor",
            pa.string(),
            "The representative when it was new: with the generation, what its id is made of",
            nullable=False,
        ),
        Column("origin_id", pa.string(), "When it was new: the cluster that had most of its pictures"),
        Column("successor_id", pa.string(), "gone: the cluster that took most of its pictures"),
        Column("last_fingerprints", pa.list_(pa.string()), "gone: what its pictures looked like, up to 100"),
        Column("create_time", TIMESTAMP, "When it first was a cluster", nullable=False),
        Column("update_time", TIMESTAMP, "When its row last changed", nullable=False),
        RUN_ID,
    ),
    key=("bucket", "project_name", "dataset_name", "object_id"),
    checks={
        "state_known": "state IN ('live', 'gone')",
        "kind_known": "kind = 'shots' OR kind = 'copies' OR kind = 'burst' OR kind = 'near-duplicates'",
        "two_or_more": "state = 'gone' OR files >= 2",
    },
    partition_by=("bucket",),
    sort_by=("project_name", "dataset_name", "update_time"),
    writer="jobs",
    change_feed=True,
    merged=True,
)
