"""Draws how areas are cut to cells: docs/cells.svg, of two made-up provinces with an enclave and an island.

    python -m bench.draw_cells [FILE]

Filled cells have one answer. In the others the pieces of boundary that are tested are drawn thick, in the colour of
their area; a cell's own answer, where no piece has the point, is its pale fill.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import shapely
import shapely.ops
from shapely import Polygon

from schemas.lake import LEVEL_DEPTH
from transforms.places.area_cells import NO_AREA
from transforms.places.area_index import AreaIndex
from transforms.places.area_tiles import ALL_TILES, area_rows, join_tiles, tile_row
from transforms.places.cells import OUTSIDE, cell_box, morton_code

VIEW = (0.3, 0.25, 2.1, 1.15)
"""Least x and y, greatest x and y, in degrees: within one tile."""
WIDTH = 1000
COLOURS = ("#c0392b", "#2471a3", "#b7950b", "#1e8449")
"""Of the areas in the order in which they win."""


def wavy(x: float, y: float, radius: float, *, waves: int, corners: int) -> Polygon:
    """A round area with a wavy coast."""
    angle = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    radii = radius * (1 + 0.12 * np.sin(waves * angle) + 0.05 * np.sin(3 * waves * angle + 1))
    return Polygon(np.column_stack((x + 1.5 * radii * np.cos(angle), y + radii * np.sin(angle))))


def made_up() -> list[tuple[str, str, shapely.Geometry]]:
    """area_id, level and shape."""
    land = wavy(1.05, 0.7, 0.33, waves=5, corners=600)
    border = shapely.linestrings([(0.98 + 0.05 * np.sin(9 * t), t) for t in np.linspace(0, 1.4, 60)])
    west, east = sorted(shapely.ops.split(land, border).geoms, key=lambda part: part.centroid.x)
    enclave = wavy(1.3, 0.68, 0.07, waves=4, corners=160)
    west = shapely.union_all([west, enclave])
    east = east.difference(enclave)
    island = wavy(1.85, 0.5, 0.09, waves=3, corners=160)
    return [("city", "city", wavy(0.78, 0.72, 0.1, waves=4, corners=240)), ("east", "province", east.union(island)),
            ("west", "province", west)]  # fmt: skip


def index_of(areas: list[tuple[str, str, shapely.Geometry]]) -> AreaIndex:
    """Their index, by the functions that Spark maps over the lake's areas."""
    pieces = []
    for area_id, level, shape in areas:
        columns = {"area_id": [area_id], "depth": pa.array([LEVEL_DEPTH[level]], pa.int32())}
        row = pa.record_batch({**columns, "geometry": pa.array([shapely.to_wkb(shape)], pa.binary())})
        pieces += area_rows(row, ALL_TILES)
    return join_tiles(tile_row(pa.Table.from_batches(pieces)), pa.chunked_array([[area[0] for area in areas]]))


def draw(index: AreaIndex) -> str:
    """The cells of VIEW, as SVG."""
    left, bottom, right, top = VIEW
    scale = WIDTH / (right - left)
    lines = []

    def at(x: float, y: float) -> str:
        return f"{(x - left) * scale:.1f},{(top - y) * scale:.1f}"

    for cell in range(len(index.covers)):
        for code, depth in squares(int(index.starts[cell]), int(index.starts[cell + 1])):
            x0, x1, y0, y1 = cell_box(code, depth)
            if x1 < left or x0 > right or y1 < bottom or y0 > top or depth < 7:
                continue
            first, last = index.first_piece[cell], index.first_piece[cell + 1]
            cover = int(index.covers[cell])
            fill = COLOURS[cover] if cover != NO_AREA else "#ffffff"
            opacity = 0.55 if first == last and cover != NO_AREA else 0.16
            corner, size = at(x0, y1), f'width="{(x1 - x0) * scale:.1f}" height="{(y1 - y0) * scale:.1f}"'
            x, y = corner.split(",")
            lines.append(f'<rect x="{x}" y="{y}" {size} fill="{fill}" fill-opacity="{opacity}" class="c"/>')
            lines += chains(index, range(first, last), at)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {(top - bottom) * scale:.0f}">'
    style = "<style>.c{stroke:#7f8c8d;stroke-width:.5}polyline{fill:none;stroke-width:2.2}</style>"
    return "\n".join([head, style, '<rect width="100%" height="100%" fill="#eaf2f8"/>', *lines, "</svg>\n"])


def squares(start: int, end: int) -> list[tuple[int, int]]:
    """The squares of the quadtree, as code and depth, that an interval of codes consists of."""
    found = []
    while start < end:
        down = 0
        while down < 24 and start % (1 << 2 * down + 2) == 0 and start + (1 << 2 * down + 2) <= end:
            down += 1
        found.append((start, 24 - down))
        start += 1 << 2 * down
    return found


def chains(index: AreaIndex, pieces: range, at) -> list[str]:  # type: ignore[no-untyped-def]
    """The edges of pieces, without those that stand for what lies left of the cell."""
    lines = []
    for piece in pieces:
        run: list[str] = []
        for vertex in range(index.first_vertex[piece], index.first_vertex[piece + 1]):
            x, y = index.xs[vertex], index.ys[vertex]
            if np.isnan(x) and run:
                lines.append(f'<polyline points="{" ".join(run)}" stroke="{COLOURS[index.piece_areas[piece]]}"/>')
                run = []
            elif x > -OUTSIDE:
                run.append(at(x, y))
    return lines


def main() -> None:
    """Writes the picture."""
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1] / "docs" / "cells.svg"
    index = index_of(made_up())
    assert morton_code(VIEW[0], VIEW[1]) < morton_code(VIEW[2], VIEW[3])
    path.write_text(draw(index), encoding="utf-8")
    print(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
