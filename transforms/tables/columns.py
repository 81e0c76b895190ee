"""Columns of Arrow tables as NumPy arrays, as kernels read them, and structs made of such arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Ints = NDArray[np.int64]


class Texts(NamedTuple):
    """Texts, none null: of number i the UTF-8 octets from offsets[i] to offsets[i + 1]. int64 (n + 1,), uint8."""

    offsets: Ints
    octets: NDArray[np.uint8]


def column_of(rows: pa.Table, name: str) -> pa.Array:
    """A column in one piece; `first.time` is the field `time` of the structs in `first`."""
    name, _, field = name.partition(".")
    column = rows[name]
    if field:
        column = column.flatten()[column.type.get_field_index(field)]
    if pa.types.is_string(column.type):  # whose 32-bit offsets may not reach over all chunks
        column = column.cast(pa.large_string())
    if column.num_chunks == 1:
        return column.chunk(0)
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def ints(rows: pa.Table, name: str, *, null: int = 0) -> Ints:
    """A column of whole numbers, days or instants (in microseconds): int64 (n,). `null` stands for a null."""
    column = column_of(rows, name)
    if pa.types.is_date32(column.type):
        column = column.cast(pa.int32())
    column = column.cast(pa.int64())
    if column.null_count:
        column = pc.fill_null(column, null)
    values: Ints = column.to_numpy(zero_copy_only=False)
    return values


def bools(rows: pa.Table, name: str) -> NDArray[np.bool_]:
    """A column of truth values, none null: bool (n,)."""
    values: NDArray[np.bool_] = column_of(rows, name).to_numpy(zero_copy_only=False)
    return values


def texts(rows: pa.Table, name: str) -> Texts:
    """A column of texts, none null."""
    column = column_of(rows, name)
    _, offsets, octets = column.buffers()
    if not len(column):
        return Texts(np.zeros(1, np.int64), np.zeros(0, np.uint8))
    starts = np.frombuffer(offsets, np.int64)[column.offset : column.offset + len(column) + 1]
    return Texts(starts, np.frombuffer(octets, np.uint8) if octets else np.zeros(0, np.uint8))


def days_of(values: Ints) -> pa.Array:
    """Days since 1970-01-01 as dates."""
    return pa.array(values.astype(np.int32)).cast(pa.date32())


def struct_of(kind: pa.StructType, fields: Mapping[str, Ints | pa.Array]) -> pa.Array:
    """Structs of a type, none null, of arrays of their fields."""
    arrays = [pa.array(fields[field.name]).cast(field.type) for field in kind]
    return pa.StructArray.from_arrays(arrays, fields=list(kind))
