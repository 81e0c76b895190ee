"""`jobs.sources.partition_columns`: what folders say of the files in them."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from jobs.sources.partition_columns import NOTHING, partition_columns
from schemas.errors import SourceError


@pytest.mark.parametrize(
    ("folders", "kind", "values"),
    [
        (["1", "02", "+3", "-4"], pa.int32(), [1, 2, 3, -4]),
        (["1", "3000000000"], pa.int64(), [1, 3_000_000_000]),
        (["1", "99999999999999999999"], pa.decimal128(20, 0), [Decimal(1), Decimal(99_999_999_999_999_999_999)]),
        (["1e2"], pa.decimal128(3, 0), [Decimal(100)]),
        (["1.5", "1", " 2", "3d"], pa.float64(), [1.5, 1.0, 2.0, 3.0]),
        (["1.5", "3000000000"], pa.string(), ["1.5", "3000000000"]),
        (["Infinity", "-Infinity"], pa.float64(), [float("inf"), float("-inf")]),
        (["2020-01-02"], pa.date32(), [date(2020, 1, 2)]),
        (["2020-01-02 10%3A00%3A01"], pa.timestamp("us", "UTC"), [datetime(2020, 1, 2, 10, 0, 1, tzinfo=UTC)]),
        (
            ["2020-01-02", "2020-01-02 10:00:00"],
            pa.timestamp("us", "UTC"),
            [datetime(2020, 1, 2, tzinfo=UTC), datetime(2020, 1, 2, 10, tzinfo=UTC)],
        ),
        (["2020", "2020-01-01"], pa.string(), ["2020", "2020-01-01"]),
        (["2020-01", "2020-13-01", "true", ""], pa.string(), ["2020-01", "2020-13-01", "true", ""]),
        (["a%20b%2Fc", "%zz"], pa.string(), ["a b/c", "%zz"]),
        ([NOTHING, "1"], pa.int32(), [None, 1]),
        ([NOTHING, "x"], pa.string(), [None, "x"]),
        ([NOTHING], pa.null(), [None]),
    ],
)
def test_types_of_values(folders: list[str], kind: pa.DataType, values: list[Any]) -> None:
    files = [f"/table/day={folder}/a.parquet" for folder in folders]
    (name, column), *others = partition_columns(files, ["/table"], uri="/table").items()
    assert (name, column.type, column.to_pylist(), others) == ("day", kind, values, [])


@pytest.mark.parametrize(
    ("root", "names"),
    [("/t", ["p", "q"]), ("/t/p=1", ["q"]), ("/t/p=1/q=2", []), ("/t/p=1/q=2/a.parquet", []), ("/", ["p", "q"])],
)
def test_folders_below_the_root_count(root: str, names: list[str]) -> None:
    assert [*partition_columns(["/t/p=1/q=2/a.parquet"], [root], uri=root)] == names


def test_files_that_are_named_themselves_have_no_columns() -> None:
    files = ["/t/p=1/a.parquet", "/t/p=2/a.parquet"]
    assert partition_columns(files, files, uri="/t/*/a.parquet") == {}


def test_other_folders_between_are_passed_over_below_alone() -> None:
    assert [*partition_columns(["/t/sub/p=1/deep/a.parquet"], ["/t"], uri="/t")] == ["p"]
    assert partition_columns(["/t/sub/a.parquet", "/t/b.parquet"], ["/t"], uri="/t") == {}


@pytest.mark.parametrize(
    "files",
    [
        ["/t/p=1/a.parquet", "/t/a.parquet"],
        ["/t/a.parquet", "/t/p=1/a.parquet"],
        ["/t/p=1/a.parquet", "/t/q=1/a.parquet"],
        ["/t/p=1/a.parquet", "/t/p=1/q=1/a.parquet"],
        ["/t/sub/p=1/a.parquet", "/t/other/p=2/a.parquet"],
    ],
)
def test_files_in_folders_of_other_names(files: list[str]) -> None:
    with pytest.raises(SourceError, match=r"/t can't be read as parquet: .* lie in folders that name other columns"):
        partition_columns(files, ["/t"], uri="/t")


def test_names_are_the_same_in_any_case_and_each_is_one_column() -> None:
    found = partition_columns(["/t/P=1/a.parquet", "/t/p=2/a.parquet"], ["/t"], uri="/t")
    assert {name: column.to_pylist() for name, column in found.items()} == {"P": [1, 2]}
    with pytest.raises(SourceError, match="each needs one name"):
        partition_columns(["/t/p=1/P=2/a.parquet"], ["/t"], uri="/t")
