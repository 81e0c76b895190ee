"""A page is written cluster by cluster, and whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from schemas.errors import UsageError


def write_page(out: Path, sections: Iterable[str], *, ends: Callable[[], tuple[str, str]]) -> None:
    """Writes what `ends` says stands above and below the sections, asked once these are written; and these between.

    Raises UsageError where `out` cannot be written. Memory: a section.
    """
    try:
        with tempfile.TemporaryDirectory(prefix=".report-", dir=out.parent) as folder:
            body, page = Path(folder, "body"), Path(folder, "page")
            with body.open("w", encoding="utf-8") as file:
                file.writelines(sections)
            head, foot = ends()
            with page.open("w", encoding="utf-8") as file, body.open(encoding="utf-8") as written:
                file.write(head)
                shutil.copyfileobj(written, file)
                file.write(foot)
            page.replace(out)
    except (FileNotFoundError, NotADirectoryError, PermissionError, IsADirectoryError) as error:
        raise UsageError(f"--out {os.fspath(out)!r} cannot be written: {error.strerror}") from error
