"""Where files are: paths and URIs, and the file systems that they belong to. Light: no picture library is loaded."""

import os
from functools import lru_cache
from urllib.parse import unquote, urlsplit

from pyarrow import fs


def is_local(location: str) -> bool:
    """Whether it is a path, or a `file://` URI."""
    return "://" not in location or location.startswith("file://")


def local_path(location: str) -> str:
    """The absolute path of a path or a `file://` URI, percent-decoded."""
    if location.startswith("file://"):
        location = unquote(location.removeprefix("file://"), errors="surrogateescape")
    return os.path.abspath(location)


def resolve(uri: str) -> tuple[fs.FileSystem, str]:
    """The file system of a uri and the path in it, percent-decoded."""
    if is_local(uri):
        return fs.LocalFileSystem(), local_path(uri)
    parts = urlsplit(uri, allow_fragments=False)
    filesystem, base = _filesystem(f"{parts.scheme}://{parts.netloc}/?{parts.query}".removesuffix("?"))
    return filesystem, base.rstrip("/") + unquote(parts.path)


@lru_cache(maxsize=64)
def _filesystem(authority: str) -> tuple[fs.FileSystem, str]:
    """One client per bucket or name node: making one may take a request."""
    filesystem, base = fs.FileSystem.from_uri(authority)
    return filesystem, base


def is_hidden(name: str) -> bool:
    """Whether a file or folder is passed over: names with a dot first, and what Synology keeps beside pictures."""
    return name.startswith(".") or name == "@eaDir"
