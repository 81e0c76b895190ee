"""Which faces were erased, as jobs that take faces in or group them must know it."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.runtime.runs import Run
from schemas.cluster_edits import CLUSTER_EDITS
from schemas.cluster_kinds import PEOPLE
from transforms.people.erasures import erased_faces


def read_erased(run: Run, *, project: str) -> DataFrame:
    """The erased faces of a project (transforms.people.erasures.erased_faces), as of now."""
    edits = run.lake.read(CLUSTER_EDITS, run.lake.version(CLUSTER_EDITS))
    ours = edits.where((F.col("project_name") == project) & (F.col("kind") == PEOPLE.name))
    return run.cache(ours.transform(erased_faces))
