"""Of an entry of a log that several writers put at once, one is there, and its writer alone is told so."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import CommitProperties, DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError

from tests.s3.server import Server

ROOT = Path(__file__).parents[2]
ENTRIES = 500


@contextmanager
def writer(log: str, name: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.s3.log_writer", log, name, str(ENTRIES)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.wait()


def race(processes: dict[str, subprocess.Popen[str]]) -> dict[int, str]:
    """What each version should say, by what the writers were told."""
    for process in processes.values():
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    told: dict[int, str] = {}
    for name, process in processes.items():
        output, _ = process.communicate(timeout=600)
        assert process.returncode == 0
        for number, version in enumerate(map(int, output.split())):
            assert version not in told, f"both were told that they made version {version}"
            told[version] = f"{name} {number}\n"
    return told


@pytest.mark.spark
@pytest.mark.usefixtures("s3_jars")
def test_of_two_drivers_commits_all_that_were_told_as_made_are_there(s3: Server) -> None:
    (s3.folder / "lake").mkdir(exist_ok=True)
    log = "s3://lake/race/_delta_log"
    with ExitStack() as stack:
        told = race({name: stack.enter_context(writer(log, name)) for name in ("ada", "mei")})
    kept = {int(file.stem): file.read_text() for file in (s3.folder / "lake/race/_delta_log").glob("*.json")}
    assert kept == told
    assert sorted(kept) == list(range(2 * ENTRIES))
    first = [told[version].split()[0] for version in range(ENTRIES)]
    assert len(set(first)) == 2, "the writers did not meet"


def test_delta_rs_puts_on_condition_too(s3: Server) -> None:
    """The other engine: where a version is taken, its commit fails, and what is there stays."""
    uri = "s3://lake/taken"
    rows = pa.table({"number": [1]})
    write_deltalake(uri, rows)
    behind = DeltaTable(uri)
    (s3.folder / "lake/taken/_delta_log" / f"{1:020}.json").write_text('{"commitInfo": {"by": "Spark"}}\n')
    with pytest.raises(CommitFailedError):
        write_deltalake(behind, rows, mode="append", commit_properties=CommitProperties(max_commit_retries=0))
    assert "Spark" in (s3.folder / "lake/taken/_delta_log" / f"{1:020}.json").read_text()
