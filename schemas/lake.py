"""The tables of a lake, and the names, ids and hashes that every engine must compute alike."""

from __future__ import annotations

import hashlib
import re
import uuid
import zlib

from schemas.area_index import AREA_INDEX
from schemas.areas import AREAS
from schemas.binding_files import BINDING_FILES
from schemas.bindings import BINDINGS
from schemas.cluster_edits import CLUSTER_EDITS
from schemas.cluster_events import CLUSTER_EVENTS
from schemas.contract import CONTRACT_VERSION as CONTRACT_VERSION
from schemas.contract import LEVELS, Contract
from schemas.dataset_state import DATASET_STATE
from schemas.datasets import DATASETS
from schemas.errors import UsageError
from schemas.face_scans import FACE_SCANS
from schemas.figure_clusters import FIGURE_CLUSTERS
from schemas.figure_members import FIGURE_MEMBERS
from schemas.figures import FIGURES
from schemas.file_edits import FILE_EDITS
from schemas.file_features import FILE_FEATURES
from schemas.file_notes import FILE_NOTES
from schemas.file_places import FILE_PLACES
from schemas.files import FILES
from schemas.location_date_clusters import LOCATION_DATE_CLUSTERS
from schemas.location_date_segments import LOCATION_DATE_SEGMENTS
from schemas.notifications import NOTIFICATIONS
from schemas.place_days import PLACE_DAYS
from schemas.projects import DATASET_SETTINGS, PROJECTS
from schemas.rejected import REJECTED
from schemas.requests import REQUESTS
from schemas.runs import RUNS
from schemas.similar_image_clusters import SIMILAR_IMAGE_CLUSTERS
from schemas.similar_image_members import SIMILAR_IMAGE_MEMBERS
from schemas.similar_image_pairs import SIMILAR_IMAGE_PAIRS
from schemas.tasks import TASKS

TABLES: dict[str, Contract] = {
    contract.name: contract
    for contract in (
        PROJECTS,
        DATASETS,
        DATASET_SETTINGS,
        FILES,
        FILE_NOTES,
        FILE_PLACES,
        FILE_FEATURES,
        FIGURES,
        FACE_SCANS,
        AREAS,
        AREA_INDEX,
        PLACE_DAYS,
        LOCATION_DATE_SEGMENTS,
        LOCATION_DATE_CLUSTERS,
        SIMILAR_IMAGE_PAIRS,
        SIMILAR_IMAGE_CLUSTERS,
        SIMILAR_IMAGE_MEMBERS,
        FIGURE_CLUSTERS,
        FIGURE_MEMBERS,
        CLUSTER_EDITS,
        CLUSTER_EVENTS,
        FILE_EDITS,
        BINDINGS,
        BINDING_FILES,
        DATASET_STATE,
        REQUESTS,
        TASKS,
        NOTIFICATIONS,
        RUNS,
        REJECTED,
    )
}

NAME_PATTERN = r"^[A-Za-z_][A-Za-z0-9_-]{0,127}$"
CLUSTER_NAMESPACE = uuid.UUID("6f0c9a52-5f8e-5c0b-9d57-6a1e3c1b7a10")
LEVEL_DEPTH = {level: depth for depth, level in enumerate(LEVELS, start=1)}


def check_name(kind: str, name: str) -> str:
    """Returns `name` if it can name a project or dataset, else raises UsageError."""
    if not re.match(NAME_PATTERN, name):
        raise UsageError(
            f"{kind} {name!r} is not a name: 1 to 128 of A-Z a-z 0-9 _ - are accepted, the first a letter or _"
        )
    return name


def table_uri(lake: str, table: str) -> str:
    """Where a table of the lake is."""
    return f"{lake.rstrip('/')}/{table}"


def bucket_of(project: str, dataset: str | None, buckets: int) -> int:
    """The bucket of a dataset: CRC-32 of 'project LF dataset', modulo the bucket count, as Spark's crc32 gives it.
    Rows of no known dataset (refused ones) are in that of 'project'.

    >>> bucket_of("demo", "ada", 16)
    12
    """
    whose = project if dataset is None else f"{project}\n{dataset}"
    return zlib.crc32(whose.encode()) % buckets


def file_object_id(project: str, dataset: str, uri: str) -> str:
    """The id of a file: SHA-256 of 'project LF dataset LF uri', 64 hex digits."""
    return hashlib.sha256(f"{project}\n{dataset}\n{uri}".encode()).hexdigest()
