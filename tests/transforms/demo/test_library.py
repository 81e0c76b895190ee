"""Tests of transforms/demo/library.py."""

from __future__ import annotations

import json
import zlib
from datetime import date

import numpy as np
import pytest

from schemas.errors import NotFound
from transforms.demo.library import TRAVELLERS, Stay, Traveller, library_lines, library_rows, town_of
from transforms.places.gazetteer import nearest_towns, towns

each_traveller = pytest.mark.parametrize("traveller", TRAVELLERS, ids=lambda traveller: traveller.name)


def test_the_library_is_the_same_everywhere() -> None:
    """The very bytes, so that ids, counts and covers in the documentation hold."""
    text = "\n".join(line for traveller in TRAVELLERS for line in library_lines(traveller))
    assert (len(text.splitlines()), zlib.crc32(text.encode())) == (1900, 2389848950)


@each_traveller
def test_uris_are_unique(traveller: Traveller) -> None:
    uris = [row["uri"] for row in library_rows(traveller)]
    assert len(set(uris)) == len(uris)


@each_traveller
def test_pictures_lie_in_the_cities_of_their_stays(traveller: Traveller) -> None:
    rows = [row for row in library_rows(traveller) if "latitude" in row]
    longitude, latitude = (np.array([row[axis] for row in rows]) for axis in ("longitude", "latitude"))
    found, _ = nearest_towns(longitude, latitude, limit_m=5_000)
    places = towns().select(["country_code", "province", "city"]).take(found).to_pylist()
    stays = (Stay(*traveller.home, date(2025, 1, 1)), *traveller.stays)
    expected = {(town.country_code, town.province, town.city) for town in map(town_of, stays)}
    assert {tuple(place.values()) for place in places} == expected


@each_traveller
def test_a_camera_writes_all_its_times_one_way(traveller: Traveller) -> None:
    times = [row["produce_time"] for row in library_rows(traveller) if "produce_time" in row]
    kinds = {"instant" if text.endswith("Z") else "offset" if "T" in text else "local" for text in times}
    assert kinds == {traveller.clock}


@each_traveller
def test_lines_hold_the_good_rows_and_the_broken_ones(traveller: Traveller) -> None:
    lines = library_lines(traveller)
    good = [json.dumps(row, ensure_ascii=False) for row in library_rows(traveller)]
    assert lines[: len(good)] == good
    assert len(lines) > len(good)


def test_a_town_that_the_gazetteer_lacks_in_a_province_is_an_error() -> None:
    with pytest.raises(NotFound, match="'Suzhou' in 'Zhejiang'"):
        town_of(Stay("Suzhou", "CN", date(2025, 1, 1), province="Zhejiang"))
