"""Addresses by loaded areas: points looked up in the index, and dressed with their area's address."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.places.area_cells import NO_AREA, tiles_of
from transforms.places.area_index import AreaIndex
from transforms.places.geocoding import Bools, Floats, Ints, distinct_points, dress_points, is_place, time_zones
from transforms.tables.keyed import indices_or_null, with_columns

OpenIndex = Callable[[int], AreaIndex]
"""Opens a part of the index, by its place among the parts, on whatever machine it is called."""


@dataclass(frozen=True, eq=False)
class AreaLocator:
    """Takes the deepest area that contains a point, else the nearest within limit_m metres.

    An index that fits into a machine's memory is one part, which its workers share. A larger one comes in several,
    each of consecutive tiles, of which one is open at a time. Addresses go with the locator: some 100 bytes an area.
    """

    version: str
    open_index: OpenIndex
    addresses: pa.Table
    """areas.ADDRESSES_SCHEMA: the n-th row is the address of area n of the index."""
    limit_m: float
    first_tiles: tuple[int, ...] = (0,)
    """The tile that each part begins with, ascending from 0."""

    @property
    def keyed_by_codes(self) -> bool:
        """Yes: every area has a code."""
        return True

    def locate(self, longitude: Floats, latitude: Floats, *, needs_zone: Bools) -> pa.Table:
        """See transforms.places.geocoding.Locator. Memory: about 300 bytes a row."""
        x, y, point_of_row = distinct_points(longitude, latitude, is_place(longitude, latitude))
        found = dress_points(*self.find(x, y), point_of_row, addresses=self.addresses, version=self.version)
        asked = np.flatnonzero(needs_zone & (point_of_row >= 0) & np.asarray(found["time_zone"].is_null()))
        points, asking = np.unique(point_of_row[asked], return_inverse=True)
        zone_of_row = np.full(len(longitude), -1, np.int64)
        zone_of_row[asked] = asking
        zones = time_zones(x[points], y[points]).take(indices_or_null(zone_of_row))
        return with_columns(found, {"time_zone": pc.coalesce(found["time_zone"], zones)})

    def find(self, longitude: Floats, latitude: Floats) -> tuple[Ints, Floats]:
        """Each point's area, by its number in the index, NO_AREA where it has none: int64 (n,); and the metres to it,
        NaN where the point is inside: float64 (n,).

        longitude, latitude: float64 (n,), degrees; points that are no place are in no area.
        """
        areas, metres = np.full(len(longitude), NO_AREA, np.int64), np.full(len(longitude), np.nan)
        part_of_point = parts_of(longitude, latitude, self.first_tiles)
        for part in np.unique(part_of_point):
            here = np.flatnonzero(part_of_point == part)
            index = self.open_index(int(part))
            areas[here], metres[here] = find_areas(index, longitude[here], latitude[here], limit_m=self.limit_m)
            del index  # before the next is opened: one at a time in memory
        return areas, metres


def parts_of(longitude: Floats, latitude: Floats, first_tiles: tuple[int, ...]) -> Ints:
    """The part of an index in which each point is looked up: int64 (n,), 0 for points that are no place."""
    if len(first_tiles) == 1:
        return np.zeros(len(longitude), np.int64)
    place = is_place(longitude, latitude)
    tiles = tiles_of(np.where(place, longitude, -180.0), np.where(place, latitude, -90.0))
    return np.searchsorted(np.array(first_tiles), tiles, side="right") - 1


def find_areas(index: AreaIndex, longitude: Floats, latitude: Floats, *, limit_m: float) -> tuple[Ints, Floats]:
    """What AreaLocator.find gives, of points that are all looked up in one index.

    Distances are whole millimetres, at least 1.
    """
    areas = index.find(longitude, latitude).astype(np.int64)
    metres = np.full(len(areas), np.nan)
    missing = np.flatnonzero((areas < 0) & ~np.isnan(longitude))
    if limit_m > 0 and missing.size:
        nearest, distance = index.find_nearest(longitude[missing], latitude[missing], limit_m=limit_m)
        found = nearest >= 0
        areas[missing[found]] = nearest[found]
        metres[missing[found]] = np.maximum(np.ceil(distance[found] * 1000), 1) / 1000
    return areas, metres
