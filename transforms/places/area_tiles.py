"""The rows of `area_index`: areas cut to tiles, and tiles to cells, on all cores."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import shapely
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import from_arrow_schema

from transforms.places.area_cells import (
    CODES_PER_TILE,
    EDGES,
    MAX_DEPTH,
    NO_AREA,
    TILE_DEPTH,
    TILES,
    cut_area,
    cut_tile,
)
from transforms.places.area_index import AreaIndex
from transforms.places.areas import area_chains, level_depth

FORMAT = f"1/{EDGES}/{MAX_DEPTH}"
"""Part of every tile's digest, so that tiles cut by other rules are cut again. Raise the number with the rules."""

SIDE = 1 << TILE_DEPTH
ALL_TILES: NDArray[np.bool_] = np.ones(TILES, np.bool_)

CUT_SCHEMA = pa.schema(
    [
        ("tile", pa.int32()),
        ("area_id", pa.string()),
        ("depth", pa.int32()),
        ("xs", pa.list_(pa.float64())),
        ("ys", pa.list_(pa.float64())),
    ]
)
CELLS_SCHEMA = pa.schema(
    [
        ("tile", pa.int32()),
        ("areas", pa.list_(pa.string())),
        ("starts", pa.list_(pa.int64())),
        ("covers", pa.list_(pa.int32())),
        ("counts", pa.list_(pa.int32())),
        ("piece_areas", pa.list_(pa.int32())),
        ("piece_sizes", pa.list_(pa.int32())),
        ("xs", pa.list_(pa.float64())),
        ("ys", pa.list_(pa.float64())),
    ]
)


def with_neighbours(tiles: NDArray[np.int32]) -> NDArray[np.int32]:
    """The tiles and those around them, across the antimeridian too; ascending, each once."""
    bits = range(TILE_DEPTH)
    columns = sum(((tiles >> 2 * bit) & 1) << bit for bit in bits)
    rows = sum(((tiles >> 2 * bit + 1) & 1) << bit for bit in bits)
    around = []
    for across in (-1, 0, 1):
        for along in (-1, 0, 1):
            column, row = (columns + across) % SIDE, np.clip(rows + along, 0, SIDE - 1)
            around.append(sum((((column >> bit) & 1) << 2 * bit) | (((row >> bit) & 1) << 2 * bit + 1) for bit in bits))
    return np.unique(np.concatenate(around)).astype(np.int32)


def digest_tiles(areas: DataFrame, addresses: DataFrame) -> DataFrame:
    """tile and `digest`, of every tile that areas touch: of their geometry and of what they answer.

    areas: rows of `areas`. addresses: an area_id and the columns of its address.
    """
    answer = F.to_json(F.struct(*(name for name in addresses.columns if name != "area_id")))
    answers = addresses.select("area_id", answer.alias("answer"))
    row = F.concat_ws("\n", "area_id", "level", F.sha2("geometry", 256), "answer")
    return (
        areas.join(answers, "area_id", how="inner")
        .select(F.explode("tiles").alias("tile"), row.alias("row"))
        .groupBy("tile")
        .agg(F.sha2(F.concat_ws("\n", F.lit(FORMAT), F.sort_array(F.collect_list("row"))), 256).alias("digest"))
    )


def cut_tiles(areas: DataFrame, *, tiles: NDArray[np.int32]) -> DataFrame:
    """The cells of the tiles asked for, CELLS_SCHEMA: those of them that areas touch, a row each.

    A worker holds one area and its pieces, then one tile's areas and cells: some ten times their vertices.
    """
    wanted = np.zeros(TILES, np.bool_)
    wanted[tiles] = True

    def cut(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for row in range(batch.num_rows):
                yield from area_rows(batch.slice(row, 1), wanted)

    touching = F.exists("tiles", lambda tile: tile.isin(tiles.tolist())) if len(tiles) < TILES // 64 else F.lit(True)
    return (
        areas.where(touching)
        .select("area_id", level_depth(F.col("level")).alias("depth"), "geometry")
        .mapInArrow(cut, from_arrow_schema(CUT_SCHEMA))
        .groupBy("tile")
        .applyInArrow(tile_row, from_arrow_schema(CELLS_SCHEMA))
    )


def area_rows(area: pa.RecordBatch, wanted: NDArray[np.bool_]) -> Iterator[pa.RecordBatch]:
    """CUT_SCHEMA: what of one area lies in each tile."""
    shape = shapely.from_wkb(area["geometry"][0].as_py())
    tiles, sizes, xs, ys = cut_area(*area_chains(shape), wanted)
    ends = pa.array(np.concatenate(([0], np.cumsum(sizes))), pa.int32())
    repeated = pa.array(np.zeros(len(tiles), np.int64))
    columns = [
        pa.array(tiles, pa.int32()),
        area["area_id"].take(repeated),
        area["depth"].take(repeated),
        pa.ListArray.from_arrays(ends, pa.array(xs)),
        pa.ListArray.from_arrays(ends, pa.array(ys)),
    ]
    yield from pa.table(columns, schema=CUT_SCHEMA).to_batches(max_chunksize=256)


def tile_row(areas: pa.Table) -> pa.Table:
    """CELLS_SCHEMA, one row, from all of a tile's rows of CUT_SCHEMA."""
    areas = areas.sort_by([("depth", "descending"), ("area_id", "ascending")]).combine_chunks()
    xs, ys = (np.concatenate([part.flatten().to_numpy() for part in areas[axis].chunks]) for axis in ("xs", "ys"))
    sizes = np.concatenate([part.value_lengths().to_numpy() for part in areas["xs"].chunks]).astype(np.int64)
    tile = areas["tile"][0].as_py()
    starts, covers, counts, piece_areas, piece_sizes, xs, ys = cut_tile(tile, xs, ys, sizes, EDGES, MAX_DEPTH)
    values = [starts, covers, counts, piece_areas, piece_sizes, xs, ys]
    lists = [pa.ListArray.from_arrays(pa.array([0, len(v)], pa.int32()), pa.array(v)) for v in values]
    ids = pa.array([areas["area_id"].to_pylist()], pa.list_(pa.string()))
    return pa.table([pa.array([tile], pa.int32()), ids, *lists], schema=CELLS_SCHEMA)


def join_tiles(rows: pa.Table, area_ids: pa.ChunkedArray) -> AreaIndex:
    """The index of rows of CELLS_SCHEMA, ascending by tile. area_ids: all areas, in the order in which they win.

    Memory: twice the index.
    """
    names = ("starts", "covers", "counts", "piece_areas", "piece_sizes", "xs", "ys")
    parts: dict[str, list[NDArray]] = {name: [] for name in names}

    def leave_empty(first: int, end: int) -> None:
        if first < end:
            parts["starts"].append(np.array([first * CODES_PER_TILE]))
            parts["covers"].append(np.array([NO_AREA], np.int32))
            parts["counts"].append(np.array([0], np.int32))

    after = 0
    area_ids = area_ids.cast(pa.string())
    for batch in rows.to_batches():
        for row in range(batch.num_rows):
            values = {name: batch[name][row].values.to_numpy() for name in names}
            if not len(values["starts"]):
                continue
            tile = batch["tile"][row].as_py()
            leave_empty(after, tile)
            after = tile + 1
            ids = batch["areas"][row].values.cast(pa.string())
            numbers = np.append(pc.index_in(ids, value_set=area_ids).to_numpy(), NO_AREA)
            values["covers"] = numbers[values["covers"]].astype(np.int32)
            values["piece_areas"] = numbers[values["piece_areas"]].astype(np.int32)
            for name in names:
                parts[name].append(values[name])
    leave_empty(after, TILES)
    joined: dict[str, Any] = {}
    for name in names:
        kind = CELLS_SCHEMA.field(name).type.value_type.to_pandas_dtype()
        joined[name] = np.concatenate([np.empty(0, kind), *parts.pop(name)], dtype=kind)
    return AreaIndex.of_cells(**joined)
