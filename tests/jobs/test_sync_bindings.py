"""Sources that datasets follow: through the command line, with real pictures; without Spark where nothing changed."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from catalog.bindings import bind, get_binding, read_listing, record_listing
from catalog.file_meta import FileUpdate, update_files
from catalog.files import FileQuery, query_files
from catalog.lake import Lake, Row, Scope
from catalog.similar_images import SimilarImageQuery, query_similar_images
from jobs.bindings.scanning import scan_folder
from jobs.bindings.work import Work, look_at_folder
from jobs.cli.main import lakealbum
from jobs.runtime.commits import InjectedFailure
from jobs.sync_bindings import SyncBindings, sync_bindings
from schemas.errors import SourceError, UsageError
from tests.jobs.runtime.test_failures import WORKER

ADA = Scope("default", ("ada",))
TRIPS = ("--gap-days", "1", "--min-days", "1", "--max-days", "15", "--levels", "city")


def picture(path: Path, seed: int, day: str = "2026:03:04") -> None:
    """A picture of noise in large spots, taken in Paris."""
    spots = np.random.default_rng(seed).integers(0, 255, (9, 12, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9003] = f"{day} 10:15:19"
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 51.0, 24.0), 3: "E", 4: (2.0, 21.0, 3.0)})
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(spots).resize((240, 180), Image.Resampling.BICUBIC).save(path, exif=exif, quality=95)


def call(lake: Path | str, *arguments: str) -> Result:
    """Calls a verb."""
    return CliRunner().invoke(lakealbum, [*arguments, "--lake", str(lake)])


def synced(lake: Path | str, *options: str) -> Row:
    """What `sync --json` says of the only source."""
    ran = call(lake, "sync", "--json", *options)
    assert ran.exception is None, ran.output
    (document,) = json.loads(ran.stdout)["Bindings"]
    counts = ("Listed", "New", "Changed", "Moved", "Missing", "Removed", "Refused")
    return {name: document[name] for name in counts if document[name]}


def seen(lake: Path | str) -> dict[str, Row]:
    """The files that are there, by name."""
    files = query_files(Lake(str(lake)), FileQuery(ADA, max_results=100)).rows
    return {row["uri"].rpartition("/")[2]: row for row in files}


def test_a_folder_is_followed(spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pics, lake = tmp_path / "pics", tmp_path / "lake"
    for n in range(8):
        picture(pics / "a" / f"{n}.jpg", n)
    with Image.open(pics / "a" / "0.jpg") as original:
        original.save(pics / "a" / "0 copy.jpg", quality=60)
    (pics / "a" / "broken.jpg").write_bytes(b"no picture")
    assert call(lake, "bind", str(pics), "--dataset", "ada").exit_code == 0
    assert synced(lake) == {"Listed": 10, "New": 10, "Refused": 1}
    assert synced(lake) == {"Listed": 10, "Refused": 1}
    assert call(lake, "cluster", "similar-images").exception is None
    assert call(lake, "cluster", "location-date", *TRIPS).exception is None
    opened = Lake(str(lake))
    update_files(opened, ADA, [FileUpdate.of(str(pics / "a" / "1.jpg"), {"custom_id": "mine"})])
    before = seen(lake)
    (group,) = query_similar_images(opened, SimilarImageQuery(ADA)).rows

    # renamed: 0, its copy and 1; gone: 2; another picture: 3; under the old name of 1 a new one
    for name in ("0.jpg", "0 copy.jpg", "1.jpg"):
        (pics / "b").mkdir(exist_ok=True)
        os.rename(pics / "a" / name, pics / "b" / f"moved {name}")
    (pics / "a" / "2.jpg").unlink()
    picture(pics / "a" / "3.jpg", 33)
    picture(pics / "a" / "1.jpg", 11, day="2026:03:05")
    monkeypatch.setenv("LAKEALBUM_FAIL_AT", "after:files")
    with pytest.raises(InjectedFailure):
        sync_bindings(SyncBindings(lake=str(lake)))
    monkeypatch.delenv("LAKEALBUM_FAIL_AT")
    told = synced(lake)
    assert (told["Listed"], told["Refused"]) == (10, 1)
    after = seen(lake)
    assert set(after) == {"moved%200.jpg", "moved%200%20copy.jpg", "moved%201.jpg", *(f"{n}.jpg" for n in range(1, 8))}
    kept = ("object_id", "create_time", "custom_id", "content_hash", "produce_time")
    for old, new in (("0.jpg", "moved%200.jpg"), ("1.jpg", "moved%201.jpg")):
        assert {name: after[new][name] for name in kept} == {name: before[old][name] for name in kept}
    assert after["moved%201.jpg"]["custom_id"] == "mine"
    assert (after["1.jpg"]["custom_id"], after["1.jpg"]["object_id"] != before["1.jpg"]["object_id"]) == (None, True)
    assert after["3.jpg"]["object_id"] == before["3.jpg"]["object_id"]
    assert after["3.jpg"]["content_hash"] != before["3.jpg"]["content_hash"]

    (moved,) = query_similar_images(opened, SimilarImageQuery(ADA)).rows
    assert moved["object_id"] == group["object_id"]
    members = {member["uri"].rpartition("/")[2] for member in moved["members"]}
    assert members == {"moved%200.jpg", "moved%200%20copy.jpg"}
    assert call(lake, "cluster", "similar-images").exception is None
    (clustered,) = query_similar_images(opened, SimilarImageQuery(ADA)).rows
    assert (clustered["object_id"], clustered["files"]) == (group["object_id"], 2)
    assert call(lake, "cluster", "location-date", *TRIPS).exception is None
    shown = json.loads(call(lake, "query", "location-date", "--json").stdout)["LocationDateClusters"]
    assert [(trip["FilesCount"], trip["Days"]) for trip in shown] == [(9, 2)]  # the copy has no time and no place

    assert synced(lake, "--grace", "0d") == {"Listed": 10, "Removed": 1, "Refused": 1}
    assert "2.jpg" not in seen(lake)
    assert synced(lake) == {"Listed": 10, "Refused": 1}


def test_a_table_is_followed(spark: SparkSession, tmp_path: Path) -> None:
    rows, lake = tmp_path / "rows.jsonl", tmp_path / "lake"
    files = [{"uri": f"{n}.jpg", "title": "x"} for n in range(5)]
    rows.write_text("\n".join(map(json.dumps, files)))
    assert call(lake, "bind", str(rows), "--dataset", "ada").exit_code == 0
    assert synced(lake) == {"Listed": 5}
    assert synced(lake) == {"Listed": 5}
    assert get_binding(Lake(str(lake)), ADA, str(rows))["phase"] == "IncrementalScanning"
    rows.write_text("\n".join(map(json.dumps, [{**files[0], "title": "changed"}, *files[1:4]])))
    assert synced(lake) == {"Listed": 4, "Missing": 1}
    assert {name: row["title"] for name, row in seen(lake).items()} == {
        "0.jpg": "changed", "1.jpg": "x", "2.jpg": "x", "3.jpg": "x", "4.jpg": "x",
    }  # fmt: skip
    assert synced(lake, "--grace", "0d") == {"Listed": 4, "Removed": 1}
    assert len(seen(lake)) == 4


# ---------------------------------------------------------------- where nothing has to be read


@pytest.fixture
def followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """A folder of four files that are listed as they are, and a lake; whoever starts a run fails."""
    pics, lake = tmp_path / "pics", tmp_path / "lake"
    pics.mkdir()
    for n in range(4):
        (pics / f"{n}.jpg").write_bytes(b"never opened")
    binding = bind(str(lake), ADA, str(pics), {"format": "photos"})
    record_listing(Lake(str(lake)), binding, scan_folder(str(pics)).files)

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("a run was started")

    monkeypatch.setattr("jobs.runtime.runs.run_job", refuse)
    return pics, lake


def test_what_is_as_it_was_is_not_opened(followed: tuple[Path, Path]) -> None:
    pics, lake = followed
    assert synced(lake) == {"Listed": 4}
    binding = get_binding(Lake(str(lake)), ADA, str(pics))
    assert (binding["state"], binding["phase"], binding["files"]) == ("Ready", "IncrementalScanning", 4)
    assert binding["sync_time"] is not None
    assert call(lake, "sync").stdout == f"{pics}: 4 listed; nothing changed\n"


def test_what_vanishes_waits_and_what_comes_back_was_never_away(followed: tuple[Path, Path]) -> None:
    pics, lake = followed
    shutil.move(pics / "0.jpg", pics.parent / "away")
    for _ in range(2):
        assert synced(lake) == {"Listed": 3, "Missing": 1}
    shutil.move(pics.parent / "away", pics / "0.jpg")
    assert synced(lake) == {"Listed": 4}
    binding = get_binding(Lake(str(lake)), ADA, str(pics))
    assert read_listing(Lake(str(lake)), binding)["missing_since"].null_count == 4


@pytest.mark.long
def test_a_source_that_cannot_be_listed_changes_nothing_and_says_why(followed: tuple[Path, Path]) -> None:
    pics, lake = followed
    other = pics.parent / "other"
    other.mkdir()
    bind(str(lake), ADA, str(other), {"format": "photos"})
    shutil.move(pics, pics.parent / "unplugged")
    ran = call(lake, "sync")
    assert isinstance(ran.exception, SourceError)
    assert "cannot be listed" in str(ran.exception)
    assert f"{other}: 0 listed; nothing changed" in ran.stdout
    binding = get_binding(Lake(str(lake)), ADA, str(pics))
    assert "cannot be listed" in binding["reason"]
    assert read_listing(Lake(str(lake)), binding)["missing_since"].null_count == 4
    shutil.move(pics.parent / "unplugged", pics)
    assert call(lake, "sync").exception is None
    assert get_binding(Lake(str(lake)), ADA, str(pics))["reason"] is None


def test_a_source_that_workers_cannot_reach_says_so_and_the_next_is_followed(
    followed: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a source that goes away while it is read Spark tells its own way."""
    pics, lake = followed
    other = pics.parent / "other"
    other.mkdir()
    bind(str(lake), ADA, str(other), {"format": "photos"})

    def gone_for_workers(lake: Lake, binding: Row, *arguments: Any, **options: Any) -> Work:
        if binding["source"] == str(pics):
            raise PySparkException(WORKER)
        return look_at_folder(lake, binding, *arguments, **options)

    monkeypatch.setattr("jobs.sync_bindings.look_at_folder", gone_for_workers)
    ran = call(lake, "sync")
    told = "file:///photos is out of reach of worker-2: it is not there"
    assert str(ran.exception) == f"{pics}: {told}"
    assert f"{other}: 0 listed; nothing changed" in ran.stdout
    assert get_binding(Lake(str(lake)), ADA, str(pics))["reason"] == told


def test_a_dataset_that_follows_nothing_is_told(followed: tuple[Path, Path]) -> None:
    ran = call(followed[1], "sync", "--dataset", "nope")
    assert isinstance(ran.exception, UsageError)
    assert str(ran.exception) == "no dataset of nope follows a source; of project 'default' ada does"


def test_a_folder_that_is_suddenly_empty_is_refused(followed: tuple[Path, Path]) -> None:
    pics, lake = followed
    for n in range(3):
        (pics / f"{n}.jpg").unlink()
    assert "--allow-mass-removal" in str(call(lake, "sync").exception)
    assert synced(lake, "--allow-mass-removal") == {"Listed": 1, "Missing": 3}


def test_what_is_stopped_is_left_alone_until_it_is_resumed(followed: tuple[Path, Path]) -> None:
    pics, lake = followed
    assert call(lake, "bindings", "stop", str(pics)).exit_code == 0
    (pics / "new.jpg").write_bytes(b"x")
    assert call(lake, "sync").stdout == f"{pics}: it is stopped\n"
    assert call(lake, "bindings", "resume", str(pics)).exit_code == 0
    with pytest.raises(AssertionError, match="a run was started"):
        sync_bindings(SyncBindings(lake=str(lake)))
    shown = json.loads(call(lake, "bindings", "get", str(pics), "--json").stdout)["Binding"]
    assert (shown["State"], shown["URI"]) == ("Ready", str(pics))
    assert call(lake, "bindings", "delete", str(pics)).exit_code == 0
    assert call(lake, "sync").stdout.startswith("Project default follows no source")


def test_a_dry_run_writes_nothing(followed: tuple[Path, Path]) -> None:
    pics, lake = followed
    (pics / "0.jpg").unlink()
    opened = Lake(str(lake))
    before = get_binding(opened, ADA, str(pics))
    assert synced(lake, "--dry-run") == {"Listed": 3, "Missing": 1}
    assert get_binding(opened, ADA, str(pics)) == before
