"""Runs that tell a collector of themselves, and collectors that do not listen."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from catalog import upkeep
from catalog.lake import Lake
from catalog.tasks import append_task_state, put_run
from jobs.cli.main import lakealbum, run
from jobs.maintain import Maintain, _tidy_tasks
from jobs.runtime.lineage.reporting import WAIT_SECONDS, Reporter, is_configured
from jobs.runtime.runs import run_job
from schemas.errors import Cancelled
from schemas.tasks import TASKS
from tests.catalog.conftest import LakeMaker
from tests.jobs.runtime.lineage.conftest import Event
from tests.jobs.runtime.lineage.test_events import state

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[4]


@pytest.fixture
def root(tmp_path: Path) -> str:
    maker = LakeMaker(tmp_path / "lake")
    maker.datasets("ada")
    return maker.root


@pytest.fixture
def warned() -> Iterator[list[str]]:
    """What is logged as a warning; the logger hands nothing on."""
    found: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: found.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("lakealbum").addHandler(handler)
    yield found
    logging.getLogger("lakealbum").removeHandler(handler)


def cluster(root: str, *more: str) -> int:
    """A run that starts no JVM: there are no faces yet."""
    return run(lakealbum, ["cluster", "figures", "--lake", root, "--project", "demo", *more])


def test_a_run_tells_of_its_start_and_end(
    root: str, collected: Callable[[], list[Event]], validate: Callable[[list[Event]], None]
) -> None:
    os.environ["OPENLINEAGE_NAMESPACE"] = "photos"
    os.environ["OPENLINEAGE_PARENT_ID"] = "airflow/nightly.people/0b2f6d4e-9c3a-5f10-8e77-1d2c3b4a5968"
    assert cluster(root, "--run-id", "nightly.people.1") == 0
    assert cluster(root, "--dataset", "nobody") == 2
    events = collected()
    assert [event["eventType"] for event in events] == ["START", "COMPLETE", "START", "FAIL"]
    assert [event["job"]["namespace"] for event in events] == ["photos"] * 4
    assert [event["run"]["facets"]["parent"]["job"]["name"] for event in events] == ["nightly.people"] * 4
    assert len({event["run"]["runId"] for event in events}) == 2
    done, failed = events[1], events[3]
    assert {each["name"].rpartition("/")[2] for each in done["inputs"]} >= {"figures", "files", "cluster_edits"}
    assert [each["name"] for each in done["outputs"]] == [f"{root}/dataset_state"]
    assert "has no dataset 'nobody'" in failed["run"]["facets"]["errorMessage"]["message"]
    validate(events)


def test_a_collector_is_sent_events_by_http(root: str, warned: list[str]) -> None:
    received: list[Event] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(201)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    with HTTPServer(("127.0.0.1", 0), Collector) as server:
        threading.Thread(target=server.serve_forever).start()
        os.environ["OPENLINEAGE_URL"] = f"http://127.0.0.1:{server.server_port}"
        assert cluster(root) == 0
        server.shutdown()
    assert [event["eventType"] for event in received] == ["START", "COMPLETE"]
    assert warned == []


def test_a_cancelled_run_is_told_as_failed(
    root: str, collected: Callable[[], list[Event]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.runtime.cancellation._end_spark", lambda: None)  # the tests' session lives on
    config = Maintain(lake=root)
    with pytest.raises(Cancelled), run_job(config, job="maintain", task_type="LakeMaintenance"):
        os.kill(os.getpid(), signal.SIGTERM)
    started, failed = collected()
    assert (started["eventType"], failed["eventType"]) == ("START", "FAIL")
    assert failed["run"]["facets"]["errorMessage"]["message"] == "cancelled by SIGTERM"


def test_a_dry_run_tells_nothing(root: str, collected: Callable[[], list[Event]]) -> None:
    assert cluster(root, "--dry-run") == 0
    assert collected() == []


def test_a_lost_run_is_told_by_maintenance(root: str, collected: Callable[[], list[Event]]) -> None:
    past = datetime.now(UTC) - timedelta(hours=1)
    lost = state("Running", start_time=past)
    put_run(root, lost.run)
    ids = dict.fromkeys(("event_id", "request_id"), "1") | {"progress": 1, "start_time": past, "update_time": past}
    of_run = {name: lost.run[name] for name in ("task_id", "run_id", "project_name", "status")}
    append_task_state(root, {**dict.fromkeys(TASKS.names), **lost.task, **ids, **of_run})
    os.environ["OPENLINEAGE_PARENT_ID"] = "airflow/weekly.maintain/0b2f6d4e-9c3a-5f10-8e77-1d2c3b4a5968"
    config = Maintain(lake=root)
    with run_job(config, job="maintain", task_type="LakeMaintenance") as ran:
        catalog = Lake(root)
        alive, dead = upkeep.running_tasks(catalog, ran.now)
        _tidy_tasks(ran, config, catalog, dead, keep=alive)
    [told] = [event for event in collected() if event["job"]["name"] == "index-files"]
    assert told["eventType"] == "FAIL"
    assert "no sign of life" in told["run"]["facets"]["errorMessage"]["message"]
    assert "parent" not in told["run"]["facets"]
    assert {"key": "lakealbum.code", "value": "Lost", "source": "LAKEALBUM"} in told["run"]["facets"]["tags"]["tags"]


def test_a_collector_that_accepts_and_never_answers_delays_a_run_by_two_seconds(root: str, warned: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        os.environ["OPENLINEAGE_URL"] = f"http://127.0.0.1:{silent.getsockname()[1]}"
        reporter = Reporter(root)
        reporter.tell(state("Running"))
        began = time.monotonic()
        reporter.tell(state("Succeeded"))
        assert time.monotonic() - began < 0.5
        reporter.close()
        waited = time.monotonic() - began
        assert WAIT_SECONDS - 0.1 < waited < WAIT_SECONDS + 1
        assert cluster(root) == 0
    assert warned == [f"lineage: events were not taken within {WAIT_SECONDS} seconds, and may be lost"] * 2


def test_a_collector_that_refuses_fails_no_run(root: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    os.environ["OPENLINEAGE_URL"] = f"http://127.0.0.1:{port}"
    assert cluster(root) == 0


@pytest.mark.parametrize("settings", [{"TYPE": "carrier-pigeon"}, {"TYPE": "file"}, {"TYPE": "http", "URL": "no url"}])
def test_a_collector_that_is_configured_wrongly_fails_no_run(
    root: str, settings: dict[str, str], warned: list[str]
) -> None:
    os.environ.update({f"OPENLINEAGE__TRANSPORT__{name}": value for name, value in settings.items()})
    assert cluster(root) == 0
    assert warned
    assert all(line.startswith("lineage: ") for line in warned)


def test_a_parent_that_cannot_be_read_fails_no_run(
    root: str, collected: Callable[[], list[Event]], warned: list[str]
) -> None:
    os.environ["OPENLINEAGE_PARENT_ID"] = "scheduled__2026-11-28"
    assert cluster(root) == 0
    assert not any("parent" in event["run"]["facets"] for event in collected())
    assert "OPENLINEAGE_PARENT_ID 'scheduled__2026-11-28' is not NAMESPACE/NAME/RUN" in warned[0]


def test_a_missing_client_is_named(root: str, monkeypatch: pytest.MonkeyPatch, warned: list[str]) -> None:
    monkeypatch.setitem(sys.modules, "openlineage.client", None)
    os.environ["OPENLINEAGE_URL"] = "http://127.0.0.1:9"
    assert cluster(root) == 0
    assert "pip install lakealbum[lineage]" in warned[0]


def test_without_a_collector_the_client_is_not_loaded(root: str) -> None:
    code = (
        "import sys, jobs.runtime.runs\nfrom jobs.runtime.lineage.reporting import Reporter\n"
        f"Reporter({root!r}).close()\n"
        "assert not [name for name in sys.modules if name.startswith('openlineage')]"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": str(ROOT)})


def test_a_collector_is_configured_by_variables_or_files(tmp_path: Path) -> None:
    assert not is_configured({"OPENLINEAGE_PARENT_ID": "a/b/c", "OPENLINEAGE_NAMESPACE": "n", "OPENLINEAGE_URL": ""})
    for name in ("OPENLINEAGE_URL", "OPENLINEAGE_CONFIG", "OPENLINEAGE__TRANSPORT__TYPE"):
        assert is_configured({name: "x"})
        assert not is_configured({name: "x", "OPENLINEAGE_DISABLED": "True"})
    for folder in (tmp_path, tmp_path / ".openlineage"):  # the working folder, and that of HOME
        folder.mkdir(exist_ok=True)
        folder.joinpath("openlineage.yml").write_text("transport: {type: console}")
        assert is_configured({})
        folder.joinpath("openlineage.yml").unlink()
    assert not is_configured({})
