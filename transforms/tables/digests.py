"""Ids and digests of rows of Arrow tables, as every engine must compute them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from schemas.lake import bucket_of
from transforms.tables.keyed import first_rows, key_codes, with_columns

_DATASET = ("project_name", "dataset_name")
_PRIME_1, _PRIME_2, _PRIME_3, _PRIME_5 = (
    np.uint64(prime) for prime in (0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x27D4EB2F165667C5)
)
_SEED = 42
"""That of Spark's xxhash64."""


def sha256_of(rows: pa.Table, columns: Sequence[str]) -> pa.Array:
    """SHA-256 of the texts and whole numbers of some columns, joined by line feeds, without nulls: 64 hex digits (n,).

    A million take 1.5 s, of which DuckDB's sha256 needs as much.

    >>> import pyarrow as pa
    >>> rows = pa.table({"project_name": ["demo"], "dataset_name": ["ada"], "figure_id": ["f1"]})
    >>> sha256_of(rows, rows.column_names)[0].as_py()[:8]
    '28cdc018'
    """
    parts = [rows[name].cast(pa.string()).cast(pa.binary()) for name in columns]  # bytes: rows may be no valid UTF-8
    joined = pc.binary_join_element_wise(*parts, pa.scalar(b"\n"), null_handling="skip")
    return pa.array([hashlib.sha256(text).hexdigest() for text in joined.to_pylist()], pa.string())


def with_bucket(rows: pa.Table, buckets: int) -> pa.Table:
    """The rows with their `bucket` (schemas.lake.bucket_of)."""
    (codes,) = key_codes(rows, key=_DATASET)
    projects, datasets = (rows[name].take(pa.array(first_rows(codes))).to_pylist() for name in _DATASET)
    numbers = [bucket_of(project, dataset, buckets) for project, dataset in zip(projects, datasets, strict=True)]
    return with_columns(rows, {"bucket": pa.array(numbers, pa.int32()).take(pa.array(codes))})


def xxhash64(lists: pa.ChunkedArray) -> NDArray[np.uint64]:
    """The 64-bit xxHash of lists of 32-bit floats, as Spark's xxhash64 has it: (n,). No value in a list is null.

    Source: XXH64 by Yann Collet (doc/xxhash_spec.md of xxHash), of four bytes; each value's hash seeds the next one's.

    >>> import pyarrow as pa
    >>> f"{xxhash64(pa.chunked_array([[[0.5]]], pa.list_(pa.float32())))[0]:x}"
    '17ad2af110d8d75a'
    """
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy().astype(np.int64)
    values = pc.list_flatten(lists).to_numpy() + np.float32(0)  # Spark takes -0 for 0
    bits = np.where(np.isnan(values), np.float32(np.nan), values).view(np.uint32).astype(np.uint64)
    longest_first = np.argsort(-lengths, kind="stable")
    begins = (np.cumsum(lengths) - lengths)[longest_first]
    have = len(lengths) - np.searchsorted(np.sort(lengths), np.arange(lengths.max(initial=0)), "right")
    hashes = np.full(len(lengths), _SEED, np.uint64)
    for place, count in enumerate(have):  # of each list, as many as have one, the next value
        hashes[:count] = _mix(hashes[:count], bits[begins[:count] + place])
    found = np.empty_like(hashes)
    found[longest_first] = hashes
    return found


def _mix(seeds: NDArray[np.uint64], bits: NDArray[np.uint64]) -> NDArray[np.uint64]:
    hashes = (seeds + _PRIME_5 + np.uint64(4)) ^ (bits * _PRIME_1)
    hashes = ((hashes << np.uint64(23)) | (hashes >> np.uint64(41))) * _PRIME_2 + _PRIME_3
    hashes = (hashes ^ (hashes >> np.uint64(33))) * _PRIME_2
    hashes = (hashes ^ (hashes >> np.uint64(29))) * _PRIME_3
    mixed: NDArray[np.uint64] = hashes ^ (hashes >> np.uint64(32))
    return mixed
