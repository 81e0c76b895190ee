"""Times that nanoseconds since 1970 do not reach: Spark and delta-rs, which write and read in turn, mean the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from deltalake import DeltaTable
from pyspark.sql import SparkSession

from jobs.migrate import migrate_lake
from jobs.runtime.commits import maintenance_of
from jobs.runtime.lake import Lake
from jobs.runtime.session import session_settings
from schemas.lake import TABLES
from tests.jobs.albums import Album, photo

DAYS = ("0001-03-04", "1677-01-02", "2020-03-04", "2262-08-09", "9999-03-04")
WITH_TIMES = ("files", "place_days")


@pytest.fixture
def album(tmp_path: Path) -> Album:
    album = Album(tmp_path)
    album.deliver([photo(day, "Italy/Lazio/Rome") for day in DAYS])
    album.cluster()
    return album


def write_by_spark(album: Album, spark: SparkSession) -> None:
    """Has Spark write all times anew."""
    lake = Lake.open(album.lake, start_spark=lambda: spark)
    for contract in map(TABLES.__getitem__, WITH_TIMES):
        with maintenance_of(lake, contract):
            spark.sql(f"UPDATE {lake.sql_name(contract)} SET bucket = bucket")


def work_here(album: Album) -> None:
    """One file more, and one that is another now: delta-rs reads the feeds, and writes the files of its rows anew."""
    changed = photo(DAYS[2], "Italy/Lazio/Rome", image_width=7)
    album.deliver([changed, photo("2020-03-05", "Italy/Lazio/Rome")])
    album.cluster()


def times(album: Album) -> set[str]:
    """The days by all times of the lake, which begin or end one in the clusters."""
    moments = [row["produce_time"] for table in ("files", "file_places") for row in album.rows(table)]
    for row in album.rows("place_days"):
        moments += [row["first"]["time"], row["last"]["time"], row["cover"]["time"]]
    moments += [row[name] for row in album.clusters() for name in ("start_time", "end_time")]
    return {f"{moment:%d.%m.}{moment.year:04}" for moment in moments}


def test_what_spark_has_written_is_read_and_changed_here(album: Album, spark: SparkSession) -> None:
    before, ids = times(album), album.ids()
    write_by_spark(album, spark)
    work_here(album)
    assert before < times(album)
    assert album.ids() == ids


def test_a_lake_of_before_is_mended(album: Album, spark: SparkSession) -> None:
    before, ids, events = times(album), album.ids(), album.events()
    with session_settings(spark, {"spark.sql.parquet.outputTimestampType": "INT96"}):
        write_by_spark(album, spark)
    assert times(album) != before
    version = {"lakealbum.contractVersion": "3"}
    DeltaTable(f"{album.lake}/datasets").alter.set_table_properties(version, raise_if_not_exists=False)
    assert migrate_lake(album.lake, dry_run=False)[0] == "lake: from contract version 3 to 4"
    assert times(album) == before
    work_here(album)
    assert before < times(album)
    assert (album.ids(), album.events()[: len(events)]) == (ids, events)
