"""Indexing tables at speed: rows of Parquet to `files` and `file_places`, beside DuckDB.

    PYTHONPATH=. LAKEALBUM_JARS=.jars SPARK_CONF_DIR=conf .venv/bin/python -m bench.index --rows 1000000 --work DIR

Rows have coordinates around the gazetteer's towns and a time with its offset, and bring an address, so that both do the
same: check each row (uri, coordinates, time, no uri twice in a dataset), make its id (SHA-256), its local day and the
key of its place, and write files and places by bucket, Parquet with zstd. DuckDB has as many threads as there are
cores. Then the same rows come again, then 1 % new ones. Reported are seconds, CPU seconds of all processes and rows/s.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import duckdb

from bench.measuring import describe_machine, sampled_cpu

ROWS = """
COPY (
  SELECT 'user' || lpad((i % {datasets})::VARCHAR, 6, '0') AS dataset_name,
         's3://bucket/' || (i % {datasets}) || '/IMG_' || lpad(i::VARCHAR, 10, '0') || '.jpg' AS uri,
         'image' AS media_type, 'image/jpeg' AS content_type, 2000000 + hash(i) % 4000000 AS size,
         md5(i::VARCHAR) AS file_hash, 4032 AS image_width, 3024 AS image_height,
         round((hash(i // 40) % 120)::DOUBLE - 60 + (hash(i) % 10000) / 1e5, 6) AS latitude,
         round((hash(i // 40 + 7) % 340)::DOUBLE - 170 + (hash(i + 1) % 10000) / 1e5, 6) AS longitude,
         strftime(TIMESTAMP '2015-01-01' + to_seconds(i // {datasets} * 9973 % 300000000), '%Y-%m-%dT%H:%M:%S')
             || '+02:00' AS produce_time,
         {{'country': 'Country ' || hash(i // 40) % 150, 'province': 'Province ' || hash(i // 40) % 2000,
           'city': 'City ' || hash(i // 40) % 20000}} AS address
  FROM range({first}, {last}) t(i)
) TO '{target}' (FORMAT parquet, COMPRESSION zstd)
"""
INDEXED = """
CREATE TABLE judged AS
SELECT *, try_cast(produce_time AS TIMESTAMPTZ) AS instant, try_cast(left(produce_time, 19) AS TIMESTAMP) AS local_time,
       CASE WHEN coalesce(trim(uri), '') = '' THEN 'uri_missing'
            WHEN latitude NOT BETWEEN -90 AND 90 OR longitude NOT BETWEEN -180 AND 180 THEN 'out_of_range'
            WHEN try_cast(produce_time AS TIMESTAMPTZ) IS NULL THEN 'bad_time'
            WHEN row_number() OVER (PARTITION BY dataset_name, uri) > 1 THEN 'duplicate_uri' END AS reason
FROM read_parquet('{source}');
COPY (SELECT hash(dataset_name) % 16 AS bucket, 'bench' AS project_name, dataset_name, uri,
             sha256('bench' || chr(10) || dataset_name || chr(10) || uri) AS object_id, media_type, content_type, size,
             file_hash, instant AS produce_time, produce_time AS produce_time_raw, latitude, longitude, address,
             image_width, image_height, now() AS create_time, now() AS update_time
      FROM judged WHERE reason IS NULL)
  TO '{target}/files' (FORMAT parquet, COMPRESSION zstd, PARTITION_BY bucket);
COPY (SELECT hash(dataset_name) % 16 AS bucket, 'bench' AS project_name, dataset_name, uri, media_type,
             address.country AS country, address.province AS province, address.city AS city, instant AS produce_time,
             local_time::DATE AS local_date, 120 AS utc_offset,
             lower(concat_ws('/', address.country, address.province, address.city, '', '')) AS place_key
      FROM judged WHERE reason IS NULL)
  TO '{target}/file_places' (FORMAT parquet, COMPRESSION zstd, PARTITION_BY bucket);
"""


def write_rows(target: Path, first: int, last: int, datasets: int) -> None:
    """Rows `first` to `last` of the made-up source."""
    duckdb.sql(ROWS.format(target=target, first=first, last=last, datasets=datasets))


def index(lake: Path, source: Path) -> None:
    """The command as it is typed, Spark's start included."""
    command = [sys.executable, "-m", "jobs.cli.main", "index", str(source), "--lake", str(lake), "--project", "bench"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def index_by_duckdb(work: Path, source: Path) -> None:
    """The peer, from Parquet to Parquet."""
    shutil.rmtree(work / "duckdb", ignore_errors=True)
    (work / "duckdb").mkdir()
    with duckdb.connect(str(work / "duckdb" / "scratch.db")) as connection:
        connection.sql(f"SET threads = {os.cpu_count()}")
        connection.execute(INDEXED.format(source=source, target=work / "duckdb"))


def timed(name: str, rows: int, work: Callable[[], None]) -> float:
    """Seconds that it takes; prints them, and those of all cores."""
    own, started = time.process_time(), time.perf_counter()
    with sampled_cpu() as below:
        work()
        seconds = time.perf_counter() - started
    cpu = time.process_time() - own + sum(each.cpu_seconds for each in below.values())
    print(f"| {name} | {rows:,} | {seconds:.1f} | {cpu:.1f} | {rows / seconds:,.0f} |", flush=True)
    return seconds


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--datasets", type=int, default=1_000)
    parser.add_argument("--work", type=Path, required=True)
    asked = parser.parse_args()
    asked.work.mkdir(parents=True, exist_ok=True)
    lake, first, more = asked.work / "lake", asked.work / "first.parquet", asked.work / "more.parquet"
    shutil.rmtree(lake, ignore_errors=True)
    few = asked.rows // 100
    write_rows(first, 0, asked.rows, asked.datasets)
    write_rows(more, asked.rows, asked.rows + few, asked.datasets)
    print(describe_machine(["pyspark", "delta-spark", "deltalake", "duckdb"]), end="\n\n")
    print("| | rows | s | CPU s | rows/s |\n|---|---|---|---|---|")
    peer = timed("DuckDB", asked.rows, lambda: index_by_duckdb(asked.work, first))
    ours = timed("index", asked.rows, lambda: index(lake, first))
    again = timed("index, the same again", asked.rows, lambda: index(lake, first))
    timed("index, 1 % new", few, lambda: index(lake, more))
    print(f"\n{ours / peer:.1f} times DuckDB; the same again takes {again / ours:.0%} of the first load")


if __name__ == "__main__":
    main()
