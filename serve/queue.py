"""Work that requests ask for: gathered to few commits, acknowledged once durable, carried out by the worker.

The server alone puts work in; the worker, a process of its own, takes it out (serve.worker).
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from catalog.bindings import every_binding
from catalog.commits import append
from catalog.lake import Lake, Row, Scope
from catalog.requests import Piece, append_asked, read_pending
from catalog.sql import all_of
from catalog.tasks import beat_tasks
from schemas.errors import LakeAlbumError
from schemas.tasks import TASKS
from serve.sources import Sources
from serve.work.faces import FaceFinder

log = logging.getLogger("lakealbum")

GATHERED = 10_000
"""Pieces that one commit takes at most."""
PAUSE_SECONDS = 0.05
"""How long a commit waits for others to come along."""
MOST_WAITING = 100_000
"""Pieces of a dataset that are looked at to tell whether it is about to have files."""
BEAT = timedelta(minutes=1)
"""How often tasks that wait for their turn give a sign of life."""
BACK_OFF_SECONDS = (0.0, 1.0, 5.0, 30.0)
"""How long a worker that died is waited for, by how often it did in a row."""
SETTLED_SECONDS = 300.0
_PLAIN_LOG = {"LAKEALBUM_LOG": "json"}
"""No progress bars in the middle of the server's log, unless they are asked for."""


@dataclass(frozen=True)
class _Asked:
    pieces: Sequence[Piece]
    task: Row | None
    durable: Future[None] = field(default_factory=Future)


class Queue:
    """The work of a lake: what comes in, and the process that does it."""

    def __init__(self, lake: Lake, worker: Worker | None = None, sources: Sources | None = None) -> None:
        self._lake, self._worker = lake, worker
        self.sources = sources or Sources()
        self.faces = FaceFinder()
        self._asked: queue.SimpleQueue[_Asked | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._gather, name="queue", daemon=True)
        self._beaten = self._synced = datetime.now(UTC)
        self._last_time = datetime.now(UTC)

    def start(self) -> None:
        """Begins to take work in, and to have it done."""
        self._thread.start()
        if self._worker:
            self._worker.start()

    def stop(self) -> None:
        """Makes what was taken in durable, and lets the worker end its run."""
        self._asked.put(None)
        self._thread.join()
        self.faces.close()
        if self._worker:
            self._worker.stop()

    def is_served(self) -> bool:
        """Whether a worker is there, or none is wanted."""
        return self._worker is None or self._worker.is_alive()

    def put(self, pieces: Sequence[Piece], task: Row | None = None) -> Future[None]:
        """Takes pieces in, and the first state of their task. The result tells that they are on disk."""
        asked = _Asked(pieces, task)
        self._asked.put(asked)
        return asked.durable

    def has_files(self, project: str, dataset: str) -> bool:
        """Whether files of a dataset wait to be indexed, and not to be deleted again."""
        ours = Scope(project, (dataset,)).condition(self._lake, bucketed=False)
        pending = read_pending(self._lake, MOST_WAITING, all_of([ours, "uri IS NOT NULL"]))
        last = {piece.uri: piece.operation for piece in pending}
        return any("Index" in operation for operation in last.values())

    def _gather(self) -> None:
        ending = False
        while not ending:
            asked = self._next()
            ending = None in asked
            if real := [item for item in asked if item is not None]:
                self._commit(real)
            if datetime.now(UTC) - self._beaten > BEAT:
                self._beat()
            if self._worker and self.sources.roots and datetime.now(UTC) - self._synced > self.sources.every:
                self._sync()

    def _next(self) -> list[_Asked | None]:
        try:
            found = [self._asked.get(timeout=BEAT.total_seconds() / 4)]
        except queue.Empty:
            return []
        time.sleep(PAUSE_SECONDS)
        with contextlib.suppress(queue.Empty):
            while len(found) < GATHERED:
                found.append(self._asked.get_nowait())
        return found

    def _commit(self, asked: Sequence[_Asked]) -> None:
        """Tasks first: a task without its work is known to be lost, work without its task is never acknowledged."""
        try:
            if tasks := [item.task for item in asked if item.task is not None]:
                append(self._lake.root, TASKS, tasks)
            self._last_time = max(datetime.now(UTC), self._last_time + timedelta(microseconds=1))
            append_asked(self._lake.root, [piece for item in asked for piece in item.pieces], self._last_time)
        except Exception as error:  # whatever it is, those who wait are told
            for item in asked:
                item.durable.set_exception(error)
            return
        for item in asked:
            item.durable.set_result(None)
        if self._worker:
            self._worker.wake()

    def _beat(self) -> None:
        self._beaten = datetime.now(UTC)
        try:
            waiting = {piece.task_id for piece in read_pending(self._lake, 10_000, "task_id IS NOT NULL")}
            beat_tasks(self._lake, sorted(task_id for task_id in waiting if task_id), self._beaten)
        except LakeAlbumError as error:
            log.error("tasks that wait could not be kept alive: %s", error)

    def _sync(self) -> None:
        """Asks for bound sources to be read again, those that do not wait for it already."""
        self._synced = datetime.now(UTC)
        try:
            waiting = read_pending(self._lake, MOST_WAITING, "operation = 'SyncBinding'")
            asked = {piece.parameters["BindingId"] for piece in waiting}
            due = [row for row in every_binding(self._lake) if row["state"] != "Stopped"]
        except LakeAlbumError as error:
            log.error("sources could not be asked to be read again: %s", error)
            return
        for row in due:
            if row["binding_id"] not in asked and self.sources.may_read(row["source"]):
                self.put([sync_piece(row, str(uuid.uuid4()).upper())])


def sync_piece(binding: Row, request_id: str) -> Piece:
    """The work of reading a bound source again."""
    place = binding["project_name"], binding["dataset_name"]
    return Piece("SyncBinding", *place, request_id, request_id, {"BindingId": binding["binding_id"]})


class Worker:
    """The process that does the work of a lake: started, woken, and started again when it dies."""

    def __init__(self, root: str, options: Sequence[str] = ()) -> None:
        self._command = [sys.executable, "-m", "serve.worker", "--lake", root, *options]
        self._process: subprocess.Popen[bytes] | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="worker", daemon=True)

    @property
    def pid(self) -> int | None:
        """The process, None before it is there."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Starts the process, and watches it."""
        self._thread.start()

    def is_alive(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    def wake(self) -> None:
        """Tells the process that there is something to do."""
        if self._process and self._process.stdin and not self._process.stdin.closed:
            with contextlib.suppress(OSError, ValueError):  # it just died, or was hung up
                self._process.stdin.write(b"\n")

    def stop(self) -> None:
        """Lets the process end what it does, and waits for it."""
        self._stopping.set()
        self._hang_up()
        self._thread.join()

    def _watch(self) -> None:
        deaths = 0
        while not self._stopping.is_set():
            begun = time.monotonic()
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, bufsize=0, start_new_session=True, env=_PLAIN_LOG | os.environ
            )
            if self._stopping.is_set():
                self._hang_up()
            code = self._process.wait()
            self._hang_up()
            if self._stopping.is_set():
                return
            deaths = 0 if time.monotonic() - begun > SETTLED_SECONDS else deaths + 1
            pause = BACK_OFF_SECONDS[min(deaths, len(BACK_OFF_SECONDS) - 1)]
            log.error("the worker ended with %d; it is started again in %g s", code, pause)
            self._stopping.wait(pause)

    def _hang_up(self) -> None:
        """The process ends when it can read no more."""
        if self._process and self._process.stdin:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
