"""Contract of `location_date_segments`."""

import pyarrow as pa

from schemas.contract import BUCKET, DATASET, PROJECT, RUN_ID, TIMESTAMP, Column, Contract, level_columns
from schemas.place_days import COVER, MOMENT

LOCATION_DATE_SEGMENTS = Contract(
    name="location_date_segments",
    row="run of days at a place",
    notes="Every segment before the MinDays/MaxDays filter, and those that went, with what took their place. This "
    "memory keeps ids, and with them edits, while options change.",
    columns=(
        BUCKET,
        PROJECT,
        DATASET,
        Column("object_id", pa.string(), "location-date-cluster-<uuid>, kept for life", nullable=False),
        Column("level", pa.string(), "country, province, city, district or township", nullable=False),
        Column("place_key", pa.string(), "Key of the place at that level", nullable=False),
        Column(
            "generation",
            pa.int64(),
            "Counts the segments that the place has ever had; the id derives from it",
            nullable=False,
        ),
        Column("state", pa.string(), "live; gone (no longer there); deleted (its cluster was deleted)", nullable=False),
        Column("is_cluster", pa.bool_(), "Whether it is live and within MinDays and MaxDays", nullable=False),
        Column(
            "successor_id", pa.string(), "gone: the object_id of the segment that took over most of its days, if any"
        ),
        Column("origin_id", pa.string(), "The object_id of the segment that it was split from, if any"),
        Column("first_day", pa.date32(), "First day with a file", nullable=False),
        Column("last_day", pa.date32(), "Last day with a file", nullable=False),
        Column("days", pa.int32(), "Days from first to last, both counted", nullable=False),
        Column("days_with_files", pa.int32(), "Days among them with a file", nullable=False),
        Column("files", pa.int64(), "Files", nullable=False),
        Column("images", pa.int64(), "Pictures", nullable=False),
        Column("videos", pa.int64(), "Videos", nullable=False),
        Column("first", MOMENT, "The earliest file: its time (instant), and utc_offset in minutes", nullable=False),
        Column("last", MOMENT, "The latest file: its time (instant), and utc_offset in minutes", nullable=False),
        Column(
            "cover",
            COVER,
            "The best cover: its rank (file_places.cover_rank; the least is best), time and uri",
            nullable=False,
        ),
        *level_columns(),
        Column("cluster_since", TIMESTAMP, "When it first was a cluster"),
        Column("create_time", TIMESTAMP, "When it first appeared", nullable=False),
        Column("update_time", TIMESTAMP, "When this row last changed", nullable=False),
        RUN_ID,
    ),
    key=("bucket", "project_name", "dataset_name", "object_id"),
    checks={
        "state_known": "state IN ('live', 'gone', 'deleted')",
        "days_in_order": "first_day <= last_day AND days >= days_with_files",
    },
    partition_by=("bucket",),
    sort_by=("project_name", "dataset_name", "level", "place_key", "first_day"),
    writer="jobs",
    change_feed=True,
    merged=True,
)
