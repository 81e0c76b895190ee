"""Rows of Arrow tables by key: which keys are equal, look-ups, joins, and what differs between two tables.

Everything works on whole columns. Joins go by row numbers, so that tables may have structs, lists and maps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from transforms.tables.actions import ACTION, BEFORE

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

MOST_CODES = 1 << 62
"""Numbers of several columns are put together, as digits are, while they stay below."""


def key_codes(*tables: pa.Table, key: Sequence[str]) -> list[Ints]:
    """A number per row and table, int64 (n,): rows of any of the tables have the same if their keys are equal.

    Numbers are dense, from 0, in the order in which keys first appear. A null equals a null.
    """
    codes, span = np.zeros(sum(len(table) for table in tables), np.int64), 1
    telling = 0  # columns so far that have more than one value
    for name in key:
        column = pa.chunked_array([chunk for table in tables for chunk in table[name].chunks], tables[0][name].type)
        values, distinct = _encode(column)
        if distinct < 2:
            continue
        if span * distinct >= MOST_CODES:
            codes, span = _encode(pa.array(codes))
        codes, span, telling = codes * distinct + values, span * distinct, telling + 1
    if telling > 1:
        codes, _ = _encode(pa.array(codes))
    ends = np.cumsum([len(table) for table in tables])[:-1]
    return np.split(codes, ends)


def _encode(column: pa.ChunkedArray | pa.Array) -> tuple[Ints, int]:
    whole = column
    if isinstance(column, pa.ChunkedArray):
        whole = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    if isinstance(whole, pa.ChunkedArray):  # more than one chunk where 32-bit offsets do not reach
        whole = pa.concat_arrays(whole.cast(pa.large_string()).chunks)
    encoded = pc.dictionary_encode(whole, null_encoding="encode")
    return encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64), len(encoded.dictionary)


def look_up(codes: Ints, among: Ints) -> Ints:
    """Per code the position of its last occurrence in `among`, else -1: int64 (n,). Codes are those of key_codes."""
    positions = np.full(max(codes.max(initial=-1), among.max(initial=-1)) + 1, -1, np.int64)
    positions[among] = np.arange(len(among))
    return positions[codes]


def is_among(rows: pa.Table, keys: pa.Table, *, on: Sequence[str]) -> Bools:
    """Which rows have a key that is among `keys`: bool (n,)."""
    if not len(rows) or not len(keys):
        return np.zeros(len(rows), np.bool_)
    codes, among = key_codes(rows, keys, key=on)
    return look_up(codes, among) >= 0


def semi_join(rows: pa.Table, keys: pa.Table, *, on: Sequence[str]) -> pa.Table:
    """The rows whose columns `on` are among `keys`."""
    return keep_rows(rows, is_among(rows, keys, on=on))


def anti_join(rows: pa.Table, keys: pa.Table, *, on: Sequence[str]) -> pa.Table:
    """The rows whose columns `on` are not among `keys`."""
    return keep_rows(rows, ~is_among(rows, keys, on=on))


def keep_rows(rows: pa.Table, which: Bools) -> pa.Table:
    """The rows where `which`, bool (n,), is true: of wide rows in half of the time that their filter takes."""
    return take_rows(rows, np.flatnonzero(which))


def take_rows(rows: pa.Table, positions: Ints) -> pa.Table:
    """The rows at some positions; no copy, where these are all rows in their order."""
    if len(positions) == len(rows) and np.array_equal(positions, np.arange(len(rows))):
        return rows
    return rows.take(pa.array(positions))


def left_join(rows: pa.Table, others: pa.Table, *, on: Sequence[str], columns: Sequence[str]) -> pa.Table:
    """The rows with `columns` of `others`, which has each key once; null where it has none."""
    codes, among = key_codes(rows, others, key=on)
    found = others.select(list(columns)).take(indices_or_null(look_up(codes, among)))
    for name in columns:
        rows = rows.append_column(found.schema.field(name), found[name])
    return rows


def inner_join(rows: pa.Table, others: pa.Table, *, on: Sequence[str], columns: Sequence[str]) -> pa.Table:
    """The rows whose key `others` has, with its `columns`: a row for each row of `others` of that key."""
    left, right = np.zeros((2, 0), np.int64)
    if len(rows) and len(others):
        left, right = pair_rows(*key_codes(rows, others, key=on))
    rows = rows.take(pa.array(left))
    found = others.select(list(columns)).take(pa.array(right))
    for name in columns:
        rows = rows.append_column(found.schema.field(name), found[name])
    return rows


def pair_rows(codes: Ints, others: Ints) -> tuple[Ints, Ints]:
    """The pairs of rows (positions) of two tables whose codes are equal."""
    order = np.argsort(others, kind="stable")
    begins = np.searchsorted(others[order], codes, "left")
    counts = np.searchsorted(others[order], codes, "right") - begins
    left = np.repeat(np.arange(len(codes)), counts)
    within = np.arange(len(left)) - np.repeat(np.cumsum(counts) - counts, counts)
    return left, order[np.repeat(begins, counts) + within]


def indices_or_null(positions: Ints) -> pa.Array:
    """Positions for `take`, null where they are negative."""
    return pa.array(positions, mask=positions < 0)


def union_by_name(*tables: pa.Table) -> pa.Table:
    """The rows of all tables, by the names of the first one's columns, which all have."""
    return pa.concat_tables([table.select(tables[0].column_names).cast(tables[0].schema) for table in tables])


def distinct(rows: pa.Table, *, key: Sequence[str]) -> pa.Table:
    """The first row of each key."""
    (codes,) = key_codes(rows, key=key)
    return rows.take(pa.array(first_rows(codes)))


def first_rows(codes: Ints) -> Ints:
    """The positions of the first row of each code, by code, where codes are dense: int64 (k,)."""
    first = np.zeros(codes.max(initial=-1) + 1, np.int64)
    first[codes[::-1]] = np.arange(len(codes))[::-1]
    return first


def last_rows(codes: Ints) -> Ints:
    """The positions of the last row of each code, by code, where codes are dense: int64 (k,)."""
    last = np.zeros(codes.max(initial=-1) + 1, np.int64)
    last[codes] = np.arange(len(codes))
    return last


def latest_rows(feed: pa.Table, *, key: Sequence[str]) -> pa.Table:
    """The rows that a change feed tells of, as its last commit left them; without those it deleted."""
    after = feed.filter(pc.not_equal(feed["_change_type"], "update_preimage"))
    after = after.take(pc.sort_indices(after, [("_commit_version", "ascending")]))
    (codes,) = key_codes(after, key=key)
    last = after.take(pa.array(last_rows(codes)))
    return last.filter(pc.not_equal(last["_change_type"], "delete"))


def same_values(one: pa.ChunkedArray | pa.Array, other: pa.ChunkedArray | pa.Array) -> Bools:
    """Where two columns of one type and length are equal, a null to a null: bool (n,). Maps are equal in any order."""
    one, other = (_whole(column) for column in (one, other))
    there, other_there = (column.is_valid().to_numpy(zero_copy_only=False) for column in (one, other))
    same: Bools = there == other_there
    both = np.flatnonzero(there & other_there)
    if len(both) == len(same):
        return _same(one, other)
    if len(both):
        at = pa.array(both)
        same[both] = _same(one.take(at), other.take(at))
    return same


def _whole(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    if not isinstance(column, pa.ChunkedArray):
        return column
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def _same(one: pa.Array, other: pa.Array) -> Bools:
    """The same of columns without nulls."""
    kind = one.type
    if pa.types.is_struct(kind):
        same = np.ones(len(one), np.bool_)
        for number in range(kind.num_fields):
            same &= same_values(pc.struct_field(one, [number]), pc.struct_field(other, [number]))
        return same
    if pa.types.is_map(kind):
        return np.array([dict(a) == dict(b) for a, b in zip(one.to_pylist(), other.to_pylist(), strict=True)], np.bool_)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return _same_lists(one, other)
    equal: Bools = pc.equal(one, other).to_numpy(zero_copy_only=False)
    if pa.types.is_floating(kind):
        equal = equal | (
            pc.is_nan(one).to_numpy(zero_copy_only=False) & pc.is_nan(other).to_numpy(zero_copy_only=False)
        )
    return equal


def _same_lists(one: pa.Array, other: pa.Array) -> Bools:
    lengths, other_lengths = (pc.list_value_length(column).to_numpy(zero_copy_only=False) for column in (one, other))
    same: Bools = lengths == other_lengths
    at = np.flatnonzero(same & (lengths > 0))
    if len(at):
        elements = same_values(one.take(pa.array(at)).flatten(), other.take(pa.array(at)).flatten())
        same[at] = np.logical_and.reduceat(elements, np.cumsum(lengths[at]) - lengths[at])
    return same


def diff_rows(
    wanted: pa.Table,
    *,
    current: pa.Table,
    key: Sequence[str],
    compare: Sequence[str],
    keep: Sequence[str] = (),
    absent: Literal["delete", "leave"] = "delete",
) -> pa.Table:
    """One row per key that must change, with `_action`: insert, update or delete; as changes.diff_rows of frames.

    Rows whose `compare` columns are equal, null-safe, are left out. An update keeps the old values of the columns
    `keep`. A key that only `current` has is deleted, or left alone, as `absent` says; a delete carries the old row.
    The columns are those of `wanted`.
    """
    current = current.select(wanted.column_names).cast(wanted.schema)
    new, old = key_codes(wanted, current, key=key)
    before = look_up(new, old)
    inserted, there = np.flatnonzero(before < 0), np.flatnonzero(before >= 0)
    now, was = take_rows(wanted.select(compare), there), take_rows(current.select(compare), before[there])
    differs = np.zeros(len(there), np.bool_)
    for name in compare:
        differs |= ~same_values(now[name], was[name])
    now, was = wanted.take(pa.array(there[differs])), current.take(pa.array(before[there[differs]]))
    for name in keep:
        now = now.set_column(now.column_names.index(name), now.schema.field(name), was[name])
    parts = [(wanted.take(pa.array(inserted)), "insert"), (now, "update")]
    if absent == "delete":
        parts.append((current.filter(pa.array(look_up(old, new) < 0)), "delete"))
    return pa.concat_tables([with_action(rows, action) for rows, action in parts])


def rows_before(changes: pa.Table) -> pa.Table:
    """The rows of a change feed that tell what there was before it, and maybe what its own first change inserted."""
    return changes.filter(pc.is_in(changes["_change_type"], value_set=pa.array(BEFORE)))


def first_before(changes: pa.Table, *, key: Sequence[str]) -> pa.Table:
    """The rows as they were before a change feed, of those that it tells of; without those it inserted first."""
    (codes,) = key_codes(changes, key=key)
    is_before = pc.is_in(changes["_change_type"], value_set=pa.array(BEFORE)).to_numpy(zero_copy_only=False)
    first_last = np.lexsort((is_before, -changes["_commit_version"].to_numpy()))
    first = first_last[look_up(np.arange(codes.max(initial=-1) + 1), codes[first_last])]
    return changes.take(pa.array(first[is_before[first]]))


def with_action(rows: pa.Table, action: str) -> pa.Table:
    """The rows with `_action`."""
    return with_columns(rows, {ACTION: pa.scalar(action)})


def with_columns(rows: pa.Table, columns: dict[str, Any]) -> pa.Table:
    """The rows with more columns, or others in their place: arrays, or scalars for all rows."""
    for name, values in columns.items():
        column = pa.repeat(values, len(rows)) if isinstance(values, pa.Scalar) else values
        at = rows.schema.get_field_index(name)
        rows = rows.append_column(name, column) if at < 0 else rows.set_column(at, name, column)
    return rows
