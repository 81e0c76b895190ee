"""Contract of `files`."""

import pyarrow as pa

from schemas.contract import ADDRESS, BUCKET, DATASET, LABELS, PROJECT, RUN_ID, TIMESTAMP, Column, Contract

TIME_SOURCES = (
    *("xmp_sidecar", "exif_original", "exif_digitized", "xmp", "quicktime", "takeout", "gps", "exif_modified"),
    *("companion", "name", "name_day", "source"),
)
"""What the column `time_source` may say; of pictures' own, the most trusted first."""
LOCATION_SOURCES = ("xmp_sidecar", "gps", "xmp", "quicktime", "takeout", "companion", "source", "inferred")
"""What the column `location_source` may say; of pictures' own, the most trusted first."""

FILES = Contract(
    name="files",
    row="photo or video",
    notes="What the source says of a file, and tombstones of those that were removed. A file without a time or a "
    "place is a good row; it just joins no trip.",
    columns=(
        BUCKET,
        PROJECT,
        DATASET,
        Column("uri", pa.string(), "Where the file is; unique in its dataset", nullable=False),
        Column(
            "object_id",
            pa.string(),
            "SHA-256 of project, dataset and the uri that it first had, 64 hex digits; a file that is moved keeps it",
            nullable=False,
        ),
        Column("media_type", pa.string(), "image or video", nullable=False),
        Column("content_type", pa.string(), "MIME type"),
        Column("size", pa.int64(), "Bytes"),
        Column("file_hash", pa.string(), "The source's hash; an ETag ending -2 or the like is no content hash"),
        Column("content_hash", pa.string(), "SHA-256 of the content, computed by LakeAlbum, 64 hex digits"),
        Column(
            "produce_time",
            TIMESTAMP,
            "When it was taken. The instant; where time_is says local, the wall clock's reading as if it were UTC",
        ),
        Column("produce_time_raw", pa.string(), "The time as the source wrote it"),
        Column("time_is", pa.string(), "What the time says: offset, instant (UTC) or local (wall clock only)"),
        Column(
            "time_source",
            pa.string(),
            'Where the time came from: exif_original, takeout, name and others of docs/operations.md, "Whom to '
            'believe"; source where a table or text said it',
        ),
        Column("utc_offset", pa.int32(), "Minutes east of UTC that the source gave with the time"),
        Column("latitude", pa.float64(), "Degrees north, WGS-84"),
        Column("longitude", pa.float64(), "Degrees east, WGS-84"),
        Column(
            "location_source",
            pa.string(),
            "Where the coordinates came from: gps, xmp, takeout and others; source where a table or text said them",
        ),
        Column("address", ADDRESS, "The address that the source supplied, if any"),
        Column("image_width", pa.int32(), "Pixels, as displayed"),
        Column("image_height", pa.int32(), "Pixels, as displayed"),
        Column("orientation", pa.int32(), "EXIF orientation, 1 to 8"),
        Column("camera_make", pa.string(), "Maker of the camera"),
        Column("camera_model", pa.string(), "Model of the camera"),
        Column("duration", pa.float64(), "Seconds, for videos"),
        Column("title", pa.string(), "Title that the source gives"),
        Column("description", pa.string(), "Description that the source gives"),
        Column(
            "labels",
            pa.list_(pa.string()),
            "Labels that the source gives; person:NAME for who is in the picture, favorite for one marked as such",
        ),
        Column(
            "shot_id",
            pa.string(),
            "The uri of the picture that stands for the file's shot (Live Photo, raw file and JPEG, motion photo); "
            "null where the file is alone. A file with another's uri here is a companion: its shot counts once",
        ),
        Column("warning", pa.string(), "What of the file or its sidecars could not be read; null where all is well"),
        Column("custom_id", pa.string(), "The id that the source's owner gives it; see also file_edits"),
        Column("custom_labels", LABELS, "Labels with values that the source's owner gives it; see also file_edits"),
        Column(
            "attributes",
            pa.string(),
            "What else the source says, a JSON object: of IMM's Files every field without a column of its own",
        ),
        Column("source", pa.string(), "The source that the row came from", nullable=False),
        Column(
            "source_digest",
            pa.int64(),
            "Digest of the row as the source had it, and of how it was read: one that comes again is not judged again",
        ),
        Column("create_time", TIMESTAMP, "When the row first came into the lake", nullable=False),
        Column("update_time", TIMESTAMP, "When the row last changed", nullable=False),
        Column("deleted_time", TIMESTAMP, "When the file was removed; such a row is a tombstone"),
        Column("moved_to", pa.string(), "Of a tombstone: the uri that the file has now, where it was only moved"),
        RUN_ID,
    ),
    key=("bucket", "project_name", "dataset_name", "uri"),
    checks={
        "media_type_known": "media_type IN ('image', 'video')",
        "latitude_in_range": "latitude IS NULL OR latitude BETWEEN -90 AND 90",
        "longitude_in_range": "longitude IS NULL OR longitude BETWEEN -180 AND 180",
        "time_is_known": "time_is IS NULL OR time_is IN ('offset', 'instant', 'local')",
    },
    partition_by=("bucket",),
    sort_by=("project_name", "dataset_name", "uri"),
    writer="jobs",
    change_feed=True,
    merged=True,
)
