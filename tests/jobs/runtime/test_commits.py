"""The commit protocol by itself: of steps that start from the same pins, one commits."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.runtime import commits
from jobs.runtime.commits import Mark, Step, apply_changes, replace_rows
from jobs.runtime.lake import DRIVER_ROWS, Lake, spark_schema
from schemas.datasets import DATASETS
from schemas.errors import Conflict
from schemas.files import FILES
from schemas.settings import LakeSettings
from tests.lakes import new_lake
from transforms.tables.actions import ACTION
from transforms.tables.frames import from_frame
from transforms.tables.keyed import with_action


@pytest.fixture(autouse=True)
def _datasets_follow_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """The smallest table follows another here."""
    monkeypatch.setattr("schemas.followers.FOLLOWERS", ((FILES, DATASETS),))


@pytest.fixture
def lake(tmp_path: Path, spark: SparkSession) -> Lake:
    new_lake(str(tmp_path), LakeSettings(buckets=16))
    return Lake.open(str(tmp_path), start_spark=lambda: spark)


def written_by(lake: Lake, engine: str) -> Lake:
    """The lake, whose frames are committed by delta-rs where they are few, or all by Spark."""
    return replace(lake, driver_rows=DRIVER_ROWS if engine == "delta-rs" else 0)


@pytest.fixture(params=["Spark", "delta-rs"])
def either(request: pytest.FixtureRequest, lake: Lake) -> Lake:
    """The lake, written by one and by the other."""
    return written_by(lake, request.param)


def rows(spark: SparkSession, *names: str) -> DataFrame:
    """Rows of `datasets`, the smallest table."""
    now = datetime(2026, 3, 1, tzinfo=UTC)
    nothing = dict.fromkeys(DATASETS.names)
    told = [
        nothing | {"project_name": "demo", "dataset_name": n, "create_time": now, "update_time": now} for n in names
    ]
    return spark.createDataFrame(told, spark_schema(DATASETS))


def names_in(lake: Lake) -> list[str]:
    return sorted(row.dataset_name for row in lake.read(DATASETS, lake.version(DATASETS)).collect())


@pytest.mark.parametrize("later", [5, 6, 7])
def test_of_two_first_loads_one_is_committed_whatever_the_other_consumed(either: Lake, later: int) -> None:
    lake = either
    mine, theirs = (Step.pin(lake, DATASETS, run_id, consumes={"files": 6}) for run_id in ("mine", "theirs"))
    replace_rows(mine, rows(lake.spark, "ada"), mine.current())
    with pytest.raises(Conflict, match="datasets"):
        replace_rows(replace(theirs, consumes={"files": later}), rows(lake.spark, "ada", "bob"), theirs.current())
    assert names_in(lake) == ["ada"]
    assert Mark.of(lake.log(DATASETS)) == Mark(count=1, consumed={"files": 6})


@pytest.mark.parametrize("first_by", ["Spark", "delta-rs"])
@pytest.mark.parametrize("then_by", ["Spark", "delta-rs"])
def test_appends_and_merges_from_one_pin_exclude_each_other(lake: Lake, first_by: str, then_by: str) -> None:
    first = Step.pin(lake, DATASETS, "first")
    replace_rows(first, rows(lake.spark, "ada"), first.current())
    steps = [Step.pin(lake, DATASETS, run_id, consumes={"files": 3}) for run_id in ("append", "merge")]
    append = rows(lake.spark, "bob").withColumn(ACTION, F.lit("insert"))
    merge = rows(lake.spark, "ada").withColumn(ACTION, F.lit("delete"))
    assert apply_changes(replace(steps[0], lake=written_by(lake, first_by)), append).inserted == 1
    with pytest.raises(Conflict):
        apply_changes(replace(steps[1], lake=written_by(lake, then_by)), merge)
    assert names_in(lake) == ["ada", "bob"]
    again = Step.pin(written_by(lake, then_by), DATASETS, "merge")
    assert again.consumed(FILES) == 3
    assert apply_changes(again, merge).deleted == 1
    assert names_in(lake) == ["bob"]


def test_a_merge_into_large_files_is_left_to_spark(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Step.pin(lake, DATASETS, "first")
    replace_rows(first, from_frame(rows(lake.spark, "ada", "bob")), first.current())
    monkeypatch.setattr(commits, "MERGED_BYTES", 1)
    for action, name in (("insert", "eve"), ("delete", "ada")):
        change = with_action(from_frame(rows(lake.spark, name)), action)
        apply_changes(Step.pin(lake, DATASETS, action), change)
    assert names_in(lake) == ["bob", "eve"]
    merged, appended = lake.log(DATASETS).history(2)
    assert "Spark" in merged["engineInfo"]
    assert "delta-rs" in appended["engineInfo"]


def test_what_follows_what_is_declared(lake: Lake) -> None:
    with pytest.raises(ValueError, match=r"datasets does not follow areas: schemas\.followers"):
        Step.pin(lake, DATASETS, "run", consumes={"areas": 1})


def test_a_watermark_moves_alone_where_nothing_changes_and_stays_where_nothing_is_consumed(either: Lake) -> None:
    lake = either
    for consumes, mark in (
        (4, Mark(1, {"files": 4})),
        (4, Mark(1, {"files": 4})),
        (None, Mark(1, {"files": 4})),
        (9, Mark(2, {"files": 9})),
    ):
        step = Step.pin(lake, DATASETS, "run", consumes={} if consumes is None else {"files": consumes})
        apply_changes(step, rows(lake.spark).withColumn(ACTION, F.lit("insert")))
        assert Mark.of(lake.log(DATASETS)) == mark
    assert names_in(lake) == []
