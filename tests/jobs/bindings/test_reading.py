"""Which pictures are read again when files of a folder change."""

from __future__ import annotations

import pyarrow as pa
import pytest

from jobs.bindings.reading import pictures_to_read

FOLDER = "file:///p"
NAMES = ("a.jpg", "a.jpg.json", "b.jpg", "b.xmp", "c.HEIC", "c.MOV", "d%20e.jpg", "q/a.jpg", "notes.json")


@pytest.mark.parametrize(
    ("touched", "gone", "read"),
    [
        (["a.jpg"], [], ["a.jpg"]),
        (["a.jpg.json"], [], ["a.jpg"]),
        (["b.xmp"], [], ["b.jpg"]),
        (["c.MOV"], [], ["c.HEIC", "c.MOV"]),
        (["d%20e.jpg"], [], ["d%20e.jpg"]),
        (["q/a.jpg"], [], ["q/a.jpg"]),
        (["notes.json"], [], []),
        ([], ["b.jpg.xmp"], ["b.jpg"]),
        ([], ["c.JPG"], ["c.HEIC", "c.MOV"]),
        ([], ["gone.jpg"], []),
        ([], [], []),
    ],
)
def test_sidecars_and_shots_bring_their_pictures(touched: list[str], gone: list[str], read: list[str]) -> None:
    def uris(names: list[str] | tuple[str, ...]) -> list[str]:
        return [f"{FOLDER}/{name}" for name in names]

    listed = pa.chunked_array([uris(NAMES)])
    assert pictures_to_read(listed, uris(touched), uris(gone))["uri"].to_pylist() == uris(read)


def test_uris_with_a_query_keep_it() -> None:
    listed = pa.chunked_array([["s3://b/p/a.jpg?region=x", "s3://b/p/a.jpg.xmp?region=x"]])
    (row,) = pictures_to_read(listed, ["s3://b/p/a.jpg.xmp?region=x"]).to_pylist()
    assert (row["uri"], row["xmp_uri"]) == ("s3://b/p/a.jpg?region=x", "s3://b/p/a.jpg.xmp?region=x")
