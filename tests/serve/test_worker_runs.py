"""What the worker runs: the clusterings of a dataset without files, which need no Spark, through to their tasks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from catalog.commits import append
from catalog.figures import FigureQuery, query_figures
from catalog.lake import Lake, Scope
from catalog.projects import put_dataset
from catalog.requests import Piece, append_asked, read_pending
from catalog.tasks import get_task
from schemas.settings import LakeSettings
from schemas.tasks import TASKS
from serve.worker import Work
from tests.catalog.conftest import NOON, LakeMaker
from tests.lakes import new_lake

TRIPS = {
    "DateOptions": {"GapDays": 1, "MinDays": 1, "MaxDays": 15},
    "LocationOptions": {"LocationDateClusterLevels": ["city"]},
    "Tags": {"k": "v"},
    "UserData": "mine",
}


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    new_lake(str(tmp_path / "lake"), LakeSettings())
    made = Lake(str(tmp_path / "lake"))
    for name in ("ada", "eve"):
        put_dataset(made, {"project_name": "p", "dataset_name": name, "create_time": NOON, "update_time": NOON})
    return made


def ask(lake: Lake, operation: str, task_type: str, dataset: str, parameters: dict[str, object]) -> str:
    """Accepts a request as the server does."""
    task_id = f"{task_type}-{dataset}"
    task = {
        "task_id": task_id, "task_type": task_type, "project_name": "p", "dataset_names": [dataset], "event_id": "E",
        "request_id": "R", "run_id": "x", "status": "Running", "progress": 0, "tags": parameters.get("Tags"),
        "user_data": parameters.get("UserData"), "start_time": NOON, "update_time": NOON,
    }  # fmt: skip
    append(lake.root, TASKS, [task])
    append_asked(lake.root, [Piece(operation, "p", dataset, "R", "E", parameters, task_id=task_id)], NOON)
    return task_id


@pytest.mark.long
@pytest.mark.parametrize(
    ("operation", "task_type", "parameters"),
    [
        ("CreateLocationDateClusteringTask", "LocationDateClustering", TRIPS),
        ("CreateSimilarImageClusteringTask", "SimilarImageClustering", {"Tags": {"k": "v"}, "UserData": "mine"}),
        ("CreateFigureClusteringTask", "FaceClustering", {"Tags": {"k": "v"}, "UserData": "mine"}),
    ],
)
def test_clusterings_of_two_datasets_are_one_run_and_two_tasks(
    lake: Lake, operation: str, task_type: str, parameters: dict[str, object]
) -> None:
    tasks = [ask(lake, operation, task_type, dataset, parameters) for dataset in ("ada", "eve")]
    work = Work(lake.root)
    assert work.do_some()
    for task_id in tasks:
        task = get_task(lake, task_id)
        assert (task["status"], task["progress"], task["tags"], task["user_data"]) == (
            "Succeeded",
            100,
            {"k": "v"},
            "mine",
        )
        assert task["start_time"] == NOON
    assert lake.count("runs", "runs") == 1
    assert read_pending(lake, 10) == []
    assert not work.do_some()


def test_work_that_is_refused_fails_and_the_rest_goes_on(lake: Lake) -> None:
    bad = ask(lake, "CreateFigureClustersMergingTask", "FigureClustersMerging", "ada", {"To": "x", "Froms": ["y"]})
    good = ask(lake, "CreateFigureClusteringTask", "FaceClustering", "eve", {})
    work = Work(lake.root)
    while work.do_some():
        pass
    task = get_task(lake, bad)
    assert (task["status"], task["code"]) == ("Failed", "ResourceNotFound")
    assert get_task(lake, good)["status"] == "Succeeded"
    assert read_pending(lake, 10) == []


@pytest.mark.long
def test_people_who_are_merged_are_one_without_another_clustering(lake: Lake) -> None:
    maker, bases = LakeMaker(Path(lake.root), "p"), np.eye(16)
    for base, who in zip(bases, "xy", strict=False):
        faces = {f"{who}{n}": list(map(float, base + 0.02 * bases[10 + n])) for n in range(4)}
        maker.insert("figures", [maker.figure(name, face) for name, face in faces.items()])
        maker.insert("files", [maker.file(f"oss://b/{name}.jpg") for name in faces])
    ask(lake, "CreateFigureClusteringTask", "FaceClustering", "ada", {})
    work = Work(lake.root)
    assert work.do_some()
    people = query_figures(lake, FigureQuery(Scope("p", ("ada",)))).rows
    assert [person["faces"] for person in people] == [4, 4]
    into, away = (person["object_id"] for person in people)
    ask(lake, "CreateFigureClustersMergingTask", "FigureClustersMerging", "ada", {"To": into, "Froms": [away]})
    assert work.do_some()
    (person,) = query_figures(lake, FigureQuery(Scope("p", ("ada",)))).rows
    assert (person["object_id"], person["faces"]) == (into, 8)


def test_a_deleted_dataset_leaves_nothing_behind(lake: Lake) -> None:
    maker = LakeMaker(lake.root, "p")
    for dataset in ("ada", "eve"):
        maker.insert("location_date_clusters", [maker.cluster(1, dataset)])
        maker.insert("location_date_segments", [maker.segment(1, dataset)])
        maker.insert("files", [maker.file("a", dataset, deleted_time=NOON)])
    append_asked(lake.root, [Piece("DeleteDataset", "p", "ada", "R", "E", {})], NOON)
    assert Work(lake.root).do_some()
    for table in ("location_date_clusters", "location_date_segments", "files"):
        assert [row["dataset_name"] for row in lake.read(f"SELECT dataset_name FROM {table}", table)] == ["eve"]
    assert lake.count("datasets", "datasets") == 2
