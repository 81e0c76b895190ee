"""Where points are: the address and the time zone of any frame's longitude and latitude.

What finds the address is a `Locator`: the embedded gazetteer here, loaded areas in transforms.places.area_geocoding.
Time zones that no area tells come from `tzfpy`, whose boundaries are within about 111 m of
timezone-boundary-builder's, and which knows the nautical zones of the sea as well.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tzfpy
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import from_arrow_schema
from pyspark.sql.types import StructType

from schemas.contract import LEVELS
from transforms.places.gazetteer import GAZETTEER_VERSION, nearest_towns, towns

Floats = NDArray[np.float64]

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
"""The columns that `locate_points` adds."""


class Locator(Protocol):
    """Finds addresses."""

    @property
    def version(self) -> str:
        """Names the areas or the gazetteer, so that a row can tell what located it."""

    @property
    def keyed_by_codes(self) -> bool:
        """Whether its codes identify places at every level, so that they make the place key; else names
        do."""

    def locate(self, points: DataFrame, *, needs_zone: Column | None) -> DataFrame:
        """Adds the columns of LOCATED_SCHEMA to each row, from its `longitude` and `latitude` (doubles, degrees,
        WGS-84).

        The address is null where none is found, and so are address_method and address_distance (metres). The time
        zone (IANA) is there wherever needs_zone is true; elsewhere it may be missing. Rows whose coordinates are no
        place (see `is_place`) get nulls.
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

    def locate(self, points: DataFrame, *, needs_zone: Column | None) -> DataFrame:
        """See Locator. Every place gets its zone."""
        after = StructType([*points.schema, *from_arrow_schema(LOCATED_SCHEMA)])

        def locate_batches(batches: Iterable[pa.RecordBatch]) -> Iterable[pa.RecordBatch]:
            for batch in batches:
                located = locate_batch(batch["longitude"], batch["latitude"], locator=self)
                yield from pa.table([*batch.columns, *located.columns], names=after.names).to_batches()

        return points.mapInArrow(locate_batches, after)

    def addresses(self, longitude: Floats, latitude: Floats) -> pa.Table:
        """The address of each point, in order: ADDRESS_SCHEMA, all null where there is none.

        longitude, latitude: float64 (n,), degrees, WGS-84, finite and in range.
        """
        rows, metres = nearest_towns(longitude, latitude, limit_m=self.limit_m)
        missing = rows < 0
        found = towns().take(pa.array(rows, mask=missing))
        columns = {name: found[name] for name in found.column_names if name in ADDRESS_SCHEMA.names}
        columns["address_method"] = pc.if_else(pa.array(missing), pa.scalar(None, pa.string()), "nearest")
        columns["address_distance"] = pa.array(metres, mask=missing)
        return _fill_absent(columns, len(rows))


def locate_points(
    points: DataFrame, *, locator: Locator, needs_zone: Column | Literal[True] | None = True
) -> DataFrame:
    """Adds the address and the time zone of `longitude` and `latitude` to each row of any frame: see Locator.locate.

    needs_zone: which rows need the zone; all unless given, and None for none.
    """
    for taken in set(LOCATED_SCHEMA.names) & set(points.columns):
        raise ValueError(f"the frame already has a column {taken}; locate_points adds it")
    return locator.locate(points, needs_zone=F.lit(True) if needs_zone is True else needs_zone)


def is_place(longitude: Column, latitude: Column) -> Column:
    """Whether coordinates are a place: both there, in range, and not (0, 0), which cameras write for unknown.

    >>> df = spark.sql("SELECT * FROM VALUES (0D, 0D), (0D, 51D), (double('NaN'), 1D), (181D, 1D) t(lon, lat)")
    >>> df.select("lon", "lat", is_place(F.col("lon"), F.col("lat")).alias("is_place")).show()
    +-----+----+--------+
    |  lon| lat|is_place|
    +-----+----+--------+
    |  0.0| 0.0|   false|
    |  0.0|51.0|    true|
    |  NaN| 1.0|   false|
    |181.0| 1.0|   false|
    +-----+----+--------+
    <BLANKLINE>
    """
    in_range = longitude.between(-180.0, 180.0) & latitude.between(-90.0, 90.0)
    return F.coalesce(in_range & ~((longitude == 0.0) & (latitude == 0.0)), F.lit(False))


def locate_batch(longitude: pa.Array, latitude: pa.Array, *, locator: GazetteerLocator) -> pa.Table:
    """The kernel of GazetteerLocator.locate: two double arrays (n,), nulls allowed, to LOCATED_SCHEMA, n rows.

    Pictures come in bursts, so each distinct point of the batch is looked up once: O(n log n) to find those,
    then the locator's cost and 0.6 microseconds a point for its zone. Memory: about 300 bytes a row.
    """
    lon = longitude.to_numpy(zero_copy_only=False).astype(np.float64, copy=False)
    lat = latitude.to_numpy(zero_copy_only=False).astype(np.float64, copy=False)
    place = (np.abs(lon) <= 180) & (np.abs(lat) <= 90) & ((lon != 0) | (lat != 0))
    points, point_of_row = np.unique(lon[place] + 1j * lat[place], return_inverse=True)
    found = locator.addresses(points.real.copy(), points.imag.copy())
    found = found.append_column("time_zone", time_zones(points.real, points.imag))
    found = found.append_column("index_version", pa.array([locator.version] * len(points), pa.string()))
    take = np.zeros(len(lon), np.int64)
    take[place] = point_of_row
    return found.select(LOCATED_SCHEMA.names).take(pa.array(take, mask=~place)).combine_chunks()


def time_zones(longitude: Floats, latitude: Floats) -> pa.Array:
    """The IANA time zone of each point, null where its coordinates are NaN.

    tzfpy has a call per point only; it is as fast as this loop, and other packages are slower in bulk.
    """
    points = zip(longitude.tolist(), latitude.tolist(), strict=True)
    return pa.array([tzfpy.get_tz(x, y) if x == x and y == y else None for x, y in points], pa.string())


def _fill_absent(columns: dict[str, pa.ChunkedArray | pa.Array], length: int) -> pa.Table:
    """A table of ADDRESS_SCHEMA, with nulls for the columns not given."""
    return pa.table(
        [columns.get(field.name, pa.nulls(length, field.type)) for field in ADDRESS_SCHEMA],
        schema=ADDRESS_SCHEMA,
    )
