"""Which faces were erased, as jobs that take faces in or group them must know it."""

from __future__ import annotations

from functools import partial

import pyarrow as pa

from catalog.sql import all_of, equals
from jobs.runtime.kernels import apply_to_rows
from jobs.runtime.lake import Rows
from jobs.runtime.runs import Run
from schemas.cluster_edits import CLUSTER_EDITS
from schemas.cluster_kinds import PEOPLE
from transforms.people.erased import drop_erased, erased_faces


def read_erased(run: Run, *, project: str) -> pa.Table:
    """The erased faces of a project (transforms.people.erased.erased_faces), as of now."""
    ours = all_of([equals("project_name", project), equals("kind", PEOPLE.name)])
    return erased_faces(run.lake.load(CLUSTER_EDITS, run.lake.version(CLUSTER_EDITS), condition=ours))


def without_erased(run: Run, faces: Rows, *, project: str) -> Rows:
    """The rows whose face (`figure_id`) was not erased, as of now."""
    erased = read_erased(run, project=project)
    return apply_to_rows(partial(drop_erased, erased=erased), faces) if len(erased) else faces
