"""What a folder's names tell: its photos and videos, their sidecars, and which of them may be of one shot.

Pure functions of names: nothing is opened. Light: no picture library is loaded.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from urllib.parse import quote, quote_from_bytes, unquote

import pyarrow as pa
import pyarrow.compute as pc

from transforms.pictures.formats import MEDIA_SUFFIXES, suffix_of
from transforms.pictures.shots import shot_key
from transforms.pictures.sidecars import match_sidecars

LISTING_SCHEMA = pa.schema(
    [
        pa.field("uri", pa.string()),
        pa.field("takeout_uri", pa.string()),
        pa.field("xmp_uri", pa.string()),
        pa.field("shot_group", pa.string()),
    ]
)
"""One row per photo or video: its uri, those of its sidecars, and what it has in common with files of the same shot."""

ListedFile = tuple[str, str | None, str | None, str]
"""A row of `LISTING_SCHEMA`."""


@dataclass(frozen=True)
class Listing:
    """The photos and videos under a folder (`LISTING_SCHEMA`, sorted by uri), and what was passed over.

    `passed_over`: how many files there were of each other suffix. `unmatched`: uris of sidecars that fit no file.
    """

    pictures: pa.Table
    passed_over: dict[str, int] = field(default_factory=dict)
    unmatched: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Folder:
    """One folder's files: its uri, without a slash at its end, their names, and a query that their uris end in."""

    uri: str
    names: list[str]
    query: str = ""

    def uri_of(self, name: str) -> str:
        """The uri of a file in the folder. Names that are no UTF-8 keep their bytes."""
        return f"{self.uri}/{quote_from_bytes(os.fsencode(name))}{self.query}"


@dataclass(frozen=True)
class ListedFolder:
    """What `Listing` holds, of one folder."""

    files: list[ListedFile]
    passed_over: Counter[str]
    unmatched: list[str]


def list_folder(folder: Folder) -> ListedFolder:
    """The photos and videos of one folder, with their sidecars."""
    sidecars = match_sidecars(folder.names)
    known = {*sidecars.takeout.values(), *sidecars.xmp.values(), *sidecars.unmatched}
    files: list[ListedFile] = []
    passed_over: Counter[str] = Counter()
    for name in folder.names:
        suffix = suffix_of(name)
        if suffix in MEDIA_SUFFIXES:
            takeout, xmp = sidecars.takeout.get(name), sidecars.xmp.get(name)
            group = f"{folder.uri}/{quote(shot_key(name), errors='surrogateescape')}"
            files.append((folder.uri_of(name), takeout and folder.uri_of(takeout), xmp and folder.uri_of(xmp), group))
        elif name not in known:
            passed_over[suffix] += 1
    return ListedFolder(files, passed_over, [folder.uri_of(name) for name in sidecars.unmatched])


def list_folders(folders: Iterable[Folder]) -> Listing:
    """What the folders hold, together."""
    rows: list[ListedFile] = []
    passed_over: Counter[str] = Counter()
    unmatched: list[str] = []
    for folder in folders:
        listed = list_folder(folder)
        rows += listed.files
        passed_over += listed.passed_over
        unmatched += listed.unmatched
    return Listing(_table(rows), dict(passed_over), sorted(unmatched))


def list_touched(uris: pa.ChunkedArray, *, changed: Collection[str], gone: Collection[str] = ()) -> pa.Table:
    """The photos and videos to read again (`LISTING_SCHEMA`) where some files are new or changed, and others gone.

    `uris`: all files that are there, sidecars too. A picture is read again if it, a sidecar of it, or a file that may
    be of its shot changed or went. Only folders in which something did are looked at.
    """
    folders = {_folder_of(uri) for uri in (*changed, *gone)}
    parents = pc.replace_substring_regex(uris, r"/[^/]*$", "")
    inside = uris.filter(pc.is_in(parents, value_set=pa.array(sorted(folders), pa.string()))).to_pylist()
    there, lost = _by_folder(inside), _by_folder(gone)
    touched = {*changed, *gone}
    rows: list[ListedFile] = []
    for key, names in there.items():
        listed = list_folder(Folder(key[0], names, key[1])).files
        before = list_folder(Folder(key[0], names + lost[key], key[1])).files if key in lost else []
        groups = {row[3] for row in (*listed, *before) if not touched.isdisjoint(row[:3])}
        rows += [row for row in listed if row[3] in groups]
    return _table(rows)


def cut_listing(pictures: pa.Table, *, size: int) -> Iterator[pa.Table]:
    """Files (LISTING_SCHEMA) in parts of `size` or little more, by shot: those of one stay together."""
    ordered = pictures.sort_by([("shot_group", "ascending"), ("uri", "ascending")])
    groups = ordered["shot_group"].to_pylist()
    start = 0
    while start < len(groups):
        end = min(start + size, len(groups))
        while end < len(groups) and groups[end] is not None and groups[end] == groups[end - 1]:
            end += 1
        yield ordered.slice(start, end - start)
        start = end


def _table(rows: list[ListedFile]) -> pa.Table:
    columns = list(zip(*sorted(rows, key=lambda row: row[0]), strict=True)) or [()] * len(LISTING_SCHEMA)
    return pa.table([pa.array(column, pa.string()) for column in columns], schema=LISTING_SCHEMA)


def _folder_of(uri: str) -> str:
    return uri.rpartition("/")[0]


def _by_folder(uris: Iterable[str]) -> dict[tuple[str, str], list[str]]:
    """Names, by folder and query."""
    found: dict[tuple[str, str], list[str]] = {}
    for uri in uris:
        folder, _, last = uri.rpartition("/")
        name, mark, query = last.partition("?")
        found.setdefault((folder, mark + query), []).append(unquote(name, errors="surrogateescape"))
    return found
