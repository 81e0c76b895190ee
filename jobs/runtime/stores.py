"""What Spark needs to know of object stores: S3 by Hadoop's S3A, for which other engines' variables hold, too.

One URI names a lake for both engines. delta-rs, pyarrow and this project say `s3://`, Hadoop says `s3a://`: it is told
that S3A answers to either.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping

from pyspark import SparkContext
from pyspark.conf import SparkConf

from jobs.runtime.failures import reason_of
from jobs.runtime.jars import LOG_STORE_JAR
from schemas.errors import UsageError

log = logging.getLogger("lakealbum")

S3A = "org.apache.hadoop.fs.s3a.S3AFileSystem"
LOG_STORE = "lakealbum.ConditionalS3LogStore"
"""The class of LOG_STORE_JAR."""
ASKED_FOR = "LAKEALBUM_S3"
"""Variable by which a session is given what S3 needs, though no lake or source that it is told of lies there."""
_OF_WORKERS = ("AWS_", "LAKEALBUM_STORAGE_")
_NO_JARS = (
    "Spark lacks the jars for S3 (class {missing}): set LAKEALBUM_S3=1 for ./lakealbum or `lakealbum` to get them, or "
    "give spark-submit --packages and --exclude-packages as `python -m jobs.runtime.jars --s3` prints them"
)


def needs_s3(uris: Iterable[str]) -> bool:
    """Whether one of the places lies on S3, or the environment asks for S3."""
    return any(uri.startswith("s3://") for uri in uris) or os.environ.get(ASKED_FOR, "") not in ("", "0")


def s3_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """Spark's settings for S3 that follow from the variables that delta-rs and pyarrow read.

    Python workers get these variables, but those that name files: they open pictures by pyarrow. S3A takes its keys
    from the environment by itself, and gives them to executors.
    """
    settings = {
        "spark.hadoop.fs.s3.impl": S3A,
        # A look for new commits lists the log from the last one that is known, not from its beginning.
        "spark.hadoop.delta.enableFastS3AListFrom": "true",
    }
    endpoint = environment.get("AWS_ENDPOINT_URL_S3") or environment.get("AWS_ENDPOINT_URL")
    if endpoint:
        settings["spark.hadoop.fs.s3a.endpoint"] = endpoint
        by_path = environment.get("AWS_VIRTUAL_HOSTED_STYLE_REQUEST", "false").lower() != "true"
        settings["spark.hadoop.fs.s3a.path.style.access"] = str(by_path).lower()
        settings["spark.hadoop.fs.s3a.connection.ssl.enabled"] = str(not endpoint.startswith("http://")).lower()
    if region := environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION"):
        settings["spark.hadoop.fs.s3a.endpoint.region"] = region
    for name, value in environment.items():
        if value and name.startswith(_OF_WORKERS) and not name.endswith("_FILE"):
            settings[f"spark.executorEnv.{name}"] = value
    return settings


def with_s3(settings: Mapping[str, str], environment: Mapping[str, str]) -> dict[str, str]:
    """Settings of a session, with those that S3 needs; what the submitter or a properties file says goes before these.

    Starts the JVM, without a session. Raises UsageError where it lacks the jars for S3; warns where it has not the
    store by which several writers may commit at once.
    """
    conf = SparkConf(loadDefaults=False)
    conf.setAll(list(settings.items()))
    SparkContext._ensure_initialized(conf=conf)
    if not _has_class(S3A):
        raise UsageError(_NO_JARS.format(missing=S3A))
    wanted = s3_settings(environment)
    if _has_class(LOG_STORE):
        wanted |= {f"spark.delta.logStore.{scheme}.impl": LOG_STORE for scheme in ("s3", "s3a")}
    else:
        log.warning(
            "on S3, of two writers of a table one may overwrite the other's commit: give spark-submit --jars %s, or "
            "run the jobs of a lake one after the other, and no edits meanwhile",
            LOG_STORE_JAR,
        )
    given = SparkConf()
    return {**settings, **{key: value for key, value in wanted.items() if not given.contains(key)}}


def check_spark_reaches(root: str) -> None:
    """Raises UsageError where Spark's file system for the lake cannot list it: in one sentence what is missing."""
    context = SparkContext._active_spark_context
    if "://" not in root or context is None:
        return
    jvm, session = context._jvm, context._jsc
    assert jvm is not None
    try:
        path = jvm.org.apache.hadoop.fs.Path(root)
        path.getFileSystem(session.sc().hadoopConfiguration()).exists(path)
    except Exception as error:  # whatever a store's client raises
        raise UsageError(
            f"Spark cannot open the lake {root!r}: {reason_of(error)}; delta-rs could (docs/object-stores.md)"
        ) from error


def _has_class(name: str) -> bool:
    jvm = SparkContext._jvm
    assert jvm is not None
    loader = jvm.java.lang.Thread.currentThread().getContextClassLoader()
    return bool(loader.getResource(name.replace(".", "/") + ".class") is not None)
