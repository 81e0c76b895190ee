"""Which sources the server may read for its callers: those under the roots that it was started with, and no other."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import unquote, urlsplit

from schemas.errors import UsageError
from schemas.locations import absolute_uri

SYNC_SECONDS = 600
"""How often sources are read again, unless the command line says otherwise."""
_STEPS = (".", "..")


@dataclass(frozen=True)
class Sources:
    """Roots, as paths or URIs without `?`, and how often what is bound below them is read again."""

    roots: tuple[str, ...] = ()
    every: timedelta = timedelta(seconds=SYNC_SECONDS)

    @classmethod
    def of(cls, roots: Iterable[str], seconds: int = SYNC_SECONDS) -> Sources:
        """The sources under some roots. Raises UsageError for a root that is not accepted."""
        found = tuple(absolute_uri(root).rstrip("/") for root in roots)
        for root in found:
            if "?" in root or not (is_local(root) or urlsplit(root).netloc):
                raise UsageError(
                    f"--source {root!r} is not accepted; a folder is, or a prefix such as s3://bucket/photos"
                )
        return cls(found, timedelta(seconds=seconds))

    def may_read(self, uri: str) -> bool:
        """Whether a URI is a root or lies under one: of local folders where links lead to, else by its text."""
        if "?" in uri or "#" in uri or any(step in _STEPS for step in unquote(uri).split("/")):
            return False
        if is_local(uri):
            if not uri.startswith(("/", "file:///")):
                return False
            return any(is_local(root) and _real(uri).is_relative_to(_real(root)) for root in self.roots)
        return any(f"{uri.rstrip('/')}/".startswith(f"{root}/") for root in self.roots if not is_local(root))


def is_local(uri: str) -> bool:
    """Whether it is a path or a `file:` URI."""
    return "://" not in uri or uri.lower().startswith("file:")


def _real(location: str) -> Path:
    """Where a path or `file:` URI leads, links followed."""
    path = unquote(location.removeprefix("file://"), errors="surrogateescape") if "://" in location else location
    return Path(os.path.realpath(path))
