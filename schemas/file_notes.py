"""Contract of `file_notes`."""

import pyarrow as pa

from schemas.contract import DATASET, PROJECT, TIMESTAMP, Column, Contract

FILE_NOTES = Contract(
    name="file_notes",
    row="file of which callers said more than its source",
    notes="Laid over `files`: what the endpoint's callers gave a file (IndexFileMeta, UpdateFileMeta) that `files` has "
    "no column for, and deletions that the removing job has not carried out yet. A file is hidden where "
    "`removed_time` is not before its `update_time` in `files`; a new one has a `removed_time` in 9999 until it is "
    "located.",
    columns=(
        PROJECT,
        DATASET,
        Column("uri", pa.string(), "The file", nullable=False),
        Column("album", pa.string(), "Album"),
        Column("album_artist", pa.string(), "AlbumArtist"),
        Column("artist", pa.string(), "Artist"),
        Column("composer", pa.string(), "Composer"),
        Column("performer", pa.string(), "Performer"),
        Column("oss_uri", pa.string(), "OSSURI"),
        Column("removed_time", TIMESTAMP, "When a caller deleted the file; in 9999 while it is being taken in"),
        Column("update_time", TIMESTAMP, "When this row last changed", nullable=False),
    ),
    key=("project_name", "dataset_name", "uri"),
    writer="catalog",
)
