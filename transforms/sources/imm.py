"""IMM's `File` objects, as GetFileMeta and SimpleQuery return them, in the lake's names.

Field names: `models/_file.py`, `_figure.py`, `_address.py`, `_label.py` of `alibabacloud_imm20200930` (PyPI). Inner
objects are taken as JSON text, so that a value of the wrong shape reaches the judge and is refused there.
"""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa

from schemas.contract import LEVELS
from transforms.sources.columns import Field, is_text, json_object, json_part, json_text, literal
from transforms.sources.engine import query
from transforms.sources.values import NULL_TEXT
from transforms.tables.source_columns import ANGLES, BOX_SIDES, MESSAGE, REASON, ROW

IMM_FIELDS = (
    "URI",
    "CustomId",
    "CustomLabels",
    "DatasetName",
    "MediaType",
    "ContentType",
    "Size",
    "FileHash",
    "ETag",
    "ProduceTime",
    "LatLong",
    "Addresses",
    "ImageWidth",
    "ImageHeight",
    "VideoWidth",
    "VideoHeight",
    "Orientation",
    "EXIF",
    "Duration",
    "Title",
    "Labels",
    "ImageScore",
    "Figures",
    "UpdateTime",
)
"""The fields of a File that the lake has columns for. Its ProjectName isn't one: a run has one project."""

OWN_FIELDS = (
    "URI",
    "ObjectId",
    "ProjectName",
    "DatasetName",
    "MediaType",
    "ContentType",
    "Size",
    "FileHash",
    "ProduceTime",
    "LatLong",
    "ImageWidth",
    "ImageHeight",
    "Orientation",
    "Duration",
    "Title",
    "CustomId",
    "CustomLabels",
    "Figures",
    "CreateTime",
    "UpdateTime",
)
"""The fields of a File of which columns of `files`, or the table `figures`, tell all; the others are `attributes`."""

OWN_FIGURE_FIELDS = (
    "FigureId",
    "Boundary",
    "HeadPose",
    "FaceQuality",
    "Gender",
    "Age",
    "FigureClusterId",
    "FigureClusterConfidence",
)
"""The fields of a Figure of which columns tell all; whose face it is, is for the lake to find out."""


def from_imm(raw: pa.Table, *, language: str = "en") -> pa.Table:
    """The File objects of `raw` with the lake's columns beside IMM's.

    The address is that of `language`, else the first; the hash is FileHash, else the ETag; a video's width and
    height stand in for an image's. What no column tells whole is `attributes`. Inner objects that can't be read are
    passed on as they are, to be refused.
    """
    get = _Fields(raw.schema)
    lat_long = f"trim({get('LatLong')})"
    comma = f"strpos({lat_long}, ',')"
    lake = {
        "uri": get("URI"),
        "dataset_name": get("DatasetName"),
        "media_type": get("MediaType"),
        "content_type": get("ContentType"),
        "size": get("Size"),
        "file_hash": f"coalesce(CASE WHEN trim({get('FileHash')}) <> '' THEN {get('FileHash')} END, {get('ETag')})",
        "produce_time": get("ProduceTime"),
        "latitude": f"CASE WHEN {comma} > 0 THEN split_part({lat_long}, ',', 1) ELSE {lat_long} END",
        "longitude": f"CASE WHEN {comma} > 0 THEN substr({lat_long}, {comma} + 1) END",
        "address": _address(get("Addresses"), language) if get.has("Addresses") else NULL_TEXT,
        "image_width": f"coalesce({get('ImageWidth')}, {get('VideoWidth')})",
        "image_height": f"coalesce({get('ImageHeight')}, {get('VideoHeight')})",
        "orientation": get("Orientation"),
        "camera_make": json_part(get("EXIF"), "Make", "value"),
        "camera_model": json_part(get("EXIF"), "Model", "value"),
        "duration": get("Duration"),
        "title": get("Title"),
        "labels": _labels(get("Labels")) if get.has("Labels") else NULL_TEXT,
        "image_score": json_part(get("ImageScore"), "OverallQualityScore"),
        "custom_id": get("CustomId"),
        "custom_labels": get("CustomLabels"),
        "attributes": filled_object(get(ROW), without=OWN_FIELDS),
        "update_time": get("UpdateTime"),
    }
    untold = {"DatasetName": "dataset_name", "CustomId": "custom_id", "CustomLabels": "custom_labels"}
    for name in (ours for theirs, ours in untold.items() if not get.has(theirs)):
        del lake[name]
    found = query(f"SELECT {_columns(lake)} FROM rows", raw)
    return pa.table([*raw.columns, *found.columns], schema=pa.schema([*raw.schema, *found.schema]))


def figures_from_imm(raw: pa.Table) -> pa.Table:
    """One row per face in the File objects of `raw`, in the lake's columns.

    A file without figures gives no row. A row that couldn't be read stays one, and so does a file whose Figures are
    no list: both are refused by the judge.
    """
    get = _Fields(raw.schema)
    listed = f"""TRY(from_json({get("Figures")}, '["JSON"]'))""" if get.has("Figures") else "CAST(NULL AS JSON[])"
    broken = f"({get('Figures')} IS NOT NULL AND {listed} IS NULL)"
    files = {
        "uri": get("URI"),
        **({"dataset_name": get("DatasetName")} if get.has("DatasetName") else {}),
        "update_time": get("UpdateTime"),
        REASON: f"CASE WHEN {broken} THEN 'json_malformed' ELSE {get(REASON)} END",
        MESSAGE: f"CASE WHEN {broken} THEN 'Figures: a list of objects is accepted' ELSE {get(MESSAGE)} END",
    }
    faces = f"CASE WHEN {broken} OR {get(REASON)} IS NOT NULL THEN [NULL] ELSE {listed} END"
    unnested = f"SELECT {_columns(files)}, {get(ROW)} AS file_row, unnest({faces}) AS figure FROM rows"
    text = "CAST(figure AS VARCHAR)"
    row = json_object([("URI", Field("uri", pa.string())), ("Figure", Field(text, pa.string()))])
    lake = {
        **{name: f'"{name}"' for name in files},
        ROW: f"CASE WHEN figure IS NULL THEN file_row ELSE {row} END",
        "figure_id": json_part("figure", "FigureId"),
        **{side: json_part("figure", "Boundary", side.title()) for side in BOX_SIDES},
        **{angle: json_part("figure", "HeadPose", angle.title()) for angle in ANGLES},
        "face_quality": json_part("figure", "FaceQuality"),
        "gender": json_part("figure", "Gender"),
        "age": json_part("figure", "Age"),
        "attributes": filled_object(text, without=OWN_FIGURE_FIELDS),
    }
    return query(f"SELECT {_columns(lake)} FROM ({unnested})", raw)


class _Fields:
    """The columns of a source by exact name, as text; null where there is none."""

    def __init__(self, schema: pa.Schema) -> None:
        self.by_name = {column.name: Field(f"_{number}", column.type) for number, column in enumerate(schema)}

    def has(self, name: str) -> bool:
        return name in self.by_name

    def __call__(self, name: str) -> str:
        field = self.by_name.get(name)
        if field is None:
            return NULL_TEXT
        return field.sql if is_text(field.kind) else json_text(field)


def _columns(expressions: dict[str, str]) -> str:
    return ", ".join(f'CAST({sql} AS VARCHAR) AS "{name}"' for name, sql in expressions.items())


def _address(addresses: str, language: str) -> str:
    """The address of a language (zh takes zh-Hans too), else the first, as JSON in the lake's names."""
    names = ", ".join(f'"{name}":"VARCHAR"' for name in ("Language", *(level.title() for level in LEVELS)))
    listed = f"TRY(from_json({addresses}, '[{{{names}}}]'))"
    spoken, wanted = "lower(address.Language)", literal(language.lower())
    speaks = f"{spoken} = {wanted} OR starts_with({spoken}, {wanted} || '-')"
    chosen = f"coalesce(list_filter({listed}, lambda address: {speaks})[1], {listed}[1])"
    address = json_object([(level, Field(f"{chosen}.{level.title()}", pa.string())) for level in LEVELS])
    return f"CASE WHEN {listed} IS NULL THEN {addresses} WHEN {chosen} IS NOT NULL THEN {address} END"


def _labels(labels: str) -> str:
    """The names of the labels as a JSON list."""
    listed = f"""TRY(from_json({labels}, '[{{"LabelName":"VARCHAR"}}]'))"""
    names = Field(f"list_transform({listed}, lambda label: label.LabelName)", pa.list_(pa.string()))
    return f"CASE WHEN {listed} IS NULL THEN {labels} ELSE {json_text(names)} END"


def filled_object(text: str, *, without: Iterable[str] = ()) -> str:
    """The JSON object that a text is, but for listed and empty keys ("", [], {}, null); null where none is left."""
    parsed = f"TRY_CAST({text} AS JSON)"
    unwanted = ", ".join(map(literal, without))
    pointer = "'/' || replace(replace(name, '~', '~0'), '/', '~1')"
    value = f"CAST(json_extract({parsed}, {pointer}) AS VARCHAR)"
    is_wanted = f"name NOT IN ({unwanted}) AND {value} NOT IN ('\"\"', '[]', '{{}}', 'null')"
    names = f"list_filter(json_keys({parsed}), lambda name: {is_wanted})"
    pairs = f"list_transform({names}, lambda name: to_json(name) || ':' || {value})"
    return f"nullif('{{' || array_to_string({pairs}, ',') || '}}', '{{}}')"
