"""Values reach DataFusion unharmed, and nothing that a value holds becomes SQL."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.lake import Lake
from catalog.sql import all_of, has_part, literal, one_of, relation, same_text, under
from schemas.errors import UsageError
from tests.catalog.conftest import LakeMaker
from tests.examples import examples

HOSTILE = [
    "it's",
    "'; DROP TABLE files; --",
    "\\",
    "\\'",
    "100 %_",
    "a\x00b",
    "line\nend",
    '"quoted"',
    "旅行 🏝️",
    "$1 ? :x {y}",
    "",
]


def select(lake: Lake, expression: str, tables: str = "datasets") -> object:
    """The value of one expression."""
    return lake.read(f"SELECT {expression} AS value FROM {tables} LIMIT 1", "datasets")[0]["value"]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_round_trips(maker: LakeMaker, text: str) -> None:
    assert select(maker.lake, literal(text)) == text


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        False,
        -3,
        2**62,
        date(1, 1, 1),
        date(9999, 12, 31),
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(2026, 3, 4, 5, 6, 7, 8, UTC),
        datetime(9999, 12, 31, 23, 59, 59, 999_999, UTC),
    ],
)
def test_values_of_every_type_round_trip(maker: LakeMaker, value: object) -> None:
    assert select(maker.lake, literal(value)) == value  # type: ignore[arg-type]


def test_text_round_trips_and_compares_as_in_python(maker: LakeMaker) -> None:
    @settings(max_examples=examples(150), deadline=None)
    @given(st.text(), st.text(max_size=3))
    def check(text: str, part: str) -> None:
        row = maker.lake.read(
            f"SELECT {literal(text)} AS value, {has_part(literal(text), part)} AS part, "
            f"{same_text(literal(text), text)} AS same FROM datasets LIMIT 1",
            "datasets",
        )[0]
        assert row["value"] == text
        assert row["same"]
        if text.isascii() and part.isascii():  # Rust and Python may know different versions of Unicode
            assert row["part"] == (part.upper() in text.upper())

    check()


@pytest.mark.parametrize(
    ("text", "part"), [("Ὀδυσσεύς", "ὈΔΥΣΣΕΎΣ"), ("Große Straße", "STRASSE"), ("Ærø", "ærØ"), ("München", "ünch")]
)
def test_case_is_ignored_beyond_ascii(maker: LakeMaker, text: str, part: str) -> None:
    assert select(maker.lake, has_part(literal(text), part))


def test_wildcards_are_plain_characters(maker: LakeMaker) -> None:
    assert not select(maker.lake, has_part("'Hangzhou'", "%"))
    assert not select(maker.lake, has_part("'Hangzhou'", "H_n"))
    assert select(maker.lake, has_part("'100 %'", "0 %"))


@pytest.mark.parametrize(
    ("path", "expected"), [("CN/33", True), ("CN/33/3301", True), ("CN/3", False), ("CN/33/3301/", False)]
)
def test_under_takes_whole_parts(maker: LakeMaker, path: str, expected: bool) -> None:
    assert select(maker.lake, under("'CN/33/3301'", path)) is expected


def test_no_values_and_no_conditions(maker: LakeMaker) -> None:
    assert select(maker.lake, one_of("dataset_name", [])) is False
    assert select(maker.lake, all_of([])) is True


def test_relations_carry_hostile_keys(maker: LakeMaker) -> None:
    keys = relation("wanted", ("id", "number"), ([text, n] for n, text in enumerate(HOSTILE)))
    rows = maker.lake.read(f"SELECT id, number FROM datasets CROSS JOIN {keys} WHERE dataset_name = 'ada'", "datasets")
    assert sorted((row["number"], row["id"]) for row in rows) == list(enumerate(HOSTILE))


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(UsageError, match="UTF-8"):
        literal("caf\udce9")
