"""`jobs.sources.files_here`: what a path or a pattern names, and what files hold."""

from __future__ import annotations

import bz2
import gzip
import os
from pathlib import Path

import pyarrow as pa
import pytest

from jobs.sources.files_here import find_matches, list_files, read_whole
from schemas.errors import SourceError

NAMES = (
    *("a.csv", "b.csv", ".hidden.csv", "_started.csv", "c._COPYING_", "_day=1.csv", "s{1}.csv", "z-1", "z[2"),
    *("sub/c.csv", "sub/_tmp/d.csv", "sub/.trash/e.csv", "day=1/f.csv", "_day=2/g.csv"),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of one byte (NAMES), an empty one, a pipe, and links to a file, to nothing and to the folder itself."""
    folder = tmp_path_factory.mktemp("files")
    for name in NAMES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    (folder / "empty.csv").touch()
    os.mkfifo(folder / "pipe.csv")
    (folder / "linked.csv").symlink_to(folder / "a.csv")
    (folder / "lost.csv").symlink_to(folder / "nothing")
    (folder / "sub" / "loop").symlink_to(folder)
    return folder


def test_files_that_are_hidden_or_empty_are_not_listed(folder: Path) -> None:
    found = list_files(str(folder))
    names = ["_day=1.csv", "_day=2/g.csv", "a.csv", "b.csv", "day=1/f.csv", "linked.csv", "s{1}.csv", "sub/c.csv"]
    assert found.files == {f"{folder}/{name}": 1 for name in [*names, "z-1", "z[2"]}
    assert found.roots == (str(folder),)
    assert found == list_files(f"file://{folder}/") == list_files(os.path.relpath(folder))


def test_what_is_named_itself(folder: Path) -> None:
    assert [*list_files(f"{folder}/a.csv").files] == [f"{folder}/a.csv"]
    assert [*list_files(f"{folder}/sub/_tmp").files] == [f"{folder}/sub/_tmp/d.csv"]  # a root may have such a name
    assert [*list_files(f"{folder}/.hidden.csv").files] == []
    with pytest.raises(FileNotFoundError):
        list_files(f"{folder}/nothing")


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("[ab].csv", ["a.csv", "b.csv"]),
        ("[a-b].csv", ["a.csv", "b.csv"]),
        ("[!a].csv", ["b.csv"]),
        ("[^a].csv", ["b.csv"]),
        ("?.csv", ["a.csv", "b.csv"]),
        ("{a,b,x}.csv", ["a.csv", "b.csv"]),
        ("{sub/c,a}.csv", ["a.csv", "sub/c.csv"]),
        (r"{a,{b,s\{1\}}}.csv", ["a.csv", "b.csv", "s{1}.csv"]),
        (r"z\[2", ["z[2"]),
        ("z[-]1", ["z-1"]),
        ("*/c.csv", ["sub/c.csv"]),
        (".h*", [".hidden.csv"]),
        ("*.parquet", []),
        ("*.csv/x", []),
    ],
)
def test_patterns(folder: Path, pattern: str, names: list[str]) -> None:
    assert find_matches(f"{folder}/{pattern}") == [f"{folder}/{name}" for name in names]


def test_files_under_all_that_a_pattern_matches(folder: Path) -> None:
    found = list_files(f"{folder}/{{sub,day=*,.hidden.csv}}")
    assert [*found.files] == [f"{folder}/day=1/f.csv", f"{folder}/sub/c.csv", *_looped(folder)]
    assert found.roots == (f"{folder}/.hidden.csv", f"{folder}/day=1", f"{folder}/sub")


def _looped(folder: Path) -> list[str]:
    """What the link to the folder itself holds, but for the folder that it is in."""
    names = ["_day=1.csv", "_day=2/g.csv", "a.csv", "b.csv", "day=1/f.csv", "linked.csv", "s{1}.csv", "z-1", "z[2"]
    return [f"{folder}/sub/loop/{name}" for name in names]


@pytest.mark.parametrize("pattern", ["{a", "a}", "[a", "{a,{b}"])
def test_what_is_no_pattern(pattern: str) -> None:
    with pytest.raises(ValueError, match="without the other; a backslash before it"):
        find_matches(f"/{pattern}")


def test_compressed_files(tmp_path: Path) -> None:
    text = b"uri\na.jpg\n"
    compressed = {
        "a.csv": text,
        "a.csv.gz": gzip.compress(text[:4]) + gzip.compress(text[4:]),
        "a.csv.BZ2": bz2.compress(text[:4]) + bz2.compress(text[4:]),
        "a.csv.zst": b"".join(pa.compress(part, codec="zstd", asbytes=True) for part in (text[:4], text[4:])),
    }
    for name, content in compressed.items():
        (tmp_path / name).write_bytes(content)
        assert read_whole(str(tmp_path / name)) == text
        if name != "a.csv":
            (tmp_path / name).write_bytes(content[:-3])
            with pytest.raises(SourceError, match=f"{name} can't be read"):
                read_whole(str(tmp_path / name))
