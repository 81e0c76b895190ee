"""New lakes for tests: each kind is made once a process, and copied."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

from catalog.create import ensure_lake, is_lake
from schemas.settings import LakeSettings


def new_lake(root: str, settings: LakeSettings) -> None:
    """Makes the lake at `root` if there is none. Copies of one lake have the same id, which its tokens are of."""
    if "://" in root:
        ensure_lake(root, settings)
    elif not is_lake(root):
        shutil.copytree(_made(settings), root, dirs_exist_ok=True)


@cache
def _made(settings: LakeSettings) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="lakealbum-test-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    ensure_lake(str(folder), settings)
    return folder
