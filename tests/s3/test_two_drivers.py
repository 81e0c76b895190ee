"""Two drivers of Spark index into one new lake on S3 at once: nothing is lost, and neither fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, QueryBuilder

from tests.jobs.albums import photo
from tests.s3.server import Server

ROOT = Path(__file__).parents[2]
LAKE = "s3://lake/two-drivers"
FILES = 20


def start_index(folder: Path, dataset: str, root: str) -> subprocess.Popen[str]:
    """Indexes FILES files into a dataset, all by Spark, in a process of its own."""
    rows = [photo("2026-03-04", "China/Zhejiang/Hangzhou", dataset=dataset, n=number) for number in range(FILES)]
    source = folder / f"{dataset}.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    arguments = ["index", str(source), "--lake", root, "--set", "driver_rows=0", "--json"]
    fast = {"JDK_JAVA_OPTIONS": "-XX:TieredStopAtLevel=1", "LAKEALBUM_LOG": "json", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-m", "jobs.cli.main", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **fast},
    )


@pytest.mark.spark
@pytest.mark.slow
@pytest.mark.usefixtures("s3", "s3_jars")
def test_two_drivers_at_once_on_a_new_lake_lose_nothing(tmp_path: Path) -> None:
    roots = {"ada": LAKE, "mei": LAKE.replace("s3:", "s3a:")}
    jobs = {dataset: start_index(tmp_path, dataset, root) for dataset, root in roots.items()}
    said = {dataset: job.communicate(timeout=900) for dataset, job in jobs.items()}
    for dataset, job in jobs.items():
        assert job.returncode == 0, said[dataset][1][-3000:]
        assert "may overwrite the other's commit" not in said[dataset][1], "the log store was not set"
    for table in ("files", "file_places"):
        assert counted(table) == [{"dataset_name": name, "n": FILES, "uris": FILES} for name in ("ada", "mei")]
    engines = {str(entry.get("engineInfo", "")).partition("/")[0] for entry in DeltaTable(f"{LAKE}/files").history()}
    assert "Apache-Spark" in engines


def counted(table: str) -> list[dict[str, object]]:
    """How many rows and uris each dataset has."""
    opened = QueryBuilder().register("t", DeltaTable(f"{LAKE}/{table}"))
    counts = "SELECT dataset_name, count(*) AS n, count(DISTINCT uri) AS uris FROM t GROUP BY 1 ORDER BY 1"
    rows: list[dict[str, object]] = pa.table(opened.execute(counts).read_all()).to_pylist()
    return rows


@pytest.mark.spark
@pytest.mark.usefixtures("s3")
def test_without_jars_the_job_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, s3: Server) -> None:
    folder = Path(os.environ.get("LAKEALBUM_JARS") or ROOT / ".jars")
    (tmp_path / "jars").mkdir()
    for jar in folder.glob("delta-*.jar"):
        (tmp_path / "jars" / jar.name).symlink_to(jar)
    if not any((tmp_path / "jars").iterdir()):
        pytest.skip("no folder of jars")
    monkeypatch.setenv("LAKEALBUM_JARS", str(tmp_path / "jars"))
    job = start_index(tmp_path, "tom", "s3://lake/no-jars")
    _, said = job.communicate(timeout=900)
    assert job.returncode == 2
    assert said.strip().splitlines()[-1].startswith("lakealbum: Spark lacks the jars for S3 (class org.apache.hadoop")
