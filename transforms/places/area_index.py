"""Which area a point lies in: the look-up that reverse geocoding is.

How a point finds its area, in `find_areas`: its cell is looked up among the cells' intervals of Morton codes. Most
cells have one answer. In the others the pieces are tried in turn, and the first that contains the point answers;
where none does, the cell's own answer holds. What cells and pieces are: transforms.places.cells and
transforms.places.area_cells. A point on a boundary is inside, as ST_Intersects has it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from transforms.places.area_cells import NO_AREA
from transforms.places.cells import DEPTH, OUT, OUTSIDE, Codes, Floats, cell_box, morton_code, where_in
from transforms.places.gazetteer import EARTH_RADIUS_M
from transforms.tables.machine import kernel

Rows = NDArray[np.int32]

PREFIX_DEPTH = 11
"""Depth at most of the cells by which the search for a point's interval begins: 4**11 entries, 17 MB. Small indexes
have fewer, about four a cell."""

_WGS84_A, _WGS84_E2 = 6_378_137.0, 0.0066943799901413165
"""Semi-major axis in metres and first eccentricity squared of WGS-84 (NGA.STND.0036)."""
_LEAST_M_PER_DEGREE = 110_574.0
"""A degree of latitude at the equator, where it is shortest; a degree of longitude is no shorter than this times the
cosine of the latitude."""
_SAME_DISTANCE_M = 0.001


@dataclass(frozen=True)
class AreaIndex:
    """An index of areas, as arrays that the processes of a machine share (see `save` and `load`).

    Areas are numbered in the order in which they win: the deepest level first, then by area_id. Cells are disjoint
    and leave nothing out: cell i holds the codes from starts[i] to below starts[i + 1].
    """

    starts: Codes
    """int64 (cells + 1,), ascending from 0: where each cell's interval of Morton codes begins; the last is the end."""
    covers: Rows
    """int32 (cells,): the area of the points that no piece contains, or NO_AREA."""
    first_piece: Rows
    """int32 (cells + 1,): where each cell's pieces begin among the pieces."""
    piece_areas: Rows
    """int32 (pieces,): the area that a piece belongs to."""
    first_vertex: NDArray[np.int64]
    """int64 (pieces + 1,): where each piece's chains begin among the vertices."""
    xs: Floats
    """float64 (vertices,): degrees of longitude, NaN between chains."""
    ys: Floats
    """float64 (vertices,): degrees of latitude, NaN between chains."""
    prefix: Rows
    """int32 (4**d + 1,): the cell with the first code of each cell of the quadtree's depth d."""

    @classmethod
    def of_cells(
        cls, starts: Codes, covers: Rows, counts: Rows, piece_areas: Rows, piece_sizes: Rows, xs: Floats, ys: Floats
    ) -> AreaIndex:
        """The index of cells as `cut_tile` gives them, in order of their codes; the areas numbered as above."""
        depth = min(len(starts).bit_length() // 2 + 1, PREFIX_DEPTH)
        prefixes = np.arange((1 << 2 * depth) + 1, dtype=np.int64) << 2 * (DEPTH - depth)
        prefixes[-1] -= 1
        starts = np.append(starts, np.int64(1) << 2 * DEPTH)
        return cls(
            starts=starts,
            covers=covers,
            first_piece=_offsets(counts).astype(np.int32),
            piece_areas=piece_areas,
            first_vertex=_offsets(piece_sizes),
            xs=xs,
            ys=ys,
            prefix=(np.searchsorted(starts, prefixes, side="right") - 1).astype(np.int32),
        )

    @property
    def nbytes(self) -> int:
        """Memory of the arrays."""
        return sum(getattr(self, field.name).nbytes for field in fields(self))

    def save(self, folder: Path) -> None:
        """Writes each array to a file of its name."""
        for field in fields(self):
            np.save(folder / f"{field.name}.npy", getattr(self, field.name))

    @classmethod
    def load(cls, folder: Path) -> AreaIndex:
        """The index that was saved there, mapped into memory: processes share it, and read what they touch."""
        return cls(**{field.name: np.load(folder / f"{field.name}.npy", mmap_mode="r") for field in fields(cls)})

    def find(self, longitude: Floats, latitude: Floats) -> Rows:
        """The area of each point, int32 (n,), NO_AREA where none has it.

        longitude, latitude: float64 (n,), degrees. Points that are not on the plane are in no area.
        """
        found = np.empty(len(longitude), np.int32)
        find_areas(longitude, latitude, *self._arrays(), found)
        return found

    def find_nearest(self, longitude: Floats, latitude: Floats, *, limit_m: float) -> tuple[Rows, Floats]:
        """The area nearest to each point that lies in none: int32 (n,), NO_AREA where none is within limit_m metres.

        With it the distance, float64 (n,), NaN where there is none: metres on the WGS-84 ellipsoid to the nearest
        point of the area's boundary, whose edges are straight in longitude and latitude. Areas that are as near, to
        the millimetre, go by their number. Good to a centimetre within 10 km, save about the poles.
        """
        found, metres = np.empty(len(longitude), np.int32), np.empty(len(longitude))
        find_nearest_areas(longitude, latitude, limit_m, *self._arrays(), found, metres)
        return found, metres

    def _arrays(self) -> tuple[NDArray | int, ...]:
        shift = 2 * DEPTH - (self.prefix.size - 1).bit_length() + 1  # a code's bits below those of its prefix
        return (*(getattr(self, field.name) for field in fields(self)), shift)


@kernel()
def find_areas(
    longitude, latitude, starts, covers, first_piece, piece_areas, first_vertex, xs, ys, prefix, shift, found
):
    """Writes the area of each point to `found`. The arrays are those of an AreaIndex."""
    for i in range(longitude.size):
        x, y = longitude[i], latitude[i]
        if not (-180.0 <= x <= 180.0 and -90.0 <= y <= 90.0):
            found[i] = NO_AREA
            continue
        cell = cell_of(morton_code(x, y), starts, prefix, shift)
        found[i] = covers[cell]
        for piece in range(first_piece[cell], first_piece[cell + 1]):
            if where_in(xs, ys, first_vertex[piece], first_vertex[piece + 1], x, y) != OUT:
                found[i] = piece_areas[piece]
                break


@kernel(inline="always")
def cell_of(code, starts, prefix, shift):
    """The cell whose interval holds a Morton code: a binary search between what the code's first bits tell."""
    place = code >> shift
    low, high = prefix[place], prefix[place + 1] + 1
    while high - low > 1:
        middle = (low + high) >> 1
        if starts[middle] <= code:
            low = middle
        else:
            high = middle
    return low


@kernel()
def find_nearest_areas(
    longitude,
    latitude,
    limit_m,
    starts,
    covers,
    first_piece,
    piece_areas,
    first_vertex,
    xs,
    ys,
    prefix,
    shift,
    found,
    metres,
):
    """Writes the area nearest to each point and its distance: cells are searched from the point outwards."""
    codes, depths = np.empty(4 * DEPTH + 4, np.int64), np.empty(4 * DEPTH + 4, np.int64)
    for i in range(longitude.size):
        y = latitude[i]
        nearest, area = limit_m, NO_AREA
        highest = min(abs(y) + limit_m / _LEAST_M_PER_DEGREE, 90.0)
        least_y = _LEAST_M_PER_DEGREE
        least_x = _LEAST_M_PER_DEGREE * np.cos(np.radians(highest))
        for turn in range(-1, 2):  # the antimeridian is no end: what lies beyond it is 360 degrees away
            x = longitude[i] + 360.0 * turn
            codes[0], depths[0], size = 0, 0, 1
            while size:
                size -= 1
                code, depth = codes[size], depths[size]
                left, right, bottom, top = cell_box(code, depth)
                across = max(max(left - x, x - right), 0.0) * least_x
                along = max(max(bottom - y, y - top), 0.0) * least_y
                if across * across + along * along > (nearest + _SAME_DISTANCE_M) ** 2:
                    continue
                first = cell_of(code, starts, prefix, shift)
                last = cell_of(code + (np.int64(1) << 2 * (DEPTH - depth)) - 1, starts, prefix, shift)
                if first_piece[first] == first_piece[last + 1]:
                    continue
                if first < last:
                    closest = (1 if x > (left + right) / 2 else 0) | (2 if y > (bottom + top) / 2 else 0)
                    for away in (3, 2, 1, 0):
                        codes[size] = code + (np.int64(closest ^ away) << 2 * (DEPTH - depth - 1))
                        depths[size] = depth + 1
                        size += 1
                    continue
                for piece in range(first_piece[first], first_piece[first + 1]):
                    for k in range(first_vertex[piece], first_vertex[piece + 1] - 1):
                        ax, ay, bx, by = xs[k] - x, ys[k] - y, xs[k + 1] - x, ys[k + 1] - y
                        if not (xs[k] > -OUTSIDE and xs[k + 1] > -OUTSIDE):
                            continue
                        along = _nearest_along(ax * least_x, ay * least_y, bx * least_x, by * least_y)
                        across, along = (ax + along * (bx - ax)) * least_x, (ay + along * (by - ay)) * least_y
                        if across * across + along * along > (nearest + _SAME_DISTANCE_M) ** 2:
                            continue
                        distance = _distance_to_edge(y, ax, ay, bx, by)
                        if distance < nearest - _SAME_DISTANCE_M or (area == NO_AREA and distance <= nearest):
                            nearest, area = distance, piece_areas[piece]
                        elif distance <= nearest + _SAME_DISTANCE_M and piece_areas[piece] < area:
                            nearest, area = min(distance, nearest), piece_areas[piece]
        found[i] = area
        metres[i] = nearest if area != NO_AREA else np.nan


@kernel(inline="always")
def _nearest_along(ax, ay, bx, by):
    """How far from a to b, 0 to 1, the point of their line nearest to the origin is, in a plane."""
    dx, dy = bx - ax, by - ay
    length = dx * dx + dy * dy
    return min(max(-(ax * dx + ay * dy) / length, 0.0), 1.0) if length > 0.0 else 0.0


@kernel()
def _distance_to_edge(y, ax, ay, bx, by):
    """Metres from a point at latitude y to the nearest point of an edge whose ends are given from it, in degrees.

    The nearest point is that of a plane with the scale halfway to it, which is found in three steps; the distance
    to it is that on the ellipsoid.
    """
    along = 0.5
    for _ in range(3):
        halfway = np.radians(min(max(y + (ay + along * (by - ay)) / 2, -90.0), 90.0))
        scale = np.cos(halfway) * (1.0 - _WGS84_E2 * np.sin(halfway) ** 2) / (1.0 - _WGS84_E2)
        along = _nearest_along(ax * scale, ay, bx * scale, by)
    px, _, pz = _geocentric(0.0, y)
    qx, qy, qz = _geocentric(ax + along * (bx - ax), y + ay + along * (by - ay))
    chord = np.sqrt((qx - px) ** 2 + qy * qy + (qz - pz) ** 2)
    return 2.0 * EARTH_RADIUS_M * np.arcsin(min(chord / (2.0 * EARTH_RADIUS_M), 1.0))


@kernel(inline="always")
def _geocentric(longitude, latitude):
    """Metres from the Earth's centre along its axes, of a point on the WGS-84 ellipsoid."""
    sine, cosine = np.sin(np.radians(latitude)), np.cos(np.radians(latitude))
    normal = _WGS84_A / np.sqrt(1.0 - _WGS84_E2 * sine * sine)
    turned = np.radians(longitude)
    return normal * cosine * np.cos(turned), normal * cosine * np.sin(turned), normal * (1.0 - _WGS84_E2) * sine


def _offsets(sizes: Rows) -> NDArray[np.int64]:
    """Where each of consecutive runs begins, and where the last ends."""
    return np.concatenate(([0], np.cumsum(sizes, dtype=np.int64)))
