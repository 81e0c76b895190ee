"""Contract of `location_date_clusters`."""

import pyarrow as pa

from schemas.contract import BUCKET, DATASET, PROJECT, RUN_ID, TIMESTAMP, Column, Contract, level_columns

LOCATION_DATE_CLUSTERS = Contract(
    name="location_date_clusters",
    row="trip or stay: a cluster of one place level",
    notes="The live segments within MinDays and MaxDays. A file belongs if its dataset, its place key at that level "
    "and its local date fall in: membership needs no table. What people decided is in `cluster_edits`.",
    columns=(
        BUCKET,
        PROJECT,
        DATASET,
        Column("object_id", pa.string(), "location-date-cluster-<uuid>", nullable=False),
        Column("level", pa.string(), "country, province, city, district or township", nullable=False),
        Column(
            "place_key",
            pa.string(),
            "Key of the place at that level: the first parts of file_places.place_key",
            nullable=False,
        ),
        Column("title", pa.string(), "Name of the place; a title that people gave is in cluster_edits", nullable=False),
        *level_columns(),
        Column("first_day", pa.date32(), "First local day", nullable=False),
        Column("last_day", pa.date32(), "Last local day", nullable=False),
        Column("start_time", TIMESTAMP, "00:00:00 of the first local day, as an instant", nullable=False),
        Column(
            "start_offset", pa.int32(), "Minutes east of UTC where and when the first file was taken", nullable=False
        ),
        Column("end_time", TIMESTAMP, "The last microsecond of the last local day, as an instant", nullable=False),
        Column("end_offset", pa.int32(), "Minutes east of UTC where and when the last file was taken", nullable=False),
        Column("days", pa.int32(), "Days from first to last, both counted", nullable=False),
        Column("days_with_files", pa.int32(), "Days among them with a file", nullable=False),
        Column("files", pa.int64(), "Files", nullable=False),
        Column("images", pa.int64(), "Pictures", nullable=False),
        Column("videos", pa.int64(), "Videos", nullable=False),
        Column("cover_uri", pa.string(), "The file that represents it best", nullable=False),
        Column("create_time", TIMESTAMP, "When it first was a cluster", nullable=False),
        Column("update_time", TIMESTAMP, "When its row last changed", nullable=False),
        RUN_ID,
    ),
    key=("bucket", "project_name", "dataset_name", "object_id"),
    checks={"days_in_order": "first_day <= last_day AND days >= days_with_files AND files > 0"},
    partition_by=("bucket",),
    sort_by=("project_name", "dataset_name", "start_time"),
    writer="jobs",
    change_feed=True,
    merged=True,
)
