"""Pairs of embeddings against brute force; the same whatever the split, the order and the number of tasks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from hashlib import sha256
from itertools import combinations

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.runtime.session import session_settings
from schemas.errors import UsageError
from transforms.similar_images.embedding_pairs import find_embedding_pairs
from transforms.similar_images.embeddings import compare_cells, compare_chunks, limits_for, make_chunk

KEY = ("bucket", "project_name", "dataset_name")
Floats = NDArray[np.float32]
Found = dict[str, dict[tuple[str, str], float]]
"""Dataset -> (fingerprint, other fingerprint) -> similarity."""
Row = tuple[str, str, list[float] | None, bool | None]
"""Dataset, fingerprint, embedding, is_new."""


def strangers(random: np.random.Generator, count: int, dimension: int, *, cone: float = 0.0) -> Floats:
    """Unit vectors of random directions, but for a common part by which two have the cosine `cone` on average."""
    common = np.zeros(dimension)
    common[: max(dimension // 8, 1)] = 1
    own = random.standard_normal((count, dimension))
    own /= np.linalg.norm(own, axis=1, keepdims=True)
    vectors: Floats = (np.sqrt(cone) * common / np.linalg.norm(common) + np.sqrt(1 - cone) * own).astype(np.float32)
    return vectors


def partners(random: np.random.Generator, vectors: Floats, cosines: float | Floats) -> Floats:
    """For each vector another at that cosine."""
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    across = random.standard_normal(units.shape)
    across -= (across * units).sum(axis=1, keepdims=True) * units
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    cosine = np.broadcast_to(cosines, len(units))[:, None].astype(np.float64)
    others: Floats = (units * cosine + across * np.sqrt(1 - cosine**2)).astype(np.float32)
    return others


def exact_pairs(vectors: Floats, min_similarity: float) -> dict[tuple[int, int], float]:
    """All pairs of rows (n, d) with at least that cosine, by comparing all with all in float64 where it is close."""
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1)
    units = (vectors / np.where(lengths == 0, 1, lengths)[:, None]).astype(np.float32)
    pairs: dict[tuple[int, int], float] = {}
    for start in range(0, len(units), 2000):
        rows, others = np.nonzero(units[start : start + 2000] @ units.T > min_similarity - 1e-4)
        rows += start
        rows, others = rows[rows < others], others[rows < others]
        products = np.einsum("nd,nd->n", vectors[rows].astype(np.float64), vectors[others].astype(np.float64))
        cosines = np.minimum(products / (lengths[rows] * lengths[others]), 1)
        pairs |= {
            (a, b): cosine
            for a, b, cosine in zip(rows.tolist(), others.tolist(), cosines.tolist(), strict=True)
            if cosine >= min_similarity
        }
    return pairs


def frame(spark: SparkSession, rows: Iterable[Row]) -> DataFrame:
    columns = zip(*rows, strict=True)
    types = {"dataset_name": pa.string(), "fingerprint": pa.string(), "embedding": pa.list_(pa.float32())}
    types["is_new"] = pa.bool_()
    table = pa.table({name: pa.array(column, types[name]) for name, column in zip(types, columns, strict=True)})
    images = spark.createDataFrame(table)
    return images.withColumns({"bucket": F.lit("b"), "project_name": F.lit("p")})


def find(images: DataFrame, **arguments: int) -> Found:
    rows = find_embedding_pairs(images, key=KEY, min_similarity=0.9, **arguments).collect()
    found: Found = defaultdict(dict)
    for row in rows:
        assert (row.bucket, row.project_name) == ("b", "p")
        assert row.fingerprint < row.other_fingerprint
        assert 0.9 <= row.similarity <= 1
        found[row.dataset_name][row.fingerprint, row.other_fingerprint] = row.similarity
    assert sum(map(len, found.values())) == len(rows), "a pair came twice"
    return found


@pytest.mark.long
@pytest.mark.parametrize("dimension", [64, 512])
@pytest.mark.parametrize("cone", [0.0, 0.5])
def test_recall_and_exactness(dimension: int, cone: float) -> None:
    random = np.random.default_rng([dimension, int(cone * 10)])
    alone = strangers(random, 6000, dimension, cone=cone)
    barely = partners(random, alone[:3000], 0.9 + 1e-6)
    above = partners(random, alone[3000:3500], random.uniform(0.9, 0.99, 500).astype(np.float32))
    balls = partners(random, np.repeat(alone[-10:], 50, axis=0), 0.97)
    vectors = np.concatenate([alone, barely, above, balls])
    vectors *= random.uniform(0.01, 100, (len(vectors), 1)).astype(np.float32)
    random.shuffle(vectors)
    exact = exact_pairs(vectors, 0.9)

    half = len(vectors) // 2
    chunks = [
        make_chunk(pa.array([str(row) for row in part]), vectors[part])
        for part in np.split(np.arange(len(vectors)), [half])
    ]
    found: dict[tuple[int, int], float] = {}
    for one, other in ((0, 0), (0, 1), (1, 1)):
        for left, right, similarity in compare_chunks(chunks[one], chunks[other], limits=limits_for(0.9)):
            rows, others = (left + one * half).tolist(), (right + other * half).tolist()
            found |= dict(zip(zip(rows, others, strict=True), similarity.tolist(), strict=True))

    assert found.keys() <= exact.keys()
    assert max(abs(found[pair] - exact[pair]) for pair in found) < 1e-12
    barely_similar = {pair for pair, cosine in exact.items() if cosine < 0.900_01}
    assert len(barely_similar) > 2900
    assert len(barely_similar & found.keys()) >= 0.999 * len(barely_similar)
    assert len(found) >= 0.9998 * len(exact)


@pytest.mark.parametrize("min_similarity", [0.5, 0.8, 0.95])
def test_recall_at_other_similarities(min_similarity: float) -> None:
    random = np.random.default_rng(5)
    vectors = strangers(random, 3000, 96)
    alike = partners(random, vectors, min_similarity + 1e-6)
    one, other = (make_chunk(pa.array(["x"] * 3000), each) for each in (vectors, alike))
    found = set()
    for left, right, _ in compare_chunks(one, other, limits=limits_for(min_similarity)):
        found |= set(zip(left.tolist(), right.tolist(), strict=True))
    assert sum((row, row) in found for row in range(3000)) >= 2997


def test_many_small_datasets_of_mixed_dimensions(spark: SparkSession) -> None:
    random = np.random.default_rng(1)
    rows: list[Row] = []
    expected: Found = defaultdict(dict)
    for number in range(50):
        dataset = f"set {number}"
        for dimension in random.choice([1, 2, 3, 17, 64, 100], 3, replace=False).tolist():
            alone = strangers(random, int(random.integers(1, 25)), dimension, cone=0.3)
            alike = partners(random, alone, 0.96) if dimension > 1 else alone
            vectors = np.concatenate([alone, alike, alone[:1], np.zeros((2, dimension), np.float32)])
            names = [f"é{dimension}/{row:02d}" for row in range(len(vectors))]
            is_new = random.random(len(vectors)) < 0.5
            rows += zip([dataset] * len(names), names, vectors.tolist(), is_new.tolist(), strict=True)
            for (a, b), cosine in exact_pairs(vectors, 0.9).items():
                if is_new[a] or is_new[b]:
                    expected[dataset][names[a], names[b]] = cosine
        rows += [(dataset, "none", None, True), (dataset, "empty", [], True)]
    found = find(frame(spark, rows))
    assert sum(map(len, expected.values())) > 5_000
    assert found.keys() == expected.keys()
    missed = []
    for dataset, pairs in expected.items():
        assert found[dataset].keys() <= pairs.keys()
        assert all(abs(similarity - pairs[pair]) < 1e-12 for pair, similarity in found[dataset].items())
        missed += [similarity for pair, similarity in pairs.items() if pair not in found[dataset]]
    assert len(missed) <= 0.001 * sum(map(len, expected.values()))
    assert max(missed, default=0.9) < 0.91


def split_rows(random: np.random.Generator, *, splits: int) -> list[Row]:
    """The dataset `batch`, all new; and per split one run `before`, and one `after` that finds its rows there."""
    alone = strangers(random, 250, 48, cone=0.6)
    vectors = np.concatenate([alone, partners(random, alone, random.uniform(0.88, 1, 250).astype(np.float32))])
    images = [(f"{name:03d}", vector.tolist()) for name, vector in zip(random.permutation(500), vectors, strict=True)]
    rows: list[Row] = [("batch", *image, True) for image in images]
    for split in range(splits):
        share_of_new = random.random()
        for image in images:
            is_new = bool(random.random() < share_of_new)
            rows.append((f"after {split}", *image, is_new or None))
            if not is_new:
                rows.append((f"before {split}", *image, True))
    return rows


@pytest.mark.parametrize("block_rows", [70, 1000])
def test_any_split_over_runs_is_one_batch(spark: SparkSession, block_rows: int) -> None:
    found = find(frame(spark, split_rows(np.random.default_rng(2), splits=10)), block_rows=block_rows)
    assert len(found["batch"]) > 200
    for split in range(10):
        before, after = found[f"before {split}"], found[f"after {split}"]
        assert not before.keys() & after.keys()
        assert before | after == found["batch"]


def test_neither_order_nor_partitions_nor_blocks_matter(spark: SparkSession) -> None:
    rows = split_rows(np.random.default_rng(3), splits=3)
    found = find(frame(spark, rows))
    np.random.default_rng(4).shuffle(rows)
    with session_settings(spark, {"spark.sql.shuffle.partitions": "7"}):
        images = frame(spark, rows)
        assert find(images.repartition(5), block_rows=33) == found
        assert find(images.coalesce(1), block_bytes=48 * 4 * 100) == found


def test_all_alike_are_all_paired_a_buffer_at_a_time() -> None:
    random = np.random.default_rng(6)
    vectors = np.repeat(strangers(random, 1, 64), 700, axis=0) * random.uniform(1e-3, 1e3, (700, 1)).astype(np.float32)
    chunk = make_chunk(pa.array([f"{row:03d}" for row in range(700)]), vectors)
    batches = list(compare_chunks(chunk, chunk, limits=limits_for(1 - 1e-6)))
    assert len(batches) > 1
    pairs = [pair for left, right, _ in batches for pair in zip(left.tolist(), right.tolist(), strict=True)]
    assert sorted(pairs) == list(combinations(range(700), 2))
    assert all((similarity <= 1).all() for _, _, similarity in batches)


def test_cells_whose_numbers_are_equal_by_chance_are_kept_apart() -> None:
    vectors = pa.array([[1.0, 0.0]] * 6, pa.list_(pa.float32()))
    batch = pa.RecordBatch.from_pydict(
        {
            "dataset_name": ["a", "b", "a", "b", "b", "a"],
            "_dimension": [2] * 6,
            "_first": [0] * 6,
            "_second": [0] * 6,
            "_order": [8, 8, 8, 9, 9, 9],  # even: kept; odd: passes by
            "fingerprint": ["u", "v", "w", "x", "y", "z"],
            "embedding": vectors,
        }
    )
    pieces = [batch.slice(start, 2) for start in (0, 2, 4)]
    found = pa.Table.from_batches(compare_cells(pieces, key=("dataset_name",), min_similarity=0.9)).to_pydict()
    pairs = sorted(zip(found["dataset_name"], found["fingerprint"], found["other_fingerprint"], strict=True))
    assert pairs == [("a", "u", "w"), ("a", "u", "z"), ("a", "w", "z"), ("b", "v", "x"), ("b", "v", "y")]


def test_huge_and_tiny_numbers() -> None:
    vectors = np.array([[3e38, 3e38, 0], [1e-45, 1e-45, 0], [0, 0, 3e38], [0, 0, 0], [-1, -1, 0]], np.float32)
    chunk = make_chunk(pa.array(list("abcde")), vectors)
    ((left, right, similarity),) = compare_chunks(chunk, chunk, limits=limits_for(0.9))
    assert (left.tolist(), right.tolist()) == ([0], [1])
    assert similarity == pytest.approx(1)


def test_sketches_are_the_same_for_good() -> None:
    """Pairs found by earlier runs are kept: what a sketch is must never change unnoticed."""
    digest = sha256()
    for dimension in (1, 64, 96, 512, 768):
        vectors = (np.arange(50 * dimension, dtype=np.float32) ** 2 % 977 - 400).reshape(50, dimension)
        digest.update(make_chunk(pa.array(["x"] * 50), vectors).sketches.tobytes())
    assert digest.hexdigest()[:16] == "3d8a602320c61c09"


@pytest.mark.parametrize("min_similarity", [0.0, -1.0, 1.1, float("nan")])
def test_what_is_no_similarity_is_refused(spark: SparkSession, min_similarity: float) -> None:
    images = frame(spark, [("a", "x", [1.0], True)])
    with pytest.raises(UsageError, match="min_similarity"):
        find_embedding_pairs(images, key=KEY, min_similarity=min_similarity)
