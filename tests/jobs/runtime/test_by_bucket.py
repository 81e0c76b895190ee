"""Rows that are computed a bucket at a time, and appends of rows that are computed while they are written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from jobs.runtime.by_bucket import ByBucket, kernel_of
from jobs.runtime.commits import Step, add_rows, apply_changes
from jobs.runtime.lake import Lake
from jobs.runtime.session import SUBMITTED, has_executors
from schemas.errors import Conflict
from schemas.face_scans import FACE_SCANS
from schemas.settings import LakeSettings
from tests.lakes import new_lake
from transforms.tables.keyed import with_action

BUCKETS = 16


def numbers_of(bucket: int) -> pa.Table:
    """As many rows as the bucket's number."""
    return pa.table({"bucket": pa.array([bucket] * bucket, pa.int32()), "n": pa.array(range(bucket), pa.int64())})


def by_bucket(function: Callable[..., pa.Table]) -> ByBucket:
    return ByBucket(numbers_of(0).schema, BUCKETS, 120, function)


def test_each_bucket_is_computed_once_in_order_with_its_own_rows_of_every_input() -> None:
    asked: list[int] = []

    def read(bucket: int) -> pa.Table:
        asked.append(bucket)
        return numbers_of(bucket)

    def both(one: pa.Table, *, other: pa.Table, told: pa.Table) -> pa.Table:
        assert one is not other
        assert one.equals(other)
        return pa.concat_tables([one, told])

    rows = by_bucket(read)
    told = pa.table({"bucket": pa.array([3, 5, 3], pa.int32()), "n": pa.array([30, 50, 31], pa.int64())})
    inputs = {"one": rows, "other": rows.select(["bucket", "n"]), "told": told}
    joined = kernel_of(both, rows.schema, inputs, buckets=BUCKETS)
    assert joined.read == 243
    tables = list(joined.tables())
    assert [len(table) for table in tables] == [*range(3), 5, 4, 6, *range(6, BUCKETS)]
    assert tables[3]["n"].to_pylist() == [0, 1, 2, 30, 31]
    assert sorted(asked) == list(range(BUCKETS))


def test_few_rows_are_gathered_and_of_more_no_more_than_needed_is_computed() -> None:
    asked: list[int] = []

    def read(bucket: int) -> pa.Table:
        asked.append(bucket)
        return numbers_of(bucket)

    found = by_bucket(read).few(120)
    assert found is not None
    assert len(found) == 120
    asked.clear()
    assert by_bucket(read).few(10) is None  # those up to bucket 5 are 15
    assert max(asked) < 9


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    def never() -> SparkSession:
        raise AssertionError("Spark was started")

    new_lake(str(tmp_path), LakeSettings(buckets=BUCKETS))
    return Lake.open(str(tmp_path), start_spark=never)


def scans_of(bucket: int) -> pa.Table:
    """Rows of a table that is partitioned by bucket: as many as the bucket's number."""
    rows = [
        {
            "bucket": bucket,
            "project_name": "p",
            "dataset_name": "d",
            "uri": f"{bucket}/{number}",
            "object_id": "o",
            "model": "m",
            "faces": 0,
            "update_time": datetime(2026, 3, 1, tzinfo=UTC),
            "run_id": "run",
        }
        for number in range(bucket)
    ]
    return pa.Table.from_pylist(rows, SCANS)


SCANS = pa.schema([(name, FACE_SCANS.arrow_schema.field(name).type) for name in FACE_SCANS.names])


def scans(function: Callable[[int], pa.Table] = scans_of) -> ByBucket:
    return ByBucket(SCANS, BUCKETS, 120, function)


def test_rows_are_appended_in_one_commit_and_a_second_from_the_same_pin_loses(lake: Lake) -> None:
    first, second = (Step.pin(lake, FACE_SCANS, run_id) for run_id in ("first", "second"))
    assert add_rows(first, scans()).inserted == 120
    assert lake.version(FACE_SCANS) == first.base + 1
    with pytest.raises(Conflict, match="face_scans"):
        add_rows(second, scans())
    rows = lake.load(FACE_SCANS, lake.version(FACE_SCANS))
    assert len(rows) == len(set(rows["uri"].to_pylist())) == 120


def test_of_no_rows_there_is_no_commit(lake: Lake) -> None:
    step = Step.pin(lake, FACE_SCANS, "run")
    assert add_rows(step, scans(lambda _: SCANS.empty_table())).version == step.base
    assert lake.version(FACE_SCANS) == step.base


def test_a_dry_run_counts(lake: Lake) -> None:
    step = Step.pin(lake, FACE_SCANS, "run", dry_run=True)
    assert add_rows(step, scans()).inserted == 120
    assert lake.version(FACE_SCANS) == step.base


def test_changes_of_buckets_are_merged(lake: Lake) -> None:
    add_rows(Step.pin(lake, FACE_SCANS, "first"), scans())
    changed = scans()
    changes = kernel_of(
        partial(_action, "delete"),
        changed.schema.append(pa.field("_action", pa.string())),
        {"rows": changed},
        buckets=BUCKETS,
    )
    assert apply_changes(Step.pin(lake, FACE_SCANS, "second"), changes).deleted == 120
    assert not len(lake.load(FACE_SCANS, lake.version(FACE_SCANS)))


def _action(action: str, *, rows: pa.Table) -> pa.Table:
    return with_action(rows, action)


def test_what_a_bucket_fails_by_is_raised_and_nothing_is_committed(lake: Lake) -> None:
    def failing(bucket: int) -> pa.Table:
        if bucket == 9:
            raise LookupError("bucket 9 cannot be read")
        return scans_of(bucket)

    step = Step.pin(lake, FACE_SCANS, "run")
    with pytest.raises(LookupError, match="bucket 9"):
        add_rows(step, scans(failing))
    assert lake.version(FACE_SCANS) == step.base


def test_a_signal_in_the_middle_ends_it_without_a_commit(lake: Lake) -> None:
    def interrupting(bucket: int) -> pa.Table:
        if bucket == 5:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.2)
        return scans_of(bucket)

    step = Step.pin(lake, FACE_SCANS, "run")
    with pytest.raises(KeyboardInterrupt):
        add_rows(step, scans(interrupting))
    assert lake.version(FACE_SCANS) == step.base


ON_ONE_CORE = """
import os, sys
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
from functools import partial
from jobs.runtime.by_bucket import ByBucket
from jobs.runtime.commits import Step, add_rows
from jobs.runtime.lake import Lake
from schemas.face_scans import FACE_SCANS
from tests.jobs.runtime.test_by_bucket import SCANS, scans

lake = Lake.open(sys.argv[1], start_spark=None)
add_rows(Step.pin(lake, FACE_SCANS, "first"), scans())
version = lake.version(FACE_SCANS)
again = scans(lambda bucket: lake.load(FACE_SCANS, version, condition=f"bucket = {bucket}"))
print(add_rows(Step.pin(lake, FACE_SCANS, "second"), again).inserted)
"""


@pytest.mark.long
def test_on_one_core_reading_does_not_wait_for_writing_that_waits_for_it(lake: Lake) -> None:
    command = [sys.executable, "-c", ON_ONE_CORE, lake.root]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.strip() == "120", done.stderr


@pytest.mark.parametrize(
    ("arguments", "properties", "expected"),
    [
        ("", "", False),
        ("pyspark-shell", "spark.driver.memory 4g\n# spark.master yarn", False),
        ("--master local[4] pyspark-shell", "spark.master yarn", False),
        ("--master yarn pyspark-shell", "", True),
        ("--driver-memory 1g --conf spark.master=spark://host:7077 pyspark-shell", "spark.master local", True),
        ("", "spark.ui.enabled false\nspark.master   local-cluster[2,1,1024]\n", True),
        ("", "spark.master=k8s://https://host", True),
    ],
)
def test_whether_spark_has_executors_is_known_before_it_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: str, properties: str, expected: bool
) -> None:
    def never() -> SparkSession:
        raise AssertionError("Spark was started")

    (tmp_path / "spark-defaults.conf").write_text(properties)
    monkeypatch.setenv("SPARK_CONF_DIR", str(tmp_path))
    monkeypatch.setenv("PYSPARK_SUBMIT_ARGS", arguments)
    monkeypatch.delenv(SUBMITTED, raising=False)
    monkeypatch.setattr("jobs.runtime.session.SparkContext._active_spark_context", None)
    assert has_executors(never) is expected
