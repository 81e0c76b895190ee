"""People: the faces of the datasets that a run clusters, and the groups that are made of them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial, reduce

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.clusters.members import Changed
from jobs.clusters.scope import Evidence, Scope
from jobs.people.erasures import without_erased
from jobs.people.models import models_of
from jobs.people.profiles import Profiles
from jobs.people.waiting import count_waiting
from jobs.runtime.lake import Rows
from jobs.runtime.runs import Run
from schemas.figures import FIGURES
from schemas.files import FILES
from schemas.keys import DATASET_KEY, FACE_KEY, FILE_KEY
from transforms.people import deciding
from transforms.people.figures import group_figures, is_good, large_libraries
from transforms.people.grouping import Profile
from transforms.people.libraries import group_libraries
from transforms.people.waiting import without_files
from transforms.tables.keyed import inner_join, with_columns

EVIDENCE: Evidence = ((FIGURES, FACE_KEY), (FILES, FILE_KEY))
"""The tables that people are made of, and what of their change feeds tells which datasets changed."""
ABOUT = (*FACE_KEY, "uri", "media_type", "age", "gender", "face_quality")
"""What of a face people's decisions and descriptions need."""
_EMBEDDED = (*FACE_KEY, "uri", "age", "gender", "face_quality", "embedding", "model", "boundary", "head_pose")


def group_faces_of(run: Run, scope: Scope, changed: Changed, *, profiles: Profiles, project: str) -> tuple[Rows, Rows]:
    """The faces (ABOUT) of the datasets that changed, of files that there are, and the groups that they make.

    Raises UsageError where a dataset has faces of several models.
    """
    lake = run.lake
    of_datasets = partial(lake.fetch_keys, on=DATASET_KEY)
    faces = of_datasets(FIGURES, scope.versions[FIGURES.name], changed.datasets, columns=_EMBEDDED)
    columns = (*FILE_KEY, "media_type", "deleted_time")
    files = of_datasets(FILES, scope.versions[FILES.name], changed.datasets, columns=columns)
    faces = without_erased(run, faces, project=project)
    if isinstance(faces, DataFrame) or isinstance(files, DataFrame):
        return _group_by_spark(run, lake.frame(faces), lake.frame(files), profiles=profiles)
    there = files.filter(pc.is_null(files["deleted_time"]))
    count_waiting(run, without_files(faces, files))
    faces = inner_join(faces, there, on=FILE_KEY, columns=["media_type"])
    by_profile = _models_by_profile(
        models_of(faces.select([*DATASET_KEY, "model"]).filter(pc.is_valid(faces["embedding"]))), profiles
    )
    groups = []
    for profile, models in by_profile.items():
        alike = faces.filter(_is_of(faces["model"], models))
        alike = with_columns(alike, {"is_good": deciding.is_good(alike, profile.good_angle)})
        groups.append(group_libraries(alike, profile=profile))
    return faces.select(ABOUT), pa.concat_tables(groups)


def _group_by_spark(run: Run, faces: DataFrame, files: DataFrame, *, profiles: Profiles) -> tuple[DataFrame, DataFrame]:
    """The same of many faces."""
    files = files.where(F.col("deleted_time").isNull()).drop("deleted_time")
    joined = faces.join(files, list(FILE_KEY), how="left")
    known = run.cache(joined.select(*ABOUT, "model", F.col("embedding").isNotNull().alias("is_embedded")))
    has_file = F.col("media_type").isNotNull()
    count_waiting(run, known.where(~has_file))
    embedded, known = joined.where(has_file), known.where(has_file)
    about = known.select(*ABOUT)
    large = run.cache(large_libraries(about))
    groups = [
        group_figures(
            embedded.where(F.coalesce("model", F.lit("")).isin([model or "" for model in models])).withColumn(
                "is_good", is_good(profile.good_angle)
            ),
            large=large,
            profile=profile,
            checkpoint=run.cache,
            log=run.log_round,
        )
        for profile, models in _models_by_profile(models_of(known.where("is_embedded")), profiles).items()
    ]
    return about, run.cache(reduce(DataFrame.unionByName, groups))


def _models_by_profile(models: Iterable[str | None], profiles: Profiles) -> dict[Profile, list[str | None]]:
    """The models whose faces are grouped by each profile; without any, those of no model, who make nobody."""
    found: dict[Profile, list[str | None]] = {}
    for model in [*models] or [None]:
        found.setdefault(profiles.of(model), []).append(model)
    return found


def _is_of(model: pa.ChunkedArray, models: list[str | None]) -> pa.ChunkedArray:
    return pc.is_in(model, value_set=pa.array(models, pa.string()))
