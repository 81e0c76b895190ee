"""Rows on disk, read by bucket."""

from __future__ import annotations

import gc
import os
import pickle
from pathlib import Path

import pyarrow as pa
import pytest

from jobs.runtime import spool as spool_module
from jobs.runtime.by_bucket import collect
from jobs.runtime.spool import Spool
from schemas.errors import DiskError

SCHEMA = pa.schema([("bucket", pa.int32()), ("text", pa.string())])


def rows(bucket: int, *texts: str) -> pa.Table:
    return pa.table({"bucket": pa.repeat(pa.scalar(bucket, pa.int32()), len(texts)), "text": [*texts]}, SCHEMA)


@pytest.mark.long
@pytest.mark.parametrize("where", ["/proc/self/fd", "/nowhere"], ids=["without a name", "by a name"])
def test_rows_are_read_by_bucket_and_go_with_their_spool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(spool_module, "OPEN_FILES", where)
    with Spool(SCHEMA, buckets=3) as spool:
        for some in (rows(2, "a", "b"), rows(0, "c"), rows(2, "d"), rows(1)):
            spool.write(some, some["bucket"][0].as_py() if len(some) else 1)
    assert (spool.rows, (spool.sizes > 0).tolist()) == (4, [True, False, True])
    assert [spool.read(bucket)["text"].to_pylist() for bucket in range(3)] == [["c"], [], ["a", "b", "d"]]
    assert spool.read(2, ["text", "bucket"]).column_names == ["text", "bucket"]
    assert collect(spool.by_bucket().select(["text"])).to_pylist() == [{"text": text} for text in "cabd"]
    in_task = pickle.loads(pickle.dumps(spool))
    assert collect(in_task.by_bucket())["text"].to_pylist() == ["c", "a", "b", "d"]
    del in_task
    gc.collect()
    assert bool([*tmp_path.iterdir()]) == (where == "/nowhere" or not os.path.isdir(where))
    assert len(spool.read(0)) == 1, "a copy has no rows of its own"
    del spool
    gc.collect()
    assert not [*tmp_path.iterdir()]


def test_a_job_that_fails_leaves_no_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(ZeroDivisionError), Spool(SCHEMA, buckets=1) as spool:
        spool.write(rows(0, "a"), 1 // 0)
    del spool
    gc.collect()
    assert not [*tmp_path.iterdir()]


def test_a_disk_that_is_full_is_told() -> None:
    spool = Spool(SCHEMA, buckets=1)
    spool._file = "/dev/full"
    with pytest.raises(DiskError, match=r"no more rows, after .*No space left on device. TMPDIR names another folder"):
        fill(spool)


def fill(spool: Spool) -> None:
    with spool:
        for _ in range(100):
            spool.write(rows(0, *map(str, range(10_000))), 0)
