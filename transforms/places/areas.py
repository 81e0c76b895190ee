"""Administrative areas: rows of `areas` from whatever a source calls them, their parents, and their addresses.

Geometry in frames is Sedona's until `finish_geometry` makes it WKB.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import shapely
from numpy.typing import NDArray
from pyspark.errors import AnalysisException
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql.types import BinaryType
from shapely import GeometryType

from schemas.contract import LEVELS
from schemas.errors import SourceError
from schemas.lake import LEVEL_DEPTH
from transforms.places.area_cells import TILES, cut_area, ring_chains
from transforms.places.datums import gcj02_to_wgs84
from transforms.places.geocoding import ADDRESS_SCHEMA
from transforms.tables.source_frames import quoted, row_json

Expression = str | Sequence[str]
"""A Spark SQL expression over a source's columns; of several the first whose columns the source has."""

ALL_TILES: NDArray[np.bool_] = np.ones(TILES, np.bool_)

ADDRESSES_SCHEMA = pa.schema(
    [
        pa.field("area_id", pa.string()),
        *(ADDRESS_SCHEMA.field(name) for level in LEVELS for name in (level, f"{level}_code")),
        pa.field("time_zone", pa.string()),
    ]
)


@dataclass(frozen=True)
class AreaFields:
    """What of a source's columns is what of an area."""

    level: Expression
    code: Expression
    name: Expression
    names: Mapping[str, Expression] = field(default_factory=dict)
    parent: Expression = "CAST(NULL AS STRING)"
    time_zone: Expression = "CAST(NULL AS STRING)"
    nested_by: Expression | None = None
    where: str | None = None


def map_areas(raw: DataFrame, *, fields: AreaFields, source: str) -> DataFrame:
    """A source's rows in the lake's terms: area_id, level, code, name, names, parent_code, time_zone, nesting,
    geometry (Sedona's), source, and the row as JSON without its geometry.

    Raises SourceError for an expression that the source's columns do not fit, naming both.
    """
    shape = geometry_column(raw, source)
    rest = raw.drop(shape)
    if fields.where:
        raw = raw.where(_resolve(raw, fields.where, "where", source))
    resolve = partial(_resolve, raw, source=source)
    languages = [
        (F.lit(language), _text(resolve(written, f"names.{language}"))) for language, written in fields.names.items()
    ]
    entries = F.array(*(F.struct(key.alias("key"), value.alias("value")) for key, value in languages))
    names = F.map_from_entries(F.filter(entries, lambda entry: entry["value"].isNotNull()))
    code = _text(resolve(fields.code, "code"))
    return raw.select(
        F.concat(F.lit(f"{source}:"), code).alias("area_id"),
        (F.lit(fields.level) if fields.level in LEVELS else _text(resolve(fields.level, "level"))).alias("level"),
        code.alias("code"),
        F.coalesce(_text(resolve(fields.name, "name")), code).alias("name"),
        (names if languages else F.from_json(F.lit("{}"), "map<string,string>")).alias("names"),
        _text(resolve(fields.parent, "parent")).alias("parent_code"),
        _text(resolve(fields.time_zone, "time_zone")).alias("time_zone"),
        (resolve(fields.nested_by, "nested_by").cast("double") if fields.nested_by else F.lit(None)).alias("nesting"),
        quoted(shape).alias("geometry"),
        F.lit(source).alias("source"),
        (row_json(rest) if rest.columns else F.lit("{}")).alias("row"),
    )


def geometry_column(raw: DataFrame, source: str) -> str:
    """The column with Sedona's geometry: `geometry` where there are several. SourceError where there is none."""
    found = [column.name for column in raw.schema if column.dataType.simpleString() == "udt"]
    if not found:
        raise SourceError(f"{source} has no geometry; it has the columns {', '.join(raw.columns) or 'none'}")
    return "geometry" if "geometry" in found else found[0]


def _resolve(raw: DataFrame, expression: Expression, name: str, source: str) -> Column:
    """The first of the expressions whose columns the source has."""
    tried = [expression] if isinstance(expression, str) else list(expression)
    problem = ""
    for written in tried:
        try:
            raw.select(F.expr(written))
        except AnalysisException as error:
            problem = str(error).splitlines()[0]
        else:
            return F.expr(written)
    raise SourceError(
        f"{source}: {name} is {' or '.join(map(repr, tried))}, which does not fit its columns "
        f"{', '.join(raw.columns)}: {problem}"
    )


def _text(value: Column) -> Column:
    """Trimmed text, null where blank."""
    text = F.trim(value.cast("string"))
    return F.when(text != "", text)


def repair_geometry(areas: DataFrame, *, datum: str, crs: str | None) -> DataFrame:
    """`geometry` (Sedona's) in degrees of WGS-84, and valid by ST_MakeValid.

    datum: wgs84, or gcj02, from which it is moved. crs: the reference system where coordinates are no degrees.
    """
    flat = "ST_Force2D(geometry)"
    rows = areas.withColumn(
        "geometry", F.expr(flat) if crs is None else F.expr(f"ST_Transform({flat}, '{crs}', 'EPSG:4326')")
    )
    if datum == "gcj02":
        rows = rows.withColumn("geometry", F.expr("ST_AsBinary(geometry)"))
        rows = rows.mapInArrow(_to_wgs84, rows.schema).withColumn("geometry", F.expr("ST_GeomFromWKB(geometry)"))
    return rows.withColumn("geometry", F.expr("ST_MakeValid(geometry)"))


def _to_wgs84(batches: Iterable[pa.RecordBatch]) -> Iterable[pa.RecordBatch]:
    """Batches with their `geometry` (WKB) moved from GCJ-02."""

    def move(points: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.column_stack(gcj02_to_wgs84(points[:, 0], points[:, 1]))

    for batch in batches:
        shapes = shapely.transform(shapely.from_wkb(batch["geometry"].to_numpy(zero_copy_only=False)), move)
        place = batch.schema.get_field_index("geometry")
        yield batch.set_column(place, "geometry", pa.array(shapely.to_wkb(shapes), pa.binary()))


def finish_geometry(areas: DataFrame) -> DataFrame:
    """`geometry` as WKB polygons within the plane, with its `tiles` and its `size` in square degrees.

    What lies beyond 180 degrees east or west comes back in on the other side. A geometry without an area gets null;
    one that is not in degrees has `is_far`, too.
    """
    rows = areas.withColumn("geometry", F.expr("ST_AsBinary(geometry)"))
    after = (
        rows.withColumn("tiles", F.lit(None).cast("array<int>"))
        .withColumn("size", F.lit(None).cast("double"))
        .withColumn("is_far", F.lit(None).cast("boolean"))
    ).schema
    assert isinstance(after["geometry"].dataType, BinaryType)
    return rows.mapInArrow(_finish, after)


def _finish(batches: Iterable[pa.RecordBatch]) -> Iterable[pa.RecordBatch]:
    for batch in batches:
        read = shapely.from_wkb(batch["geometry"].to_numpy(zero_copy_only=False))
        bounds = shapely.bounds(read)
        far = (np.abs(bounds[:, [0, 2]]) > 540).any(axis=1) | (np.abs(bounds[:, [1, 3]]) > 90).any(axis=1)
        shapes = [None if is_far else _polygons(_wrap(shape)) for shape, is_far in zip(read, far, strict=True)]
        tiles = [None if shape is None else cut_area(*area_chains(shape), ALL_TILES)[0] for shape in shapes]
        columns = {name: batch[name] for name in batch.schema.names}
        columns["geometry"] = pa.array(shapely.to_wkb(np.array(shapes, object)), pa.binary())
        columns["tiles"] = pa.array(tiles, pa.list_(pa.int32()))
        columns["size"] = pa.array(shapely.area(np.array(shapes, object)), pa.float64())
        columns["is_far"] = pa.array(far)
        yield pa.RecordBatch.from_pydict(columns)


def _wrap(shape: shapely.Geometry | None) -> shapely.Geometry | None:
    """The geometry with what lies beyond the antimeridian brought back."""
    if shape is None or shape.is_empty or (shape.bounds[0] >= -180 and shape.bounds[2] <= 180):
        return shape
    parts = []
    for turn in (-360, 0, 360):
        part = shapely.intersection(shape, shapely.box(-180 - turn, -90, 180 - turn, 90))
        parts.append(shapely.transform(part, lambda points, turn=turn: points + np.array([turn, 0])))
    return shapely.union_all(parts)


def _polygons(shape: shapely.Geometry | None) -> shapely.Geometry | None:
    """The polygons of a geometry, as a polygon or multipolygon; None where there are none."""
    if shape is None:
        return None
    parts = shapely.get_parts(shape)
    while (shapely.get_type_id(parts) > GeometryType.POLYGON).any():
        parts = np.concatenate([shapely.get_parts(part) for part in parts])
    parts = parts[(shapely.get_type_id(parts) == GeometryType.POLYGON) & ~shapely.is_empty(parts)]
    return None if not len(parts) else parts[0] if len(parts) == 1 else shapely.multipolygons(parts)


def area_chains(shape: shapely.Geometry) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The rings of a polygon or multipolygon as chains (see transforms.places.cells)."""
    _, coordinates, offsets = shapely.to_ragged_array([shape])
    return ring_chains(coordinates, offsets[0][1:])


def judge_areas(areas: DataFrame) -> DataFrame:
    """Adds `reason` and `message` to rows of `finish_geometry`: null where all is well, else why it is refused."""
    largest_first = Window.partitionBy("area_id").orderBy(F.col("size").desc_nulls_last(), F.col("row"))
    zone = F.col("time_zone")
    is_level = F.coalesce(F.col("level").isin(*LEVELS), F.lit(False))
    rows = areas.withColumn("number", F.row_number().over(largest_first))
    verdict = F.lit(None).cast("struct<reason:string,message:string>")
    for when, reason, name, accepted in reversed(
        (
            (F.col("code").isNull(), "area_code_missing", "code", "a code"),
            (~is_level, "area_level_unknown", "level", " or ".join(LEVELS)),
            (F.col("is_far"), "area_geometry_out_of_range", "code", "degrees, or what --crs makes degrees,"),
            (F.col("geometry").isNull(), "area_geometry_invalid", "code", "a polygon or multipolygon"),
            (zone.isNotNull() & ~_is_zone(zone), "area_time_zone_unknown", "time_zone", "an IANA time zone"),
            (F.col("number") > 1, "duplicate_area", "code", "one area a code"),
        )
    ):
        shown = F.coalesce(F.left(name, F.lit(120)), F.lit("null"))
        message = F.concat(F.lit(f"{name}: "), shown, F.lit(f"; {accepted} is accepted"))
        verdict = F.when(when, F.struct(F.lit(reason).alias("reason"), message.alias("message"))).otherwise(verdict)
    return rows.withColumn("verdict", verdict).select(
        *areas.columns, F.col("verdict.reason").alias("reason"), F.col("verdict.message").alias("message")
    )


def nest_levels(areas: DataFrame) -> DataFrame:
    """`level` moved down for areas that lie in others of the same rows: a department in a region, say.

    An area with `nesting` lies in those of a smaller one that have an inner point of it: one level down for each
    different `nesting` among them. Rows as `map_areas` has them, geometry as WKB.
    """
    shapes = areas.where(F.col("nesting").isNotNull()).select(
        "area_id", "nesting", F.expr("ST_GeomFromWKB(geometry)").alias("shape")
    )
    points = shapes.select("area_id", "nesting", F.expr("ST_PointOnSurface(shape)").alias("point"))
    inside = F.expr("ST_Intersects(outer.shape, inner.point) AND outer.nesting < inner.nesting")
    depths = (
        F.broadcast(points)
        .alias("inner")
        .join(shapes.alias("outer"), inside, how="inner")
        .groupBy("inner.area_id")
        .agg(F.count_distinct("outer.nesting").cast("int").alias("down"))
    )
    levels = F.array(*map(F.lit, LEVELS))
    place = F.array_position(levels, F.col("level")) + F.coalesce("down", F.lit(0))
    moved = F.element_at(levels, F.least(place, F.lit(len(LEVELS))).cast("int"))
    return (
        areas.join(depths, "area_id", how="left")
        .withColumn("level", F.when(F.col("level").isin(*LEVELS), moved).otherwise(F.col("level")))
        .select(*areas.columns)
    )


def link_parents(areas: DataFrame) -> DataFrame:
    """Rows of `areas` with `parent_id`: the area above with the code that the source names, of the same source if
    there is one; else, of the areas above that have an inner point of it, the deepest, and of these the smallest.
    """
    depth = level_depth(F.col("level"))
    all_areas = areas.select("area_id", "source", "code", "parent_code", depth.alias("depth"), "geometry")
    lower, upper = all_areas.alias("lower"), all_areas.alias("upper")
    is_above = F.col("upper.depth") < F.col("lower.depth")
    by_code = (
        lower.join(upper, is_above & (F.col("lower.parent_code") == F.col("upper.code")), how="inner")
        .groupBy(F.col("lower.area_id").alias("area_id"))
        .agg(
            F.min_by(
                "upper.area_id",
                F.struct(F.col("upper.source") != F.col("lower.source"), -F.col("upper.depth"), "upper.area_id"),
            ).alias("parent_id")
        )
    )
    shapes = all_areas.select("area_id", "depth", F.expr("ST_GeomFromWKB(geometry)").alias("shape"))
    points = shapes.where("depth > 1").join(by_code, "area_id", how="left_anti")
    points = points.select("area_id", "depth", F.expr("ST_PointOnSurface(shape)").alias("point"))
    by_place = (
        F.broadcast(points)
        .alias("lower")
        .join(shapes.alias("upper"), F.expr("ST_Intersects(upper.shape, lower.point) AND upper.depth < lower.depth"))
        .groupBy(F.col("lower.area_id").alias("area_id"))
        .agg(
            F.min_by(
                "upper.area_id", F.struct(-F.col("upper.depth"), F.expr("ST_Area(upper.shape)"), "upper.area_id")
            ).alias("parent_id")
        )
    )
    return areas.drop("parent_id").join(by_code.unionByName(by_place), "area_id", how="left")


def level_depth(level: Column) -> Column:
    """1 for country to 5 for township, null for anything else.

    >>> spark.sql("SELECT 'city' AS level").select(level_depth(F.col("level")).alias("depth")).show()
    +-----+
    |depth|
    +-----+
    |    3|
    +-----+
    <BLANKLINE>
    """
    return F.nullif(F.array_position(F.array(*map(F.lit, LEVELS)), level), F.lit(0)).cast("int")


def order_areas(areas: pa.Table) -> pa.Array:
    """The rows of area_id and level in the order in which areas win: the deepest first, then by area_id."""
    depths = pa.array([LEVEL_DEPTH[level] for level in areas["level"].to_pylist()], pa.int32())
    keys = pa.table({"depth": depths, "area_id": areas["area_id"].cast(pa.string())})
    return pc.sort_indices(keys, [("depth", "descending"), ("area_id", "ascending")])


def address_areas(areas: pa.Table, *, language: str) -> pa.Table:
    """The address of each area, ADDRESSES_SCHEMA, one row each in the order of `order_areas`.

    The n-th row is area n of an AreaIndex.

    areas: area_id, level, code, name, names, parent_id and time_zone, in any order. Names are in `language` where the
    area has one, else local. An area without a time zone has that of the nearest area above that has one.
    """
    ids = areas["area_id"].combine_chunks().cast(pa.string())
    depths = np.array([LEVEL_DEPTH[level] for level in areas["level"].to_pylist()], np.int64)
    order = order_areas(areas).to_numpy().astype(np.int64)
    parents = pc.fill_null(pc.index_in(areas["parent_id"].cast(pa.string()), value_set=ids), -1).to_numpy()
    translated = pc.map_lookup(areas["names"].combine_chunks(), language, "first")
    name = pc.coalesce(translated.cast(pa.string()), areas["name"].combine_chunks().cast(pa.string()))
    code, zone = areas["code"].cast(pa.string()), areas["time_zone"].cast(pa.string())
    has_zone = zone.is_valid().to_numpy()

    above = order.copy()
    at_level = np.full((len(LEVELS), len(order)), -1)
    with_zone = np.full(len(order), -1)
    for _ in LEVELS:
        there = np.flatnonzero(above >= 0)
        at_level[depths[above[there]] - 1, there] = above[there]
        first = there[(with_zone[there] < 0) & has_zone[above[there]]]
        with_zone[first] = above[first]
        above[there] = parents[above[there]]
    columns = {"area_id": ids.take(pa.array(order)), "time_zone": _take(zone, with_zone)}
    for level, rows in zip(LEVELS, at_level, strict=True):
        columns |= {level: _take(name, rows), f"{level}_code": _take(code, rows)}
    return pa.table([columns[column] for column in ADDRESSES_SCHEMA.names], schema=ADDRESSES_SCHEMA)


def _take(values: pa.Array | pa.ChunkedArray, rows: NDArray[np.int64]) -> pa.ChunkedArray:
    """The values at these rows, null where a row is below 0."""
    return pa.chunked_array([values.take(pa.array(rows, mask=rows < 0))], pa.string()) if len(values) else values


def _is_zone(zone: Column) -> Column:
    """Whether the JVM's rules know a time zone of this name, false for null."""
    return F.concat(F.lit("2000-01-01 00:00:00 "), zone).try_cast("timestamp").isNotNull()
