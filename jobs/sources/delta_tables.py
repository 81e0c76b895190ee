"""Reading Delta tables in this process, by delta-rs."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from catalog.selecting import select
from catalog.storage import storage_options
from jobs.sources.files_here import is_local, local_path


class NotReadHere(Exception):
    """A table that delta-rs can't read: of features that it does not know, or with texts that are no UTF-8."""


def open_delta(uri: str) -> DeltaTable:
    """The table at a path, or a URI of S3, at its latest version. Raises OSError and DeltaError."""
    place = local_path(uri) if is_local(uri) else uri
    return DeltaTable(place, storage_options=storage_options(place))


def scan_delta(uri: str) -> pa.RecordBatchReader:
    """The rows of the table at `uri`, read bit by bit. Raises NotReadHere, maybe as they are read."""
    try:
        table = open_delta(uri)
        schema = pa.schema(table.schema().to_arrow())
        rows = select("SELECT * FROM rows", {"rows": table})
    except (DeltaError, OSError) as error:
        raise NotReadHere(str(error)) from error

    def read() -> Iterator[pa.RecordBatch]:
        try:
            for batch in rows:
                yield batch.select(schema.names).cast(schema)
        except (pa.ArrowException, OSError) as error:
            raise NotReadHere(str(error)) from error

    return pa.RecordBatchReader.from_batches(schema, read())
