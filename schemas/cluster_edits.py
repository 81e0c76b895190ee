"""Contract of `cluster_edits`."""

import pyarrow as pa

from schemas.contract import DATASET, LABELS, PROJECT, TIMESTAMP, Column, Contract

FIGURE_PLACE = pa.struct(
    [
        pa.field("uri", pa.string()),
        pa.field("content_hash", pa.string()),
        pa.field("perceptual_hash", pa.string()),
        *(pa.field(side, pa.float32()) for side in ("left", "top", "right", "bottom")),
    ]
)
"""Where a face was: the picture (uri, content, look), and its box as shares of the picture's width and height."""

CLUSTER_EDITS = Contract(
    name="cluster_edits",
    row="change that a person made to a cluster",
    notes="Append-only. The last commit wins, not the latest clock: rows apply in the order of `sequence`. Only what "
    "was said of a person who is erased is deleted.",
    columns=(
        Column(
            "sequence",
            pa.int64(),
            "The table version that the row was committed as: the order of edits",
            nullable=False,
        ),
        PROJECT,
        DATASET,
        Column("kind", pa.string(), "location-date, similar-images or figures", nullable=False),
        Column("object_id", pa.string(), "The cluster", nullable=False),
        Column(
            "action",
            pa.string(),
            "update, delete, undelete, keep, unkeep, part, rejoin, join, leave, merge, unmerge or erase",
            nullable=False,
        ),
        Column("title", pa.string(), "update: the new title; empty clears it, null leaves it"),
        Column("custom_id", pa.string(), "update: the new custom id; empty clears it, null leaves it"),
        Column("custom_labels", LABELS, "update: all labels; empty clears them, null leaves them"),
        Column("cover_uri", pa.string(), "update: the chosen cover; empty clears it, null leaves it"),
        Column("cover_figure_id", pa.string(), "update: the chosen cover of a person, a face; empty clears it"),
        Column("level", pa.string(), "delete: level of the cluster"),
        Column("place_key", pa.string(), "delete: place of the cluster"),
        Column("first_day", pa.date32(), "delete: first of the days taken out of the evidence"),
        Column("last_day", pa.date32(), "delete: last of the days taken out of the evidence"),
        Column("uri", pa.string(), "keep, unkeep, part, rejoin: the member, a picture"),
        Column("figure_id", pa.string(), "part, rejoin, join, leave: the member, a face"),
        Column(
            "other_id",
            pa.string(),
            "merge: the person that the cluster is merged into; erase: the person that it is erased with",
        ),
        Column(
            "fingerprints",
            pa.list_(pa.string()),
            "part: what the pictures look like that the member is not similar to",
        ),
        Column(
            "figure_digests",
            pa.list_(pa.string()),
            "erase: the faces, each as the SHA-256 of 'project LF dataset LF figure_id'; never taken in again, unless "
            "the person is undeleted later",
        ),
        Column(
            "figure_places",
            pa.list_(FIGURE_PLACE),
            "erase: where the faces were, as far as it is known: what is found there again, or in a copy of "
            "the picture, is not taken in",
        ),
        Column("edit_time", TIMESTAMP, "When, by the editor's clock", nullable=False),
    ),
    key=("sequence",),
    checks={
        "action_known": "action IN ('update', 'delete', 'undelete', 'keep', 'unkeep', 'part', 'rejoin', "
        "'join', 'leave', 'merge', 'unmerge', 'erase')"
    },
    writer="catalog",
)
