"""Bindings through IMM's own SDK, and what the worker makes of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from alibabacloud_imm20200930 import models as imm
from alibabacloud_tea_openapi.exceptions import AlibabaCloudException

from catalog.bindings import bind, change_binding, list_bindings
from catalog.lake import Lake, Scope
from catalog.projects import put_dataset
from catalog.requests import append_asked, read_pending
from schemas.settings import LakeSettings
from serve.operations.bindings import FORMAT
from serve.queue import Queue, Worker, sync_piece
from serve.sources import Sources
from serve.worker import Work
from tests.lakes import new_lake
from tests.serve.conftest import Endpoint, Running, make_endpoint

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
HERE = {"project_name": "p", "dataset_name": "d"}


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """A server that may read one folder, with the datasets d and e of project p."""
    folder = tmp_path_factory.mktemp("bindings")
    (folder / "photos").mkdir()
    app, made = make_endpoint(folder)
    app.door.queue.sources = Sources.of([str(folder / "photos")])
    running = Running.start(app)
    found = replace(made, address=f"127.0.0.1:{running.port}")
    found.client().create_project(imm.CreateProjectRequest(project_name="p", dataset_max_bind_count=3))
    for name in "de":
        found.client().create_dataset(imm.CreateDatasetRequest(project_name="p", dataset_name=name))
    yield found
    running.stop()


def ask(endpoint: Endpoint, operation: str, **fields: Any) -> Any:
    request = getattr(imm, "".join(map(str.capitalize, operation.split("_"))) + "Request")
    return getattr(endpoint.client(), operation)(request(**fields)).body


def refused(endpoint: Endpoint, operation: str, **fields: Any) -> str:
    with pytest.raises(AlibabaCloudException) as error:
        ask(endpoint, operation, **fields)
    return str(error.value.code)


@pytest.mark.long
def test_a_binding_from_its_making_to_its_end(endpoint: Endpoint) -> None:
    made = ask(endpoint, "create_binding", **HERE, uri="oss://bucket").binding
    assert (made.project_name, made.dataset_name, made.uri) == ("p", "d", "oss://bucket")
    assert (made.state, made.phase, made.create_time) == ("Ready", "FullScanning", made.update_time)
    assert refused(endpoint, "create_binding", **HERE, uri="oss://bucket/") == "ResourceAlreadyExists"
    assert ask(endpoint, "get_binding", **HERE, uri="oss://bucket").binding.uri == "oss://bucket"
    assert ask(endpoint, "get_binding", project_name="p", uri="oss://bucket").binding.dataset_name == "d"
    dataset = ask(endpoint, "get_dataset", **HERE, with_statistics=True).dataset
    assert dataset.bind_count == 1
    assert refused(endpoint, "delete_dataset", **HERE) == "StatusConflict"
    (piece,) = [each for each in read_pending(endpoint.lake, 10) if each.operation == "SyncBinding"]
    assert (piece.dataset_name, piece.uri) == ("d", None)
    ask(endpoint, "create_binding", project_name="p", dataset_name="e", uri="oss://bucket")
    assert refused(endpoint, "get_binding", project_name="p", uri="oss://bucket") == "InvalidArgument"
    assert refused(endpoint, "delete_binding", project_name="p", uri="oss://bucket") == "InvalidArgument"
    for _ in range(2):
        assert ask(endpoint, "delete_binding", **HERE, uri="oss://bucket").request_id
    assert refused(endpoint, "get_binding", **HERE, uri="oss://bucket") == "ResourceNotFound"
    assert ask(endpoint, "list_bindings", **HERE).bindings == []
    ask(endpoint, "delete_binding", project_name="p", uri="oss://bucket")


@pytest.mark.long
def test_lists_of_bindings_come_in_pages(endpoint: Endpoint) -> None:
    for name in "cab":
        ask(endpoint, "create_binding", **HERE, uri=f"oss://{name}")
    assert refused(endpoint, "create_binding", **HERE, uri="oss://d") == "LimitExceededError"
    first = ask(endpoint, "list_bindings", project_name="p", max_results=2)
    assert [each.uri for each in first.bindings] == ["oss://a", "oss://b"]
    rest = ask(endpoint, "list_bindings", project_name="p", max_results=2, next_token=first.next_token)
    assert ([each.uri for each in rest.bindings], rest.next_token) == (["oss://c"], "")
    assert refused(endpoint, "list_bindings", **HERE, next_token=first.next_token) == "InvalidArgument"
    assert [each.uri for each in ask(endpoint, "list_bindings", **HERE, uri="oss://b/").bindings] == ["oss://b"]
    assert ask(endpoint, "list_bindings", project_name="p", dataset_name="e").bindings == []
    for name in "cab":
        ask(endpoint, "delete_binding", **HERE, uri=f"oss://{name}")


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({}, "MissingURI"),
        ({"dataset_name": None, "uri": "oss://b"}, "MissingDatasetName"),
        ({"dataset_name": "none", "uri": "oss://b"}, "ResourceNotFound"),
        ({"uri": "oss://"}, "InvalidArgument"),
        ({"uri": "oss://b/../c"}, "InvalidArgument"),
        ({"uri": "file:///etc"}, "InvalidArgument"),
        ({"uri": "/etc"}, "InvalidArgument"),
        ({"uri": "http://169.254.169.254/"}, "InvalidArgument"),
        ({"uri": "s3://bucket"}, "InvalidArgument"),
    ],
)
def test_what_cannot_be_bound(endpoint: Endpoint, asked: dict[str, Any], code: str) -> None:
    assert refused(endpoint, "create_binding", **{**HERE, **asked}) == code


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    new_lake(str(tmp_path / "lake"), LakeSettings())
    made = Lake(str(tmp_path / "lake"))
    put_dataset(made, {"project_name": "p", "dataset_name": "d", "create_time": NOON, "update_time": NOON})
    (tmp_path / "photos").mkdir()
    return made


def test_the_worker_follows_what_it_may_read_and_says_what_it_may_not(lake: Lake, tmp_path: Path) -> None:
    scope = Scope("p", ("d",))
    rows = [bind(lake.root, scope, uri, FORMAT) for uri in (str(tmp_path / "photos"), "oss://bucket")]
    append_asked(lake.root, [sync_piece(row, "R") for row in rows], NOON)
    work = Work(lake.root, sources=Sources.of([str(tmp_path / "photos")]))
    assert work.do_some()
    other, followed = sorted(list_bindings(lake, scope), key=lambda row: row["source"] == rows[0]["source"])
    assert (followed["phase"], followed["reason"], followed["state"]) == ("IncrementalScanning", None, "Ready")
    assert "may not read" in other["reason"]
    assert read_pending(lake, 10) == []


@pytest.mark.long
def test_what_may_be_read_is_asked_for_again_and_not_twice(lake: Lake, tmp_path: Path) -> None:
    scope, sources = Scope("p", ("d",)), Sources((str(tmp_path),), timedelta(0))
    for name in ("photos", "stopped"):
        bind(lake.root, scope, str(tmp_path / name), FORMAT)
    bind(lake.root, scope, "oss://bucket", FORMAT)
    change_binding(lake, list_bindings(lake, scope)[1], state="Stopped")
    queue = Queue(lake, Worker(lake.root), sources)
    for _ in range(2):
        queue._sync()
        if not queue._asked.empty():
            queue._commit([item for item in queue._next() if item])
    (piece,) = read_pending(lake, 10)
    (photos,) = [row for row in list_bindings(lake, scope) if row["source"].endswith("photos")]
    assert piece.parameters == {"BindingId": photos["binding_id"]}
