"""The Spark session: only what results, or the planning of any result, depend on; the rest is spark-submit's."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from pyspark import SparkConf, SparkContext, StorageLevel
from pyspark.sql import DataFrame, SparkSession

from jobs.runtime import worker_daemon
from jobs.runtime.conf import CONF
from jobs.runtime.jars import jar_settings
from jobs.runtime.stores import with_s3

ARROW_BYTES = "spark.sql.execution.arrow.maxBytesPerBatch"
RESULTS_DEPEND_ON = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    # Without Arrow, createDataFrame of a pandas 3 frame turns a missing string into the text NaN.
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    # pandas writes nanoseconds, for which Spark has no type; jobs.sources.sources makes times of them.
    "spark.sql.legacy.parquet.nanosAsLong": "true",
    # delta-rs takes Spark's own INT96 for nanoseconds: times before 1677 and after 2262 would become others.
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    # A pinned version may be any age; jobs.maintain sees to it that what is needed is kept.
    "spark.databricks.delta.vacuum.enforceTimeTravelWithinDeletedFileRetentionDuration": "false",
}
PLANS_DEPEND_ON = {
    # For every column that is named, PySpark would tell the JVM from which line: a sixth of a small run's time.
    "spark.python.sql.dataFrameDebugging.enabled": "false",
    # jobs.runtime.commits has computed and kept the rows that it merges; Delta would do so once more.
    "spark.databricks.delta.merge.materializeSource": "none",
    # Inferring constraints takes time and memory exponential in the computed columns of a projection: a plan as wide
    # as these tables never ends.
    "spark.sql.constraintPropagation.enabled": "false",
    # Asked for a limit in bytes, Spark adds up the buffers of all columns after every row that it sends to Python: half
    # of the time of sending. This value means none: 10,000 rows are sent at once. For those of areas see WIDE_ROWS.
    ARROW_BYTES: str(2**31 - 1),
    # Generated methods above the JVM's limit for compiling (8,000 bytes of code) run interpreted, at half the speed.
    "spark.sql.codegen.hugeMethodLimit": "8000",
}
WIDE_ROWS: dict[str, str | None] = {ARROW_BYTES: str(64 << 20)}
"""For rows that Python gets with a border, which may take megabytes."""
FOR_FEW_ROWS: dict[str, str | None] = {
    # Compiling a plan takes longer than to interpret it, and planning anew after a stage longer than it saves.
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.shuffle.partitions": "1",
    "spark.databricks.delta.snapshotPartitions": "1",
}

FEW_ROWS = 100_000
"""Rows up to which FOR_FEW_ROWS is faster: docs/benchmarks.md, "Small lakes"."""

MASTER = "spark.master"
DAEMON = "spark.python.daemon.module"

SUBMITTED = "PYSPARK_GATEWAY_PORT"
"""Variable that the Python process has which spark-submit starts."""
YARN_CONTAINER = "CONTAINER_ID"
"""Variable of processes that YARN starts."""


def open_session(app_name: str, *, geometry: bool = False, s3: bool = False) -> SparkSession:
    """The session of this process, made if there is none; `geometry`: with what `use_geometry` needs, `s3`: with what
    files on S3 need, else UsageError.

    Under spark-submit, master, memory, parallelism, properties and jars are the submitter's. Else the jars are those of
    `jars.jar_settings`, and the properties those of SPARK_CONF_DIR, by default the package's own.
    """
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    os.environ.setdefault("PYSPARK_DRIVER_PYTHON", sys.executable)
    settings = RESULTS_DEPEND_ON | PLANS_DEPEND_ON
    if SUBMITTED not in os.environ:
        if "SPARK_HOME" not in os.environ:
            os.environ.setdefault("SPARK_CONF_DIR", str(CONF))
        settings = settings | jar_settings(geometry=geometry, s3=s3)
        if _told(DAEMON) is None and not _is_remote(_told(MASTER)):
            settings[DAEMON] = worker_daemon.__name__
    if s3 and SparkContext._active_spark_context is None:
        settings = with_s3(settings, os.environ)
    _start_jvm(settings)
    builder = SparkSession.builder.appName(app_name)
    for key, value in settings.items():
        builder = builder.config(key, value)
    spark = builder.getOrCreate()
    for key, value in (RESULTS_DEPEND_ON | PLANS_DEPEND_ON).items():
        if spark.conf.isModifiable(key):
            spark.conf.set(key, value)
    return spark


def _start_jvm(settings: Mapping[str, str]) -> None:
    """The JVM of this process, started if there is none.

    By a thread of its own, which a signal does not end, and which this process waits for before it is gone: a JVM that
    nobody waits for finds no place to say where it listens (PySpark's `launch_gateway`), and stays for ever.
    """
    starter = ThreadPoolExecutor(1)
    try:
        starter.submit(SparkContext._ensure_initialized, conf=SparkConf().setAll([*settings.items()])).result()
    finally:
        starter.shutdown(wait=False)


def use_geometry(spark: SparkSession) -> None:
    """Gives the session Sedona's geometry type, functions and readers, which take some seconds to load."""
    from sedona.spark import SedonaContext

    SedonaContext.create(spark)
    _set(spark, WIDE_ROWS)
    # Else Spark reads a geometry's text by one positioned read, and takes for text what a short read leaves unfilled:
    # S3A reads short, and each GeoJSON there fails (Spark 4.0, JacksonParser).
    spark.conf.set("spark.sql.json.enableExactStringParsing", "false")


@contextmanager
def session_settings(spark: SparkSession, settings: Mapping[str, str | None]) -> Iterator[None]:
    """Inside, the session has these settings (None: Spark's default); afterwards those that it had."""
    before = get_settings(spark, settings)
    _set(spark, settings)
    try:
        yield
    finally:
        _set(spark, before)


def get_settings(spark: SparkSession, keys: Iterable[str]) -> dict[str, str | None]:
    """What the session has set of some keys."""
    return {key: spark.conf.get(key, None) for key in keys}


def _set(spark: SparkSession, settings: Mapping[str, str | None]) -> None:
    for key, value in settings.items():
        if value is None:
            spark.conf.unset(key)
        else:
            spark.conf.set(key, value)


def planned_for(spark: SparkSession, *, rows: int, few: int = FEW_ROWS) -> AbstractContextManager[None]:
    """Inside, Spark plans for about so many rows. Up to `few`, plans are interpreted, and a shuffle has one task.

    Results are the same.
    """
    return session_settings(spark, FOR_FEW_ROWS if rows <= few else {})


def keep(rows: DataFrame) -> DataFrame:
    """Computes `rows` now and keeps them on local disk as long as they are referred to.

    The plan is cut off there: one that grows with every kept frame costs more to plan than to run. So nothing can be
    computed again of what goes with an executor: where there are several, two of them keep each row. Memory is left to
    what works with them: Spark brings blocks back from disk whole, for which there may be room by its reckoning alone.
    """
    level = StorageLevel.DISK_ONLY_2 if _is_remote(rows.sparkSession.sparkContext.master) else StorageLevel.DISK_ONLY
    return rows.localCheckpoint(eager=True, storageLevel=level)


def is_driver_on_yarn() -> bool:
    """Whether YARN has started this driver (deploy mode cluster): it fails one that makes no session, whatever it does
    else.
    """
    return SUBMITTED in os.environ and YARN_CONTAINER in os.environ


def has_executors(start_spark: Callable[[], SparkSession]) -> bool:
    """Whether tasks run in other processes than the driver's. A session is started to know only if spark-submit, which
    may have been told by any means, has started a JVM already.
    """
    if SUBMITTED in os.environ or SparkContext._active_spark_context is not None:
        return _is_remote(start_spark().sparkContext.master)
    return _is_remote(_told(MASTER))


def _told(key: str) -> str | None:
    """What the session that is made next is told of a property, None for nothing."""
    home = os.environ.get("SPARK_HOME")
    folder = os.environ.get("SPARK_CONF_DIR") or (Path(home, "conf") if home else CONF)
    properties = Path(folder, "spark-defaults.conf")
    given = os.environ.get("PYSPARK_SUBMIT_ARGS", ""), properties.read_text() if properties.exists() else ""
    name = re.escape(key)
    option = r".*--master[= ]|" if key == MASTER else ""
    pattern = re.compile(rf"^(?:{option}.*--conf[= ]{name}=|{name}[\s=])\s*(\S+)", re.MULTILINE)
    return next((told[1] for told in map(pattern.search, given) if told), None)


def _is_remote(master: str | None) -> bool:
    return master not in (None, "", "local") and not str(master).startswith("local[")
