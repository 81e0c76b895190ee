"""What a machine keeps for the processes that run on it: compiled kernels, and indexes to map into memory."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numba

CACHE = "LAKEALBUM_CACHE"
"""Environment variable that names the folder; default: `lakealbum` in XDG_CACHE_HOME or ~/.cache, else in the
temporary folder."""


KERNELS = (
    "clusters/ids.py",
    "graphs/whole.py",
    "people/grouping.py",
    "people/linkage.py",
    "places/area_cells.py",
    "places/area_index.py",
    "places/cells.py",
    "similar_images/alignment.py",
    "similar_images/embeddings.py",
    "similar_images/hamming.py",
    "tables/sorting.py",
    "trips/days.py",
)
"""The modules that have kernels, below `transforms`."""


def cache_folder(name: str) -> Path:
    """A folder of this machine for what can be made again; only this user can read it."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    places = (
        [Path(given)]
        if (given := os.environ.get(CACHE))
        else [Path(home) / "lakealbum", Path(tempfile.gettempdir()) / f"lakealbum-{os.getuid()}"]
    )
    for number, place in enumerate(places, start=1):
        folder = place / name
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError:
            if number == len(places):
                raise
            continue
        if os.access(folder, os.W_OK):
            return folder
    raise OSError(f"none of {', '.join(map(str, places))} can be written: set {CACHE} to a folder that can")


def _digest_of_kernels() -> str:
    """Of all modules with kernels: numba looks only at the one it compiles, whose callees may be another's."""
    digest = hashlib.sha256()
    rooms = os.path.dirname(os.path.dirname(__file__))
    for name in KERNELS:
        digest.update(__loader__.get_data(os.path.join(rooms, *name.split("/"))))  # type: ignore[name-defined]
    return digest.hexdigest()[:16]


numba.config.CACHE_DIR = str(cache_folder(f"kernels-{_digest_of_kernels()}"))  # type: ignore[attr-defined]

kernel: Callable[..., Any] = partial(numba.njit, cache=True, nogil=True)
"""Makes a function a kernel: compiled when it is first called on a machine, kept for every process after."""
