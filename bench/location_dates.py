#!/usr/bin/env python3
"""Time trips at scale, side by side with DuckDB SQL that computes and writes the same clusters from the same rows.

    bench/location_dates.py --work DIR --maker ../shared/bench/make_library.py --files 1000000 10000000 20000000

For each size: a lake gets 99 % of every dataset's files; then a full run, then 1 % more and an incremental run.
Reported are seconds of each step (locating; evidence; clustering with segments, clusters, events and state), files/s
from located files to committed clusters, the ratio to DuckDB, and the growth exponent of the two largest sizes.
Clusters are compared row by row with DuckDB's after both runs; where they differ, the run ends with an error. Run it
through `./lakealbum`'s environment on an otherwise idle machine; DIR needs about 15 GB for 20 million files.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
from deltalake import DeltaTable
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from bench.measuring import growth_exponent, new_run, put_frame
from catalog.create import ensure_lake
from catalog.selecting import select
from jobs.cluster_location_dates import ClusterLocationDates, cluster_location_dates
from jobs.places.locating import refresh_file_places
from jobs.runtime.lake import Lake, bucket
from jobs.runtime.runs import Run
from jobs.runtime.session import open_session
from jobs.trips.evidence import refresh_place_days
from schemas.datasets import DATASETS
from schemas.files import FILES
from schemas.settings import LakeSettings

PROJECT = "bench"
OPTIONS = {"gap_days": 1, "min_days": 1, "max_days": 15, "levels": ("city", "province")}

DUCKDB_CLUSTERS = """
COPY (
  WITH days AS (
    SELECT dataset_name, address.country AS country, address.province AS province, address.city AS city,
           CAST(left(produce_time, 10) AS DATE) AS day, count(*) AS files,
           count(*) FILTER (WHERE media_type = 'video') AS videos
    FROM read_parquet({sources}) GROUP BY ALL
  ), level_days AS (
    SELECT dataset_name, 'city' AS level, country || '/' || province || '/' || city AS place, day,
           sum(files) AS files, sum(videos) AS videos FROM days GROUP BY ALL
    UNION ALL
    SELECT dataset_name, 'province', country || '/' || province, day, sum(files), sum(videos) FROM days GROUP BY ALL
  ), cut AS (
    SELECT *, coalesce(day - lag(day) OVER place_days > 2, true) AS starts FROM level_days
    WINDOW place_days AS (PARTITION BY dataset_name, level, place ORDER BY day)
  ), numbered AS (
    SELECT *, sum(starts::INT) OVER (PARTITION BY dataset_name, level, place ORDER BY day) AS number FROM cut
  )
  SELECT dataset_name, level, place, min(day) AS first_day, max(day) AS last_day,
         sum(files)::BIGINT AS files, sum(videos)::BIGINT AS videos
  FROM numbered GROUP BY dataset_name, level, place, number
  HAVING max(day) - min(day) + 1 BETWEEN 1 AND 15
) TO '{target}' (FORMAT parquet, COMPRESSION zstd)
"""


@contextmanager
def timed(times: dict[str, float], name: str) -> Iterator[None]:
    """Adds the seconds spent inside to `times`."""
    start = time.perf_counter()
    yield
    times[name] = times.get(name, 0.0) + time.perf_counter() - start
    print(f"    {name:<34} {times[name]:8.1f} s", flush=True)


def make(maker: str, out: Path, datasets: int, files: int, share: float, offset: float) -> Path:
    """The generator's files, made once."""
    if not (out / "_made").exists():
        shutil.rmtree(out, ignore_errors=True)
        sizes = ["--datasets", datasets, "--files", files, "--parts", 16, "--share", share, "--offset", offset]
        subprocess.run([sys.executable, *map(str, [maker, out, *sizes])], check=True, stdout=subprocess.DEVNULL)
        (out / "_made").touch()
    return out


def as_files(source: DataFrame, run: Run) -> DataFrame:
    """The generator's rows as rows of `files`: what `lakealbum index` makes of them, without judging."""
    text = F.col("produce_time")
    known = {
        "project_name": F.lit(PROJECT),
        "object_id": F.sha2(F.concat_ws("\n", F.lit(PROJECT), "dataset_name", "uri"), 256),
        "produce_time_raw": text,
        "produce_time": F.to_timestamp(text),
        "time_is": F.lit("offset"),
        "utc_offset": F.substring(text, 20, 3).cast("int") * 60,
        "source": F.lit("make_library"),
        "create_time": run.clock(),
        "update_time": run.clock(),
        "run_id": F.lit(run.run_id),
    }
    return source.withColumns(known).withColumn("bucket", bucket(run.lake.settings.buckets))


def add_files(lake: Lake, source: Path, name: str, times: dict[str, float]) -> None:
    """Puts the rows of a source into `files`, and locates them."""
    run = new_run(lake, f"load-{name}")
    rows = as_files(lake.spark.read.parquet(str(source)), run)
    with timed(times, f"{name}: load files"):
        put_frame(run, FILES, rows, compare=("produce_time", "address"))
    names = rows.select("project_name", "dataset_name").distinct()
    names = names.withColumns({"create_time": run.clock(), "update_time": run.clock()})
    put_frame(run, DATASETS, names)
    with timed(times, f"{name}: locate (files -> file_places)"):
        refresh_file_places(run)


def cluster(lake: Lake, name: str, times: dict[str, float]) -> None:
    """Evidence, then the rest of the job, timed apart."""
    run = new_run(lake, f"cluster-{name}")
    config = ClusterLocationDates(lake=lake.root, project=PROJECT, **OPTIONS)
    with timed(times, f"{name}: evidence"):
        refresh_place_days(run)
    with timed(times, f"{name}: clustering"):
        cluster_location_dates(run, config)
    print("     ", json.dumps(run.ledger.row_counts), flush=True)


def duck(sources: list[Path], target: Path) -> Callable[[], None]:
    """DuckDB's computation of the same clusters, on two threads, from Parquet to Parquet."""

    def compute() -> None:
        connection = duckdb.connect(config={"threads": 2, "memory_limit": "12GB"})
        listed = "[" + ", ".join(f"'{source}/*.parquet'" for source in sources) + "]"
        connection.execute(DUCKDB_CLUSTERS.format(sources=listed, target=target))

    return compute


def differences(lake: Lake, expected: Path) -> int:
    """Clusters that only one side has."""
    table = DeltaTable(lake.root + "/location_date_clusters")
    sql = "SELECT dataset_name, level, place_key, first_day, last_day, files, videos FROM c"
    ours = select(sql, {"c": table}).read_all()
    connection = duckdb.connect()
    connection.register("ours", ours)
    both = (
        f"(SELECT * FROM ours EXCEPT ALL SELECT * FROM '{expected}')",
        f"(SELECT * FROM '{expected}' EXCEPT ALL SELECT * FROM ours)",
    )
    return sum(connection.execute(f"SELECT count(*) FROM {side}").fetchone()[0] for side in both)


def measure(spark: SparkSession, files: int, options: argparse.Namespace) -> dict[str, float]:
    """One size: full and incremental, both engines, compared."""
    print(f"{files:,} files of {options.datasets:,} datasets", flush=True)
    base = make(options.maker, options.work / f"base-{files}", options.datasets, files, 0.99, 0.0)
    more = make(options.maker, options.work / f"more-{files}", options.datasets, files, 0.01, 0.99)
    root = options.work / f"lake-{files}"
    shutil.rmtree(root, ignore_errors=True)
    ensure_lake(str(root), LakeSettings())
    lake = Lake.open(str(root), start_spark=lambda: spark)
    times: dict[str, float] = {}
    result = {"files": float(files)}
    for name, sources in (("full", [base]), ("incremental", [base, more])):
        add_files(lake, sources[-1], name, times)
        cluster(lake, name, times)
        expected = options.work / f"duckdb-{files}.parquet"
        with timed(times, f"{name}: DuckDB"):
            duck(sources, expected)()
        result[f"{name} locate s"] = times[f"{name}: locate (files -> file_places)"]
        result[f"{name} s"] = times[f"{name}: evidence"] + times[f"{name}: clustering"]
        result[f"{name} DuckDB s"] = times[f"{name}: DuckDB"]
        result[f"{name} differences"] = differences(lake, expected)
        print(f"    {name}: clusters that differ from DuckDB's: {result[f'{name} differences']:.0f}", flush=True)
    result["files/s"] = 0.99 * files / result["full s"]
    result["ratio"] = result["full s"] / result["full DuckDB s"]
    if not options.keep:
        shutil.rmtree(root)
    return {**result, **times}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--maker", required=True, help="make_library.py")
    parser.add_argument("--files", type=int, nargs="+", default=[1_000_000, 10_000_000, 20_000_000])
    parser.add_argument("--datasets", type=int, default=20_000)
    parser.add_argument("--memory", default="12g")
    parser.add_argument("--keep", action="store_true", help="keep the lakes")
    options = parser.parse_args()
    os.environ["PYSPARK_SUBMIT_ARGS"] = f"--master local[2] --driver-memory {options.memory} pyspark-shell"
    spark = open_session("bench")
    results = [measure(spark, files, options) for files in options.files]
    print("\n| files | locate s | full s | files/s | DuckDB s | ratio | +1 % locate s | +1 % s | differences |")
    print("|---|---|---|---|---|---|---|---|---|")
    for r in results:
        differing = r["full differences"] + r["incremental differences"]
        print(
            f"| {r['files']:,.0f} | {r['full locate s']:.1f} | {r['full s']:.1f} | {r['files/s']:,.0f} "
            f"| {r['full DuckDB s']:.1f} | {r['ratio']:.1f} | {r['incremental locate s']:.1f} "
            f"| {r['incremental s']:.1f} | {differing:.0f} |"
        )
    if any(r["full differences"] or r["incremental differences"] for r in results):
        raise SystemExit("clusters differ from DuckDB's")
    if len(results) > 1:
        small, large = results[-2:]
        exponent = growth_exponent(small["files"], small["full s"], large["files"], large["full s"])
        print(f"growth exponent of a full run from {small['files']:,.0f} to {large['files']:,.0f}: {exponent:.2f}")


if __name__ == "__main__":
    main()
