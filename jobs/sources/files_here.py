"""Files that this process opens: of this machine, by a path or by a pattern as Hadoop's globs have them, and of S3."""

from __future__ import annotations

import bz2
import gzip
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import PurePosixPath
from typing import BinaryIO
from urllib.parse import quote

import pyarrow as pa
from pyarrow import fs

from schemas.errors import SourceError
from transforms.pictures.locations import resolve

PATTERN = re.compile(r"([\\*?{}\[\]])")
"""Characters that make a path a pattern."""
FILE, S3 = "file://", "s3://"
READ_HERE = ("gz", "bz2", "zst")
"""Compressions that this process reads. Hadoop writes lz4 and snappy in blocks of its own."""

_TOKEN = re.compile(
    r"\\(?P<literal>.)|(?P<any>\*)|(?P<one>\?)|\[(?P<other>[!^]?)(?P<set>(?:\\.|[^\]\\])+)\]|(?P<plain>[^\\\[{}])",
    re.DOTALL,
)
_IN_SET = re.compile(r"\\(.)|([^-])", re.DOTALL)


@dataclass(frozen=True)
class Listing:
    """Files by name, with their sizes, and the paths that they were found under: one, or what a pattern matched."""

    files: Mapping[str, int]
    roots: tuple[str, ...] = ()


def is_local(uri: str) -> bool:
    """Whether a source is a path, or a `file://` URI; that is one with the path as it is, without escapes."""
    return uri.startswith(FILE) or "://" not in uri


def local_path(uri: str) -> str:
    """The absolute path, or pattern, that a path or a `file://` URI is."""
    return os.path.abspath(uri.removeprefix(FILE))


def is_within_reach(uri: str) -> bool:
    """Whether this process can look at what is at a place on S3, or can tell that nothing is."""
    if not uri.startswith(S3) or PATTERN.search(uri):
        return False
    try:
        filesystem, path = _on_store(uri)
        filesystem.get_file_info(path)
    except (OSError, ValueError, pa.ArrowException):  # whatever this process lacks, Spark may have
        return False
    return True


def has_folder(uri: str, name: str) -> bool:
    """Whether there is a folder of that name in the one at `uri`."""
    if is_local(uri):
        return os.path.isdir(os.path.join(local_path(uri), name))
    filesystem, path = _on_store(f"{uri.rstrip('/')}/{name}")
    return bool(filesystem.get_file_info(path).type == fs.FileType.Directory)


def list_files(uri: str) -> Listing:
    """The files under a path, or a URI of S3, or under all that a pattern matches, by name.

    Spark's rule: without empty files, and without files and folders whose names begin with `.`, or with `_` and have
    no `=`; a root folder itself may have such a name. Links are followed.

    Raises FileNotFoundError where there is nothing, OSError for a folder that can't be listed, and ValueError for what
    is no pattern.
    """
    if not is_local(uri):
        return _list_store(uri)
    path = local_path(uri)
    roots = find_matches(path) if PATTERN.search(path) else [path] * os.path.exists(path)
    if not roots:
        raise FileNotFoundError("nothing is there")
    sizes = {file: size for root in roots for file, size in _files_under(root)}
    return Listing({file: sizes[file] for file in sorted(sizes) if sizes[file]}, tuple(roots))


def find_matches(pattern: str) -> list[str]:
    """The paths that an absolute pattern matches, sorted: `*`, `?`, `[a-c]`, `[^a]`, `{a,b}`; `\\` quotes what follows.

    The rule is that of Hadoop's FileSystem.globStatus: hidden names match, too, and `*` stops at a slash.

    Raises ValueError for what is no pattern.
    """
    found: set[str] = set()
    for plain in _without_braces(pattern):
        paths = ["/"]
        for part in filter(None, plain.split("/")):
            if not PATTERN.search(part):
                paths = [os.path.join(path, part) for path in paths]
                continue
            matches = re.compile(_expression(part, pattern)).fullmatch
            folders = [path for path in paths if os.path.isdir(path)]
            paths = [os.path.join(path, name) for path in folders for name in os.listdir(path) if matches(name)]
        found.update(path for path in paths if os.path.exists(path))
    return sorted(found)


def open_file(file: str) -> BinaryIO:
    """A file of a listing, to read."""
    if is_local(file):
        return open(file, "rb")
    filesystem, path = _on_store(file)
    return filesystem.open_input_file(path)  # type: ignore[no-any-return]


def read_head(file: str, size: int) -> bytes:
    """The first bytes of a file."""
    with open_file(file) as opened:
        return opened.read(size)


def read_whole(file: str) -> bytes:
    """The bytes of a file, decompressed if its suffix says that it is compressed (READ_HERE).

    Raises SourceError where they can't be had.
    """
    try:
        with open_file(file) as opened:
            content = opened.read()
        match compression_of(file):
            case "gz":
                return gzip.decompress(content)
            case "bz2":
                return bz2.decompress(content)
            case "zst":
                with pa.CompressedInputStream(pa.BufferReader(content), "zstd") as stream:
                    return bytes(stream.read())
        return content
    except (OSError, EOFError, ValueError, pa.ArrowException) as error:
        raise SourceError(f"{file} can't be read: {error}") from error


def compression_of(file: str) -> str:
    """The last suffix of a file, in lower case and without its dot."""
    return PurePosixPath(file).suffix.lower().removeprefix(".")


def _on_store(uri: str) -> tuple[fs.FileSystem, str]:
    """The file system of a URI, and the path in it: the URI's own, without escapes, as Hadoop has it."""
    bucket, slash, key = uri.removeprefix(S3).partition("/")
    return resolve(S3 + bucket + slash + quote(key))


def _list_store(uri: str) -> Listing:
    filesystem, path = _on_store(uri.rstrip("/"))
    found = filesystem.get_file_info(path)
    if found.type == fs.FileType.File:
        return Listing({uri: found.size} if found.size and not _is_hidden(found.base_name) else {}, (uri,))
    if found.type == fs.FileType.NotFound:
        raise FileNotFoundError("nothing is there")
    files = {}
    for info in filesystem.get_file_info(fs.FileSelector(path, recursive=True)):
        below = info.path.removeprefix(path + "/")
        if info.type == fs.FileType.File and info.size and not any(map(_is_hidden, below.split("/"))):
            files[f"{uri.rstrip('/')}/{below}"] = info.size
    return Listing({file: files[file] for file in sorted(files)}, (uri.rstrip("/"),))


def _files_under(root: str) -> Iterator[tuple[str, int]]:
    if os.path.isdir(root):
        yield from _walk(root, frozenset())
    elif os.path.isfile(root) and not _is_hidden(os.path.basename(root)):
        yield root, os.path.getsize(root)


def _walk(folder: str, above: frozenset[tuple[int, int]]) -> Iterator[tuple[str, int]]:
    """The files under a folder, and their sizes; a link to a folder that it lies in is not followed."""
    own = os.stat(folder)
    identity = (own.st_dev, own.st_ino)
    if identity in above:
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if _is_hidden(entry.name):
                continue
            if entry.is_dir():
                yield from _walk(entry.path, above | {identity})
            elif entry.is_file():
                yield entry.path, entry.stat().st_size


def _is_hidden(name: str) -> bool:
    """Spark's HadoopFSUtils.shouldFilterOutPathName, and PartitioningAwareFileIndex.isDataPath."""
    return name.startswith(".") or (name.startswith("_") and "=" not in name) or name.endswith("._COPYING_")


def _without_braces(pattern: str) -> Iterator[str]:
    """A pattern for each choice of `{a,b}`, which may hold others."""
    depth, start, cuts = 0, -1, [-1]
    for match in re.finditer(r"\\.|[{},]", pattern, re.DOTALL):
        at, character = match.start(), match[0]
        if character == "{":
            depth += 1
            start, cuts = (at, [at]) if depth == 1 else (start, cuts)
        elif character == "}":
            depth -= 1
        if depth < 0:
            break
        if character in ",}" and depth == (character == ","):
            cuts.append(at)
        if character == "}" and depth == 0:
            for left, right in pairwise(cuts):
                yield from _without_braces(pattern[:start] + pattern[left + 1 : right] + pattern[at + 1 :])
            return
    if depth:
        raise ValueError(f"{pattern} has a brace without the other; a backslash before it makes it a part of the name")
    yield pattern


def _expression(part: str, pattern: str) -> str:
    """The regular expression of one name's pattern."""
    found = list(_TOKEN.finditer(part))
    if "".join(match[0] for match in found) != part:
        raise ValueError(
            f"{pattern} has a bracket without the other; a backslash before it makes it a part of the name"
        )
    return "(?s:" + "".join(map(_expression_of, found)) + ")"


def _expression_of(token: re.Match[str]) -> str:
    match token.lastgroup:
        case "any":
            return ".*"
        case "one":
            return "."
        case "set":
            inside = _IN_SET.sub(lambda match: re.escape(match[1] or match[2]), token["set"])
            return f"[{'^' if token['other'] else ''}{inside}]"
    return re.escape(token["literal"] or token["plain"])
