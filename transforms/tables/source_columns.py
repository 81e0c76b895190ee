"""The columns of a source: which lake fields there are, mapping others to them, and the row as it was."""

from __future__ import annotations

from collections.abc import Mapping

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, DataType, MapType, NullType, NumericType, StringType, StructField, StructType

from schemas.contract import LEVELS
from schemas.errors import UsageError

ROW, REASON, MESSAGE = "lakealbum_row", "lakealbum_reason", "lakealbum_message"
"""Columns that readers add: the row as JSON, and, for a row that can't be read at all, why."""

JSON_TEXT = {"lakealbum.json": True}
"""Metadata of a text column whose objects and lists are JSON text, so that dotted names reach into it."""
IS_JSON = b"lakealbum.json"
"""The same in an Arrow schema."""

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


def map_columns(raw: DataFrame, mapping: Mapping[str, str]) -> DataFrame:
    """The source with more columns: each key of `mapping` names what to read, its value the lake field it becomes.

    `{"town": "address.township"}` fills one part of the address; the others stay as the source has them. A key is a
    column's whole name, or a dotted path into a struct, a map, or JSON text. A mapped column takes the place of one
    that carries the field's name already.

    Raises UsageError naming what doesn't exist, and what does.
    """
    if not mapping:
        return raw
    doubled = {field for field in mapping.values() if list(mapping.values()).count(field) > 1}
    if doubled:
        raise UsageError(f"--map gives {', '.join(sorted(doubled))} more than once; one column per field is accepted")
    fields: dict[str, Column] = {}
    parts: dict[str, dict[str, Column]] = {}
    for path, field in mapping.items():
        column = _source_column(raw, path)
        owner, _, part = field.partition(".")
        if part and (part in PARTS.get(owner, ()) or owner in OPEN_OBJECTS):
            parts.setdefault(owner, {})[part] = column
        elif field in FILE_FIELDS or field in FIGURE_FIELDS:
            fields[field] = column
        else:
            known = [
                *dict.fromkeys(FILE_FIELDS + FIGURE_FIELDS),
                *(f"{o}.{p}" for o in PARTS for p in PARTS[o]),
                *(f"{o}.NAME" for o in OPEN_OBJECTS),
            ]
            raise UsageError(f"--map {path}={field}: no field {field!r}; accepted are {', '.join(known)}")
    both = sorted(fields.keys() & parts.keys())
    if both:
        raise UsageError(f"--map gives {', '.join(both)} whole and in parts; one of the two is accepted")
    fields |= {owner: _filled_struct(raw, owner, given) for owner, given in parts.items()}
    return add_columns(raw, fields)


def add_columns(raw: DataFrame, columns: Mapping[str, Column]) -> DataFrame:
    """The source with more columns, those that readers added kept last.

    Spark rewrites each constraint that it knows in terms of each alias that follows it in a projection. The row as
    JSON names every column, so n aliases after it would make 2^n constraints as soon as somebody filters.
    """
    added = [name for name in (REASON, MESSAGE, ROW) if name in raw.columns]
    wider = raw.withColumns(dict(columns))
    return wider.select(*[quoted(name) for name in wider.columns if name not in added], *added)


def columns_by_field(raw: DataFrame, fields: tuple[str, ...]) -> dict[str, StructField]:
    """The source's columns that carry a lake field's name, whatever their case; an exact name wins.

    A column that can hold nothing is none.
    """
    found: dict[str, StructField] = {}
    for column in raw.schema.fields:
        name = column.name.lower()
        if name in fields and not is_void(column.dataType) and (name not in found or column.name == name):
            found[name] = column
    return found


def is_void(kind: DataType) -> bool:
    """Whether a type has no value at any depth: void, lists and maps of void, structs whose fields all are."""
    if isinstance(kind, StructType):
        return all(is_void(field.dataType) for field in kind.fields)
    if isinstance(kind, ArrayType):
        return is_void(kind.elementType)
    if isinstance(kind, MapType):
        return is_void(kind.valueType)
    return isinstance(kind, NullType)


def untold_columns(raw: DataFrame) -> frozenset[str]:
    """Columns of `files`, `file_features` and `figures` that a source does not speak of, as it lacks theirs."""
    told = columns_by_field(raw, FILE_FIELDS + FIGURE_FIELDS).keys()
    known = {*FILE_FIELDS, *FIGURE_FIELDS} - {"dataset_name", "uri", "figure_id"}
    return frozenset(name for name in known if told.isdisjoint(TOLD_BY.get(name, (name,))))


def data_columns(raw: DataFrame) -> list[str]:
    """Names of the source's own columns."""
    return [name for name in raw.columns if name not in (ROW, REASON, MESSAGE)]


def quoted(name: str) -> Column:
    """The column of exactly this name, dots and all."""
    return F.col("`" + name.replace("`", "``") + "`")


def row_json(raw: DataFrame) -> Column:
    """The row as JSON, in valid UTF-8: nulls left out, NaN as text, binary as base64, long lists of numbers cut."""
    shown = [_shortened(column).alias(column.name) for column in raw.schema.fields]
    return F.make_valid_utf8(F.to_json(F.struct(*shown))) if shown else F.lit("{}")


def _shortened(column: StructField) -> Column:
    kind = column.dataType
    if isinstance(kind, ArrayType) and isinstance(kind.elementType, NumericType):
        return F.slice(quoted(column.name), 1, LONGEST_ARRAY_IN_ROW)
    return quoted(column.name)


def _source_column(raw: DataFrame, path: str) -> Column:
    by_name = {column.name: column for column in raw.schema.fields if column.name in data_columns(raw)}
    if path in by_name:
        return quoted(path)
    name, *steps = path.split(".")
    if name not in by_name:
        raise UsageError(f"--map {path}=...: the source has no column {name!r}; it has {', '.join(by_name)}")
    column, kind = quoted(name), by_name[name].dataType
    if by_name[name].metadata.get("lakealbum.json") and steps:
        keys = "".join("['" + step.replace("'", "") + "']" for step in steps)
        return F.get_json_object(column, "$" + keys)
    for step in steps:
        column, kind = _step_into(column, kind, step, path)
    return column


def _step_into(column: Column, kind: DataType, step: str, path: str) -> tuple[Column, DataType]:
    if isinstance(kind, MapType) and isinstance(kind.keyType, StringType):
        return F.try_element_at(column, F.lit(step)), kind.valueType
    if isinstance(kind, StructType) and step in kind.names:
        return column.getField(step), kind[step].dataType
    has = f"its fields are {', '.join(kind.names)}" if isinstance(kind, StructType) else f"it is {kind.simpleString()}"
    raise UsageError(f"--map {path}=...: nothing called {step!r} there; {has}")


def _filled_struct(raw: DataFrame, owner: str, given: dict[str, Column]) -> Column:
    existing = columns_by_field(raw, (owner,)).get(owner)
    parts = dict(given)
    if existing is not None and isinstance(existing.dataType, StructType):
        for field in existing.dataType.fields:
            parts.setdefault(field.name.lower(), quoted(existing.name).getField(field.name))
    return F.struct(*[column.alias(part) for part, column in parts.items()])
