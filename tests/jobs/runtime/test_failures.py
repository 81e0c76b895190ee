"""The one line that says why something failed, of texts as Spark and Java give them."""

from __future__ import annotations

import pytest
from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from jobs.runtime.failures import as_ours, reason_of
from schemas.errors import LakeError, SourceError, UsageError

JOB = """Job aborted due to stage failure: Task 1 in stage 3.0 failed 4 times, most recent failure: Lost task 1.3:
org.apache.spark.SparkException: Encountered error while reading file s3://b/x.
\tat org.apache.spark.Frame.one(Frame.scala:1)
Caused by: java.io.IOException: outer
\tat org.apache.spark.Frame.two(Frame.scala:2)
Caused by: java.net.ConnectException: Connection refused: nowhere:9000
\tat org.apache.spark.Frame.three(Frame.scala:3)
\t... 12 more

Driver stacktrace:
"""
WORKER = """Job aborted due to stage failure: Task 0 in stage 1.0 failed 1 times, most recent failure: Lost task 0.0:
org.apache.spark.api.python.PythonException: Traceback (most recent call last):
  File "worker.py", line 1, in process
    out_iter = func(split_index, iterator)
schemas.errors.SourceError: file:///photos is out of reach of worker-2: it is not there

\tat org.apache.spark.api.python.BasePythonRunner.handle(PythonRunner.scala:1)

Driver stacktrace:
"""


def test_of_several_causes_the_innermost_is_told() -> None:
    assert reason_of(PySparkException(JOB)) == "java.net.ConnectException: Connection refused: nowhere:9000"


def test_of_a_worker_the_error_is_told_and_is_ours_again() -> None:
    error = PySparkException(WORKER)
    told = "file:///photos is out of reach of worker-2: it is not there"
    assert reason_of(error) == f"schemas.errors.SourceError: {told}"
    ours = as_ours(error)
    assert isinstance(ours, SourceError)
    assert str(ours) == told


@pytest.mark.parametrize(
    "error",
    [
        SourceError("is ours already"),
        ValueError("schemas.errors.SourceError: x"),
        PySparkException(JOB),
        PySparkException(WORKER.replace("schemas.errors.SourceError", "schemas.errors.LONGEST")),
    ],
)
def test_other_errors_are_not_ours(error: Exception) -> None:
    assert as_ours(error) is None


def test_other_errors_say_their_first_line_without_credentials() -> None:
    assert reason_of(LakeError("no lake at s3://K:S@b\nmore")) == "no lake at s3://***@b"
    assert reason_of(KeyError()) == "KeyError"
    assert len(reason_of(UsageError("x" * 9_999))) == 1000


def fail_on_a_worker(batches: object) -> object:
    raise SourceError("the folder is not here")


def test_spark_itself(spark: SparkSession) -> None:
    with pytest.raises((PySparkException, Py4JJavaError), match="the folder is not here") as failed:
        spark.range(1).mapInArrow(fail_on_a_worker, "id long").localCheckpoint()  # type: ignore[arg-type]
    assert str(as_ours(failed.value)) == "the folder is not here"
    with pytest.raises((PySparkException, Py4JJavaError), match="nosuch") as failed:
        spark.read.text("nosuch://x/y")
    assert reason_of(failed.value).endswith('No FileSystem for scheme "nosuch"')
