"""Indexes of areas made without Spark, and what brute force says of points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import shapely
from numpy.typing import NDArray

from schemas.contract import LEVELS
from transforms.places.area_index import AreaIndex
from transforms.places.area_tiles import ALL_TILES, CELLS_SCHEMA, area_rows, join_tiles, tile_row
from transforms.places.areas import order_areas

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Area:
    """An area of a test."""

    area_id: str
    shape: shapely.Geometry
    level: str = "city"


def in_order(areas: Sequence[Area]) -> list[Area]:
    """The areas in the order in which they win."""
    rows = pa.table({"area_id": [area.area_id for area in areas], "level": [area.level for area in areas]})
    return [areas[place] for place in order_areas(rows).to_pylist()]


def index_of(areas: Sequence[Area], tiles: NDArray[np.bool_] = ALL_TILES) -> AreaIndex:
    """The index of areas, by the functions that Spark maps over them."""
    cut = [
        piece
        for area in areas
        for piece in area_rows(
            pa.record_batch(
                {
                    "area_id": pa.array([area.area_id]),
                    "depth": pa.array([LEVELS.index(area.level) + 1], pa.int32()),
                    "geometry": pa.array([shapely.to_wkb(area.shape)], pa.binary()),
                }
            ),
            tiles,
        )
    ]
    if not cut:
        return join_tiles(CELLS_SCHEMA.empty_table(), pa.chunked_array([], pa.string()))
    pieces = pa.Table.from_batches(cut).sort_by("tile").combine_chunks()
    begins = np.unique(pieces["tile"].to_numpy(), return_index=True)[1]
    ends = [*begins[1:], len(pieces)]
    rows = [tile_row(pieces.slice(begin, end - begin)) for begin, end in zip(begins, ends, strict=True)]
    return join_tiles(pa.concat_tables(rows), pa.chunked_array([[area.area_id for area in in_order(areas)]]))


def brute_force(areas: Sequence[Area], longitude: Floats, latitude: Floats) -> NDArray[np.int64]:
    """The area of each point by testing it against every area: its place in the order, -1 where there is none."""
    ordered = in_order(areas)
    points, hits = shapely.STRtree([area.shape for area in ordered]).query(
        shapely.points(longitude, latitude), predicate="intersects"
    )
    found = np.full(len(longitude), len(ordered))
    np.minimum.at(found, points, hits)
    return np.where(found == len(ordered), -1, found)


def hard_points(areas: Sequence[Area], rng: np.random.Generator, per_area: int = 60) -> tuple[Floats, Floats]:
    """Points of the areas' vertices and edges, next to them by a last digit, and anywhere around."""
    parts = []
    for area in areas:
        vertices = shapely.get_coordinates(area.shape)
        some = rng.integers(0, len(vertices) - 1, per_area)
        ends, nexts = vertices[some], vertices[some + 1]
        along = rng.uniform(size=(per_area, 1))
        parts += [ends, (ends + nexts) / 2, ends + along * (nexts - ends), np.nextafter(ends, 1e3)]
        parts += [ends + np.array([1e-12, 0]), ends - np.array([0, 1e-13]), ends + rng.normal(0, 1e-3, (per_area, 2))]
        left, bottom, right, top = shapely.bounds(area.shape)
        parts.append(rng.uniform((left - 1, bottom - 1), (right + 1, top + 1), (per_area, 2)))
    points = np.clip(np.concatenate(parts), (-180, -90), (180, 90))
    return np.ascontiguousarray(points[:, 0]), np.ascontiguousarray(points[:, 1])
