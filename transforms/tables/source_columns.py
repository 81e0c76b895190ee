"""The columns of a source: which fields of the lake there are, what readers add, and what a source speaks of."""

from __future__ import annotations

from schemas.contract import LEVELS

ROW, REASON, MESSAGE = "lakealbum_row", "lakealbum_reason", "lakealbum_message"
"""Columns that readers add: the row as JSON, and, for a row that can't be read at all, why."""

JSON_TEXT = {"lakealbum.json": True}
"""Metadata of a text column whose objects and lists are JSON text, so that dotted names reach into it."""
IS_JSON = {b"lakealbum.json": b"true"}
"""The same of a column of Arrow's."""

FILE_FIELDS = (
    "dataset_name",
    "uri",
    "media_type",
    "content_type",
    "size",
    "file_hash",
    "content_hash",
    "produce_time",
    "produce_time_raw",
    "time_is",
    "time_source",
    "utc_offset",
    "latitude",
    "longitude",
    "location_source",
    "address",
    "image_width",
    "image_height",
    "orientation",
    "camera_make",
    "camera_model",
    "duration",
    "title",
    "description",
    "labels",
    "shot_id",
    "warning",
    "custom_id",
    "custom_labels",
    "attributes",
    "image_score",
    "perceptual_hash",
    "perceptual_hash_quality",
    "crop_hashes",
    "turned_hashes",
    "thumbnail",
    "embedding",
    "update_time",
)
"""What a source can say of a file. `update_time` isn't kept: of rows that repeat a uri it chooses the latest."""

BOX_SIDES = ("left", "top", "width", "height")
ANGLES = ("yaw", "pitch", "roll")
FIGURE_FIELDS = (
    "dataset_name",
    "figure_id",
    "uri",
    "file_uri",
    *BOX_SIDES,
    "boundary",
    *ANGLES,
    "head_pose",
    "face_quality",
    "gender",
    "age",
    "attributes",
    "model",
    "embedding",
    "update_time",
)
"""What a source can say of a face; `file_uri` is another name of `uri`."""

TOLD_BY: dict[str, tuple[str, ...]] = {
    "media_type": ("media_type", "content_type"),
    **dict.fromkeys(("produce_time", "produce_time_raw", "time_is", "time_source", "utc_offset"), ("produce_time",)),
    **dict.fromkeys(("latitude", "longitude", "location_source"), ("latitude", "longitude")),
    "boundary": ("boundary", *BOX_SIDES),
    "head_pose": ("head_pose", *ANGLES),
}
"""Columns of the lake that a source speaks of where it has any of these fields."""

PARTS: dict[str, tuple[str, ...]] = {"address": LEVELS, "boundary": BOX_SIDES, "head_pose": ANGLES}
OPEN_OBJECTS = ("custom_labels", "attributes")
"""Fields whose parts have any name: `--map town=custom_labels.town`."""
LONGEST_ARRAY_IN_ROW = 8
