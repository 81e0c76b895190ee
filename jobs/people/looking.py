"""The faces of one picture, found here and now: what is asked of whoever wants to know whose they are. No JVM."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from jobs.people.finding import recipe
from schemas.errors import NotFound, UsageError
from transforms.pictures.faces import FACE
from transforms.pictures.files import Reading, read_batches


def faces_of_picture(uri: str, family: str) -> list[dict[str, Any]]:
    """The faces of the picture at a path or uri, best first by the detector: rows of FACE.

    Raises NotFound for a file that cannot be opened, UsageError for one that is no sound picture, or of which no pixels
    can be had, and for a family whose models are not installed.
    """
    asked = pa.RecordBatch.from_pylist([{"uri": uri}])
    (batch,) = read_batches([asked], Reading(name_times=False, faces=recipe(family)))
    (row,) = batch.to_pylist()
    if row["error_code"] == "file_unreadable":
        raise NotFound(row["error_message"])
    if row["error_code"] is not None or row["faces"] is None:
        raise UsageError(row["error_message"] or row["warning"] or "no pixels can be read of it")
    return [{field.name: face[field.name] for field in FACE} for face in row["faces"]]
