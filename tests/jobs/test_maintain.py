from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from deltalake import DeltaTable
from pyspark.sql import SparkSession

from catalog import upkeep
from catalog.tasks import append_task_state
from jobs.maintain import Maintain, maintain_lake
from jobs.migrate import MIGRATIONS, migrate_lake
from jobs.migrate import command as migrate
from jobs.runtime.commits import Mark, Step, replace_rows
from jobs.runtime.lake import Lake
from jobs.runtime.runs import Run, run_job
from schemas.errors import LakeError, UsageError
from schemas.files import FILES
from schemas.lake import CONTRACT_VERSION, TABLES
from schemas.place_days import PLACE_DAYS
from tests.jobs.albums import BY_SPARK, Album, Row, photo

HANGZHOU = "China/Zhejiang/Hangzhou"
COMPUTED = [name for name, contract in TABLES.items() if contract.writer == "jobs"]


def maintain(album: Album, **options: Any) -> tuple[Run, dict[str, dict[str, Any]]]:
    """A run of maintain, and what it did, by table."""
    config = Maintain(lake=album.lake, **options)
    with run_job(config, job="maintain", task_type="LakeMaintenance") as run:
        _, tables = maintain_lake(run, config)
    return run, {row.table: vars(row) for row in tables}


def contents(album: Album) -> dict[str, list[str]]:
    return {name: sorted(map(str, album.rows(name))) for name in COMPUTED}


@pytest.fixture(scope="module")
def clustered(tmp_path_factory: pytest.TempPathFactory, spark: SparkSession) -> Path:
    """Two deliveries of a trip, then clustered."""
    album = Album(tmp_path_factory.mktemp("clustered"))
    for days in ((4, 5), (6, 7)):
        album.index([photo(f"2026-03-{day:02d}", HANGZHOU) for day in days])
    album.cluster()
    return album.root


@pytest.fixture
def album(clustered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Album:
    """A copy of it, where every file that is not alone is one too many."""
    monkeypatch.setattr(upkeep, "TOO_MANY_FILES", 1)
    shutil.copytree(clustered, tmp_path / "album")
    return Album(tmp_path / "album")


def only(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Leaves the other tables out of maintenance: each costs seconds."""
    monkeypatch.setattr("jobs.maintain.TABLES", {name: TABLES[name] for name in names})


@pytest.mark.parametrize("way", [{}, pytest.param(BY_SPARK, marks=pytest.mark.slow)], ids=["here", "by Spark"])
def test_files_are_joined_and_freed_no_row_changes_and_jobs_go_on_from_their_watermarks(
    album: Album, way: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    before, versions = contents(album), album.versions()
    with monkeypatch.context() as patch:
        only(patch, "files", "location_date_clusters", "tasks")
        _, planned = maintain(album, retain_hours=0, dry_run=True, **way)
    assert planned["files"]["files_compacted"] == 2
    assert (contents(album), album.versions()) == (before, versions)

    # Tables with rows; test_erase_figures.py maintains those without, too.
    only(monkeypatch, *(name for name in TABLES if DeltaTable(f"{album.lake}/{name}").file_uris()))
    with monkeypatch.context() as patch:
        if not way:
            patch.setattr("jobs.runtime.runs.open_session", lambda *_, **__: pytest.fail("Spark was started"))
        run, done = maintain(album, retain_hours=0, **way)
    assert contents(album) == before
    assert done["files"]["files_compacted"] == 2
    assert done["files"]["files_vacuumed"] >= 2
    assert upkeep.partitions_of(album.lake, FILES)[0].files == 1
    assert run.ledger.row_counts["files.files_compacted"] == 2
    state = album.rows("tasks", "update_time DESC")[0]
    assert (state["task_id"], state["status"], state["task_type"]) == (run.task_id, "Succeeded", "LakeMaintenance")
    consumed = Mark.of(DeltaTable(f"{album.lake}/file_places")).consumed["files"]
    for table, versions in (("files", {}), ("file_places", {"files": consumed})):
        for entry in DeltaTable(f"{album.lake}/{table}").history(3):  # no job's token, but where the job's left off
            assert json.loads(entry["userMetadata"].removeprefix("maintenance after "))["consumed"] == versions

    later = album.index([photo("2026-03-08", HANGZHOU)])
    assert later.ledger.row_counts.get("files.replaced", 0) == 0  # the change feed, not the whole table
    album.remove(photo("2026-03-04", HANGZHOU)["uri"], dataset="ada")
    assert album.cluster().ledger.row_counts.get("place_days.touched", 2) == 2  # Spark alone counts them
    # The removed file was seen before maintenance moved it: its day stays.
    assert album.trips() == {("ada", "Hangzhou", "2026-03-04", "2026-03-08")}
    assert [event for event, _ in album.events()] == ["created", "extended"]


@pytest.mark.slow
def test_what_is_still_needed_is_kept_and_where_it_went_all_the_same_tables_are_compared(
    album: Album, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    only(monkeypatch, "files", "file_places", "tasks")
    for day in ("2026-03-08", "2026-03-09"):
        album.index([photo(day, HANGZHOU)])
    versions = album.versions()
    with pytest.raises(UsageError, match=r"file_places is needed .* table place_days has not consumed version"):
        maintain(album, retain_hours=0)
    assert album.versions() == versions

    monkeypatch.setattr("jobs.maintain.RETAIN_HOURS", 0)
    _, done = maintain(album)
    assert done["file_places"]["files_vacuumed"] == 0
    assert "table place_days has not consumed" in done["file_places"]["note"]
    assert done["files"]["note"] == ""

    spark.conf.set("spark.databricks.delta.retentionDurationCheck.enabled", "false")
    try:
        spark.sql(f"VACUUM delta.`{album.lake}/file_places` RETAIN 0 HOURS")
    finally:
        spark.conf.unset("spark.databricks.delta.retentionDurationCheck.enabled")
    assert "place_days.touched" not in album.cluster().ledger.row_counts
    assert album.trips() == {("ada", "Hangzhou", "2026-03-04", "2026-03-09")}


@pytest.mark.slow
def test_a_table_with_rows_marked_as_deleted_is_tended_by_spark_until_their_marks_are_gone(
    album: Album, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    only(monkeypatch, "place_days")
    started: list[str] = []
    monkeypatch.setattr("jobs.runtime.runs.open_session", lambda name, **_: started.append(name) or spark)
    spark.sql(f"UPDATE delta.`{album.lake}/place_days` SET files = 7, images = 7 WHERE local_date = '2026-03-04'")
    before = contents(album)["place_days"]
    assert sum(part.deleted for part in upkeep.partitions_of(album.lake, PLACE_DAYS)) == 1
    _, done = maintain(album)
    assert done["place_days"]["files_compacted"] >= 2
    assert len(started) == 1
    assert sum(part.deleted for part in upkeep.partitions_of(album.lake, PLACE_DAYS)) == 0
    maintain(album)
    assert len(started) == 1  # no file is due
    (vector,) = Path(album.lake, "place_days").rglob("*.bin")
    maintain(album, retain_hours=0)
    assert len(started) == 2
    assert not vector.exists()
    maintain(album, retain_hours=0)
    assert len(started) == 2
    assert contents(album)["place_days"] == before


def test_a_lake_may_be_named_by_a_relative_path(album: Album, monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, "place_days")
    monkeypatch.chdir(album.root)
    with run_job(Maintain(lake="lake"), job="maintain", task_type="LakeMaintenance") as run:
        _, tables = maintain_lake(run, Maintain(lake="lake"))
    assert [(row.table, row.note) for row in tables] == [("place_days", "")]


def test_a_dataset_that_has_not_seen_its_evidence_is_named(
    album: Album, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    only(monkeypatch, "place_days")
    lake = Lake.open(album.lake, start_spark=lambda: spark)
    days = lake.read(PLACE_DAYS, lake.version(PLACE_DAYS))
    replace_rows(Step.pin(lake, PLACE_DAYS, "run"), days.where("local_date > '2026-03-04'"), days)
    with pytest.raises(UsageError, match=r"dataset ada of project demo has not consumed version .* of place_days"):
        maintain(album, retain_hours=0)


def test_a_task_under_way_keeps_what_it_may_read(album: Album, monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, "tasks")
    now = datetime.now(UTC)
    append_task_state(album.lake, task_state("LocationDateClustering-1", start=now - timedelta(hours=3), seen=now))
    with pytest.raises(UsageError, match="task LocationDateClustering-1 is running"):
        maintain(album, retain_hours=2)


@pytest.mark.slow
def test_maintenance_between_pin_and_commit_makes_the_step_start_over_at_most(
    album: Album, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached = []

    def rewrite_at_first(point: str) -> None:
        if point == "before:place_days":
            reached.append(point)
            if len(reached) == 1:
                spark.sql(f"OPTIMIZE delta.`{album.lake}/place_days` ZORDER BY (dataset_name)")

    monkeypatch.setattr("jobs.runtime.commits.reach_failure_point", rewrite_at_first)
    album.index([photo("2026-03-05", HANGZHOU, n=1), photo("2026-03-08", HANGZHOU)])
    album.cluster()
    assert reached
    assert album.trips() == {("ada", "Hangzhou", "2026-03-04", "2026-03-08")}
    assert sorted((str(row["local_date"]), row["files"]) for row in album.rows("place_days")) == [
        ("2026-03-04", 1), ("2026-03-05", 2), ("2026-03-06", 1), ("2026-03-07", 1), ("2026-03-08", 1),
    ]  # fmt: skip


def test_a_longer_retention_is_kept_in_the_tables(album: Album, monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, "cluster_events", "tasks")
    for _ in range(2):
        maintain(album, retain_hours=1000)
    for name in ("cluster_events", "tasks"):
        table = DeltaTable(f"{album.lake}/{name}")
        assert table.metadata().configuration["delta.deletedFileRetentionDuration"] == "interval 1000 hours"
        assert table.metadata().configuration["delta.logRetentionDuration"] == "interval 1000 hours"
        assert sum("SET T" in entry["operation"] for entry in table.history()) == 1


def test_lost_tasks_are_failed_and_old_ones_go(album: Album, monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, "tasks")
    now = datetime.now(UTC)
    for task, age in (("Old-1", timedelta(days=9)), ("Lost-1", timedelta(minutes=9))):
        append_task_state(album.lake, task_state(task, start=now - age, seen=now - age))
    run, _ = maintain(album)
    assert (run.ledger.row_counts["tasks.lost"], run.ledger.row_counts["tasks.expired"]) == (2, 1)
    codes = {row["task_id"]: row["code"] for row in album.rows("tasks", "update_time")}
    assert codes["Lost-1"] == "Lost"
    assert "Old-1" not in codes


def test_a_dataset_is_not_an_option(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="works on the whole lake"):
        Maintain(lake=str(tmp_path), dataset=("ada",))


def task_state(task: str, *, start: datetime, seen: datetime) -> Row:
    """A state of a task that runs."""
    ids = {"task_id": task, "event_id": "e", "request_id": "r", "run_id": f"run of {task}"}
    what = {"task_type": "x", "project_name": "demo", "status": "Running", "progress": 1}
    return {**ids, **what, "start_time": start, "update_time": seen}


def test_migrate_makes_what_is_missing_and_refuses_what_it_does_not_know(
    album: Album, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = Path(album.lake) / "figures"
    figures.rename(album.root / "figures")
    ran = CliRunner().invoke(migrate, ["--lake", album.lake, "--dry-run", "--json"])
    assert json.loads(ran.output)["Changes"] == ["figures: table made"]
    assert not figures.exists()
    assert migrate_lake(album.lake, dry_run=False) == ["figures: table made"]
    assert migrate_lake(album.lake, dry_run=False) == []
    datasets = DeltaTable(f"{album.lake}/datasets")
    newer = CONTRACT_VERSION + 1
    datasets.alter.set_table_properties({"lakealbum.contractVersion": str(newer)}, raise_if_not_exists=False)
    with pytest.raises(LakeError, match=f"version {newer}; this LakeAlbum knows up to {CONTRACT_VERSION}"):
        migrate_lake(album.lake, dry_run=False)
    for module in ("jobs.migrate", "schemas.contract"):
        monkeypatch.setattr(f"{module}.CONTRACT_VERSION", newer + 1)
    with pytest.raises(LakeError, match="no migration leads from there"):
        migrate_lake(album.lake, dry_run=False)
    called: list[str] = []
    monkeypatch.setitem(MIGRATIONS, newer, called.append)
    done = migrate_lake(album.lake, dry_run=False)
    assert (done[0], called) == (f"lake: from contract version {newer} to {newer + 1}", [album.lake])
    assert done[-1] == f"datasets: property lakealbum.contractVersion set to {newer + 1}"
    assert migrate_lake(album.lake, dry_run=False) == []


def test_migrate_refuses_a_place_without_a_lake(tmp_path: Path) -> None:
    with pytest.raises(LakeError, match="there is no lake"):
        migrate_lake(str(tmp_path), dry_run=False)
