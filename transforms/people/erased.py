"""Erased faces among rows of faces: which they are, and keeping them out.

Of an erased face only its digest is kept, in `cluster_edits`: it tells the face when it comes again, and does not tell
its figure_id. `erased` has one row per erased face (ERASED).
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.clusters.naming import positions_of
from transforms.tables.digests import sha256_of
from transforms.tables.grouped import integers, is_equal, unnest
from transforms.tables.keyed import Bools, distinct, is_among, key_codes, last_rows, with_columns

ERASED = ("project_name", "dataset_name", "figure_digest")
_PERSON = ("project_name", "dataset_name", "object_id")
_MESSAGE = "figure_id: the face is of a person who was erased; a face of somebody who was not is accepted"


def erased_faces(edits: pa.Table) -> pa.Table:
    """One row per erased face (ERASED), by rows of `cluster_edits` about people: those not undeleted since."""
    undone = edits.filter(pa.array(is_equal(edits["action"], "undelete"))).sort_by("sequence")
    (codes,) = key_codes(undone, key=_PERSON)
    undone = undone.take(pa.array(last_rows(codes)))
    erased = edits.filter(pa.array(is_equal(edits["action"], "erase")))
    at = positions_of(erased, undone, on=_PERSON)
    until = np.append(integers(undone["sequence"], null=-1), -1)[at]
    erased = erased.filter(pa.array(integers(erased["sequence"], null=0) > until))
    faces = unnest(erased.select([*ERASED[:2], "figure_digests"]), "figure_digests", to=ERASED[2])
    return distinct(faces, key=ERASED)


def is_erased(faces: pa.Table, erased: pa.Table) -> Bools:
    """Which rows are of faces (`figure_id`) that were erased: bool (n,)."""
    found = is_among(faces, erased, on=ERASED[:2])
    of_these = faces.filter(pa.array(found))  # of others no digest is computed
    found[found] = is_among(with_columns(of_these, {ERASED[2]: _digests(of_these)}), erased, on=ERASED)
    return found


def drop_erased(faces: pa.Table, *, erased: pa.Table) -> pa.Table:
    """The rows whose face was not erased."""
    found = is_erased(faces, erased)
    return faces.filter(pa.array(~found)) if found.any() else faces


def refuse_erased(judged: pa.Table, *, erased: pa.Table) -> pa.Table:
    """Judged rows of figures, those of erased faces refused, and told by nothing but their digest."""
    found = is_erased(judged, erased)
    digests = _digests(judged.filter(pa.array(found)))
    told = {
        "reason": pa.repeat("figure_erased", len(digests)),
        "message": pa.repeat(_MESSAGE, len(digests)),
        "row": pc.binary_join_element_wise('{"figure_digest":"', digests, '"}', ""),
    }
    return with_columns(
        judged, {name: pc.replace_with_mask(judged[name], pa.array(found), said) for name, said in told.items()}
    )


def _digests(faces: pa.Table) -> pa.Array:
    """What erased faces are known by: SHA-256 of 'project LF dataset LF figure_id', 64 hex digits (n,)."""
    return sha256_of(faces, ("project_name", "dataset_name", "figure_id"))
