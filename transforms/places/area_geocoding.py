"""Addresses by loaded areas: points looked up in the index on all cores, and dressed with their area's address.

Only coordinates go to the Python workers and only numbers come back; an address is joined to its number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.pandas.functions import pandas_udf

from transforms.places.area_index import AreaIndex
from transforms.places.area_tiles import tile_of
from transforms.places.geocoding import LOCATED_SCHEMA, is_place, time_zones

Floats = NDArray[np.float64]

_AREA_BITS = 31
"""`find_packed` gives an area's number in so many bits, and above them the distance in millimetres."""

_series_udf: Callable[..., Any] = pandas_udf
"""PySpark's own types for it know only series of one kind."""

OpenIndex = Callable[[int], AreaIndex]
"""Opens a part of the index, by its place among the parts, on whatever machine it is called."""


@dataclass(frozen=True)
class AreaLocator:
    """Takes the deepest area that contains a point, else the nearest within limit_m metres.

    An index that fits into a machine's memory is one part, which its workers share. A larger one comes in several,
    each of consecutive tiles: then points are brought together by part, and a worker opens one part after another.
    """

    version: str
    open_index: OpenIndex
    addresses: DataFrame
    """area_number (the area's in the index) and the columns of its address: areas.ADDRESSES_SCHEMA."""
    limit_m: float
    first_tiles: tuple[int, ...] = (0,)
    """The tile that each part begins with, ascending from 0."""

    @property
    def keyed_by_codes(self) -> bool:
        """Yes: every area has a code."""
        return True

    def find(self, points: DataFrame) -> DataFrame:
        """Adds `area_number`: each point's area, by its number in the index, null where it has none; and
        `area_metres`: the distance to it, null where the point is inside.
        """
        lies = is_place(F.col("longitude"), F.col("latitude"))
        asked = [F.when(lies, F.col(axis)) for axis in ("longitude", "latitude")]
        if len(self.first_tiles) > 1:
            tile = tile_of(F.col("longitude"), F.col("latitude"))
            part = reduce(Column.__add__, ((tile >= first).cast("int") for first in self.first_tiles[1:]))
            points = points.withColumn("index_part", F.when(lies, part).otherwise(0))
            points = points.repartitionByRange("index_part", "longitude", "latitude").sortWithinPartitions("index_part")
            asked.append(F.col("index_part"))
        packed = F.col("packed_area")
        area = packed.bitwiseAND(F.lit((1 << _AREA_BITS) - 1)).cast("int")
        metres = F.nullif(F.shiftright(packed, _AREA_BITS), F.lit(0)) / 1000
        return (
            points.withColumn("packed_area", _look_up(self.open_index, self.limit_m)(*asked))
            .withColumns({"area_number": F.when(packed >= 0, area), "area_metres": F.when(packed >= 0, metres)})
            .drop("packed_area", "index_part")
        )

    def locate(self, points: DataFrame, *, needs_zone: Column | None) -> DataFrame:
        """See transforms.places.geocoding.Locator."""
        lies = is_place(F.col("longitude"), F.col("latitude"))
        zone = F.col("time_zone")
        if needs_zone is not None:
            needs_zone = needs_zone & lies & zone.isNull()
            zone = F.coalesce(
                zone, _find_zone(*(F.when(needs_zone, F.col(axis)) for axis in ("longitude", "latitude")))
            )
        return (
            self.find(points)
            .join(F.broadcast(self.addresses.drop("area_id")), "area_number", how="left")
            .withColumns(
                {
                    "address_method": F.when(F.col("area_metres").isNotNull(), "nearest").when(
                        F.col("area_number").isNotNull(), "inside"
                    ),
                    "address_distance": F.col("area_metres"),
                    "time_zone": zone,
                    "index_version": F.when(lies, self.version),
                }
            )
            .select(*points.columns, *LOCATED_SCHEMA.names)
        )


def find_packed(index: AreaIndex, longitude: Floats, latitude: Floats, *, limit_m: float) -> NDArray[np.int64]:
    """The kernel of AreaLocator.find: each point's area, and in the bits above it the millimetres to it.

    longitude, latitude: float64 (n,), degrees; NaN for no place. int64 (n,), -1 where there is no area. Millimetres
    are 0 inside an area, and at least 1 outside.
    """
    areas = index.find(longitude, latitude)
    packed = areas.astype(np.int64)
    missing = np.flatnonzero((areas < 0) & ~np.isnan(longitude))
    if limit_m > 0 and missing.size:
        nearest, metres = index.find_nearest(longitude[missing], latitude[missing], limit_m=limit_m)
        found = nearest >= 0
        millimetres = np.maximum(np.ceil(metres[found] * 1000), 1).astype(np.int64)
        packed[missing[found]] = nearest[found] | (millimetres << _AREA_BITS)
    return packed


def _look_up(open_index: OpenIndex, limit_m: float) -> Callable[..., Column]:
    @_series_udf("long")
    def look_up(batches: Iterator[tuple[pd.Series, ...]]) -> Iterator[pd.Series]:
        opened, index = -1, None
        for longitude, latitude, *part in batches:
            lon, lat = longitude.to_numpy(np.float64), latitude.to_numpy(np.float64)
            parts = part[0].to_numpy() if part else np.zeros(len(lon), np.int32)
            packed = np.full(len(lon), -1, np.int64)
            for wanted in np.unique(parts):
                if index is None or opened != wanted:
                    index = None  # before the next is opened: one at a time in memory
                    opened, index = wanted, open_index(int(wanted))
                here = parts == wanted
                packed[here] = find_packed(index, lon[here], lat[here], limit_m=limit_m)
            yield pd.Series(packed)

    # Else Spark would look a point up once more for each filter on what was found.
    made: Callable[..., Column] = look_up.asNondeterministic()
    return made


def _find_zone(longitude: Column, latitude: Column) -> Column:
    @_series_udf("string")
    def find_zone(longitude: pd.Series, latitude: pd.Series) -> pd.Series:
        return pd.Series(time_zones(longitude.to_numpy(np.float64), latitude.to_numpy(np.float64)).to_pandas())

    zone: Column = find_zone.asNondeterministic()(longitude, latitude)
    return zone
