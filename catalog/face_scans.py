"""Which datasets have faces looked for, and in which pictures that is still to be done. It needs no JVM."""

from __future__ import annotations

import pyarrow as pa

from catalog.lake import Lake, Scope
from catalog.sql import all_of, equals
from schemas.datasets import DATASETS
from schemas.face_scans import FACE_SCANS
from schemas.files import FILES


def wanted_family(lake: Lake, project: str, dataset: str) -> str | None:
    """The family of models by which a dataset wants faces looked for; None where it does not."""
    where = all_of([equals("project_name", project), equals("dataset_name", dataset)])
    rows = lake.read(f"SELECT faces FROM datasets WHERE {where}", DATASETS.name)
    return rows[0]["faces"] if rows else None


def pending_pictures(lake: Lake, project: str, dataset: str, model: str) -> pa.Array:
    """The uris of a dataset's pictures in which a model has not looked for faces, or of which it saw another content.

    Of a shot (a raw file and its JPEG) the picture that stands for it.
    """
    own = Scope(project, (dataset,)).condition(lake)
    statement = f"""
        SELECT file.uri AS uri FROM (SELECT uri, content_hash, shot_id FROM files
            WHERE {own} AND media_type = 'image' AND deleted_time IS NULL) AS file
        LEFT JOIN (SELECT uri, content_hash FROM face_scans
            WHERE {own} AND {equals("model", model)}) AS scan ON file.uri = scan.uri
        WHERE (file.shot_id IS NULL OR file.shot_id = file.uri)
            AND (scan.uri IS NULL OR (file.content_hash IS NOT NULL AND file.content_hash <> scan.content_hash))
        ORDER BY uri"""
    return pa.array([row["uri"] for row in lake.read(statement, FILES.name, FACE_SCANS.name)], pa.string())
