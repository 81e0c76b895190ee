"""`transforms.pictures.listings`: what is to be read again where files, sidecars and partners change."""

from __future__ import annotations

import pyarrow as pa
import pytest

from transforms.pictures.listings import Folder, list_folder, list_folders, list_touched

ROOT = "file:///p"
THERE = ["a.jpg", "a.mov", "b.jpg", "b.jpg.json", "b-edited.jpg", "c.dng", "c.xmp", "c.jpg", "d%20e.jpg", "notes.txt"]
URIS = pa.chunked_array([[f"{ROOT}/{name}" for name in THERE] + ["file:///q/a.jpg", "file:///q/a.jpg.xmp"]])


@pytest.mark.parametrize(
    ("changed", "gone", "read"),
    [
        (["a.mov"], [], ["a.jpg", "a.mov"]),
        (["b.jpg.json"], [], ["b-edited.jpg", "b.jpg"]),
        (["c.xmp"], [], ["c.dng", "c.jpg"]),
        (["d%20e.jpg"], [], ["d%20e.jpg"]),
        ([], ["a.heic"], ["a.jpg", "a.mov"]),
        ([], ["d%20e.jpg.xmp"], ["d%20e.jpg"]),
        ([], ["d%20e.jpg.supplemental-metadata.json"], ["d%20e.jpg"]),
        (["notes.txt"], ["other.jpg"], []),
        ([], [], []),
    ],
)
def test_what_is_read_again(changed: list[str], gone: list[str], read: list[str]) -> None:
    def under(names: list[str]) -> list[str]:
        return [f"{ROOT}/{name}" for name in names]

    touched = list_touched(URIS, changed=under(changed), gone=under(gone))
    assert touched["uri"].to_pylist() == under(read)


def test_rows_of_what_is_read_again_are_those_of_a_listing() -> None:
    whole = list_folders([Folder(ROOT, [name.replace("%20", " ") for name in THERE])]).pictures
    assert list_touched(URIS, changed=URIS.slice(0, len(THERE)).to_pylist()).equals(whole)


def test_a_query_stays_at_the_end_of_uris() -> None:
    uris = pa.chunked_array([["s3://b/p/a%20b.jpg?region=x", "s3://b/p/a%20b.jpg.xmp?region=x"]])
    (row,) = list_touched(uris, changed=["s3://b/p/a%20b.jpg.xmp?region=x"]).to_pylist()
    assert (row["uri"], row["xmp_uri"]) == tuple(uris.to_pylist())


def test_files_of_one_shot_have_one_group_and_others_have_not() -> None:
    rows = list_folder(Folder(ROOT, ["IMG_1.HEIC", "img_1.MOV", "IMG_2.HEIC"])).files
    groups = {uri.rpartition("/")[2]: group for uri, _, _, group in rows}
    assert groups["IMG_1.HEIC"] == groups["img_1.MOV"] != groups["IMG_2.HEIC"]
