"""Sources on S3 are found and read without Spark."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake
from pyspark.sql import SparkSession

from jobs.sources.sources import find_source, open_source
from schemas.errors import SourceError
from tests.s3.server import Server
from transforms.pictures.locations import _filesystem


class Asked(Exception):
    """Spark was asked."""


def start_spark() -> SparkSession:
    raise Asked


@pytest.fixture
def bucket(s3: Server) -> Iterator[Path]:
    """The folder of the server that is `s3://lake/in`."""
    folder = s3.folder / "lake" / "in"
    folder.mkdir()
    yield folder
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    folder.rmdir()


def test_parquet_and_text(bucket: Path) -> None:
    for name in ("day=1/a.parquet", "day=2/b%20c.parquet", "_tmp/c.parquet", ".d.parquet"):
        (bucket / name).parent.mkdir(exist_ok=True)
        pq.write_table(pa.table({"uri": [name]}), bucket / name)
    source = find_source("s3://lake/in", start_spark=start_spark)
    assert (source.format, source.rows, source.is_here) == ("parquet", 2, True)
    assert [*source.spark_files] == ["s3://lake/in/day=1/a.parquet", "s3://lake/in/day=2/b%20c.parquet"]
    assert open_source(source).read_all().to_pylist() == [
        {"uri": "day=1/a.parquet", "day": 1},
        {"uri": "day=2/b%20c.parquet", "day": 2},
    ]
    (bucket / "a.csv.gz").write_bytes(gzip.compress(b"uri\na.jpg\n"))
    source = find_source("s3://lake/in/a.csv.gz", start_spark=start_spark)
    assert open_source(source).read_all()["uri"].to_pylist() == ["a.jpg"]


def test_delta(bucket: Path) -> None:
    write_deltalake(str(bucket / "table"), pa.table({"uri": ["a"]}))
    source = find_source("s3://lake/in/table", start_spark=start_spark)
    assert (source.format, source.is_loadable, source.rows) == ("delta", True, 1)
    assert open_source(source).read_all().to_pylist() == [{"uri": "a"}]


def test_what_is_not_there_and_what_is_left_to_spark(bucket: Path) -> None:
    with pytest.raises(SourceError, match="s3://lake/in/no-such can't be listed: nothing is there"):
        find_source("s3://lake/in/no-such", start_spark=start_spark)
    with pytest.raises(Asked):
        find_source("s3://lake/in/*.csv", start_spark=start_spark)


def test_without_credentials_spark_is_asked(bucket: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    _filesystem.cache_clear()
    with pytest.raises(Asked):
        find_source("s3://lake/in", start_spark=start_spark)
    _filesystem.cache_clear()
