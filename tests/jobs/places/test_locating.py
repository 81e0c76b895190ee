"""Files that change, that people correct, and that are removed, are located again: here, by bucket, and by Spark."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from catalog.file_edits import FileChange, append_file_edits
from catalog.lake import Lake as CatalogLake
from jobs.locate_files import LocateFiles, locate_files
from jobs.runtime import by_bucket
from jobs.runtime.runs import Run, run_job
from tests.jobs.albums import BY_BUCKET, HERE, PROJECT, TRIP_WAYS_SLOW, Album, Row, photo
from tests.jobs.deliveries import put_files
from transforms.places.geocoding import GazetteerLocator

ZURICH, SYDNEY = {"longitude": 8.54, "latitude": 47.37}, {"longitude": 151.2, "latitude": -33.87}


@pytest.fixture
def album(tmp_path: Path, way: Row, monkeypatch: pytest.MonkeyPatch) -> Album:
    if way == BY_BUCKET:
        monkeypatch.setattr(by_bucket, "FEW", 1)
    if way in (HERE, BY_BUCKET):
        monkeypatch.setattr("jobs.runtime.runs.open_session", _refuse)
    return Album(tmp_path, way)


def _refuse(*_: Any, **__: Any) -> None:
    raise AssertionError("Spark was started")


def put(album: Album, *rows: Row) -> None:
    put_files(album.lake, rows, project=PROJECT)


def there(name: str, day: str = "2024-03-31", **more: Any) -> Row:
    return photo(day, "", uri=name, offset="+00:00", **more)


def locate(album: Album) -> Run:
    config = LocateFiles(lake=album.lake, project=PROJECT, **album.way)
    with run_job(config, job="locate-files", task_type="FileLocating") as run:
        locate_files(run, config)
    return run


def edit(album: Album, uri: str, *taken_back: Any, **fields: Any) -> None:
    [file] = [row for row in album.rows("files") if row["uri"] == uri]
    append_file_edits(CatalogLake(album.lake), [(file, FileChange(fields, taken_back))])


def cities(album: Album) -> dict[str, str]:
    return {row["uri"]: row["city"] for row in album.rows("file_places")}


@pytest.mark.long
@TRIP_WAYS_SLOW
def test_changes_edits_and_removals_are_followed(album: Album) -> None:
    put(album, there("a", **ZURICH), there("b", dataset="bob", **SYDNEY), there("nowhere"), there("c", **ZURICH))
    put(album, photo("2024-04-01", "Italy/Lazio/Rome", uri="given"))
    locate(album)
    assert cities(album) == {"a": "Bezirk Zürich", "b": "City of Sydney", "c": "Bezirk Zürich", "given": "Rome"}
    assert locate(album).told()["Outputs"] == {}

    put(album, there("a", **SYDNEY), there("new", **ZURICH))
    edit(album, "nowhere", longitude=8.54, latitude=47.37)
    edit(album, "c", address={"city": "Kyoto"})
    run = locate(album)
    assert cities(album) == {
        "a": "City of Sydney",
        "b": "City of Sydney",
        "c": "Kyoto",
        "given": "Rome",
        "new": "Bezirk Zürich",
        "nowhere": "Bezirk Zürich",
    }
    assert run.ledger.row_counts["file_places.updated"] == 2
    assert {row["uri"]: row["location_source"] for row in album.rows("file_places")}["c"] == "edited"

    album.cluster()
    edit(album, "c", "place")
    put(album, there("late", **ZURICH))
    locate(album)
    album.remove("a", "late", dataset="ada")
    assert cities(album)["c"] == "Bezirk Zürich"
    assert "late" not in cities(album)  # no clustering has seen it
    [removed] = [row for row in album.rows("file_places") if row["uri"] == "a"]
    assert removed["deleted_time"] is not None


@pytest.mark.long
@TRIP_WAYS_SLOW
def test_what_another_version_located_is_looked_up_again(album: Album, monkeypatch: pytest.MonkeyPatch) -> None:
    put(album, there("a", **ZURICH), there("b", **SYDNEY), there("sea", longitude=-30.0, latitude=0.0))
    locate(album)
    other = GazetteerLocator(90_000.0)
    monkeypatch.setattr("jobs.places.locating.GazetteerLocator", lambda: other)
    run = locate(album)
    assert run.ledger.row_counts["files.to_relocate"] == 3
    assert {row["index_version"] for row in album.rows("file_places")} == {other.version}
    assert locate(album).ledger.row_counts["files.to_relocate"] == 1
