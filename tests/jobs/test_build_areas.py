"""Boundaries from files to the lake, and files located by them."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
import yaml
from pyspark.sql import SparkSession
from shapely import Polygon, box

from jobs.build_areas import BuildAreas
from jobs.locate_files import LocateFiles, locate_files
from jobs.places import area_indexes
from jobs.places.area_indexes import locator_over
from jobs.runtime.commits import InjectedFailure
from jobs.runtime.lake import Lake
from jobs.runtime.runs import Run, run_job
from schemas.errors import SourceError, UsageError
from tests.jobs.albums import PROJECT, Album, Row, geoparquet, load
from transforms.places.datums import wgs84_to_gcj02
from transforms.places.located_frames import locate_points

ROOT = Path(__file__).parents[2]
BOUNDARIES = ROOT.parent / "shared" / "data" / "boundaries"


def locate(album: Album) -> Run:
    config = LocateFiles(lake=album.lake, project=PROJECT)
    with run_job(config, job="locate-files", task_type="FileLocating") as run:
        locate_files(run, config)
    return run


def photo_at(uri: str, longitude: float, latitude: float, **more: Any) -> Row:
    return {
        "dataset_name": "ada",
        "uri": uri,
        "media_type": "image",
        "produce_time": "2024-05-01T12:00:00",
        "longitude": longitude,
        "latitude": latitude,
        **more,
    }


LEFT, RIGHT = box(10, 45, 11, 46), box(11, 45, 12, 46)
COUNTRY = {"code": "IT", "name": "Italia", "en": "Italy", "geometry": LEFT.union(RIGHT)}
PROVINCES = [
    {"code": "IT-1", "name": "Sinistra", "en": None, "geometry": LEFT},
    {"code": "IT-2", "name": "Destra", "en": "Right", "geometry": RIGHT},
]


@pytest.fixture
def album(spark: SparkSession, tmp_path: Path) -> Album:
    return Album(tmp_path)


@pytest.fixture(scope="module")
def loaded(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Album:
    """A lake with a country and its provinces, which nobody changes."""
    album = Album(tmp_path_factory.mktemp("italy"))
    names = {"names": {"en": "en"}, "code": "code"}
    load(album, geoparquet(album.root / "provinces.parquet", PROVINCES), level="province", **names)
    load(album, geoparquet(album.root / "countries.parquet", [COUNTRY]), level="country", **names)
    return album


@pytest.fixture
def italy(loaded: Album, tmp_path: Path) -> Album:
    """A copy of that lake."""
    shutil.copytree(loaded.root, tmp_path, dirs_exist_ok=True)
    return Album(tmp_path)


def by_id(album: Album) -> dict[str, Row]:
    return {row["area_id"]: row for row in album.rows("areas")}


def test_areas_their_parents_and_the_files_in_them(italy: Album) -> None:
    areas = by_id(italy)
    assert {(a["area_id"], a["level"], a["parent_id"]) for a in areas.values()} == {
        ("countries:IT", "country", None),
        ("provinces:IT-1", "province", "countries:IT"),
        ("provinces:IT-2", "province", "countries:IT"),
    }
    assert dict(areas["provinces:IT-2"]["names"]) == {"en": "Right"}
    there = [photo_at("left", 10.5, 45.5), photo_at("border", 11.0, 45.5), photo_at("off", 12.01, 45.5)]
    italy.index([*there, photo_at("far", 20.0, 45.5), photo_at("zero", 0.0, 0.0)])
    places = {row["uri"]: row for row in italy.rows("file_places")}
    assert set(places) == {"left", "border", "off"}
    left, off = places["left"], places["off"]
    assert [left[n] for n in ("country", "province", "city", "district")] == ["Italy", "Sinistra", "Sinistra", None]
    assert left["place_key"] == "it/it-1/it-1//"
    assert (left["address_method"], left["address_distance"], left["time_zone"]) == ("inside", None, "Europe/Rome")
    assert places["border"]["province_code"] == "IT-1"  # of both the smaller area_id
    assert (off["province"], off["address_method"]) == ("Right", "nearest")
    assert off["address_distance"] == pytest.approx(781.4, abs=1)
    assert {row["index_version"] for row in places.values()} == {"areas-2/5000m"}


@pytest.mark.slow
def test_loading_again_changes_nothing_and_a_change_changes_little(italy: Album) -> None:
    before, versions = by_id(italy), italy.versions()
    names = {"names": {"en": "en"}, "code": "code", "level": "province"}
    load(italy, str(italy.root / "provinces.parquet"), **names)
    assert italy.versions() == versions
    italy.index([photo_at("left", 10.5, 45.5), photo_at("right", 11.9, 45.5), photo_at("away", 30.0, 10.0)])
    moved = [PROVINCES[0], {**PROVINCES[1], "code": "IT-3", "geometry": box(11, 45, 11.8, 46)}]
    load(italy, geoparquet(italy.root / "provinces.parquet", moved), **names)
    after = by_id(italy)
    assert after.keys() == before.keys() - {"provinces:IT-2"} | {"provinces:IT-3"}
    assert after["countries:IT"] == before["countries:IT"]
    assert after["provinces:IT-1"] == before["provinces:IT-1"]
    run = locate(italy)
    assert run.ledger.row_counts["file_places.updated"] == 2
    places = {row["uri"]: row for row in italy.rows("file_places")}
    assert places["right"]["province"] == "Italy"  # in the country alone: filled from above
    again = locate(italy)
    assert again.ledger.row_counts["files.to_relocate"] == 1  # the one that no area has


@pytest.mark.slow
def test_only_files_near_changed_tiles_are_looked_up_again(italy: Album) -> None:
    italy.index([photo_at("left", 10.5, 45.5), photo_at("right", 11.9, 45.5)])
    far = {"code": "ZZ", "name": "Far", "en": None, "geometry": box(100, 0, 101, 1)}
    load(italy, geoparquet(italy.root / "far.parquet", [far]), level="country", code="code")
    assert locate(italy).ledger.row_counts["files.to_relocate"] == 0
    assert {row["index_version"] for row in italy.rows("file_places")} == {"areas-2/5000m"}
    load(
        italy,
        geoparquet(italy.root / "far.parquet", [{**far, "geometry": box(11.5, 45, 12, 46)}]),
        level="city",
        code="code",
    )
    assert locate(italy).ledger.row_counts["files.to_relocate"] == 2
    assert {row["uri"]: row["city"] for row in italy.rows("file_places")} == {"left": "Sinistra", "right": "Far"}


@pytest.mark.slow
def test_killed_between_areas_and_index_the_next_run_cuts_it(italy: Album, monkeypatch: pytest.MonkeyPatch) -> None:
    italy.index([photo_at("left", 10.5, 45.5)])
    areas = [{"code": "C", "name": "Città", "geometry": box(10.4, 45.4, 10.6, 45.6)}]
    city = geoparquet(italy.root / "city.parquet", areas)
    monkeypatch.setenv("LAKEALBUM_FAIL_AT", "after:areas")
    with pytest.raises(InjectedFailure):
        load(italy, city, level="city", code="code")
    assert "city:C" in by_id(italy)
    monkeypatch.delenv("LAKEALBUM_FAIL_AT")
    run = locate(italy)
    assert run.ledger.row_counts["area_index.tiles_to_cut"] == 1
    assert italy.rows("file_places")[0]["city"] == "Città"


@pytest.mark.slow
def test_without_areas_any_more_the_gazetteer_locates(italy: Album) -> None:
    for name in ("provinces", "countries"):
        where = {"level": "country", "code": "code", "where": "false"}
        load(italy, str(italy.root / f"{name}.parquet"), **where)
    assert not by_id(italy)
    assert all(not row["starts"] for row in italy.rows("area_index"))
    italy.index([photo_at("left", 10.5, 45.5)])
    assert italy.rows("file_places")[0]["index_version"].startswith("reverse_geocode")
    load(italy, str(italy.root / "provinces.parquet"), level="province", code="code")
    assert locate(italy).ledger.row_counts["file_places.updated"] == 1
    assert italy.rows("file_places")[0]["province"] == "Sinistra"


def test_bad_areas_are_refused_with_a_reason(album: Album) -> None:
    bowtie = Polygon([(0, 0), (2, 2), (2, 0), (0, 2)])
    rows = [
        {"code": "bowtie", "level": "city", "zone": "Europe/Rome", "geometry": bowtie},
        {"code": "a", "level": "city", "zone": None, "geometry": box(5, 5, 6, 6)},
        {"code": "a", "level": "city", "zone": None, "geometry": box(5, 5, 5.5, 6)},
        {"code": " ", "level": "city", "zone": None, "geometry": box(5, 5, 6, 6)},
        {"code": "b", "level": "galaxy", "zone": None, "geometry": box(5, 5, 6, 6)},
        {"code": "c", "level": "city", "zone": "Mars/Base", "geometry": box(5, 5, 6, 6)},
        {"code": "d", "level": "city", "zone": None, "geometry": None},
        {"code": "e", "level": "city", "zone": None, "geometry": shapely.linestrings([(0, 0), (1, 1)])},
        {"code": "f", "level": "city", "zone": None, "geometry": box(500_000, 4_000_000, 600_000, 4_100_000)},
    ]
    source = geoparquet(album.root / "bad.parquet", rows)
    run = load(album, source, level="level", code="code", local_name="code", time_zone="zone")
    assert {name: n for name, n in run.ledger.row_counts.items() if name.startswith("rejected.")} == {
        "rejected.area_code_missing": 1,
        "rejected.area_geometry_invalid": 2,
        "rejected.area_geometry_out_of_range": 1,
        "rejected.area_level_unknown": 1,
        "rejected.area_time_zone_unknown": 1,
        "rejected.duplicate_area": 1,
        "rejected.inserted": 7,
    }
    areas = by_id(album)
    assert areas.keys() == {"bad:bowtie", "bad:a"}
    assert shapely.from_wkb(areas["bad:a"]["geometry"]).area == 1
    repaired = shapely.from_wkb(areas["bad:bowtie"]["geometry"])
    assert repaired.is_valid
    assert repaired.area == 2
    load(album, source, level="level", code="code", local_name="code", time_zone="zone")
    assert len(album.rows("rejected")) == 7


@pytest.mark.slow
def test_beyond_the_antimeridian_and_by_the_projected_metre(album: Album) -> None:
    wide = [{"code": "fiji", "name": "Fiji", "geometry": box(177, -19, 182, -15)}]
    load(album, geoparquet(album.root / "wide.parquet", wide), level="country", code="code")
    metres = [{"code": "m", "name": "M", "geometry": box(1_113_194.91, 0, 1_224_514.4, 111_325.14)}]
    load(album, geoparquet(album.root / "metres.parquet", metres), level="country", code="code", crs="EPSG:3857")
    shapes = {name: shapely.from_wkb(row["geometry"]) for name, row in by_id(album).items()}
    assert shapes["wide:fiji"].equals(shapely.union_all([box(177, -19, 180, -15), box(-180, -19, -178, -15)]))
    assert shapely.hausdorff_distance(shapes["metres:m"], box(10, 0, 11, 1)) < 1e-4


def test_geojson_shapefiles_and_nested_levels(album: Album) -> None:
    features = [
        {"type": "Feature", "properties": p, "geometry": json.loads(shapely.to_geojson(shape))}
        for p, shape in (
            ({"id": "R", "rank": 4}, box(0, 0, 4, 4)),
            ({"id": "R1", "rank": 6}, box(0, 0, 2, 4)),
            ({"id": "R11", "rank": 8}, box(0, 0, 1, 4)),
            ({"id": "S", "rank": 6}, box(6, 0, 8, 4)),
        )
    ]
    collection = album.root / "areas.geojson"
    collection.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    load(album, str(collection), level="province", code="id", local_name="id", nested_by="rank")
    levels = {a["code"]: (a["level"], a["parent_id"]) for a in by_id(album).values()}
    assert levels == {
        "R": ("province", None),
        "R1": ("city", "areas:R"),
        "R11": ("district", "areas:R1"),
        "S": ("province", None),
    }


def test_a_config_that_does_not_fit_says_so(album: Album, tmp_path: Path) -> None:
    source = geoparquet(tmp_path / "x.parquet", PROVINCES)
    with pytest.raises(SourceError, match=r"x\.parquet.*code is 'iso'.*columns code, name, en, geometry|code is 'iso'"):
        load(album, source, level="province", code="iso")
    with pytest.raises(SourceError, match=r"of 2 rows none is an area.*level: Sinistra|level: Destra"):
        load(album, source, level="name", code="code")
    with pytest.raises(UsageError, match="its suffix tells no format"):
        load(album, "areas.gpkg", level="province", code="iso")
    text = tmp_path / "no.geojson"
    text.write_text("[1, 2]")
    with pytest.raises(SourceError, match=r"no\.geojson"):
        load(album, str(text), level="province", code="iso")
    pq.write_table(pa.table({"a": [1]}), tmp_path / "plain.parquet")
    with pytest.raises(SourceError, match=r"plain\.parquet"):
        load(album, str(tmp_path / "plain.parquet"), level="province", code="a")


@pytest.mark.slow
def test_gcj02_areas_land_where_wgs84_has_them(album: Album) -> None:
    truth = np.array([(116.3, 39.9), (116.5, 39.9), (116.5, 40.1), (116.3, 40.1)])
    shifted = Polygon(np.column_stack(wgs84_to_gcj02(truth[:, 0], truth[:, 1])))
    outside = box(140.0, 35.0, 140.5, 35.5)
    rows = [{"code": "b", "name": "北京", "geometry": shifted}, {"code": "t", "name": "東京", "geometry": outside}]
    load(album, geoparquet(album.root / "cn.parquet", rows), level="city", code="code", datum="gcj02")
    shapes = {row["code"]: shapely.from_wkb(row["geometry"]) for row in album.rows("areas")}
    assert shapely.hausdorff_distance(shapes["b"], Polygon(truth)) * 111_320 < 0.01
    assert shapes["t"].equals(outside)


def test_an_index_in_parts_answers_as_one(italy: Album, spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    points = pa.table(
        {
            "id": np.arange(4_000),
            "longitude": rng.uniform(9.8, 12.2, 4_000),
            "latitude": rng.uniform(44.8, 46.2, 4_000),
        }
    ).to_pandas()
    points.loc[:10, "longitude"] = np.nan
    frame = spark.createDataFrame(points)

    def addresses() -> list[tuple]:
        locator = locator_over(Lake.open(italy.lake, start_spark=lambda: spark))
        assert locator is not None
        located = locate_points(frame, locator=locator, needs_zone=False)
        return sorted(
            tuple(row) for row in located.select("id", "province_code", "address_method", "address_distance").collect()
        )

    whole = addresses()
    assert {row[2] for row in whole} == {"inside", "nearest", None}
    monkeypatch.setattr(area_indexes, "PART_BYTES", 1)
    locator = locator_over(Lake.open(italy.lake, start_spark=lambda: spark))
    assert locator is not None
    assert len(locator.first_tiles) > 1
    assert addresses() == whole


@pytest.mark.skipif(not BOUNDARIES.exists(), reason=f"no real boundaries at {BOUNDARIES}")
def test_the_ready_configuration_of_real_provinces(album: Album) -> None:
    source = BOUNDARIES / "cn_provinces.gcj02.parquet"
    run = load(album, str(source), **conf("cn-provinces"))
    assert run.ledger.row_counts["areas.inserted"] == 34
    zhejiang = by_id(album)["cn-provinces:330000"]
    assert shapely.from_wkb(zhejiang["geometry"]).is_valid
    album.index([photo_at("hangzhou", 120.153, 30.274)])
    (place,) = album.rows("file_places")
    assert (place["province"], place["time_zone"]) == ("浙江省", "Asia/Shanghai")


def conf(name: str) -> Row:
    """A ready configuration."""
    values: Row = yaml.safe_load((ROOT / f"conf/boundaries/{name}.yaml").read_text(encoding="utf-8"))
    return values


def geojson(path: Path, rows: Sequence[Row]) -> str:
    features = [
        {
            "type": "Feature",
            "properties": {name: value for name, value in row.items() if name != "geometry"},
            "geometry": json.loads(shapely.to_geojson(row["geometry"])),
        }
        for row in rows
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}), encoding="utf-8")
    return str(path)


def shapefile(path: Path, rows: Sequence[Row]) -> str:
    """Writes polygons and texts as a Shapefile (ESRI's technical description of July 1998, dBASE III)."""
    names = [name for name in rows[0] if name != "geometry"]
    shapes, index, offset = b"", b"", 50
    for number, row in enumerate(rows, start=1):
        points = shapely.get_coordinates(row["geometry"].normalize())
        content = struct.pack("<i4dii i", 5, *row["geometry"].bounds, 1, len(points), 0) + points.tobytes()
        shapes += struct.pack(">ii", number, len(content) // 2) + content
        index += struct.pack(">ii", offset, len(content) // 2)
        offset += 4 + len(content) // 2
    bounds = shapely.total_bounds([row["geometry"] for row in rows])
    for suffix, body in ((".shp", shapes), (".shx", index)):
        head = struct.pack(">i5ii", 9994, 0, 0, 0, 0, 0, 50 + len(body) // 2) + struct.pack("<ii", 1000, 5)
        path.with_suffix(suffix).write_bytes(head + struct.pack("<8d", *bounds, 0, 0, 0, 0) + body)
    fields = b"".join(struct.pack("<11sc4xB15x", name.encode(), b"C", 40) for name in names)
    head = struct.pack("<4B I HH 20x", 3, 124, 1, 1, len(rows), 33 + len(fields), 1 + 40 * len(names))
    lines = (b" " + b"".join(f"{row[name]:<40}".encode("latin-1") for name in names) for row in rows)
    path.with_suffix(".dbf").write_bytes(head + fields + b"\r" + b"".join(lines) + b"\x1a")
    return str(path.with_suffix(".shp"))


@pytest.mark.slow
def test_the_ready_configurations_of_the_usual_sources(album: Album) -> None:
    names = {"primary": "Italia", "common": [("en", "Italy")]}
    kind = pa.struct([("primary", pa.string()), ("common", pa.map_(pa.string(), pa.string()))])
    division = {"country": "IT", "division_id": "d1", "class": "land"}
    rows = [
        {"subtype": "country", "region": None, **division, "names": names, "geometry": COUNTRY["geometry"]},
        {"subtype": "region", "region": "IT-1", **division, "names": names, "geometry": LEFT},
        {"subtype": "county", "region": "IT-1", **division, "names": names, "geometry": LEFT},
        {"subtype": "county", "region": "IT-1", **division, "class": "maritime", "names": names, "geometry": RIGHT},
    ]
    overture = geoparquet(album.root / "overture.parquet", rows, names=kind)
    shape = {"shapeName": "Italia", "shapeGroup": "ITA", "shapeISO": ""}
    rows = [
        {**shape, "shapeType": "ADM0", "shapeID": "x", "geometry": COUNTRY["geometry"]},
        {**shape, "shapeType": "ADM1", "shapeID": "y", "geometry": LEFT},
    ]
    geoboundaries = geojson(album.root / "geoBoundaries-ITA.geojson", rows)
    italy = {"GID_0": "ITA", "COUNTRY": "Italy"}
    gadm = [
        geojson(album.root / "gadm41_ITA_0.json", [{**italy, "geometry": COUNTRY["geometry"]}]),
        shapefile(
            album.root / "gadm41_ITA_1.shp",
            [{**italy, "GID_1": "ITA.1_1", "NAME_1": "Left", "NL_NAME_1": "NA", "geometry": LEFT}],
        ),
    ]
    languages = {f"NAME_{language}": language for language in ("EN", "ZH", "FR", "DE", "ES", "JA", "KO")}
    earth = [
        shapefile(
            album.root / "ne_10m_admin_0_countries.shp",
            [{"ISO_A2": "IT", "ISO_A2_EH": "-99", "ADM0_A3": "ITA", "NAME": "Italy", **languages, "geometry": RIGHT}],
        ),
        shapefile(
            album.root / "ne_10m_admin_1_states_provinces.shp",
            [
                {
                    "adm1_code": "ITA-1",
                    "iso_a2": "IT",
                    "name": "R",
                    "name_local": "Destra",
                    **languages,
                    "geometry": RIGHT,
                }
            ],
        ),
    ]
    for name, sources in (
        ("overture", [overture]),
        ("geoboundaries", [geoboundaries]),
        ("gadm", gadm),
        ("natural-earth", earth),
    ):
        load(album, *sources, **conf(name))
    found = {
        area_id: (area["level"], area["name"], dict(area["names"]).get("en"), area["parent_id"])
        for area_id, area in by_id(album).items()
    }
    assert found == {
        "overture:IT": ("country", "Italia", "Italy", None),
        "overture:IT-1": ("province", "Italia", "Italy", "overture:IT"),
        "overture:d1": ("city", "Italia", "Italy", "overture:IT-1"),
        "geoboundaries:ITA": ("country", "Italia", "Italia", None),
        "geoboundaries:y": ("province", "Italia", "Italia", "geoboundaries:ITA"),
        "gadm:ITA": ("country", "Italy", "Italy", None),
        "gadm:ITA.1_1": ("province", "Left", "Left", "gadm:ITA"),
        "natural-earth:ITA": ("country", "Italy", "EN", None),
        "natural-earth:ITA-1": ("province", "Destra", "EN", "overture:IT"),
    }


@pytest.mark.parametrize("path", sorted((ROOT / "conf/boundaries").glob("*.yaml")), ids=lambda path: path.stem)
def test_ready_configurations_are_configurations(path: Path) -> None:
    BuildAreas.model_validate({"lake": "x", "source": ["y.parquet"], **conf(path.stem)})
