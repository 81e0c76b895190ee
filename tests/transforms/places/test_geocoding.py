"""Addresses and time zones of points."""

import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tzfpy

from transforms.places.geocoding import (
    ADDRESS_SCHEMA,
    LOCATED_SCHEMA,
    GazetteerLocator,
    locate_batch,
    locate_points,
)

METADATA = Path(__file__).parents[3] / "shared" / "data" / "metadata"


def locate(*points: tuple[float | None, float | None], limit_m: float = 100_000.0) -> list[dict]:
    longitude, latitude = (pa.array(axis, pa.float64()) for axis in zip(*points, strict=True))
    return locate_batch(longitude, latitude, locator=GazetteerLocator(limit_m)).to_pylist()


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


def test_an_empty_batch_has_the_schema():
    empty = locate_batch(pa.array([], pa.float64()), pa.array([], pa.float64()), locator=GazetteerLocator())
    assert empty.schema == LOCATED_SCHEMA
    assert empty.num_rows == 0


def test_the_locator_is_small_to_send():
    locator = GazetteerLocator()
    locator.addresses(np.array([8.54]), np.array([47.37]))
    assert len(pickle.dumps(locator)) < 300


def test_a_locator_answers_in_the_schema():
    found = GazetteerLocator().addresses(np.array([8.54, -30.0]), np.array([47.37, 0.0]))
    assert found.schema == ADDRESS_SCHEMA
    assert found["country"].to_pylist() == ["Switzerland", None]


def test_locate_points_keeps_the_frame_and_adds_columns(spark):
    frame = spark.sql(
        "SELECT * FROM VALUES (1, 8.54D, 47.37D, timestamp'2024-01-01', struct('a' AS b)), "
        "(2, null, null, null, null), (3, 0D, 0D, null, null) AS t(id, longitude, latitude, time, nested)"
    )
    located = locate_points(frame, locator=GazetteerLocator())
    assert located.columns == [*frame.columns, *LOCATED_SCHEMA.names]
    rows = {row.id: row for row in located.collect()}
    assert rows[1].city == "Bezirk Zürich"
    assert (rows[1].time_zone, rows[1].nested.b) == ("Europe/Zurich", "a")
    assert rows[2].time_zone is rows[3].time_zone is rows[3].country is None


def test_locate_points_refuses_to_overwrite(spark):
    frame = spark.sql("SELECT 1D AS longitude, 1D AS latitude, 'x' AS city")
    with pytest.raises(ValueError, match="already has a column city"):
        locate_points(frame, locator=GazetteerLocator())


@pytest.mark.skipif(not METADATA.exists(), reason=f"no real metadata at {METADATA}")
def test_real_pictures_are_nearly_all_located():
    for name, zones in (("flickr_liverpool_toronto", {"Europe/London", "America/Toronto"}), ("gowalla_sample", None)):
        table = pq.read_table(METADATA / f"{name}.parquet", columns=["lon", "lat"])
        located = locate_batch(table["lon"].combine_chunks(), table["lat"].combine_chunks(), locator=GazetteerLocator())
        assert located["country"].null_count <= table.num_rows * 0.001
        found = set(located["time_zone"].unique().to_pylist())
        assert found <= (zones or set(tzfpy.timezonenames()) | {None})
