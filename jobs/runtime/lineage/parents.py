"""Who started a run, as the scheduler tells it: its parent, the root of all, and the time that it stands for."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

SPARK = "spark.openlineage."
"""How Spark's settings begin that OpenLineage's schedulers hand to spark-submit."""
NOMINAL_TIMES = ("AIRFLOW_CTX_LOGICAL_DATE", "AIRFLOW_CTX_EXECUTION_DATE")
"""Variables that Airflow gives to what its tasks start: 3's, and 2's."""


@dataclass(frozen=True)
class JobRun:
    """A run of a job: `run_id` is a UUID."""

    namespace: str
    name: str
    run_id: str

    def __post_init__(self) -> None:
        """Raises ValueError where something is missing, or the run's id is no UUID."""
        if not (self.namespace and self.name):
            raise ValueError(f"{self} has no namespace, or no name")
        uuid.UUID(self.run_id)


@dataclass(frozen=True)
class Parent:
    """The run that started this one, and the one at the top, where it is told."""

    run: JobRun
    root: JobRun | None = None


def find_parent(environment: Mapping[str, str], spark: Mapping[str, str]) -> Parent | None:
    """The parent by OPENLINEAGE_CONTEXT, else OPENLINEAGE_PARENT_ID, else Spark's settings; None where nobody tells.

    ValueError names what cannot be read.
    """
    if context := environment.get("OPENLINEAGE_CONTEXT"):
        return _of_context(context)
    if run := _of_id(environment, "OPENLINEAGE_PARENT_ID"):
        return Parent(run, _of_id(environment, "OPENLINEAGE_ROOT_PARENT_ID"))
    if run := _of_spark(spark, "parent"):
        return Parent(run, _of_spark(spark, "rootParent"))
    return None


def find_nominal_time(environment: Mapping[str, str]) -> str | None:
    """The time that a scheduler's run stands for, RFC 3339; None where nobody tells, or tells something else.

    >>> find_nominal_time({"AIRFLOW_CTX_LOGICAL_DATE": "2026-11-28T02:00:00+00:00"})
    '2026-11-28T02:00:00+00:00'
    """
    told = next((environment[name] for name in NOMINAL_TIMES if environment.get(name)), None)
    if told is None:
        return None
    try:
        time = datetime.fromisoformat(told)
    except ValueError:
        return None
    return time.isoformat() if time.tzinfo else None


def submitted_settings(submitted: str) -> dict[str, str]:
    """Spark's settings, where spark-submit started this process (it then has the variable `submitted`); else none.

    The JVM is there already: nothing is started.
    """
    if submitted not in os.environ:
        return {}
    from pyspark import SparkConf, SparkContext

    SparkContext._ensure_initialized()
    return {key: value for key, value in SparkConf().getAll() if key.startswith(SPARK)}


def _of_context(text: str) -> Parent:
    """{"parent": {"run": {"runId": X}, "job": {"namespace": X, "name": X}}}, and "root", in the parent or beside it."""
    try:
        context = json.loads(text)
        parent = context["parent"]
        root = parent.get("root") or context.get("root")
        return Parent(_of_document(parent), _of_document(root) if root else None)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"OPENLINEAGE_CONTEXT {text!r} names no parent: {error!r}") from None


def _of_document(document: Mapping[str, Any]) -> JobRun:
    return JobRun(document["job"]["namespace"], document["job"]["name"], document["run"]["runId"])


def _of_id(environment: Mapping[str, str], variable: str) -> JobRun | None:
    """namespace/name/run id; the name may hold slashes, and so may a namespace that is a URI."""
    text = environment.get(variable)
    if not text:
        return None
    rest, _, run_id = text.rpartition("/")
    namespace, _, name = rest.rpartition("/")
    try:
        return JobRun(namespace, name, run_id)
    except ValueError as error:
        raise ValueError(f"{variable} {text!r} is not NAMESPACE/NAME/RUN: {error}") from None


def _of_spark(settings: Mapping[str, str], whose: str) -> JobRun | None:
    """By spark.openlineage.parentJobNamespace, parentJobName, parentRunId, or those of rootParent."""
    names = [f"{SPARK}{whose}{part}" for part in ("JobNamespace", "JobName", "RunId")]
    if not any(name in settings for name in names):
        return None
    try:
        return JobRun(*(settings[name] for name in names))
    except (ValueError, KeyError) as error:
        raise ValueError(f"{', '.join(names)} name no run: {error!r}") from None
