"""Nearest towns against brute force, and the levels of their addresses."""

import numpy as np
import pytest

from schemas.errors import NotFound
from transforms.places.gazetteer import EARTH_RADIUS_M, Town, find_town, nearest_towns, towns

ANYWHERE = np.pi * EARTH_RADIUS_M
VATICAN = "Holy See (Vatican City State)"


def haversine(longitude: float, latitude: float) -> np.ndarray:
    """Metres from a point to every town, by another formula than the kernel's."""
    table = towns()
    lon, lat = np.radians(table["longitude"].to_numpy()), np.radians(table["latitude"].to_numpy())
    x, y = np.radians(longitude), np.radians(latitude)
    a = np.sin((lat - y) / 2) ** 2 + np.cos(lat) * np.cos(y) * np.sin((lon - x) / 2) ** 2
    return 2 * EARTH_RADIUS_M * np.arcsin(np.sqrt(np.minimum(a, 1)))


def nearest(longitude: float, latitude: float, limit_m: float = ANYWHERE) -> tuple[int, float]:
    rows, metres = nearest_towns(np.array([longitude]), np.array([latitude]), limit_m=limit_m)
    return int(rows[0]), float(metres[0])


def address(row: int) -> tuple[str, ...]:
    names = ("country", "country_code", "province", "city", "township")
    return tuple(towns()[name][row].as_py() for name in names)


@pytest.mark.long
def test_nearest_agrees_with_brute_force_on_random_points():
    rng = np.random.default_rng(7)
    longitude = rng.uniform(-180, 180, 200)
    latitude = np.degrees(np.arcsin(rng.uniform(-1, 1, 200)))
    rows, metres = nearest_towns(longitude, latitude, limit_m=ANYWHERE)
    for x, y, row, distance in zip(longitude, latitude, rows, metres, strict=True):
        expected = haversine(x, y)
        assert distance == pytest.approx(expected.min(), rel=1e-9, abs=1e-3)
        assert expected[row] == pytest.approx(expected.min(), rel=1e-9, abs=1e-3)


@pytest.mark.parametrize(
    ("longitude", "latitude"),
    [(0, 90), (123, 90), (0, -90), (-77, -90), (180, 0), (-180, 0), (180, -17), (-180, -17), (179.999, 65)],
)
def test_poles_and_the_antimeridian_are_not_special(longitude, latitude):
    row, metres = nearest(longitude, latitude)
    expected = haversine(longitude, latitude)
    assert metres == pytest.approx(expected.min(), rel=1e-9)
    assert expected[row] == pytest.approx(expected.min(), rel=1e-9)


def test_both_sides_of_the_antimeridian_see_the_same_town():
    # Taveuni, Fiji: the meridian crosses the island.
    assert nearest(179.9999, -16.8)[0] == nearest(-179.9999, -16.8)[0] == nearest(-180, -16.8)[0]


def test_a_pole_sees_one_town_whatever_its_longitude():
    assert len({nearest(longitude, 90)[0] for longitude in (-180, -90.5, 0, 33, 180)}) == 1


def test_ties_go_to_the_smaller_row():
    table = towns()
    positions = np.column_stack((table["longitude"].to_numpy(), table["latitude"].to_numpy()))
    _, first, count = np.unique(positions, axis=0, return_index=True, return_counts=True)
    shared = first[count > 1]
    assert len(shared) > 10
    rows, metres = nearest_towns(positions[shared, 0], positions[shared, 1], limit_m=1.0)
    assert rows.tolist() == shared.tolist()
    assert metres.max() < 1e-6


def test_nothing_lies_beyond_the_limit():
    row, metres = nearest(-30.0, 0.0, limit_m=100_000.0)
    assert row == -1
    assert np.isnan(metres)


def test_the_limit_itself_is_within():
    row, metres = nearest(8.0, 46.55)
    assert nearest(8.0, 46.55, limit_m=metres)[0] == row
    assert nearest(8.0, 46.55, limit_m=metres * (1 - 1e-6))[0] == -1


def test_no_points_are_no_towns():
    rows, metres = nearest_towns(np.empty(0), np.empty(0), limit_m=1.0)
    assert (len(rows), len(metres)) == (0, 0)


@pytest.mark.parametrize(
    ("place", "longitude", "latitude", "expected"),
    [
        ("second level", -0.1257, 51.5085, ("United Kingdom", "GB", "England", "Greater London", "London")),
        (
            "no second level",
            -74.00597,
            40.71427,
            ("United States", "US", "New York", "New York City", "New York City"),
        ),
        ("city-state", 103.85007, 1.28967, ("Singapore", "SG", "Singapore", "Singapore", "Singapore")),
        ("part of a city-state", 103.7854, 1.43801, ("Singapore", "SG", "Singapore", "Singapore", "Woodlands")),
        ("Vatican", 12.45332, 41.90268, (VATICAN, "VA", VATICAN, VATICAN, "Vatican City")),
    ],
)
def test_levels(place, longitude, latitude, expected):
    assert address(nearest(longitude, latitude)[0]) == expected


def test_a_town_without_a_first_level_takes_its_country_for_province():
    table = towns()
    lacking = [
        (row["country"], row["city"], row["township"])
        for row in table.select(["country", "province", "city", "township", "country_code"]).to_pylist()
        if row["province"] == row["country"] and row["country_code"] == "CN"
    ]
    assert lacking
    assert all(country == "China" and city == township for country, city, township in lacking)


def test_every_town_has_every_level():
    table = towns()
    assert table.num_rows > 150_000
    assert all(table[name].null_count == 0 for name in table.column_names)
    assert "" not in table["country"].unique().to_pylist()


def test_find_town_takes_the_most_populous_of_that_name():
    assert find_town("Paris", "FR").population > 2_000_000
    assert find_town("Paris", "US") == Town(
        "United States", "US", "Texas", "Lamar County", "Paris", 33.66094, -95.55551, 24_782
    )


def test_find_town_names_what_is_missing():
    with pytest.raises(NotFound, match=r"no town 'Atlantis' in country 'GR'"):
        find_town("Atlantis", "GR")
