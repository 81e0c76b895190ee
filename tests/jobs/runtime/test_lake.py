"""Tables read by this process, where few rows are planned for, against the same read by Spark."""

from __future__ import annotations

import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession

from catalog.create import ensure_lake
from jobs.runtime import lake as lakes
from jobs.runtime.commits import Step, apply_changes
from jobs.runtime.lake import Lake
from jobs.runtime.session import FOR_FEW_ROWS, keep, session_settings
from schemas.settings import LakeSettings
from schemas.similar_image_pairs import SIMILAR_IMAGE_PAIRS as PAIRS
from transforms.tables.actions import ACTION
from transforms.tables.arrow_tables import from_frame, to_frame

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
    ensure_lake(root, LakeSettings(buckets=16))
    lake = Lake.open(spark, root)
    commits = (
        ("insert", [pair(dataset, number) for dataset in ("ada", "barb") for number in range(5)]),
        ("insert", [pair("ada", 5)]),
        ("insert", [pair("ada", 6)]),
        ("delete", [pair("ada", 1), pair("ada", 5), pair("barb", 1)]),
        ("update", [pair("barb", 2, distance=7)]),
        ("update", [pair("barb", 3, distance=8)]),
    )
    for writer, (action, pairs) in zip(WRITERS[request.param], commits, strict=True):
        with session_settings(spark, FOR_FEW_ROWS if writer == "delta-rs" else {}):
            commit(lake, action, *pairs)
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


def here_and_by_spark(lake: Lake, read) -> tuple[set[tuple[object, ...]], set[tuple[object, ...]]]:
    """What `read` gives where few rows are planned for, and otherwise."""
    with session_settings(lake.spark, FOR_FEW_ROWS):
        here = as_set(keep(read()))
    return here, as_set(read())


@pytest.mark.parametrize(
    "asked",
    [[], [("ada", 0), ("ada", 1), ("barb", 2), ("eve", 3)], [(name, n) for name in ("ada", "barb") for n in range(9)]],
)
def test_rows_of_keys(lake: Lake, asked: list[tuple[str, int]]) -> None:
    keys = lake.spark.createDataFrame(
        [pair(dataset, number)[:4] for dataset, number in asked],
        "bucket int, project_name string, dataset_name string, fingerprint string",
    )
    version, columns = lake.version(PAIRS), ("similarity", "dataset_name", "fingerprint", "distance")
    here, by_spark = here_and_by_spark(lake, lambda: lake.rows_of(PAIRS, version, keys, on=KEY, columns=columns))
    assert here == by_spark
    there = {("ada", n) for n in (0, 2, 3, 4, 6)} | {("barb", n) for n in (0, 2, 3, 4)}
    assert {(row[1], int(str(row[2])[1:])) for row in here} == there & set(asked)


def test_a_table_too_large_is_left_to_spark(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    assert lake.can_scan(PAIRS)
    monkeypatch.setattr(lakes, "SCANNED_ROWS", 3)
    assert not lake.can_scan(PAIRS)
    monkeypatch.setattr(Lake, "scan", None)
    keys = lake.read(PAIRS, lake.version(PAIRS)).select(*KEY)
    with session_settings(lake.spark, FOR_FEW_ROWS):
        found = lake.rows_of(PAIRS, lake.version(PAIRS), keys, on=KEY, columns=KEY)
        assert found.count() == 9


def test_whole_tables_and_scans(lake: Lake) -> None:
    for version in range(lake.version(PAIRS) + 1):
        here, by_spark = here_and_by_spark(lake, lambda version=version: lake.read(PAIRS, version))
        assert here == by_spark
        condition = "bucket = 3 AND dataset_name = 'ada'"
        scanned = lake.scan(PAIRS, version, ("distance", "fingerprint"), condition=condition)
        assert {name for batch in scanned for name in batch["fingerprint"].to_pylist()} == {
            row[3] for row in by_spark if row[2] == "ada"
        }


def test_change_feeds(lake: Lake) -> None:
    last = lake.version(PAIRS)
    for after in range(last):
        for until in range(after + 1, last + 1):
            feed = lambda span=(after, until): lake.changes(PAIRS, *span).drop("_commit_timestamp")  # noqa: E731
            here, by_spark = here_and_by_spark(lake, feed)
            assert here == by_spark
            assert here
    kinds = {row["_change_type"] for row in lake.changes(PAIRS, 0, last).collect()}
    assert kinds == {"insert", "delete", "update_preimage", "update_postimage"}


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
