"""Checks of the examples in a real Airflow, for .ci/airflow.sh: the scheduler with a killed task, then `dag.test()`.

`check.py scheduled URL` speaks to an Airflow that runs; `check.py tested FOLDER` runs the DAGs of a folder itself.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

NIGHTLY, ON_NEW_FILES = "lakealbum_nightly", "lakealbum_on_new_files"
EXAMPLES = {NIGHTLY, "lakealbum_weekly", ON_NEW_FILES, "lakealbum_spark_submit"}
PATIENCE = float(os.environ.get("LAKEALBUM_CI_PATIENCE", "120"))
"""Seconds that each step may take."""


def wait_for(what: str, look: Callable[[], Any], pause: float = 2.0) -> Any:
    """What `look` finds, as soon as it finds something."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        if found := look():
            return found
        time.sleep(pause)
    raise SystemExit(f"airflow: {what}: not within {PATIENCE:.0f} s")


def lakealbum(*words: str) -> Any:
    """What LakeAlbum's command prints."""
    command = [os.environ["LAKEALBUM_EXECUTABLE"], *words, "--lake", os.environ["LAKEALBUM_LAKE"], "--json"]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def check_trip() -> None:
    """Three pictures of 4, 5 and 7 March near Hangzhou are one trip, whatever was killed."""
    [trip] = lakealbum("query", "location-date", "--level", "city")["LocationDateClusters"]
    assert (trip["Days"], trip["FilesCount"], trip["DatasetName"]) == (4, 3, "ada"), trip


class Airflow:
    """The API of an Airflow in which everybody is an admin."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.token = wait_for("its API answers", self._log_in)

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """What a call of the API answers."""
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/api/v2/{path}", data, headers, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def runs(self, dag: str) -> list[Any]:
        """The runs of a DAG."""
        found: list[Any] = self.call("GET", f"dags/{dag}/dagRuns")["dag_runs"]
        return found

    def instances(self, dag: str, run: str) -> list[Any]:
        """The instances of the tasks of a run."""
        found: list[Any] = self.call("GET", f"dags/{dag}/dagRuns/{run}/taskInstances")["task_instances"]
        return found

    def wait_for_success(self, dag: str) -> Any:
        """The run of a DAG that succeeded; fails where one failed."""

        def look() -> Any:
            runs = self.runs(dag)
            assert all(run["state"] != "failed" for run in runs), runs
            return next((run for run in runs if run["state"] == "success"), None)

        return wait_for(f"a run of {dag} succeeds", look)

    def _log_in(self) -> Any:
        try:
            with urllib.request.urlopen(f"{self.url}/auth/token", timeout=10) as answer:
                return json.load(answer)["access_token"]
        except OSError:
            return None


def kill_task(verb: str) -> None:
    """kill -9 for the task process that runs a verb of LakeAlbum, once the verb's run is under way."""
    [job, *_] = wait_for("the task's process", lambda: [pid for pid in _processes() if _runs(pid, verb)], 0.2)
    wait_for("the run of the task is under way", lambda: _is_running(verb), 0.2)
    parent = int(Path(f"/proc/{job}/stat").read_text().rpartition(")")[2].split()[1])
    assert parent > 1, f"process {job} has lost its task"
    os.kill(parent, signal.SIGKILL)


def _is_running(verb: str) -> bool:
    """Whether the task of a verb's run is written down; where there is no lake yet, it is not."""
    command = [os.environ["LAKEALBUM_EXECUTABLE"], "tasks", "list", "--status", "Running", "--json"]
    done = subprocess.run([*command, "--lake", os.environ["LAKEALBUM_LAKE"]], capture_output=True, text=True)
    return done.returncode == 0 and any(verb in task["TaskType"].lower() for task in json.loads(done.stdout)["Tasks"])


def _processes() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _runs(pid: int, verb: str) -> bool:
    """Whether a process is a verb's, of this lake."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return False
    return {verb, "jobs.cli.main", os.environ["LAKEALBUM_LAKE"]} <= {*words}


def check_parents(instances: dict[str, str]) -> None:
    """Each run told a collector that its parent is its task of Airflow: `instances` is id -> `dag.task`."""
    lines = Path(os.environ["OPENLINEAGE__TRANSPORT__LOG_FILE_PATH"]).read_text(encoding="utf-8").splitlines()
    told = [json.loads(line) for line in lines]
    seen: set[str] = set()
    for event in told:
        facets = event["run"]["facets"]
        [run_id] = [tag["value"] for tag in facets["tags"]["tags"] if tag["key"] == "lakealbum.run_id"]
        name, _, instance = run_id.rpartition(".")
        assert (facets["parent"]["job"]["name"], facets["parent"]["run"]["runId"]) == (name, instance), event
        seen.add(instance)
        assert instances.get(instance, name) == name, event  # the try that was killed is not among them
    assert seen >= instances.keys(), (seen, instances)
    print(f"airflow: {len(told)} events of lineage, each with its task as parent")


def check_scheduled(url: str) -> None:
    """The nightly DAG, whose first task is killed, and the DAG that its new files start."""
    airflow = Airflow(url)
    for dag in (NIGHTLY, ON_NEW_FILES):
        wait_for(
            f"{dag} is there", lambda dag=dag: any(d["dag_id"] == dag for d in airflow.call("GET", "dags")["dags"])
        )
    assert airflow.call("GET", "importErrors")["import_errors"] == []
    for dag in (ON_NEW_FILES, NIGHTLY):
        airflow.call("PATCH", f"dags/{dag}", {"is_paused": False})
    wait_for("a run of the nightly DAG", lambda: airflow.runs(NIGHTLY))
    kill_task("sync")
    run = airflow.wait_for_success(NIGHTLY)
    nightly = airflow.instances(NIGHTLY, run["dag_run_id"])
    [sync] = [instance for instance in nightly if instance["task_id"] == "sync"]
    assert sync["try_number"] == 2, sync
    ended = [task for task in lakealbum("tasks", "list")["Tasks"] if task["TaskType"] == "BindingSync"]
    assert {(task["Status"], task.get("Code")) for task in ended} == {("Failed", "Cancelled"), ("Succeeded", None)}, (
        ended
    )
    assert {task["Tags"]["airflow.try_number"] for task in ended} == {"1", "2"}, ended
    check_trip()
    print("airflow: a task was killed, its job ended as Cancelled, the retry made the right trip")
    events = airflow.call("GET", "assets/events?limit=100")["asset_events"]
    told = {event["uri"].rpartition("/")[2]: event["extra"] for event in events}
    assert told["files"]["rows"] == {"inserted": 3}, told
    assert told["location_date_clusters"]["rows"]["inserted"] > 0, told
    assert all(extra["run_id"].startswith("lakealbum_") and extra["version"] > 0 for extra in told.values()), told
    run = airflow.wait_for_success(ON_NEW_FILES)
    check_trip()
    trips = [each for each in airflow.instances(ON_NEW_FILES, run["dag_run_id"]) if each["task_id"] == "trips"]
    check_parents({each["id"]: f"{each['dag_id']}.{each['task_id']}" for each in nightly + trips})
    print(f"airflow: {len(events)} asset events of {len(told)} tables; new files started {ON_NEW_FILES}")


def check_tested(folder: str) -> None:
    """All DAGs of a folder are imported, have tasks in the pool alone, and run."""
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(folder)
    assert bag.import_errors == {}, bag.import_errors
    assert bag.dags.keys() >= EXAMPLES, sorted(bag.dags)
    for name, dag in sorted(bag.dags.items()):
        ours = [each for each in dag.tasks if each.task_id != "groups"]
        assert {each.pool for each in ours} == {"lakealbum"}, name
        started = time.monotonic()
        run = dag.test()
        wanted = "failed" if name == "bad_usage" else "success"
        states = {f"{ti.task_id}[{ti.map_index}]": (str(ti.state), ti.try_number) for ti in run.get_task_instances()}
        assert run.state == wanted, (name, run.state, states)
        if name == "bad_usage":
            assert states == {"trips[-1]": ("failed", 1)}, states  # not tried again
        print(f"airflow: dag.test() of {name}: {wanted}, {time.monotonic() - started:.0f} s", flush=True)
    check_trip()
    check_parents({})


if __name__ == "__main__":
    {"scheduled": check_scheduled, "tested": check_tested}[sys.argv[1]](sys.argv[2])
