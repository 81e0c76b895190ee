"""Contract of `binding_files`."""

import pyarrow as pa

from schemas.contract import BUCKET, DATASET, PROJECT, TIMESTAMP, Column, Contract

BINDING_FILES = Contract(
    name="binding_files",
    row="file of a bound source",
    notes="A bound source as the last sync saw it: what is listed alike is not opened again.",
    columns=(
        BUCKET,
        PROJECT,
        DATASET,
        Column("binding_id", pa.string(), "The binding", nullable=False),
        Column("uri", pa.string(), "The file", nullable=False),
        Column("size", pa.int64(), "Bytes"),
        Column("modified_time", TIMESTAMP, "When the source says that it was last modified"),
        Column("etag", pa.string(), "Its ETag, where the source has one"),
        Column("missing_since", TIMESTAMP, "When a sync first found it gone; it is removed after the grace"),
        Column("refusal", pa.string(), "Why it could not be read; tried again by every sync"),
    ),
    key=("bucket", "binding_id", "uri"),
    partition_by=("bucket",),
    sort_by=("binding_id", "uri"),
    writer="catalog",
    retention="until the binding is deleted",
)
