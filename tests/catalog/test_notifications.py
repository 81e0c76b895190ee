"""Messages in the outbox: what they say, when they are sent, and what becomes of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from catalog import notifications
from catalog.lake import Lake
from catalog.notifications import (
    DELAYS,
    NotificationQuery,
    announce,
    deliver,
    expire_notifications,
    files_content,
    find_undelivered,
    list_notifications,
    message_of,
    notifying,
    tell,
)
from catalog.tasks import append_task_state
from catalog.webhooks import HOSTS, SECRET, Guard, Webhook
from jobs.cli.main import lakealbum, run
from schemas.errors import NotFound, UsageError
from tests.catalog.conftest import NOON, LakeMaker, person_id
from tests.catalog.test_webhooks import KEY, Receiver

pytestmark = pytest.mark.long

SENDER = Webhook(Guard(("127.0.0.1",)), KEY.encode())


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    monkeypatch.setenv(HOSTS, "127.0.0.1")
    monkeypatch.setenv(SECRET, KEY)
    monkeypatch.setattr(notifications, "PAUSES_SECONDS", (0.0, 0.01, 0.01))
    found = Receiver()
    yield found
    found.server.shutdown()
    found.server.server_close()


def task(**given: Any) -> dict[str, Any]:
    """A row of `tasks`: a clustering that begins now."""
    now = datetime.now(UTC)
    return {
        "task_id": "LocationDateClustering-1",
        "task_type": "LocationDateClustering",
        "project_name": "demo",
        "dataset_names": ["ada"],
        "event_id": "E",
        "request_id": "R",
        "run_id": "run-1",
        "status": "Running",
        "progress": 0,
        "code": None,
        "message": None,
        "user_data": "mine",
        "start_time": now,
        "end_time": None,
        "update_time": now,
        **given,
    }


def end(maker: LakeMaker, row: dict[str, Any], **given: Any) -> None:
    """Writes the last state of a task."""
    now = datetime.now(UTC)
    append_task_state(
        maker.root, {**row, "status": "Succeeded", "progress": 100, "end_time": now, "update_time": now, **given}
    )


def states(maker: LakeMaker) -> list[str]:
    """The states of all notifications, the oldest first."""
    return [row["delivery"] for row in list_notifications(maker.lake, NotificationQuery("demo")).rows]


def message(receiver: Receiver, number: int = 0) -> tuple[dict[str, Any], dict[str, Any]]:
    """A message that came, and its content."""
    document = json.loads(receiver.requests[number][2])
    return document, json.loads(document["content"])


def test_the_end_of_a_task_is_told_once_it_is_there(maker: LakeMaker, receiver: Receiver) -> None:
    row = task()
    append_task_state(maker.root, row)
    asked = announce(maker.root, row, receiver.url)
    assert deliver(maker.lake, SENDER).sent == 0
    assert states(maker) == ["waiting"]
    end(maker, row)
    assert deliver(maker.lake, SENDER).delivered == 1
    assert deliver(maker.lake, SENDER).sent == 0
    document, content = message(receiver)
    assert {key: document[key] for key in ("id", "source", "type", "subject")} == {
        "id": asked,
        "source": "acs.imm",
        "type": "imm:Task:LocationDateClustering",
        "subject": "acs:imm:lakealbum:0:demo/imm:Task:LocationDateClustering",
    }
    assert abs(int(document["time"]) / 1000 - datetime.now(UTC).timestamp()) < 60
    assert content.keys() >= {"StartTime", "EndTime"}
    assert {key: value for key, value in content.items() if not key.endswith("Time")} == {
        "ProjectName": "demo",
        "DatasetName": "ada",
        "RequestId": "R",
        "UserData": "mine",
        "TaskType": "LocationDateClustering",
        "TaskId": "LocationDateClustering-1",
        "Status": "Succeeded",
        "Code": "",
        "Message": "",
        "EventSourceId": "E",
    }
    assert states(maker) == ["delivered"]


def test_a_killed_task_is_told_of_as_lost(maker: LakeMaker, receiver: Receiver) -> None:
    row = task()
    append_task_state(maker.root, row)
    announce(maker.root, row, receiver.url)
    assert deliver(maker.lake, SENDER, now=datetime.now(UTC) + timedelta(minutes=6)).delivered == 1
    _, content = message(receiver)
    assert (content["Status"], content["Code"]) == ("Failed", "Lost")


def test_people_that_changed_are_named(maker: LakeMaker, receiver: Receiver) -> None:
    row = task(task_type="FaceClustering", task_id="CreateFigureClusteringTask-1")
    end(maker, row)
    counts = {"figure_clusters.inserted": 2, "figure_clusters.updated": 1, "figure_members.inserted": 7}
    ran = {"run_id": "run-1", "task_id": row["task_id"], "job": "cluster-figures", "project_name": "demo"}
    ran |= {"parameters": "{}", "config_hash": "h", "code_version": "1", "status": "Succeeded", "start_time": NOON}
    maker.insert("runs", [{**ran, "row_counts": counts}])
    key = {
        "bucket": 12,
        "project_name": "demo",
        "dataset_name": "ada",
        "kind": "figures",
        "reason": "r",
        "cluster_version": 1,
    }
    changes = [(1, "created", "run-1"), (2, "extended", "run-1"), (3, "created", "run-0")]
    events = [
        {**key, "object_id": person_id(n), "event": event, "run_id": run_id, "event_time": NOON}
        for n, event, run_id in changes
    ]
    maker.insert("cluster_events", events)
    announce(maker.root, row, receiver.url)
    deliver(maker.lake, SENDER)
    document, content = message(receiver)
    assert document["type"] == "imm:Task:FigureClustering"
    assert (content["TaskType"], content["NewClusterCount"], content["UpdatedClusterCount"]) == ("FaceClustering", 2, 1)
    assert (content["UpdatedFigureCount"], content["NewClusterIds"]) == (7, [person_id(1)])
    assert content["UpdatedClusterIds"] == [person_id(2)]


def ready(receiver: Receiver) -> dict[str, Any]:
    """A message of files that were indexed."""
    content = files_content("demo", "ada", "R", ["a.jpg"], (NOON, NOON), code="InvalidSource", message="no")
    return message_of("demo", "imm:FileMeta:Index", content, receiver.url, "photos")


def test_files(maker: LakeMaker, receiver: Receiver) -> None:
    tell(maker.root, [ready(receiver)])
    deliver(maker.lake, SENDER)
    document, content = message(receiver)
    assert document["type"] == "imm:FileMeta:Index"
    assert (content["Success"], content["Files"]) == (False, [{"URI": "a.jpg", "Error": "[InvalidSource] no"}])


def test_tries_come_later_and_later_until_it_is_dead(maker: LakeMaker, receiver: Receiver) -> None:
    tell(maker.root, [ready(receiver)])
    receiver.statuses = [500] * (len(DELAYS) + 2)
    for number, delay in enumerate(DELAYS):
        now = datetime.now(UTC) + timedelta(hours=2 * number)
        assert deliver(maker.lake, SENDER, now=now).failed == 1
        [row] = list_notifications(maker.lake, NotificationQuery("demo")).rows
        assert (row["delivery"], row["attempts"], row["reason"]) == (
            "pending",
            number + 1,
            "it answered with status 500",
        )
        assert timedelta(0) <= row["next_time"] - row["update_time"] - delay < timedelta(seconds=1)
        assert deliver(maker.lake, SENDER, now=row["next_time"] - timedelta(seconds=1)).sent == 0
    assert deliver(maker.lake, SENDER, now=datetime.now(UTC) + timedelta(days=1)).dead == 1
    assert deliver(maker.lake, SENDER, now=datetime.now(UTC) + timedelta(days=1)).sent == 0
    [dead] = list_notifications(maker.lake, NotificationQuery("demo", ("dead",))).rows
    receiver.statuses = []
    assert deliver(maker.lake, SENDER, [dead["notification_id"]]).delivered == 1
    assert len({json.loads(body)["id"] for _, _, body in receiver.requests}) == 1


def test_many_messages_go_in_few_commits(maker: LakeMaker, receiver: Receiver) -> None:
    tell(maker.root, [ready(receiver) for _ in range(120)])
    before = maker.lake.pin(["notifications"]).versions["notifications"]
    assert deliver(maker.lake, SENDER).delivered == 120
    assert maker.lake.pin(["notifications"]).versions["notifications"] == before + 2
    assert len({json.loads(body)["id"] for _, _, body in receiver.requests}) == 120
    first = list_notifications(maker.lake, NotificationQuery("demo", max_results=70))
    rest = list_notifications(maker.lake, NotificationQuery("demo", max_results=70), first.next_token)
    assert len({row["notification_id"] for row in first.rows + rest.rows}) == 120
    assert expire_notifications(maker.lake, datetime.now(UTC)) == 0
    assert expire_notifications(maker.lake, datetime.now(UTC) + timedelta(days=31)) == 240
    assert states(maker) == []


def test_a_job_tells_of_its_end(maker: LakeMaker, receiver: Receiver) -> None:
    row = task()
    receiver.statuses = [503]
    with notifying(maker.root, row, receiver.url):
        append_task_state(maker.root, row)
        end(maker, row)
    assert states(maker) == ["delivered"]
    failed = task(task_id="LocationDateClustering-2")

    def fail() -> None:
        with notifying(maker.root, failed, receiver.url):
            end(maker, failed, status="Failed", code="InvalidLake", message="it is gone")
            raise NotFound("it is gone")

    with pytest.raises(NotFound):
        fail()
    _, content = message(receiver, -1)
    assert (content["Status"], content["Code"], content["Message"]) == ("Failed", "InvalidLake", "it is gone")
    with notifying(maker.root, row, None):
        pass
    assert states(maker) == ["delivered", "delivered"]


def test_a_receiver_that_is_down_leaves_the_job_alone(maker: LakeMaker, receiver: Receiver) -> None:
    receiver.statuses = [500] * 4
    row = task()
    with notifying(maker.root, row, receiver.url):
        end(maker, row)
    assert states(maker) == ["pending"]


def test_the_command_line(maker: LakeMaker, receiver: Receiver, capsys: pytest.CaptureFixture[str]) -> None:
    def shell(*arguments: str) -> tuple[int, str]:
        code = run(lakealbum, ["notifications", *arguments, "--lake", maker.root, "--project", "demo"])
        return code, capsys.readouterr().out

    assert shell("list") == (0, "Nothing matches.\n")
    tell(maker.root, [ready(receiver)])
    receiver.statuses = [500]
    assert shell("retry") == (1, "0 of 1 were delivered; 0 wait for their tasks to end.\n")
    code, listed = shell("list", "--state", "pending")
    assert code == 0
    assert all(part in listed for part in ("imm:FileMeta:Index", "photos", "status 500"))
    document = json.loads(shell("list", "--json")[1])
    [found] = document["Notifications"]
    assert (found["Delivery"], found["Attempts"]) == ("pending", 1)
    assert "Message" not in found
    assert shell("retry", found["NotificationId"])[0] == 0
    assert states(maker) == ["delivered"]
    assert shell("retry") == (0, "0 of 0 were delivered; 0 wait for their tasks to end.\n")
    assert shell("retry", "nobody")[0] == 1
    with pytest.raises(NotFound):
        find_undelivered(Lake(maker.root), "demo", ["nobody"])
    with pytest.raises(UsageError):
        NotificationQuery("demo", ("lost",))
