"""Contract of `file_places`."""

import pyarrow as pa

from schemas.contract import BUCKET, DATASET, PROJECT, RUN_ID, TIMESTAMP, Column, Contract, level_columns

FILE_PLACES = Contract(
    name="file_places",
    row="located file",
    notes="A function of the file's row in `files`, of what people corrected of it (`file_edits`) and of the areas in "
    "force. It repeats the few columns of `files` that trips are computed from, so that evidence is one scan without a "
    "join.",
    columns=(
        BUCKET,
        PROJECT,
        DATASET,
        Column("uri", pa.string(), "The file", nullable=False),
        Column("media_type", pa.string(), "image or video", nullable=False),
        Column("produce_time", TIMESTAMP, "When it was taken, as an instant"),
        Column("utc_offset", pa.int32(), "Minutes east of UTC in force where and when it was taken"),
        Column("time_zone", pa.string(), "IANA time zone of the place, where it was looked up"),
        Column(
            "local_date",
            pa.date32(),
            "The day it was taken, in the calendar of where it was taken; null without a time",
        ),
        *level_columns(),
        Column(
            "place_key",
            pa.string(),
            "The place: five parts (country to township) joined by /, each a code or a normalised name, empty where "
            "the level does not exist. Its first n parts are the key of the place at level n",
            nullable=False,
        ),
        Column(
            "address_method",
            pa.string(),
            "supplied (by the source), nearest (place of a gazetteer, or area within the limit) or inside (an area)",
            nullable=False,
        ),
        Column("address_distance", pa.float64(), "Metres to the nearest place, for nearest"),
        Column(
            "location_source",
            pa.string(),
            "file, edited (people said where it was), or inferred from neighbours of the same device",
            nullable=False,
        ),
        Column(
            "index_version",
            pa.string(),
            "Version of the areas or gazetteer that located it; supplied where the source gave the address",
            nullable=False,
        ),
        Column(
            "cover_rank",
            pa.int64(),
            "Smaller is the better cover: pictures by pixels, then videos, then removed files",
            nullable=False,
        ),
        Column(
            "shot_id",
            pa.string(),
            "The uri of the picture that stands for the file's shot; null where it is alone. A row with another's uri "
            "here is a companion, and its shot counts once",
        ),
        Column("deleted_time", TIMESTAMP, "When the file was removed"),
        RUN_ID,
    ),
    key=("bucket", "project_name", "dataset_name", "uri"),
    checks={
        "address_method_known": "address_method IN ('supplied', 'nearest', 'inside')",
        # not with IN: delta-rs keeps a check that it adds in words of its own, and migrate would renew it for ever
        "location_source_known": "location_source = 'file' OR location_source = 'edited' OR "
        "location_source = 'inferred'",
    },
    partition_by=("bucket",),
    sort_by=("project_name", "dataset_name", "local_date"),
    writer="jobs",
    change_feed=True,
    merged=True,
)
