"""A lake moved to another number of buckets: no row is lost, no step takes it for a change, a kill is no harm."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from catalog.lake import Lake as Catalog
from jobs.migrate import command, migrate_lake, move_to_buckets
from jobs.runtime.commits import InjectedFailure
from jobs.runtime.lake import read_settings
from schemas.errors import LakeError, UsageError
from schemas.lake import TABLES, bucket_of
from tests.cluster.compare import rows_of
from tests.jobs.albums import Album, photo

BUCKETS = 64
IN_BUCKETS = [name for name, contract in TABLES.items() if "bucket" in contract.names]
TRIPS = {"levels": ("country", "city"), "max_days": 30}


def all_clustered(album: Album) -> dict[str, int]:
    """Clusters of all kinds; the tables written and their versions."""
    runs = (album.cluster(**TRIPS), album.cluster_similar_images(), album.cluster_figures())
    return {name: version for run in runs for name, version in run.ledger.outputs.items()}


def rows(album: Album) -> Iterator[tuple[str, Counter[str]]]:
    """The rows of every table that jobs compute, but for their bucket."""
    for name, contract in TABLES.items():
        if contract.writer == "jobs":
            yield name, Counter({told_without_bucket(row): n for row, n in rows_of(album.lake, name).items()})


def told_without_bucket(row: str) -> str:
    return json.dumps({name: value for name, value in json.loads(row).items() if name != "bucket"}, sort_keys=True)


def misplaced(album: Album) -> set[str]:
    """The tables with rows in a wrong bucket."""
    return {
        name
        for name in IN_BUCKETS
        for row in album.rows(name)
        if row["bucket"] != bucket_of(row["project_name"], row["dataset_name"], BUCKETS)
    }


@pytest.fixture(params=["trips", pytest.param("everything", marks=pytest.mark.slow)])
def album(request: pytest.FixtureRequest, tmp_path: Path) -> Album:
    """Trips of two datasets, or a copy of the family's library; nothing is left to cluster."""
    album = Album(tmp_path)
    if request.param == "everything":
        shutil.copytree(request.getfixturevalue("library").lake, album.lake)
        all_clustered(album)
    else:
        days = ("2026-03-04", "2026-03-05", "2026-04-01")
        album.deliver([photo(day, "Italy/Lazio/Rome", dataset=whose) for day in days for whose in ("ada", "ben")])
        album.cluster(**TRIPS)
    return album


@pytest.mark.spark
def test_a_moved_lake_goes_on_as_one_that_stayed(album: Album, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stayed = Album(tmp_path / "stayed")
    shutil.copytree(album.lake, stayed.lake)

    monkeypatch.setenv("LAKEALBUM_FAIL_AT", "after:migrate.file_places")
    with pytest.raises(InjectedFailure):
        move_to_buckets(album.lake, BUCKETS, dry_run=False)
    monkeypatch.delenv("LAKEALBUM_FAIL_AT")
    assert {"files", "file_places"}.isdisjoint(misplaced(album))
    assert misplaced(album) >= {"place_days", "location_date_segments"}
    for refused in (read_settings, Catalog):
        with pytest.raises(LakeError, match=r"version moving"):
            refused(album.lake)
    with pytest.raises(LakeError, match="are being moved to 64 buckets"):
        migrate_lake(album.lake, dry_run=False)
    with pytest.raises(UsageError, match="on its way to 64 buckets"):
        move_to_buckets(album.lake, 32, dry_run=False)

    rest = move_to_buckets(album.lake, BUCKETS, dry_run=False)
    assert "place_days: rewritten" in rest
    assert "file_places: rewritten" not in rest
    assert misplaced(album) == set()
    assert read_settings(album.lake).buckets == BUCKETS
    assert move_to_buckets(album.lake, BUCKETS, dry_run=False) == []
    assert album.cluster(**TRIPS).ledger.outputs.keys() <= {"dataset_state"}
    assert dict(rows(album)) == dict(rows(stayed))

    more = [
        photo("2025-04-05", "Spain/Andalusia/Seville", dataset="ada", n=99),
        photo("2026-01-02", "Italy/Lazio/Rome", dataset="new"),
    ]
    for each in (album, stayed):
        each.deliver(more)
        each.cluster(**TRIPS)
    assert misplaced(album) == set()
    assert dict(rows(album)) == dict(rows(stayed))


@pytest.mark.long
def test_changes_that_are_not_clustered_and_tasks_forbid_it(album: Album) -> None:
    album.deliver([photo("2025-04-05", "Spain/Andalusia/Seville", dataset="ada", n=99)])
    with pytest.raises(UsageError, match=r"table place_days has not consumed version \d+ of file_places yet"):
        move_to_buckets(album.lake, BUCKETS, dry_run=False)
    all_clustered(album)
    ran = CliRunner().invoke(command, ["--lake", album.lake, "--buckets", str(BUCKETS), "--dry-run", "--json"])
    assert "files: to be rewritten" in json.loads(ran.output)["Changes"]
    assert read_settings(album.lake).buckets == 16


@pytest.mark.long
@pytest.mark.parametrize("buckets", [0, 15, 1025])
def test_there_are_16_to_1024_buckets(album: Album, buckets: int) -> None:
    with pytest.raises(UsageError, match="16 to 1024 are"):
        move_to_buckets(album.lake, buckets, dry_run=False)
