"""Every night: what changed in the sources, its places, and all clusterings; once a week what keeps the lake in shape.

Datasets follow their sources (`lakealbum bind`). Without bound sources, put `index SOURCE` in place of `sync`.
LAKEALBUM_LAKE, and if need be LAKEALBUM_EXECUTABLE, are set for the scheduler, the DAG processor and the workers.
"""

from __future__ import annotations

import os
from datetime import datetime

from airflow.sdk import DAG, chain
from lakealbum_airflow import LakeAlbumOperator

SHARED = {
    "lake": os.environ.get("LAKEALBUM_LAKE", "lake"),
    "executable": os.environ.get("LAKEALBUM_EXECUTABLE", "lakealbum"),
    "pool": "lakealbum",  # one slot: the jobs of a lake run one after the other
    "retries": 2,
}
SINCE = datetime(2026, 1, 1)

with DAG("lakealbum_nightly", schedule="0 2 * * *", start_date=SINCE, catchup=False, max_active_runs=1):
    chain(
        LakeAlbumOperator(task_id="sync", arguments="sync", **SHARED),
        LakeAlbumOperator(task_id="locate", arguments="locate", **SHARED),
        LakeAlbumOperator(
            task_id="trips", arguments="cluster location-date --config conf/location-dates.yaml", **SHARED
        ),
        LakeAlbumOperator(task_id="similar_images", arguments="cluster similar-images", **SHARED),
        LakeAlbumOperator(task_id="people", arguments="cluster figures", **SHARED),
    )

with DAG("lakealbum_weekly", schedule="0 5 * * 0", start_date=SINCE, catchup=False, max_active_runs=1):
    LakeAlbumOperator(task_id="maintain", arguments="maintain", **SHARED)
