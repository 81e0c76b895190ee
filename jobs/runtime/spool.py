"""Rows on this machine's disk, while a job works on more of them than memory holds: written bit by bit, read by bucket.

They are in the folder for temporary files (TMPDIR), compressed, and go with the object that wrote them; on Linux with
its process, too, if that is killed.
"""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType

import numpy as np
import pyarrow as pa

from jobs.runtime.by_bucket import ByBucket
from schemas.errors import DiskError
from transforms.tables.keyed import Ints

OPEN_FILES = "/proc/self/fd"
"""Where Linux has the files that a process has open, by number."""
COMPRESSION = pa.ipc.IpcWriteOptions(compression="lz4")


class Spool:
    """Rows of a schema, of all buckets from 0 to `buckets`. It is written inside a `with`, and read after it.

    `sizes` are the bytes that the rows of each bucket take in memory, int64 (buckets,).
    """

    def __init__(self, schema: pa.Schema, *, buckets: int) -> None:
        opened, self._file = tempfile.mkstemp(prefix="lakealbum-")
        self._folder = os.path.dirname(self._file)
        weakref.finalize(self, os.close, opened)
        if os.path.isdir(OPEN_FILES):  # a file without a name goes with the process, however that ends
            os.unlink(self._file)
            self._file = f"/proc/{os.getpid()}/fd/{opened}"
        else:
            weakref.finalize(self, os.unlink, self._file)
        self.schema = schema
        self.rows = 0
        self.sizes: Ints = np.zeros(buckets, np.int64)
        self._batches: list[list[int]] = [[] for _ in range(buckets)]
        self._written = 0
        self._writer: pa.ipc.RecordBatchFileWriter | None = None

    def __enter__(self) -> Spool:
        self._writer = pa.ipc.new_file(self._file, self.schema, options=COMPRESSION)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        assert self._writer is not None
        writer, self._writer = self._writer, None  # a task of Spark gets a copy of this object
        with self._as_ours():
            writer.close()

    def write(self, rows: pa.Table, bucket: int) -> None:
        """Adds rows of a bucket. Raises DiskError where they can't be written."""
        assert self._writer is not None, "a spool is written inside its `with`"
        for batch in rows.to_batches():
            with self._as_ours():
                self._writer.write_batch(batch)
            self._batches[bucket].append(self._written)
            self._written += 1
        self.rows += len(rows)
        self.sizes[bucket] += rows.nbytes

    @contextmanager
    def _as_ours(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise DiskError(
                f"{self._folder} takes no more rows, after {self.rows:,}: {error}. TMPDIR names another "
                "folder for temporary files"
            ) from error

    def read(self, bucket: int, columns: Sequence[str] | None = None) -> pa.Table:
        """The rows of a bucket, or some columns of them, in the order in which they were written."""
        names = self.schema.names if columns is None else columns
        options = pa.ipc.IpcReadOptions(included_fields=[self.schema.names.index(name) for name in names])
        with pa.ipc.open_file(self._file, options=options) as reader:
            batches = [reader.get_batch(number) for number in self._batches[bucket]]
        schema = pa.schema([self.schema.field(name) for name in names])
        return pa.Table.from_batches([batch.select(names) for batch in batches], schema)

    def by_bucket(self) -> ByBucket:
        """All rows, for kernels and commits."""
        return ByBucket(self.schema, len(self._batches), self.rows, self.read, columns_of=self.read)
