"""What all tests share: one small Spark session."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs.runtime.jars import jar_settings
from jobs.runtime.session import open_session
from tests.jobs.albums import BY_SPARK, Album
from tests.jobs.library import make_library

JVM = (
    "-XX:ReservedCodeCacheSize=512m",
    "-XX:+UseSerialGC",
    # The optimizing compiler took a quarter to half of all time: 171 s of CPU of tests/jobs/runtime/test_lake.py with
    # it at a fifth of its eagerness, 105 without; the threads that it works for took no longer.
    "-XX:TieredStopAtLevel=1",
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
    """The options --slow and --no-spark."""
    parser.addoption("--slow", action="store_true", help="run the slow tests, too")
    parser.addoption("--no-spark", action="store_true", help="leave out the tests that start Spark, and the long ones")


def pytest_configure(config: pytest.Config) -> None:
    """Hypothesis makes the same examples each time, with --slow others. No deadlines: machines are shared."""
    settings.register_profile("lakealbum", deadline=None, derandomize=not config.getoption("--slow"))
    settings.load_profile("lakealbum")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves the slow tests out unless --slow is given, and those of Spark and the long ones where --no-spark is."""
    if not config.getoption("--slow"):
        _skip(items, "slow: --slow runs it", lambda item: "slow" in item.keywords)
    if config.getoption("--no-spark"):
        _skip(items, "starts Spark: --no-spark leaves it out", _starts_spark)
        _skip(items, "long: --no-spark leaves it out", lambda item: "long" in item.keywords)


def _skip(items: list[pytest.Item], reason: str, which: Callable[[pytest.Item], bool]) -> None:
    for item in items:
        if which(item):
            item.add_marker(pytest.mark.skip(reason=reason))


def _starts_spark(item: pytest.Item) -> bool:
    """Whether a test asks for a session, runs by Spark, or is marked so, as a process that it starts does."""
    way = item.callspec.params.get("way") if hasattr(item, "callspec") else None
    return "spark" in getattr(item, "fixturenames", ()) or "spark" in item.keywords or way == BY_SPARK


@pytest.fixture(autouse=True)
def _no_spark(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With --no-spark a test whose job starts a session after all is skipped, not failed."""
    if request.config.getoption("--no-spark"):
        why = "starts Spark: --no-spark leaves it out"
        monkeypatch.setattr("jobs.runtime.session._start_jvm", lambda _: pytest.skip(why))


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
        # Whichever test opens the session, it is that of all tests.
        patch.setattr("jobs.runtime.session.jar_settings", lambda geometry, s3: jar_settings(geometry=True, s3=s3))
        yield


@pytest.fixture(scope="session")
def spark(small_jobs: None) -> Iterator[SparkSession]:
    """A session as jobs have it, on two cores, with few partitions and no web pages."""
    session = open_session("tests", geometry=True)
    yield session
    session.stop()


@pytest.fixture(scope="session")
def library(small_jobs: None, tmp_path_factory: pytest.TempPathFactory) -> Album:
    """A family's clustered lake, made without Spark; not to be written to."""
    return make_library(tmp_path_factory.mktemp("library"))


@pytest.fixture(autouse=True)
def _doctest_names(doctest_namespace: dict[str, Any], request: pytest.FixtureRequest) -> None:
    """`spark` and `F` for the examples in docstrings."""
    if isinstance(request.node, pytest.DoctestItem):
        doctest_namespace |= {"spark": request.getfixturevalue("spark"), "F": F}
