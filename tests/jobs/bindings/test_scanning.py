"""Listing folders: nothing is opened."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake

from jobs.bindings.scanning import detect_kind, scan_folder, table_version
from schemas.errors import SourceError
from transforms.pictures.files import Reading, list_pictures, read_batches


def make(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())


def names(root: Path, **globs: tuple[str, ...]) -> list[str]:
    prefix = root.as_uri() + "/"
    return [unquote(uri.removeprefix(prefix)) for uri in scan_folder(str(root), **globs).files["uri"].to_pylist()]


def test_pictures_and_sidecars_are_listed_as_index_names_them(tmp_path: Path) -> None:
    make(tmp_path, "a.jpg", "b c/d é%#?.JPG", "b c/x.mov", "b c/x.mov.xmp", "a.jpg.json", "notes.txt", ".hidden/a.jpg")
    make(tmp_path, "@eaDir/a.jpg", "._a.jpg")
    assert names(tmp_path) == ["a.jpg", "a.jpg.json", "b c/d é%#?.JPG", "b c/x.mov", "b c/x.mov.xmp"]
    listed = set(scan_folder(str(tmp_path)).files["uri"].to_pylist())
    pictures = list_pictures(str(tmp_path)).pictures
    assert set(pictures["uri"].to_pylist()) <= listed


def test_size_and_time_are_those_of_the_file(tmp_path: Path) -> None:
    make(tmp_path, "a.jpg")
    os.utime(tmp_path / "a.jpg", ns=(0, 1_700_000_000_123_456_789))
    (row,) = scan_folder(tmp_path.as_uri()).files.to_pylist()
    assert row["size"] == 5
    assert row["modified_time"].timestamp() == pytest.approx(1_700_000_000.123456, abs=1e-6)
    assert (row["etag"], row["missing_since"], row["refusal"]) == (None, None, None)


def test_globs_are_about_paths_below_the_source(tmp_path: Path) -> None:
    make(tmp_path, "a.jpg", "2026/b.jpg", "2026/raw/c.dng.jpg", "2025/d.jpg")
    assert names(tmp_path, include=("2026/*",)) == ["2026/b.jpg", "2026/raw/c.dng.jpg"]
    assert names(tmp_path, exclude=("2026/*", "a*")) == ["2025/d.jpg"]
    assert names(tmp_path, include=("*.jpg",), exclude=("*/raw/*",)) == ["2025/d.jpg", "2026/b.jpg", "a.jpg"]


def test_a_glob_may_have_the_slash_before_the_path(tmp_path: Path) -> None:
    make(tmp_path, "Trash/a.jpg", "b/Trash/c.jpg", "d.jpg")
    assert names(tmp_path, exclude=("*/Trash/*",)) == ["d.jpg"]
    assert names(tmp_path, exclude=("Trash/*",)) == ["b/Trash/c.jpg", "d.jpg"]


def test_a_link_that_cannot_be_followed_is_listed_and_hides_no_other(tmp_path: Path) -> None:
    make(tmp_path, "a.jpg")
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")  # as a link into a closed folder, which the tests may look into
    assert names(tmp_path) == ["a.jpg", "loop.jpg"]
    assert [row["size"] for row in scan_folder(str(tmp_path)).files.to_pylist()] == [5, None]
    listed = list_pictures(str(tmp_path)).pictures
    rows = [row for batch in read_batches(listed.to_batches(), Reading(hashes=False)) for row in batch.to_pylist()]
    assert [row["error_code"] for row in rows] == ["picture_unreadable", "file_unreadable"]


def test_links_to_files_are_listed_and_loops_are_not_followed(tmp_path: Path) -> None:
    make(tmp_path, "a.jpg")
    (tmp_path / "b.jpg").symlink_to(tmp_path / "a.jpg")
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nothing.jpg")
    (tmp_path / "loop").symlink_to(tmp_path)
    assert names(tmp_path) == ["a.jpg", "b.jpg"]


def test_a_root_that_cannot_be_listed_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"cannot be listed: .*nothing was changed"):
        scan_folder(str(tmp_path / "nothing"))


def test_a_folder_that_may_not_be_listed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "a.jpg", "private/b.jpg")
    scandir = os.scandir

    def refuse(path: str) -> object:
        if str(path).endswith("private"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr("os.scandir", refuse)  # root, whom tests may run as, may list everything
    scan = scan_folder(str(tmp_path))
    assert scan.unreadable == (f"{tmp_path.as_uri()}/private",)
    assert scan.files.num_rows == 1


def test_what_a_source_is(tmp_path: Path) -> None:
    make(tmp_path, "pictures/a.jpg", "mixed/a.csv", "mixed/b.json", "empty/.keep", "rows.csv", "text/a.txt")
    write_deltalake(str(tmp_path / "delta"), pa.table({"uri": ["a"]}))
    (tmp_path / "parquet").mkdir()
    pq.write_table(pa.table({"uri": ["a"]}), tmp_path / "parquet/part.parquet")
    kinds = {"pictures": "photos", "empty": "photos", "rows.csv": "csv", "delta": "delta", "parquet": "parquet"}
    assert {name: detect_kind(str(tmp_path / name)) for name in kinds} == kinds
    for name, told in (("mixed", "csv, json"), ("text", "txt"), ("nothing", "cannot be listed")):
        with pytest.raises(SourceError, match=told):
            detect_kind(str(tmp_path / name))


def test_what_a_source_is_where_links_lead_round_and_a_lake_lies_in_it(tmp_path: Path) -> None:
    make(tmp_path, "a.jpg", "below/deep/b.jpg")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "below" / "up").symlink_to(tmp_path)
    (tmp_path / "below" / "deep" / "top").symlink_to(tmp_path)
    write_deltalake(str(tmp_path / "lake" / "files"), pa.table({"uri": ["a"]}))
    assert detect_kind(str(tmp_path)) == "photos"
    assert detect_kind(str(tmp_path / "lake" / "files")) == "delta"
    version = table_version(str(tmp_path), "csv")
    make(tmp_path, "below/deep/c.jpg")
    assert table_version(str(tmp_path), "csv") != version


def test_a_folder_that_is_no_delta_table_is_told(tmp_path: Path) -> None:
    make(tmp_path, "_delta_log/notes.txt")
    with pytest.raises(SourceError, match=r"cannot be read as delta: .*; nothing was changed"):
        table_version(str(tmp_path), "delta")


def test_a_table_has_a_version(tmp_path: Path) -> None:
    write_deltalake(str(tmp_path / "delta"), pa.table({"uri": ["a"]}))
    make(tmp_path, "rows.csv")
    for source, format in (("delta", "delta"), ("rows.csv", "csv")):
        before = table_version(str(tmp_path / source), format)
        assert table_version(str(tmp_path / source), format) == before
        if format == "delta":
            write_deltalake(str(tmp_path / "delta"), pa.table({"uri": ["b"]}), mode="append")
        else:
            (tmp_path / "rows.csv").write_text("another length")
        assert table_version(str(tmp_path / source), format) != before
