"""Where files are: paths and URIs, and the file systems that they belong to. Light: no picture library is loaded."""

import os
import socket
from functools import lru_cache
from urllib.parse import unquote, urlsplit

import pyarrow as pa
from pyarrow import fs

from schemas.errors import SourceError
from schemas.locations import one_scheme


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
    parts = urlsplit(one_scheme(uri), allow_fragments=False)
    filesystem, base = _filesystem(f"{parts.scheme}://{parts.netloc}/?{parts.query}".removesuffix("?"))
    return filesystem, base.rstrip("/") + unquote(parts.path)


def check_within_reach(root: str) -> None:
    """Raises SourceError where this machine does not see the folder, or the prefix of an object store, `root`.

    For a file that cannot be read: whether that is the file's fault, or that of credentials, network or mounts, for
    which every file of the source would be refused.
    """
    try:
        filesystem, path = resolve(root)
        if filesystem.get_file_info(path).type == fs.FileType.NotFound:
            raise FileNotFoundError("it is not there")
        if is_local(root):
            os.scandir(path).close()
    except (OSError, ValueError, pa.ArrowException) as error:
        raise SourceError(
            f"{root} is out of reach of {socket.gethostname()}, which should read files of it: "
            f"{' '.join(str(error).split())}; all machines of a cluster need the source, with credentials where it "
            "asks for them (docs/object-stores.md). Nothing was refused for it"
        ) from error


@lru_cache(maxsize=64)
def _filesystem(authority: str) -> tuple[fs.FileSystem, str]:
    """One client per bucket or name node: making one may take a request."""
    filesystem, base = fs.FileSystem.from_uri(authority)
    return filesystem, base


def is_file(entry: os.DirEntry[str]) -> bool:
    """Whether an entry of a folder is a file, or a link to one.

    What cannot be told, as of a link into a folder that is closed, counts as one: whoever opens it learns why.
    """
    try:
        return entry.is_file()
    except OSError:
        return True


def is_hidden(name: str) -> bool:
    """Whether a file or folder is passed over: names with a dot first, and what Synology keeps beside pictures."""
    return name.startswith(".") or name == "@eaDir"
