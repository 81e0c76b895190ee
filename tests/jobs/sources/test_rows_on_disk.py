"""How many rows a source may have, told without Spark: whether the JVM of `index` shall start quickly."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.sources.sources import rows_on_disk


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two tables of 10 rows by their bytes, and three pictures of any size."""
    (tmp_path / "deep").mkdir()
    (tmp_path / "rows.csv").write_bytes(b"x" * 2560)
    (tmp_path / "deep" / "rows.parquet").write_bytes(b"x" * 320)
    for number in range(3):
        (tmp_path / "deep" / f"{number}.JPG").write_bytes(b"x" * 10_000)
    return tmp_path


def test_tables_count_by_bytes_and_pictures_one_by_one(folder: Path) -> None:
    assert rows_on_disk([str(folder)], at_most=100) == 23
    assert rows_on_disk([str(folder / "rows.csv"), f"file://{folder}/deep"], at_most=100) == 23
    assert rows_on_disk([str(folder)], at_most=22) is None


@pytest.mark.parametrize("elsewhere", ["s3://bucket/rows.csv", "hdfs://host/rows", "no/such/file", "*.csv"])
def test_what_is_not_on_this_disk_is_not_counted(folder: Path, elsewhere: str) -> None:
    assert rows_on_disk([str(folder), elsewhere], at_most=100) is None
