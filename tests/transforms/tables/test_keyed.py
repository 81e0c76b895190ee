"""Rows of Arrow tables by key: against plain Python on made-up rows, and against the same on Spark frames."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import examples
from transforms.tables.actions import ACTION
from transforms.tables.keyed import (
    anti_join,
    diff_rows,
    distinct,
    inner_join,
    key_codes,
    left_join,
    same_values,
    semi_join,
)

KEY = ("dataset", "uri")
SCHEMA = pa.schema(
    [
        ("dataset", pa.string()),
        ("uri", pa.int64()),
        ("size", pa.int32()),
        ("cover", pa.struct([("rank", pa.float64()), ("uri", pa.string())])),
        ("looks", pa.list_(pa.string())),
        ("labels", pa.map_(pa.string(), pa.string())),
        ("create_time", pa.int32()),
    ]
)
FLOATS = st.sampled_from([0.0, 1.0, float("nan")])
ROW = st.fixed_dictionaries(
    {
        "dataset": st.sampled_from(["ada", "bob", "line\nfeed"]),
        "uri": st.integers(0, 5),
        "size": st.none() | st.integers(0, 2),
        "cover": st.none() | st.fixed_dictionaries({"rank": st.none() | FLOATS, "uri": st.none() | st.just("a")}),
        "looks": st.none() | st.lists(st.none() | st.sampled_from(["x", "y"]), max_size=2),
        "labels": st.none() | st.dictionaries(st.sampled_from("kl"), st.sampled_from("vw")),
        "create_time": st.integers(0, 9),
    }
)
ROWS = st.lists(ROW, max_size=12)


def table(rows: list[dict[str, Any]]) -> pa.Table:
    """Rows as a table of several chunks."""
    half = len(rows) // 2
    return pa.concat_tables(
        [pa.Table.from_pylist(part, SCHEMA) for part in (rows[:half], [], rows[half:])], promote_options="none"
    )


def key_of(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in KEY)


def unique(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return list({key_of(row): row for row in reversed(rows)}.values())[::-1]


def plain(row: dict[str, Any]) -> str:
    """A row as text in which NaN is NaN, and maps have an order."""
    return repr({name: sorted(value) if name == "labels" and value else value for name, value in row.items()})


def plain_rows(rows: pa.Table) -> list[str]:
    return sorted(plain(row) for row in rows.to_pylist())


@given(ROWS, ROWS)
@settings(max_examples=examples(150), deadline=None)
def test_codes_and_joins_are_those_of_plain_python(left: list[dict[str, Any]], right: list[dict[str, Any]]) -> None:
    one, other = table(left), table(right)
    codes = [code for each in key_codes(one, other, key=KEY) for code in each.tolist()]
    numbers: dict[tuple[Any, ...], int] = {}
    assert codes == [numbers.setdefault(key_of(row), len(numbers)) for row in left + right]
    keys = {key_of(row) for row in right}
    assert plain_rows(semi_join(one, other, on=KEY)) == sorted(plain(r) for r in as_read(left) if key_of(r) in keys)
    assert plain_rows(anti_join(one, other, on=KEY)) == sorted(plain(r) for r in as_read(left) if key_of(r) not in keys)
    assert plain_rows(distinct(one, key=KEY)) == sorted(plain(row) for row in unique(as_read(left)))
    pairs = inner_join(one.select(list(KEY)), other.rename_columns({"size": "its"}), on=KEY, columns=["its"])
    assert sorted(map(repr, pairs.to_pylist())) == sorted(
        repr({**dict(zip(KEY, key_of(a), strict=True)), "its": b["size"]})
        for a in left
        for b in right
        if key_of(a) == key_of(b)
    )
    sizes = {key_of(row): row["size"] for row in unique(right)}
    joined = left_join(
        one.select(list(KEY)), distinct(other, key=KEY).rename_columns({"size": "its"}), on=KEY, columns=["its"]
    )
    assert [row["its"] for row in joined.to_pylist()] == [sizes.get(key_of(row)) for row in left]


def as_read(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows as Arrow gives them back."""
    return table(rows).to_pylist()


@given(ROWS, ROWS)
@settings(max_examples=examples(150), deadline=None)
def test_the_difference_makes_one_table_of_the_other(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> None:
    old, new = as_read(unique(old)), as_read(unique(new))
    compare = [name for name in SCHEMA.names if name not in (*KEY, "create_time")]
    changes = diff_rows(table(new), current=table(old), key=KEY, compare=compare, keep=("create_time",)).to_pylist()
    there = {key_of(row): row for row in old}
    expected = {}
    for row in new:
        was = there.get(key_of(row))
        if was is None:
            expected[key_of(row)] = plain({**row, ACTION: "insert"})
        elif plain({n: row[n] for n in compare}) != plain({n: was[n] for n in compare}):
            expected[key_of(row)] = plain({**row, "create_time": was["create_time"], ACTION: "update"})
    wanted = {key_of(row) for row in new}
    deleted = {key: plain({**row, ACTION: "delete"}) for key, row in there.items() if key not in wanted}
    assert {key_of(row): plain(row) for row in changes} == expected | deleted
    left = diff_rows(table(new), current=table(old), key=KEY, compare=compare, keep=("create_time",), absent="leave")
    assert {key_of(row): plain(row) for row in left.to_pylist()} == expected


@given(ROWS)
@settings(max_examples=examples(50), deadline=None)
def test_a_column_equals_itself(rows: list[dict[str, Any]]) -> None:
    for name in SCHEMA.names:
        assert same_values(table(rows)[name], table(rows)[name]).all()
