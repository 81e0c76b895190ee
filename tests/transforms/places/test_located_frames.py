"""Frames of Spark whose points are located."""

import pytest

from transforms.places.geocoding import LOCATED_SCHEMA, GazetteerLocator
from transforms.places.located_frames import locate_points


def test_locate_points_keeps_the_frame_and_adds_columns(spark):
    frame = spark.sql(
        "SELECT * FROM VALUES (1, 8.54D, 47.37D, timestamp'2024-01-01', struct('a' AS b)), "
        "(2, null, null, null, null), (3, 0D, 0D, null, null) AS t(id, longitude, latitude, time, nested)"
    )
    found = locate_points(frame, locator=GazetteerLocator())
    assert found.columns == [*frame.columns, *LOCATED_SCHEMA.names]
    rows = {row.id: row for row in found.collect()}
    assert rows[1].city == "Bezirk Zürich"
    assert (rows[1].time_zone, rows[1].nested.b) == ("Europe/Zurich", "a")
    assert rows[2].time_zone is rows[3].time_zone is rows[3].country is None


def test_locate_points_refuses_to_overwrite(spark):
    frame = spark.sql("SELECT 1D AS longitude, 1D AS latitude, 'x' AS city")
    with pytest.raises(ValueError, match="already has a column city"):
        locate_points(frame, locator=GazetteerLocator())
