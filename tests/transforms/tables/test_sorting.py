"""Tests of transforms/tables/sorting.py and columns.py: orders of rows, and columns as arrays."""

from __future__ import annotations

import itertools
from datetime import date

import numpy as np
import pyarrow as pa
import pytest

from transforms.tables.columns import column_of, ints, texts
from transforms.tables.sorting import order_of


@pytest.mark.parametrize("span", [3, 40, 10_000])
def test_rows_are_in_the_order_of_their_codes_and_equal_ones_as_they_were(span: int) -> None:
    chance = np.random.default_rng(span)
    first, second = chance.integers(0, span, 500), chance.integers(0, 7, 500)
    assert order_of(first, second).tolist() == np.lexsort((second, first)).tolist()
    assert order_of(first[:0]).tolist() == []


def test_columns_are_read_whole_from_several_chunks_slices_and_structs() -> None:
    kind = pa.struct([("day", pa.date32()), ("uri", pa.string())])
    made = [{"day": date(1970, 1, n + 1), "uri": uri} for n, uri in enumerate(["a", "é", "", "😀b", "c"])]
    whole = pa.array(made, kind)
    rows = pa.table({"cover": pa.chunked_array([whole[1:3], whole[3:3], whole[3:]], kind)})
    assert ints(rows, "cover.day").tolist() == [1, 2, 3, 4]
    offsets, octets = texts(rows, "cover.uri")
    read = [octets[a:b].tobytes().decode() for a, b in itertools.pairwise(offsets)]
    assert read == ["é", "", "😀b", "c"]
    assert column_of(rows.slice(0, 0), "cover.uri").to_pylist() == []
    assert (
        texts(rows.slice(1, 1), "cover.uri").offsets.tolist() == [texts(rows.slice(1, 1), "cover.uri").offsets[0]] * 2
    )


def test_a_null_number_is_what_stands_for_it() -> None:
    rows = pa.table({"n": pa.array([1, None, 3])})
    assert ints(rows, "n", null=-1).tolist() == [1, -1, 3]
