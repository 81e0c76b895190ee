"""Runs that SIGTERM or SIGINT ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import jobs.cluster_location_dates
from catalog.lake import Row
from jobs.cli.main import lakealbum, run
from jobs.runtime.lake import Lake
from tests.jobs.albums import Album, photo

ROOT = Path(__file__).parents[3]
SIGNALS = pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])


@pytest.fixture
def _alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As in a process of its own: the tests' Spark session lives on, and its way with SIGINT is not in the way."""
    monkeypatch.setattr("jobs.runtime.cancellation._end_spark", lambda: None)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def album(tmp_path: Path, _alone: None) -> Album:
    found = Album(tmp_path)
    found.deliver([photo("2026-03-04", "hangzhou")])
    return found


def cluster(album: Album) -> int:
    """Runs a small clustering of trips, which starts no JVM."""
    days = ["--gap-days", "1", "--min-days", "1", "--max-days", "15", "--levels", "city"]
    return run(lakealbum, ["cluster", "location-date", "--lake", album.lake, "--project", "demo", *days])


def ended(album: Album) -> tuple[Row, Row]:
    """The last state of the one task, and the row of the one run."""
    [ran] = album.rows("runs")
    return album.rows("tasks", order="update_time")[-1], ran


@pytest.mark.long
@SIGNALS
def test_a_signal_ends_the_run_as_cancelled(
    album: Album, sent: signal.Signals, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = signal.getsignal(sent)
    monkeypatch.setattr(jobs.cluster_location_dates, "retry_conflicts", lambda _: os.kill(os.getpid(), sent))
    assert cluster(album) == 128 + sent
    task, ran = ended(album)
    assert (task["status"], task["code"], task["message"]) == ("Failed", "Cancelled", f"cancelled by {sent.name}")
    assert task["end_time"] is not None
    assert (ran["status"], ran["message"]) == ("Failed", f"cancelled by {sent.name}")
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.endswith(f"lakealbum: cancelled by {sent.name}\n")
    assert signal.getsignal(sent) is before


@pytest.mark.long
@SIGNALS
def test_a_signal_before_the_work_begins_lets_none_begin(
    album: Album, sent: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Lake.open

    def open_and_signal(*args: object, **kwargs: object) -> Lake:
        os.kill(os.getpid(), sent)
        return opened(*args, **kwargs)  # type: ignore[arg-type]

    begun: list[object] = []
    monkeypatch.setattr("jobs.runtime.runs.Lake.open", open_and_signal)
    monkeypatch.setattr(jobs.cluster_location_dates, "cluster_location_dates", lambda *given: begun.append(given))
    assert cluster(album) == 128 + sent
    assert begun == []
    assert [row["code"] for row in ended(album)[:1]] == ["Cancelled"]


def test_a_failure_that_a_signal_caused_is_no_failure_of_its_own(album: Album, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            raise OSError("the JVM is gone")

    monkeypatch.setattr(jobs.cluster_location_dates, "retry_conflicts", fail)
    assert cluster(album) == 128 + signal.SIGTERM
    assert ended(album)[0]["code"] == "Cancelled"


@pytest.mark.long
def test_a_signal_while_the_end_is_written_down_comes_too_late(album: Album, monkeypatch: pytest.MonkeyPatch) -> None:
    from jobs.runtime.runs import put_run

    def put_and_signal(root: str, row: Row) -> None:
        put_run(root, row)
        if row["status"] == "Succeeded":
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr("jobs.runtime.runs.put_run", put_and_signal)
    assert cluster(album) == 0
    task, ran = ended(album)
    assert (task["status"], ran["status"]) == ("Succeeded", "Succeeded")


def test_ignored_signals_stay_ignored(album: Album, monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell does for what runs in the background
    try:
        monkeypatch.setattr(
            jobs.cluster_location_dates, "retry_conflicts", lambda _: os.kill(os.getpid(), signal.SIGINT)
        )
        assert cluster(album) == 0
    finally:
        signal.signal(signal.SIGINT, before)


OPTIONS = ["--project", "demo", "--gap-days", "1", "--min-days", "1", "--max-days", "15", "--levels", "city"]


def signal_at(stage: str, album: Album, work: str, seconds: float) -> tuple[int, str, str]:
    """SIGTERM to a process in whose run `work` is done, so many seconds after it told of a stage; to this process
    alone, as a container's runtime does.

    Gives the exit code, and what it said before and after. No process that it started is left.
    """
    code = (
        "import sys\n"
        "from jobs.cli.main import run\n"
        "from jobs.cluster_location_dates import command\n"
        "import jobs.cluster_location_dates as job\n"
        f"def work(run, config):\n{work}"
        "job.cluster_location_dates = work\n"
        "sys.exit(run(command))\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, "--lake", album.lake, *OPTIONS],
        cwd=ROOT,
        env={**os.environ, "LAKEALBUM_LOG": "json", "JDK_JAVA_OPTIONS": "-XX:TieredStopAtLevel=1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stderr is not None
        said = []
        for line in process.stderr:
            said.append(line)
            if f'"{stage}"' in line:
                break
        time.sleep(seconds)
        process.send_signal(signal.SIGTERM)
        rest = process.stderr.read()
    for _ in range(100):
        if not is_there(process.pid):
            return process.returncode, "".join(said), rest
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)
    raise AssertionError("a process that it started is still there")


def is_there(group: int) -> bool:
    """Whether a process of the group is there."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.spark
def test_a_signal_ends_a_run_that_waits_for_spark(album: Album) -> None:
    work = (
        "    from jobs.runtime.session import planned_for\n"
        "    with planned_for(run.lake.spark, rows=1):\n"
        "        run.progress.stage('waiting', 50)\n"
        "        run.lake.spark.range(10**13).where('id % 7 = id % 11 + 20').count()\n"
    )
    code, said, rest = signal_at("waiting", album, work, 1)
    assert code == 128 + signal.SIGTERM, said + rest
    assert "Traceback" not in rest
    assert (ended(album)[0]["code"], ended(album)[1]["status"]) == ("Cancelled", "Failed")


@pytest.mark.spark
def test_a_signal_while_spark_starts_leaves_no_jvm(album: Album) -> None:
    code, said, rest = signal_at("starting Spark", album, "    run.lake.spark\n", 0.5)
    assert code == 128 + signal.SIGTERM, said + rest
    assert "Traceback" not in rest
    assert (ended(album)[0]["code"], ended(album)[1]["status"]) == ("Cancelled", "Failed")
