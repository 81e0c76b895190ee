"""IMM's `File` objects, as GetFileMeta and SimpleQuery return them, in the lake's names.

Field names: `models/_file.py`, `_figure.py`, `_address.py`, `_label.py` of `alibabacloud_imm20200930` (PyPI). Inner
objects are taken as JSON text, so that a value of the wrong shape reaches the judge and is refused there.
"""

from __future__ import annotations

from collections.abc import Iterable

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StringType, StructField

from schemas.contract import LEVELS
from transforms.tables.source_columns import ANGLES, BOX_SIDES, MESSAGE, REASON, ROW
from transforms.tables.source_frames import add_columns, quoted

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

_ADDRESSES = "array<struct<Language:string," + ",".join(f"{level.title()}:string" for level in LEVELS) + ">>"


def from_imm(raw: DataFrame, *, language: str = "en") -> DataFrame:
    """The File objects of `raw` with the lake's columns beside (or, where the names are equal, instead of) IMM's.

    The address is that of `language`, else the first; the hash is FileHash, else the ETag; a video's width and
    height stand in for an image's. What no column tells whole is `attributes`. Inner objects that can't be read are
    passed on as they are, to be refused.
    """
    get = _Fields(raw)
    lat_long = F.trim(get("LatLong"))
    comma = F.instr(lat_long, ",")
    lake = {
        "uri": get("URI"),
        "dataset_name": get("DatasetName"),
        "media_type": get("MediaType"),
        "content_type": get("ContentType"),
        "size": get("Size"),
        "file_hash": F.coalesce(_filled(get("FileHash")), get("ETag")),
        "produce_time": get("ProduceTime"),
        "latitude": F.when(comma > 0, F.substring_index(lat_long, ",", 1)).otherwise(lat_long),
        "longitude": F.when(comma > 0, F.substr(lat_long, comma + F.lit(1))),
        "address": _address(get("Addresses"), language),
        "image_width": F.coalesce(get("ImageWidth"), get("VideoWidth")),
        "image_height": F.coalesce(get("ImageHeight"), get("VideoHeight")),
        "orientation": get("Orientation"),
        "camera_make": F.get_json_object(get("EXIF"), "$.Make.value"),
        "camera_model": F.get_json_object(get("EXIF"), "$.Model.value"),
        "duration": get("Duration"),
        "title": get("Title"),
        "labels": _labels(get("Labels")),
        "image_score": F.get_json_object(get("ImageScore"), "$.OverallQualityScore"),
        "custom_id": get("CustomId"),
        "custom_labels": get("CustomLabels"),
        "attributes": filled_object(get(ROW), without=OWN_FIELDS),
        "update_time": get("UpdateTime"),
    }
    untold = {"DatasetName": "dataset_name", "CustomId": "custom_id", "CustomLabels": "custom_labels"}
    for name in (ours for theirs, ours in untold.items() if not get.has(theirs)):
        del lake[name]
    return add_columns(raw, lake)


def figures_from_imm(raw: DataFrame) -> DataFrame:
    """One row per face in the File objects of `raw`, in the lake's columns.

    A file without figures gives no row. A row that couldn't be read stays one, and so does a file whose Figures are
    no list: both are refused by the judge.
    """
    get = _Fields(raw)
    unread = get(REASON)
    listed = F.from_json(get("Figures"), "array<string>")
    broken = get("Figures").isNotNull() & listed.isNull()
    nothing = F.array(F.lit(None).cast("string"))
    faces = raw.select(
        get("URI").alias("uri"),
        *([get("DatasetName").alias("dataset_name")] if get.has("DatasetName") else []),
        get("UpdateTime").alias("update_time"),
        get(ROW).alias("file_row"),
        F.when(broken, F.lit("json_malformed")).otherwise(unread).alias(REASON),
        F.when(broken, F.lit("Figures: a list of objects is accepted")).otherwise(get(MESSAGE)).alias(MESSAGE),
        F.explode(F.when(broken | unread.isNotNull(), nothing).otherwise(listed)).alias("figure"),
    )

    def part(*path: str) -> Column:
        return F.get_json_object("figure", "$." + ".".join(path))

    return faces.withColumns(
        {
            ROW: F.when(F.col("figure").isNull(), F.col("file_row")).otherwise(
                F.to_json(F.struct(F.col("uri").alias("URI"), F.col("figure").alias("Figure")))
            ),
            "figure_id": part("FigureId"),
            **{side: part("Boundary", side.title()) for side in BOX_SIDES},
            **{angle: part("HeadPose", angle.title()) for angle in ANGLES},
            "face_quality": part("FaceQuality"),
            "gender": part("Gender"),
            "age": part("Age"),
            "attributes": filled_object(F.col("figure"), without=OWN_FIGURE_FIELDS),
        }
    ).drop("figure", "file_row")


class _Fields:
    """The columns of a frame by exact name, as text; null where there is none."""

    def __init__(self, raw: DataFrame) -> None:
        self.by_name: dict[str, StructField] = {column.name: column for column in raw.schema.fields}

    def has(self, name: str) -> bool:
        return name in self.by_name

    def __call__(self, name: str) -> Column:
        if name not in self.by_name:
            return F.lit(None).cast("string")
        column = quoted(name)
        nested = self.by_name[name].dataType.typeName() in ("struct", "array", "map")
        return (
            column
            if isinstance(self.by_name[name].dataType, StringType)
            else (F.to_json(column) if nested else column.cast("string"))
        )


def _filled(text: Column) -> Column:
    return F.when(F.trim(text) != "", text)


def _address(addresses: Column, language: str) -> Column:
    """The address of a language (zh takes zh-Hans too), else the first, as JSON in the lake's names."""
    listed = F.from_json(addresses, _ADDRESSES)
    wanted = language.lower()

    def speaks(address: Column) -> Column:
        spoken = F.lower(address["Language"])
        return (spoken == wanted) | spoken.startswith(wanted + "-")

    chosen = F.coalesce(F.try_element_at(F.filter(listed, speaks), F.lit(1)), F.try_element_at(listed, F.lit(1)))
    address = F.to_json(F.struct(*[chosen[level.title()].alias(level) for level in LEVELS]))
    return F.when(listed.isNull(), addresses).when(chosen.isNotNull(), address)


def _labels(labels: Column) -> Column:
    """The names of the labels as a JSON list."""
    listed = F.from_json(labels, "array<struct<LabelName:string>>")
    return F.when(listed.isNull(), labels).otherwise(F.to_json(F.transform(listed, lambda label: label["LabelName"])))


def filled_object(text: Column, *, without: Iterable[str] = ()) -> Column:
    """The JSON object that a text is, but for listed and empty keys ("", [], {}, null); null where none is left.

    >>> df = spark.createDataFrame([('{"Mask": "none", "Age": 3, "Hats": [], "Sharp": 0.5}',), ('{"Age": 4}',)], ["x"])
    >>> df.select(filled_object(F.col("x"), without=["Age"]).alias("rest")).show(truncate=False)
    +---------------------------+
    |rest                       |
    +---------------------------+
    |{"Mask":"none","Sharp":0.5}|
    |NULL                       |
    +---------------------------+
    <BLANKLINE>
    """
    unwanted = list(without)

    def is_wanted(key: Column, value: Column) -> Column:
        return ~key.isin(unwanted) & ~F.try_variant_get(value, "$", "string").isin("", "[]", "{}")

    return F.nullif(F.to_json(F.map_filter(F.from_json(text, _JSON_MAP), is_wanted)), F.lit("{}"))


_JSON_MAP = "map<string,variant>"
