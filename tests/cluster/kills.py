"""Everything killed at random moments, a lake on S3: whether one run afterwards leaves what a run without kills leaves.

`python -m tests.cluster.kills WORK [TIMES [SEED]]`, with LAKEALBUM_JARS, from the root of the checkout. A process runs
the commands of tests.cluster.chain one after the other; driver, JVM, Python workers and the S3 server are killed at a
random moment; the next process begins with the command that was killed. Every second time Spark does all of the work.
In the end all commands run once more, undisturbed, people edit clusters and one has her faces erased, and the tables
are compared with those of a lake in a folder.
"""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
from pathlib import Path

from tests.cluster.chain import AFTER_EDITS, AREAS, AT_ONCE, LAKE, ONE_BY_ONE, SOURCE, command, edit, run_here
from tests.cluster.compare import main as compare
from tests.cluster.sources import write_sources
from tests.s3.server import Server, serve

TIMES = 20
SHORTEST, LONGEST, MORE = 12.0, 60.0, 25.0
"""Seconds from the start of a process to its end, and how many more a job gets each time that it is killed again."""
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
        return subprocess.Popen(arguments, stdout=log, stderr=log, start_new_session=True)


def wait(work: Path, process: subprocess.Popen[bytes], seconds: float | None = None) -> None:
    """Waits for a process. RuntimeError where it failed, TimeoutExpired where it is not done in time."""
    if process.wait(seconds):
        raise RuntimeError(f"a run failed that nobody killed:\n{(work / 'log').read_text()[-4000:]}")


def kill_once(work: Path, server: Server, first: int, seconds: float, driver_rows: str) -> tuple[int, str]:
    """Starts a process and kills it, all that it started, and the server.

    Returns with which job the next one begins, and what the process was at.
    """
    process = start(work, "from", str(first), LAKE, driver_rows)
    try:
        wait(work, process, seconds)
        return 0, "done before it was killed"
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        server.kill_and_restart()
    lines = (work / "log").read_text(errors="replace").splitlines()
    begun = [line.removeprefix(BEGUN).strip() for line in lines if line.startswith(BEGUN)]
    stages = [found[1] for line in lines if (found := re.search(r'"stage": "([^"]*)"', line))]
    return (int(begun[-1].split()[0]) if begun else first), " ".join(begun[-1:] + stages[-1:]) or "starting"


def main(work: Path, times: int, seed: int) -> int:
    """Returns how many tables differ."""
    chance = random.Random(seed)
    with serve(work / "s3") as server:
        os.environ |= server.environment
        for bucket in ("lake", "inbox"):
            (server.folder / bucket).mkdir()
        write_sources(work / "sources", SOURCE)
        here = str(work / "lake")
        wait(work, start(work, "finish", here))
        first = kills = 0
        for number in range(times):
            seconds = chance.uniform(SHORTEST, LONGEST) + MORE * kills
            before = first
            first, at = kill_once(work, server, first, seconds, ("100000", "0")[number % 2])
            kills = kills + 1 if first == before else 0
            print(f"{number + 1:>2}. {seconds:4.0f} s: {at}", flush=True)
        wait(work, start(work, "finish", LAKE))
        return compare(here, LAKE)


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
