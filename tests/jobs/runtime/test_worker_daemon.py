"""The daemon that starts Spark's Python workers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyspark
import pytest
from pyspark.sql import SparkSession

from jobs.runtime import worker_daemon
from jobs.runtime.session import SUBMITTED, open_session

ZIPS = sorted(Path(pyspark.__file__).parent.glob("python/lib/*.zip"))
SAY = """
import json, sys
from jobs.runtime.worker_daemon import leave_out_zips
leave_out_zips()
import py4j, pyspark
print(json.dumps({"path": sys.path, "from": [py4j.__file__, pyspark.__file__]}))
"""


def told(*arguments: str) -> Any:
    """What a Python says that is started as Spark starts its workers: with its zips first on the path."""
    root = Path(__file__).parents[3]
    path = os.pathsep.join(map(str, [*ZIPS, root]))
    given = {**os.environ, "PYTHONPATH": path}
    said = subprocess.run(
        [sys.executable, *arguments, "-c", SAY], env=given, capture_output=True, text=True, check=True
    )
    return json.loads(said.stdout)


def test_the_environments_pyspark_takes_the_place_of_sparks_zips() -> None:
    assert len(ZIPS) == 2
    said = told()
    assert not {*map(str, ZIPS)} & {*said["path"]}
    assert not [file for file in said["from"] if ".zip" in file]


def test_where_the_environment_has_none_the_zips_stay() -> None:
    said = told("-S")  # without site-packages
    assert {*map(str, ZIPS)} <= {*said["path"]}
    assert all(".zip" in file for file in said["from"])


@pytest.mark.long
def test_workers_import_no_zips(spark: SparkSession) -> None:
    def where(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import pyspark.worker

        list(batches)
        yield pa.record_batch([pa.array([pyspark.worker.__file__])], ["file"])

    (row,) = spark.range(1, numPartitions=1).mapInArrow(where, "file string").collect()
    assert Path(row.file).parent == Path(pyspark.__file__).parent


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ("", worker_daemon.__name__),
        ("spark.master local[4]", worker_daemon.__name__),
        ("spark.python.daemon.module theirs", None),
        ("spark.master yarn", None),
    ],
)
def test_sessions_on_this_machine_have_it_unless_they_are_told_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, properties: str, expected: str | None
) -> None:
    def given(settings: Mapping[str, str]) -> None:
        raise InterruptedError(settings.get("spark.python.daemon.module"))

    (tmp_path / "spark-defaults.conf").write_text(properties)
    monkeypatch.setenv("SPARK_CONF_DIR", str(tmp_path))
    monkeypatch.delenv("PYSPARK_SUBMIT_ARGS", raising=False)
    monkeypatch.delenv(SUBMITTED, raising=False)
    monkeypatch.setattr("jobs.runtime.session._start_jvm", given)
    with pytest.raises(InterruptedError) as started:
        open_session("test")
    assert started.value.args == (expected,)
