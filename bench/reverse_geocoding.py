"""Times reverse geocoding by loaded areas, side by side with peers that answer from the same areas.

    python -m bench.reverse_geocoding [--boundaries DIR] [--points 200000 1000000 5000000 20000000]
        [--kinds towns land globe city] [--lake DIR] [--peers sedona duckdb ...] [--peers-for towns]

First the index is built from the boundaries, unless --lake has one. Then, for every kind and number of points:
the kernel alone on one core; `locate_points` from Parquet to nowhere, without and with time zones; the same with a
mapInArrow that does nothing, as the floor; and the whole job, from Parquet to a Delta table of addresses. Peers tell
the deepest area that has a point, up to --slow-up-to points; every answer is compared with ours. Run it from the
repository's root, in the environment that `./lakealbum` sets (PYTHONPATH, LAKEALBUM_JARS, SPARK_CONF_DIR), on an
otherwise idle machine; 20 million points need some 3 GB in TMPDIR.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import shapely
import yaml
from numpy.typing import NDArray
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from bench.measuring import describe_machine, growth_exponent, print_table, sampled_workers
from jobs.build_areas import BuildAreas, build_areas
from jobs.places.area_indexes import locator_over, read_table
from jobs.runtime.commits import Mark
from jobs.runtime.lake import Lake
from jobs.runtime.progress import Progress
from jobs.runtime.runs import run_job
from jobs.runtime.session import open_session, use_geometry
from schemas.area_index import AREA_INDEX
from schemas.areas import AREAS
from schemas.lake import LEVEL_DEPTH
from transforms.places.area_geocoding import AreaLocator, find_areas
from transforms.places.area_index import AreaIndex
from transforms.places.gazetteer import towns
from transforms.places.geocoding import ADDRESS_SCHEMA
from transforms.places.located_frames import locate_points
from transforms.tables.machine import cache_folder

Floats = NDArray[np.float64]
Ranks = NDArray[np.int32]

ROOT = Path(__file__).resolve().parents[1]
SOURCES = {
    "world_countries": "osm-countries",
    "world_subdivisions": "osm-subdivisions",
    "cn_provinces.gcj02": "cn-provinces",
    "cn_cities.gcj02": "cn-cities",
    "cn_districts.gcj02": "cn-districts",
}
"""Files with boundaries, and the configuration that each is loaded with."""
KINDS = ("towns", "land", "globe", "city")
STEPS = ("kernel", "kernel 5 km", "floor", "transform", "zones", "job")
CITY = (121.47, 31.23)
SPREAD = 0.05  # degrees, one standard deviation
ONCE_ABOVE = 5_000_000  # points; fewer are timed three times, and the best counts
MEMORY = "10g"  # for Sedona: with 4g its broadcast of the areas runs out of it, and hangs
PACKAGES = ("pyspark", "delta-spark", "apache-sedona", "duckdb", "geopandas", "shapely", "reverse_geocoder")
PACKAGES += ("numba", "numpy", "pyarrow")


@dataclass(frozen=True)
class Points:
    """Points of one kind, in memory and as Parquet (id from 0, longitude, latitude)."""

    kind: str
    longitude: Floats
    latitude: Floats
    folder: Path

    def __len__(self) -> int:
        return len(self.longitude)


@dataclass(frozen=True)
class Answers:
    """What an engine said of each point: the rank of its area, -1 for none; or only the code of its country."""

    prepare_s: float
    seconds: float
    ranks: Ranks | None
    countries: pa.Array | None = None


class StageClock(Progress):
    """Remembers when the last stage began."""

    began = 0.0

    def stage(self, what: str, percent: int) -> None:
        self.began = time.perf_counter()
        super().stage(what, percent)


def build_lake(root: Path, boundaries: Path) -> None:
    """Loads all boundaries, each with its configuration, and prints how long that took."""
    rows, total, of_index = [], 0.0, 0.0
    for source, name in SOURCES.items():
        values = yaml.safe_load((ROOT / f"conf/boundaries/{name}.yaml").read_text(encoding="utf-8"))
        files = (str(boundaries / f"{source}.parquet"),)
        config = BuildAreas.model_validate({**values, "lake": str(root), "source": files})
        start = time.perf_counter()
        with run_job(config, job="build-areas", task_type="AreaBuilding", create=config.settings) as run:
            run.progress = clock = StageClock("bench")
            build_areas(run, config)
            end = time.perf_counter()
        total, of_index = total + end - start, of_index + end - clock.began
        counts = [f"{run.ledger.row_counts[count]:,}" for count in ("accepted", "area_index.tiles_to_cut")]
        rows.append([name, *counts, f"{end - start:.1f}", f"{end - clock.began:.1f}"])
    rows.append(["all", "", "", f"{total:.1f}", f"{of_index:.1f}"])
    print_table(["source", "areas", "tiles cut", "s", "of it index s"], rows)


def rank_areas(lake: Lake, target: Path) -> dict[str, int]:
    """Writes the areas as Parquet (rank, geometry as WKB) for the peers; the rank of each area_id.

    Of the areas that have a point the one of the lowest rank wins: the deepest, then the smaller area_id.
    """
    version = Mark.of(lake.log(AREA_INDEX)).consumed["areas"]
    assert version is not None
    rows = read_table(lake.root, AREAS, version, "SELECT area_id, level, geometry FROM areas")
    ids, depths = rows["area_id"].to_pylist(), [LEVEL_DEPTH[level] for level in rows["level"].to_pylist()]
    order = sorted(range(len(ids)), key=lambda row: (-depths[row], ids[row]))
    shapes = rows["geometry"].cast(pa.binary()).take(pa.array(order))
    pq.write_table(pa.table({"rank": pa.array(range(len(ids)), pa.int32()), "geometry": shapes}), target)
    return {ids[row]: rank for rank, row in enumerate(order)}


def describe_index(lake: Lake, locator: AreaLocator, areas: Path) -> None:
    """Prints how large the index is, and what it is of."""
    files = pa.table(lake.log(AREA_INDEX).get_add_actions(flatten=True))
    vertices = shapely.get_num_coordinates(read_shapes(areas)).sum()
    start = time.perf_counter()
    index = locator.open_index(0)
    opened = time.perf_counter() - start
    print(
        f"{pq.read_metadata(areas).num_rows:,} areas with {vertices:,} vertices; area_index: "
        f"{pc.sum(files['size_bytes']).as_py() / 1e6:.1f} MB on disk in {len(files)} files; the machine's copy: "
        f"{index.nbytes / 1e6:.1f} MB mapped, {len(index.covers):,} cells, {len(index.piece_areas):,} pieces, "
        f"{len(index.xs):,} vertices, opened in {opened:.1f} s (made first, if the machine had none)\n",
        flush=True,
    )


def make_points(kind: str, size: int, index: AreaIndex, folder: Path) -> Points:
    """The points of a kind, the same for the same size, written as eight files."""
    random = np.random.default_rng((KINDS.index(kind), size))
    if kind == "towns":
        rows = random.integers(0, towns().num_rows, size)
        centre = (towns()[axis].to_numpy()[rows] for axis in ("longitude", "latitude"))
        longitude, latitude = (axis + random.normal(0, SPREAD, size) for axis in centre)
    elif kind == "city":
        longitude, latitude = (random.normal(axis, SPREAD, size) for axis in CITY)
    else:
        longitude, latitude = on_sphere(random, size)
        while kind == "land" and (sea := np.flatnonzero(index.find(longitude, latitude) < 0)).size:
            longitude[sea], latitude[sea] = on_sphere(random, sea.size)
    longitude, latitude = (longitude + 180) % 360 - 180, np.clip(latitude, -90, 90)
    folder.mkdir()
    for number, rows in enumerate(np.array_split(np.arange(size), 8)):
        columns = {"id": rows, "longitude": longitude[rows], "latitude": latitude[rows]}
        pq.write_table(pa.table(columns), folder / f"{number}.parquet")
    return Points(kind, longitude, latitude, folder)


def on_sphere(random: np.random.Generator, size: int) -> tuple[Floats, Floats]:
    """Longitudes and latitudes that are uniform on the sphere."""
    return random.uniform(-180, 180, size), np.degrees(np.arcsin(random.uniform(-1, 1, size)))


def measure(spark: SparkSession, locator: AreaLocator, points: Points, delta: Path) -> dict[str, float]:
    """The seconds of each step, the best of three, and the workers' memory in MB during the transform."""
    index = locator.open_index(0)
    rows = spark.read.parquet(str(points.folder))
    located = locate_points(rows, locator=locator, needs_zone=False)
    addresses = located.select("id", *ADDRESS_SCHEMA.names)
    zoned = locate_points(rows, locator=locator, needs_zone=True)
    steps: tuple[Callable[[], object], ...] = (
        lambda: find_areas(index, points.longitude, points.latitude, limit_m=0),
        lambda: find_areas(index, points.longitude, points.latitude, limit_m=5000),
        lambda: drain(rows.mapInArrow(lambda batches: batches, rows.schema)),
        lambda: drain(located),
        lambda: drain(zoned),
        lambda: addresses.write.format("delta").mode("overwrite").save(str(delta)),
    )
    result = {"points": float(len(points))}
    for name, step in zip(STEPS, steps, strict=True):
        if name == "floor":
            index = None  # else the workers' shares of what is mapped would be smaller
        with sampled_workers() as samples:
            result[name] = min(seconds_of(step) for _ in range(1 if len(points) > ONCE_ABOVE else 3))
        if name == "transform":
            result["workers MB"] = max(samples) / 1e6
        print(f"    {points.kind} {len(points):,} {name:<12} {result[name]:8.2f} s", flush=True)
    shutil.rmtree(delta)
    return result


def seconds_of(step: Callable[[], object]) -> float:
    """How long a step takes."""
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def drain(rows: DataFrame) -> None:
    """Computes all rows and columns, and writes them nowhere."""
    rows.write.format("noop").mode("overwrite").save()


def our_answers(locator: AreaLocator, points: Points, ranks: dict[str, int], s: float) -> Answers:
    """What the transform, which took s seconds, finds inside areas; and their countries."""
    known = locator.addresses
    areas, metres = locator.find(points.longitude, points.latitude)
    area_ranks = pa.array([ranks[area_id] for area_id in known["area_id"].to_pylist()], pa.int32())
    by_point = np.append(area_ranks.to_numpy(), np.int32(-1))[np.where(np.isnan(metres), areas, -1)]
    country_of = known["country_code"].take(pc.sort_indices(area_ranks)).combine_chunks()
    countries = country_of.take(pa.array(by_point, mask=by_point < 0))
    return Answers(0.0, s, by_point, countries)


def by_rank(found: pa.Table, size: int) -> Ranks:
    """The rank for each point, from rows of id and rank, the least where there are several."""
    ranks = np.full(size, np.iinfo(np.int32).max, np.int32)
    np.minimum.at(ranks, found["id"].to_numpy(), found["rank"].to_numpy())
    return np.where(ranks == np.iinfo(np.int32).max, np.int32(-1), ranks)


def ask_sedona(points: Points, areas: Path) -> Answers:
    """Sedona: a broadcast join on the same session."""
    spark = open_session("bench", geometry=True)
    use_geometry(spark)
    shapes = spark.read.parquet(str(areas)).select("rank", F.expr("ST_GeomFromWKB(geometry) AS shape"))
    rows = spark.read.parquet(str(points.folder)).select("id", F.expr("ST_Point(longitude, latitude) AS point"))
    joined = rows.join(F.broadcast(shapes), F.expr("ST_Intersects(shape, point)"), how="inner")
    start = time.perf_counter()
    found = joined.groupBy("id").agg(F.min("rank").alias("rank")).toArrow()
    return Answers(0.0, time.perf_counter() - start, by_rank(found, len(points)))


def ask_duckdb(points: Points, areas: Path) -> Answers:
    """DuckDB's spatial extension, from PyPI: a spatial join on two threads."""
    import duckdb
    import duckdb_extension_spatial

    extension = next(Path(duckdb_extension_spatial.__file__).parent.rglob("spatial.duckdb_extension"))
    connection = duckdb.connect(config={"threads": 2, "autoinstall_known_extensions": "false"})
    connection.execute(f"LOAD '{extension}'")
    start = time.perf_counter()
    connection.execute(f"CREATE TABLE areas AS SELECT rank, ST_GeomFromWKB(geometry) AS shape FROM '{areas}'")
    prepared = time.perf_counter()
    found = connection.execute(
        f"SELECT id, min(rank) AS rank FROM '{points.folder}/*.parquet' JOIN areas "
        "ON ST_Intersects(shape, ST_Point(longitude, latitude)) GROUP BY id"
    ).to_arrow_table()
    return Answers(prepared - start, time.perf_counter() - prepared, by_rank(found, len(points)))


def ask_geopandas(points: Points, areas: Path) -> Answers:
    """GeoPandas on one core: areas joined to points, which is several times as fast as points to areas."""
    import geopandas

    start = time.perf_counter()
    shapes = geopandas.GeoDataFrame(geometry=read_shapes(areas))
    prepared = time.perf_counter()
    rows = geopandas.GeoDataFrame(geometry=geopandas.points_from_xy(points.longitude, points.latitude))
    joined = shapes.sjoin(rows, how="inner", predicate="intersects")
    found = pa.table({"id": joined["index_right"].to_numpy(), "rank": joined.index.to_numpy()})
    return Answers(prepared - start, time.perf_counter() - prepared, by_rank(found, len(points)))


def ask_shapely(points: Points, areas: Path) -> Answers:
    """Shapely on one core: a tree of the points, asked for each area: again the faster way round."""
    start = time.perf_counter()
    shapes = read_shapes(areas)
    prepared = time.perf_counter()
    tree = shapely.STRtree(shapely.points(points.longitude, points.latitude))
    ranks, ids = tree.query(shapes, predicate="intersects")
    answer = by_rank(pa.table({"id": ids, "rank": ranks}), len(points))
    return Answers(prepared - start, time.perf_counter() - prepared, answer)


def ask_reverse_geocoder(points: Points, areas: Path) -> Answers:
    """reverse_geocoder, on one core: the nearest town, so only its country can be compared."""
    from reverse_geocoder import RGeocoder

    start = time.perf_counter()
    geocoder = RGeocoder(mode=1, verbose=False)
    prepared = time.perf_counter()
    found = geocoder.query(np.column_stack((points.latitude, points.longitude)))
    countries = pa.array([town["cc"] for town in found], pa.string())
    return Answers(prepared - start, time.perf_counter() - prepared, None, countries)


PEERS: dict[str, Callable[[Points, Path], Answers]] = {
    "sedona": ask_sedona,
    "duckdb": ask_duckdb,
    "geopandas": ask_geopandas,
    "shapely": ask_shapely,
    "reverse_geocoder": ask_reverse_geocoder,
}


def read_shapes(areas: Path) -> NDArray[np.object_]:
    """The areas' geometries, by rank."""
    return shapely.from_wkb(pq.read_table(areas)["geometry"].to_numpy())


def compare(points: Points, areas: Path, peers: list[str], ours: Answers) -> Iterator[list[str]]:
    """A row of the table for us and for each peer."""
    start = [points.kind, f"{len(points):,}"]
    for name in ["locate_points", *peers]:
        try:
            theirs = PEERS[name](points, areas) if name in PEERS else ours
        except ImportError as error:
            yield [*start, name, *[""] * 4, f"not installed: {error.name}"]
            continue
        if theirs.ranks is not None:
            verdict = f"{np.count_nonzero(theirs.ranks != ours.ranks):,} differ"
        else:
            right = pc.sum(pc.equal(theirs.countries, ours.countries), min_count=0).as_py()
            verdict = f"{right / max(pc.count(ours.countries).as_py(), 1):.1%} of countries right"
        speed = [f"{len(points) / theirs.seconds:,.0f}", f"{theirs.seconds / ours.seconds:.1f}"]
        yield [*start, name, f"{theirs.prepare_s:.1f}", f"{theirs.seconds:.2f}", *speed, verdict]


def print_measured(results: dict[str, list[dict[str, float]]]) -> None:
    """Our table, sizes in order, with how the transform grows from one to the next."""
    rows = []
    for kind, sizes in results.items():
        for before, r in zip([None, *sizes], sizes, strict=False):
            n, grown = r["points"], ""
            if before:
                grown = f"{growth_exponent(before['points'], before['transform'], n, r['transform']):.2f}"
            cells = [f"{r[step]:.2f} s, {n / r[step]:,.0f}/s" for step in STEPS]
            rows.append([kind, f"{n:,.0f}", *cells, grown, f"{r['workers MB']:,.0f}"])
    print_table(["points", "", *STEPS, "transform's exponent", "workers MB"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--boundaries", type=Path, default=ROOT.parent / "shared/data/boundaries")
    parser.add_argument("--points", type=int, nargs="+", default=[200_000, 1_000_000, 5_000_000, 20_000_000])
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=list(PEERS))
    parser.add_argument("--peers-for", nargs="+", choices=KINDS, default=["towns"], help="kinds that peers are asked")
    parser.add_argument("--slow-up-to", type=int, default=1_000_000, help="points that peers are asked at most")
    parser.add_argument("--lake", type=Path, help="a lake with areas, which is only read, instead of a new one")
    options = parser.parse_args()
    os.environ["PYSPARK_SUBMIT_ARGS"] = f"--master local[2] --driver-memory {MEMORY} pyspark-shell"
    spark = open_session("bench", geometry=True)
    machine = describe_machine(PACKAGES, spark)
    with tempfile.TemporaryDirectory(prefix="lakealbum-bench-") as folder:
        work = Path(folder)
        if options.lake is None:
            build_lake(work / "lake", options.boundaries)
        lake = Lake.open(str(options.lake or work / "lake"), start_spark=lambda: spark)
        locator = locator_over(lake)
        if locator is None:
            parser.error(f"--lake {options.lake} has no areas")
        areas = work / "areas.parquet"
        ranks = rank_areas(lake, areas)
        describe_index(lake, locator, areas)

        def run(kind: str, size: int) -> tuple[dict[str, float], list[list[str]]]:
            points = make_points(kind, size, locator.open_index(0), work / "points")
            measured, compared = measure(spark, locator, points, work / "delta"), []
            if options.peers and kind in options.peers_for and size <= options.slow_up_to:
                ours = our_answers(locator, points, ranks, measured["transform"])
                for row in compare(points, areas, options.peers, ours):
                    print("   ", *row, flush=True)
                    compared.append(row)
            shutil.rmtree(points.folder)
            return measured, compared

        print("warming up", flush=True)
        run(options.peers_for[0], 10_000)
        print("measuring", flush=True)
        results = {kind: [run(kind, size) for size in sorted(options.points)] for kind in options.kinds}
        if options.lake is None:
            shutil.rmtree(cache_folder(f"area-index-{lake.log(AREA_INDEX).metadata().id}"))
    print()
    print_measured({kind: [measured for measured, _ in sizes] for kind, sizes in results.items()})
    names = ["points", "", "engine", "prepare s", "s", "points/s", "times ours", "answers"]
    print_table(names, [row for sizes in results.values() for _, compared in sizes for row in compared])
    print(machine)


if __name__ == "__main__":
    main()
