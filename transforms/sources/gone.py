"""Files whose rows a source has no more."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from schemas.keys import FILE_KEY
from transforms.tables.keyed import anti_join


def files_gone(files: pa.Table, rows: pa.Table, *, source: str) -> pa.Table:
    """The files that came from `source` and were not removed, and are not among its rows (FILE_KEY)."""
    came = pc.and_(pc.equal(files["source"], source), pc.is_null(files["deleted_time"]))
    return anti_join(files.filter(came), rows, on=FILE_KEY)
