"""LakeAlbum as it is installed: one package, in which the packages of a checkout lie under their own names.

`lakealbum.pth`, installed beside it, puts this folder last on the path of every interpreter of the environment. So
Spark's Python workers, job files under spark-submit and `python -m jobs...` import as they do in a checkout, and no
other package is hidden. The command puts it first: no other package, and no folder of the caller's, hides ours.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path


def main() -> None:
    """Entry point of `lakealbum` and `python -m lakealbum`."""
    here = str(Path(__file__).parent)
    sys.path.insert(0, here)
    # For the processes that this one starts: Spark's workers, the endpoint's.
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (here, os.environ.get("PYTHONPATH"))))
    os.environ["PYTHONSAFEPATH"] = "1"
    from jobs.cli.main import main as run

    run()
