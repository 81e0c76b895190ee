"""Texts of Arrow tables that may be no UTF-8, as files hold them and other engines do not take them."""

from __future__ import annotations

import pyarrow as pa

from transforms.sources.columns import is_text


def clean_texts(rows: pa.Table) -> pa.Table:
    """The rows, each byte that is no UTF-8 replaced by U+FFFD, at any depth."""
    for number, column in enumerate(rows.columns):
        try:
            column.validate(full=True)
        except pa.ArrowInvalid:
            cleaned = pa.chunked_array([_clean(chunk) for chunk in column.chunks], column.type)
            rows = rows.set_column(number, rows.schema.field(number), cleaned)
    return rows


def _clean(array: pa.Array) -> pa.Array:
    kind = array.type
    mask = array.is_null()
    if is_text(kind):
        texts = (b if b is None else b.decode("utf-8", "replace") for b in array.cast(_bytes(kind)).to_pylist())
        return pa.array(texts, kind)
    if pa.types.is_struct(kind):
        parts = [_clean(part) for part in array.flatten()]
        return pa.StructArray.from_arrays(parts, fields=list(kind), mask=mask)
    if pa.types.is_map(kind):
        return pa.MapArray.from_arrays(array.offsets, _clean(array.keys), _clean(array.items), kind, mask=mask)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return type(array).from_arrays(array.offsets, _clean(array.values), kind, mask=mask)
    return array


def _bytes(kind: pa.DataType) -> pa.DataType:
    return pa.large_binary() if pa.types.is_large_string(kind) else pa.binary()
