"""Measures similar images: what is found of edited pictures, and how fast pairs are found, side by side with peers.

    python -m bench.similar_images edits --photos DIR --maker make_similar.py [--variants 6 12] [--seeds 1 2]
    python -m bench.similar_images hashes [--counts 100000 1000000 4000000] [--flat-up-to N] [--multi-up-to N]
    python -m bench.similar_images embeddings [--count 1000000] [--datasets 1000]
    python -m bench.similar_images increments [--count 1000000] [--share 0.01] [--crops]
    python -m bench.similar_images pictures --photos DIR [--count 100000] [--share 0.01]
    python -m bench.similar_images speed --photos DIR

edits: real pictures and their edits, through `index` and `cluster similar-images`; pairs and groups against the
truth, beside imagehash's and imagededup's PHash. hashes: random hashes, 2 % of them near-duplicates, beside faiss.
embeddings: in one dataset and in many, recall against exact search. increments: the whole job, then again with a
share of new pictures. pictures: the same from the files on, by `index` and `cluster` as typed. speed: pictures hashed
a second and core. Run it from the repository's root, in the environment that `./lakealbum` sets (PYTHONPATH,
LAKEALBUM_JARS, SPARK_CONF_DIR), on an otherwise idle machine. Peers that are not installed are left out.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import math
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from PIL import Image, ImageOps, UnidentifiedImageError
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from bench.measuring import (
    bcubed,
    classes,
    clock,
    describe_machine,
    new_run,
    print_growth,
    print_seconds,
    put_frame,
    read_tables,
    time_job,
)
from jobs.cluster_similar_images import ClusterSimilarImages, cluster_similar_images
from jobs.index_files import index_files
from jobs.indexing.options import IndexFiles
from jobs.runtime.lake import Lake, bucket
from jobs.runtime.progress import configure_logging
from jobs.runtime.session import open_session
from schemas.datasets import DATASETS
from schemas.file_features import CROPS, FILE_FEATURES
from schemas.files import FILES
from schemas.keys import DATASET_KEY
from schemas.settings import LakeSettings
from transforms.pictures.files import read_batches
from transforms.similar_images.embedding_pairs import find_embedding_pairs
from transforms.similar_images.hash_pairs import HASH_DISTANCE, find_hash_pairs

PROJECT = "bench"
SAME_ORIGINAL = 16
"""Bits within which the hashes of two originals make their groups one: the same picture is there twice."""
PACKAGES = ("pyspark", "delta-spark", "pdqhash", "faiss-cpu", "imagehash", "imagededup", "numba", "numpy", "pyarrow")
Pairs = set[tuple[str, str]]


# ---------------------------------------------------------------- (a) edits of real pictures


def measure_edits(photos: Path, maker: Path, variants: int, seed: int) -> None:
    """Prints precision and recall of pairs, and BCubed of groups, ours and peers', on one set of edits."""
    with tempfile.TemporaryDirectory() as folder:
        made, lake = Path(folder) / "made", Path(folder) / "lake"
        make = [sys.executable, str(maker), str(photos), str(made), "--variants", str(variants), "--seed", str(seed)]
        subprocess.run(make, check=True, stdout=subprocess.DEVNULL)
        truth = pq.read_table(made / "truth.parquet").to_pylist()
        config = IndexFiles(lake=str(lake), project=PROJECT, source=(str(made),), format="photos", dataset=("all",))
        print(f"edits: {len(truth)} pictures, {variants} variants, seed {seed}")
        print_seconds("index", time_job(index_files, config, create=config.settings))
        asked = ClusterSimilarImages(lake=str(lake), project=PROJECT)
        print_seconds("cluster similar-images", time_job(cluster_similar_images, asked))
        looks = _rows(lake, "file_features", "uri, fingerprint, perceptual_hash")
        names = {row["uri"].rpartition("/")[2]: row for row in looks}
        group_of = _true_groups(truth, {name: row["perceptual_hash"] for name, row in names.items()})
        by_look: dict[str, list[str]] = defaultdict(list)
        for name, row in names.items():
            by_look[row["fingerprint"]].append(name)
        told = [(row["fingerprint"], row["other_fingerprint"]) for row in _rows(lake, "similar_image_pairs", "*")]
        ours = {_pair(a, b) for one, other in told for a in by_look[one] for b in by_look[other]}
        ours |= {_pair(a, b) for same in by_look.values() for a, b in itertools.combinations(same, 2)}
        _print_pairs("pairs, ours", ours, group_of)
        members = _rows(lake, "similar_image_members", "uri, object_id")
        clusters = {row["uri"].rpartition("/")[2]: row["object_id"] for row in members}
        found: dict[str, list[str]] = defaultdict(list)
        for name, cluster in clusters.items():
            found[cluster].append(name)
        grouped = {_pair(a, b) for names_ in found.values() for a, b in itertools.combinations(names_, 2)}
        _print_pairs("pairs in one cluster, ours", grouped, group_of)
        _print_bcubed("groups, ours", clusters, group_of)
        for peer, hashes, thresholds in _peer_hashes(made, sorted(group_of)):
            order = sorted(hashes)
            bits = np.array([np.unpackbits(np.frombuffer(bytes.fromhex(hashes[name]), np.uint8)) for name in order])
            apart = (bits[:, None, :] != bits[None, :, :]).sum(axis=2)
            for threshold in thresholds:
                left, right = np.nonzero(np.triu(apart <= threshold, 1))
                pairs = {_pair(order[a], order[b]) for a, b in zip(left, right, strict=True)}
                _print_pairs(f"pairs, {peer} at {threshold}", pairs, group_of)
                _print_bcubed(f"groups, {peer} at {threshold}, linked", _linked(pairs), group_of)


def _true_groups(truth: list[dict], hashes: dict[str, str | None]) -> dict[str, int]:
    """The group of each picture; groups whose originals are one picture are one."""
    originals = [(row["uri"], row["group"]) for row in truth if row["edit"] == "original"]
    parent = {row["group"]: row["group"] for row in truth}

    def root(group: int) -> int:
        while parent[group] != group:
            group = parent[group]
        return group

    for (one, group), (other, other_group) in itertools.combinations(originals, 2):
        a, b = hashes.get(one), hashes.get(other)
        if a and b and (int(a, 16) ^ int(b, 16)).bit_count() <= SAME_ORIGINAL:
            parent[root(group)] = root(other_group)
    return {row["uri"]: root(row["group"]) for row in truth}


def _peer_hashes(made: Path, names: list[str]) -> Iterator[tuple[str, dict[str, str], tuple[int, ...]]]:
    if importlib.util.find_spec("imagehash"):
        import imagehash

        def phash(name: str) -> str:
            with Image.open(made / name) as image:
                return str(imagehash.phash(image))

        yield "imagehash.phash", {name: phash(name) for name in names}, (4, 8, 10)
    if importlib.util.find_spec("imagededup"):
        from imagededup.methods import PHash

        encode = PHash(verbose=False).encode_image
        found = {name: encode(image_file=str(made / name)) for name in names}
        yield "imagededup PHash", {name: text for name, text in found.items() if text}, (10,)


def _print_pairs(what: str, found: Pairs, group_of: dict[str, int]) -> None:
    """Precision and recall; of the false pairs, how many pairs of groups, hence of originals, they lie between."""
    sizes: dict[int, int] = defaultdict(int)
    for group in group_of.values():
        sizes[group] += 1
    true = sum(size * (size - 1) // 2 for size in sizes.values())
    false = [tuple(sorted((group_of[a], group_of[b]))) for a, b in found if group_of[a] != group_of[b]]
    right = len(found) - len(false)
    precision = right / len(found) if found else 1.0
    told = f"({len(false)} false, between {len(set(false))} pairs of originals)"
    print(f"  {what:<44} precision {precision:.4f} {told}  recall {right / true:.4f}", flush=True)


def _print_bcubed(what: str, cluster_of: dict[str, str], group_of: dict[str, int]) -> None:
    """BCubed precision, recall and F; what is in no cluster is one of its own."""
    found = classes(pa.array([cluster_of.get(name) for name in group_of], pa.string()))
    score = bcubed(found, classes(pa.array(group_of.values())))
    print(f"  {what:<44} BCubed P {score.precision:.4f}  R {score.recall:.4f}  F {score.f:.4f}", flush=True)


def _linked(pairs: Pairs) -> dict[str, str]:
    """Connected components: what the peers' pairs come to, taken as groups."""
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        while parent.setdefault(name, name) != name:
            name = parent[name]
        return name

    for a, b in pairs:
        parent[root(a)] = root(b)
    return {name: root(name) for name in list(parent)}


def _pair(a: str, b: str) -> tuple[str, str]:
    return (a, b) if a < b else (b, a)


def _rows(lake: Path, name: str, columns: str) -> list[dict]:
    return read_tables(lake, f"SELECT {columns} FROM {name}", name).to_pylist()


# ---------------------------------------------------------------- (b) all pairs of hashes


def planted_hashes(count: int, share: float = 0.02, seed: int = 0) -> np.ndarray:
    """uint8 (count, 32): random, and a share of them copies of others with 1 to 40 bits flipped."""
    rng = np.random.default_rng(seed)
    hashes = rng.integers(0, 256, (count, 32), dtype=np.uint8)
    near = rng.permutation(count)[: int(count * share)]
    bits = np.unpackbits(hashes[rng.integers(0, count, len(near))], axis=1)
    order = rng.random(bits.shape).argsort(axis=1)
    bits ^= (order < rng.integers(1, 41, len(near))[:, None]).astype(np.uint8)
    hashes[near] = np.packbits(bits, axis=1)
    return hashes


def measure_hashes(spark: SparkSession, counts: list[int], flat_up_to: int, multi_up_to: int) -> None:
    """Prints the seconds for all pairs within 31 bits, ours from Parquet to Parquet, and the peers' in memory."""
    seconds: dict[int, float] = {}
    for count in counts:
        hashes = planted_hashes(count)
        times: dict[str, float] = {}
        print(f"hashes: {count:,}")
        with tempfile.TemporaryDirectory() as folder:
            source, target = f"{folder}/in.parquet", f"{folder}/out"
            fingerprints = pa.array([row.tobytes().hex() for row in hashes])
            pq.write_table(pa.table({"fingerprint": fingerprints}), source, row_group_size=100_000)
            for attempt in ("first", "again"):
                with clock(f"find_hash_pairs, {attempt}", times):
                    _dataset(spark.read.parquet(source)).transform(find_hash_pairs, key=DATASET_KEY).write.mode(
                        "overwrite"
                    ).parquet(target)
            seconds[count] = times["find_hash_pairs, again"]
            found = pq.read_table(target, columns=["fingerprint", "other_fingerprint", "distance"])
        ours = {(a, b): d for a, b, d in zip(*(column.to_pylist() for column in found.columns), strict=True)}
        print(f"  {len(ours):,} pairs")
        if importlib.util.find_spec("faiss"):
            import faiss

            faiss.omp_set_num_threads(os.cpu_count() or 1)
            for name, make in _faiss_indexes(count, flat_up_to, multi_up_to):
                index = make(faiss)
                with clock(name, times):
                    index.add(hashes)
                    limits, _, labels = index.range_search(hashes, HASH_DISTANCE + 1)
                rows = np.repeat(np.arange(count), np.diff(limits.astype(np.int64)))
                keep = rows < labels
                theirs = {
                    _pair(fingerprints[int(a)].as_py(), fingerprints[int(b)].as_py())
                    for a, b in zip(rows[keep], labels[keep], strict=True)
                }
                theirs = {pair for pair in theirs if pair[0] != pair[1]}
                print(
                    f"  {name}: {len(theirs - ours.keys())} pairs that we lack, {len(ours.keys() - theirs)} that it "
                    f"lacks; {times[name] / seconds[count]:.1f} times our time"
                )
    print_growth("our time", seconds)


def _faiss_indexes(count: int, flat_up_to: int, multi_up_to: int) -> Iterator[tuple[str, Callable]]:
    if count <= flat_up_to:
        yield "faiss IndexBinaryFlat", lambda faiss: faiss.IndexBinaryFlat(256)

    def multi_hash(faiss):
        index = faiss.IndexBinaryMultiHash(256, 16, 16)
        index.nflip = 1
        return index

    if count <= multi_up_to:
        yield "faiss IndexBinaryMultiHash(16, 16), nflip 1", multi_hash


def _dataset(rows: DataFrame) -> DataFrame:
    nothing = F.lit(None).cast("binary")
    return rows.withColumns(
        {
            "bucket": F.lit(0),
            "project_name": F.lit(PROJECT),
            "dataset_name": F.lit("all"),
            "crop_hashes": nothing,
            "turned_hashes": nothing,
        }
    )


# ---------------------------------------------------------------- (c) embeddings


def planted_vectors(count: int, dimension: int, seed: int, cone: float = 0.5) -> np.ndarray:
    """float32 (count, dimension), unit length: strangers with a mean cosine `cone`, 2 % copies at cosines 0.9 to 1."""
    rng = np.random.default_rng(seed)
    common = rng.standard_normal(dimension, dtype=np.float32)
    common /= np.linalg.norm(common)
    vectors = np.empty((count, dimension), np.float32)
    for start in range(0, count, 50_000):
        part = rng.standard_normal((min(50_000, count - start), dimension), dtype=np.float32)
        part -= (part @ common)[:, None] * common
        part *= math.sqrt(1 - cone) / np.linalg.norm(part, axis=1, keepdims=True)
        vectors[start : start + len(part)] = part + math.sqrt(cone) * common
    near = rng.permutation(count)[: count // 50]
    wanted = rng.uniform(0.9, 1.0, len(near)).astype(np.float32)[:, None]
    base = vectors[rng.integers(0, count, len(near))]
    noise = rng.standard_normal(base.shape, dtype=np.float32)
    noise -= (noise * base).sum(axis=1, keepdims=True) * base
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    vectors[near] = wanted * base + np.sqrt(1 - wanted**2) * noise
    return vectors


def measure_embeddings(spark: SparkSession, count: int, datasets: int, dimension: int = 512) -> None:
    """Prints the seconds, and the recall at 0.9, for one dataset of `count` and for `datasets` that share as many."""
    for many in (1, datasets):
        times: dict[str, float] = {}
        print(f"embeddings: {count:,} of {dimension} dimensions in {many:,} datasets")
        with tempfile.TemporaryDirectory() as folder:
            vectors = np.concatenate([planted_vectors(count // many, dimension, seed) for seed in range(many)])
            source, target = f"{folder}/in.parquet", f"{folder}/out"
            offsets = pa.array(np.arange(0, len(vectors) + 1, dtype=np.int64) * dimension)
            table = pa.table(
                {
                    "dataset_name": pa.array([f"d{row // (count // many):04d}" for row in range(len(vectors))]),
                    "fingerprint": pa.array([f"{row:08d}" for row in range(len(vectors))]),
                    "embedding": pa.LargeListArray.from_arrays(offsets, pa.array(vectors.reshape(-1))),
                }
            )
            pq.write_table(table, source, row_group_size=20_000)
            del table
            with clock("find_embedding_pairs", times):
                own = {"bucket": F.lit(0), "project_name": F.lit(PROJECT), "is_new": F.lit(True)}
                images = spark.read.parquet(source).withColumns(own)
                images.transform(find_embedding_pairs, key=DATASET_KEY, min_similarity=0.9).write.parquet(target)
            found = pq.read_table(target, columns=["fingerprint", "other_fingerprint", "similarity"])
        ours = set(zip(found["fingerprint"].to_pylist(), found["other_fingerprint"].to_pylist(), strict=True))
        asked, missed, there = 20_000 if many == 1 else count, 0, 0
        for start in range(0, asked, 1000):
            own = start // (count // many) * (count // many)
            others = vectors[own : own + count // many] if many > 1 else vectors
            similar = vectors[start : start + 1000] @ others.T
            rows, columns = np.nonzero(similar >= 0.9 + 1e-6)
            for a, b in zip(rows + start, columns + own, strict=True):
                if a < b:
                    there += 1
                    missed += (f"{a:08d}", f"{b:08d}") not in ours
        print(f"  {len(ours):,} pairs; of {there:,} that exact search finds for {asked:,}, {missed} are missed")


# ---------------------------------------------------------------- increments


def measure_increments(spark: SparkSession, count: int, share: float, crops: bool) -> None:
    """Prints the seconds of the whole clustering job on `count` pictures' hashes, then with a share of new ones.

    With `crops` each has four random hashes of centre crops, too, as pictures that `index` reads.
    """
    with tempfile.TemporaryDirectory() as folder:
        root = f"{folder}/lake"
        lake = Lake.open(root, create=LakeSettings(), start_spark=lambda: spark)
        new = int(count * share)
        hashes = planted_hashes(count + new)
        order = np.random.default_rng(1).permutation(len(hashes))
        seconds = []
        for name, rows in (("all", order[:count]), ("new", order[count:]), ("nothing", order[:0])):
            if len(rows):
                _put_pictures(lake, f"{folder}/{name}.parquet", hashes, rows, name, crops=crops)
            times: dict[str, float] = {}
            asked = ClusterSimilarImages(lake=root, project=PROJECT)
            with clock(f"cluster similar-images: {len(rows):,} new{' with crops' if crops else ''}", times):
                cluster_similar_images(new_run(lake, f"cluster-{name}"), asked)
            seconds.append(next(iter(times.values())))
        print(
            f"  increment: {seconds[1] / seconds[0]:.1%} of the full run; of nothing new: {seconds[2] / seconds[0]:.1%}"
        )


def _put_pictures(lake: Lake, path: str, hashes: np.ndarray, rows: np.ndarray, name: str, *, crops: bool) -> None:
    table = {
        "uri": pa.array([f"s3://bench/{row:08d}.jpg" for row in rows]),
        "perceptual_hash": pa.array([hashes[row].tobytes().hex() for row in rows]),
    }
    if crops:
        of_crops = np.random.default_rng(len(rows)).bytes(len(rows) * 32 * len(CROPS))
        fixed = pa.FixedSizeBinaryArray.from_buffers(
            pa.binary(32 * len(CROPS)), len(rows), [None, pa.py_buffer(of_crops)]
        )
        table["crop_hashes"] = fixed.cast(pa.binary())
    pq.write_table(pa.table(table), path, row_group_size=100_000)
    run = new_run(lake, f"load-{name}")
    own = {
        "project_name": F.lit(PROJECT),
        "dataset_name": F.lit("all"),
        "object_id": F.sha2("uri", 256),
        "media_type": F.lit("image"),
        "source": F.lit("bench"),
        "create_time": run.clock(),
        "update_time": run.clock(),
        "run_id": F.lit(run.run_id),
        "fingerprint": F.col("perceptual_hash"),
        "perceptual_hash_quality": F.lit(100),
        "image_score": F.lit(0.5),
    }
    pictures = lake.spark.read.parquet(path).withColumns(own).withColumn("bucket", bucket(lake.settings.buckets))
    for contract in (DATASETS, FILES, FILE_FEATURES):
        columns = [name for name in contract.names if name in pictures.columns]
        put_frame(run, contract, pictures.select(*columns).distinct() if contract is DATASETS else pictures)


# ---------------------------------------------------------------- increments from the pictures on


def measure_pictures(photos: Path, count: int, share: float) -> None:
    """Prints the seconds of both commands on `count` pictures, a process each, then with a share of new ones.

    A picture is a mosaic of pieces of the photos, a JPEG of 640 by 480; one in fifty is a smaller copy of another.
    """
    with tempfile.TemporaryDirectory() as folder:
        pieces = [np.asarray(image) for image in _open_photos(photos)]
        new = int(count * share)
        for name, numbers in (("all", range(count)), ("new", range(count, count + new))):
            for number in numbers:
                file = Path(folder, name, f"{number // 1000}", f"{number}.jpg")
                file.parent.mkdir(parents=True, exist_ok=True)
                is_copy = number % 50 == 49
                picture = _mosaic(pieces, number - is_copy)
                (picture.resize((480, 360)) if is_copy else picture).save(file, quality=88)
        totals = []
        for name, pictures in (("all", count), ("new", new)):
            times: dict[str, float] = {}
            for verb in (
                ("index", f"{folder}/{name}", "--format", "photos", "--dataset", "all"),
                ("cluster", "similar-images"),
            ):
                command = [
                    sys.executable,
                    "-m",
                    "jobs.cli.main",
                    *verb,
                    "--lake",
                    f"{folder}/lake",
                    "--project",
                    PROJECT,
                ]
                with clock(f"{verb[0]}: {pictures:,} new", times):
                    subprocess.run(command, check=True, capture_output=True)
            totals.append(sum(times.values()))
        print(f"  increment: {totals[1]:.0f} of {totals[0]:.0f} s, {totals[1] / totals[0]:.1%} of the full run")


def _open_photos(photos: Path) -> Iterator[Image.Image]:
    for path in sorted(photos.rglob("*")):
        if path.suffix.lower() in (".jpg", ".jpeg", ".png"):
            try:
                with Image.open(path) as image:
                    picture = ImageOps.exif_transpose(image).convert("RGB")
            except (UnidentifiedImageError, OSError):
                continue  # some of the photos are broken on purpose
            picture.thumbnail((1280, 1280))
            if min(picture.size) >= 300:
                yield picture


def _mosaic(photos: list[np.ndarray], seed: int) -> Image.Image:
    """Four by four pieces of random photos."""
    random = np.random.default_rng(seed)
    whole = np.empty((480, 640, 3), np.uint8)
    for top, left in itertools.product(range(0, 480, 120), range(0, 640, 160)):
        photo = photos[random.integers(len(photos))]
        y, x = random.integers(photo.shape[0] - 120), random.integers(photo.shape[1] - 160)
        whole[top : top + 120, left : left + 160] = photo[y : y + 120, x : x + 160]
    return Image.fromarray(whole)


# ---------------------------------------------------------------- (d) hashing speed


def measure_speed(photos: Path, limit: int = 50) -> None:
    """Prints pictures hashed a second on one core, by format, with the megapixels of the median."""
    by_format: dict[str, list[str]] = defaultdict(list)
    for path in sorted(photos.rglob("*")):
        if path.is_file() and path.suffix.lower() in (".jpg", ".jpeg", ".png", ".heic", ".tif", ".tiff", ".webp"):
            by_format[path.suffix.lower().replace("jpeg", "jpg")].append(path.resolve().as_uri())
    for kind, uris in by_format.items():
        uris = (uris * math.ceil(limit / len(uris)))[:limit]
        start = time.process_time(), time.perf_counter()
        (*batches,) = read_batches([pa.record_batch({"uri": pa.array(uris)})])
        cpu, wall = time.process_time() - start[0], time.perf_counter() - start[1]
        table = pa.Table.from_batches(batches)
        pixels = pc.multiply(table["image_width"].cast("int64"), table["image_height"].cast("int64"))
        hashed = len(table) - table["perceptual_hash"].null_count
        middle = (pc.approximate_median(pixels).as_py() or 0) / 1e6
        print(
            f"speed: {kind:<6} {hashed:4} of {len(uris)} hashed, median {middle:5.1f} MP: {len(uris) / wall:6.1f}/s"
            f" ({len(uris) / max(cpu, 1e-9):.1f} per CPU second of this process)",
            flush=True,
        )


def main() -> None:
    """Runs one of the measurements."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(dest="part", required=True)
    edits = parts.add_parser("edits")
    edits.add_argument("--photos", type=Path, required=True)
    edits.add_argument("--maker", type=Path, required=True)
    edits.add_argument("--variants", type=int, nargs="+", default=[6, 12])
    edits.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    hashes = parts.add_parser("hashes")
    hashes.add_argument("--counts", type=int, nargs="+", default=[100_000, 1_000_000, 4_000_000])
    hashes.add_argument("--flat-up-to", type=int, default=1_000_000)
    hashes.add_argument("--multi-up-to", type=int, default=200_000)
    embeddings = parts.add_parser("embeddings")
    embeddings.add_argument("--count", type=int, default=1_000_000)
    embeddings.add_argument("--datasets", type=int, default=1000)
    increments = parts.add_parser("increments")
    increments.add_argument("--count", type=int, default=1_000_000)
    increments.add_argument("--share", type=float, default=0.01)
    increments.add_argument("--crops", action="store_true")
    pictures = parts.add_parser("pictures")
    pictures.add_argument("--photos", type=Path, required=True)
    pictures.add_argument("--count", type=int, default=100_000)
    pictures.add_argument("--share", type=float, default=0.01)
    speed = parts.add_parser("speed")
    speed.add_argument("--photos", type=Path, required=True)
    asked = parser.parse_args()
    configure_logging()
    if asked.part in ("speed", "pictures"):
        print(describe_machine(PACKAGES), flush=True)
        if asked.part == "speed":
            measure_speed(asked.photos)
        else:
            measure_pictures(asked.photos, asked.count, asked.share)
        return
    spark = open_session("bench")
    print(describe_machine(PACKAGES, spark), flush=True)
    match asked.part:
        case "edits":
            for variants, seed in itertools.product(asked.variants, asked.seeds):
                measure_edits(asked.photos, asked.maker, variants, seed)
        case "hashes":
            measure_hashes(spark, asked.counts, asked.flat_up_to, asked.multi_up_to)
        case "embeddings":
            measure_embeddings(spark, asked.count, asked.datasets)
        case "increments":
            measure_increments(spark, asked.count, asked.share, asked.crops)
    spark.stop()


if __name__ == "__main__":
    main()
