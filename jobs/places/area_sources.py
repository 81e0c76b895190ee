"""Reading boundaries: GeoParquet, GeoJSON and Shapefile, by Sedona's readers."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Literal

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from schemas.errors import SourceError, UsageError

AreaFormat = Literal["geoparquet", "geojson", "shapefile"]

SUFFIXES: dict[str, AreaFormat] = {
    ".parquet": "geoparquet",
    ".geoparquet": "geoparquet",
    ".geojson": "geojson",
    ".json": "geojson",
    ".shp": "shapefile",
}


def detect_area_format(uri: str) -> AreaFormat:
    """The format that a source's suffix tells. Raises UsageError where it tells none."""
    kind = SUFFIXES.get(PurePosixPath(uri.rstrip("/")).suffix.lower())
    if kind is None:
        raise UsageError(
            f"{uri!r}: its suffix tells no format; {', '.join(SUFFIXES)} do, or give --format geoparquet, geojson or "
            "shapefile"
        )
    return kind


def read_areas(spark: SparkSession, uri: str, *, format: AreaFormat) -> DataFrame:
    """A source's columns, its geometry among them as Sedona's type. Raises SourceError where it cannot be read.

    A GeoJSON source is a FeatureCollection, or one Feature a line; its properties become the columns.
    """
    reader = spark.read.format(format)
    try:
        if format != "geojson":
            raw = reader.load(uri)
            raw.limit(1).write.format("noop").mode("overwrite").save()
            return raw
        raw = reader.option("multiLine", "true").load(uri)
        if "features" in raw.columns:
            return raw.select(F.explode("features").alias("f")).select("f.properties.*", "f.geometry")
        raw = reader.option("multiLine", "false").load(uri)
        if {"properties", "geometry"} <= set(raw.columns):
            return raw.select("properties.*", "geometry")
    except (PySparkException, Py4JJavaError) as error:
        raise SourceError(f"{uri!r} cannot be read as {format}: {_cause(error)}") from error
    raise SourceError(
        f"{uri!r} is no GeoJSON FeatureCollection, nor one Feature a line; it has {', '.join(raw.columns) or 'nothing'}"
    )


def _cause(error: PySparkException | Py4JJavaError) -> str:
    """What the innermost cause of a failure says, in a line."""
    if isinstance(error, PySparkException):
        return str(error).splitlines()[0]
    cause = error.java_exception
    while cause.getCause() is not None:
        cause = cause.getCause()
    return str(cause.toString()).splitlines()[0]
