"""Times cold `lakealbum query` calls, interpreter start included, on a synthetic lake of a million clusters.

    python bench/query_clusters.py [--clusters 1000000] [--edits 1000] [--calls 5] [--lake DIR]

The lake is made with delta-rs from the contracts: city and province clusters of 20,000 datasets over eighteen
years, their segments, and edits by people: titles, labels, deletions, and titles of clusters that were merged
away. A lake that is already at DIR is used again. Every call is a new process; a call counts as good under 1 s.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import write_deltalake

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from catalog.commits import append, to_arrow
from catalog.create import ensure_lake
from schemas.contract import TIMESTAMP, Contract
from schemas.lake import TABLES, bucket_of, file_object_id
from schemas.settings import LakeSettings

PROJECT = "demo"
DATASETS = 20_000
CITIES = 3_000
BUCKETS = 16
DAY = 86_400_000_000  # microseconds
NOW = datetime(2026, 11, 1, tzinfo=UTC)


def main() -> None:
    """Makes the lake, if need be, and prints a row per kind of query."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clusters", type=int, default=1_000_000)
    parser.add_argument("--edits", type=int, default=1_000)
    parser.add_argument("--calls", type=int, default=5)
    parser.add_argument("--lake", type=Path, default=Path("/tmp/lakealbum-query-bench"))
    asked = parser.parse_args()
    if not asked.lake.exists():
        make_lake(str(asked.lake), asked.clusters, asked.edits)
    load = os.getloadavg()[0]
    print(f"{asked.clusters:,} clusters, {asked.edits:,} edits, {asked.calls} cold calls each; load {load:.1f}")
    print(f"{'query':<44} {'median s':>9} {'best s':>7} {'worst s':>8} {'CPU s':>6}")
    for name, arguments in queries().items():
        spent = [cold_call(arguments, asked.lake) for _ in range(asked.calls)]
        wall, cpu = ([call[n] for call in spent] for n in (0, 1))
        print(f"{name:<44} {median(wall):>9.2f} {min(wall):>7.2f} {max(wall):>8.2f} {median(cpu):>6.2f}")


def queries() -> dict[str, list[str]]:
    """What is timed: the name of each query and its arguments."""
    cluster = cluster_ids(1, seed=1)[0]
    return {
        "whole project": [],
        "whole project, newest first, 100 a page": ["--order", "desc", "--max-results", "100"],
        "whole project, by update time, descending": ["--sort", "UpdateTime", "--order", "desc"],
        "whole project, title": ["--title", "city 0123"],
        "whole project, title that nothing has": ["--title", "nowhere"],
        "whole project, title that only people gave": ["--title", "our trip"],
        "whole project, label": ["--label", "kind=trip"],
        "whole project, city, level and a month": [
            *("--city", "City 0123", "--level", "city", "--start-from", "2020-03-01", "--start-to", "2020-03-31")
        ],
        "one id": ["--id", cluster],
        "one dataset": ["--dataset", "user_00007"],
        "three datasets, title": [
            *("--dataset", "user_00007", "--dataset", "user_00008", "--dataset", "user_19999", "--title", "city")
        ],
    }


def cold_call(arguments: list[str], lake: Path) -> tuple[float, float]:
    """Seconds that one call takes in a process of its own: by the clock, and of the processors."""
    command = [sys.executable, "-m", "jobs.cli.main", "query", "location-date", "--json"]
    start, before = time.perf_counter(), os.times()
    subprocess.run(
        [*command, "--lake", str(lake), "--project", PROJECT, *arguments],
        check=True,
        stdout=subprocess.DEVNULL,
        cwd=Path(__file__).resolve().parents[1],
    )
    wall, after = time.perf_counter() - start, os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return wall, cpu


def make_lake(root: str, clusters: int, edits: int) -> None:
    """Writes the datasets, clusters, segments and edits of the lake."""
    ensure_lake(root, LakeSettings(buckets=BUCKETS))
    names = dataset_names()
    datasets = [
        {"project_name": PROJECT, "dataset_name": name, "create_time": NOW, "update_time": NOW} for name in names
    ]
    append(root, TABLES["datasets"], datasets)
    rows = cluster_rows(clusters, names)
    write(root, TABLES["location_date_clusters"], rows)
    write(root, TABLES["location_date_segments"], segment_rows(rows, gone=edits // 10))
    write_deltalake(f"{root}/cluster_edits", edit_rows(rows, edits), mode="append")


def make_files(root: str, count: int) -> None:
    """Writes the files of the lake, as many in each dataset, bucket by bucket as when the table has been optimised."""
    each = max(count // DATASETS, 1)
    by_bucket: dict[int, list[str]] = {}
    for name in dataset_names():
        by_bucket.setdefault(bucket_of(PROJECT, name, BUCKETS), []).append(name)
    contract = TABLES["files"]
    for bucket, names in sorted(by_bucket.items()):
        uris = [f"oss://photos/{name}/{number:06}.jpg" for name in names for number in range(each)]
        total = len(uris)
        whose = np.repeat(np.arange(len(names)), each)
        numbers = np.tile(np.arange(each), len(names))
        keys = zip(whose.tolist(), uris, strict=True)
        texts = {
            "project_name": PROJECT,
            "media_type": "image",
            "content_type": "image/jpeg",
            "time_is": "offset",
            "source": "bench",
            "run_id": "run-1",
        }
        columns = {
            **{name: spread(np.zeros(total, int), [value]) for name, value in texts.items()},
            "bucket": pa.array(np.full(total, bucket), pa.int32()),
            "dataset_name": spread(whose, names),
            "uri": pa.array(uris),
            "object_id": pa.array([file_object_id(PROJECT, names[at], uri) for at, uri in keys]),
            "size": pa.array(1_000_000 + numbers),
            "produce_time": pa.array(int(NOW.timestamp() * 1e6) - numbers * DAY // 7).cast(TIMESTAMP),
            "utc_offset": pa.array(np.full(total, 480), pa.int32()),
            **{name: pa.repeat(pa.scalar(NOW, TIMESTAMP), total) for name in ("create_time", "update_time")},
        }
        write(root, contract, fitted(contract, columns, total))


def dataset_names() -> list[str]:
    """Names of the datasets."""
    return [f"user_{n:05}" for n in range(DATASETS)]


def cluster_ids(count: int, seed: int) -> list[str]:
    """Ids of clusters, the same for the same seed."""
    digits = np.random.default_rng(seed).bytes(16 * count).hex()
    parts = (digits[at : at + 32] for at in range(0, 32 * count, 32))
    return [f"location-date-cluster-{p[:8]}-{p[8:12]}-{p[12:16]}-{p[16:20]}-{p[20:]}" for p in parts]


def cluster_rows(count: int, names: list[str]) -> pa.Table:
    """Rows of `location_date_clusters`, sorted as the table is when it has been optimised."""
    pick = np.random.default_rng(7)
    dataset, city, is_city = (
        pick.integers(0, len(names), count),
        pick.integers(0, CITIES, count),
        pick.random(count) < 0.5,
    )
    first, days = pick.integers(14_000, 20_500, count), pick.integers(1, 16, count)
    offset = pick.choice([0, 60, 120, 480, -300], count)
    start = first * DAY - offset * 60_000_000
    changed = int(NOW.timestamp() * 1e6) - pick.integers(0, 365 * DAY, count)
    countries = [f"Country {n // 150}" for n in range(CITIES)]
    provinces = [f"Province {n // 30}" for n in range(CITIES)]
    cities = [f"City {n:04}" for n in range(CITIES)]
    paths = [f"{c}/{p}" for c, p in zip(countries, provinces, strict=True)]
    buckets = np.array([bucket_of(PROJECT, name, BUCKETS) for name in names])
    ids = cluster_ids(count, seed=1)
    by_level = pa.array(is_city)
    columns = {
        "bucket": pa.array(buckets[dataset], pa.int32()),
        "project_name": spread(np.zeros(count, int), [PROJECT]),
        "dataset_name": spread(dataset, names),
        "object_id": pa.array(ids),
        "level": spread(is_city.astype(int), ["province", "city"]),
        "place_key": pc.if_else(
            by_level, spread(city, [f"{p}/{c}" for p, c in zip(paths, cities, strict=True)]), spread(city, paths)
        ),
        "title": pc.if_else(by_level, spread(city, cities), spread(city, provinces)),
        "country": spread(city, countries),
        "province": spread(city, provinces),
        "city": pc.if_else(by_level, spread(city, cities), pa.scalar(None, pa.string())),
        "first_day": pa.array(first.astype("int32")).cast(pa.date32()),
        "last_day": pa.array((first + days - 1).astype("int32")).cast(pa.date32()),
        "start_time": pa.array(start).cast(TIMESTAMP),
        "start_offset": pa.array(offset, pa.int32()),
        "end_time": pa.array(start + days * DAY - 1).cast(TIMESTAMP),
        "end_offset": pa.array(offset, pa.int32()),
        "days": pa.array(days, pa.int32()),
        "days_with_files": pa.array(days, pa.int32()),
        "files": pa.array(days * 7),
        "images": pa.array(days * 6),
        "videos": pa.array(days),
        "cover_uri": pa.array([f"oss://photos/{id_[-36:]}.jpg" for id_ in ids]),
        "create_time": pa.array(changed).cast(TIMESTAMP),
        "update_time": pa.array(changed).cast(TIMESTAMP),
        "run_id": spread(np.zeros(count, int), ["run-1"]),
    }
    rows = fitted(TABLES["location_date_clusters"], columns, count)
    return rows.sort_by([("bucket", "ascending"), ("dataset_name", "ascending"), ("start_time", "ascending")])


def segment_rows(clusters: pa.Table, gone: int) -> pa.Table:
    """Rows of `location_date_segments`: a live one per cluster, and some that were merged into one."""
    count = len(clusters)
    contract = TABLES["location_date_segments"]
    columns = {name: clusters[name] for name in contract.names if name in clusters.column_names}
    columns["state"] = spread(np.zeros(count, int), ["live"])
    columns["is_cluster"] = pa.array(np.ones(count, bool))
    columns["generation"] = pa.array(np.arange(count))
    moment = {"time": NOW, "uri": "oss://photos/a.jpg", "utc_offset": 0}
    cover = {"rank": 0, "time": NOW, "uri": "oss://photos/a.jpg"}
    for name, value in (("first", moment), ("last", moment), ("cover", cover)):
        columns[name] = pa.repeat(pa.scalar(value, contract.arrow_schema.field(name).type), count)
    live = fitted(contract, columns, count)
    merged = live.slice(0, gone).to_pylist()
    for row, object_id in zip(merged, cluster_ids(gone, seed=2), strict=True):
        row |= {"state": "gone", "is_cluster": False, "successor_id": row["object_id"], "object_id": object_id}
    return pa.concat_tables([live, to_arrow(contract, merged)])


def edit_rows(clusters: pa.Table, count: int) -> pa.Table:
    """Rows of `cluster_edits`: titles, labels and deletions, and titles of clusters that were merged away."""
    pick = np.random.default_rng(9)
    rows = clusters.select(["project_name", "dataset_name", "object_id"])
    chosen = rows.take(pick.choice(len(rows), count, replace=False)).to_pylist()
    merged = rows.slice(0, count // 10).to_pylist()
    for row, object_id in zip(merged, cluster_ids(len(merged), seed=2), strict=True):
        row["object_id"] = object_id
    changes = (
        {"action": "update", "title": "Our trip"},
        {"action": "update", "custom_labels": {"kind": "trip"}},
        {"action": "delete"},
    )
    common = {"kind": "location-date", "edit_time": NOW}
    edits = [{**common, **row, **changes[n % 3], "sequence": n} for n, row in enumerate(chosen)]
    edits += [{**common, **row, **changes[0], "sequence": count + n} for n, row in enumerate(merged)]
    return to_arrow(TABLES["cluster_edits"], edits)


def spread(codes: np.ndarray, values: list[str]) -> pa.Array:
    """The values that codes stand for."""
    return pa.DictionaryArray.from_arrays(pa.array(codes.astype("int32")), pa.array(values)).cast(pa.string())


def fitted(contract: Contract, columns: dict[str, pa.Array], count: int) -> pa.Table:
    """A table of the contract's columns; those not given are null."""
    schema = contract.arrow_schema
    return pa.table([columns.get(f.name, pa.nulls(count, f.type)) for f in schema], schema=schema)


def write(root: str, contract: Contract, rows: pa.Table) -> None:
    """Appends rows to a table of the lake."""
    write_deltalake(f"{root}/{contract.name}", rows, mode="append")


if __name__ == "__main__":
    main()
