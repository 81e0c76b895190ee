"""Listing a bound folder: which files there are, with what the file system says of them. No file is opened.

Neither Spark nor a JVM is needed: a million files are listed by one process in some seconds.
"""

from __future__ import annotations

import fnmatch
import hashlib
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import quote, quote_from_bytes

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError
from pyarrow import fs

from catalog.bindings import LISTING_SCHEMA
from catalog.storage import storage_options, store_reason
from schemas.errors import SourceError
from transforms.pictures.formats import MEDIA_SUFFIXES, suffix_of
from transforms.pictures.locations import is_file, is_hidden, is_local, local_path, resolve

FILTERS = ("include", "exclude")
"""Options of a binding that say which files of a folder are its."""
TABLE_SUFFIXES = {
    "parquet": "parquet",
    "parq": "parquet",
    "csv": "csv",
    "json": "json",
    "jsonl": "json",
    "ndjson": "json",
}
SIDECAR_SUFFIXES = frozenset({"json", "xmp"})
"""Of files that tell of a picture beside them."""
_SUFFIXES = MEDIA_SUFFIXES | SIDECAR_SUFFIXES
_PLAIN = re.compile(r"[A-Za-z0-9_.-]+")
_Entry = tuple[str, int | None, int | datetime | None]


@dataclass(frozen=True)
class Scan:
    """The files under a source (LISTING_SCHEMA), and the uris of folders in it that may not be listed."""

    files: pa.Table
    unreadable: tuple[str, ...] = ()


def scan_folder(root: str, *, include: tuple[str, ...] = (), exclude: tuple[str, ...] = ()) -> Scan:
    """The pictures, videos and sidecars under a local folder, or a prefix of an object store, by their suffixes.

    Hidden files and folders are passed over, links to folders are not followed. Of the paths below `root`, those that
    fit a pattern of `include`, or any if there is none, and none of `exclude` are taken; `*` in a pattern stands for
    slashes, too. A folder below `root` that may not be listed is `unreadable`; what is in it is not known.

    Raises SourceError where `root` itself cannot be listed.
    """
    takes = _filter(include, exclude)
    unreadable: list[str] = []
    try:
        listed = _walk_local(local_path(root), takes, unreadable) if is_local(root) else _walk_remote(root, takes)
        entries = sorted(listed)
    except (OSError, pa.ArrowException) as error:
        raise SourceError(f"{root} cannot be listed: {error}; nothing was changed") from error
    uris, sizes, times = zip(*entries, strict=True) if entries else ((), (), ())
    count = len(entries)
    columns = {
        "uri": pa.array(uris, pa.string()),
        "size": pa.array(sizes, pa.int64()),
        "modified_time": pa.array(times, LISTING_SCHEMA.field("modified_time").type),
        **{name: pa.nulls(count, LISTING_SCHEMA.field(name).type) for name in ("etag", "missing_since", "refusal")},
    }
    return Scan(pa.table(columns, schema=LISTING_SCHEMA), tuple(unreadable))


def _walk_local(root: str, takes: Callable[[str], bool], unreadable: list[str]) -> Iterator[_Entry]:
    """Microseconds since 1970 tell when a file was modified."""
    pending = [(root, "", Path(root).as_uri().rstrip("/"))]
    while pending:
        folder, below, uri = pending.pop()
        try:
            entries = list(os.scandir(folder))
        except OSError:
            if not below:
                raise
            unreadable.append(uri)
            continue
        for entry in entries:
            if is_hidden(entry.name):
                continue
            path = f"{below}{entry.name}"
            try:
                if entry.is_dir(follow_symlinks=False):
                    pending.append((entry.path, f"{path}/", f"{uri}/{_quoted(entry.name)}"))
                elif suffix_of(entry.name) in _SUFFIXES and takes(path) and is_file(entry):
                    yield f"{uri}/{_quoted(entry.name)}", *_state(entry)
            except FileNotFoundError:
                continue  # it went while we looked


def _state(entry: os.DirEntry[str]) -> tuple[int | None, int | None]:
    """Size and time of modification; unknown of what cannot be looked at, which is refused when it is read."""
    try:
        status = entry.stat()
    except FileNotFoundError:
        raise
    except OSError:
        return None, None
    return status.st_size, status.st_mtime_ns // 1000


def _walk_remote(root: str, takes: Callable[[str], bool]) -> Iterator[_Entry]:
    filesystem, base = resolve(root)
    kind = filesystem.get_file_info(base).type
    if kind != fs.FileType.Directory:
        raise FileNotFoundError(f"no such prefix: {root}")
    prefix, _, query = root.partition("?")
    for info in filesystem.get_file_info(fs.FileSelector(base, recursive=True)):
        path = info.path.removeprefix(base).strip("/")
        is_shown = info.type == fs.FileType.File and not any(map(is_hidden, path.split("/")))
        if is_shown and suffix_of(path) in _SUFFIXES and takes(path):
            yield f"{prefix.rstrip('/')}/{quote(path)}" + (f"?{query}" if query else ""), info.size, info.mtime


def _quoted(name: str) -> str:
    return name if _PLAIN.fullmatch(name) else quote_from_bytes(os.fsencode(name))


def _filter(include: tuple[str, ...], exclude: tuple[str, ...]) -> Callable[[str], bool]:
    """Whether a path below the source is taken."""
    if not include and not exclude:
        return lambda path: True
    wanted, unwanted = _any_of(include or ("*",)), _any_of(exclude)
    return lambda path: _fits(path, wanted) and not _fits(path, unwanted)


def _fits(path: str, pattern: re.Pattern[str]) -> bool:
    """Whether a path fits, with or without the slash before it: `*/Trash/*` is also the Trash at the top."""
    return bool(pattern.match(path) or pattern.match(f"/{path}"))


def _any_of(patterns: tuple[str, ...]) -> re.Pattern[str]:
    """What matches a path that one of the patterns fits; of no patterns, none."""
    return re.compile("|".join(map(fnmatch.translate, patterns)) or r"(?!)")


def detect_kind(source: str) -> str:
    """The format of a source: delta, photos, or by the suffix of a file; an empty folder is one of photos.

    Raises SourceError for a source that is not there, or of which no suffix tells.
    """
    files = _list_all(source)
    _, root = resolve(source)
    if any(path.startswith(f"{root.rstrip('/')}/_delta_log/") for path, _, _ in files):
        return "delta"
    suffixes = {suffix_of(path) for path, _, _ in files}
    if suffixes & MEDIA_SUFFIXES or not files:
        return "photos"
    kinds = {TABLE_SUFFIXES[suffix] for suffix in suffixes if suffix in TABLE_SUFFIXES}
    if len(kinds) != 1:
        raise SourceError(f"{source} holds {', '.join(sorted(suffixes))} files: --format says how it is read")
    return kinds.pop()


def table_version(source: str, format: str) -> str:
    """What a table is now: of Delta its id and version, else a digest of its files' names, sizes and times."""
    if format == "delta":
        try:
            table = DeltaTable(source, storage_options=storage_options(source))
        except (DeltaError, OSError) as error:
            reason = store_reason(error)
            raise SourceError(f"{source} cannot be read as delta: {reason}; nothing was changed") from error
        return f"{table.metadata().id} {table.version()}"
    listed = "\n".join(f"{path} {size} {modified}" for path, size, modified in _list_all(source))
    return hashlib.sha256(listed.encode("utf-8", "surrogateescape")).hexdigest()


def _walk_all(root: str) -> list[str]:
    """The files under a local folder; each folder is listed once, whatever links lead to it. Raises OSError."""

    def fail(error: OSError) -> None:
        raise error

    found: list[str] = []
    listed: set[tuple[int, int]] = set()
    for folder, folders, names in os.walk(root, onerror=fail, followlinks=True):
        own = os.stat(folder)
        if (own.st_dev, own.st_ino) in listed:
            folders.clear()
            continue
        listed.add((own.st_dev, own.st_ino))
        found += (os.path.join(folder, name) for name in names)
    return found


def _list_all(source: str) -> list[tuple[str, int, str]]:
    """All files of a source that is a file or a folder, but for hidden ones."""
    try:
        filesystem, path = resolve(source)
        info = filesystem.get_file_info(path)
        if info.type == fs.FileType.NotFound:
            raise FileNotFoundError("there is nothing")
        is_file = info.type == fs.FileType.File
        if is_file:
            found = [info]
        elif is_local(source):
            found = filesystem.get_file_info(_walk_all(path))
        else:
            found = filesystem.get_file_info(fs.FileSelector(path, recursive=True))
    except (OSError, pa.ArrowException) as error:
        raise SourceError(f"{source} cannot be listed: {error}; nothing was changed") from error
    return sorted(
        (each.path, each.size, str(each.mtime))
        for each in found
        if each.type == fs.FileType.File and (is_file or not is_hidden(each.base_name))
    )
