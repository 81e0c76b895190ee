"""Faces to people, of libraries that one process groups: tables of many datasets in, tables out.

The grouping itself is transforms.people.grouping; of libraries that are too large for one task,
transforms.people.large_libraries.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.keys import DATASET_KEY, FACE_KEY
from transforms.people.grouping import Profile, group_faces
from transforms.people.linkage import LIMITS, Limits
from transforms.tables.arrow_tables import split_datasets


def group_libraries(faces: pa.Table, *, profile: Profile, limits: Limits = LIMITS) -> pa.Table:
    """One row per face of a person: FACE_KEY, `representative` (names the person), `confidence`, `role`.

    `faces` are whole libraries in any order: FACE_KEY, `uri`, `embedding` (lists of float; null: the face is of
    nobody), `is_good`, `face_quality`. A person's representative is the founder nearest to the person's mean. Faces
    whose embeddings have other lengths than most of their dataset's are of no person: lengths tell models apart, whose
    embeddings cannot be compared. A function of the set of faces alone.

    Memory and time: those of group_faces, library by library.
    """
    embedded = faces.filter(pc.is_valid(faces["embedding"])).sort_by([(name, "ascending") for name in FACE_KEY])
    key = [faces.schema.field(name) for name in FACE_KEY]
    told = [("representative", pa.string()), ("confidence", pa.float64()), ("role", pa.string())]
    empty = pa.schema([*key, *told]).empty_table()
    libraries = split_datasets(embedded, key=DATASET_KEY) if len(embedded) else ()
    return pa.concat_tables([empty, *(_group_library(each, profile, limits).cast(empty.schema) for each in libraries)])


def _group_library(faces: pa.Table, profile: Profile, limits: Limits) -> pa.Table:
    """The same of one library, sorted by figure_id, whose faces all have embeddings."""
    lengths = pc.list_value_length(faces["embedding"]).to_numpy()
    sizes, counts = np.unique(lengths, return_counts=True)
    length = int(sizes[::-1][counts[::-1].argmax()])  # the longer of two as frequent
    faces = faces.filter(pa.array(lengths == length))
    values = faces["embedding"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    found = group_faces(
        values.reshape(len(faces), length),
        is_good=faces["is_good"].to_numpy(zero_copy_only=False),
        image=pc.rank(faces["uri"], tiebreaker="dense").to_numpy(),
        quality=faces["face_quality"].cast(pa.float64()).to_numpy(zero_copy_only=False),
        profile=profile,
        limits=limits,
    )
    member = np.flatnonzero(found.person >= 0)
    representatives = found.representative[found.person[member]]
    columns = {
        "representative": faces["figure_id"].take(pa.array(representatives)),
        "confidence": pa.array(found.confidence[member].astype(np.float64)),
        "role": pa.array(np.where(found.is_founder[member], "founder", "joined"), pa.string()),
    }
    kept = faces.select(FACE_KEY).take(pa.array(member))
    return pa.table([*kept.columns, *columns.values()], names=[*kept.column_names, *columns])
