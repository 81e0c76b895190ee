"""Notifications of the endpoint: which topics lead where, what is told when work ends, and the thread that sends it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from catalog.lake import Lake, Row
from catalog.notifications import (
    deliver,
    event_of,
    expire_notifications,
    files_content,
    message_of,
    task_content,
    tell,
)
from catalog.requests import Piece
from catalog.tasks import get_task
from catalog.webhooks import Guard, Webhook
from schemas.errors import LakeAlbumError, NotFound, UsageError

log = logging.getLogger("lakealbum")

LOOK_SECONDS = 2.0
EXPIRE_SECONDS = 3600.0
_KEYS = {"topics"}


@dataclass(frozen=True)
class Topics:
    """Where topics lead: name (of RocketMQ `instance/name`, or the name alone) -> address."""

    urls: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Topics:
        """What a YAML file says under `notifications`: `topics`, names and addresses. UsageError where it is wrong."""
        try:
            document = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise UsageError(f"--notifications {str(path)!r} cannot be read: {error}") from None
        told = document.get("notifications") if isinstance(document, dict) else None
        topics = told.get("topics") if isinstance(told, dict) else None
        if not isinstance(told, dict) or told.keys() - _KEYS or not isinstance(topics, dict):
            raise UsageError(f"--notifications {str(path)!r}: `notifications: {{topics: {{NAME: URL}}}}` is accepted")
        found = cls({str(name): str(url) for name, url in topics.items()})
        for url in found.urls.values():
            found.guard.check(url)
        return found

    @property
    def guard(self) -> Guard:
        """The hosts that the topics lead to may be sent to, wherever they are."""
        return Guard(tuple(sorted({host for url in self.urls.values() if (host := _host(url))})))

    def find(self, notification: Mapping[str, Any]) -> list[tuple[str, str]]:
        """The topics of a request's Notification that lead somewhere, with their addresses."""
        queue = notification.get("RocketMQ", {})
        asked = [notification.get("MNS", {}).get("TopicName"), queue.get("TopicName")]
        if "InstanceId" in queue and "TopicName" in queue:
            asked[1:1] = [f"{queue['InstanceId']}/{queue['TopicName']}"]
        found = [(topic, self.urls[topic]) for topic in asked if topic in self.urls]
        if not found:
            log.warning("a notification leads nowhere", extra={"topics": [topic for topic in asked if topic]})
        return found[:1]


class Notifier:
    """Tells of work that ended, and sends what is due from a thread of its own."""

    def __init__(self, root: str, topics: Topics) -> None:
        self._root, self._topics = root, topics
        self._webhook = Webhook(topics.guard, Webhook.from_environment().secret) if topics.urls else None
        self._due, self._stopping = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begins to send."""
        if self._webhook:
            self._thread = threading.Thread(target=self._send, args=[self._webhook], name="notifications", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Ends sending, after what is being sent. What is due then, the next one sends."""
        self._stopping.set()
        self._due.set()
        if self._thread:
            self._thread.join()

    def ended(self, lake: Lake, pieces: Sequence[Piece], code: str | None, message: str | None) -> None:
        """Puts into the outbox what is to be told of pieces of work that ended."""
        asked = [piece for piece in pieces if piece.parameters.get("Notification")] if self._topics.urls else []
        requests: dict[str, list[Piece]] = {}
        for piece in asked:
            requests.setdefault(piece.request_id, []).append(piece)
        tell(self._root, [row for of_one in requests.values() for row in self._messages(lake, of_one, code, message)])
        self._due.set()

    def _messages(self, lake: Lake, pieces: Sequence[Piece], code: str | None, message: str | None) -> list[Row]:
        """The messages of one request, to each of its topics."""
        first = pieces[0]
        receivers = self._topics.find(first.parameters["Notification"])
        if first.task_id is not None:
            try:
                task = get_task(lake, first.task_id)
            except NotFound:  # expired while it waited
                return []
            event, content = event_of(task["task_type"]), task_content(lake, task)
        else:
            event = f"imm:FileMeta:{first.operation.removesuffix('FileMeta')}"
            content = files_content(
                first.project_name,
                first.dataset_name,
                first.request_id,
                [piece.uri for piece in pieces if piece.uri],
                (first.ask_time, datetime.now(UTC)),
                code=code or "",
                message=message or "",
                user_data=first.parameters.get("UserData", ""),
            )
        return [message_of(first.project_name, event, content, url, topic) for topic, url in receivers]

    def _send(self, webhook: Webhook) -> None:
        lake, waited = Lake(self._root), EXPIRE_SECONDS
        while not self._stopping.is_set():
            try:
                deliver(lake, webhook)
                if waited >= EXPIRE_SECONDS:
                    expire_notifications(lake, datetime.now(UTC))
                    waited = 0.0
            except LakeAlbumError as error:
                log.error("notifications could not be sent: %s", error)
            self._due.wait(LOOK_SECONDS)
            self._due.clear()
            waited += LOOK_SECONDS


def _host(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").lower()
    except ValueError:
        return ""
