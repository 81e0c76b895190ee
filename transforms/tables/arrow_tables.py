"""Rows that come to Python in Arrow batches: as tables, so many at once, dataset by dataset; and as matrices."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

ArrowBatches = Iterable[pa.RecordBatch]
CHUNK_BYTES = 1 << 24
"""Of a matrix, what goes into one chunk of binary values."""


def gather_tables(batches: ArrowBatches, rows: int) -> Iterator[pa.Table]:
    """The batches of a task, put together to tables of `rows` or little more."""
    pending: list[pa.RecordBatch] = []
    held = 0
    for batch in batches:
        pending.append(batch)
        held += len(batch)
        if held >= rows:
            yield pa.Table.from_batches(pending)
            pending, held = [], 0
    if held:
        yield pa.Table.from_batches(pending)


def whole_datasets(batches: ArrowBatches, *, key: Sequence[str], rows: int) -> Iterator[pa.Table]:
    """Tables of all rows of one or more datasets, of `rows` or little more where no dataset has more.

    The batches are those of a task that has all rows of its datasets, sorted by `key`.
    """
    pending: list[pa.RecordBatch] = []
    held = 0
    for batch in batches:
        if len(batch) == 0:
            continue
        if held >= rows:
            cut = _rows_of(batch, pending[-1], key)  # how far the dataset goes on that the last batch ended with
            if cut < len(batch):
                yield pa.Table.from_batches([*pending, batch.slice(0, cut)])
                pending, held, batch = [], 0, batch.slice(cut)
        pending.append(batch)
        held += len(batch)
    if pending:
        yield pa.Table.from_batches(pending)


def _rows_of(batch: pa.RecordBatch, ends: pa.RecordBatch, key: Sequence[str]) -> int:
    """Rows of `batch` whose dataset is that of the last row of `ends`."""
    same = np.ones(len(batch), bool)
    for name in key:
        same &= pc.equal(batch.column(name), ends.column(name)[len(ends) - 1]).to_numpy(zero_copy_only=False)
    return int(same.sum())


def split_datasets(table: pa.Table, *, key: Sequence[str]) -> Iterator[pa.Table]:
    """The rows of each dataset of a table that is sorted by dataset."""
    for start, end in pairwise([*np.flatnonzero(is_first(table, key=key)).tolist(), len(table)]):
        yield table.slice(start, end - start)


def is_first(table: pa.Table, *, key: Sequence[str]) -> NDArray[np.bool_]:
    """Which rows are the first of their key, bool (n,), in a table sorted by it. Keys are never null."""
    first = np.zeros(len(table), np.bool_)
    first[:1] = True
    for name in key:
        column = table[name].combine_chunks()
        first[1:] |= pc.not_equal(column[1:], column[:-1]).to_numpy(zero_copy_only=False)
    return first


def to_matrix(column: pa.ChunkedArray, dtype: type) -> NDArray[Any]:
    """Binary values, all of one length and none null, as the rows of a matrix of numbers: (n, d)."""
    rows = [_numbers(chunk, dtype) for chunk in column.chunks if len(chunk)]
    return np.concatenate(rows).reshape(len(column), -1) if rows else np.empty((0, 0), dtype)


def _numbers(chunk: pa.BinaryArray, dtype: type) -> NDArray[Any]:
    starts = np.frombuffer(chunk.buffers()[1], np.int32)[chunk.offset : chunk.offset + len(chunk) + 1]
    return np.frombuffer(chunk.buffers()[2], np.uint8)[starts[0] : starts[-1]].view(dtype)


def from_matrix(rows: NDArray[Any], at: NDArray[np.bool_] | None = None) -> pa.ChunkedArray:
    """The rows of a matrix, (n, d), as binary values; with `at`, bool (m,), n of them true, where it is, else null."""
    at = np.ones(len(rows), np.bool_) if at is None else at
    length = rows.shape[1] * rows.itemsize
    filled = np.concatenate([[0], np.cumsum(at)])
    every = max(1, CHUNK_BYTES // max(length, 1))
    chunks = []
    for start in range(0, len(at), every):
        end = min(start + every, len(at))
        here = at[start:end]
        offsets = ((filled[start : end + 1] - filled[start]) * length).astype(np.int32)
        values = np.ascontiguousarray(rows[filled[start] : filled[end]])
        buffers = [pa.array(here).buffers()[1], pa.py_buffer(offsets), pa.py_buffer(values)]
        chunks.append(pa.Array.from_buffers(pa.binary(), len(here), buffers, null_count=int((~here).sum())))
    return pa.chunked_array(chunks, pa.binary())
