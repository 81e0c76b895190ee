"""Runs that fail or are killed at every commit, and runs at once: the next run ends where an undisturbed one does."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from catalog.lake import Lake, Scope
from catalog.location_dates import update_cluster
from jobs.runtime.commits import InjectedFailure
from tests.jobs.albums import PROJECT, Album, Row, photo

INDEXED = ("rejected", "datasets", "files", "file_places")
CLUSTERED = ("place_days", "location_date_segments", "location_date_clusters", "cluster_events", "dataset_state")
NOT_COMPARED = {"run_id", "object_id", "reject_id", "create_time", "update_time", "reject_time", "event_time"}
NOT_COMPARED |= {"source", "cluster_since", "origin_id", "successor_id", "other_id", "cluster_version"}
NOT_COMPARED |= {"evidence_versions", "edits_version"}
ROOT = Path(__file__).parents[2]


def deliveries() -> list[list[Row]]:
    """Three deliveries: a first trip, days that bridge it to another, a correction; each with a broken row."""
    rome, oslo = "Italy/Lazio/Rome", "Norway/Oslo/Oslo"
    first = [photo(f"2026-03-{day:02d}", rome, dataset=name) for day in (1, 2, 5) for name in ("ada", "bob")]
    second = [photo("2026-03-04", rome), photo("2026-03-09", oslo, dataset="bob"), photo("2026-03-03", oslo)]
    third = [photo("2026-05-01", oslo, uri=first[0]["uri"])]
    return [[*rows, {"uri": f"broken-{n}", "dataset_name": "ada"}] for n, rows in enumerate((first, second, third))]


def contents(album: Album) -> dict[str, list[str]]:
    """Every table that jobs compute, without ids and times, in an order of its own."""
    return {
        table: sorted(
            str({name: value for name, value in row.items() if name not in NOT_COMPARED}) for row in album.rows(table)
        )
        for table in (*INDEXED, *CLUSTERED)
    }


def differences(album: Album, expected: dict[str, list[str]]) -> dict[str, tuple[Counter[str], Counter[str]]]:
    """Per table that differs, the rows too many and the rows missing."""
    found = {table: (Counter(rows), Counter(expected[table])) for table, rows in contents(album).items()}
    return {table: (ours - theirs, theirs - ours) for table, (ours, theirs) in found.items() if ours != theirs}


@dataclass(frozen=True)
class Undisturbed:
    """What three deliveries come to without a failure, and the lake on the way there."""

    contents: dict[str, list[str]]
    of_two: dict[str, list[str]]
    """What the first two deliveries come to."""
    second_indexed: Path
    """The lake when the second delivery is indexed, and not clustered."""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, spark: SparkSession) -> Undisturbed:
    """Three deliveries without a failure."""
    album, second_indexed = Album(tmp_path_factory.mktemp("undisturbed")), tmp_path_factory.mktemp("indexed")
    after = []
    for number, rows in enumerate(deliveries()):
        album.index(rows)
        if number == 1:
            shutil.copytree(album.root, second_indexed, dirs_exist_ok=True)
        album.cluster()
        after.append(contents(album))
    return Undisturbed(after[-1], after[1], second_indexed)


def test_a_failure_between_any_two_commits_is_repaired_by_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undisturbed: Undisturbed
) -> None:
    album = Album(tmp_path)
    reached = set()
    for number, rows in enumerate(deliveries()[:2]):
        for tables, job in ((INDEXED, lambda rows=rows: album.index(rows)), (CLUSTERED, album.cluster)):
            # Each attempt gets one commit further than the one before, through all failure points in turn.
            # Before a commit the tables are as after the one before it, so that "before" is tried for the first alone.
            points = [f"before:{tables[0]}", *(f"after:{table}" for table in tables)]
            for point in points if number == (0 if tables is INDEXED else 1) else []:
                monkeypatch.setenv("LAKEALBUM_FAIL_AT", point)
                try:
                    job()
                except InjectedFailure:
                    reached.add(point)
            monkeypatch.delenv("LAKEALBUM_FAIL_AT", raising=False)
            job()
    first = {f"before:{tables[0]}" for tables in (INDEXED, CLUSTERED)}
    assert reached == first | {f"after:{table}" for table in (*INDEXED, *CLUSTERED)}
    assert differences(album, undisturbed.of_two) == {}
    failed = [row for row in album.rows("runs") if row["status"] == "Failed"]
    assert len(failed) >= len(reached)
    assert all(row["message"] for row in failed)


def command(album: Album, *words: str, **environment: str) -> subprocess.Popen[str]:
    """The command line in a process group of its own, whose JVM compiles little: it does not live long."""
    return subprocess.Popen(
        [sys.executable, "-m", "jobs.cli.main", *words, "--lake", album.lake, "--project", PROJECT],
        cwd=ROOT,
        env={**os.environ, "LAKEALBUM_LOG": "quiet", "JDK_JAVA_OPTIONS": "-XX:TieredStopAtLevel=1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


CLUSTER = ("cluster", "location-date", "--gap-days", "1", "--min-days", "1", "--max-days", "15", "--levels", "city")


@pytest.mark.slow
def test_kill_9_at_any_moment_is_repaired_by_the_next_run(tmp_path: Path, undisturbed: Undisturbed) -> None:
    shutil.copytree(undisturbed.second_indexed, tmp_path, dirs_exist_ok=True)
    album = Album(tmp_path)
    # the Python process alone, between two commits
    process = command(album, *CLUSTER, LAKEALBUM_FAIL_AT="after:location_date_segments", LAKEALBUM_FAIL_HOW="kill")
    process.communicate(timeout=300)
    assert process.returncode == -signal.SIGKILL
    album.cluster()
    album.index(deliveries()[2])
    # Python and the JVM, at a moment of no one's choosing
    process = command(album, *CLUSTER)
    time.sleep(9)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    album.cluster()
    assert differences(album, undisturbed.contents) == {}


@pytest.mark.slow
def test_two_runs_at_once_and_an_edit_during_them(tmp_path: Path, undisturbed: Undisturbed) -> None:
    album = Album(tmp_path)
    first, second, third = deliveries()
    album.index(first)
    album.cluster()
    titled = min(album.ids().values())
    album.index(second)
    runs = [command(album, *CLUSTER) for _ in range(2)]
    update_cluster(Lake(album.lake), Scope(PROJECT), titled, {"title": "Roman holiday"})
    for process in runs:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
    album.index(third)
    album.cluster()
    assert differences(album, undisturbed.contents) == {}
    (edit,) = album.rows("cluster_edits")
    assert edit["title"] == "Roman holiday"
