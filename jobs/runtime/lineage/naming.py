"""Names of data sets and runs, as OpenLineage's naming convention has them (https://openlineage.io/docs/spec/naming)."""

from __future__ import annotations

import uuid
from urllib.parse import unquote, urlsplit

from schemas.lake import CLUSTER_NAMESPACE
from schemas.locations import absolute_uri

FILE = "file"
_KEYED = ("s3", "gs", "oss", "abfs", "abfss", "wasb", "wasbs")
"""Schemes of object stores: an object's name is its key, which begins with no slash."""


def name_dataset(location: str) -> tuple[str, str]:
    """The namespace and the name of a table, file or folder.

    >>> name_dataset("/lakes/family/files/"), name_dataset("file:///lakes/family/files")
    (('file', '/lakes/family/files'), ('file', '/lakes/family/files'))
    >>> name_dataset("s3a://albums/family/files"), name_dataset("hdfs://name:8020/lake/files")
    (('s3://albums', 'family/files'), ('hdfs://name:8020', '/lake/files'))
    """
    uri = absolute_uri(location)
    if "://" not in uri:
        return FILE, uri.rstrip("/") or "/"
    parts = urlsplit(uri)
    if parts.scheme == FILE:
        return FILE, unquote(parts.path).rstrip("/") or "/"
    path = parts.path.rstrip("/")
    return f"{parts.scheme}://{parts.netloc}", (path.lstrip("/") if parts.scheme in _KEYED else path) or "/"


def run_uuid(root: str, run_id: str) -> str:
    """The UUID of a run of the lake at `root`: its id, or UUIDv5 of lake and id where the id is no UUID.

    >>> run_uuid("/lake", "0b2f6d4e-9c3a-5f10-8e77-1d2c3b4a5968")
    '0b2f6d4e-9c3a-5f10-8e77-1d2c3b4a5968'
    >>> run_uuid("/lake", "nightly.index.1")
    '3f1f09a0-dcce-5d63-b976-32c7f3afcf34'
    """
    try:
        return str(uuid.UUID(run_id))
    except ValueError:
        return str(uuid.uuid5(CLUSTER_NAMESPACE, f"{root}\n{run_id}"))
