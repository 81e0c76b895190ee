"""Addresses and time zones of points."""

import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tzfpy

from transforms.places.geocoding import LOCATED_SCHEMA, GazetteerLocator

METADATA = Path(__file__).parents[3] / "shared" / "data" / "metadata"


def located(longitude: np.ndarray, latitude: np.ndarray, *, limit_m: float = 100_000.0) -> pa.Table:
    return GazetteerLocator(limit_m).locate(longitude, latitude, needs_zone=np.zeros(len(longitude), np.bool_))


def locate(*points: tuple[float | None, float | None], limit_m: float = 100_000.0) -> list[dict]:
    longitude, latitude = (np.array(axis, np.float64) for axis in zip(*points, strict=True))
    return located(longitude, latitude, limit_m=limit_m).to_pylist()


def test_a_point_gets_its_nearest_town_and_zone():
    (rome,) = locate((12.49, 41.89))
    assert (rome["country"], rome["country_code"], rome["province"]) == ("Italy", "IT", "Lazio")
    assert (rome["address_method"], rome["time_zone"]) == ("nearest", "Europe/Rome")
    assert 0 < rome["address_distance"] < 2_000
    assert rome["district"] is None
    assert rome["index_version"].startswith("reverse_geocode-")


def test_beyond_the_limit_there_is_a_zone_but_no_address():
    (atlantic,) = locate((-30.0, 0.0))
    assert atlantic.pop("time_zone") == "Etc/GMT+2"
    atlantic.pop("index_version")
    assert set(atlantic.values()) == {None}


@pytest.mark.parametrize(
    "point",
    [
        (0.0, 0.0),
        (-0.0, 0.0),
        (None, 51.0),
        (8.0, None),
        (float("nan"), 1.0),
        (180.5, 1.0),
        (1.0, -90.1),
        (float("inf"), 1.0),
    ],
)
def test_what_is_no_place_gets_nulls(point):
    located = locate(point, (8.54, 47.37))
    assert set(located[0].values()) == {None}
    assert located[1]["country_code"] == "CH"


def test_zero_alone_is_a_place():
    greenwich, gabon = locate((0.0, 51.48), (9.45, 0.0))
    assert (greenwich["country_code"], gabon["country_code"]) == ("GB", "GA")


@pytest.mark.parametrize(
    ("point", "zone"),
    [
        ((-157.36, 1.87), "Pacific/Kiritimati"),
        ((-171.76, -13.83), "Pacific/Apia"),
        ((178.44, -18.14), "Pacific/Fiji"),
        ((-179.98, -16.8), "Pacific/Fiji"),
        ((85.32, 27.71), "Asia/Kathmandu"),
        ((0.0, 90.0), "Etc/GMT"),
        ((0.0, -90.0), "Antarctica/McMurdo"),
        ((180.0, 0.0), "Etc/GMT-12"),
    ],
)
def test_zones_at_the_date_line_and_the_poles(point, zone):
    assert locate(point)[0]["time_zone"] == zone


def test_repeats_and_order_do_not_matter():
    points = [(8.54, 47.37), (103.85, 1.29), (8.54, 47.37), (None, None), (-74.0, 40.71)]
    straight, back = locate(*points), locate(*points[::-1])
    assert straight == back[::-1]
    assert straight[0] == straight[2]


def test_no_points_have_the_schema_and_load_no_gazetteer(monkeypatch):
    monkeypatch.setattr("transforms.places.geocoding.towns", None)
    empty = located(np.array([]), np.array([]))
    assert (empty.schema, len(empty)) == (LOCATED_SCHEMA, 0)
    nowhere = located(np.array([np.nan, 0.0]), np.array([1.0, 0.0]))
    assert nowhere.schema == LOCATED_SCHEMA
    assert [set(row.values()) for row in nowhere.to_pylist()] == [{None}, {None}]


def test_the_locator_is_small_to_send():
    locator = GazetteerLocator()
    locate((8.54, 47.37))
    assert len(pickle.dumps(locator)) < 300


@pytest.mark.skipif(not METADATA.exists(), reason=f"no real metadata at {METADATA}")
def test_real_pictures_are_nearly_all_located():
    for name, zones in (("flickr_liverpool_toronto", {"Europe/London", "America/Toronto"}), ("gowalla_sample", None)):
        table = pq.read_table(METADATA / f"{name}.parquet", columns=["lon", "lat"])
        found_places = located(table["lon"].to_numpy(), table["lat"].to_numpy())
        assert found_places["country"].null_count <= table.num_rows * 0.001
        found = set(found_places["time_zone"].unique().to_pylist())
        assert found <= (zones or set(tzfpy.timezonenames()) | {None})
