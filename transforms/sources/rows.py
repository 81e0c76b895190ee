"""Judging the rows of a source: each becomes one row with the lake's types, accepted, or refused with a reason.

`judge_files` and `judge_figures` never throw on a bad value and never drop a row, so that input = accepted +
refused always holds. They cost a shuffle of keys, or of all rows, by (dataset, uri), and memory that doesn't grow with
the source: a uri that repeats a million times is sorted on disk and streamed. `schemas.reasons` has the reason codes.
"""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import NullType, NumericType, StringType, StructField, StructType

from schemas.contract import LEVELS
from schemas.errors import SourceError, UsageError
from schemas.figures import BOUNDARY, HEAD_POSE
from schemas.file_features import CROPS, HASH_BYTES, THUMBNAIL_SIDE, TURNS
from schemas.files import LOCATION_SOURCES, TIME_SOURCES
from schemas.lake import NAME_PATTERN
from transforms.sources.validation import GIVEN, Judgement, give_verdict, prepare_rows, refuse_duplicates
from transforms.sources.values import (
    ADDRESS_TYPE,
    TEXT_MAP_TYPE,
    bytes_of_length,
    is_clean,
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
from transforms.tables.source_columns import (
    ANGLES,
    BOX_SIDES,
    FIGURE_FIELDS,
    FILE_FIELDS,
    ROW,
    add_columns,
    columns_by_field,
    quoted,
    row_json,
)
from transforms.tables.times import NO_TIME_PATTERN, OFFSETS, WrittenTime, settled_time, written_time

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

Refuse = Callable[[DataFrame], DataFrame]
RefuseDuplicates = Callable[..., DataFrame]

IMAGE_SUFFIXES = (
    "jpg|jpeg|jpe|heic|heif|hif|avif|png|tif|tiff|webp|gif|bmp|jxl|dng|arw|cr2|cr3|nef|nrw|orf|raf|rw2|srf|sr2|srw|pef"
)
VIDEO_SUFFIXES = "mp4|mp|mov|m4v|3gp|3g2|avi|mkv|webm|mts|m2ts|mpg|mpeg|wmv"


def judge_files(
    raw: DataFrame,
    *,
    source: str,
    project: str,
    dataset: str | None = None,
    time_is: str | None = None,
    media_type: str | None = None,
    refuse_duplicates: RefuseDuplicates = refuse_duplicates,
) -> DataFrame:
    """One row per row of `raw`: what it says of a file in the lake's types, or why it is refused.

    Columns are those of tables `files` and `file_features` that a source can give, then `project_name`, `source`,
    `reason` and `message` (null where the row is accepted), `row` (the row as it came, JSON) and `ordinal` (its number
    among equal rows). Rows go to their own `dataset_name`, else to `dataset`. `time_is` says what times mean
    (see `transforms.tables.times.settled_time`); null leaves it to the row, then to how the time is written.
    `media_type`, image or video, is that of rows that do not tell it. `refuse_duplicates` is one of the functions of
    that kind in `transforms.sources.validation`.

    Of rows with the same dataset and uri, the one with the latest `update_time` (if the source has one) is accepted,
    then the one whose JSON, then whose embedding, is the greatest; the others are `duplicate_uri`.

    Raises SourceError where the source has no uri, or a column's type can't hold its field; UsageError where
    nothing names a dataset, or `time_is` or `media_type` is unknown.
    """
    if time_is not in (None, "offset", "instant", "local"):
        raise UsageError(f"--time-is {time_is!r}: offset, instant or local is accepted")
    if media_type not in (None, "image", "video"):
        raise UsageError(f"--media-type {media_type!r}: image or video is accepted")
    given, judgement = prepare_rows(raw, FILE_FIELDS, ("uri",), source, dataset)
    _read_dataset(judgement, dataset)
    _read_uri(judgement)
    _read_media_type(judgement, otherwise=media_type)
    _read_time(judgement, time_is)
    _read_place(judgement)
    _read_facts(judgement)
    _read_features(judgement)
    judged = give_verdict(given, judgement, source=source, project=project)
    return refuse_duplicates(judged, key="uri", reason="duplicate_uri")


def judge_figures(
    raw: DataFrame,
    *,
    source: str,
    project: str,
    dataset: str | None = None,
    refuse: Refuse | None = None,
    refuse_duplicates: RefuseDuplicates = refuse_duplicates,
) -> DataFrame:
    """One row per row of `raw`: what it says of a face in the types of table `figures`, or why it is refused.

    The file is `uri` or `file_uri`; the box `boundary` (struct) or left, top, width, height; the pose
    `head_pose` or yaw, pitch, roll. The other columns, the errors and the rule for rows with the same dataset
    and figure_id are those of `judge_files`. `refuse` gives more rows the verdict that they are
    refused.
    """
    given, judgement = prepare_rows(_flatten_figures(raw), FIGURE_FIELDS, ("uri", "figure_id"), source, dataset)
    _read_dataset(judgement, dataset)
    _read_uri(judgement)
    _read_figure_id(judgement)
    for side in BOX_SIDES:
        lowest = 1 if side in ("width", "height") else -MOST_PIXELS
        judgement.require(
            side,
            whole_number_within(lowest, MOST_PIXELS),
            "int",
            "a whole number of pixels",
            "boundary_invalid",
        )
    for angle in ANGLES:
        judgement.require(angle, number_within(-180, 180), "float", "degrees from -180 to 180", "head_pose_invalid")
    judgement.require("face_quality", number_within(0, 1), "float", "a number from 0 to 1")
    judgement.require("gender", matching(read_name, "^(male|female)$"), "string", "male or female")
    judgement.require("age", whole_number_within(0, 150), "int", "whole years from 0 to 150")
    _read_attributes(judgement)
    judgement.require_text("model")
    judgement.require("embedding", read_embedding, "array<float>", "a list of finite 32-bit numbers")
    judged = give_verdict(given, judgement, source=source, project=project)
    if refuse is not None:
        judged = judged.transform(refuse)
    judged = refuse_duplicates(judged, key="figure_id", reason="duplicate_figure")
    return judged.withColumns({"boundary": _struct_or_null(BOUNDARY), "head_pose": _struct_or_null(HEAD_POSE)}).drop(
        *BOX_SIDES, *ANGLES
    )


def _read_dataset(judgement: Judgement, dataset: str | None) -> None:
    name = judgement.read("dataset_name", read_text, "string").given
    name = F.coalesce(name, F.lit(dataset).cast("string"))
    judgement.values["dataset_name"] = F.when(name.rlike(NAME_PATTERN.replace("$", r"\z")), name)
    judgement.refuse(name.isNull(), "dataset_missing", "dataset_name", name, "a name, or --dataset")
    judgement.refuse(
        F.col("dataset_name").isNull(),
        "dataset_invalid",
        "dataset_name",
        name,
        "1 to 128 of A-Z a-z 0-9 _ -, the first a letter or _",
    )


def _read_uri(judgement: Judgement) -> None:
    uri = judgement.read("uri", read_text, "string").given
    judgement.refuse(uri.isNull(), "uri_missing", "uri", uri, "a text that isn't blank")
    judgement.refuse(~is_clean(uri), "text_not_utf8", "uri", uri, "valid UTF-8")
    judgement.refuse(F.octet_length(uri) > LONGEST_URI, "uri_too_long", "uri", uri, f"up to {LONGEST_URI:,} bytes")
    broken = uri.rlike(r"\p{Cc}|^\s*\{.*\}\s*\z|^\s*\[.*\]\s*\z")
    judgement.refuse(broken, "uri_invalid", "uri", uri, "a path or URI without control characters")


def _read_figure_id(judgement: Judgement) -> None:
    figure = judgement.read("figure_id", read_text, "string").given
    judgement.refuse(figure.isNull(), "figure_id_missing", "figure_id", figure, "a text that isn't blank")
    judgement.refuse(~is_clean(figure), "text_not_utf8", "figure_id", figure, "valid UTF-8")
    broken = figure.rlike(r"\p{Cc}") | (F.octet_length(figure) > LONGEST_ID)
    judgement.refuse(broken, "figure_id_invalid", "figure_id", figure, f"up to {LONGEST_ID:,} bytes of text")


def _read_media_type(judgement: Judgement, otherwise: str | None) -> None:
    """image or video: as given, else by the content type, else by the uri's suffix, else `otherwise`."""
    mime = matching(read_name, r"^[\w.+-]+/[\w.+-]+\s*(;.*)?\z")
    content = judgement.parse("content_type", mime, "string")
    judgement.refuse_unread("content_type", content, "content_type_invalid", "a MIME type, as image/jpeg")
    judgement.values["content_type"] = content.value
    media = judgement.parse("media_type", read_name, "string")
    by_content = F.substring_index(content.value, "/", 1)
    path = F.lower(F.regexp_replace(F.col(GIVEN + "uri").cast("string"), "[?#].*", ""))
    judgement.values["media_type"] = (
        F.when(media.value.isNotNull(), _known_media(media.value))
        .when(content.value != "application/octet-stream", _known_media(by_content))
        .when(path.rlike(rf"\.({IMAGE_SUFFIXES})\z"), "image")
        .when(path.rlike(rf"\.({VIDEO_SUFFIXES})\z"), "video")
        .otherwise(F.lit(otherwise))
    )
    judgement.refuse(
        F.col("media_type").isNull(),
        "media_type_unknown",
        "media_type",
        F.coalesce(media.given, F.col("content_type"), F.col(GIVEN + "uri").cast("string")),
        "image or video, or a content type or suffix of either, or --media-type",
    )


def _known_media(told: Column) -> Column:
    return F.when(told.isin("image", "video"), told)


def _read_time(judgement: Judgement, time_is: str | None) -> None:
    """produce_time, its text, time_is and utc_offset: as written, then as the rule settles what that means."""
    judgement.require_text("produce_time_raw")
    beside = judgement.parse("utc_offset", whole_number_within(*OFFSETS), "int")
    judgement.refuse_unread("utc_offset", beside, "utc_offset_invalid", "whole minutes from -720 to 840")
    row_rule = judgement.parse("time_is", matching(read_name, r"^(offset|instant|local)\z"), "string")
    judgement.refuse_unread("time_is", row_rule, "time_is_unknown", "offset, instant or local")
    rule = F.lit(time_is) if time_is else row_rule.value

    given, written = _written_time(judgement)
    judgement.parsed |= {"wall": written.wall, "zone": written.zone, "offset": written.offset}
    wall, zone, offset = F.col("wall"), F.col("zone"), F.col("offset")
    moment, says, minutes = settled_time(WrittenTime(wall, zone, offset), rule, beside.value)
    raw_text = F.coalesce(judgement.values["produce_time_raw"], given)
    judgement.values |= {
        "produce_time": moment,
        "produce_time_raw": raw_text,
        "time_is": says,
        "utc_offset": minutes.cast("int"),
    }
    judgement.values["time_source"] = _told_source(judgement, "time_source", TIME_SOURCES, F.col("produce_time"))
    judgement.refuse(
        ~offset.between(*OFFSETS),
        "utc_offset_invalid",
        "produce_time",
        given,
        "an offset from -12:00 to +14:00",
    )
    unread = given.isNotNull() & F.col("produce_time").isNull()
    no_offset = unread & wall.isNotNull() & (rule == "offset") & F.coalesce(offset, beside.value).isNull()
    judgement.refuse(no_offset, "time_without_offset", "produce_time", given, "a time with its offset from UTC")
    judgement.refuse(
        unread, "bad_time", "produce_time", given, "an ISO 8601, RFC 3339 or EXIF time, or an epoch number"
    )


def _written_time(judgement: Judgement) -> tuple[Column, WrittenTime]:
    """The time that a row gives as text, null if it gives none, and the time as written."""
    kind = judgement.columns.get("produce_time", NullType())
    no_time = WrittenTime(*(F.lit(None).cast(lake_type) for lake_type in ("timestamp", "string", "int")))
    if isinstance(kind, NullType):
        return F.lit(None).cast("string"), no_time
    column = F.col(GIVEN + "produce_time")
    if isinstance(kind, StringType):
        column = judgement.compute_first("time_given", F.when(~column.rlike(NO_TIME_PATTERN), column))
    elif isinstance(kind, NumericType):
        column = F.when((column != 0) & ~F.isnan(column.cast("double")), column)
    written = written_time(column, kind, first=judgement.compute_first)
    if written is None:
        judgement.unfit.append(f"produce_time is {kind.simpleString()}; text, a timestamp or a number is accepted")
        return F.lit(None).cast("string"), no_time
    return column.cast("string"), written


def _told_source(judgement: Judgement, name: str, known: tuple[str, ...], value: Column) -> Column:
    """Where a value came from: as the row says in known words, else `source`; null where there is no value."""
    told = judgement.parse(name, matching(read_name, rf"^({'|'.join(known)})\z"), "string").value
    return F.when(value.isNotNull(), F.coalesce(told, F.lit("source")))


def _read_place(judgement: Judgement) -> None:
    """Coordinates, both or none; (0, 0) is no place. The address that the source supplies."""
    latitude = judgement.parse("latitude", read_number, "double")
    longitude = judgement.parse("longitude", read_number, "double")
    for name, read, bound in (("latitude", latitude, 90), ("longitude", longitude, 180)):
        judgement.refuse_unread(name, read, f"{name}_not_a_number", "a decimal number of degrees")
        outside = ~read.value.between(-bound, bound)
        judgement.refuse(outside, f"{name}_out_of_range", name, read.given, f"degrees from -{bound} to {bound}")
    for name, read, other in (("latitude", latitude, longitude), ("longitude", longitude, latitude)):
        alone = read.value.isNotNull() & other.value.isNull()
        judgement.refuse(
            alone, "coordinates_incomplete", name, read.given, "latitude and longitude together, or neither,"
        )
    somewhere = (latitude.value != 0) | (longitude.value != 0)
    judgement.values["latitude"] = F.when(somewhere, latitude.value)
    judgement.values["longitude"] = F.when(somewhere, longitude.value)
    judgement.values["location_source"] = _told_source(
        judgement, "location_source", LOCATION_SOURCES, F.col("latitude")
    )
    judgement.require("address", read_address, ADDRESS_TYPE, "an object of country, province, city, district, township")
    judgement.refuse_broken("address", F.concat_ws(" ", *[F.col("address")[level] for level in LEVELS]))


def _read_facts(judgement: Judgement) -> None:
    """What else the table `files` keeps."""
    pixels = whole_number_within(1, MOST_PIXELS)
    judgement.require("size", whole_number_within(0, 2**63 - 1), "bigint", "a whole number of bytes, 0 or more")
    judgement.require("file_hash", matching(read_etag, r"^[\w+/=-]{1,256}\z"), "string", "a hash in hex or base64")
    judgement.require("content_hash", matching(read_name, r"^[0-9a-f]{64}\z"), "string", "64 hex digits")
    judgement.require("image_width", pixels, "int", "a whole number of pixels, 1 or more")
    judgement.require("image_height", pixels, "int", "a whole number of pixels, 1 or more")
    judgement.require("orientation", whole_number_within(1, 8), "int", "1 to 8")
    judgement.require_text("camera_make")
    judgement.require_text("camera_model")
    judgement.require("duration", number_within(0), "double", "a number of seconds, 0 or more")
    judgement.require_text("title")
    judgement.require_text("description")
    judgement.require_text("shot_id")
    judgement.require_text("warning")
    judgement.require("labels", read_labels, "array<string>", "a list of texts")
    judgement.refuse_broken("labels", F.array_join("labels", ","))
    judgement.require_text("custom_id")
    judgement.require("custom_labels", read_text_map, TEXT_MAP_TYPE, "an object of texts")
    judgement.refuse_broken("custom_labels", F.to_json("custom_labels"))
    _read_attributes(judgement)


def _read_attributes(judgement: Judgement) -> None:
    """What a source says beside, of a file or a face."""
    judgement.require("attributes", read_object, "string", "a JSON object")
    judgement.refuse_broken("attributes", F.col("attributes"), longest=LONGEST_ATTRIBUTES)


def _read_features(judgement: Judgement) -> None:
    """What the table `file_features` keeps."""
    judgement.require("image_score", number_within(0, 1), "double", "a number from 0 to 1")
    judgement.require("perceptual_hash", matching(read_name, r"^[0-9a-f]{64}\z"), "string", "64 hex digits")
    judgement.require("perceptual_hash_quality", whole_number_within(0, 100), "int", "a whole number from 0 to 100")
    for name, length in BINARY_FEATURES.items():
        judgement.require(name, bytes_of_length(length), "binary", f"{length:,} bytes")
    judgement.require("embedding", read_embedding, "array<float>", "a list of finite 32-bit numbers")


def _flatten_figures(raw: DataFrame) -> DataFrame:
    """The source with `uri`, and the sides of the box and the angles of the pose as columns of their own."""
    columns = columns_by_field(raw, FIGURE_FIELDS)
    flat: dict[str, Column] = {}
    uris = [quoted(columns[name].name) for name in ("uri", "file_uri") if name in columns]
    if uris:
        flat["uri"] = F.coalesce(*uris)
    for owner, parts in (("boundary", BOX_SIDES), ("head_pose", ANGLES)):
        if owner in columns:
            flat |= {part: _part_of(columns[owner], part) for part in parts}
    with_row = raw if ROW in raw.columns else raw.withColumn(ROW, row_json(raw))
    return add_columns(with_row, flat)


def _part_of(owner: StructField, part: str) -> Column:
    """One part of a box or pose, from a struct or JSON text; the text itself where it is no object, to be refused."""
    kind, column = owner.dataType, quoted(owner.name)
    if isinstance(kind, StructType):
        found = [name for name in kind.names if name.lower() == part]
        return column.getField(found[0]) if found else F.lit(None).cast("double")
    if isinstance(kind, StringType):
        parsed = F.from_json(column, "map<string,string>")
        return F.when(parsed.isNull(), column).otherwise(F.try_element_at(parsed, F.lit(part)))
    raise SourceError(f"{owner.name} is {kind.simpleString()}; a struct, or text that is a JSON object, is accepted")


def _struct_or_null(contract: pa.StructType) -> Column:
    """The struct of the columns that its fields name, null where all of them are."""
    names = [part.name for part in contract]
    return F.when(F.coalesce(*names).isNotNull(), F.struct(*names))
