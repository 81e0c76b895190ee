"""Whenever files came or changed: trips, for groups of datasets, each group a task that is tried again by itself."""

from __future__ import annotations

import os
from datetime import datetime

from airflow.sdk import DAG, task
from lakealbum_airflow import LakeAlbumOperator, table_asset

LAKE = os.environ.get("LAKEALBUM_LAKE", "lake")
SHARED = {
    "lake": LAKE,
    "executable": os.environ.get("LAKEALBUM_EXECUTABLE", "lakealbum"),
    "pool": "lakealbum",  # one slot: the jobs of a lake run one after the other
    "retries": 2,
}
DATASETS_A_TASK = 1000

with DAG(
    "lakealbum_on_new_files",
    schedule=table_asset(LAKE, "files"),
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
):
    datasets = LakeAlbumOperator(
        task_id="datasets", arguments="query files --aggregate group:DatasetName --max-results 2000", **SHARED
    )

    @task
    def groups(counted: dict) -> list[list[str]]:
        """The datasets that have files, so many a group."""
        [found] = counted["Aggregations"]
        names = [group["Value"] for group in found["Groups"]]
        return [names[start : start + DATASETS_A_TASK] for start in range(0, len(names), DATASETS_A_TASK)]

    LakeAlbumOperator.partial(
        task_id="trips", arguments="cluster location-date --config conf/location-dates.yaml", **SHARED
    ).expand(datasets=groups(datasets.output))
