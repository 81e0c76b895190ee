"""Faces whose files are not indexed: they are kept, and make nobody until the files are there."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.runtime.runs import Run

WAITING = "figures.waiting_for_files"
"""The stage that they are counted as."""


def count_waiting(run: Run, faces: DataFrame, *, before: int = 0) -> None:
    """Counts faces (with `uri`) that wait for their files, on top of those counted `before`, and names one file."""
    row = faces.agg(F.count("*").alias("faces"), F.min("uri").alias("uri")).collect()[0]
    if row.faces:
        run.ledger.count(WAITING, before + row.faces, example=f"{row.uri} is not among the files")
