"""Messages that tell of what happened, in IMM's format, and the outbox that they are delivered from.

    announce (a task that runs) -> waiting -> pending -> delivered | dead
    tell (of what is done already) -> pending -> ...

A message is in the outbox before it is sent, and leaves it once its receiver took it: it arrives at least once, and
perhaps more often, always with the same id.
"""

from __future__ import annotations

import json
import logging
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from catalog.commits import append, remove
from catalog.lake import Lake, Row, Scope
from catalog.paging import Page, Pager, Sorting, check_among, check_max_results
from catalog.sql import all_of, equals, literal, microseconds, one_of
from catalog.tasks import get_task
from catalog.times import utc
from catalog.webhooks import Webhook
from schemas.cluster_kinds import PEOPLE
from schemas.errors import LakeAlbumError, NotFound
from schemas.lake import check_name
from schemas.notifications import NOTIFICATIONS
from schemas.runs import RUNS

SOURCE = "acs.imm"
REGION = "lakealbum"
NO_ACCOUNT = "0"
"""Who asked, where no key did: the command line."""
STATES = ("waiting", "pending", "delivered", "dead")
DELAYS = tuple(timedelta(seconds=min(5 * 4**number, 3600)) for number in range(11))
"""How long until the next try: 5 s, 20 s, 80 s ... an hour; after as many and one more, some 6 hours, it is dead."""
PAUSES_SECONDS = (0.0, 2.0, 8.0)
"""Before each try at the end of a job, which nothing may come after for long."""
AT_ONCE = 100
"""Messages that are sent before their states are written."""
SENDERS = 8
KEPT = timedelta(days=30)
MOST_IDS = 1000
"""Ids of people that a message names."""
_EVENT_TASKS = {"FaceClustering": "FigureClustering"}
_ENDED = ("Succeeded", "Failed")

log = logging.getLogger("lakealbum")


@dataclass(frozen=True)
class NotificationQuery:
    """Which notifications are asked for, and how many a page, the oldest first."""

    project: str
    states: tuple[str, ...] = ()
    max_results: int = 100

    def __post_init__(self) -> None:
        """Raises UsageError naming what is accepted."""
        check_name("project", self.project)
        check_among("state", self.states, STATES)
        check_max_results(self.max_results)


@dataclass(frozen=True)
class Delivery:
    """What a round of sending came to."""

    delivered: int = 0
    failed: int = 0
    dead: int = 0

    @property
    def sent(self) -> int:
        """How many messages were sent."""
        return self.delivered + self.failed + self.dead


def event_of(task_type: str) -> str:
    """What the end of a task is called.

    >>> event_of("FaceClustering"), event_of("LocationDateClustering")
    ('imm:Task:FigureClustering', 'imm:Task:LocationDateClustering')
    """
    return f"imm:Task:{_EVENT_TASKS.get(task_type, task_type)}"


def announce(root: str, task: Mapping[str, Any], url: str) -> str:
    """Asks for a message at the end of a task, however it ends. Returns its id."""
    dataset = task["dataset_names"][0] if len(task["dataset_names"]) == 1 else None
    asked = _row(task["project_name"], dataset, event_of(task["task_type"]), url)
    append(root, NOTIFICATIONS, [{**asked, "delivery": "waiting", "task_id": task["task_id"]}])
    return str(asked["notification_id"])


def message_of(
    project: str,
    event_type: str,
    content: Mapping[str, Any],
    url: str,
    topic: str | None = None,
    account: str = NO_ACCOUNT,
) -> Row:
    """A notification of what is done already: a row of `notifications`."""
    asked = _row(project, content.get("DatasetName"), event_type, url) | {"topic": topic, "account": account}
    now = asked["create_time"]
    return {**asked, "delivery": "pending", "message": envelope(asked, content, now), "next_time": now}


def tell(root: str, messages: Sequence[Row]) -> None:
    """Puts messages into the outbox, in one commit."""
    if messages:
        append(root, NOTIFICATIONS, messages)


@contextmanager
def notifying(root: str, task: Mapping[str, Any], url: str | None) -> Iterator[None]:
    """Inside, a task runs and ends, of which a message is sent afterwards; without a url, none.

    One that cannot be delivered at once stays in the outbox, and the task is none the worse for it.
    """
    if url is None:
        yield
        return
    webhook = Webhook.from_environment()
    own = announce(root, task, url)
    try:
        yield
    finally:
        try:
            _deliver_soon(Lake(root), webhook, own)
        except LakeAlbumError as error:
            log.error("the notification %s stays in the outbox: %s", own, error)


def _deliver_soon(lake: Lake, webhook: Webhook, own: str) -> None:
    """Sends one notification, a few times if need be, then what else is due."""
    for pause in PAUSES_SECONDS:
        time.sleep(pause)
        if deliver(lake, webhook, [own]).delivered:
            break
    else:
        log.warning("the notification %s was not taken; `lakealbum notifications retry` sends it again", own)
    deliver(lake, webhook)


def deliver(lake: Lake, webhook: Webhook, ids: Sequence[str] = (), now: datetime | None = None) -> Delivery:
    """Sends what is due: messages of tasks that ended, and those whose next try has come; of `ids`, due or not.

    Dead ones are sent again if their ids are given. States are written after each `AT_ONCE` messages.
    """
    now = now or datetime.now(UTC)
    total = Delivery()
    asked: list[Row] = _states(lake, _is_due(ids, now))
    for start in range(0, len(asked), AT_ONCE):
        ready = [row for row in (_ready(lake, each, now) for each in asked[start : start + AT_ONCE]) if row]
        if not ready:
            continue
        with ThreadPoolExecutor(SENDERS) as senders:
            sent = list(senders.map(lambda row: _sent(webhook, row), ready))
        append(lake.root, NOTIFICATIONS, sent)
        states = [row["delivery"] for row in sent]
        total = Delivery(
            total.delivered + states.count("delivered"),
            total.failed + states.count("pending"),
            total.dead + states.count("dead"),
        )
    return total


def list_notifications(lake: Lake, query: NotificationQuery, next_token: str | None = None) -> Page:
    """A page of notifications, each in its last state. Rows have the columns of `notifications`."""
    sorting = Sorting("create_time", "notification_id")
    asked = asdict(query)
    del asked["max_results"]
    pager = Pager(lake.token_key, {"kind": "notifications", **asked}, sorting, query.max_results)
    conditions = [equals("project_name", query.project), sorting.after(pager.position(next_token))]
    if query.states:
        conditions.append(one_of("delivery", query.states))
    return pager.page(_states(lake, all_of(conditions), f"{sorting.clause} LIMIT {query.max_results + 1}"))


def find_undelivered(lake: Lake, project: str, ids: Sequence[str] = ()) -> list[str]:
    """The ids of the notifications that were not delivered: all, or these. NotFound names one that is not there."""
    ours = equals("project_name", project)
    if ids:
        known = {row["notification_id"] for row in _states(lake, all_of([ours, one_of("notification_id", ids)]))}
        for missing in (each for each in ids if each not in known):
            raise NotFound(f"there is no notification {missing!r} in project {project!r}")
        return list(ids)
    waiting = _states(lake, all_of([ours, one_of("delivery", ("waiting", "pending", "dead"))]))
    return [row["notification_id"] for row in waiting]


def expire_notifications(lake: Lake, now: datetime) -> int:
    """Deletes notifications that were asked for too long ago. Returns how many states."""
    past = f"create_time < {literal(now - KEPT)}"
    if not lake.count(f"notifications WHERE {past}", NOTIFICATIONS.name):
        return 0
    return remove(lake.root, NOTIFICATIONS, past)


def envelope(notification: Mapping[str, Any], content: Mapping[str, Any], at: datetime) -> str:
    """A message in IMM's format: the content is JSON text in it, the time in milliseconds since 1970."""
    event_type, project = notification["event_type"], notification["project_name"]
    document = {
        "id": notification["notification_id"],
        "source": SOURCE,
        "type": event_type,
        "subject": f"acs:imm:{REGION}:{notification['account']}:{project}/{event_type}",
        "time": str(microseconds(at) // 1000),
        "content": json.dumps(content, ensure_ascii=False),
    }
    return json.dumps(document, ensure_ascii=False)


def task_content(lake: Lake, task: Mapping[str, Any]) -> dict[str, Any]:
    """What a message says of a task that ended, with what is published of the fields of its type."""
    datasets = task["dataset_names"] or []
    content = {
        "ProjectName": task["project_name"],
        "DatasetName": datasets[0] if len(datasets) == 1 else "",
        **({"DatasetNames": datasets} if len(datasets) != 1 else {}),
        "RequestId": task["request_id"],
        "StartTime": utc(task["start_time"]),
        "EndTime": utc(task["end_time"]),
        "UserData": task["user_data"] or "",
        "TaskType": task["task_type"],
        "TaskId": task["task_id"],
        "Status": task["status"],
        "Code": task["code"] or "",
        "Message": task["message"] or "",
        "EventSourceId": task["event_id"],
    }
    return content | (_people_changed(lake, task) if task["task_type"] == "FaceClustering" else {})


def files_content(
    project: str, dataset: str, request_id: str, uris: Sequence[str], times: tuple[datetime, datetime], **told: str
) -> dict[str, Any]:
    """What a message says of files that a request was about; `told` has `code`, `message` and `user_data`, if any."""
    code, message = told.get("code", ""), told.get("message", "")
    error = f"[{code}] {message}" if code else ""
    return {
        "ProjectName": project,
        "DatasetName": dataset,
        "RequestId": request_id,
        "StartTime": utc(times[0]),
        "EndTime": utc(times[1]),
        "UserData": told.get("user_data", ""),
        "Success": not code,
        "Message": message,
        "Files": [{"URI": uri, "Error": error} for uri in uris],
    }


def _people_changed(lake: Lake, task: Mapping[str, Any]) -> dict[str, Any]:
    """How many people are new or changed by the run of a task, and the ids of the first of them."""
    runs = lake.read(f"SELECT row_counts FROM runs WHERE {equals('task_id', task['task_id'])}", RUNS.name)
    count = (dict(runs[0]["row_counts"] or {}) if runs else {}).get
    people, members = PEOPLE.table.name, PEOPLE.members.name
    scope = Scope(task["project_name"], tuple(task["dataset_names"] or ()))
    of_run = all_of([scope.condition(lake), equals("kind", PEOPLE.name), equals("run_id", task["run_id"])])

    def named(events: Sequence[str]) -> list[str]:
        found = lake.read(
            f"SELECT DISTINCT object_id FROM cluster_events WHERE {of_run} AND {one_of('event', events)} "
            f"ORDER BY object_id LIMIT {MOST_IDS}",
            "cluster_events",
        )
        return [row["object_id"] for row in found]

    return {
        "NewClusterCount": count(f"{people}.inserted", 0),
        "UpdatedClusterCount": count(f"{people}.updated", 0),
        "UpdatedFigureCount": sum(count(f"{members}.{action}", 0) for action in ("inserted", "updated", "deleted")),
        "NewClusterIds": named(("created",)),
        "UpdatedClusterIds": named(("extended", "shrunk", "revived")),
    }


def _row(project: str, dataset: str | None, event_type: str, url: str) -> Row:
    now = datetime.now(UTC)
    return {
        "notification_id": str(uuid.uuid4()),
        "project_name": project,
        "dataset_name": dataset or None,
        "event_type": event_type,
        "url": url,
        "account": NO_ACCOUNT,
        "attempts": 0,
        "create_time": now,
        "update_time": now,
    }


def _is_due(ids: Sequence[str], now: datetime) -> str:
    if ids:
        return all_of([one_of("notification_id", ids), "delivery <> 'delivered'"])
    return f"delivery = 'waiting' OR (delivery = 'pending' AND next_time <= {literal(now)})"


def _states(lake: Lake, condition: str, rest: str = "ORDER BY create_time, notification_id") -> list[Row]:
    """Notifications in their last state that satisfy a condition."""
    newest = (
        "SELECT *, row_number() OVER (PARTITION BY notification_id ORDER BY update_time DESC, attempts DESC) AS age"
    )
    columns = ", ".join(NOTIFICATIONS.names)
    last = f"SELECT {columns} FROM ({newest} FROM notifications) WHERE age = 1"
    return lake.read(f"SELECT * FROM ({last}) WHERE {condition} {rest}", NOTIFICATIONS.name)


def _ready(lake: Lake, row: Row, now: datetime) -> Row | None:
    """A notification with its message; None while its task runs."""
    if row["message"] is not None:
        return row
    try:
        task = get_task(lake, row["task_id"], now)
        if task["status"] not in _ENDED:
            return None
        content = task_content(lake, task)
    except NotFound:  # not written yet, or not kept any longer
        if now - row["create_time"] < KEPT / 2:
            return None
        content = {"ProjectName": row["project_name"], "TaskId": row["task_id"], "Status": "Failed", "Code": "Lost"}
    return row | {"message": envelope(row, content, now)}


def _sent(webhook: Webhook, row: Row) -> Row:
    """A notification after another try."""
    reason = webhook.post(row["url"], row["notification_id"], row["message"].encode())
    now, attempts = datetime.now(UTC), row["attempts"] + 1
    if reason is None:
        state, next_time = "delivered", None
    elif attempts > len(DELAYS):
        state, next_time = "dead", None
    else:
        state, next_time = "pending", now + DELAYS[attempts - 1]
    told = {"delivery": state, "attempts": attempts, "next_time": next_time, "reason": reason and reason[:1000]}
    return row | told | {"update_time": max(now, row["update_time"] + timedelta(microseconds=1))}
