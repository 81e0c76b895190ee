"""The worker: a process that carries out what the endpoint accepted, in order, in one warm session.

    requests -> files, file_notes | clusters -> tasks, requests

How each kind of work is done: serve.work.

`python -m serve.worker --lake URI`; it ends when its standard input does, after the run under way. What is asked and
not done is done by the next worker: every step is harmless to repeat.
"""

from __future__ import annotations

import argparse
import fcntl
import logging
import os
import select
import signal
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from catalog.lake import Lake
from catalog.requests import Piece, append_step, expire_requests, read_pending
from catalog.tasks import append_task_state
from schemas.errors import LakeAlbumError
from schemas.requests import REQUESTS
from serve.notifications import Notifier, Topics
from serve.sources import Sources
from serve.work.datasets import DATASET_WORK, follow_sources, state_of
from serve.work.files import carry_out_files
from serve.work.groups import Group, next_group

log = logging.getLogger("lakealbum")

BATCH = 20_000
"""Pieces that are looked at, at once."""
MOST_TRIES = 3
"""As often is a piece begun that ends the worker each time; then it failed."""
FEWER_BITS = 4
"""By how many powers of two fewer pieces go together each time that they ended the worker."""
LOOK_SECONDS = 2.0
"""How long an idle worker waits for a sign before it looks by itself."""
EXPIRE_SECONDS = 900.0


def carry_out(lake: Lake, group: Group, sources: Sources) -> None:
    """Does the work of a group. Raises what its job raises."""
    match group.what[0]:
        case "files":
            carry_out_files(lake, group)
        case "SyncBinding":
            follow_sources(lake, group, sources)
        case operation:
            DATASET_WORK[operation](lake, group)


class Work:
    """The work of one lake, a group at a time."""

    def __init__(self, root: str, notifier: Notifier | None = None, sources: Sources | None = None) -> None:
        self.lake = Lake(root)
        self._notifier, self._sources = notifier, sources or Sources()
        self._seen = -1
        self._expired = time.monotonic()

    def do_some(self) -> bool:
        """Carries out the next group, if there is one. Returns whether there was."""
        version = self.lake.table(REQUESTS).version()
        if version == self._seen:
            return False
        pending = read_pending(self.lake, BATCH)
        if not pending:
            self._seen = version
            self._tidy()
            return False
        self._do(next_group(pending))
        return True

    def _do(self, group: Group) -> None:
        first = group.pieces[0]
        if first.tries >= MOST_TRIES:
            self._end([first], "Lost", f"{first.operation} ended the worker {first.tries} times")
            return
        del group.pieces[max(1, len(group.pieces) >> FEWER_BITS * first.tries) :]  # one of them may end the worker
        append_step(self.lake.root, [first], "started")
        log.info("work", extra={"what": group.what[0], "project": group.project, "pieces": len(group.pieces)})
        try:
            carry_out(self.lake, group, self._sources)
        except LakeAlbumError as error:
            log.error("work failed", extra={"what": group.what[0], "reason": str(error)[:500]})
            if len(group.pieces) > 1:
                self._one_by_one(group)
            else:
                self._end(group.pieces, error.code, str(error))
        else:
            self._end(group.pieces)

    def _one_by_one(self, group: Group) -> None:
        """Of pieces that failed together, those that are good are done, and the others fail by themselves."""
        halves = group.pieces[: len(group.pieces) // 2], group.pieces[len(group.pieces) // 2 :]
        for half in halves:
            self._do(Group(group.what, group.project, list(half)))

    def _end(self, pieces: Sequence[Piece], code: str | None = None, message: str | None = None) -> None:
        """Tells tasks what became of them, then takes the pieces out of the queue."""
        for piece in pieces:
            if piece.task_id is not None:
                self._end_task(piece, code, message)
        if self._notifier:  # before the pieces leave the queue: killed in between, it is told twice
            self._notifier.ended(self.lake, pieces, code, message)
        append_step(self.lake.root, pieces, "failed" if code else "done", message)

    def _end_task(self, piece: Piece, code: str | None, message: str | None) -> None:
        state, now = state_of(self.lake, piece), datetime.now(UTC)
        if state.get("status") in ("Succeeded", "Failed") and state.get("code") != "Lost":
            return
        if "task_type" not in state:
            return
        ended = {"status": "Failed" if code else "Succeeded", "code": code, "message": message}
        progress = state["progress"] if code else 100
        append_task_state(self.lake.root, {**state, **ended, "progress": progress, "end_time": now, "update_time": now})

    def _tidy(self) -> None:
        if time.monotonic() - self._expired > EXPIRE_SECONDS:
            self._expired = time.monotonic()
            expire_requests(self.lake, datetime.now(UTC))


@contextmanager
def only_worker(root: str) -> Iterator[None]:
    """Waits until no other process works on the lake, and keeps others waiting; on one machine, of a local lake."""
    if "://" in root:
        yield
        return
    lock = os.open(Path(root) / ".worker.lock", os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def is_wanted(seconds: float) -> bool:
    """Waits for a sign from the server, so long at most. Returns False once the server has hung up."""
    ready, _, _ = select.select([sys.stdin.fileno()], [], [], seconds)
    return not ready or bool(os.read(sys.stdin.fileno(), 65536))


def main(arguments: Iterable[str] | None = None) -> int:
    """Works until the server hangs up."""
    from jobs.runtime.progress import configure_logging

    parser = argparse.ArgumentParser(prog="serve.worker")
    parser.add_argument("--lake", required=True)
    parser.add_argument("--notifications", type=Path)
    parser.add_argument("--source", action="append", default=[], help="What bindings may be read of; repeatable.")
    parser.add_argument("--once", action="store_true", help="End when nothing is left to do.")
    options = parser.parse_args(None if arguments is None else list(arguments))
    configure_logging()
    signal.signal(signal.SIGTERM, lambda number, _: os._exit(128 + number))  # the next worker does what this one was at
    with only_worker(options.lake):
        topics = Topics.read(options.notifications) if options.notifications else Topics()
        notifier = Notifier(options.lake, topics)
        notifier.start()
        try:
            _work(Work(options.lake, notifier, Sources.of(options.source)), once=options.once)
        finally:
            notifier.stop()
    return 0


def _work(work: Work, *, once: bool) -> None:
    if once:
        while work.do_some():
            pass
        return
    while is_wanted(0 if work.do_some() else LOOK_SECONDS):
        pass


if __name__ == "__main__":
    sys.exit(main())
