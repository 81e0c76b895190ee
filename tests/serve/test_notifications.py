"""What the endpoint tells of work that ended, and where topics lead."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from catalog.notifications import NotificationQuery, list_notifications
from catalog.requests import Piece, append_asked, read_pending
from catalog.tasks import append_task_state
from catalog.webhooks import HOSTS, SECRET
from schemas.errors import UsageError
from serve.notifications import Notifier, Topics
from serve.worker import Work
from tests.catalog.conftest import NOON, LakeMaker
from tests.catalog.test_webhooks import KEY, Receiver


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    monkeypatch.setenv(SECRET, KEY)
    monkeypatch.delenv(HOSTS, raising=False)
    found = Receiver()
    yield found
    found.server.shutdown()
    found.server.server_close()


@pytest.fixture
def maker(tmp_path: Path) -> LakeMaker:
    made = LakeMaker(tmp_path / "lake")
    made.datasets("ada")
    return made


def topics_file(folder: Path, text: str) -> Path:
    path = folder / "topics.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def piece(operation: str, request: str, uri: str | None = None, task_id: str | None = None, **more: Any) -> Piece:
    """A piece of work that is to be told of to the topic photos."""
    parameters = {"Notification": {"MNS": {"TopicName": "photos"}}, **more}
    return Piece(operation, "demo", "ada", request, "E", parameters, uri=uri, task_id=task_id, ask_time=NOON)


def contents(receiver: Receiver) -> dict[str, dict[str, Any]]:
    """What came, by RequestId."""
    found = [json.loads(json.loads(body)["content"]) for _, _, body in receiver.requests]
    return {content["RequestId"]: content for content in found}


@pytest.mark.long
def test_requests_are_told_of_once_each(tmp_path: Path, maker: LakeMaker, receiver: Receiver) -> None:
    topics = Topics.read(topics_file(tmp_path, f"notifications: {{topics: {{photos: '{receiver.url}'}}}}"))
    now = datetime.now(UTC)
    task = {
        "task_id": "T-1",
        "task_type": "SimilarImageClustering",
        "project_name": "demo",
        "dataset_names": ["ada"],
        "event_id": "E",
        "request_id": "C",
        "run_id": "r",
        "status": "Failed",
        "progress": 3,
        "code": "Lost",
        "start_time": now,
        "end_time": now,
        "update_time": now,
        "message": "no",
        "user_data": "mine",
    }
    append_task_state(maker.root, task)
    silent = Piece("IndexFileMeta", "demo", "ada", "S", "E", {}, uri="s.jpg", ask_time=NOON)
    elsewhere = Piece(
        "IndexFileMeta", "demo", "ada", "X", "E", {"Notification": {"MNS": {"TopicName": "x"}}}, uri="x.jpg"
    )
    notifier = Notifier(maker.root, topics)
    files = [piece("BatchIndexFileMeta", "A", "a.jpg", UserData="u"), piece("BatchIndexFileMeta", "A", "b.jpg")]
    notifier.ended(maker.lake, [*files, piece("DeleteFileMeta", "B", "c.jpg"), silent, elsewhere], None, None)
    notifier.ended(maker.lake, [piece("CreateSimilarImageClusteringTask", "C", task_id="T-1")], "Lost", "no")
    waiting = list_notifications(maker.lake, NotificationQuery("demo")).rows
    assert [(row["event_type"], row["delivery"], row["topic"]) for row in waiting] == [
        ("imm:FileMeta:BatchIndex", "pending", "photos"),
        ("imm:FileMeta:Delete", "pending", "photos"),
        ("imm:Task:SimilarImageClustering", "pending", "photos"),
    ]
    notifier.start()
    deadline = time.monotonic() + 30
    while len(receiver.requests) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    notifier.stop()
    rows = list_notifications(maker.lake, NotificationQuery("demo")).rows
    assert [row["delivery"] for row in rows] == ["delivered"] * 3
    told = contents(receiver)
    assert (told["A"]["Success"], told["A"]["UserData"]) == (True, "u")
    assert told["A"]["Files"] == [{"URI": "a.jpg", "Error": ""}, {"URI": "b.jpg", "Error": ""}]
    assert (told["C"]["TaskId"], told["C"]["Status"], told["C"]["Code"], told["C"]["UserData"]) == (
        "T-1",
        "Failed",
        "Lost",
        "mine",
    )


@pytest.mark.long
def test_work_is_told_of_before_it_leaves_the_queue(tmp_path: Path, maker: LakeMaker, receiver: Receiver) -> None:
    topics = Topics.read(topics_file(tmp_path, f"notifications: {{topics: {{photos: '{receiver.url}'}}}}"))
    append_asked(maker.root, [piece("DeleteFileMeta", "D", "gone.jpg")], datetime.now(UTC))
    work = Work(maker.root, Notifier(maker.root, topics))
    assert work.do_some()
    assert read_pending(maker.lake, 10) == []
    [row] = list_notifications(maker.lake, NotificationQuery("demo")).rows
    assert (row["event_type"], row["delivery"]) == ("imm:FileMeta:Delete", "pending")


def test_topics_of_rocketmq_may_be_told_apart_by_instance() -> None:
    topics = Topics({"t": "https://a.example/", "i/t": "https://b.example/"})
    assert topics.find({"RocketMQ": {"InstanceId": "i", "TopicName": "t"}}) == [("i/t", "https://b.example/")]
    assert topics.find({"RocketMQ": {"InstanceId": "j", "TopicName": "t"}}) == [("t", "https://a.example/")]
    assert topics.find({"MNS": {"TopicName": "u"}}) == []
    assert topics.guard.hosts == ("a.example", "b.example")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "topics: {}",
        "notifications: {topics: [a]}",
        "notifications: {hosts: []}",
        "notifications: {topics: {a: 'ftp://b/'}}",
        "{",
    ],
)
def test_what_is_wrong_with_a_file_of_topics_is_told(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError, match=r"is accepted|cannot be read|is not https|is not an address"):
        Topics.read(topics_file(tmp_path, text))


def test_topics_need_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SECRET, raising=False)
    with pytest.raises(UsageError, match=SECRET):
        Notifier("/nowhere", Topics({"t": "https://a.example/"}))
    Notifier("/nowhere", Topics()).ended(None, [piece("DeleteFileMeta", "B", "c.jpg")], None, None)  # type: ignore[arg-type]
