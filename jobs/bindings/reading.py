"""Which pictures of a folder are to be read again: those that changed, whose sidecars did, and files of their shots."""

from __future__ import annotations

import os
from collections.abc import Iterable
from urllib.parse import unquote_to_bytes

import pyarrow as pa

from transforms.pictures.files import LISTING_SCHEMA, Folder, ListedFile, list_folder


def pictures_to_read(listed: pa.ChunkedArray, touched: Iterable[str], gone: Iterable[str] = ()) -> pa.Table:
    """LISTING_SCHEMA of the pictures and videos that `touched` files are, tell of, or share a shot with.

    `listed` are the uris of all files of the source, `gone` those of files that were there: what they told of, and
    shared a shot with, is read again without them.
    """
    touched, gone = set(touched), set(gone)
    wanted = {_split(uri)[0] for uri in (*touched, *gone)}
    folders: dict[tuple[str, str], list[str]] = {}
    for uri in listed.to_pylist():
        folder, name = _split(uri)
        if folder in wanted:
            folders.setdefault(folder, []).append(name)
    before = {folder: [_split(uri)[1] for uri in gone if _split(uri)[0] == folder] for folder in wanted}
    rows: list[ListedFile] = []
    for (uri, query), names in folders.items():
        then = list_folder(Folder(uri, [*names, *before[uri, query]], query)).files
        changed = touched | gone
        groups = {group for picture, takeout, xmp, group in then if {picture, takeout, xmp} & changed}
        rows += [row for row in list_folder(Folder(uri, names, query)).files if row[3] in groups]
    columns = list(zip(*sorted(rows), strict=True)) or [()] * len(LISTING_SCHEMA)
    return pa.table([pa.array(column, pa.string()) for column in columns], schema=LISTING_SCHEMA)


def _split(uri: str) -> tuple[tuple[str, str], str]:
    """The folder and the query of a file's uri, and the file's name."""
    path, mark, query = uri.partition("?")
    folder, _, name = path.rpartition("/")
    return (folder, mark + query), os.fsdecode(unquote_to_bytes(name))
