"""Addresses of areas, and the datum of Chinese maps."""

import numpy as np
import pyarrow as pa
import pytest

from transforms.places.areas import ADDRESSES_SCHEMA, address_areas
from transforms.places.datums import gcj02_to_wgs84, wgs84_to_gcj02

MAP = pa.map_(pa.string(), pa.string())


def areas(*rows: tuple) -> pa.Table:
    names = ("area_id", "level", "name", "names", "parent_id", "time_zone")
    columns = dict(zip(names, zip(*rows, strict=True), strict=True))
    kinds = {"names": MAP}
    table = {name: pa.array(list(values), kinds.get(name, pa.string())) for name, values in columns.items()}
    return pa.table({**table, "code": table["area_id"]})


def test_an_address_is_an_area_and_those_above_it():
    addresses = address_areas(
        areas(
            ("cn", "country", "中国", [("en", "China"), ("fr", "Chine")], None, "Asia/Shanghai"),
            ("b", "district", "西湖区", [], "hz", None),
            ("a", "district", "上城区", [], "hz", None),
            ("hz", "city", "杭州市", [("en", "Hangzhou")], "cn", "Asia/Urumqi"),
            ("sea", "township", "", [], None, None),
        ),
        language="en",
    )
    assert addresses.schema == ADDRESSES_SCHEMA
    rows = addresses.to_pylist()
    assert [row["area_id"] for row in rows] == ["sea", "a", "b", "hz", "cn"]
    first = {name: value for name, value in rows[1].items() if value is not None}
    assert first == {
        "area_id": "a",
        "country": "China",
        "country_code": "cn",
        "city": "Hangzhou",
        "city_code": "hz",
        "district": "上城区",
        "district_code": "a",
        "time_zone": "Asia/Urumqi",
    }
    assert rows[4]["time_zone"] == "Asia/Shanghai"
    assert rows[0]["township_code"] == "sea"
    assert rows[0]["country"] is None


def test_no_areas_have_no_addresses():
    empty = areas(("x", "city", "", [], None, None)).slice(0, 0)
    assert address_areas(empty, language="en").num_rows == 0


@pytest.mark.parametrize(
    ("wgs84", "gcj02"),
    [
        # Known pairs of public reimplementations' tests (Tiananmen, Shanghai).
        ((116.404, 39.915), (116.41024449916938, 39.91640428150164)),
        ((121.4737, 31.2304), (121.47822, 31.22845)),
        # Where GCJ-02 does not apply.
        ((2.35, 48.85), (2.35, 48.85)),
        ((139.7, 35.7), (139.7, 35.7)),
    ],
)
def test_gcj02_of_known_points(wgs84, gcj02):
    there = wgs84_to_gcj02(*(np.array([axis]) for axis in wgs84))
    assert np.hypot(there[0][0] - gcj02[0], there[1][0] - gcj02[1]) * 111_320 < 2


def test_gcj02_and_back_is_the_same_place():
    rng = np.random.default_rng(0)
    longitude, latitude = rng.uniform(73, 136, 20_000), rng.uniform(3, 54, 20_000)
    back = gcj02_to_wgs84(*wgs84_to_gcj02(longitude, latitude))
    assert np.hypot(back[0] - longitude, back[1] - latitude).max() * 111_320 < 0.001
