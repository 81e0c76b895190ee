"""Pairs of embeddings whose cosine similarity is high: sketches compared in full, what is near verified exactly.

An embedding's sketch is on which side of each of 512 fixed random hyperplanes it lies. Two sketches differ in a share
angle / pi of their bits on average (Charikar: "Similarity Estimation Techniques from Rounding Algorithms", 2002), so a
pair at the similarity sought or above differs in few: how few is the binomial quantile that all but MISSED of them
keep to. The hyperplanes are the rows of fast pseudo-random rotations, three rounds of sign flips and Hadamard
transforms (Andoni et al.: "Practical and Optimal LSH for Angular Distance", 2015), whose additions come in one order.

So whether a pair is found is about its two embeddings alone: the same pairs come of any split over runs, any order of
rows and any number of tasks. And as sketches aren't buckets, embeddings that all lie in a narrow cone, as those of
real models do, or that are all alike, fill no bucket: time is that of comparing all with all by XOR and population
count, some thousand pairs a microsecond and core, and of verifying what is near.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from math import acos, pi
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.special import bdtr

from transforms.similar_images.hamming import popcount
from transforms.tables.grouped import holds
from transforms.tables.keyed import key_codes, with_columns
from transforms.tables.machine import kernel

Words = NDArray[np.uint64]
Floats = NDArray[np.float32]

SKETCH_BITS = 512
SCANNED_BITS = 256
"""The first bits of a sketch, compared with all; the others only where these are near."""
MISSED = 1e-4
"""Share of the pairs exactly at the similarity sought that either comparison of bits may miss; above it, far fewer."""

_SEED = 20150831
_CHUNK_ROWS = 8192
_TILE = 512
_BUFFER = 1 << 17
_WORDS = SKETCH_BITS // 64
CELL = ("_dimension", "_first", "_second")
"""Beside the key of the dataset: which embeddings are compared with which."""
_PAIR = (("fingerprint", pa.string()), ("other_fingerprint", pa.string()), ("similarity", pa.float64()))


@dataclass(frozen=True)
class Chunk:
    """Up to _CHUNK_ROWS embeddings of a cell: what is compared at a time."""

    fingerprints: pa.StringArray
    vectors: Floats
    """float32 (n, d), as they came in."""
    norms: NDArray[np.float64]
    """float64 (n,)."""
    sketches: Words
    """uint64 (n, 8)."""


@dataclass(frozen=True)
class Limits:
    """What is similar: at most `scanned` of the first SCANNED_BITS differ, `bits` of all; and the least cosine."""

    scanned: int
    bits: int
    min_similarity: float


def limits_for(min_similarity: float) -> Limits:
    """The least numbers of bits that all but MISSED of the pairs at min_similarity keep to.

    >>> limits_for(0.9)
    Limits(scanned=59, bits=104, min_similarity=0.9)
    """
    differs = acos(min_similarity) / pi
    scanned, bits = (
        int(np.searchsorted(bdtr(np.arange(count + 1.0), count, differs), 1 - MISSED))
        for count in (SCANNED_BITS, SKETCH_BITS)
    )
    return Limits(scanned, bits, min_similarity)


def find_pairs(images: pa.Table, *, key: Sequence[str], min_similarity: float) -> pa.Table:
    """The pairs of embeddings of one dataset and dimension that are similar, one of them new at least.

    `images` has `key`, `fingerprint` (unique in its dataset), `embedding` (lists of float, finite; null or empty: no
    pairs) and `is_new`. Result: `key`, fingerprint < other_fingerprint, similarity, as embedding_pairs has it.

    Time: 0.3 to 1.3 ns for a pair compared. Memory: a dataset's new embeddings, and 200 bytes each.
    """
    lengths = pc.fill_null(pc.list_value_length(images["embedding"]), 0)
    vectors = images.append_column("_dimension", lengths).filter(pc.greater(lengths, 0))
    (cells,) = key_codes(vectors, key=(*key, "_dimension"))
    is_new = holds(vectors["is_new"])
    has_new = np.bincount(cells[is_new], minlength=cells.max(initial=-1) + 1) > 0
    zero = pa.repeat(pa.scalar(0, pa.int32()), len(vectors))
    own = {"_first": zero, "_second": zero, "_order": pa.array(cells << 1 | ~is_new)}
    vectors = with_columns(vectors, own).filter(pa.array(has_new[cells])).sort_by("_order")
    fields = [*(images.schema.field(name) for name in key), *_PAIR]
    found = compare_cells(vectors.to_batches(), key=key, min_similarity=min_similarity)
    return pa.concat_tables([pa.schema(fields).empty_table(), *_as_tables(found, pa.schema(fields))])


def _as_tables(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.Table]:
    for batch in batches:
        yield pa.Table.from_batches([batch]).cast(schema)


def compare_cells(
    batches: Iterable[pa.RecordBatch], *, key: Sequence[str], min_similarity: float
) -> Iterator[pa.RecordBatch]:
    """The Arrow kernel of `find_pairs`: embeddings by cell in the order of `_order` in, pairs out.

    Memory: what a cell keeps, a batch, and up to _BUFFER pairs at a time.
    """
    limits = limits_for(min_similarity)
    ordered_by, cells = None, dict[tuple[Any, ...], list[Chunk]]()
    found: list[pa.RecordBatch] = []
    pairs = 0
    for batch in batches:
        for start, stop in _runs(batch, (*key, *CELL, "_order")):
            group = tuple(batch.column(name)[start].as_py() for name in (*key, *CELL))
            order = batch.column("_order")[start].as_py()
            if order >> 1 != ordered_by:  # two cells may have one number by chance: then both are kept
                ordered_by, cells = order >> 1, {}
            kept = cells.setdefault(group, [])
            chunk = _to_chunk(batch.slice(start, stop - start))
            with_themselves, passes = group[-1] == group[-2], bool(order & 1)
            others = kept if with_themselves or passes else []
            if not passes:
                kept.append(chunk)  # before it is compared: with itself too, if those that are kept are
            for other in others:
                for left, right, similarity in compare_chunks(other, chunk, limits=limits):
                    dataset = dict(zip(key, group, strict=False))
                    found.append(_name_pairs(other, chunk, left, right, similarity, dataset))
                    pairs += len(left)
                    if pairs >= _BUFFER // 2:
                        yield _put_together(found)
                        found, pairs = [], 0
    if found:
        yield _put_together(found)


def compare_chunks(
    kept: Chunk, chunk: Chunk, *, limits: Limits
) -> Iterator[tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float64]]]:
    """The similar pairs of two chunks of one dimension, or of one with itself: rows of either, and their cosines.

    Three arrays (up to _BUFFER,) at a time. Time: n m times 0.3 ns, and 0.2 us times what the sketches let through.
    """
    left, right = np.empty((2, _BUFFER), np.int32)
    similarity = np.empty(_BUFFER)
    planes = np.ascontiguousarray(chunk.sketches.T)
    start, same = 0, kept is chunk
    while start >= 0:
        found, start = find_near(
            *(kept.sketches, kept.vectors, kept.norms),
            *(planes, chunk.vectors, chunk.norms),
            *(same, limits.scanned, limits.bits, limits.min_similarity),
            *(start, left, right, similarity),
        )
        if found:
            yield left[:found].copy(), right[:found].copy(), similarity[:found].copy()


def make_chunk(fingerprints: pa.StringArray, vectors: Floats) -> Chunk:
    """A chunk of `fingerprints` (n,) and float32 `vectors` (n, d)."""
    norms, sketches = np.empty(len(vectors)), np.zeros((len(vectors), _WORDS), np.uint64)
    sketch_vectors(vectors, _signs(vectors.shape[1]), norms, sketches)
    return Chunk(fingerprints, vectors, norms, sketches)


@lru_cache(maxsize=16)
def _signs(dimension: int) -> Floats:
    """The signs of each rotation's three rounds: float32 (rotations, 3, width), 1 or -1.

    A rotation of width w, the power of two that holds the dimension, gives w hyperplanes.
    """
    width = max(64, 1 << (dimension - 1).bit_length())
    shape = max(SKETCH_BITS // width, 1), 3, width
    # NumPy promises the raw stream of a bit generator for good; not so what its distributions make of it.
    raw = np.random.PCG64(_SEED).random_raw(shape)
    return np.where(raw >> np.uint64(63), np.float32(1), np.float32(-1))


def _runs(batch: pa.RecordBatch, names: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Start and stop of the consecutive rows that have the same in all columns named; long ones in pieces."""
    starts = np.zeros(batch.num_rows, bool)
    starts[::_CHUNK_ROWS] = True
    for name in names if batch.num_rows else ():
        column = batch.column(name)
        starts[1:] |= pc.not_equal(column.slice(1), column.slice(0, len(column) - 1)).to_numpy(zero_copy_only=False)
    bounds = [*np.flatnonzero(starts).tolist(), batch.num_rows]
    return pairwise(bounds)


def _to_chunk(rows: pa.RecordBatch) -> Chunk:
    vectors = rows.column("embedding").flatten().to_numpy().reshape(rows.num_rows, -1)
    return make_chunk(rows.column("fingerprint"), vectors)


def _name_pairs(
    kept: Chunk,
    chunk: Chunk,
    left: NDArray[np.int32],
    right: NDArray[np.int32],
    similarity: NDArray[np.float64],
    key: dict[str, Any],
) -> pa.RecordBatch:
    one, other = kept.fingerprints.take(pa.array(left)), chunk.fingerprints.take(pa.array(right))
    in_order = pc.less(one, other)
    columns = {
        **{name: pa.repeat(_scalar(value), len(left)) for name, value in key.items()},
        "fingerprint": pc.if_else(in_order, one, other),
        "other_fingerprint": pc.if_else(in_order, other, one),
        "similarity": pa.array(similarity),
    }
    return pa.RecordBatch.from_pydict(columns)


def _scalar(value: Any) -> pa.Scalar:
    return pa.scalar(value, pa.int32() if isinstance(value, int) else pa.string())


def _put_together(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    return pa.Table.from_batches(batches).combine_chunks().to_batches()[0]


@kernel
def sketch_vectors(vectors, signs, norms, sketches):  # type: ignore[no-untyped-def]
    """Writes each vector's length and sketch.

    vectors: float32 (n, d). signs: as `_signs` makes them. norms: float64 (n,). sketches: uint64 (n, 8), zeros. A
    bit is set where the vector lies on the positive side. Time: some microseconds a vector, as d log d.
    """
    count, dimension = vectors.shape
    rotations, rounds, width = signs.shape
    work = np.empty(width, np.float32)
    for row in range(count):
        squares = 0.0
        for k in range(dimension):
            squares += np.float64(vectors[row, k]) * np.float64(vectors[row, k])
        norms[row] = norm = np.sqrt(squares)
        if norm == 0:
            continue
        for rotation in range(rotations):
            for k in range(dimension):
                work[k] = vectors[row, k] / norm
            work[dimension:] = 0
            for turn in range(rounds):
                for k in range(width):
                    work[k] *= signs[rotation, turn, k]
                half = 1
                while half < width:
                    for first in range(0, width, 2 * half):
                        for k in range(first, first + half):
                            work[k], work[k + half] = work[k] + work[k + half], work[k] - work[k + half]
                    half *= 2
            for k in range(min(width, SKETCH_BITS)):
                bit = rotation * width + k
                sketches[row, bit // 64] |= np.uint64(work[k] > 0) << np.uint64(bit % 64)


@kernel(fastmath={"reassoc", "nsz", "contract"})
def dot(x, y):  # type: ignore[no-untyped-def]
    """Inner product of two float32 vectors (d,), in float64; in one order whatever the vectors' addresses."""
    total = 0.0
    for k in range(x.shape[0]):
        total += np.float64(x[k]) * np.float64(y[k])
    return total


@kernel
def find_near(  # type: ignore[no-untyped-def]
    kept_sketches,
    kept_vectors,
    kept_norms,
    planes,
    vectors,
    norms,
    same,
    scanned,
    bits,
    min_similarity,
    start,
    left,
    right,
    similarity,
):
    """Writes similar pairs to left, right and similarity; how many, and where to go on when these were full, else -1.

    kept_sketches: uint64 (n, 8). planes: uint64 (8, m), the others' by words, so that one instruction compares
    a word of several. kept_vectors, vectors: float32 (n, d), (m, d); kept_norms, norms: float64. If `same`, both are
    the same and a pair comes once. left, right: int32, and similarity: float64, hold _TILE at least.
    """
    count, others = len(kept_sketches), planes.shape[1]
    is_near = np.zeros(_TILE, np.uint8)
    eights = is_near.view(np.uint64)
    found = 0
    while start < count * ((others + _TILE - 1) // _TILE):
        # A tile of sketches stays in the nearest cache while all that are kept go by.
        begin = start // count * _TILE
        end = min(begin + _TILE, others)
        p0, p1, p2, p3 = planes[0, begin:end], planes[1, begin:end], planes[2, begin:end], planes[3, begin:end]
        p4, p5, p6, p7 = planes[4, begin:end], planes[5, begin:end], planes[6, begin:end], planes[7, begin:end]
        is_near[:] = 0
        for row in range(start % count, count):
            if found + _TILE > len(left):
                return found, start
            start += 1
            if kept_norms[row] == 0 or (same and end <= row + 1):
                continue
            sketch = kept_sketches[row]
            s0, s1, s2, s3 = sketch[0], sketch[1], sketch[2], sketch[3]
            any_near = 0
            for k in range(end - begin):
                apart = popcount(s0 ^ p0[k]) + popcount(s1 ^ p1[k]) + popcount(s2 ^ p2[k]) + popcount(s3 ^ p3[k])
                any_near += apart <= np.uint64(scanned)
            if any_near == 0:
                continue
            s4, s5, s6, s7 = sketch[4], sketch[5], sketch[6], sketch[7]
            for k in range(end - begin):
                apart = popcount(s0 ^ p0[k]) + popcount(s1 ^ p1[k]) + popcount(s2 ^ p2[k]) + popcount(s3 ^ p3[k])
                more = popcount(s4 ^ p4[k]) + popcount(s5 ^ p5[k]) + popcount(s6 ^ p6[k]) + popcount(s7 ^ p7[k])
                is_near[k] = (apart <= np.uint64(scanned)) & (apart + more <= np.uint64(bits))
            for eight in range(_TILE // 8):
                if eights[eight] == 0:
                    continue
                for k in range(8 * eight, 8 * eight + 8):
                    other = begin + k
                    if is_near[k] == 0 or norms[other] == 0 or (same and other <= row):
                        continue
                    cosine = dot(kept_vectors[row], vectors[other]) / (kept_norms[row] * norms[other])
                    if cosine >= min_similarity:
                        left[found], right[found], similarity[found] = row, other, min(cosine, 1.0)
                        found += 1
    return found, -1
