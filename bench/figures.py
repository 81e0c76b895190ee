"""Measures people: how well faces are grouped, how fast, and what comes of portions, side by side with peers.

    python -m bench.figures accuracy --maker make_faces.py [--real real_faces.parquet]
        [--sizes 2000:40 20000:400 200000:4000] [--seeds 101 102] [--peers-up-to 20000]
    python -m bench.figures libraries --maker make_faces.py [--count 5000] [--faces 500] [--seed 101]
    python -m bench.figures scale --maker make_faces.py [--sizes 20000 200000 1000000] [--seed 101]
    python -m bench.figures increments --maker make_faces.py [--size 20000] [--steps 10] [--seed 101]

All through `index` and `cluster figures` with default settings, on a warm session; the generator is told a person for
50 faces. accuracy: faces:people, and real faces, against the truth, beside scikit-learn's DBSCAN, HDBSCAN and k-means
(which is told how many people there are), SciPy's average linkage, and Immich's rule. Peers get all faces, and of the
settings tried the one with the best BCubed F, which only the truth tells: an oracle's choice; their seconds are of that
setting, their memory is the peak of their process over all of them, ours that of the Python workers together.
libraries: many small ones at once. scale: seconds, memory and growth. increments: portions of the files, each indexed
and clustered, against all at once. A face of nobody, found or true, is a class of its own. Where a person was founded
by anything but three good faces in three images, the run ends with an error. Run it from the repository's root, in the
environment that `./lakealbum` sets (PYTHONPATH, LAKEALBUM_JARS, SPARK_CONF_DIR), on an otherwise idle machine. Peers
that are not installed are left out.
"""

from __future__ import annotations

import argparse
import itertools
import math
import multiprocessing
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from bench.measuring import (
    Classes,
    bcubed,
    classes,
    describe_machine,
    pairwise,
    peak_bytes,
    print_growth,
    print_table,
    read_tables,
    sampled_workers,
    time_job,
)
from jobs.cluster_figures import ClusterFigures, cluster_figures
from jobs.index_files import index_files
from jobs.indexing.options import IndexFiles
from jobs.runtime.progress import configure_logging
from jobs.runtime.session import open_session

PROJECT = "bench"
FACES_A_PERSON = 50
ROW_GROUP = 20_000
SCORES = ("BCubed P", "R", "F", "pairs P", "R", "F", "F of 3+")
REAL_MODEL = "yunet-sface/1"
SPENT = ("index s", "cluster s", "workers MB")
RUN = ("faces", "people found", *SPENT, "faces/s", *SCORES)
PACKAGES = ("pyspark", "delta-spark", "deltalake", "numba", "numpy", "pyarrow", "scipy", "scikit-learn")

FOUNDERS = """
SELECT c.dataset_name, c.object_id, count(f.figure_id) AS founders, coalesce(sum(f.good), 0) AS good,
       count(DISTINCT CASE WHEN f.good = 1 THEN f.uri END) AS images
FROM figure_clusters AS c
LEFT JOIN figure_members AS m
  ON m.dataset_name = c.dataset_name AND m.object_id = c.object_id AND m.role = 'founder'
LEFT JOIN (
  SELECT dataset_name, figure_id, uri, -- good: by the profiles that ship
         CASE WHEN boundary['width'] > 75 AND boundary['height'] > 75 AND face_quality > CAST(0.8 AS REAL)
               AND greatest(abs(head_pose['yaw']), abs(head_pose['pitch']), abs(head_pose['roll']))
                   < CASE WHEN starts_with(model, 'yunet-sface/') THEN 45 ELSE 30 END
              THEN 1 ELSE 0 END AS good
  FROM figures
) AS f ON f.dataset_name = m.dataset_name AND f.figure_id = m.figure_id
WHERE c.state = 'live'
GROUP BY c.dataset_name, c.object_id
"""
"""One row per person: the faces that found it, the good ones among them, and the images that these are in."""


# ---------------------------------------------------------------- faces whose people are known


@dataclass(frozen=True)
class FaceSet:
    """Faces whose people are known: the generator's file, and of each face what is no embedding."""

    file: Path
    faces: pa.Table

    @classmethod
    def make(cls, maker: Path, file: Path, *, faces: int, people: int, seed: int, datasets: int = 1) -> FaceSet:
        """Runs the generator: `faces` of `people` in each of the datasets."""
        options = {"faces": faces, "people": people, "datasets": datasets, "seed": seed}
        given = [text for name, value in options.items() for text in (f"--{name}", str(value))]
        subprocess.run([sys.executable, str(maker), str(file), *given], check=True, stdout=subprocess.DEVNULL)
        return cls(file, pq.read_table(file, columns=["dataset_name", "file_uri", "figure_id", "person"]))

    @classmethod
    def real(cls, given: Path, file: Path, *, all_good: bool) -> FaceSet:
        """Real faces, with the detector's score as quality. `all_good`: no box too small, all facing the camera."""
        table = pq.read_table(given)
        count = len(table)
        columns: dict[str, Any] = {
            "dataset_name": pa.array(["real"] * count),
            "file_uri": table["uri"],
            "figure_id": table["figure_id"],
            "embedding": pa.FixedSizeListArray.from_arrays(
                table["embedding"].combine_chunks().flatten().cast(pa.float32()), 128
            ),
            "face_quality": table["detector_score"].cast(pa.float32()),
            **{angle: table[angle].cast(pa.float32()) for angle in ("yaw", "pitch", "roll")},
            **{side: table[side].cast(pa.int32()) for side in ("left", "top", "width", "height")},
            "model": pa.array([REAL_MODEL] * count),
            "person": table["person"],
        }
        if all_good:
            columns |= dict.fromkeys(("yaw", "pitch", "roll"), pa.array([0.0] * count, pa.float32()))
            columns |= dict.fromkeys(("width", "height"), pa.array([120] * count, pa.int32()))
        pq.write_table(pa.table(columns), file)
        return cls(file, pa.table(columns).select(["dataset_name", "file_uri", "figure_id", "person"]))

    def __len__(self) -> int:
        return len(self.faces)

    @property
    def people(self) -> pa.ChunkedArray:
        """Who each face shows; null for passers-by."""
        person = self.faces["person"]
        return pc.if_else(pc.equal(person, ""), pa.scalar(None, person.type), person)

    def vectors(self) -> NDArray[np.float32]:
        """The embeddings: float32 (faces, dimensions)."""
        embeddings = pq.read_table(self.file, columns=["embedding"])["embedding"].combine_chunks()
        return embeddings.flatten().to_numpy().reshape(len(self), -1)

    def write_sources(self, folder: Path, uris: pa.Array) -> None:
        """Writes what `index` reads, of some files: files.parquet, and figures.parquet, which tells no person."""
        files = self.faces.select(["dataset_name", "file_uri"]).rename_columns(["dataset_name", "uri"])
        files = files.filter(pc.is_in(files["uri"], value_set=uris))
        pq.write_table(files.group_by(files.column_names).aggregate([]), folder / "files.parquet")
        made = pq.ParquetFile(self.file)
        told = pa.schema([field for field in made.schema_arrow if field.name != "person"])
        with pq.ParquetWriter(folder / "figures.parquet", told, compression="zstd") as writer:
            for batch in made.iter_batches(ROW_GROUP, columns=told.names):
                chosen = batch.filter(pc.is_in(batch["file_uri"], value_set=uris))
                writer.write_batch(chosen.select(told.names))


@dataclass(frozen=True)
class Spent:
    """What it took to take faces in: seconds of `index`, of `cluster figures`, and its Python workers' memory in MB."""

    index_s: float
    cluster_s: float
    workers_mb: float

    def cells(self) -> list[str]:
        """The cells of SPENT."""
        return [f"{self.index_s:.1f}", f"{self.cluster_s:.1f}", f"{self.workers_mb:,.0f}"]


def take_in(faces: FaceSet, lake: Path, *, portions: int = 1) -> list[Spent]:
    """Indexes and clusters the faces of so many portions of the files, one after another."""
    uris = faces.faces["file_uri"].unique()
    spent = []
    for portion in np.array_split(np.arange(len(uris)), portions):
        index_s = 0.0
        with tempfile.TemporaryDirectory() as folder:
            faces.write_sources(Path(folder), uris.take(pa.array(portion)))
            for rows in ("files", "figures"):
                source = str(Path(folder) / f"{rows}.parquet")
                config = IndexFiles(lake=str(lake), project=PROJECT, source=(source,), rows=rows)
                index_s += time_job(index_files, config, create=config.settings)
        with sampled_workers() as samples:
            cluster_s = time_job(cluster_figures, ClusterFigures(lake=str(lake), project=PROJECT))
        spent.append(Spent(index_s, cluster_s, max(samples) / 1e6))
        print(f"  {len(portion):,} files: index {index_s:.1f} s, cluster {cluster_s:.1f} s", flush=True)
    return spent


def found_people(faces: FaceSet, lake: Path) -> Classes:
    """The person that was found for each face."""
    members = read_tables(lake, "SELECT figure_id, object_id FROM figure_members", "figure_members")
    rows = pc.index_in(faces.faces["figure_id"], value_set=members["figure_id"])
    if rows.null_count:
        raise SystemExit(f"figure_members lacks {rows.null_count:,} of {len(rows):,} faces")
    return classes(members["object_id"].take(rows))


def check_founders(lake: Path) -> int:
    """The number of people. Ends the run if one is founded by anything but three good faces in three images."""
    people = read_tables(lake, FOUNDERS, "figure_clusters", "figure_members", "figures")
    least = pc.min_element_wise(people["good"], people["images"])
    wrong = people.filter(pc.or_(pc.less(least, 3), pc.not_equal(people["founders"], people["good"])))
    if len(wrong):
        raise SystemExit(
            f"{len(wrong):,} of {len(people):,} people are wrongly founded, such as {wrong[:3].to_pylist()}"
        )
    return len(people)


def describe_scores(found: Classes, true: Classes) -> list[str]:
    """The cells of SCORES. `3+` are the people of three faces or more."""
    scores = (bcubed(found, true), pairwise(found, true))
    values = [value for score in scores for value in (score.precision, score.recall, score.f)]
    return [f"{value:.4f}" for value in (*values, bcubed(found, true, np.bincount(true)[true] >= 3).f)]


# ---------------------------------------------------------------- peers


@dataclass(frozen=True)
class Fit:
    """What a peer makes of faces at one setting: the group of each, below 0 for none, and the seconds it took."""

    setting: str
    groups: NDArray[np.int64]
    seconds: float

    @classmethod
    def of(cls, setting: str, group: Callable[..., NDArray], *given: object, before: float = 0.0) -> Fit:
        """Times a grouping of what is given; `before`: seconds of what all settings share."""
        start = time.perf_counter()
        groups = group(*given)
        return cls(setting, groups.astype(np.int64), before + time.perf_counter() - start)


def fit_dbscan(vectors: NDArray[np.float32], people: int) -> Iterator[Fit]:
    """scikit-learn's DBSCAN, all pairs compared."""
    from sklearn.cluster import DBSCAN

    for cosine, least in itertools.product((0.40, 0.45, 0.50, 0.55), (3, 5, 8, 12)):
        model = DBSCAN(eps=math.sqrt(2 - 2 * cosine), min_samples=least, algorithm="brute", n_jobs=-1)
        yield Fit.of(f"cosine {cosine:.2f}, {least} faces", model.fit_predict, vectors)


def fit_hdbscan(vectors: NDArray[np.float32], people: int) -> Iterator[Fit]:
    """scikit-learn's HDBSCAN, all pairs compared."""
    from sklearn.cluster import HDBSCAN

    for least, near in ((3, 2), (3, 3), (5, 5), *itertools.product((10, 20, 40), (5, 10, 15))):
        model = HDBSCAN(min_cluster_size=least, min_samples=near, algorithm="brute", n_jobs=-1, copy=True)
        yield Fit.of(f"{least} faces, {near} near", model.fit_predict, vectors)


def fit_linkage(vectors: NDArray[np.float32], people: int) -> Iterator[Fit]:
    """SciPy's average linkage of cosines: one tree, cut anywhere."""
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    start = time.perf_counter()
    apart = 1 - vectors @ vectors.T
    tree = linkage(squareform(apart, checks=False), "average")
    before = time.perf_counter() - start
    for cosine in (0.15, 0.20, 0.25, 0.30, 0.35, 0.40, 0.45, 0.50):
        yield Fit.of(f"cosine {cosine:.2f}", fcluster, tree, 1 - cosine, "distance", before=before)


def fit_kmeans(vectors: NDArray[np.float32], people: int) -> Iterator[Fit]:
    """scikit-learn's k-means, told how many people there are."""
    from sklearn.cluster import KMeans

    for starts in (1, 3):
        model = KMeans(people, n_init=starts, random_state=0)
        yield Fit.of(f"k {people}, {starts} starts", model.fit_predict, vectors)


def fit_immich(vectors: NDArray[np.float32], people: int) -> Iterator[Fit]:
    """Immich's rule with its defaults: distance 0.5, three faces (its server/src/services/person.service.ts).

    A face that has two others within the distance founds a person, unless one of the three nearest, or else the nearest
    face of a person, is within it: then the face is that person's. Faces with fewer wait until all have been seen.
    """
    yield Fit.of("distance 0.50, 3 faces", recognize_faces, vectors, 0.5, 3)


def recognize_faces(vectors: NDArray[np.float32], distance: float, least: int) -> NDArray[np.int64]:
    """The person of each face, -1 for none, of faces that come one by one."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    near = np.full((len(unit), least), -1)
    for start in range(0, len(unit), 1024):
        alike = unit[start : start + 1024] @ unit.T
        best = np.argsort(-alike, axis=1, kind="stable")[:, :least]
        near[start : start + 1024] = np.where(np.take_along_axis(alike, best, 1) >= 1 - distance, best, -1)
    person = np.full(len(unit), -1)
    found = 0
    waiting: list[int] = []
    for face, is_late in itertools.chain(
        zip(range(len(unit)), itertools.repeat(False)), zip(waiting, itertools.repeat(True))
    ):
        matches = near[face][near[face] >= 0]
        if len(matches) <= 1:
            continue
        is_core = len(matches) == least
        if not is_core and not is_late:
            waiting.append(face)
            continue
        known = person[matches][person[matches] >= 0]
        if not len(known):
            alike = np.where(person >= 0, unit @ unit[face], -1)
            known = person[[alike.argmax()]] if alike.max() >= 1 - distance else known
        if len(known):
            person[face] = known[0]
        elif is_core:
            person[face], found = found, found + 1
    return person


PEERS: dict[str, Callable[[NDArray[np.float32], int], Iterator[Fit]]] = {
    "DBSCAN": fit_dbscan,
    "HDBSCAN": fit_hdbscan,
    "average linkage": fit_linkage,
    "k-means": fit_kmeans,
    "Immich": fit_immich,
}


def fit_all(name: str, vectors: NDArray[np.float32], people: int) -> tuple[list[Fit], float]:
    """A peer's groups at all its settings, and the peak memory of this process in MB."""
    return list(PEERS[name](vectors, people)), peak_bytes() / 1e6


def compare_peers(faces: FaceSet, true: Classes) -> Iterator[list[str]]:
    """A row per peer that is installed, each in a process of its own."""
    vectors, people = faces.vectors(), pc.count_distinct(faces.people).as_py()
    for name in PEERS:
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
            try:
                fits, memory = process.submit(fit_all, name, vectors, people).result()
            except ImportError as error:
                print(f"  {name} is left out: {error.name} is not installed", flush=True)
                continue
        found = {fit.setting: classes(pa.array(fit.groups, mask=fit.groups < 0)) for fit in fits}
        best = max(fits, key=lambda fit: bcubed(found[fit.setting], true).f)
        scores = describe_scores(found[best.setting], true)
        yield [f"{name}, {best.setting}", *scores, f"{best.seconds:.1f}", f"{memory:,.0f}"]


# ---------------------------------------------------------------- the parts


def measure_accuracy(
    maker: Path, real: Path | None, sizes: Iterable[tuple[int, int]], seeds: Iterable[int], peers_up_to: int
) -> None:
    """Prints a table for each set, size and seed: ours, and the peers' best. Real faces come first."""
    for all_good in (False, True) if real else ():
        with tempfile.TemporaryDirectory() as folder:
            faces = FaceSet.real(real, Path(folder) / "real.parquet", all_good=all_good)
            title = f"{len(faces):,} real faces, {'all good' if all_good else 'good ones by box and pose'}"
            compare(title, faces, Path(folder) / "lake", len(faces) <= peers_up_to)
    for (size, people), seed in itertools.product(sizes, seeds):
        with tempfile.TemporaryDirectory() as folder:
            faces = FaceSet.make(maker, Path(folder) / "made.parquet", faces=size, people=people, seed=seed)
            title = f"{size:,} made faces of {people:,} people, seed {seed}"
            compare(title, faces, Path(folder) / "lake", size <= peers_up_to)


def compare(title: str, faces: FaceSet, lake: Path, has_peers: bool) -> None:
    """Prints the table of one set."""
    print(f"accuracy: {title}", flush=True)
    (spent,) = take_in(faces, lake)
    founded = check_founders(lake)
    true = classes(faces.people)
    scores = describe_scores(found_people(faces, lake), true)
    ours = [f"LakeAlbum, {founded:,} people", *scores, f"{spent.cluster_s:.1f}", f"{spent.workers_mb:,.0f}"]
    rows = []
    for row in itertools.chain([ours], compare_peers(faces, true) if has_peers else ()):
        print("   ", *row, flush=True)
        rows.append(row)
    print_table([title, *SCORES, "s", "MB"], rows)


def measure_libraries(maker: Path, count: int, size: int, seed: int) -> None:
    """Prints the seconds and the scores of many libraries in one project."""
    print(f"libraries: {count:,} of {size:,} faces, seed {seed}", flush=True)
    row, _ = measure_run(maker, faces=size, seed=seed, datasets=count)
    print_table(["libraries", *RUN], [[f"{count:,}", *row]])


def measure_scale(maker: Path, sizes: Iterable[int], seed: int) -> None:
    """Prints the seconds and the scores of one library of each size, and how the seconds grow."""
    rows, spent = [], {}
    for size in sizes:
        print(f"scale: {size:,} faces, seed {seed}", flush=True)
        row, spent[size] = measure_run(maker, faces=size, seed=seed)
        rows.append(row)
    print_table(RUN, rows)
    print_growth("index", {size: of.index_s for size, of in spent.items()})
    print_growth("cluster figures", {size: of.cluster_s for size, of in spent.items()})


def measure_run(maker: Path, *, faces: int, seed: int, datasets: int = 1) -> tuple[list[str], Spent]:
    """Makes a set, takes it in at once, and checks it: the cells of RUN, and what was spent."""
    people = max(faces // FACES_A_PERSON, 1)
    with tempfile.TemporaryDirectory() as folder:
        made, lake = Path(folder) / "made.parquet", Path(folder) / "lake"
        known = FaceSet.make(maker, made, faces=faces, people=people, seed=seed, datasets=datasets)
        (spent,) = take_in(known, lake)
        founded = check_founders(lake)
        scores = describe_scores(found_people(known, lake), classes(known.people))
    sizes = [f"{len(known):,}", f"{founded:,}"]
    return [*sizes, *spent.cells(), f"{len(known) / spent.cluster_s:,.0f}", *scores], spent


def measure_increments(maker: Path, size: int, steps: int, seed: int) -> None:
    """Prints the seconds of each portion, and the scores of portions and of one batch, also against each other."""
    print(f"increments: {size:,} faces, {steps} portions of the files, seed {seed}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        made, whole, grown = (Path(folder) / name for name in ("made.parquet", "whole", "grown"))
        faces = FaceSet.make(maker, made, faces=size, people=max(size // FACES_A_PERSON, 1), seed=seed)
        spent = take_in(faces, whole) + take_in(faces, grown, portions=steps)
        check_founders(whole)
        at_once, in_steps, true = found_people(faces, whole), found_people(faces, grown), classes(faces.people)
    names = ["all at once", *(f"portion {number}" for number in range(1, steps + 1))]
    print_table(["", *SPENT], [[name, *of.cells()] for name, of in zip(names, spent, strict=True)])
    compared = {
        "all at once against the truth": (at_once, true),
        "portions against the truth": (in_steps, true),
        "portions against all at once": (in_steps, at_once),
    }
    print_table(["", *SCORES], [[name, *describe_scores(*both)] for name, both in compared.items()])


def warm_up(maker: Path) -> None:
    """Takes a few faces in, so that nothing is slow for being the first."""
    print("warming up", flush=True)
    measure_run(maker, faces=500, seed=0)


def size_and_people(text: str) -> tuple[int, int]:
    """Reads faces:people."""
    faces, _, people = text.partition(":")
    return int(faces), int(people)


def main() -> None:
    """Runs one of the measurements."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(dest="part", required=True)
    accuracy = parts.add_parser("accuracy")
    sizes = [(2_000, 40), (20_000, 400), (200_000, 4_000)]
    accuracy.add_argument("--sizes", type=size_and_people, nargs="+", default=sizes, metavar="FACES:PEOPLE")
    accuracy.add_argument("--seeds", type=int, nargs="+", default=[101, 102])
    accuracy.add_argument("--peers-up-to", type=int, default=20_000, help="faces that peers are given at most")
    accuracy.add_argument("--real", type=Path, help="real faces whose people are known, as Parquet")
    libraries = parts.add_parser("libraries")
    libraries.add_argument("--count", type=int, default=5_000)
    libraries.add_argument("--faces", type=int, default=500, help="faces of each")
    scale = parts.add_parser("scale")
    scale.add_argument("--sizes", type=int, nargs="+", default=[20_000, 200_000, 1_000_000])
    increments = parts.add_parser("increments")
    increments.add_argument("--size", type=int, default=20_000)
    increments.add_argument("--steps", type=int, default=10)
    for part in (accuracy, libraries, scale, increments):
        part.add_argument("--maker", type=Path, required=True, help="make_faces.py")
    for part in (libraries, scale, increments):
        part.add_argument("--seed", type=int, default=101)
    asked = parser.parse_args()
    configure_logging()
    spark = open_session("bench")
    print(describe_machine(PACKAGES, spark), flush=True)
    warm_up(asked.maker)
    match asked.part:
        case "accuracy":
            measure_accuracy(asked.maker, asked.real, asked.sizes, asked.seeds, asked.peers_up_to)
        case "libraries":
            measure_libraries(asked.maker, asked.count, asked.faces, asked.seed)
        case "scale":
            measure_scale(asked.maker, asked.sizes, asked.seed)
        case "increments":
            measure_increments(asked.maker, asked.size, asked.steps, asked.seed)
    spark.stop()


if __name__ == "__main__":
    main()
