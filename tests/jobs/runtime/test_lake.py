"""Tables read by this process, where there are few rows, against the same read by Spark."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession

from jobs.runtime import by_bucket
from jobs.runtime import lake as lakes
from jobs.runtime.by_bucket import ByBucket
from jobs.runtime.commits import Step, apply_changes
from jobs.runtime.lake import Lake, Rows
from schemas.settings import LakeSettings
from schemas.similar_image_pairs import SIMILAR_IMAGE_PAIRS as PAIRS
from tests.lakes import new_lake
from transforms.tables.actions import ACTION
from transforms.tables.frames import from_frame, to_frame
from transforms.tables.keyed import with_action

KEY = ("bucket", "project_name", "dataset_name", "fingerprint")


WRITERS = {
    "delta-rs": ("delta-rs",) * 6,
    # delta-rs merges where Spark marked rows as deleted, and Spark where delta-rs merged.
    "in turn": ("Spark", "delta-rs", "Spark", "Spark", "delta-rs", "Spark"),
}


@pytest.fixture(scope="module", params=WRITERS)
def lake(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, spark: SparkSession) -> Lake:
    """A lake with pairs of two datasets, after appends, deletes that leave a file without rows, and updates."""
    root = str(tmp_path_factory.mktemp("lake"))
    new_lake(root, LakeSettings(buckets=16))
    lake = Lake.open(root, start_spark=lambda: spark)
    commits = (
        ("insert", [pair(dataset, number) for dataset in ("ada", "barb") for number in range(5)]),
        ("insert", [pair("ada", 5)]),
        ("insert", [pair("ada", 6)]),
        ("delete", [pair("ada", 1), pair("ada", 5), pair("barb", 1)]),
        ("update", [pair("barb", 2, distance=7)]),
        ("update", [pair("barb", 3, distance=8)]),
    )
    for writer, (action, pairs) in zip(WRITERS[request.param], commits, strict=True):
        commit(replace(lake, driver_rows=0) if writer == "Spark" else lake, action, *pairs)
    return lake


def pair(dataset: str, number: int, distance: int | None = None) -> tuple[object, ...]:
    return (len(dataset), "p", dataset, f"f{number}", f"g{number}", "hash", distance, 0.5, "run")


def commit(lake: Lake, action: str, *pairs: tuple[object, ...]) -> None:
    schema = lakes.spark_schema(PAIRS).add(ACTION, "string")
    rows = lake.spark.createDataFrame([(*row, action) for row in pairs], schema)
    assert apply_changes(Step.pin(lake, PAIRS, "run"), rows).changed == len(pairs)


def test_what_is_committed_is_there(lake: Lake) -> None:
    rows = lake.read(PAIRS, lake.version(PAIRS)).select("dataset_name", "fingerprint", "distance")
    untouched = {"ada": (0, 2, 3, 4, 6), "barb": (0, 4)}
    there = {(name, f"f{number}", None) for name, numbers in untouched.items() for number in numbers}
    assert as_set(rows) == {*there, ("barb", "f2", 7), ("barb", "f3", 8)}
    assert lake.rows_written(PAIRS, 0, lake.version(PAIRS)) == 10 + 1 + 1 + 0 + 1 + 1


def as_set(rows: DataFrame) -> set[tuple[object, ...]]:
    found = [tuple(row) for row in rows.collect()]
    assert len(found) == len(set(found))
    return set(found)


def here_and_by_spark(lake: Lake, fetch: Callable[[Lake], Rows]) -> set[tuple[object, ...]]:
    """What is fetched here, and, where this process takes on no rows, by Spark: the same."""
    here, by_spark = fetch(lake), fetch(replace(lake, driver_rows=0))
    assert isinstance(here, pa.Table)
    assert isinstance(by_spark, DataFrame) or not len(here)
    by_spark = lake.frame(by_spark)
    found = {tuple(row.values()) for row in here.to_pylist()}
    assert len(found) == len(here)
    assert found == as_set(by_spark)
    return found


@pytest.mark.parametrize(
    "asked",
    [[], [("ada", 0), ("ada", 1), ("barb", 2), ("eve", 3)], [(name, n) for name in ("ada", "barb") for n in range(9)]],
)
def test_rows_of_keys(lake: Lake, asked: list[tuple[str, int]]) -> None:
    schema = pa.schema([PAIRS.arrow_schema.field(name) for name in KEY])
    rows = [dict(zip(KEY, pair(dataset, number), strict=False)) for dataset, number in asked]
    keys = pa.Table.from_pylist(rows, schema)
    version, columns = lake.version(PAIRS), ("similarity", "dataset_name", "fingerprint", "distance")
    found = here_and_by_spark(lake, lambda lake: lake.fetch_keys(PAIRS, version, keys, on=KEY, columns=columns))
    there = {("ada", n) for n in (0, 2, 3, 4, 6)} | {("barb", n) for n in (0, 2, 3, 4)}
    assert {(row[1], int(str(row[2])[1:])) for row in found} == there & set(asked)


def test_whole_tables_and_conditions(lake: Lake) -> None:
    for version in range(lake.version(PAIRS) + 1):
        found = here_and_by_spark(lake, lambda lake, version=version: lake.fetch(PAIRS, version, PAIRS.names))
        condition = "bucket = 3 AND dataset_name = 'ada'"
        loaded = lake.load(PAIRS, version, ("distance", "fingerprint"), condition=condition)
        assert set(loaded["fingerprint"].to_pylist()) == {row[3] for row in found if row[2] == "ada"}


def test_change_feeds(lake: Lake) -> None:
    last = lake.version(PAIRS)
    spans = [(0, last), (1, 2), (2, last), (last - 1, last)]

    def feed(lake: Lake, span: tuple[int, int]) -> Rows:
        changes = lake.fetch_changes(PAIRS, *span, PAIRS.names)
        assert changes is not None
        if isinstance(changes, pa.Table):
            return changes.drop_columns(["_commit_timestamp"])
        return changes.drop("_commit_timestamp")

    for span in spans:
        assert here_and_by_spark(lake, lambda lake, span=span: feed(lake, span))
    kinds = set(feed(lake, (0, last))["_change_type"].to_pylist())
    assert kinds == {"insert", "delete", "update_preimage", "update_postimage"}


def test_by_bucket_the_same_rows_are_read_here_and_by_tasks(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    last = lake.version(PAIRS)
    keys = lake.load(PAIRS, last, KEY).slice(0, 6)
    fetches: list[Callable[..., Any]] = [
        partial(by_bucket.fetch, contract=PAIRS, version=last, columns=PAIRS.names),
        partial(by_bucket.fetch, contract=PAIRS, version=1, columns=KEY, condition="dataset_name = 'ada'"),
        partial(by_bucket.fetch_keys, contract=PAIRS, version=last, keys=keys, on=KEY, columns=PAIRS.names),
        partial(by_bucket.fetch_changes, contract=PAIRS, after=0, until=last, columns=PAIRS.names),
        partial(by_bucket.fetch_mapped, contract=PAIRS, version=last, columns=KEY, each=_swapped, schema=keys.schema),
    ]
    wholes = [fetch(lake) for fetch in fetches]
    monkeypatch.setattr(by_bucket, "FEW", 1)
    for fetch, whole in zip(fetches, wholes, strict=True):
        rows = fetch(lake)
        assert isinstance(rows, ByBucket)
        assert rows.schema == whole.schema
        assert sorted(map(str, rows_of(rows))) == sorted(map(str, rows_of(whole))) != []
    feed = fetches[3](lake)
    assert as_set(feed.frame(lake).drop("_commit_timestamp")) == {tuple(row[:-1]) for row in rows_of(wholes[3])}
    assert fetches[0](replace(lake, driver_rows=0, bucket_rows=5)).columns == PAIRS.names  # ada has as many


def rows_of(rows: pa.Table | ByBucket) -> list[list[object]]:
    table = pa.concat_tables(rows.tables()) if isinstance(rows, ByBucket) else rows
    return [list(row.values()) for row in table.to_pylist()]


def _swapped(rows: pa.Table) -> pa.Table:
    """Another order of columns than asked for."""
    return rows.select(list(reversed(rows.column_names)))


def test_spark_is_not_started_for_few_rows(lake: Lake) -> None:
    def never() -> SparkSession:
        raise AssertionError("Spark was started")

    here = Lake.open(lake.root, start_spark=never)
    version = here.version(PAIRS)
    rows = here.fetch(PAIRS, version, PAIRS.names)
    assert len(rows) == 9
    assert not apply_changes(Step.pin(here, PAIRS, "run"), with_action(rows.slice(0, 0), "update")).changed
    with pytest.raises(AssertionError, match="started"):
        replace(here, driver_rows=8).fetch(PAIRS, version, PAIRS.names)


def test_arrays_have_their_offsets_even_of_no_values(spark: SparkSession) -> None:
    names = "CAST(array() AS array<string>) AS names", "CAST(map() AS map<string, bigint>) AS versions"
    found = from_frame(spark.range(2).selectExpr("id", *names))
    for child in (found["names"].chunk(0).values, found["versions"].chunk(0).keys):
        assert len(child) == 0
        assert child.buffers()[1].size == 4
    assert found.to_pylist() == [{"id": number, "names": [], "versions": []} for number in range(2)]


def test_an_empty_piece_is_not_the_end(spark: SparkSession) -> None:
    pieces = [pa.table({"x": pa.array(values, pa.int32())}) for values in ([1], [], [2, 3])]
    assert sorted(row.x for row in to_frame(spark, pa.concat_tables(pieces), "x int").collect()) == [1, 2, 3]
    assert to_frame(spark, pa.table({"x": pa.chunked_array([], pa.int32())}), "x int").isEmpty()
