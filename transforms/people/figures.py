"""Faces to people: which faces are good, the people of every dataset, what people decided, and what a person is.

The grouping itself is transforms.people.grouping; the ids of people through time, transforms.clusters.naming.
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from schemas.figures import is_good_sql
from schemas.keys import DATASET_KEY, FACE_KEY
from transforms.graphs.components import Checkpoint, Log
from transforms.people.grouping import Profile
from transforms.people.large_libraries import LargeLibraries
from transforms.people.libraries import group_libraries
from transforms.people.linkage import LIMITS, Limits
from transforms.tables.arrow_tables import ArrowBatches, whole_datasets
from transforms.tables.frames import gather_whole

FACES_AT_ONCE = 20_000
"""Faces of small datasets that come to Python together: some 40 MB."""


_GROUPED = "figure_id string, representative string, confidence double, role string"


def is_good(max_angle: float) -> Column:
    """Whether a face (a row of `figures`) can found a person. False where any of what is asked is missing.

    Both sides of the box over 75 pixels, yaw, pitch and roll under so many degrees either way, quality over 0.8.
    """
    return F.coalesce(F.expr(is_good_sql(max_angle)), F.lit(False))


def large_libraries(faces: DataFrame, *, limits: Limits = LIMITS) -> DataFrame:
    """The datasets (DATASET_KEY) that have more faces than one task groups."""
    return faces.groupBy(*DATASET_KEY).count().where(F.col("count") > limits.faces_per_task).select(*DATASET_KEY)


def group_figures(
    faces: DataFrame,
    *,
    large: DataFrame,
    profile: Profile,
    checkpoint: Checkpoint,
    log: Log,
    limits: Limits = LIMITS,
) -> DataFrame:
    """One row per face of a person: FACE_KEY, `representative` (names the person), `confidence`, `role`.

    `faces` has FACE_KEY, `uri`, `embedding` and `is_good`. A person's representative is the founder nearest to the
    person's mean. Faces whose embeddings have other lengths than most of their dataset's are of no person: lengths tell
    models apart, whose embeddings cannot be compared. A dataset's faces are grouped in one task, many small datasets in
    each; those of `large` ones (DATASET_KEY) by many tasks. The result is a function of the set of faces alone.
    """
    fields = [faces.schema[name] for name in DATASET_KEY]
    schema = ", ".join(f"{field.name} {field.dataType.simpleString()}" for field in fields)
    asked = faces.where(F.col("embedding").isNotNull())
    asked = asked.select(*FACE_KEY, "uri", "embedding", "is_good", "face_quality")
    is_any_large = not large.isEmpty()
    small = asked.join(F.broadcast(large), list(DATASET_KEY), how="left_anti") if is_any_large else asked
    sorted_ = gather_whole(small, key=DATASET_KEY)
    grouped = sorted_.mapInArrow(
        lambda batches: _group_batches(batches, profile, limits), schema=f"{schema}, {_GROUPED}"
    )
    if not is_any_large:
        return grouped
    shared_out = LargeLibraries(DATASET_KEY, profile, limits, checkpoint, log)
    of_large = asked.join(F.broadcast(large), list(DATASET_KEY), how="left_semi")
    return grouped.unionByName(shared_out.group(of_large))


def _group_batches(batches: ArrowBatches, profile: Profile, limits: Limits) -> Iterator[pa.RecordBatch]:
    for table in whole_datasets(batches, key=DATASET_KEY, rows=FACES_AT_ONCE):
        yield from group_libraries(table, profile=profile, limits=limits).to_batches()
