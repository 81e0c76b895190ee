"""What files hold, told by a hash: how a file is known again that was moved."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql.pandas.types import from_arrow_schema

from transforms.pictures.locations import resolve

CONTENT_SCHEMA = pa.schema([("uri", pa.string()), ("content_hash", pa.string())])
_PIECE = 1 << 20


def hash_contents(files: DataFrame) -> DataFrame:
    """The SHA-256 of each file named by the column `uri`, 64 hex digits; null where it can't be read.

    The workers open the files and read them in pieces of a mebibyte.
    """
    return files.select("uri").mapInArrow(hash_batches, schema=from_arrow_schema(CONTENT_SCHEMA))


def hash_batches(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The Arrow kernel of `hash_contents`."""
    for batch in batches:
        uris = batch.column("uri").to_pylist()
        yield pa.RecordBatch.from_arrays(
            [pa.array(uris, pa.string()), pa.array(map(_hash, uris), pa.string())], schema=CONTENT_SCHEMA
        )


def _hash(uri: str) -> str | None:
    digest = hashlib.sha256()
    try:
        filesystem, path = resolve(uri)
        with filesystem.open_input_stream(path) as stream:
            while piece := stream.read(_PIECE):
                digest.update(piece)
    except (OSError, ValueError, pa.ArrowException):
        return None  # whoever reads the file says why it can't be read
    return digest.hexdigest()
