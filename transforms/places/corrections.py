"""When and where files were taken, as people corrected it: edits folded to what is in force, and laid over files."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from transforms.tables.keyed import distinct, key_codes, last_rows, left_join, with_columns

TIME = ("produce_time", "time_is", "utc_offset")
PLACE = ("latitude", "longitude", "address")
CORRECTED = "is_place_corrected"
"""A column of corrected files: whether people said where it was."""
FILE_KEY = ("project_name", "dataset_name", "object_id")
EDIT_COLUMNS = ("sequence", *FILE_KEY, *TIME, *PLACE, "taken_back")
"""The columns of `file_edits` that corrections come from."""

Bools = NDArray[np.bool_]


def fold_corrections(edits: pa.Table) -> pa.Table:
    """One row per edited file, of rows of `file_edits`: `time` and `place`, structs, as the last edits have them.

    Each is null where no edit says anything of it, or the last one that does takes it back.
    """
    edits = edits.select(EDIT_COLUMNS).sort_by("sequence")
    said_time = _is_there(edits, "produce_time")
    said_place = _is_there(edits, "latitude") | _is_there(edits, "address")
    folded = distinct(edits, key=FILE_KEY).select(FILE_KEY)
    for name, columns, said in (("time", TIME, said_time), ("place", PLACE, said_place)):
        folded = left_join(folded, _last(edits, columns, said, name), on=FILE_KEY, columns=(name,))
    return folded


def correct_files(files: pa.Table, *, corrections: pa.Table) -> pa.Table:
    """Rows of `files` with the times and places of `corrections` (see fold_corrections), and CORRECTED."""
    joined = left_join(files, corrections, on=FILE_KEY, columns=("time", "place"))
    for said, columns in (("time", TIME), ("place", PLACE)):
        is_said = joined[said].is_valid()
        new = {name: pc.if_else(is_said, pc.struct_field(joined[said], name), joined[name]) for name in columns}
        joined = with_columns(joined, new)
    return with_columns(joined, {CORRECTED: joined["place"].is_valid()}).drop_columns(["time", "place"])


def _is_there(edits: pa.Table, name: str) -> Bools:
    there: Bools = edits[name].is_valid().to_numpy()
    return there


def _last(edits: pa.Table, names: Sequence[str], said: Bools, what: str) -> pa.Table:
    """FILE_KEY and the columns, as a struct named `what`, of the last edit that says anything of it; null if it takes
    it back. Edits are in order."""
    about = np.flatnonzero(said | _takes_back(edits, what))
    (codes,) = key_codes(edits.take(pa.array(about)), key=FILE_KEY)
    last = about[last_rows(codes)]
    rows = edits.take(pa.array(last)).combine_chunks()
    values = [rows[name].combine_chunks() for name in names]
    struct = pa.StructArray.from_arrays(values, names=list(names), mask=pa.array(~said[last]))
    return rows.select(FILE_KEY).append_column(what, struct)


def _takes_back(edits: pa.Table, what: str) -> Bools:
    """Which edits take back what was said of something."""
    taken_back = edits["taken_back"].combine_chunks()
    is_it = pc.fill_null(pc.equal(pc.list_flatten(taken_back), what), False)
    takes = np.zeros(len(edits), np.bool_)
    takes[pc.list_parent_indices(taken_back).filter(is_it).to_numpy()] = True
    return takes
