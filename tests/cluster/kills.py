"""Everything killed at random moments, a lake on S3: whether one run afterwards leaves what a run without kills leaves.

`python -m tests.cluster.kills WORK [TIMES [SEED]]`, with LAKEALBUM_JARS, from the root of the checkout. A process runs
the commands of tests.cluster.chain one after the other; driver, JVM, Python workers and the S3 server are killed at a
random moment; the next process begins with the command that was killed. Every second time Spark does all of the work.
When a process comes to the end, all commands run once more, undisturbed, people edit clusters and one has her faces
erased, and the tables are compared with those of a lake in a folder. The next kills are on a new lake.

A moment is told by the log, not by the clock: some commands take a minute, and others a second, which no kill by the
clock would hit.
"""

from __future__ import annotations

import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.cluster.chain import AFTER_EDITS, AREAS, AT_ONCE, LAKE, ONE_BY_ONE, SOURCE, command, edit, run_here
from tests.cluster.compare import main as compare
from tests.cluster.sources import write_sources
from tests.s3.server import Server, serve

TIMES = 20
MOST_LINES = 40
"""Lines of its log up to which a process lives: those of three commands, of a hundred of all."""
SHORTEST, LONGEST = 0.02, 20.0
"""Seconds that it lives after the line, of any order of magnitude alike."""
BEGUN = "begun:"
JOBS = (AREAS, *AT_ONCE, *ONE_BY_ONE)


def run_from(first: int, lake: str, driver_rows: str) -> None:
    """Runs the jobs from the first one to the last in this process."""
    for number, job in enumerate(JOBS[first:], first):
        print(BEGUN, number, *job.verb, flush=True)
        ways = () if job is AREAS else ("--set", f"driver_rows={driver_rows}")
        command(lake, *job.verb, *job.options, *ways)


def finish(lake: str) -> None:
    """Runs all undisturbed, then edits, an erasure, and what follows them."""
    run_from(0, lake, "100000")
    run_here(lake, edit(lake), *AFTER_EDITS)


def start(work: Path, *what: str) -> subprocess.Popen[bytes]:
    """A process that does either, in a group of its own."""
    arguments = [sys.executable, "-m", "tests.cluster.kills", str(work), *what]
    with (work / "log").open("wb") as log:
        known = {**os.environ, "LAKEALBUM_LOG": "json"}
        return subprocess.Popen(arguments, stdout=log, stderr=log, start_new_session=True, env=known)


def wait(work: Path, process: subprocess.Popen[bytes], *, lines: float = math.inf, seconds: float = 0.0) -> bool:
    """Waits until a process is done, or has said so many lines and has gone on for some seconds; whether it is done.

    RuntimeError where it failed.
    """
    until = math.inf
    while process.poll() is None:
        if until == math.inf and len(told(work)) >= lines:
            until = time.monotonic() + seconds
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    if process.returncode:
        raise RuntimeError(f"a run failed that nobody killed:\n{(work / 'log').read_text(errors='replace')[-4000:]}")
    return True


def told(work: Path) -> list[str]:
    """What a process has said so far: the commands that it began, and the lines of its log."""
    return [line for line in (work / "log").read_text(errors="replace").splitlines() if line.startswith((BEGUN, "{"))]


def kill_once(
    work: Path, server: Server, first: int, lake: str, driver_rows: str, *, lines: int, seconds: float
) -> tuple[int | None, str]:
    """Starts a process and kills it, all that it started, and the server.

    Returns with which job the next one begins, None where it was done before, and what the process was at.
    """
    process = start(work, "from", str(first), lake, driver_rows)
    if wait(work, process, lines=lines, seconds=seconds):
        return None, "done before it was killed"
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    server.kill_and_restart()
    return last_told(told(work), first)


def last_told(lines: list[str], first: int) -> tuple[int, str]:
    """Which job a process that began with the first one was at, by what it said, and what it said last."""
    begun = next((line.removeprefix(BEGUN).strip() for line in reversed(lines) if line.startswith(BEGUN)), None)
    if begun is None:
        return first, "starting"
    event = next((json.loads(line) for line in reversed(lines) if line.startswith("{") and line.endswith("}")), {})
    return int(begun.split()[0]), f"{begun}: {event.get('stage', event.get('event', 'starting'))}"


def main(work: Path, times: int, seed: int) -> int:
    """Returns how many tables differ, of all lakes."""
    chance = random.Random(seed)
    with serve(work / "s3") as server:
        os.environ |= server.environment
        for bucket in ("lake", "inbox"):
            (server.folder / bucket).mkdir()
        write_sources(work / "sources", SOURCE)
        here = str(work / "lake")
        wait(work, start(work, "finish", here))
        lake, first, differ = LAKE, 0, 0
        for number in range(1, times + 1):
            lines = chance.randint(1, MOST_LINES)
            seconds = SHORTEST * (LONGEST / SHORTEST) ** chance.random()
            driver_rows = ("0", "100000")[number % 2]
            next_job, at = kill_once(work, server, first, lake, driver_rows, lines=lines, seconds=seconds)
            print(f"{number:>2}. {lines:>2} lines and {seconds:5.2f} s: {at}", flush=True)
            if next_job is not None and number < times:
                first = next_job
                continue
            wait(work, start(work, "finish", lake))
            differ += compare(here, lake)
            lake, first = f"{LAKE}-{number}", 0
        return differ


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    match sys.argv[2:]:
        case ["from", first, lake, driver_rows]:
            run_from(int(first), lake, driver_rows)
        case ["finish", lake]:
            finish(lake)
        case rest:
            asked = [int(number) for number in rest]
            sys.exit(min(1, main(folder, *(asked + [TIMES, 1][len(asked) :]))))
