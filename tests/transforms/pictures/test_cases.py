"""Files as users of photo tools report them, with the values that are right: `shared/data/cases`."""

from __future__ import annotations

import csv
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pytest

from schemas.files import LOCATION_SOURCES, TIME_SOURCES
from transforms.pictures import evidence
from transforms.pictures.files import Reading, list_pictures, read_batches

ROOT = Path(__file__).parents[3]
CASES = ROOT.parent / "shared" / "data" / "cases"
needs_cases = pytest.mark.skipif(not CASES.is_dir(), reason=f"the cases are not at {CASES}")


def expected_rows() -> list[dict[str, str]]:
    if not CASES.is_dir():
        return []
    with (CASES / "expected.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def read_folder(root: Path, **reading: Any) -> dict[str, dict[str, Any]]:
    """The rows of all files under a folder, by their path in it."""
    listed = list_pictures(str(root)).pictures.sort_by("shot_group")
    rows = pa.Table.from_batches(list(read_batches(listed.to_batches(), Reading(**reading)))).to_pylist()
    return {unquote(row["uri"].removeprefix(root.as_uri() + "/")): row for row in rows}


def instant(row: dict[str, Any]) -> datetime | None:
    """The time as the table `files` keeps it: the instant, or the wall clock's reading as if it were UTC."""
    if row["produce_time"] is None:
        return None
    moment = datetime.fromisoformat(row["produce_time"])
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


@pytest.fixture(scope="module")
def rows() -> dict[str, dict[str, Any]]:
    return read_folder(CASES / "photos")


@pytest.mark.long
@needs_cases
@pytest.mark.parametrize("case", expected_rows(), ids=lambda case: case["file"])
def test_case(rows: dict[str, dict[str, Any]], case: dict[str, str]) -> None:
    row = rows[case["file"]]
    assert row["error_code"] == ("picture_unreadable" if case["note"] == "rejected" else None)
    wanted = case["produce_time"]
    moment = datetime.fromisoformat(wanted) if wanted else None
    assert instant(row) == (moment.replace(tzinfo=moment.tzinfo or UTC) if moment else None)
    assert (row["time_is"], row["time_source"]) == (case["time_is"] or None, case["time_source"] or None)
    if case["utc_offset_minutes"]:
        offset = datetime.fromisoformat(row["produce_time"]).utcoffset()
        assert offset is not None
        assert offset.total_seconds() == int(case["utc_offset_minutes"]) * 60
    for axis in ("latitude", "longitude"):
        assert row[axis] == (pytest.approx(float(case[axis]), abs=1e-4) if case[axis] else None)


@needs_cases
def test_what_the_notes_of_the_cases_say(rows: dict[str, dict[str, Any]]) -> None:
    assert len(rows) == 35
    assert not any(name.rpartition("/")[2].startswith("._") for name in rows)
    assert rows["exif/e1_is_jpeg.heic"]["content_type"] == "image/jpeg"
    cut = rows["exif/e3.jpg"]
    assert (cut["perceptual_hash"], cut["image_width"]) == (None, 1200)
    assert "can't be decoded" in cut["warning"]
    deer = rows["xmp/b2_sidecar.jpg"]
    assert (deer["title"], deer["labels"]) == ("Deer park", ["park"])
    assert rows["takeout/IMG_0001.jpg"]["labels"] == ["person:Ann"]
    shots = {name: row["shot_id"] for name, row in rows.items() if row["shot_id"]}
    assert shots == {
        name: rows[main]["uri"]
        for main, partner in (("raw/c1.jpg", "raw/c1.dng"), ("live/IMG_0100.jpg", "live/IMG_0100.mov"))
        for name in (main, partner)
    }
    assert rows["live/IMG_0100.mov"]["location_source"] == "companion"
    assert rows["raw/c1.dng"]["content_type"] == "image/x-adobe-dng"
    hashed = [name for name, row in rows.items() if row["perceptual_hash"]]
    assert {"raw/c1.dng", "raw/c2.bmp", "raw/c3.gif", "raw/c4.avif"} <= set(hashed)


@needs_cases
def test_names_and_takeout_are_believed_as_asked(tmp_path: Path) -> None:
    shutil.copytree(CASES / "photos" / "names", tmp_path / "names")
    nameless = read_folder(tmp_path, hashes=False, name_times=False)
    assert {row["produce_time"] for row in nameless.values()} == {None}
    shutil.copy(CASES / "photos/exif/a3.jpg", tmp_path / "IMG_0001.jpg")
    sidecar = CASES / "photos/takeout/IMG_0001.jpg.supplemental-metadata.json"
    shutil.copy(sidecar, tmp_path / sidecar.name)
    for prefer, sources in (("embedded", ("exif_original", "gps")), ("takeout", ("takeout", "takeout"))):
        row = read_folder(tmp_path, hashes=False, prefer=prefer)["IMG_0001.jpg"]
        assert (row["time_source"], row["location_source"]) == sources


def test_the_table_and_the_documents_know_the_sources_that_the_code_knows() -> None:
    assert (*evidence.TIME_SOURCES, "source") == TIME_SOURCES
    assert (*evidence.PLACE_SOURCES, "source", "inferred") == LOCATION_SOURCES
    assert evidence.trust_table() in (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
