from __future__ import annotations

import json

import pytest

from jobs.runtime.lineage.parents import JobRun, Parent, find_nominal_time, find_parent

ONE, TWO = "0b2f6d4e-9c3a-5f10-8e77-1d2c3b4a5968", "0b2f6d4e-9c3a-5f10-8e77-1d2c3b4a5969"
TASK, DAG = JobRun("airflow", "nightly.trips", ONE), JobRun("airflow", "nightly", TWO)
TASK_TOLD = {"run": {"runId": ONE}, "job": {"namespace": "airflow", "name": "nightly.trips"}}
DAG_TOLD = {"run": {"runId": TWO}, "job": {"namespace": "airflow", "name": "nightly"}}
BY_ID = {"OPENLINEAGE_PARENT_ID": f"airflow/nightly.trips/{ONE}"}
BY_SPARK = {
    "spark.openlineage.parentJobNamespace": "airflow",
    "spark.openlineage.parentJobName": "nightly.trips",
    "spark.openlineage.parentRunId": ONE,
    "spark.openlineage.rootParentJobNamespace": "airflow",
    "spark.openlineage.rootParentJobName": "nightly",
    "spark.openlineage.rootParentRunId": TWO,
}


@pytest.mark.parametrize(
    "context",
    [{"parent": {**TASK_TOLD, "root": DAG_TOLD}}, {"parent": TASK_TOLD, "root": DAG_TOLD}],
)
def test_the_context_tells_parent_and_root(context: object) -> None:
    environment = {"OPENLINEAGE_CONTEXT": json.dumps(context), "OPENLINEAGE_PARENT_ID": "not/looked/at"}
    assert find_parent(environment, BY_SPARK) == Parent(TASK, DAG)


def test_a_root_need_not_be_told() -> None:
    assert find_parent({"OPENLINEAGE_CONTEXT": json.dumps({"parent": TASK_TOLD})}, {}) == Parent(TASK)
    assert find_parent(BY_ID, {}) == Parent(TASK)


def test_ids_tell_parent_and_root() -> None:
    root = {"OPENLINEAGE_ROOT_PARENT_ID": f"airflow/nightly/{TWO}"}
    assert find_parent(BY_ID | root, BY_SPARK) == Parent(TASK, DAG)
    of_uri = {"OPENLINEAGE_PARENT_ID": f"https://airflow/prod/nightly.trips/{ONE}"}
    assert find_parent(of_uri, {}) == Parent(JobRun("https://airflow/prod", "nightly.trips", ONE))


def test_settings_of_spark_tell_parent_and_root() -> None:
    assert find_parent({}, BY_SPARK) == Parent(TASK, DAG)
    assert find_parent({}, {"spark.master": "local"}) is None


@pytest.mark.parametrize(
    ("environment", "settings"),
    [
        ({"OPENLINEAGE_CONTEXT": "{"}, {}),
        ({"OPENLINEAGE_CONTEXT": "[]"}, {}),
        ({"OPENLINEAGE_CONTEXT": json.dumps({"parent": {"run": {"runId": ONE}}})}, {}),
        ({"OPENLINEAGE_PARENT_ID": ONE}, {}),
        ({"OPENLINEAGE_PARENT_ID": "airflow/nightly/scheduled__2026-11-28"}, {}),
        ({}, {"spark.openlineage.parentRunId": ONE}),
    ],
)
def test_what_names_no_run_is_an_error_that_says_where(environment: dict[str, str], settings: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=next(iter({**environment, **settings}))):
        find_parent(environment, settings)


def test_only_an_instant_is_a_nominal_time() -> None:
    assert find_nominal_time({}) is None
    assert find_nominal_time({"AIRFLOW_CTX_LOGICAL_DATE": "None"}) is None
    assert find_nominal_time({"AIRFLOW_CTX_LOGICAL_DATE": "2026-11-28T02:00:00"}) is None
    of_airflow_2 = {"AIRFLOW_CTX_LOGICAL_DATE": "", "AIRFLOW_CTX_EXECUTION_DATE": "2026-11-28T02:00:00+08:00"}
    assert find_nominal_time(of_airflow_2) == "2026-11-28T02:00:00+08:00"
