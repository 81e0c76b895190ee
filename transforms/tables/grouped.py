"""Groups of rows of Arrow tables: the first of each by an order, counts, numbers within, lists unnested and gathered.

A group is told by a dense code (keyed.key_codes): int64 (n,), from 0. Text is ordered by its UTF-8 bytes, as Spark and
Delta order it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from transforms.tables.keyed import Bools, Ints


def ranks(column: pa.ChunkedArray | pa.Array) -> Ints:
    """The place of each value among the distinct ones, from 0; -1 for null, which comes first: int64 (n,).

    >>> import pyarrow as pa
    >>> ranks(pa.array(["b", None, "é", "a", "b"])).tolist()
    [1, -1, 2, 0, 1]
    """
    encoded = pc.dictionary_encode(column)
    encoded = encoded.combine_chunks() if isinstance(encoded, pa.ChunkedArray) else encoded
    order = pc.sort_indices(encoded.dictionary).to_numpy()
    places = np.empty(len(order) + 1, np.int64)
    places[order], places[-1] = np.arange(len(order)), -1  # the index -1 is the last place
    found: Ints = places[pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False)]
    return found


def integers(column: pa.ChunkedArray | pa.Array, *, null: int) -> Ints:
    """Whole numbers or times as int64 (n,), with `null` where there is none."""
    found: Ints = pc.fill_null(pc.cast(column, pa.int64()), null).to_numpy(zero_copy_only=False)
    return found


def holds(column: pa.ChunkedArray | pa.Array) -> Bools:
    """A condition as bool (n,), false where it is null."""
    found: Bools = pc.fill_null(column, False).to_numpy(zero_copy_only=False)
    return found


def is_equal(column: pa.ChunkedArray | pa.Array, value: object) -> Bools:
    """Which values equal `value`: bool (n,)."""
    return holds(pc.equal(column, pa.scalar(value, column.type)))


def first_of_each(codes: Ints, *order: NDArray) -> Ints:
    """The position of the first row of each code that occurs, by `order`, its first array first. By code, ascending."""
    rows = np.lexsort([*reversed(order), codes])
    return rows[starts_of(codes[rows])]


def starts_of(ordered: Ints) -> Bools:
    """Which of ordered codes differ from the one before: bool (n,)."""
    starts = np.ones(len(ordered), np.bool_)
    starts[1:] = ordered[1:] != ordered[:-1]
    return starts


def number_rows(codes: Ints, *order: NDArray) -> Ints:
    """The number of each row within its code, from 1, by `order`: int64 (n,)."""
    rows = np.lexsort([*reversed(order), codes])
    starts = np.flatnonzero(starts_of(codes[rows]))
    numbers = np.empty(len(codes), np.int64)
    counts = np.diff(np.append(starts, len(codes)))
    numbers[rows] = np.arange(len(codes)) - np.repeat(starts, counts) + 1
    return numbers


def count_distinct(codes: Ints, values: Ints, *, groups: int) -> Ints:
    """How many different values each of `groups` codes has; those below 0 count as none: int64 (groups,)."""
    there = values >= 0
    pairs = np.unique(codes[there] * (values.max(initial=0) + 1) + values[there])
    return np.bincount(pairs // (values.max(initial=0) + 1), minlength=groups)


def unnest(rows: pa.Table, column: str, *, to: str) -> pa.Table:
    """A row per value of the lists in `column`, as `to`; none where there is no list, or an empty one."""
    lists = rows[column].combine_chunks()
    lists = pa.concat_arrays(lists.chunks) if isinstance(lists, pa.ChunkedArray) else lists
    others = rows.drop_columns([column]).take(pc.list_parent_indices(lists))
    return others.append_column(to, pc.list_flatten(lists))


def gather_lists(codes: Ints, values: pa.ChunkedArray | pa.Array, *, groups: int, most: int | None = None) -> pa.Array:
    """Per code the distinct values in order, up to `most`, null where there are none: lists (groups,)."""
    of = ranks(values)
    rows = np.lexsort([of, codes])
    is_new = starts_of(codes[rows]) | starts_of(of[rows])
    rows = rows[is_new & (of[rows] >= 0)]
    if most is not None and len(rows):
        rows = rows[number_rows(codes[rows], np.arange(len(rows))) <= most]
    counts = np.bincount(codes[rows], minlength=groups)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    flat = pc.take(values, pa.array(rows))
    flat = flat.combine_chunks() if isinstance(flat, pa.ChunkedArray) else flat
    return pa.ListArray.from_arrays(pa.array(offsets), flat, mask=pa.array(counts == 0))


def select_as(rows: pa.Table, names: Sequence[str], **renamed: str) -> pa.Table:
    """Columns of the rows, and more under other names: new name = old name."""
    found = rows.select([*names, *renamed.values()])
    return found.rename_columns([*names, *renamed])
