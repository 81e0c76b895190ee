"""A process is killed where its log has come to, however fast it is."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cluster.kills import last_told, told, wait

SAID = ("begun: 3 index", "WARN what Spark says", '{"event": "stage", "stage": "storing"}')


@contextmanager
def saying(work: Path, last: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that says SAID, then does something else."""
    program = "\n".join(["import time", *(f"print({line!r}, flush=True)" for line in SAID), last])
    with (work / "log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-I", "-c", program], stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_it_is_waited_for_until_it_has_said_so_much(tmp_path: Path) -> None:
    with saying(tmp_path, "time.sleep(600)") as process:
        assert not wait(tmp_path, process, lines=2)
        assert process.poll() is None
        assert told(tmp_path) == [SAID[0], SAID[2]]


def test_the_next_process_begins_with_the_job_that_was_killed() -> None:
    torn = '{"event": "files.ins'
    assert last_told(["begun: 0 boundaries", SAID[0], SAID[2], torn], 0) == (3, "3 index: storing")
    assert last_told([], 3) == (3, "starting")


def test_it_is_done_where_it_says_less(tmp_path: Path) -> None:
    with saying(tmp_path, "") as process:
        assert wait(tmp_path, process, lines=3)


def test_one_that_fails_by_itself_is_told(tmp_path: Path) -> None:
    with (
        saying(tmp_path, "raise SystemExit('no such table')") as process,
        pytest.raises(RuntimeError, match="no such table"),
    ):
        wait(tmp_path, process, lines=3)
