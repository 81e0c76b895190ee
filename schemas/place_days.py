"""Contract of `place_days`."""

import pyarrow as pa

from schemas.contract import BUCKET, DATASET, PROJECT, RUN_ID, TIMESTAMP, Column, Contract, level_columns

MOMENT = pa.struct([pa.field("time", TIMESTAMP), pa.field("utc_offset", pa.int32())])
COVER = pa.struct([pa.field("rank", pa.int64()), pa.field("time", TIMESTAMP), pa.field("uri", pa.string())])

PLACE_DAYS = Contract(
    name="place_days",
    row="dataset x place x local date",
    notes="The evidence of trips, a pure function of `file_places`. The place is the full path, country to township; a "
    "level is the roll-up of the places that share its key, so that one row serves every level. The structs "
    "order as the roll-up needs them: the least cover is the best, the least first and the greatest last win.",
    columns=(
        BUCKET,
        PROJECT,
        DATASET,
        Column("place_key", pa.string(), "The place, country to township (see file_places)", nullable=False),
        Column("local_date", pa.date32(), "The day, in the calendar of the place", nullable=False),
        *level_columns(),
        Column("files", pa.int64(), "Files taken there on that day, removed ones included", nullable=False),
        Column("images", pa.int64(), "Pictures among them", nullable=False),
        Column("videos", pa.int64(), "Videos among them", nullable=False),
        Column("first", MOMENT, "The earliest of them: its time (instant), and utc_offset in minutes", nullable=False),
        Column("last", MOMENT, "The latest of them: its time (instant), and utc_offset in minutes", nullable=False),
        Column(
            "cover",
            COVER,
            "The best cover among them: its rank (file_places.cover_rank; the least is best), time and uri",
            nullable=False,
        ),
        RUN_ID,
    ),
    key=("bucket", "project_name", "dataset_name", "place_key", "local_date"),
    checks={"files_counted": "files > 0 AND files = images + videos"},
    partition_by=("bucket",),
    sort_by=("project_name", "dataset_name", "place_key", "local_date"),
    writer="jobs",
    change_feed=True,
    merged=True,
)
