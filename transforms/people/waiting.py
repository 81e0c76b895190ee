"""Faces that wait for their files."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from schemas.keys import FILE_KEY
from transforms.tables.keyed import anti_join


def without_files(faces: pa.Table, files: pa.Table) -> pa.Table:
    """The faces whose file (FILE_KEY) is not among `files`, or was removed (`deleted_time`)."""
    return anti_join(faces, files.filter(pc.is_null(files["deleted_time"])), on=FILE_KEY)
