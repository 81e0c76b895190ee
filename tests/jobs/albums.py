"""A small lake to index into and cluster, through the jobs' own functions."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
from deltalake import DeltaTable, QueryBuilder

from jobs.build_areas import BuildAreas, build_areas
from jobs.cluster_figures import ClusterFigures, cluster_figures
from jobs.cluster_location_dates import ClusterLocationDates, cluster_location_dates
from jobs.cluster_similar_images import ClusterSimilarImages, cluster_similar_images
from jobs.index_files import index_files
from jobs.indexing.options import IndexFiles
from jobs.remove_files import RemoveFiles, remove_files
from jobs.runtime.runs import Run, run_job
from schemas.lake import TABLES
from tests.jobs.deliveries import deliver, deliver_faces

PROJECT = "demo"
Row = dict[str, Any]


HERE: Row = {}
BY_BUCKET: Row = {"bucket_rows": 1_000_000}
"""As much as by default; where this is the way, tests set `by_bucket.FEW` to 1."""
BY_SPARK: Row = {"driver_rows": 0, "bucket_rows": 0}
_SLOW = pytest.param(BY_SPARK, marks=pytest.mark.slow)
WAYS = pytest.mark.parametrize("way", [HERE, BY_SPARK], ids=["here", "by Spark"], scope="module")
WAYS_SLOW = pytest.mark.parametrize("way", [HERE, _SLOW], ids=["here", "by Spark"], scope="module")
TRIP_WAYS, TRIP_WAYS_SLOW = (
    pytest.mark.parametrize("way", [HERE, BY_BUCKET, spark], ids=["here", "by bucket", "by Spark"], scope="module")
    for spark in (BY_SPARK, _SLOW)
)
"""How a job is run: as small lakes run, in this process; trips also bucket by bucket, as large ones; or with its
thresholds at zero, so that Spark does the work. Of WAYS_SLOW and TRIP_WAYS_SLOW the latter runs with --slow."""


@dataclass
class Album:
    """A lake under a temporary directory. `way` are settings of every job: HERE, BY_BUCKET or BY_SPARK."""

    root: Path
    way: Row = field(default_factory=dict)

    @property
    def lake(self) -> str:
        """The lake's root."""
        return str(self.root / "lake")

    def deliver(self, rows: Sequence[Row], /) -> None:
        """Puts located files into the lake without Spark (tests.jobs.deliveries)."""
        deliver(self.lake, rows, project=PROJECT)

    def deliver_faces(self, rows: Sequence[Row], /) -> None:
        """Puts faces into the lake without Spark."""
        deliver_faces(self.lake, rows, project=PROJECT)

    def index(self, rows: Sequence[Row], /, **options: Any) -> Run:
        """Indexes rows as a file of JSON lines; the same rows are the same file."""
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        source = self.root / f"source-{zlib.crc32(text.encode()):08x}.jsonl"
        source.write_text(text, encoding="utf-8")
        config = IndexFiles(lake=self.lake, project=PROJECT, source=(str(source),), **self.way, **options)
        with run_job(config, job="index-files", task_type="FileIndexing", create=config.settings) as run:
            index_files(run, config)
        return run

    def cluster(self, **options: Any) -> Run:
        """Clusters, by default with gap 1, 1 to 15 days, by city."""
        chosen = {"gap_days": 1, "min_days": 1, "max_days": 15, "levels": ("city",), **options}
        config = ClusterLocationDates(lake=self.lake, project=PROJECT, **self.way, **chosen)
        with run_job(config, job="cluster-location-dates", task_type="LocationDateClustering") as run:
            cluster_location_dates(run, config)
        return run

    def cluster_similar_images(self, **options: Any) -> Run:
        """Groups similar images."""
        config = ClusterSimilarImages(lake=self.lake, project=PROJECT, **self.way, **options)
        with run_job(config, job="cluster-similar-images", task_type="SimilarImageClustering") as run:
            cluster_similar_images(run, config)
        return run

    def cluster_figures(self, **options: Any) -> Run:
        """Groups faces into people."""
        config = ClusterFigures(lake=self.lake, project=PROJECT, **self.way, **options)
        with run_job(config, job="cluster-figures", task_type="FaceClustering") as run:
            cluster_figures(run, config)
        return run

    def remove(self, *uris: str, dataset: str) -> Run:
        """Removes files of one dataset."""
        config = RemoveFiles(lake=self.lake, project=PROJECT, dataset=(dataset,), uri=uris, **self.way)
        with run_job(config, job="remove-files", task_type="FileRemoving") as run:
            remove_files(run, config)
        return run

    def rows(self, table: str, order: str = "1") -> list[Row]:
        """A table's rows, read without Spark."""
        opened = DeltaTable(f"{self.lake}/{table}")
        names = ", ".join(f'"{name}"' for name in TABLES[table].names)
        batches = QueryBuilder().register("t", opened).execute(f"SELECT {names} FROM t ORDER BY {order}").read_all()
        return pa.table(batches).to_pylist()

    def versions(self) -> dict[str, int]:
        """The version of each table that jobs compute."""
        return {
            name: DeltaTable(f"{self.lake}/{name}").version()
            for name, contract in TABLES.items()
            if contract.writer == "jobs"
        }

    def trips(self, level: str | None = None) -> set[tuple[str, str, str, str]]:
        """(dataset, place, first day, last day) of every cluster."""
        return {
            (row["dataset_name"], row["title"], str(row["first_day"]), str(row["last_day"]))
            for row in self.clusters()
            if level in (None, row["level"])
        }

    def clusters(self) -> list[Row]:
        """The rows of the cluster table."""
        return self.rows("location_date_clusters")

    def ids(self) -> dict[tuple[str, str], str]:
        """(title, first day) to id, of one dataset's clusters."""
        return {(r["title"], str(r["first_day"])): r["object_id"] for r in self.clusters()}

    def events(self, dataset: str | None = None) -> list[tuple[str, str]]:
        """(event, id) in the order of commits, of all datasets or of one."""
        rows = self.rows("cluster_events", "cluster_version, object_id, event")
        return [(row["event"], row["object_id"]) for row in rows if dataset in (None, row["dataset_name"])]


def photo(day: str, place: str, *, dataset: str = "ada", n: int = 0, offset: str = "+08:00", **more: Any) -> Row:
    """A picture at noon of `day`, at 'country/province/city'."""
    address = dict(zip(("country", "province", "city", "district", "township"), place.split("/"), strict=False))
    time = day if "T" in day else f"{day}T12:00:00{offset}"
    uri = more.pop("uri", f"s3://{dataset}/{place}/{day}/{n}.jpg")
    return {
        "dataset_name": dataset,
        "uri": uri,
        "media_type": "image",
        "produce_time": time,
        "address": {level: name for level, name in address.items() if name},
        **more,
    }


def geoparquet(path: Path, rows: Sequence[Row], **types: pa.DataType) -> str:
    """Writes rows with a shapely `geometry` as GeoParquet."""
    columns = {name: pa.array([row[name] for row in rows], types.get(name)) for name in rows[0] if name != "geometry"}
    shapes = [None if row["geometry"] is None else shapely.to_wkb(row["geometry"]) for row in rows]
    table = pa.table({**columns, "geometry": pa.array(shapes, pa.binary())})
    column = {"encoding": "WKB", "geometry_types": []}
    geo = {"version": "1.0.0", "primary_column": "geometry", "columns": {"geometry": column}}
    pq.write_table(table.replace_schema_metadata({"geo": json.dumps(geo)}), path)
    return str(path)


def load(album: Album, *sources: str, **options: Any) -> Run:
    """Loads boundaries."""
    config = BuildAreas(lake=album.lake, project=PROJECT, source=sources, **options)
    with run_job(config, job="build-areas", task_type="AreaBuilding", create=config.settings) as run:
        build_areas(run, config)
    return run
