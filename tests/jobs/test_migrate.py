"""A lake of the first version, moved on: no row is lost, and all engines read what was there and what comes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, QueryBuilder
from pyspark.sql import SparkSession

from catalog.create import ensure_table
from catalog.lake import Lake
from jobs.migrate import migrate_lake
from jobs.runtime.commits import InjectedFailure
from schemas.contract import Contract
from schemas.errors import LakeError
from schemas.lake import TABLES, bucket_of, file_object_id
from schemas.settings import LakeSettings
from tests.catalog.conftest import NOON
from tests.jobs.albums import Album, photo

ADDED = {
    "files": {
        *("custom_id", "custom_labels", "attributes", "moved_to"),
        *("time_source", "location_source", "description", "shot_id", "warning"),
    },
    "file_places": {"shot_id"},
    "figures": {"attributes", "model"},
    "datasets": {"faces", "faces_set_by", "faces_run_id"},
    "runs": {"started_by"},
    "cluster_edits": {"figure_places"},
}
"""Columns that the second version has more."""
NEW = {"file_edits", "bindings", "binding_files", "face_scans"}


def of_version_one(contract: Contract) -> Contract:
    """A table as the first version had it."""
    there = (column for column in contract.columns if column.name not in ADDED.get(contract.name, ()))
    columns = tuple(replace(column, comment=f"once {column.comment}") for column in there)
    checks = dict(contract.checks)
    if "location_source_known" in checks:
        checks["location_source_known"] = "location_source IN ('file', 'inferred')"
    return replace(contract, columns=columns, checks=checks)


def old_file(name: str) -> dict[str, Any]:
    uri = f"s3://ada/{name}.jpg"
    return {
        "bucket": bucket_of("demo", "ada", 16),
        "project_name": "demo",
        "dataset_name": "ada",
        "uri": uri,
        "object_id": file_object_id("demo", "ada", uri),
        "media_type": "image",
        "source": "s",
        "create_time": NOON,
        "update_time": NOON,
        "run_id": "r",
    }


@pytest.fixture
def album(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Album:
    """A lake of the first version with three files in two commits."""
    album = Album(tmp_path)
    with monkeypatch.context() as then:
        then.setattr("schemas.contract.CONTRACT_VERSION", 1)
        for contract in TABLES.values():
            extra = LakeSettings().as_properties() if contract.name == "datasets" else None
            if contract.name not in NEW:
                ensure_table(album.lake, of_version_one(contract), extra)
    schema = of_version_one(TABLES["files"]).arrow_schema
    for names in ("ab", "c"):
        rows = pa.Table.from_pylist([old_file(name) for name in names], schema=schema)
        DeltaTable(f"{album.lake}/files").merge(
            rows, "t.uri = s.uri", source_alias="s", target_alias="t"
        ).when_not_matched_insert_all().execute()
    return album


@pytest.mark.long
def test_nothing_is_written_in_a_dry_run(album: Album) -> None:
    foreseen = migrate_lake(album.lake, dry_run=True)
    assert "files: column attributes added" in foreseen
    assert "file_edits: table made" in foreseen
    assert migrate_lake(album.lake, dry_run=True) == foreseen
    assert migrate_lake(album.lake, dry_run=False) == foreseen


@pytest.mark.long
def test_killed_half_way_it_goes_on(album: Album, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAKEALBUM_FAIL_AT", "after:migrate.figures")
    with pytest.raises(InjectedFailure):
        migrate_lake(album.lake, dry_run=False)
    monkeypatch.delenv("LAKEALBUM_FAIL_AT")
    with pytest.raises(LakeError, match="contract version 1"):
        Lake(album.lake)
    rest = migrate_lake(album.lake, dry_run=False)
    assert not [line for line in rest if line.startswith("files: ")]
    assert migrate_lake(album.lake, dry_run=False) == []
    assert Lake(album.lake).count("files", "files") == 3


def test_rows_marked_as_deleted_stay_so_and_old_changes_can_be_read(album: Album, spark: SparkSession) -> None:
    where = f"{album.lake}/files"
    spark.sql(f"DELETE FROM delta.`{where}` WHERE uri = 's3://ada/a.jpg'")
    before = DeltaTable(where).version()
    migrate_lake(album.lake, dry_run=False)
    album.index([photo("2026-03-04", "Italy/Lazio/Rome", custom_id="mine", custom_labels={"k": "v"})])
    names = {"s3://ada/b.jpg", "s3://ada/c.jpg", photo("2026-03-04", "Italy/Lazio/Rome")["uri"]}
    rows = spark.read.format("delta").load(where).collect()
    assert {row["uri"] for row in rows} == names
    assert {(row["custom_id"], str(row["custom_labels"])) for row in rows} == {(None, "None"), ("mine", "{'k': 'v'}")}
    read = pa.table(QueryBuilder().register("t", DeltaTable(where)).execute("SELECT uri FROM t").read_all())
    assert set(read["uri"].to_pylist()) == names
    feed = {"readChangeFeed": "true", "startingVersion": 1, "endingVersion": DeltaTable(where).version()}
    changes = spark.read.format("delta").options(**feed).load(where).where(f"_commit_version <= {before}")
    assert {(row["uri"][-5:], row["_change_type"]) for row in changes.collect()} == {
        ("a.jpg", "insert"), ("b.jpg", "insert"), ("c.jpg", "insert"), ("a.jpg", "delete"),
    }  # fmt: skip
    assert len(DeltaTable(where).load_cdf(starting_version=1).read_all()) >= 5
