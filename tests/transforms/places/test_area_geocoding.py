"""Addresses of points by areas, in one index and in parts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from shapely import box

from tests.transforms.places.areas import Area, brute_force, hard_points, index_of
from transforms.places.area_cells import TILES, tiles_of
from transforms.places.area_geocoding import AreaLocator
from transforms.places.area_index import AreaIndex
from transforms.places.area_tiles import ALL_TILES, with_neighbours
from transforms.places.areas import ADDRESSES_SCHEMA
from transforms.places.geocoding import LOCATED_SCHEMA

AREAS = [
    Area("a", box(9.0, 45.0, 10.0, 46.0)),
    Area("b", box(10.0, 45.0, 11.5, 46.0)),
    Area("c", box(-3.0, 50.0, 0.5, 52.0)),
    Area("all", box(8.0, 44.0, 12.0, 47.0), "country"),
]
"""In the order in which they win."""


def addresses() -> pa.Table:
    zones = [None, "Europe/Vaduz", None, None]
    rows = [
        {"area_id": area.area_id, "city": f"City {area.area_id}", "city_code": area.area_id, "time_zone": zone}
        for area, zone in zip(AREAS, zones, strict=True)
    ]
    return pa.Table.from_pylist(rows, schema=ADDRESSES_SCHEMA)


@pytest.fixture(scope="module")
def locator() -> AreaLocator:
    index = index_of(AREAS)

    def open_index(part: int) -> AreaIndex:
        assert part == 0
        return index

    return AreaLocator("areas-3/5000m", open_index, addresses(), limit_m=5_000)


def locate(locator: AreaLocator, *points: tuple[float, float], needs_zone: bool = True) -> list[dict]:
    longitude, latitude = (np.array(axis) for axis in zip(*points, strict=True))
    found = locator.locate(longitude, latitude, needs_zone=np.full(len(longitude), needs_zone))
    assert found.schema == LOCATED_SCHEMA
    return found.to_pylist()


def test_a_point_has_the_address_of_its_area_or_of_the_nearest(locator: AreaLocator) -> None:
    inside, country, near, far, nowhere = locate(
        locator, (9.5, 45.5), (8.5, 44.5), (12.01, 45.0), (30.0, 45.0), (0.0, 0.0)
    )
    assert (inside["city_code"], inside["address_method"], inside["address_distance"]) == ("a", "inside", None)
    assert country["city_code"] == "all"
    assert (near["city_code"], near["address_method"]) == ("all", "nearest")
    assert near["address_distance"] == pytest.approx(788, abs=2)
    assert near["address_distance"] * 1000 == round(near["address_distance"] * 1000)
    assert {row["index_version"] for row in (inside, near, far)} == {"areas-3/5000m"}
    assert (far["address_method"], far["city"]) == (None, None)
    assert set(nowhere.values()) == {None}


def test_a_zone_is_the_areas_else_the_points_where_it_is_needed(locator: AreaLocator) -> None:
    points = [(10.5, 45.5), (9.5, 45.5), (30.0, 0.5), (np.nan, 45.0)]
    zones = [row["time_zone"] for row in locate(locator, *points)]
    assert zones == ["Europe/Vaduz", "Europe/Rome", "Africa/Kampala", None]
    zones = [row["time_zone"] for row in locate(locator, *points, needs_zone=False)]
    assert zones == ["Europe/Vaduz", None, None, None]


def test_a_zone_is_looked_up_for_the_rows_that_need_it(locator: AreaLocator) -> None:
    longitude, latitude = np.array([9.5, 9.5, 9.6]), np.array([45.5, 45.5, 45.5])
    found = locator.locate(longitude, latitude, needs_zone=np.array([False, True, False]))
    assert found["time_zone"].to_pylist() == [None, "Europe/Rome", None]


def test_no_points_have_the_schema(locator: AreaLocator) -> None:
    empty = locator.locate(np.array([]), np.array([]), needs_zone=np.array([], np.bool_))
    assert (empty.schema, len(empty)) == (LOCATED_SCHEMA, 0)


def test_points_are_in_the_areas_that_brute_force_says(locator: AreaLocator) -> None:
    longitude, latitude = hard_points(AREAS, np.random.default_rng(5))
    areas, metres = locator.find(longitude, latitude)
    assert np.where(np.isnan(metres), areas, -1).tolist() == brute_force(AREAS, longitude, latitude).tolist()


def test_an_index_in_parts_answers_as_one(locator: AreaLocator) -> None:
    longitude, latitude = hard_points(AREAS, np.random.default_rng(6))
    longitude[:9] = [np.nan, 0.0, 181.0, 180.0, -180.0, 8.0, 12.0, 0.5, -3.0]
    first_tiles = (0, *np.unique(tiles_of(np.array([9.0, 11.4]), np.array([45.5, 46.5]))).tolist())
    assert len(first_tiles) == 3
    parts = []
    for first, end in zip(first_tiles, (*first_tiles[1:], TILES), strict=True):
        tiles = np.zeros_like(ALL_TILES)
        tiles[with_neighbours(np.arange(first, end, dtype=np.int32))] = True
        parts.append(index_of(AREAS, tiles))
    opened: list[int] = []

    def open_index(part: int) -> AreaIndex:
        opened.append(part)
        return parts[part]

    in_parts = replace(locator, open_index=open_index, first_tiles=first_tiles)
    needs = np.arange(len(longitude)) % 2 == 0
    whole = locator.locate(longitude, latitude, needs_zone=needs)
    assert in_parts.locate(longitude, latitude, needs_zone=needs).equals(whole)
    assert set(whole["address_method"].to_pylist()) == {"inside", "nearest", None}
    assert opened == [0, 1, 2]
