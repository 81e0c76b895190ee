"""Tasks in their last state, lost ones as failed, page by page; runs once each."""

from __future__ import annotations

import threading
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from catalog.lake import Row
from catalog.tasks import STALE_AFTER, TaskQuery, append_task_state, get_task, list_tasks, put_run
from catalog.times import TimeRange
from schemas.errors import NotFound, UsageError
from tests.catalog.conftest import NOON, LakeMaker

MINUTE = timedelta(minutes=1)


def state(task_id: str, status: str = "Running", **given: Any) -> Row:
    """A row of `tasks`, written a minute ago."""
    return {
        "task_id": task_id,
        "task_type": "LocationDateClustering",
        "project_name": "demo",
        "event_id": "e",
        "request_id": "r",
        "run_id": "run-1",
        "status": status,
        "progress": 10,
        "start_time": NOON - 10 * MINUTE,
        "update_time": NOON - MINUTE,
        **given,
    }


def ids(maker: LakeMaker, **asked: Any) -> list[str]:
    page = list_tasks(maker.lake, TaskQuery("demo", **asked), now=NOON)
    return [row["task_id"] for row in page.rows]


@pytest.fixture
def busy(maker: LakeMaker) -> LakeMaker:
    """Three tasks of demo, with two states of the first, and one of another project."""
    maker.insert(
        "tasks",
        [
            state("T-2", update_time=NOON - 9 * MINUTE, progress=5, tags={"who": "ada's"}),
            state("T-2", "Succeeded", end_time=NOON - MINUTE, progress=100, tags={"who": "ada's", "n": "1"}),
            state("T-1", task_type="FileIndexing", start_time=NOON - 2 * MINUTE),
            state("T-3", update_time=NOON - STALE_AFTER - MINUTE, tags={"who": "ben"}),
            state("T-4", project_name="other"),
        ],
    )
    return maker


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, ["T-1", "T-2", "T-3"]),
        ({"order": "desc"}, ["T-3", "T-2", "T-1"]),
        ({"sort": "StartTime"}, ["T-2", "T-3", "T-1"]),
        ({"sort": "EndTime"}, ["T-3", "T-2", "T-1"]),
        ({"task_types": ("FileIndexing",)}, ["T-1"]),
        ({"task_types": ("FileIndexing", "LocationDateClustering")}, ["T-1", "T-2", "T-3"]),
        ({"status": "Running"}, ["T-1"]),
        ({"status": "Failed"}, ["T-3"]),
        ({"status": "Succeeded"}, ["T-2"]),
        ({"tags": {"who": "ada's"}}, ["T-2"]),
        ({"tags": {"who": "ada's", "n": "1"}}, ["T-2"]),
        ({"tags": {"who": "ada's", "n": "2"}}, []),
        ({"tags": {"w'o": "x"}}, []),
        ({"started": TimeRange(NOON - 2 * MINUTE)}, ["T-1"]),
        ({"ended": TimeRange(None, date(2999, 1, 1))}, ["T-2", "T-3"]),
    ],
)
def test_filters_and_order(busy: LakeMaker, asked: dict[str, Any], expected: list[str]) -> None:
    assert ids(busy, **asked) == expected


def test_a_task_that_went_silent_is_lost(busy: LakeMaker) -> None:
    lost = get_task(busy.lake, "T-3", now=NOON)
    assert (lost["status"], lost["code"]) == ("Failed", "Lost")
    assert "no sign of life for 5 minutes" in lost["message"]
    assert lost["end_time"] == NOON - STALE_AFTER - MINUTE
    assert get_task(busy.lake, "T-3", now=NOON - 2 * MINUTE)["status"] == "Running"


def test_a_task_that_ended_is_never_lost(busy: LakeMaker) -> None:
    assert get_task(busy.lake, "T-2", now=NOON + timedelta(days=3))["status"] == "Succeeded"


def test_of_two_states_of_one_instant_the_end_counts(maker: LakeMaker) -> None:
    maker.insert("tasks", [state("T-1", "Failed"), state("T-1", progress=90)])
    assert get_task(maker.lake, "T-1", now=NOON)["status"] == "Failed"


@pytest.mark.parametrize("task_id", ["T-9", "'", ""])
def test_an_unknown_task_is_named(busy: LakeMaker, task_id: str) -> None:
    with pytest.raises(NotFound, match="there is no task"):
        get_task(busy.lake, task_id)


@pytest.mark.parametrize("sort", ["TaskId", "StartTime", "EndTime"])
@pytest.mark.parametrize("order", ["asc", "desc"])
def test_pages_are_the_whole(busy: LakeMaker, sort: str, order: Any) -> None:
    rows, token = [], None
    for _ in range(3):
        query = TaskQuery("demo", sort=sort, order=order, max_results=1)
        page = list_tasks(busy.lake, query, token, now=NOON)
        rows += [row["task_id"] for row in page.rows]
        token = page.next_token
    assert token is None
    assert rows == ids(busy, sort=sort, order=order)


@pytest.mark.parametrize("wrong", [{"status": "running"}, {"sort": "Status"}, {"order": "up"}, {"max_results": 0}])
def test_wrong_values_are_named(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"accepted|is not one of"):
        TaskQuery("demo", **wrong)


def test_states_and_runs_written_at_once_are_all_there(maker: LakeMaker) -> None:
    def run(number: int, status: str) -> Row:
        return {
            "run_id": f"run-{number}",
            "task_id": f"T-{number}",
            "job": "index",
            "project_name": "demo",
            "parameters": "{}",
            "config_hash": "h",
            "code_version": "1",
            "start_time": NOON,
            "status": status,
        }

    def work(number: int) -> None:
        put_run(maker.root, run(number, "Running"))
        append_task_state(maker.root, state(f"T-{number}", update_time=datetime.now(UTC)))
        put_run(maker.root, run(number, "Succeeded"))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    runs = maker.lake.read("SELECT run_id, status FROM runs ORDER BY run_id", "runs")
    assert runs == [{"run_id": f"run-{n}", "status": "Succeeded"} for n in range(4)]
    assert [get_task(maker.lake, f"T-{n}")["status"] for n in range(4)] == ["Running"] * 4
