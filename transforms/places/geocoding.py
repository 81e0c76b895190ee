"""Where points are: the address and the time zone of longitudes and latitudes, of Arrow tables.

What finds the address is a `Locator`: the embedded gazetteer here, loaded areas in transforms.places.area_geocoding.
Time zones that no area tells come from `tzfpy`, whose boundaries are within about 111 m of
timezone-boundary-builder's, and which knows the nautical zones of the sea as well. Frames of Spark are located by
transforms.places.located_frames.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tzfpy
from numpy.typing import NDArray

from schemas.contract import LEVELS
from transforms.places.gazetteer import GAZETTEER_VERSION, nearest_towns, towns
from transforms.tables.keyed import indices_or_null, with_columns

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

GAZETTEER_LIMIT_M = 100_000.0
"""How far a town's centre may be. Of the land north of 60 S, 54 % lies within 50 km of a town of the
gazetteer and 74 % within 100 km; the nearest town is in the right country for 96 % of either, and for 93 % of
what lies between. Sights that people photograph are among the latter (Jokulsarlon 52 km, Serengeti 55, Uyuni
61, Landmannalaugar 63). Of 45,647 pictures and check-ins in ../shared/data/metadata 1,315 lie beyond 5 km, 84
beyond 10, 5 beyond 25, 1 beyond 50, none beyond 100. Areas, once loaded, contain their points, and need far
less."""

ADDRESS_SCHEMA = pa.schema(
    [
        *((level, pa.string()) for level in LEVELS),
        *((f"{level}_code", pa.string()) for level in LEVELS),
        ("address_method", pa.string()),
        ("address_distance", pa.float64()),
    ]
)
"""What a locator says of a point: names and codes by level, `inside` or `nearest`, and metres for the
latter."""

LOCATED_SCHEMA = ADDRESS_SCHEMA.append(pa.field("time_zone", pa.string())).append(
    pa.field("index_version", pa.string())
)
"""What is said of a point: its address, its time zone, and what found them."""


class Locator(Protocol):
    """Finds addresses. Small, or cheap to send to tasks of Spark."""

    @property
    def version(self) -> str:
        """Names the areas or the gazetteer, so that a row can tell what located it."""

    @property
    def keyed_by_codes(self) -> bool:
        """Whether its codes identify places at every level, so that they make the place key; else names
        do."""

    @property
    def first_tiles(self) -> tuple[int, ...]:
        """The tile that each part begins with of what it looks points up in; (0,) where that is one."""

    def locate(self, longitude: Floats, latitude: Floats, *, needs_zone: Bools) -> pa.Table:
        """LOCATED_SCHEMA, a row per point, in order.

        longitude, latitude: float64 (n,), degrees, WGS-84; NaN for missing. needs_zone: bool (n,).

        The address is null where none is found, and so are address_method and address_distance (metres). The time
        zone (IANA) is there wherever needs_zone is true; elsewhere it may be missing. Where coordinates are no place
        (see `is_place`), all is null.
        """


@dataclass(frozen=True)
class GazetteerLocator:
    """Takes the nearest town's address, if its centre is within limit_m metres."""

    limit_m: float = GAZETTEER_LIMIT_M

    @property
    def version(self) -> str:
        """The gazetteer's package and version, with the limit."""
        return f"{GAZETTEER_VERSION}/{self.limit_m:.0f}m"

    @property
    def keyed_by_codes(self) -> bool:
        """No: below the country the gazetteer has names only."""
        return False

    @property
    def first_tiles(self) -> tuple[int, ...]:
        """The gazetteer is one."""
        return (0,)

    def locate(self, longitude: Floats, latitude: Floats, *, needs_zone: Bools) -> pa.Table:
        """See Locator. Every place gets its zone.

        O(n log n) to find the distinct points, then a search and 0.6 microseconds for each. Memory: about 300 bytes
        a row.
        """
        x, y, point_of_row = distinct_points(longitude, latitude, is_place(longitude, latitude))
        if not len(x):  # the gazetteer takes a second to load
            return LOCATED_SCHEMA.empty_table().take(indices_or_null(point_of_row))
        nearest, metres = nearest_towns(x, y, limit_m=self.limit_m)
        found = dress_points(nearest, metres, point_of_row, addresses=towns(), version=self.version)
        return with_columns(found, {"time_zone": time_zones(x, y).take(indices_or_null(point_of_row))})


def is_place(longitude: Floats, latitude: Floats) -> Bools:
    """Whether coordinates are a place: both there (not NaN), in range, and not (0, 0), which cameras write for unknown.

    >>> is_place(np.array([0.0, 0.0, np.nan, 181.0]), np.array([0.0, 51.0, 1.0, 1.0])).tolist()
    [False, True, False, False]
    """
    in_range = (np.abs(longitude) <= 180) & (np.abs(latitude) <= 90)
    there: Bools = in_range & ((longitude != 0) | (latitude != 0))
    return there


def distinct_points(longitude: Floats, latitude: Floats, where: Bools) -> tuple[Floats, Floats, Ints]:
    """The points of the rows `where`, each once, and for each row its place among them, -1 elsewhere: int64 (n,).

    Pictures come in bursts, so that there are fewer points than rows. O(n log n).
    """
    points, place = np.unique(longitude[where] + 1j * latitude[where], return_inverse=True)
    point_of_row = np.full(len(longitude), -1, np.int64)
    point_of_row[where] = place
    return points.real.copy(), points.imag.copy(), point_of_row


def dress_points(numbers: Ints, metres: Floats, point_of_row: Ints, *, addresses: pa.Table, version: str) -> pa.Table:
    """LOCATED_SCHEMA, a row for each place in `point_of_row` (see distinct_points), with the zones that addresses tell.

    numbers: int64 (n,), the row of each point's address, -1 where it has none. metres: float64 (n,), how far that is,
    NaN where the point lies inside.
    """
    numbers, metres = np.append(numbers, -1)[point_of_row], np.append(metres, np.nan)[point_of_row]
    told = [name for name in LOCATED_SCHEMA.names if name in addresses.column_names]
    found = addresses.select(told).take(indices_or_null(numbers))
    is_near, nothing = ~np.isnan(metres), pa.scalar(None, pa.string())
    method = pc.if_else(pa.array(is_near), "nearest", pc.if_else(pa.array(numbers >= 0), "inside", nothing))
    columns = {name: pa.nulls(len(numbers), LOCATED_SCHEMA.field(name).type) for name in LOCATED_SCHEMA.names}
    columns |= {name: found[name] for name in told}
    columns |= {"address_method": method, "address_distance": pa.array(metres, mask=~is_near)}
    columns |= {"index_version": pc.if_else(pa.array(point_of_row >= 0), version, nothing)}
    return pa.table(columns, schema=LOCATED_SCHEMA)


def time_zones(longitude: Floats, latitude: Floats) -> pa.Array:
    """The IANA time zone of each point, which is a place.

    tzfpy has a call per point only; it is as fast as this loop, and other packages are slower in bulk.
    """
    return pa.array([*map(tzfpy.get_tz, longitude.tolist(), latitude.tolist())], pa.string())
