"""The worker: what it makes of what was asked, and that it comes back. Runs with Spark: test_worker_runs.py."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from catalog.commits import append
from catalog.file_notes import note_files, removed_at
from catalog.files import read_files
from catalog.lake import Lake, Scope
from catalog.requests import Piece, append_asked, append_step, expire_requests, read_pending
from catalog.tasks import get_task
from schemas.errors import SourceError
from schemas.requests import REQUESTS
from schemas.settings import LakeSettings
from schemas.tasks import TASKS
from serve.queue import Queue, Worker
from serve.work.files import FileWork, carry_out_files, file_columns
from serve.work.groups import next_group
from tests.catalog.conftest import LakeMaker
from tests.lakes import new_lake

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)


def piece(operation: str, dataset: str = "ada", uri: str | None = None, project: str = "p", **parameters: Any) -> Piece:
    return Piece(operation, project, dataset, "R", "E", parameters, uri=uri)


def index(uri: str, dataset: str = "ada", **file: Any) -> Piece:
    return piece("IndexFileMeta", dataset, uri, File={"URI": uri, **file})


TRIPS = piece("CreateLocationDateClusteringTask", DateOptions={"GapDays": 1})


def test_files_of_a_project_go_together_but_not_past_other_work_of_their_dataset() -> None:
    a, b, other, c, eve = index("a"), index("b"), piece("IndexFileMeta", project="q"), index("c"), index("e", "eve")
    group = next_group([a, TRIPS, b, other, c, eve])
    assert (group.what, group.pieces, group.datasets) == (("files",), [a, eve], ("ada", "eve"))
    assert next_group([TRIPS, b, eve]).pieces == [TRIPS]


def test_the_same_clustering_of_several_datasets_is_one_run_and_another_is_not() -> None:
    same = piece("CreateLocationDateClusteringTask", "eve", DateOptions={"GapDays": 1}, UserData="other")
    again = piece("CreateLocationDateClusteringTask", DateOptions={"GapDays": 1})
    wider = piece("CreateLocationDateClusteringTask", DateOptions={"GapDays": 2})
    after = piece("CreateLocationDateClusteringTask", DateOptions={"GapDays": 1})
    assert next_group([TRIPS, same, again, wider, after]).pieces == [TRIPS, same, again]
    merging = [piece("CreateFigureClustersMergingTask", To="x", Froms=["y"]) for _ in range(2)]
    assert next_group(merging).pieces == merging[:1]


@pytest.mark.parametrize(
    ("asked", "remove", "file", "whole"),
    [
        (["i1"], False, {"URI": "a", "Title": "1"}, True),
        (["i1", "i2"], False, {"URI": "a", "Title": "2"}, True),
        (["i1", "u"], False, {"URI": "a", "Title": "1", "LatLong": "1,2"}, True),
        (["u", "u"], False, {"URI": "a", "LatLong": "1,2"}, False),
        (["i1", "d"], True, None, False),
        (["d", "i1"], True, {"URI": "a", "Title": "1"}, True),
        (["d", "u"], True, None, False),
        (["u", "i2"], False, {"URI": "a", "Title": "2"}, True),
    ],
)
def test_what_is_to_be_done_to_a_file(asked: list[str], remove: bool, file: Any, whole: bool) -> None:
    pieces = {
        "i1": index("a", Title="1"),
        "i2": index("a", Title="2"),
        "u": piece("UpdateFileMeta", uri="a", File={"URI": "a", "LatLong": "1,2"}),
        "d": piece("DeleteFileMeta", uri="a", File={"URI": "a"}),
    }
    work = FileWork()
    for minute, name in enumerate(asked):
        work.add(replace(pieces[name], ask_time=NOON + timedelta(minutes=minute)))
    last = max((minute for minute, name in enumerate(asked) if name.startswith("i")), default=None)
    assert not whole or last is None or work.asked == NOON + timedelta(minutes=last)
    assert (work.remove, work.index, work.whole) == (remove, file, whole)


def test_columns_of_an_input_file() -> None:
    addresses = [{"Language": "en", "City": "Hangzhou"}, {"Language": "zh-Hans", "City": "杭州市", "Country": "中国"}]
    file = {"URI": "a", "LatLong": "30.25, 120.16", "Addresses": addresses, "Labels": [{"LabelName": "x"}, {}]}
    columns = file_columns(file, "zh", whole=True)
    assert (columns["latitude"], columns["longitude"], columns["labels"]) == ("30.25", "120.16", ["x"])
    assert columns["address"] == {
        "country": "中国", "province": None, "city": "杭州市", "district": None, "township": None,
    }  # fmt: skip
    assert columns["title"] is None
    assert json.loads(columns["attributes"]) == {"Addresses": addresses}
    labels = [{"LabelName": "x", "LabelConfidence": 0.5}]
    told = file_columns({"URI": "a", "Labels": labels, "CustomId": "7", "CustomLabels": {"k": "v"}}, "en", whole=True)
    assert (told["labels"], told["custom_id"], told["custom_labels"]) == (["x"], "7", {"k": "v"})
    assert json.loads(told["attributes"]) == {"Labels": labels}
    assert file_columns({"URI": "a", "Labels": [{"LabelName": "x"}]}, "en", whole=True)["attributes"] is None
    assert file_columns({"URI": "a", "Title": "t"}, "en", whole=False) == {"title": "t"}
    assert file_columns({"URI": "a", "Addresses": addresses}, "fr", whole=False)["address"]["city"] == "Hangzhou"


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    new_lake(str(tmp_path / "lake"), LakeSettings())
    return Lake(str(tmp_path / "lake"))


def test_pieces_come_back_in_order_until_they_are_done(lake: Lake) -> None:
    a, b, c = index("a"), index("b", Title="杭州"), TRIPS
    append_asked(lake.root, [b], NOON + timedelta(seconds=1))
    append_asked(lake.root, [a, c], NOON)
    assert [found.piece_id for found in read_pending(lake, 10)] == [a.piece_id, c.piece_id, b.piece_id]
    assert read_pending(lake, 1)[0].parameters == a.parameters
    append_step(lake.root, [a], "started")
    append_step(lake.root, [a], "started")
    assert [found.tries for found in read_pending(lake, 10)] == [2, 0, 0]
    append_step(lake.root, [a], "done")
    append_step(lake.root, [c], "failed", "no")
    (left,) = read_pending(lake, 10)
    assert (left.piece_id, left.parameters, left.ask_time) == (b.piece_id, b.parameters, NOON + timedelta(seconds=1))


def test_what_is_done_expires_and_what_waits_does_not(lake: Lake) -> None:
    done, waiting, later = index("a"), index("b"), index("c")  # a and c will be done, b waits
    append_asked(lake.root, [done], NOON)
    append_asked(lake.root, [waiting], NOON + timedelta(minutes=1))
    append_asked(lake.root, [later], NOON + timedelta(minutes=2))
    append_step(lake.root, [found for found in read_pending(lake, 10) if found.uri != "b"], "done")
    assert expire_requests(lake, NOON + timedelta(minutes=30)) == 0
    assert expire_requests(lake, NOON + timedelta(hours=5)) == 2
    assert [found.piece_id for found in read_pending(lake, 10)] == [waiting.piece_id]


def test_many_single_pieces_are_few_commits_and_known_once_durable(lake: Lake) -> None:
    queue = Queue(lake)
    queue.start()
    durable = [queue.put([index(str(n))]) for n in range(3000)]
    for future in durable:
        assert future.result(timeout=60) is None
    queue.stop()
    assert [found.uri for found in read_pending(lake, 5000)] == [str(n) for n in range(3000)]
    table = lake.table(REQUESTS)
    assert table is not None
    assert table.version() < 60
    assert queue.has_files("p", "ada")
    assert not queue.has_files("p", "eve")


def test_files_that_wait_to_be_deleted_again_are_none(lake: Lake) -> None:
    append_asked(lake.root, [index("a"), piece("DeleteFileMeta", uri="a", File={"URI": "a"})], NOON)
    assert not Queue(lake).has_files("p", "ada")
    append_asked(lake.root, [index("a")], NOON + timedelta(seconds=1))
    assert Queue(lake).has_files("p", "ada")


def test_a_task_that_waits_for_long_is_not_lost(lake: Lake) -> None:
    task_id = "LocationDateClustering-1"
    now = datetime.now(UTC) - timedelta(hours=1)
    texts = ("task_type", "project_name", "event_id", "request_id", "run_id")
    state = {"task_id": task_id, **dict.fromkeys(texts, "x"), "status": "Running", "progress": 0}
    append(lake.root, TASKS, [{**state, "start_time": now, "update_time": now}])
    assert get_task(lake, task_id)["code"] == "Lost"
    queue = Queue(lake)
    append_asked(lake.root, [replace(TRIPS, task_id=task_id)], NOON)
    queue._beat()
    assert get_task(lake, task_id)["status"] == "Running"


@pytest.mark.long
@pytest.mark.parametrize("said", [{}, {"Artist": "Ada"}])
def test_a_new_file_shows_once_its_place_is_known(lake: Lake, monkeypatch: pytest.MonkeyPatch, said: Any) -> None:
    maker, scope = LakeMaker(Path(lake.root), "p"), Scope("p", ("ada",))
    maker.datasets("ada")

    def stores(*_: Any) -> None:
        maker.insert("files", [maker.file("oss://b/a.jpg")])
        assert read_files(lake, scope, ["oss://b/a.jpg"]) == []
        if said:
            raise SourceError("the run ended early")

    monkeypatch.setattr("serve.work.files._index_files", stores)
    with nullcontext() if not said else pytest.raises(SourceError):
        carry_out_files(lake, next_group([index("oss://b/a.jpg", **said)]))
    (file,) = read_files(lake, scope, ["oss://b/a.jpg"])
    assert (file["said"] or {}).get("artist") == said.get("Artist")

    def stores_again(*_: Any) -> None:
        assert read_files(lake, scope, ["oss://b/a.jpg"])

    monkeypatch.setattr("serve.work.files._index_files", stores_again)
    carry_out_files(lake, next_group([index("oss://b/a.jpg", **said)]))


def test_a_new_file_that_was_deleted_meanwhile_stays_hidden(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    maker, scope = LakeMaker(Path(lake.root), "p"), Scope("p", ("ada",))
    maker.datasets("ada")

    def stores(*_: Any) -> None:
        maker.insert("files", [maker.file("oss://b/a.jpg")])
        now = datetime.now(UTC)
        note_files(lake, "p", {("ada", "oss://b/a.jpg"): removed_at(now)}, now)

    monkeypatch.setattr("serve.work.files._index_files", stores)
    carry_out_files(lake, next_group([index("oss://b/a.jpg")]))
    assert read_files(lake, scope, ["oss://b/a.jpg"]) == []


@pytest.fixture
def worker(lake: Lake) -> Iterator[Worker]:
    running = Worker(lake.root)
    running.start()
    yield running
    running.stop()


def wait_for(what: Any, seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.mark.long
def test_a_worker_that_is_killed_is_started_again_and_ends_with_its_server(lake: Lake, worker: Worker) -> None:
    wait_for(worker.is_alive)
    first = worker.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: worker.is_alive() and worker.pid != first)
    worker.stop()
    assert not worker.is_alive()
