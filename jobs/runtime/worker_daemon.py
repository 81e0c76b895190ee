"""`pyspark.daemon` for a session on this machine: what starts its Python workers.

Spark puts its own copy of PySpark first on their path, as a zip. Before each task a worker then reads the zip's
directory anew for each package in it, and after each task it looks through all objects for garbage: a task that does
nothing takes 120 ms. Here PySpark is the environment's, and what the daemon has loaded is not looked through: 60 ms.
"""

from __future__ import annotations

import gc
import re
import sys
from importlib import import_module
from importlib.machinery import PathFinder

_ZIP = re.compile(r"[\\/](pyspark|py4j-[^\\/]*)\.zip$")


def leave_out_zips() -> None:
    """Takes Spark's zips from the path if the environment has what is in them."""
    others = [place for place in sys.path if not _ZIP.search(place)]
    if all(PathFinder.find_spec(name, others) for name in ("pyspark", "py4j")):
        sys.path[:] = others
        sys.path_importer_cache.clear()


def run() -> None:
    """Serves Spark until it is told to end."""
    daemon = import_module("pyspark.daemon")
    gc.freeze()
    daemon.manager()


if __name__ == "__main__":
    leave_out_zips()
    run()
