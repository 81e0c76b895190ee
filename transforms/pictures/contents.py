"""What files hold, told by a hash: how a file is known again that was moved, or is read by its header alone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql.pandas.types import from_arrow_schema

from schemas.keys import FILE_KEY
from transforms.clusters.naming import positions_of
from transforms.pictures.files import BROKEN_PIXELS
from transforms.pictures.locations import resolve
from transforms.tables.keyed import indices_or_null, with_columns

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


def keep_hashes(rows: pa.Table, current: pa.Table) -> pa.Table:
    """Rows of `files` read from headers alone, with what whole files of their size told: hashes, and broken pixels.

    `current` is the table, or what it has of the same files.
    """
    at = positions_of(rows, current, on=FILE_KEY)
    is_same = pc.equal(rows["size"], current["size"].take(indices_or_null(at)))
    at = np.where(pc.fill_null(is_same, False).to_numpy(), at, -1)
    was = current.select(["content_hash", "warning"]).take(indices_or_null(at))
    is_broken = pc.match_substring(was["warning"], BROKEN_PIXELS)
    warning = pc.if_else(is_broken, was["warning"], pa.scalar(None, pa.string()))
    told = {"content_hash": was["content_hash"], "warning": warning}
    return with_columns(rows, {name: pc.coalesce(rows[name], kept) for name, kept in told.items()})


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
