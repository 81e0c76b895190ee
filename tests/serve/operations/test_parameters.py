"""Parameters of operations: their forms and limits."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from catalog.times import TimeRange
from serve.errors import ApiError
from serve.operations.parameters import (
    PROJECT,
    Parameter,
    choice,
    document,
    documents,
    flag,
    integer,
    label_filter,
    mapping,
    number,
    parse_parameters,
    record,
    records,
    text,
    texts,
    time_range,
)


def parsed(parameter: Parameter, value: Any) -> Any:
    return parse_parameters((parameter,), {parameter.name: value}).get(parameter.name)


@pytest.mark.parametrize(
    ("parameter", "value", "expected"),
    [
        (text("T"), "x", "x"),
        (text("T"), 7, "7"),
        (text("T"), "", None),
        (text("T", most_bytes=3), "杭", "杭"),
        (integer("N", 0, 9), "7", 7),
        (integer("N", 0, 9), 7, 7),
        (number("F"), "1.5", 1.5),
        (flag("B"), "True", True),
        (flag("B"), "false", False),
        (flag("B"), True, True),
        (choice("C", "asc", "desc"), "DESC", "desc"),
        (texts("L"), '["a","b"]', ["a", "b"]),
        (texts("L"), ["a"], ["a"]),
        (texts("L"), '["[\\"a\\", \\"b\\"]", "[c"]', ["a", "b", "[c"]),
        (texts("L"), "[]", []),
        (mapping("M"), '{"a": "b", "c": 1}', {"a": "b", "c": "1"}),
        (record("R", integer("N", 0, 9)), '{"N": 3, "Other": 1, "L": []}', {"N": 3}),
        (record("R", records("L", text("A"))), {"L": []}, {}),
        (records("R", text("A").must), '[{"A": "x"}]', [{"A": "x"}]),
        (document("D"), '{"a": []}', {"a": []}),
        (documents("D"), '[{"a": 1}]', [{"a": 1}]),
        (label_filter("L"), "a=b=c", {"a": "b=c"}),
        (time_range("T"), "{}", TimeRange()),
        (time_range("T"), '{"Start": "2026-03-04T00:00:00Z"}', TimeRange(datetime(2026, 3, 4, tzinfo=UTC))),
    ],
)
def test_values(parameter: Parameter, value: Any, expected: Any) -> None:
    assert parsed(parameter, value) == expected


@pytest.mark.parametrize(
    ("parameter", "value", "code"),
    [
        (PROJECT, "", "MissingProjectName"),
        (PROJECT, None, "MissingProjectName"),
        (PROJECT, "1p", "InvalidArgument"),
        (PROJECT, "p\n", "InvalidArgument"),
        (PROJECT, "p/../q", "InvalidArgument"),
        (PROJECT, "p" * 129, "InvalidArgument"),
        (PROJECT, ["p"], "InvalidArgument"),
        (PROJECT, "项目", "InvalidArgument"),
        (text("T", most_bytes=2), "杭", "InvalidArgument"),
        (text("T", most=2), "abc", "InvalidArgument"),
        (text("T"), "a\x00b", "InvalidArgument"),
        (text("T"), "\ud800", "InvalidArgument"),
        (integer("N", 0, 9), "10", "InvalidArgument"),
        (integer("N", 0, 9), "-1", "InvalidArgument"),
        (integer("N", 0, 9), "1.0", "InvalidArgument"),
        (integer("N", 0, 9), "٣", "InvalidArgument"),
        (integer("N", 0, 9), True, "InvalidArgument"),
        (integer("N", 0, 9), 1e3, "InvalidArgument"),
        (number("F"), "NaN", "InvalidArgument"),
        (number("F"), "1e999", "InvalidArgument"),
        (flag("B"), "yes", "InvalidArgument"),
        (choice("C", "asc"), "up", "InvalidArgument"),
        (texts("L"), "a,b", "InvalidJSON"),
        (texts("L"), '{"a": 1}', "InvalidArgument"),
        (texts("L"), "[[1]]", "InvalidArgument"),
        (texts("L", most=1), '["a","b"]', "LimitExceededError"),
        (texts("L", most=2), json.dumps(['["a","b"]', "c"]), "LimitExceededError"),
        (texts("L", least=1), "[]", "InvalidArgument"),
        (mapping("M"), "[]", "InvalidArgument"),
        (mapping("M"), '{"a": {}}', "InvalidArgument"),
        (mapping("M"), {"": "x"}, "InvalidArgument"),
        (mapping("M"), {str(n): "x" for n in range(101)}, "LimitExceededError"),
        (record("R", integer("N", 0, 9).must), "{}", "MissingN"),
        (record("R", integer("N", 0, 9)), "[" * 100_000, "InvalidJSON"),
        (label_filter("L"), "a", "InvalidArgument"),
        (time_range("T"), '{"Start": "yesterday"}', "InvalidArgument"),
    ],
)
def test_refusals(parameter: Parameter, value: Any, code: str) -> None:
    with pytest.raises(ApiError) as refused:
        parsed(parameter.must if code.startswith("Missing") and parameter is not PROJECT else parameter, value)
    assert refused.value.code == code


def test_unknown_parameters_are_passed_over() -> None:
    assert parse_parameters((text("A"),), {"A": "x", "B": "y"}) == {"A": "x"}
