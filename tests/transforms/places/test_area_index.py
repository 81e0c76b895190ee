"""Points find the area that brute force finds, and the nearest one."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pyproj
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely import Polygon, box

from tests.examples import examples
from tests.transforms.places.areas import Area, brute_force, hard_points, in_order, index_of
from transforms.places.area_cells import TILES
from transforms.places.area_index import AreaIndex
from transforms.places.cells import orientation, where_in

BOUNDARIES = Path(__file__).parents[3] / "shared" / "data" / "boundaries"


def ring(x: float, y: float, radius: float, corners: int = 40, turn: float = 0.0) -> Polygon:
    """A polygon about a point, with as many corners, not quite round."""
    angles = np.linspace(0, 2 * np.pi, corners, endpoint=False) + turn
    radii = radius * (1 + 0.3 * np.sin(5 * angles))
    return Polygon(np.column_stack((x + radii * np.cos(angles), y + radii * np.sin(angles))))


def shattered(rng: np.random.Generator, bounds: tuple[float, float, float, float], count: int) -> list[Polygon]:
    """A partition of a box: neighbours share their border's vertices."""
    seeds = shapely.multipoints(rng.uniform(bounds[:2], bounds[2:], (count, 2)))
    cells = shapely.get_parts(shapely.voronoi_polygons(seeds, extend_to=box(*bounds)))
    return [cell for cell in shapely.intersection(cells, box(*bounds)) if cell.geom_type == "Polygon"]


def check(areas: list[Area], seed: int = 0, more: np.ndarray | None = None) -> AreaIndex:
    index = index_of(areas)
    longitude, latitude = hard_points(areas, np.random.default_rng(seed))
    if more is not None:
        longitude, latitude = np.append(longitude, more[:, 0]), np.append(latitude, more[:, 1])
    found, wanted = index.find(longitude, latitude), brute_force(areas, longitude, latitude)
    wrong = np.flatnonzero(found != wanted)[:3]
    assert not len(wrong), [(longitude[i], latitude[i], found[i], wanted[i]) for i in wrong]
    return index


def test_a_partition_with_shared_borders_at_several_levels():
    rng = np.random.default_rng(3)
    areas = []
    for number, province in enumerate(shattered(rng, (3.0, 40.0, 9.0, 44.0), 7)):
        areas.append(Area(f"p{number}", province, "province"))
        cells = shapely.intersection(shattered(rng, (3.0, 40.0, 9.0, 44.0), 30), province)
        parts = (part for cell in cells for part in shapely.get_parts(cell) if part.area > 0)
        areas += [Area(f"p{number}-{place}", part, "city") for place, part in enumerate(parts)]
    check([*areas, Area("all", box(3, 40, 9, 44), "country")])


def test_holes_enclaves_and_islands():
    outer = ring(10.3, 50.2, 2.0, 300)
    hole, enclave = ring(10.2, 50.1, 0.7, 90), ring(10.2, 50.1, 0.3, 50)
    islands = shapely.multipolygons([ring(13.5, 50.0, 0.2), ring(13.9, 50.4, 0.1), enclave])
    check([Area("a", outer.difference(hole)), Area("b", islands), Area("c", outer, "country")])


def test_overlapping_areas_of_a_level_go_by_id():
    areas = [Area("b", ring(0.5, 0.5, 1.0)), Area("a", ring(1.0, 0.5, 1.0)), Area("c", ring(0.7, 0.9, 1.0))]
    index = check(areas)
    assert in_order(areas)[index.find(np.array([0.75]), np.array([0.5]))[0]].area_id == "a"


def test_the_same_area_twice_and_neighbours_of_both():
    left, right = shattered(np.random.default_rng(8), (20.0, -5.0, 22.0, -3.0), 2)
    check([Area("a1", left), Area("a2", left), Area("b1", right), Area("b2", right), Area("p", left, "province")])


def test_slivers_thinner_than_a_cell():
    slivers = [
        Area("sliver", Polygon([(5, 5), (6, 5.0000001), (6, 5.0000002)])),
        Area("hair", box(5.2, 4.0, 5.2 + 1e-9, 6.0)),
        Area("needle", Polygon([(5, 4), (5 + 1e-12, 4), (5.7, 5.9)])),
    ]
    check([*slivers, Area("under", box(4.9, 3.9, 6.1, 6.1), "country")])


@pytest.mark.long
def test_the_antimeridian_the_poles_and_the_plane_s_corners():
    areas = [
        Area("fiji", shapely.multipolygons([box(177.0, -19.0, 180.0, -15.0), box(-180.0, -19.0, -178.0, -15.0)])),
        Area("south", Polygon([(-180, -90), (180, -90), (180, -78), (20, -70.5), (-180, -78)])),
        Area("north", box(-180, 88.5, 180, 90)),
    ]
    edges = np.array([(180, -17), (-180, -17), (180, -90), (-180, 90), (0, 90), (33, -90), (180, 90), (180, 0)], float)
    index = check(areas, more=edges)
    assert in_order(areas)[index.find(np.array([180.0]), np.array([-17.0]))[0]].area_id == "fiji"


def test_what_is_no_point_of_the_plane_is_in_no_area():
    index = index_of([Area("corner", box(-180, -90, -170, -80)), Area("other", box(170, 80, 180, 90))])
    outside = np.array([np.nan, 1.0, 180.0001, -181.0, 0.0, np.inf])
    latitude = np.array([0.0, np.nan, 0.0, 0.0, 90.0001, 0.0])
    assert (index.find(outside, latitude) == -1).all()
    assert index.find(np.array([-180.0, 180.0]), np.array([-90.0, 90.0])).tolist() == [0, 1]


def test_no_areas_at_all():
    index = index_of([])
    assert index.find(np.array([8.5]), np.array([47.4])).tolist() == [-1]
    assert index.find_nearest(np.array([8.5]), np.array([47.4]), limit_m=50_000)[0].tolist() == [-1]


@settings(max_examples=examples(60), deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([1e-6, 1e-3, 0.1, 3.0, 40.0]),
    st.floats(-170, 170),
    st.floats(-80, 80),
    st.integers(1, 12),
)
def test_any_areas(seed: int, size: float, x: float, y: float, count: int):
    rng = np.random.default_rng(seed)
    areas = []
    for number in range(count):
        corners = rng.normal(0, size, (int(rng.integers(3, 40)), 2)) + np.array([x, y])
        shape = shapely.make_valid(Polygon(np.clip(corners, (-180, -90), (180, 90))))
        parts = [part for part in shapely.get_parts(shape) if part.geom_type == "Polygon" and part.area > 0]
        parts += [part for whole in shapely.get_parts(shape) for part in shapely.get_parts(whole)]
        parts = [part for part in parts if part.geom_type == "Polygon" and part.area > 0]
        if parts:
            level = ("country", "city", "district")[int(rng.integers(0, 3))]
            areas.append(Area(f"a{number}", parts[0], level))
    if areas:
        check(areas, seed)


def test_a_point_s_side_of_a_line_is_exact():
    # Multiples of a last digit near the diagonal, where the plain determinant has the wrong sign or none.
    for i in range(-20, 21):
        for j in range(-20, 21):
            px, py = 0.5 + i * 2**-53, 0.5 + j * 2**-53
            exact = (Fraction(12) - Fraction(px)) * (Fraction(24) - Fraction(py))
            exact -= (Fraction(12) - Fraction(py)) * (Fraction(24) - Fraction(px))
            assert np.sign(orientation(12.0, 12.0, 24.0, 24.0, px, py)) == (exact > 0) - (exact < 0)


def test_where_in_tells_the_boundary():
    xs, ys = np.array([0.0, 2, 2, 0, 0, np.nan]), np.array([0.0, 0, 2, 2, 0, np.nan])
    points = [(1.0, 1.0), (0.0, 0.0), (2.0, 2.0), (1.0, 2.0), (1.0, 0.0), (2.0, 1.0), (3.0, 1.0), (1.0, 3.0)]
    told = [where_in(xs, ys, 0, 6, x, y) for x, y in points]
    assert told == [1, 2, 2, 2, 2, 2, 0, 0]


def test_parts_of_the_plane_answer_as_the_whole():
    areas = [Area(f"a{n}", cell) for n, cell in enumerate(shattered(np.random.default_rng(1), (0, 0, 12, 12), 40))]
    longitude, latitude = hard_points(areas, np.random.default_rng(2))
    whole = index_of(areas)
    wanted = np.zeros(TILES, bool)
    wanted[TILES // 2 + 1500 :] = True
    part = index_of(areas, wanted)
    here = part.find(longitude, latitude)
    assert (here[here >= 0] == whole.find(longitude, latitude)[here >= 0]).all()


def test_saved_and_mapped_it_is_the_same(tmp_path):
    areas = [Area("a", ring(8.0, 47.0, 0.5)), Area("b", ring(8.6, 47.2, 0.5))]
    index = index_of(areas)
    index.save(tmp_path)
    mapped = AreaIndex.load(tmp_path)
    longitude, latitude = hard_points(areas, np.random.default_rng(4))
    assert isinstance(mapped.xs, np.memmap)
    assert (mapped.find(longitude, latitude) == index.find(longitude, latitude)).all()
    assert mapped.nbytes == index.nbytes


GEOD = pyproj.Geod(ellps="WGS84")


def nearest_by_brute_force(areas: list[Area], x: float, y: float) -> tuple[int, float]:
    """The nearest area by the geodesic to points of every edge, closer and closer."""
    best = (np.inf, -1)
    for number, area in enumerate(in_order(areas)):
        vertices = shapely.get_coordinates(area.shape)
        low, high = np.zeros(len(vertices) - 1), np.ones(len(vertices) - 1)
        for _ in range(12):
            along = np.linspace(low, high, 9)
            points = vertices[:-1] + along[..., None] * np.diff(vertices, axis=0)
            shape = along.shape
            metres = GEOD.inv(np.full(shape, x), np.full(shape, y), points[..., 0], points[..., 1])[2]
            at = np.argmin(metres, axis=0)[None]
            step = (high - low) / 8
            centre = np.take_along_axis(along, at, 0)[0]
            low, high = np.maximum(centre - step, 0), np.minimum(centre + step, 1)
        least = metres.min()
        if least < best[0] - 0.001:
            best = (least, number)
    return best[1], best[0]


@pytest.mark.long
@pytest.mark.parametrize("place", [(8.3, 47.1), (-70.0, 0.0), (15.0, 78.2), (179.99, -17.0), (0.0, 0.02)])
def test_the_nearest_area_in_metres(place):
    x, y = place
    rng = np.random.default_rng(5)
    areas = [
        Area("a", shapely.set_precision(ring(x - 0.05, y, 0.03, 60), 1e-7)),
        Area("b", shapely.set_precision(ring(x - 0.05, y + 0.07, 0.02, 25), 1e-7), "district"),
        Area("c", box(x - 0.2, y - 0.1, x - 0.12, y - 0.09), "country"),
    ]
    plane = box(-180, -90, 180, 90)
    index = index_of([Area(area.area_id, area.shape.intersection(plane), area.level) for area in areas])
    longitude = x - 0.05 + rng.uniform(-0.1, 0.1, 80)
    latitude = y + rng.uniform(-0.12, 0.12, 80)
    around = np.where(longitude > 180, longitude - 360, longitude)  # beyond the antimeridian
    outside = np.flatnonzero(index.find(around, latitude) < 0)
    found, metres = index.find_nearest(around[outside], latitude[outside], limit_m=5_000.0)
    assert (found >= 0).sum() > 10
    for place_in, at in enumerate(outside):
        wanted, distance = nearest_by_brute_force(areas, longitude[at], latitude[at])
        if abs(distance - 5_000) > 0.01:
            assert found[place_in] == (wanted if distance <= 5_000 else -1)
        if found[place_in] >= 0:
            assert metres[place_in] == pytest.approx(distance, abs=0.01)


def test_areas_as_near_go_by_their_order():
    shared = [(1.0, 1.0), (1.0, 2.0)]
    areas = [
        Area("b", Polygon([*shared, (0.5, 1.5)])),
        Area("a", Polygon([*shared, (0.4, 1.5)])),
        Area("district", Polygon([*shared, (0.6, 1.5)]), "district"),
    ]
    found, _ = index_of(areas).find_nearest(np.array([1.01]), np.array([1.5]), limit_m=5_000)
    assert in_order(areas)[found[0]].area_id == "district"


@pytest.mark.skipif(not BOUNDARIES.exists(), reason=f"no real boundaries at {BOUNDARIES}")
def test_real_countries():
    table = pq.read_table(BOUNDARIES / "world_countries.parquet")
    shapes = shapely.make_valid(shapely.from_wkb(table["geometry"].to_numpy()))
    areas = []
    for code, shape in zip(table["iso1"].to_pylist(), shapes, strict=True):
        polygons = [p for part in shapely.get_parts(shape) for p in shapely.get_parts(part) if p.geom_type == "Polygon"]
        areas.append(Area(code, shapely.multipolygons(polygons), "country"))
    check(areas)
