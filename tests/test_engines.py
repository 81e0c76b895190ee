"""Every table of a lake that the jobs wrote, read by Spark, delta-rs, DuckDB and Polars: the same rows."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import duckdb_extension_delta
import polars as pl
import pyarrow as pa
import pytest
from deltalake import DeltaTable, QueryBuilder
from pyspark.sql import Row, SparkSession
from shapely import box

from catalog.lake import Lake, Scope
from catalog.location_dates import update_cluster
from schemas.lake import TABLES
from tests.jobs.albums import PROJECT, Album, geoparquet, load, photo
from tests.schemas.test_contracts import good_row, write_with_delta_rs


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory, spark: SparkSession) -> Album:
    """Three days in Hangzhou, one corrected to Jiaxing, one removed, a broken row, an edit: every kind of commit."""
    album = Album(tmp_path_factory.mktemp("engines"))
    days = [photo(f"2026-03-{day:02d}", "China/Zhejiang/Hangzhou", title="Ünïcode 📷") for day in (4, 5, 6)]
    features = {"perceptual_hash": "0" * 64, "image_score": 0.5}
    album.index([*days, {**photo("2026-03-07", "China/Zhejiang/Hangzhou"), **features}, {"uri": "no-dataset"}])
    album.cluster()
    album.index([{**days[2], "address": {"country": "China", "province": "Zhejiang", "city": "Jiaxing"}}])
    album.remove(days[0]["uri"], dataset="ada")
    album.cluster()
    areas = [{"code": "ZH", "name": "Zürich", "geometry": box(8.4, 47.3, 8.6, 47.5)}]
    load(album, geoparquet(album.root / "areas.parquet", areas), level="city", code="code")
    cluster = album.clusters()[0]["object_id"]
    update_cluster(Lake(album.lake), Scope(PROJECT), cluster, {"title": "Spring", "custom_labels": {"with": "Ben"}})
    for name, contract in TABLES.items():
        if not DeltaTable(f"{album.lake}/{name}").file_uris():
            write_with_delta_rs(Path(album.lake), contract, good_row(contract))
    return album


@pytest.fixture(scope="module")
def duck() -> duckdb.DuckDBPyConnection:
    """DuckDB with its delta extension from PyPI: nothing is downloaded."""
    folder = Path(duckdb_extension_delta.__file__).parent
    extension = next(folder.rglob("delta.duckdb_extension"))
    connection = duckdb.connect(config={"autoinstall_known_extensions": "false"})
    connection.execute(f"LOAD '{extension}'")
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def comparable(value: Any) -> Any:
    """A value as all engines would give it: instants in UTC, maps and structs as sorted pairs."""
    if isinstance(value, Row):
        return comparable(value.asDict())
    if isinstance(value, dict):
        return tuple(sorted((key, comparable(item)) for key, item in value.items()))
    if isinstance(value, list):
        pairs = bool(value) and all(isinstance(item, tuple) for item in value)
        return tuple(sorted(value)) if pairs else tuple(map(comparable, value))
    if isinstance(value, datetime):
        return (value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)).isoformat()
    if isinstance(value, bytearray):
        return bytes(value)
    if value != value:
        return "NaN"
    return value.isoformat() if isinstance(value, date) else value


def as_counts(rows: list[dict[str, Any]]) -> Counter[Any]:
    return Counter(comparable(row) for row in rows)


@pytest.mark.parametrize("name", TABLES)
def test_all_engines_read_the_same_rows(
    name: str, album: Album, spark: SparkSession, duck: duckdb.DuckDBPyConnection
) -> None:
    where = f"{album.lake}/{name}"
    by_spark = spark.createDataFrame(spark.read.format("delta").load(where).toArrow()).collect()
    builder = QueryBuilder().register("t", DeltaTable(where))
    by_delta_rs = pa.table(builder.execute("SELECT * FROM t").read_all()).to_pylist(maps_as_pydicts="strict")
    by_duckdb = (
        duck.execute("SELECT * FROM delta_scan(?)", [where]).to_arrow_table().to_pylist(maps_as_pydicts="strict")
    )
    by_polars = pl.scan_delta(where).collect().to_arrow().to_pylist(maps_as_pydicts="strict")
    assert as_counts(by_delta_rs) == as_counts(by_duckdb)
    assert as_counts(by_polars) == as_counts(by_duckdb)
    assert as_counts([row.asDict() for row in by_spark]) == as_counts(by_duckdb)
    assert by_duckdb


def test_rows_marked_as_deleted_are_among_them(album: Album) -> None:
    vectors = {name for name, c in TABLES.items() if c.merged and DeltaTable(f"{album.lake}/{name}").deletion_vectors()}
    assert any((Path(album.lake) / name).rglob("deletion_vector_*.bin") for name in vectors)
