"""Groups of rows by dense codes: against plain Python on made-up rows."""

from __future__ import annotations

import doctest

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.tables import grouped
from transforms.tables.grouped import (
    count_distinct,
    first_of_each,
    gather_lists,
    integers,
    number_rows,
    ranks,
    select_as,
    unnest,
)

TEXTS = st.none() | st.sampled_from(["", "a", "b", "é", "ﬀ", "😀"])
ROWS = st.lists(st.tuples(st.integers(0, 3), TEXTS), max_size=12)


def dense(numbers: list[int]) -> np.ndarray:
    """Dense codes."""
    return np.unique(np.array(numbers, np.int64), return_inverse=True)[1].reshape(-1)


@settings(deadline=None)
@given(ROWS)
def test_as_plain_python_has_it(rows: list[tuple[int, str | None]]) -> None:
    codes, texts = dense([code for code, _ in rows]), [text for _, text in rows]
    column = pa.chunked_array([texts[:3], texts[3:]], pa.string())
    places = ranks(column)
    order = sorted({text.encode() for text in texts if text is not None})
    assert places.tolist() == [-1 if text is None else order.index(text.encode()) for text in texts]
    of = {code: [at for at in range(len(rows)) if codes[at] == code] for code in codes.tolist()}
    first = [min(of[code], key=lambda at: (places[at], at)) for code in sorted(of)]
    assert first_of_each(codes, places).tolist() == first
    assert [codes[at] for at in first] == sorted(of)
    numbers = number_rows(codes, places)
    for its in of.values():
        assert [its[n] for n in np.argsort(numbers[its])] == sorted(its, key=lambda at: (places[at], at))
        assert sorted(numbers[its]) == list(range(1, len(its) + 1))
    there = [{texts[at] for at in of[code] if texts[at] is not None} for code in sorted(of)]
    assert count_distinct(codes, places, groups=len(of)).tolist() == [len(each) for each in there]
    lists = gather_lists(codes, column, groups=len(of), most=2)
    assert lists.to_pylist() == [sorted(each, key=str.encode)[:2] or None for each in there]


def test_lists_unnested_and_columns_renamed() -> None:
    rows = pa.table({"name": ["a", "b", "c", "d"], "its": pa.array([["x", "y"], None, [], ["x"]])})
    assert unnest(rows, "its", to="one").to_pylist() == [
        {"name": "a", "one": "x"},
        {"name": "a", "one": "y"},
        {"name": "d", "one": "x"},
    ]
    assert unnest(pa.concat_tables([rows.slice(1), rows.slice(0, 1)]), "its", to="one")["name"].to_pylist() == list(
        "daa"
    )
    assert select_as(rows, ["name"], other="name").column_names == ["name", "other"]
    assert integers(pa.array([3, None]), null=-7).tolist() == [3, -7]


def test_examples() -> None:
    assert doctest.testmod(grouped).failed == 0
