"""A server with one bucket, `lake`, and the variables by which all engines find it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.s3.server import Server, find_program, serve

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all tests."""
    if find_program() is None:
        pytest.skip("no S3 server: .ci/s3.sh builds one (versitygw; it needs Go, and minutes)")
    with serve(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def s3(s3_server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """The server, with its variables set and a bucket."""
    (s3_server.folder / "lake").mkdir(exist_ok=True)
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    return s3_server


@pytest.fixture(scope="session")
def s3_jars() -> None:
    """Spark's jars for S3, where the launcher has put them."""
    folder = Path(os.environ.get("LAKEALBUM_JARS") or ROOT / ".jars")
    if not list(folder.glob("hadoop-aws-*.jar")):
        pytest.skip("no jars for S3: `LAKEALBUM_S3=1 ./lakealbum test` gets them")
