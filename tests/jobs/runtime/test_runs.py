"""What schedulers ask of a run: an id that they give, tags, and a result to hand on."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from catalog.tasks import STALE_AFTER
from jobs.cli.main import lakealbum, run
from jobs.runtime.session import SUBMITTED, YARN_CONTAINER
from schemas.errors import UsageError
from tests.catalog.conftest import LakeMaker
from tests.jobs.albums import Album, photo

pytestmark = pytest.mark.long


@pytest.fixture
def album(tmp_path: Path) -> Album:
    found = Album(tmp_path)
    found.deliver([photo("2026-03-04", "hangzhou")])
    return found


def cluster(album: Album, *more: str) -> int:
    """Runs a small clustering of trips, which starts no JVM."""
    days = ["--gap-days", "1", "--min-days", "1", "--max-days", "15", "--levels", "city"]
    return run(lakealbum, ["cluster", "location-date", "--lake", album.lake, "--project", "demo", *days, *more])


def test_the_result_is_one_line_of_json_with_inputs_and_outputs(
    album: Album, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cluster(album, "--json") == 0
    [line] = capsys.readouterr().out.splitlines()
    result = json.loads(line)
    [ran] = album.rows("runs")
    assert result["RunId"] == ran["run_id"]
    assert result["Inputs"] == dict(ran["inputs"])
    assert result["Outputs"] == dict(ran["outputs"])
    assert {"place_days", "location_date_clusters", "cluster_events"} <= result["Outputs"].keys()
    assert cluster(album, "--json") == 0
    assert json.loads(capsys.readouterr().out)["Outputs"] == {}  # nothing changed


def test_the_run_id_is_that_of_the_environment(album: Album, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAKEALBUM_RUN_ID", "nightly.trips.7")
    assert cluster(album) == 0
    assert [row["run_id"] for row in album.rows("runs")] == ["nightly.trips.7"]


def test_the_id_of_a_run_that_ended_is_refused(album: Album, capsys: pytest.CaptureFixture[str]) -> None:
    assert cluster(album, "--run-id", "r1") == 0
    [before], tasks = album.rows("runs"), album.rows("tasks")
    assert cluster(album, "--run-id", "r1") == 2
    assert "--run-id 'r1' is that of a run that ended Succeeded" in capsys.readouterr().err
    assert (album.rows("runs"), album.rows("tasks")) == ([before], tasks)


@pytest.mark.parametrize(("silent", "exit_code"), [(timedelta(0), 1), (2 * STALE_AFTER, 0)])
def test_the_id_of_a_run_that_did_not_end_is_free_once_the_run_is_lost(
    album: Album, silent: timedelta, exit_code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    then = datetime.now(UTC) - silent
    same = {"run_id": "r1", "task_id": "T-1", "project_name": "demo", "status": "Running", "start_time": then}
    maker = LakeMaker(Path(album.lake))
    asked = {"job": "cluster-location-dates", "parameters": "{}", "config_hash": "h", "code_version": "1"}
    maker.insert("runs", [{**same, **asked}])
    ids = {"task_type": "LocationDateClustering", "event_id": "e", "request_id": "r", "progress": 0}
    maker.insert("tasks", [{**same, **ids, "update_time": then}])
    assert cluster(album, "--run-id", "r1") == exit_code
    assert ("under way" in capsys.readouterr().err) == bool(exit_code)
    assert [row["status"] for row in album.rows("runs")] == ["Running" if exit_code else "Succeeded"]


def test_tags_tell_the_task_of_airflow_unless_others_are_given(album: Album, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CTX_DAG_ID", "nightly")
    monkeypatch.setenv("AIRFLOW_CTX_TASK_ID", "trips")
    monkeypatch.setenv("AIRFLOW_CTX_DAG_EMAIL", "ada@example.org")
    assert cluster(album, "--tag", "airflow.task_id=mine", "--tag", "who=ada") == 0
    tags = {"airflow.dag_id": "nightly", "airflow.task_id": "mine", "who": "ada"}
    assert [dict(row["tags"]) for row in album.rows("tasks")] == [tags, tags]


def test_a_driver_that_yarn_started_makes_a_session_though_no_row_needs_it(
    album: Album, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def start(*_: object, **__: object) -> None:
        raise UsageError("a session is made")

    monkeypatch.setattr("jobs.runtime.runs.open_session", start)
    monkeypatch.setenv(YARN_CONTAINER, "container_1")
    assert cluster(album) == 0
    monkeypatch.setenv(SUBMITTED, "40001")
    assert cluster(album) == 2
    assert "a session is made" in capsys.readouterr().err
    assert sorted(row["status"] for row in album.rows("runs")) == ["Failed", "Succeeded"]
