"""The version of LakeAlbum, in this place alone: the wheel carries it, and runs record it with the commit."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache
from pathlib import Path

VERSION = "0.1.0"


@cache
def commit() -> str | None:
    """The commit of this code: as noted when the wheel was built, or as git says, `-dirty` where files differ from it.

    None where neither tells it.
    """
    noted = Path(__file__).with_name("commit.txt")
    if noted.is_file():
        return noted.read_text(encoding="utf-8").strip()
    root = Path(__file__).parents[1]
    if not (root / ".git").exists() or shutil.which("git") is None:
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--exclude=*", "--abbrev=12"]
    told = subprocess.run(command, capture_output=True, text=True)
    return told.stdout.strip() or None  # git fails where the checkout is another user's


def full_version() -> str:
    """The version, and the commit where it is known: `0.1.0 (1832551ab0c4)`."""
    known = commit()
    return f"{VERSION} ({known})" if known else VERSION
