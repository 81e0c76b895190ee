"""Jobs that tell of their end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from catalog.webhooks import HOSTS, SECRET
from jobs.cli.main import lakealbum, run
from tests.catalog.conftest import LakeMaker
from tests.catalog.test_webhooks import KEY, Receiver


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    monkeypatch.setenv(HOSTS, "127.0.0.1")
    monkeypatch.setenv(SECRET, KEY)
    found = Receiver()
    yield found
    found.server.shutdown()
    found.server.server_close()


def cluster(root: Path, *more: str) -> int:
    """Runs a small clustering of trips, which starts no JVM."""
    options = ["--lake", str(root), "--project", "demo", "--user-data", "mine"]
    days = ["--gap-days", "1", "--min-days", "1", "--max-days", "15", "--levels", "city"]
    return run(lakealbum, ["cluster", "location-date", *options, *days, *more])


@pytest.mark.long
def test_a_job_tells_of_its_end_and_keeps_the_address_to_itself(tmp_path: Path, receiver: Receiver) -> None:
    maker = LakeMaker(tmp_path / "lake")
    maker.datasets("ada")
    assert cluster(tmp_path / "lake", "--notify", receiver.url) == 0
    [(_, headers, body)] = receiver.requests
    content = json.loads(json.loads(body)["content"])
    assert (content["Status"], content["UserData"]) == ("Succeeded", "mine")
    [task] = maker.lake.read("SELECT * FROM tasks WHERE status = 'Succeeded'", "tasks")
    assert (content["TaskId"], content["EventSourceId"]) == (task["task_id"], task["event_id"])
    assert json.loads(body)["id"] == headers["X-LakeAlbum-Notification"]
    [ran] = maker.lake.read("SELECT parameters FROM runs", "runs")
    assert "notify" not in json.loads(ran["parameters"])


@pytest.mark.long
def test_addresses_are_checked_before_the_job_begins(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    LakeMaker(tmp_path / "lake").datasets("ada")
    assert cluster(tmp_path / "lake", "--notify", "http://10.0.0.1/") == 2
    assert "'http://10.0.0.1/' is not https" in capsys.readouterr().err
    monkeypatch.delenv(SECRET)
    assert cluster(tmp_path / "lake", "--notify", receiver.url) == 2
    assert SECRET in capsys.readouterr().err
    assert receiver.requests == []
