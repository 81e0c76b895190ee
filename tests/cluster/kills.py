"""Everything killed at random moments, a lake on S3: whether one run afterwards leaves what a run without kills leaves.

`python -m tests.cluster.kills WORK [TIMES [SEED]]`, with LAKEALBUM_JARS, from the root of the checkout. A process runs
the commands of tests.cluster.chain one after the other, each time from the first; driver, JVM, Python workers and the
S3 server are killed at a random moment, and all starts again. Every second time Spark does all of the work. In the end
the process runs once undisturbed, and the tables are compared with those of a lake in a folder.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.cluster.chain import AREAS, AT_ONCE, LAKE, ONE_BY_ONE, SOURCE, command
from tests.cluster.compare import main as compare
from tests.cluster.sources import write_sources
from tests.s3.server import Server, serve

TIMES = 20
SHORTEST, LONGEST = 12.0, 75.0
"""Seconds from the start of a process to its end: at first Spark is just there, the longest see some jobs end."""
JOBS = (AREAS, *AT_ONCE, *ONE_BY_ONE)


def run_all(lake: str, driver_rows: str) -> None:
    """Runs the jobs in this process, those that were done already too."""
    for job in JOBS:
        print(" ".join(job.verb), flush=True)
        ways = () if job is AREAS else ("--set", f"driver_rows={driver_rows}")
        command(lake, *job.verb, *job.options, *ways)


def start(work: Path, lake: str, driver_rows: str) -> subprocess.Popen[bytes]:
    """A process that does, in a group of its own."""
    arguments = [sys.executable, "-m", "tests.cluster.kills", str(work), lake, driver_rows]
    with (work / "log").open("wb") as log:
        return subprocess.Popen(arguments, stdout=log, stderr=log, start_new_session=True)


def finish(work: Path, lake: str) -> None:
    """Runs all undisturbed."""
    if start(work, lake, "100000").wait():
        raise RuntimeError(f"a run without kills failed:\n{(work / 'log').read_text()[-4000:]}")


def reached(work: Path) -> str:
    """The command that a process was at, and the last line of its log."""
    lines = (work / "log").read_text(errors="replace").splitlines()
    verbs = {" ".join(job.verb) for job in JOBS}
    at = [line for line in lines if line in verbs]
    return f"{len(at)}. {at[-1]}" if at else "starting"


def kill_once(work: Path, server: Server, seconds: float, driver_rows: str) -> str:
    """Starts a process and kills it, all that it started, and the server. Returns what it was at."""
    process = start(work, LAKE, driver_rows)
    try:
        if process.wait(seconds):
            raise RuntimeError(f"a run failed before it was killed:\n{(work / 'log').read_text()[-4000:]}")
        return "done before it was killed"
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        server.kill_and_restart()
        return reached(work)


def main(work: Path, times: int, seed: int) -> int:
    """Returns how many tables differ."""
    chance = random.Random(seed)
    with serve(work / "s3") as server:
        os.environ |= server.environment
        for bucket in ("lake", "inbox"):
            (server.folder / bucket).mkdir()
        write_sources(work / "sources", SOURCE)
        finish(work, str(work / "lake"))
        for number in range(times):
            seconds = chance.uniform(SHORTEST, LONGEST)
            at = kill_once(work, server, seconds, ("100000", "0")[number % 2])
            print(f"{number + 1:>2}. {seconds:4.0f} s: {at}", flush=True)
        started = time.time()
        finish(work, LAKE)
        print(f"one run afterwards: {time.time() - started:.0f} s")
        return compare(str(work / "lake"), LAKE)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    match sys.argv[2:]:
        case [lake, driver_rows] if "/" in lake:
            run_all(lake, driver_rows)
        case rest:
            asked = [int(number) for number in rest]
            sys.exit(min(1, main(folder, *(asked + [TIMES, 1][len(asked) :]))))
