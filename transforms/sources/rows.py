"""Judging the rows of a source: each becomes one row with the lake's types, accepted, or refused with a reason.

`judge_files` and `judge_figures` make kernels that never throw on a bad value and never drop a row, so that input =
accepted + refused always holds. `transforms.sources.duplicates` refuses rows that repeat a key. `schemas.reasons` has
the reason codes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pyarrow as pa

from schemas.contract import LEVELS, TIMESTAMP
from schemas.errors import SourceError, UsageError
from schemas.figures import FIGURES
from schemas.file_features import CROPS, FEATURES, FILE_FEATURES, HASH_BYTES, THUMBNAIL_SIDE, TURNS
from schemas.files import FILES, LOCATION_SOURCES, TIME_SOURCES
from schemas.lake import NAME_PATTERN
from transforms.sources.columns import Field, fields_of, is_number, is_text, json_part, literal, part_of, type_name
from transforms.sources.times import NO_TIME_PATTERN, OFFSETS, no_time, settled_time, written_time
from transforms.sources.validation import DERIVED, FINAL, GIVEN, READ, SETTLED, Judge, Judgement
from transforms.sources.values import (
    NULL_TEXT,
    bytes_of_length,
    is_clean,
    matches,
    matching,
    number_within,
    read_address,
    read_embedding,
    read_etag,
    read_labels,
    read_name,
    read_number,
    read_object,
    read_text,
    read_text_map,
    whole_number_within,
)
from transforms.tables.source_columns import ANGLES, BOX_SIDES

RULES = 2
"""The number of these rules. Where they come to tell another thing of some row, they get the next one: rows that a lake
has are judged again then, as they come again."""
CONTROL = r"\p{Cc}"
"""A control character."""
LONGEST_URI = 4096
LONGEST_ID = 1024
LONGEST_ATTRIBUTES = 2**20
MOST_PIXELS = 2**31 - 1
BINARY_FEATURES = {
    "crop_hashes": len(CROPS) * HASH_BYTES,
    "turned_hashes": TURNS * HASH_BYTES,
    "thumbnail": THUMBNAIL_SIDE**2,
}
"""Features that are bytes, taken from binary columns alone, and how many each has."""

IMAGE_SUFFIXES = (
    "jpg|jpeg|jpe|heic|heif|hif|avif|png|tif|tiff|webp|gif|bmp|jxl|dng|arw|cr2|cr3|nef|nrw|orf|raf|rw2|srf|sr2|srw|pef"
)
VIDEO_SUFFIXES = "mp4|mp|mov|m4v|3gp|3g2|avi|mkv|webm|mts|m2ts|mpg|mpeg|wmv"


_COMPUTED = ("bucket", "project_name", "object_id", "create_time", "update_time", "deleted_time", "moved_to", "run_id")
"""Columns of tables that no source gives."""


def _given_by_sources(columns: Iterable[pa.Field]) -> pa.Schema:
    given = [(column.name, column.type) for column in columns if column.name not in _COMPUTED]
    return pa.schema([*given, ("seen_time", TIMESTAMP)])


FILE_SCHEMA = _given_by_sources([*FILES.arrow_schema, *(FILE_FEATURES.arrow_schema.field(name) for name in FEATURES)])
"""What a source can say of a file, and `seen_time`: when it was last changed there. All may be null."""
FIGURE_SCHEMA = _given_by_sources(FIGURES.arrow_schema)
"""The same of a face."""
_ADDRESS = "STRUCT(" + ", ".join(f"{level} VARCHAR" for level in LEVELS) + ")"


def judge_files(
    schema: pa.Schema,
    *,
    source: str,
    project: str,
    dataset: str | None = None,
    mapping: Mapping[str, str] | None = None,
    time_is: str | None = None,
    media_type: str | None = None,
) -> Judge:
    """The kernel that judges rows of a source with these columns as files.

    Its result has FILE_SCHEMA's columns, then `project_name`, `source`, `reason` and `message` (null where the row is
    accepted), and `row` (the row as it came, JSON). Rows go to their own `dataset_name`, else to `dataset`. `time_is`
    says what times mean (see `transforms.sources.times.settled_time`); null leaves it to the row, then to how the time
    is written. `media_type`, image or video, is that of rows that do not tell it. `mapping` is that of
    `transforms.sources.columns.map_fields`.

    Raises SourceError where the source has no uri, or a column's type can't hold its field; UsageError where
    nothing names a dataset, `time_is` or `media_type` is unknown, or `mapping` names what doesn't exist.
    """
    if time_is not in (None, "offset", "instant", "local"):
        raise UsageError(f"--time-is {time_is!r}: offset, instant or local is accepted")
    if media_type not in (None, "image", "video"):
        raise UsageError(f"--media-type {media_type!r}: image or video is accepted")
    judgement = Judgement(schema, fields_of(schema, mapping or {}))
    judgement.check_fields(("uri",), source=source, dataset=dataset)
    _read_dataset(judgement, dataset)
    _read_uri(judgement)
    _read_media_type(judgement, otherwise=media_type)
    _read_time(judgement, time_is)
    _read_place(judgement)
    _read_facts(judgement)
    _read_features(judgement)
    how = repr((RULES, sorted((mapping or {}).items()), time_is, media_type))
    return judgement.judge(FILE_SCHEMA, key="uri", how=how, source=source, project=project)


def judge_figures(
    schema: pa.Schema,
    *,
    source: str,
    project: str,
    dataset: str | None = None,
    mapping: Mapping[str, str] | None = None,
) -> Judge:
    """The kernel that judges rows of a source with these columns as faces; its result has FIGURE_SCHEMA's columns.

    The file is `uri` or `file_uri`; the box `boundary` (struct) or left, top, width, height; the pose
    `head_pose` or yaw, pitch, roll. The other columns and the errors are those of `judge_files`.
    """
    judgement = Judgement(schema, _flat_figures(fields_of(schema, mapping or {})))
    judgement.check_fields(("uri", "figure_id"), source=source, dataset=dataset)
    _read_dataset(judgement, dataset)
    _read_uri(judgement)
    _read_figure_id(judgement)
    for side in BOX_SIDES:
        lowest = 1 if side in ("width", "height") else -MOST_PIXELS
        pixels = whole_number_within(lowest, MOST_PIXELS)
        judgement.require(side, pixels, "INTEGER", "a whole number of pixels", "boundary_invalid", into=f"side_{side}")
    for angle in ANGLES:
        judgement.require(angle, number_within(-180, 180), "FLOAT", "degrees from -180 to 180", "head_pose_invalid")
    judgement.require("face_quality", number_within(0, 1), "FLOAT", "a number from 0 to 1")
    judgement.require("gender", matching(read_name, "^(male|female)$"), "VARCHAR", "male or female")
    judgement.require("age", whole_number_within(0, 150), "INTEGER", "whole years from 0 to 150")
    _read_attributes(judgement)
    judgement.require_text("model")
    judgement.require("embedding", read_embedding, "FLOAT[]", "a list of finite 32-bit numbers")
    judgement.add(DERIVED, boundary=_struct_or_null({side: f"side_{side}" for side in BOX_SIDES}))
    judgement.add(DERIVED, head_pose=_struct_or_null({angle: angle for angle in ANGLES}))
    how = repr((RULES, sorted((mapping or {}).items())))
    return judgement.judge(FIGURE_SCHEMA, key="figure_id", how=how, source=source, project=project)


def _read_dataset(judgement: Judgement, dataset: str | None) -> None:
    given, _ = judgement.read("dataset_name", read_text, "VARCHAR", into="read_dataset")
    otherwise = literal(dataset) if dataset is not None else NULL_TEXT
    name = "any_dataset"
    judgement.add(READ, any_dataset=f"coalesce({given}, {otherwise})")
    is_name = matches(name, NAME_PATTERN.replace("$", r"\z"))
    judgement.add(DERIVED, dataset_name=f"CASE WHEN {is_name} THEN {name} END")
    judgement.refuse(f"{name} IS NULL", "dataset_missing", "dataset_name", "a name, or --dataset", shown=name)
    judgement.refuse(
        "dataset_name IS NULL",
        "dataset_invalid",
        "dataset_name",
        "1 to 128 of A-Z a-z 0-9 _ -, the first a letter or _",
        shown=name,
    )


def _read_uri(judgement: Judgement) -> None:
    uri, _ = judgement.read("uri", read_text, "VARCHAR")
    judgement.refuse(f"{uri} IS NULL", "uri_missing", "uri", "a text that isn't blank")
    judgement.refuse(f"NOT {is_clean(uri)}", "text_not_utf8", "uri", "valid UTF-8")
    judgement.refuse(f"strlen({uri}) > {LONGEST_URI}", "uri_too_long", "uri", f"up to {LONGEST_URI:,} bytes")
    broken = matches(uri, CONTROL + r"|^\s*\{.*\}\s*\z|^\s*\[.*\]\s*\z")
    judgement.refuse(broken, "uri_invalid", "uri", "a path or URI without control characters")


def _read_figure_id(judgement: Judgement) -> None:
    figure, _ = judgement.read("figure_id", read_text, "VARCHAR")
    judgement.refuse(f"{figure} IS NULL", "figure_id_missing", "figure_id", "a text that isn't blank")
    judgement.refuse(f"NOT {is_clean(figure)}", "text_not_utf8", "figure_id", "valid UTF-8")
    broken = f"{matches(figure, CONTROL)} OR strlen({figure}) > {LONGEST_ID}"
    judgement.refuse(broken, "figure_id_invalid", "figure_id", f"up to {LONGEST_ID:,} bytes of text")


def _read_media_type(judgement: Judgement, otherwise: str | None) -> None:
    """image or video: as given, else by the content type, else by the uri's suffix, else `otherwise`."""
    mime = matching(read_name, r"^[\w.+-]+/[\w.+-]+\s*(;.*)?\z")
    _, content = judgement.read("content_type", mime, "VARCHAR")
    judgement.refuse_unread("content_type", content, "content_type_invalid", "a MIME type, as image/jpeg")
    given, media = judgement.read("media_type", read_name, "VARCHAR", into="read_media")
    path = f"lower(regexp_replace({_GIVEN_URI}, '[?#].*', ''))"
    is_image, is_video = (matches(path, rf"\.({suffixes})\z") for suffixes in (IMAGE_SUFFIXES, VIDEO_SUFFIXES))
    media_type = f"""CASE WHEN {media} IS NOT NULL THEN {_known_media(media)}
        WHEN {content} <> 'application/octet-stream' THEN {_known_media(f"split_part({content}, '/', 1)")}
        WHEN {is_image} THEN 'image'
        WHEN {is_video} THEN 'video'
        ELSE {literal(otherwise) if otherwise else "NULL"} END"""
    judgement.add(DERIVED, media_type=media_type)
    judgement.refuse(
        "media_type IS NULL",
        "media_type_unknown",
        "media_type",
        "image or video, or a content type or suffix of either, or --media-type",
        shown=f"coalesce({given}, {content}, {_GIVEN_URI})",
    )


_GIVEN_URI = "given_uri"


def _known_media(told: str) -> str:
    return f"CASE WHEN {told} IN ('image', 'video') THEN {told} END"


def _read_time(judgement: Judgement, time_is: str | None) -> None:
    """produce_time, its text, time_is and utc_offset: as written, then as the rule settles what that means."""
    judgement.read("produce_time_raw", read_text, "VARCHAR", into="given_raw")
    judgement.refuse_broken("produce_time_raw", "given_produce_time_raw")
    _, beside = judgement.read("utc_offset", whole_number_within(*OFFSETS), "INTEGER", into="beside_offset")
    judgement.refuse_unread("utc_offset", beside, "utc_offset_invalid", "whole minutes from -720 to 840")
    known = matching(read_name, r"^(offset|instant|local)\z")
    _, rule = judgement.read("time_is", known, "VARCHAR", into="row_rule")
    judgement.refuse_unread("time_is", rule, "time_is_unknown", "offset, instant or local")
    rule = literal(time_is) if time_is else rule

    given = "given_time"
    _read_written_time(judgement)
    judgement.add_layers(SETTLED, settled_time("written", rule, beside))
    judgement.add(DERIVED, produce_time_raw=f"coalesce(given_raw, {given})")
    _read_told_source(judgement, "time_source", TIME_SOURCES, "produce_time")
    low, high = OFFSETS
    judgement.refuse(
        f"written_offset NOT BETWEEN {low} AND {high}",
        "utc_offset_invalid",
        "produce_time",
        "an offset from -12:00 to +14:00",
    )
    unread = f"{given} IS NOT NULL AND produce_time IS NULL"
    no_offset = (
        f"{unread} AND written_wall IS NOT NULL AND {rule} = 'offset' AND coalesce(written_offset, {beside}) IS NULL"
    )
    judgement.refuse(no_offset, "time_without_offset", "produce_time", "a time with its offset from UTC")
    judgement.refuse(unread, "bad_time", "produce_time", "an ISO 8601, RFC 3339 or EXIF time, or an epoch number")


def _read_written_time(judgement: Judgement) -> None:
    """The time that a row gives, as text (`given_time`, null if it gives none), and as written (`written_...`)."""
    field = judgement.columns.get("produce_time")
    written, given = no_time("written"), NULL_TEXT
    if field is not None:
        sql, kind = field
        if is_text(kind):
            begins_by_digit = f"{sql} >= '1' AND {sql} < ':'"  # most do, and need no search
            sql = f"CASE WHEN {begins_by_digit} OR NOT {matches(sql, NO_TIME_PATTERN)} THEN {sql} END"
        elif is_number(kind):
            is_number_there = f" AND NOT isnan(CAST({sql} AS DOUBLE))"
            sql = f"CASE WHEN {sql} <> 0{is_number_there} THEN {sql} END"
        found = written_time("written", Field(sql, kind))
        if found is None:
            judgement.unfit.append(f"produce_time is {type_name(kind)}; text, a timestamp or a number is accepted")
        else:
            written, given = found, f"CAST({sql} AS VARCHAR)"
    judgement.add_layers(GIVEN, written)
    judgement.add(GIVEN, given_time=given)
    judgement.shown["produce_time"] = "given_time"


def _read_told_source(judgement: Judgement, name: str, known: tuple[str, ...], value: str) -> None:
    """Where a value came from: as the row says in known words, else `source`; null where there is no value."""
    _, told = judgement.read(name, matching(read_name, rf"^({'|'.join(known)})\z"), "VARCHAR", into=f"told_{name}")
    judgement.add(FINAL, **{name: f"CASE WHEN {value} IS NOT NULL THEN coalesce({told}, 'source') END"})


def _read_place(judgement: Judgement) -> None:
    """Coordinates, both or none; (0, 0) is no place. The address that the source supplies."""
    axes = (("latitude", 90), ("longitude", 180))
    for name, bound in axes:
        _, value = judgement.read(name, read_number, "DOUBLE", into=f"read_{name}")
        judgement.refuse_unread(name, value, f"{name}_not_a_number", "a decimal number of degrees")
        outside = f"{value} NOT BETWEEN -{bound} AND {bound}"
        judgement.refuse(outside, f"{name}_out_of_range", name, f"degrees from -{bound} to {bound}")
    for name, other in (("latitude", "longitude"), ("longitude", "latitude")):
        alone = f"read_{name} IS NOT NULL AND read_{other} IS NULL"
        both = "latitude and longitude together, or neither,"
        judgement.refuse(alone, "coordinates_incomplete", name, both)
    somewhere = "read_latitude <> 0 OR read_longitude <> 0"
    judgement.add(DERIVED, **{name: f"CASE WHEN {somewhere} THEN read_{name} END" for name, _ in axes})
    _read_told_source(judgement, "location_source", LOCATION_SOURCES, "latitude")
    judgement.require("address", read_address, _ADDRESS, "an object of country, province, city, district, township")
    judgement.refuse_broken("address", "concat_ws(' ', " + ", ".join(f"address.{level}" for level in LEVELS) + ")")


def _read_facts(judgement: Judgement) -> None:
    """What else the table `files` keeps."""
    pixels = whole_number_within(1, MOST_PIXELS)
    judgement.require("size", whole_number_within(0, 2**63 - 1), "BIGINT", "a whole number of bytes, 0 or more")
    judgement.require("file_hash", matching(read_etag, r"^[\w+/=-]{1,256}\z"), "VARCHAR", "a hash in hex or base64")
    judgement.require("content_hash", matching(read_name, r"^[0-9a-f]{64}\z"), "VARCHAR", "64 hex digits")
    judgement.require("image_width", pixels, "INTEGER", "a whole number of pixels, 1 or more")
    judgement.require("image_height", pixels, "INTEGER", "a whole number of pixels, 1 or more")
    judgement.require("orientation", whole_number_within(1, 8), "INTEGER", "1 to 8")
    judgement.require_text("camera_make")
    judgement.require_text("camera_model")
    judgement.require("duration", number_within(0), "DOUBLE", "a number of seconds, 0 or more")
    judgement.require_text("title")
    judgement.require_text("description")
    judgement.require_text("shot_id")
    judgement.require_text("warning")
    judgement.require("labels", read_labels, "VARCHAR[]", "a list of texts")
    judgement.refuse_broken("labels", "array_to_string(labels, ',')")
    judgement.require_text("custom_id")
    judgement.require("custom_labels", read_text_map, "MAP(VARCHAR, VARCHAR)", "an object of texts")
    judgement.refuse_broken("custom_labels", "CAST(to_json(custom_labels) AS VARCHAR)")
    _read_attributes(judgement)


def _read_attributes(judgement: Judgement) -> None:
    """What a source says beside, of a file or a face."""
    judgement.require("attributes", read_object, "VARCHAR", "a JSON object")
    judgement.refuse_broken("attributes", "attributes", longest=LONGEST_ATTRIBUTES)


def _read_features(judgement: Judgement) -> None:
    """What the table `file_features` keeps."""
    judgement.require("image_score", number_within(0, 1), "DOUBLE", "a number from 0 to 1")
    judgement.require("perceptual_hash", matching(read_name, r"^[0-9a-f]{64}\z"), "VARCHAR", "64 hex digits")
    judgement.require("perceptual_hash_quality", whole_number_within(0, 100), "INTEGER", "a whole number from 0 to 100")
    for name, length in BINARY_FEATURES.items():
        judgement.require(name, bytes_of_length(length), "BLOB", f"{length:,} bytes")
    judgement.require("embedding", read_embedding, "FLOAT[]", "a list of finite 32-bit numbers")


def _flat_figures(fields: Mapping[str, Field]) -> dict[str, Field]:
    """The fields of a face with `uri`, and the sides of the box and the angles of the pose as fields of their own."""
    flat = dict(fields)
    uris = [fields[name] for name in ("uri", "file_uri") if name in fields]
    if len(uris) > 1 and all(is_text(uri.kind) for uri in uris):
        flat["uri"] = Field(f"coalesce({', '.join(uri.sql for uri in uris)})", pa.string())
    elif uris:
        flat["uri"] = uris[0]
    for owner, parts in (("boundary", BOX_SIDES), ("head_pose", ANGLES)):
        if owner in fields:
            found = {part: _side_of(fields[owner], owner, part) for part in parts}
            flat |= {part: field for part, field in found.items() if field is not None}
    return flat


def _side_of(field: Field, owner: str, part: str) -> Field | None:
    """One part of a box or pose, from a struct or JSON text; the text itself where it is no object, to be refused."""
    sql, kind = field
    if pa.types.is_struct(kind):
        found = [named for named in kind if named.name.lower() == part]
        return part_of(field, found[0]) if found else None
    if is_text(kind):
        is_object = f"json_type(TRY_CAST({sql} AS JSON)) = 'OBJECT'"
        return Field(f"CASE WHEN {is_object} THEN {json_part(sql, part)} ELSE {sql} END", pa.string())
    raise SourceError(f"{owner} is {type_name(kind)}; a struct, or text that is a JSON object, is accepted")


def _struct_or_null(parts: Mapping[str, str]) -> str:
    """The struct of some columns, null where all of them are."""
    made = ", ".join(f'"{name}" := {column}' for name, column in parts.items())
    return f"CASE WHEN coalesce({', '.join(parts.values())}) IS NOT NULL THEN struct_pack({made}) END"
