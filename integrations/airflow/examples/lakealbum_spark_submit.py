"""Trips by spark-submit: the job file on a cluster, or on this machine. docs/airflow.md says what has to be there.

LAKEALBUM_HOME is a checkout; lakealbum.zip in it has the packages. `spark-submit` is found on PATH, its master is that
of the connection spark_default.
"""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.sdk import DAG

HOME = Path(os.environ.get("LAKEALBUM_HOME", "/opt/lakealbum"))
JARS = Path(os.environ.get("LAKEALBUM_JARS", HOME / ".jars"))
LAKE = os.environ.get("LAKEALBUM_LAKE", "lake")

with DAG("lakealbum_spark_submit", schedule=None, start_date=datetime(2026, 1, 1), catchup=False, max_active_runs=1):
    SparkSubmitOperator(
        task_id="trips",
        application=str(HOME / "jobs/cluster_location_dates.py"),
        application_args=[
            *("--lake", LAKE, "--config", str(HOME / "conf/location-dates.yaml")),
            *("--run-id", "{{ dag.dag_id }}.{{ task.task_id }}.{{ ti.id }}"),  # each try has an id of its own
        ],
        py_files=os.environ.get("LAKEALBUM_ZIP", str(HOME / "lakealbum.zip")),
        jars=",".join(map(str, sorted(JARS.glob("*.jar")))),
        properties_file=str(HOME / "conf/spark-defaults.conf"),
        conf={  # whose child the run is in lineage
            "spark.openlineage.parentJobNamespace": os.environ.get("OPENLINEAGE_NAMESPACE", "default"),
            "spark.openlineage.parentJobName": "{{ dag.dag_id }}.{{ task.task_id }}",
            "spark.openlineage.parentRunId": "{{ ti.id }}",
        },
        pool="lakealbum",  # one slot: the jobs of a lake run one after the other
        retries=2,
    )
