"""What all tests share: one small Spark session."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs.runtime.session import open_session

JVM = (
    "-XX:ReservedCodeCacheSize=512m",
    "-XX:+UseSerialGC",
    # The optimizing compiler took half of all time: few methods run so often here that they are worth it.
    "-XX:Tier4InvocationThreshold=25000",
    "-XX:Tier4MinInvocationThreshold=3000",
    "-XX:Tier4CompileThreshold=75000",
)
SETTINGS = {
    "spark.master": "local[2]",
    "spark.sql.shuffle.partitions": "2",
    "spark.ui.enabled": "false",
    "spark.driver.extraJavaOptions": " ".join(JVM),
    # Many small plans, each run once: compiling them costs more than it saves (.ci/spark-submit.sh compiles).
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.adaptive.enabled": "false",
    "spark.databricks.delta.snapshotPartitions": "1",
    "spark.ui.showConsoleProgress": "false",
    "spark.driver.memory": "2g",
    "spark.python.daemon.module": "tests.preloaded_daemon",
    "spark.log.level": "ERROR",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option --slow."""
    parser.addoption("--slow", action="store_true", help="run the slow tests, too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves the slow tests out unless --slow is given."""
    if not config.getoption("--slow"):
        skip = pytest.mark.skip(reason="slow: --slow runs it")
        for item in items:
            if "slow" in item.keywords:
                item.add_marker(skip)


@pytest.fixture(scope="session", autouse=True)
def small_jobs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Settings and jars for the tests' session, and for those of the processes that tests start."""
    folder = tmp_path_factory.mktemp("conf")
    (folder / "spark-defaults.conf").write_text("".join(f"{key} {value}\n" for key, value in SETTINGS.items()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPARK_CONF_DIR", str(folder))
        jars = Path(__file__).parents[1] / ".jars"
        if not os.environ.get("LAKEALBUM_JARS") and jars.is_dir():  # without: Spark's own resolver
            patch.setenv("LAKEALBUM_JARS", str(jars))
        yield


@pytest.fixture(scope="session")
def spark(small_jobs: None) -> Iterator[SparkSession]:
    """A session as jobs have it, on two cores, with few partitions and no web pages."""
    session = open_session("tests", geometry=True)
    yield session
    session.stop()


@pytest.fixture(autouse=True)
def _doctest_names(doctest_namespace: dict[str, Any], request: pytest.FixtureRequest) -> None:
    """`spark` and `F` for the examples in docstrings."""
    if isinstance(request.node, pytest.DoctestItem):
        doctest_namespace |= {"spark": request.getfixturevalue("spark"), "F": F}
