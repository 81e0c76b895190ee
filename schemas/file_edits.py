"""Contract of `file_edits`."""

import pyarrow as pa

from schemas.contract import ADDRESS, DATASET, LABELS, PROJECT, TIMESTAMP, Column, Contract

FILE_EDITS = Contract(
    name="file_edits",
    row="change that a person made to what is known of a file",
    notes="Append-only. The last commit wins, not the latest clock: rows apply in the order of `sequence`. What is "
    "said here holds over what any source says, now and later, until it is taken back. A file has one row a commit.",
    columns=(
        Column(
            "sequence",
            pa.int64(),
            "The table version that the row was committed as: the order of edits",
            nullable=False,
        ),
        PROJECT,
        DATASET,
        Column("object_id", pa.string(), "The file, under whatever uri it is", nullable=False),
        Column("uri", pa.string(), "Where the file was when it was edited", nullable=False),
        Column("custom_id", pa.string(), "The new custom id; empty for none, null leaves it"),
        Column("custom_labels", LABELS, "All custom labels; empty for none, null leaves them"),
        Column("produce_time", TIMESTAMP, "When it was taken, as in files; null leaves the time"),
        Column("time_is", pa.string(), "With produce_time: offset, instant or local, as in files"),
        Column("utc_offset", pa.int32(), "With produce_time, where time_is says offset: minutes east of UTC"),
        Column("latitude", pa.float64(), "Degrees north, WGS-84; with it longitude. Null leaves the place"),
        Column("longitude", pa.float64(), "Degrees east, WGS-84"),
        Column("address", ADDRESS, "The address; null leaves the place, or, with latitude, is looked up"),
        Column(
            "taken_back",
            pa.list_(pa.string()),
            "What is as the source says again: any of custom_id, custom_labels, time, place",
            nullable=False,
        ),
        Column("edit_time", TIMESTAMP, "When, by the editor's clock", nullable=False),
    ),
    key=("sequence", "object_id"),
    checks={
        "latitude_in_range": "latitude IS NULL OR latitude BETWEEN -90 AND 90",
        "longitude_in_range": "longitude IS NULL OR longitude BETWEEN -180 AND 180",
        "time_is_known": "time_is IS NULL OR time_is IN ('offset', 'instant', 'local')",
    },
    writer="catalog",
)
