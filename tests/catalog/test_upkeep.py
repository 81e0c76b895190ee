from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

from catalog.lake import Row
from catalog.tasks import get_task, put_run
from catalog.upkeep import (
    Partition,
    commits_after,
    compact,
    expire_tasks,
    fail_lost_task,
    has_had_files,
    is_deletion_vector,
    old_tasks,
    partitions_of,
    running_tasks,
    stale_files,
    vacuum,
)
from schemas.lake import TABLES
from tests.catalog.conftest import LakeMaker

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def state(task: str, seen: datetime, status: str = "Running", start: datetime = NOW - 60 * MINUTE, **more: Any) -> Row:
    ids = {"event_id": "e", "request_id": "r", "run_id": f"run of {task}"}
    return {
        **ids,
        "task_id": task,
        "task_type": "LocationDateClustering",
        "project_name": "demo",
        "status": status,
        "progress": 10,
        "start_time": start,
        "update_time": seen,
        **more,
    }


def run_of(task: str) -> Row:
    names = ("task_id", "job", "project_name", "parameters", "config_hash", "code_version")
    given = dict.fromkeys(names, "x")
    return {**given, "run_id": f"run of {task}", "start_time": NOW - 60 * MINUTE, "status": "Running"}


@pytest.mark.parametrize(
    ("files", "size", "rows", "deleted", "untidy"),
    [(8, 10, 100, 0, False), (9, 10, 100, 0, True), (9, 2 << 30, 100, 0, False), (1, 10, 100, 5, False),
     (1, 10, 100, 6, True), (0, 0, 0, 0, False)],
)  # fmt: skip
def test_what_is_worth_rewriting(files: int, size: int, rows: int, deleted: int, untidy: bool) -> None:
    assert Partition(0, files, size, rows, deleted).is_untidy == untidy


def test_a_task_that_went_silent_is_failed_in_both_tables_and_once(maker: LakeMaker) -> None:
    silent = NOW - 6 * MINUTE
    maker.insert("tasks", [state("silent", silent - MINUTE), state("silent", silent), state("alive", NOW - MINUTE)])
    maker.insert("tasks", [state("done", silent), state("done", silent + MINUTE, status="Succeeded")])
    for task in ("silent", "alive"):
        put_run(maker.root, run_of(task))
    alive, lost = running_tasks(maker.lake, NOW)
    assert [row["task_id"] for row in alive] == ["alive"]
    assert [(row["task_id"], row["update_time"]) for row in lost] == [("silent", silent)]
    fail_lost_task(maker.root, lost[0])
    stored = maker.lake.read("SELECT * FROM tasks WHERE code = 'Lost'", "tasks")
    assert [(row["status"], row["end_time"]) for row in stored] == [("Failed", silent)]
    runs = maker.lake.read("SELECT run_id, status, end_time FROM runs ORDER BY run_id", "runs")
    assert [(row["run_id"], row["status"], row["end_time"]) for row in runs] == [
        ("run of alive", "Running", None),
        ("run of silent", "Failed", silent),
    ]
    assert running_tasks(maker.lake, NOW)[1] == []


def test_a_task_that_lives_after_all_has_the_last_word(maker: LakeMaker) -> None:
    maker.insert("tasks", [state("slow", NOW - 6 * MINUTE)])
    fail_lost_task(maker.root, running_tasks(maker.lake, NOW)[1][0])
    maker.insert("tasks", [state("slow", NOW - MINUTE, status="Succeeded")])
    assert get_task(maker.lake, "slow", NOW)["status"] == "Succeeded"


def test_tasks_expire_by_their_start_unless_they_live(maker: LakeMaker) -> None:
    old = NOW - timedelta(days=8)
    maker.insert("tasks", [state("old", old, start=old), state("old", old + MINUTE, status="Failed", start=old)])
    maker.insert("tasks", [state("long", NOW, start=old), state("new", NOW - MINUTE)])
    before, keep = NOW - timedelta(days=7), running_tasks(maker.lake, NOW)[0]
    assert old_tasks(maker.lake, before, keep) == 1
    expire_tasks(maker.root, before, keep)
    left = maker.lake.read("SELECT DISTINCT task_id FROM tasks ORDER BY task_id", "tasks")
    assert [row["task_id"] for row in left] == ["long", "new"]


def test_files_are_joined_then_deleted_and_rows_stay(maker: LakeMaker) -> None:
    for number in range(4):
        maker.insert("tasks", [state(f"task-{number}", NOW)])
    contract = TABLES["tasks"]
    assert partitions_of(maker.root, contract)[0].files == 4
    compact(maker.root, contract, [None], mark="a mark")
    assert [(part.bucket, part.files, part.rows) for part in partitions_of(maker.root, contract)] == [(None, 1, 4)]
    assert stale_files(maker.root, contract, 1) == []
    assert len(stale_files(maker.root, contract, 0)) == 4
    vacuum(maker.root, contract, 0, mark="a mark")
    assert len(list(Path(maker.root, "tasks").glob("*.parquet"))) == 1
    assert len(maker.lake.read("SELECT * FROM tasks", "tasks")) == 4


def test_of_a_bucket_files_are_joined_in_order_its_changes_stay_and_what_nobody_names_goes_when_it_is_old(
    maker: LakeMaker,
) -> None:
    for number, dataset in enumerate(("ben", "ada", "ben")):
        maker.insert("files", [maker.file(f"s3://{dataset}/{number}.jpg", dataset)])
    contract, table = TABLES["files"], Path(maker.root, "files")
    buckets = {part.bucket: part.files for part in partitions_of(maker.root, contract)}
    (busy,) = (bucket for bucket, files in buckets.items() if files == 2)
    changes = DeltaTable(table).load_cdf(starting_version=1).read_all().num_rows
    compact(maker.root, contract, [busy], mark="a mark")
    assert {(part.bucket, part.files, part.rows) for part in partitions_of(maker.root, contract)} == {
        (bucket, 1, files) for bucket, files in buckets.items()
    }
    optimized = DeltaTable(table).history(1)[0]
    assert (optimized["operation"], optimized["userMetadata"]) == ("OPTIMIZE", "a mark")
    assert DeltaTable(table).load_cdf(starting_version=1).read_all().num_rows == changes

    left = {name: table / name for name in ("killed.parquet", "_change_data/old.parquet", "deletion_vector_1.bin")}
    for path in left.values():
        path.parent.mkdir(exist_ok=True)
        path.touch()
    assert stale_files(maker.root, contract, 1) == []
    for path in left.values():
        os.utime(path, (0, 0))
    assert set(stale_files(maker.root, contract, 1)) == left.keys()
    assert [name for name in left if is_deletion_vector(name)] == ["deletion_vector_1.bin"]
    vacuum(maker.root, contract, 1, mark="a mark")
    assert not any(path.exists() for path in left.values())
    assert [(entry["operation"], entry["userMetadata"]) for entry in DeltaTable(table).history(2)] == [
        ("VACUUM END", "a mark"), ("VACUUM START", "a mark"),
    ]  # fmt: skip
    assert len(maker.lake.read("SELECT * FROM files", "files")) == 3


def test_partitions_are_told_by_bucket(maker: LakeMaker) -> None:
    for dataset in ("ada", "ben", "ada"):
        maker.insert("files", [maker.file(f"s3://{dataset}/1.jpg", dataset)])
    found = partitions_of(maker.root, TABLES["files"])
    assert sorted((part.files, part.rows, part.deleted) for part in found) == [(1, 1, 0), (2, 2, 0)]
    assert partitions_of(maker.root, TABLES["figures"]) == []


def test_commits_are_listed_newest_first_above_a_version(maker: LakeMaker) -> None:
    for number in range(3):
        maker.insert("tasks", [state(f"task-{number}", NOW)])
    table = DeltaTable(f"{maker.root}/tasks")
    assert [entry["version"] for entry in commits_after(table, 1)] == [3, 2]
    assert list(commits_after(table, 3)) == []


def test_a_table_that_was_only_made_has_had_no_files(maker: LakeMaker) -> None:
    """Else `maintain` vacuums it: that lists its folder, and commits twice."""
    root, areas, tasks = maker.root, TABLES["areas"], TABLES["tasks"]
    table = DeltaTable(f"{root}/areas")
    table.alter.set_table_properties({"delta.logRetentionDuration": "interval 900 hours"})
    table.alter.drop_constraint(next(iter(areas.checks)))
    assert not has_had_files(root, areas)
    maker.insert("tasks", [state("gone", NOW)])
    assert has_had_files(root, tasks)
    DeltaTable(f"{root}/tasks").delete()
    assert not DeltaTable(f"{root}/tasks").file_uris()
    assert has_had_files(root, tasks), "what was deleted is on disk"
