"""Two drivers and ten editors on one lake on S3 for some minutes, and whether anything was lost, doubled or stuck.

`python -m tests.cluster.soak WORK [SECONDS]`, with LAKEALBUM_JARS, from the root of the checkout. Each driver indexes
pictures and clusters, over and over, one of them all by Spark; each editor gives trips a custom id. What a command was
told to have done, must be there once in the end.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from contextlib import redirect_stdout
from pathlib import Path

import pyarrow as pa
from deltalake import DeltaTable, QueryBuilder

from catalog.lake import Lake, Scope
from catalog.location_dates import LocationDateQuery, query_location_dates
from catalog.storage import storage_options
from jobs.cli.main import lakealbum, run
from schemas.errors import LakeAlbumError
from schemas.lake import table_uri
from tests.jobs.albums import photo
from tests.s3.server import serve

LAKE = "s3://lake/soak"
DRIVERS = {"ada": "0", "mei": "1000000"}
"""Datasets, and up to how many rows their driver does without Spark."""
EDITORS = 10
FILES = 20
CLUSTER = ["cluster", "location-date", "--config", "conf/location-dates.yaml"]
CITIES = ("China/Zhejiang/Hangzhou", "Italy/Lazio/Rome", "Japan/Kyoto/Kyoto")


def command(*arguments: str) -> int:
    """Runs a command in this process, its output thrown away."""
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
        return run(lakealbum, [*arguments, "--lake", LAKE])


def drive(work: Path, dataset: str, until: float) -> None:
    """Indexes FILES pictures and clusters the project, until the time is up."""
    ways = ["--set", f"driver_rows={DRIVERS[dataset]}"]
    acknowledged = work / f"{dataset}.files"
    for turn in range(1_000_000):
        if time.time() > until:
            return
        rows = [
            photo(f"2026-{1 + turn % 12:02d}-{1 + n // 2:02d}", CITIES[turn % 3], dataset=dataset, n=FILES * turn + n)
            for n in range(FILES)
        ]
        source = work / f"{dataset}-{turn}.jsonl"
        source.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        if command("index", str(source), *ways):
            sys.exit(f"{dataset}: index failed in turn {turn}")
        with acknowledged.open("a", encoding="utf-8") as told:
            told.writelines(row["uri"] + "\n" for row in rows)
        if command(*CLUSTER, *ways):
            sys.exit(f"{dataset}: cluster failed in turn {turn}")


def edit(work: Path, name: str, until: float) -> None:
    """Gives trips custom ids, until the time is up; what was acknowledged is written down."""
    chance = random.Random(name)
    with (work / f"{name}.edits").open("w", encoding="utf-8") as told:
        for turn in range(1_000_000):
            if time.time() > until:
                return
            try:
                page = query_location_dates(Lake(LAKE), LocationDateQuery(Scope("default"), max_results=50))
            except LakeAlbumError:  # no lake yet
                page = None
            if page is None or not page.rows:
                time.sleep(1)
                continue
            trip = chance.choice(page.rows)["object_id"]
            if command("update", "location-date", trip, "--custom-id", f"{name}-{turn}") == 0:
                told.write(f"{name}-{turn}\n")
                told.flush()


def main(work: Path, seconds: float) -> int:
    """Returns how many checks failed."""
    started = time.time()
    with serve(work / "s3") as server:
        os.environ |= server.environment
        (server.folder / "lake").mkdir()
        until = str(started + seconds)
        parts = [["drive", dataset] for dataset in DRIVERS] + [["edit", f"editor{n}"] for n in range(EDITORS)]
        running = {}
        for part in parts:
            log = (work / f"{part[1]}.log").open("wb")
            arguments = [sys.executable, "-m", "tests.cluster.soak", str(work), *part, until]
            running[part[1]] = subprocess.Popen(arguments, stdout=log, stderr=log)
        failed = {name: process.wait() for name, process in running.items()}
        print(f"{time.time() - started:.0f} s, {server.requests():,} requests")
        return check(work, {name for name, code in failed.items() if code})


def check(work: Path, failed: set[str]) -> int:
    """Prints what was acknowledged and what is there. Returns how many checks failed."""
    files = {line for dataset in DRIVERS for line in (work / f"{dataset}.files").read_text().splitlines()}
    edits = {line for n in range(EDITORS) for line in (work / f"editor{n}.edits").read_text().splitlines()}
    wrong = [f"{name} failed:\n{(work / f'{name}.log').read_text()[-3000:]}" for name in sorted(failed)]
    for table, column, told in (
        ("files", "uri", files),
        ("file_places", "uri", files),
        ("cluster_edits", "custom_id", edits),
    ):
        there = count(table, column)
        lost, doubled = told - there.keys(), [value for value, times in there.items() if times > 1]
        print(f"{table}: {len(told):,} acknowledged, {there.total():,} there, {len(lost)} lost, {len(doubled)} doubled")
        if lost or doubled:
            wrong.append(f"{table}: lost {sorted(lost)[:3]}, doubled {doubled[:3]}")
    wrong += [f"{' '.join(words)} failed afterwards" for words in (CLUSTER, ["check"]) if command(*words)]
    print("\n".join(wrong) or "all is there")
    return len(wrong)


def count(table: str, column: str) -> Counter[str]:
    """How often each value of a column is there."""
    opened = DeltaTable(table_uri(LAKE, table), storage_options=storage_options(LAKE))
    statement = f"SELECT {column} AS value, count(*) AS n FROM t WHERE {column} IS NOT NULL GROUP BY 1"
    found = pa.table(QueryBuilder().register("t", opened).execute(statement).read_all())
    return Counter({row["value"]: row["n"] for row in found.to_pylist()})


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    match sys.argv[2:]:
        case ["drive", dataset, until]:
            drive(folder, dataset, float(until))
        case ["edit", name, until]:
            edit(folder, name, float(until))
        case rest:
            sys.exit(min(1, main(folder, float(rest[0]) if rest else 600.0)))
