"""Faces whose files are not indexed: they are kept, and make nobody until the files are there."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import functions as F

from jobs.runtime.lake import Rows
from jobs.runtime.runs import Run

WAITING = "figures.waiting_for_files"
"""The stage that they are counted as."""


def count_waiting(run: Run, faces: Rows, *, before: int = 0) -> None:
    """Counts faces (with `uri`) that wait for their files, on top of those counted `before`, and names one file."""
    if isinstance(faces, pa.Table):
        count, uri = len(faces), pc.min(faces["uri"]).as_py()
    else:
        count, uri = faces.agg(F.count("*"), F.min("uri")).collect()[0]
    if count:
        run.ledger.count(WAITING, before + count, example=f"{uri} is not among the files")
