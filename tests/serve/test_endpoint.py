"""The endpoint through IMM's own SDK, unmodified: synchronous, asynchronous and generic."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from alibabacloud_imm20200930 import models as imm
from alibabacloud_tea_openapi import models as openapi
from alibabacloud_tea_openapi.client import Client as OpenApiClient
from alibabacloud_tea_openapi.exceptions import AlibabaCloudException
from darabonba.runtime import RuntimeOptions

from catalog.requests import read_pending
from tests.serve.conftest import Endpoint

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

RUNTIME = RuntimeOptions()


def new_name(prefix: str = "p") -> str:
    return f"{prefix}-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def project(endpoint: Endpoint) -> str:
    name = new_name()
    endpoint.client().create_project(imm.CreateProjectRequest(project_name=name))
    return name


@pytest.fixture
def dataset(endpoint: Endpoint, project: str) -> str:
    endpoint.client().create_dataset(imm.CreateDatasetRequest(project_name=project, dataset_name="d"))
    return "d"


def refusal(call: Callable[..., Any], *arguments: Any) -> AlibabaCloudException:
    """The exception that a call ends with; every one has the five fields."""
    with pytest.raises(AlibabaCloudException) as refused:
        call(*arguments)
    error: Any = refused.value
    assert set(error.data) >= {"Code", "Message", "RequestId", "HostId", "Recommend", "statusCode"}
    assert error.data["Code"] == error.code
    assert error.data["Recommend"].startswith("https://")
    return error


def status(error: Any) -> int:
    return int(error.data["statusCode"])


@pytest.mark.long
def test_projects_and_datasets(endpoint: Endpoint) -> None:
    client, name = endpoint.client(), new_name()
    tags = [imm.CreateProjectRequestTag(key="team", value="photos")]
    request = imm.CreateProjectRequest(project_name=name, description="first", tag=tags, dataset_max_bind_count=3)
    made = client.create_project(request).body
    assert made.request_id == made.request_id.upper()
    project = made.project
    assert (project.description, project.dataset_max_bind_count, project.service_role) == (
        "first",
        3,
        "AliyunIMMDefaultRole",
    )
    assert [(tag.tag_key, tag.tag_value) for tag in project.tags] == [("team", "photos")]
    assert refusal(client.create_project, request).code == "ResourceAlreadyExists"
    client.update_project(imm.UpdateProjectRequest(project_name=name, template_id="Official:AllFunction"))
    project = client.get_project(imm.GetProjectRequest(project_name=name, with_statistics=True)).body.project
    assert (project.description, project.template_id) == ("first", "Official:AllFunction")
    assert (project.file_count, project.total_file_size, project.dataset_count) == (0, 0, 0)

    workflow = [imm.WorkflowParameter(name="a", value="b")]
    asked = imm.CreateDatasetRequest(project_name=name, dataset_name="d", workflow_parameters=workflow)
    dataset = client.create_dataset(asked).body.dataset
    assert (dataset.template_id, dataset.dataset_max_bind_count) == ("Official:AllFunction", 3)
    assert [(each.name, each.value) for each in dataset.workflow_parameters] == [("a", "b")]
    assert refusal(client.create_dataset, asked).code == "ResourceAlreadyExists"
    client.update_dataset(imm.UpdateDatasetRequest(project_name=name, dataset_name="d", description="changed"))
    found = client.get_dataset(imm.GetDatasetRequest(project_name=name, dataset_name="d", with_statistics=True))
    dataset = found.body.dataset
    assert (dataset.description, dataset.file_count, dataset.bind_count) == ("changed", 0, 0)
    assert dataset.workflow_parameters[0].name == "a"
    assert refusal(client.delete_project, imm.DeleteProjectRequest(project_name=name)).code == "StatusConflict"
    client.delete_dataset(imm.DeleteDatasetRequest(project_name=name, dataset_name="d"))
    gone = refusal(client.get_dataset, imm.GetDatasetRequest(project_name=name, dataset_name="d"))
    assert (gone.code, status(gone)) == ("ResourceNotFound", 404)
    assert gone.data["Message"] == "The specified resource Dataset is not found. Asked for was d."
    client.delete_dataset(imm.DeleteDatasetRequest(project_name=name, dataset_name="d"))
    for _ in range(2):
        client.delete_project(imm.DeleteProjectRequest(project_name=name))
    assert refusal(client.get_project, imm.GetProjectRequest(project_name=name)).code == "ResourceNotFound"


def test_lists_come_in_pages_by_name(endpoint: Endpoint, project: str) -> None:
    client = endpoint.client()
    for name in ("b", "a2", "a1", "c"):
        client.create_dataset(imm.CreateDatasetRequest(project_name=project, dataset_name=name))
    seen, token = [], None
    while True:
        request = imm.ListDatasetsRequest(project_name=project, max_results=3, next_token=token)
        page = client.list_datasets(request).body
        seen.append([dataset.dataset_name for dataset in page.datasets])
        token = page.next_token
        if not token:
            break
    assert seen == [["a1", "a2", "b"], ["c"]]
    of_prefix = client.list_datasets(imm.ListDatasetsRequest(project_name=project, prefix="a")).body
    assert [dataset.dataset_name for dataset in of_prefix.datasets] == ["a1", "a2"]
    first = client.list_datasets(imm.ListDatasetsRequest(project_name=project, max_results=1)).body.next_token
    for other in (
        imm.ListDatasetsRequest(project_name=project, prefix="a", next_token=first),
        imm.ListDatasetsRequest(project_name=project, next_token="made-up"),
    ):
        assert refusal(client.list_datasets, other).code == "InvalidArgument"
    listed = client.list_projects(imm.ListProjectsRequest(prefix=project)).body.projects
    assert [each.project_name for each in listed] == [project]


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (imm.CreateProjectRequest(), "MissingProjectName"),
        (imm.CreateProjectRequest(project_name=""), "MissingProjectName"),
        (imm.CreateProjectRequest(project_name="1p"), "InvalidArgument"),
        (imm.CreateProjectRequest(project_name="p" * 129), "InvalidArgument"),
        (imm.CreateProjectRequest(project_name="p", description="x" * 257), "InvalidArgument"),
        (imm.CreateProjectRequest(project_name="p", dataset_max_bind_count=11), "InvalidArgument"),
        (imm.CreateProjectRequest(project_name="p", project_max_dataset_count=0), "InvalidArgument"),
    ],
)
def test_wrong_parameters(endpoint: Endpoint, request_: imm.CreateProjectRequest, code: str) -> None:
    error = refusal(endpoint.client().create_project, request_)
    assert (error.code, status(error)) == (code, 400)


def test_the_asynchronous_client(endpoint: Endpoint, project: str) -> None:
    async def run() -> None:
        client = endpoint.client()
        request = imm.CreateDatasetRequest(project_name=project, dataset_name="d", description="a+b*c ~:/杭,;")
        made = await client.create_dataset_async(request)
        assert made.body.dataset.description == "a+b*c ~:/杭,;"
        with pytest.raises(AlibabaCloudException, match="ResourceNotFound"):
            await client.get_dataset_async(imm.GetDatasetRequest(project_name=project, dataset_name="none"))
        batch = imm.BatchGetFileMetaRequest(project_name=project, dataset_name="d", uris=["oss://b/a b*(c).jpg"])
        assert (await client.batch_get_file_meta_async(batch)).body.files == []

    asyncio.run(run())


def test_an_endpoint_with_its_scheme_has_it_in_the_host_header(endpoint: Endpoint, project: str) -> None:
    client = endpoint.client(endpoint=f"http://{endpoint.address}", protocol=None)
    assert client.get_project(imm.GetProjectRequest(project_name=project)).body.project.project_name == project


def test_of_many_who_take_a_name_at_once_one_has_it(endpoint: Endpoint, project: str) -> None:
    def take(_: int) -> str:
        request = imm.CreateDatasetRequest(project_name=project, dataset_name="wanted")
        try:
            return str(endpoint.client().create_dataset(request).body.dataset.dataset_name)
        except AlibabaCloudException as error:
            return str(error.code)

    with ThreadPoolExecutor(8) as threads:
        took = list(threads.map(take, range(8)))
    assert sorted(took) == ["ResourceAlreadyExists"] * 7 + ["wanted"]


def generic(action: str) -> openapi.Params:
    return openapi.Params(
        action=action, version="2020-09-30", protocol="HTTP", method="POST", auth_type="AK", style="RPC",
        pathname="/", req_body_type="json", body_type="json",
    )  # fmt: skip


def test_generic_calls(endpoint: Endpoint, project: str) -> None:
    client = OpenApiClient(endpoint.config())
    queries = {"ProjectName": project, "DatasetName": "d", "Description": "杭州 a+b"}
    made = client.call_api(generic("CreateDataset"), openapi.OpenApiRequest(query=queries), RUNTIME)
    assert made["body"]["Dataset"]["Description"] == "杭州 a+b"
    body = {"ProjectName": project, "DatasetName": "e", "WorkflowParameters": [{"Name": "n", "Value": "v"}]}
    made = client.call_api(generic("CreateDataset"), openapi.OpenApiRequest(body=body), RUNTIME)
    assert made["body"]["Dataset"]["WorkflowParameters"] == [{"Name": "n", "Value": "v"}]
    twice = openapi.OpenApiRequest(query=queries, body={"ProjectName": "another"})
    assert refusal(client.call_api, generic("GetDataset"), twice, RUNTIME).code == "InvalidArgument"


def test_get_is_taken_but_where_imm_does_not(endpoint: Endpoint, project: str) -> None:
    client = OpenApiClient(endpoint.config())
    by_get = generic("GetProject")
    by_get.method = "GET"
    queries = {"ProjectName": project, "DatasetName": "d", "WithStatistics": "true"}
    found = client.call_api(by_get, openapi.OpenApiRequest(query=queries), RUNTIME)
    assert found["body"]["Project"]["FileCount"] == 0
    deletion = generic("DeleteDataset")
    deletion.method = "GET"
    refused = refusal(client.call_api, deletion, openapi.OpenApiRequest(query=queries), RUNTIME)
    assert (refused.code, status(refused)) == ("UnsupportedHTTPMethod", 405)


def test_other_signatures_of_the_sdk_are_refused(endpoint: Endpoint, project: str) -> None:
    request = imm.GetProjectRequest(project_name=project)
    old = endpoint.client(signature_algorithm="v2")
    assert refusal(old.get_project, request).code == "IncompleteSignature"
    with_token = endpoint.client(security_token="token", type="sts")
    assert refusal(with_token.get_project, request).code == "InvalidAccessKeyId.NotFound"


def test_a_connection_stays_usable_after_refusals(endpoint: Endpoint) -> None:
    host, port = endpoint.address.split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    for method, target, body in (
        ("POST", "/?" + "x" * 140_000, b""),
        ("POST", "/", b"x" * (9 << 20)),
        ("PUT", "/", b"abc"),
        ("GET", "/healthz", b""),
    ):
        connection.request(method, target, body)
        used = connection.sock
        answer = connection.getresponse()
        assert json.loads(answer.read())
        assert connection.sock is used is not None
    assert answer.status == 200
    connection.close()


def test_unknown_and_unsupported_operations_and_versions(endpoint: Endpoint) -> None:
    client = OpenApiClient(endpoint.config())
    nothing = openapi.OpenApiRequest()
    unknown = refusal(client.call_api, generic("MakeCoffee"), nothing, RUNTIME)
    assert (unknown.code, status(unknown)) == ("InvalidApi.NotFound", 404)
    assert refusal(client.call_api, generic("CreateTrigger"), nothing, RUNTIME).code == "UnsupportedOperation"
    old = generic("GetProject")
    old.version = "2017-09-06"
    assert refusal(client.call_api, old, nothing, RUNTIME).code == "NoSuchVersion"


def test_keys_that_are_wrong_unknown_or_disabled(endpoint: Endpoint, project: str) -> None:
    from serve.keys import disable_key

    request = imm.GetProjectRequest(project_name=project)
    key = endpoint.new_key("AliyunIMMFullAccess")
    client = endpoint.client(key)
    assert client.get_project(request).body.project.project_name == project
    disable_key(endpoint.credentials, key.key_id)
    assert refusal(client.get_project, request).code == "InvalidAccessKeyId.Inactive"
    wrong = endpoint.config()
    wrong.access_key_secret = "wrong"
    from alibabacloud_imm20200930.client import Client

    error = refusal(Client(wrong).get_project, request)
    assert (error.code, status(error)) == ("SignatureDoesNotMatch", 400)
    wrong = endpoint.config()
    wrong.access_key_id = "nobody"
    assert refusal(Client(wrong).get_project, request).code == "InvalidAccessKeyId.NotFound"
    secrets = {endpoint.key.secret, key.secret}
    assert not any(secret in endpoint.log.getvalue() for secret in secrets)


def test_policies_come_before_existence(endpoint: Endpoint, project: str, dataset: str) -> None:
    own = f"acs:imm:*:*:project/{project}"
    reader = endpoint.client(
        endpoint.new_key({"Version": "1", "Statement": [{"Effect": "Allow", "Action": "imm:Get*", "Resource": own}]})
    )
    assert reader.get_project(imm.GetProjectRequest(project_name=project)).body.project
    for request in (
        imm.GetDatasetRequest(project_name=project, dataset_name=dataset),
        imm.GetDatasetRequest(project_name=project, dataset_name="no-such-dataset"),
        imm.GetDatasetRequest(project_name="no-such-project", dataset_name="d"),
    ):
        error = refusal(reader.get_dataset, request)
        assert (error.code, status(error)) == ("Forbidden.RAM", 403)
    detail = error.data["AccessDeniedDetail"]
    assert (detail["AuthAction"], detail["NoPermissionType"]) == ("imm:GetDataset", "ImplicitDeny")
    assert refusal(reader.list_projects, imm.ListProjectsRequest()).code == "Forbidden.RAM"
    malformed = refusal(reader.get_dataset, imm.GetDatasetRequest(project_name=project))
    assert malformed.code == "MissingDatasetName"
    read_only = endpoint.client(endpoint.new_key("AliyunIMMReadOnlyAccess"))
    assert read_only.list_datasets(imm.ListDatasetsRequest(project_name=project)).body.datasets
    assert refusal(read_only.delete_project, imm.DeleteProjectRequest(project_name=project)).code == "Forbidden.RAM"


def location_date_request(project: str, dataset: str, **more: Any) -> imm.CreateLocationDateClusteringTaskRequest:
    days = {"gap_days": 1, "min_days": 1, "max_days": 15, **more.pop("days", {})}
    levels = more.pop("levels", ['["country", "province"]'])
    return imm.CreateLocationDateClusteringTaskRequest(
        project_name=project,
        dataset_name=dataset,
        date_options=imm.CreateLocationDateClusteringTaskRequestDateOptions(**days),
        location_options=imm.CreateLocationDateClusteringTaskRequestLocationOptions(
            location_date_cluster_levels=levels
        ),
        **more,
    )


@pytest.mark.long
def test_tasks_are_of_their_project(endpoint: Endpoint, project: str, dataset: str) -> None:
    client = endpoint.client()
    asked = location_date_request(project, dataset, tags={"k": "v"}, user_data="mine")
    made = client.create_location_date_clustering_task(asked).body
    assert made.task_id.startswith("LocationDateClustering-")
    similar = client.create_similar_image_clustering_task(
        imm.CreateSimilarImageClusteringTaskRequest(project_name=project, dataset_name=dataset)
    ).body
    faces = client.create_figure_clustering_task(
        imm.CreateFigureClusteringTaskRequest(project_name=project, dataset_name=dataset)
    ).body
    assert faces.task_id.startswith("CreateFigureClusteringTask-")
    right = {"project_name": project, "task_type": "LocationDateClustering", "task_id": made.task_id}
    task = client.get_task(imm.GetTaskRequest(**right, request_definition=True)).body
    assert (task.status, task.progress, task.tags, task.user_data) == ("Running", 0, {"k": "v"}, "mine")
    assert (task.event_id, task.project_name) == (made.event_id, project)
    definition = json.loads(task.task_request_definition)
    assert definition["LocationOptions"] == {"LocationDateClusterLevels": ["country", "province"]}
    assert client.get_task(imm.GetTaskRequest(**right)).body.task_request_definition is None
    other = new_name()
    client.create_project(imm.CreateProjectRequest(project_name=other))
    for wrong in ({"project_name": other}, {"task_type": "FaceClustering"}, {"task_id": similar.task_id}):
        assert refusal(client.get_task, imm.GetTaskRequest(**{**right, **wrong})).code == "ResourceNotFound"
    listed = client.list_tasks(imm.ListTasksRequest(project_name=project, order="DES", max_results=2)).body
    assert listed.max_results == "2"
    assert [each.task_id for each in listed.tasks] == sorted(
        (made.task_id, similar.task_id, faces.task_id), reverse=True
    )[:2]
    rest = client.list_tasks(
        imm.ListTasksRequest(project_name=project, order="DES", max_results=2, next_token=listed.next_token)
    ).body
    assert (len(rest.tasks), rest.next_token) == (1, "")
    for filters, found in (
        ({"tag_selector": "k=v"}, [made.task_id]),
        ({"task_types": ["FaceClustering"]}, [faces.task_id]),
        ({"status": "Succeeded"}, []),
        ({"start_time_range": imm.TimeRange(end="2020-01-01T00:00:00Z")}, []),
    ):
        tasks = client.list_tasks(imm.ListTasksRequest(project_name=project, **filters)).body.tasks
        assert [each.task_id for each in tasks] == found
    assert client.list_tasks(imm.ListTasksRequest(project_name=other)).body.tasks == []
    pending = [piece for piece in read_pending(endpoint.lake, 100) if piece.project_name == project]
    assert [piece.task_id for piece in pending] == [made.task_id, similar.task_id, faces.task_id]


@pytest.mark.long
@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"days": {"min_days": 16}}, "InvalidArgument"),
        ({"days": {"gap_days": None}}, "MissingGapDays"),
        ({"days": {"gap_days": -1}}, "InvalidArgument"),
        ({"days": {"max_days": 100_000}}, "InvalidArgument"),
        ({"levels": ["street"]}, "InvalidArgument"),
        ({"levels": []}, "InvalidArgument"),
        ({"user_data": "x" * 2049}, "InvalidArgument"),
    ],
)
def test_wrong_clustering_options(
    endpoint: Endpoint, project: str, dataset: str, more: dict[str, Any], code: str
) -> None:
    request = location_date_request(project, dataset, **more)
    error = refusal(endpoint.client().create_location_date_clustering_task, request)
    assert error.code in (code, "MissingLocationDateClusterLevels")


def test_files_are_taken_in_durably(endpoint: Endpoint, project: str, dataset: str) -> None:
    client, here = endpoint.client(), {"project_name": project, "dataset_name": dataset}
    address = [imm.Address(country="China", city="杭州")]
    file = imm.InputFile(
        uri="oss://b/a.jpg", custom_labels={"k": "v"}, addresses=address, lat_long="30.25,120.16", media_type="image"
    )
    made = client.index_file_meta(imm.IndexFileMetaRequest(**here, file=file, user_data="mine")).body
    assert made.event_id
    in_one = imm.InputFile(uri='[{"URI": "oss://b/x.jpg"}, {"URI": "oss://b/y.jpg", "CustomId": "7"}]')
    client.batch_index_file_meta(
        imm.BatchIndexFileMetaRequest(**here, files=[in_one, imm.InputFile(uri="oss://b/z.jpg")])
    )
    pieces = [piece for piece in read_pending(endpoint.lake, 1000) if piece.project_name == project]
    assert [piece.uri for piece in pieces] == ["oss://b/a.jpg", "oss://b/x.jpg", "oss://b/y.jpg", "oss://b/z.jpg"]
    assert pieces[0].event_id == made.event_id
    assert pieces[0].parameters["UserData"] == "mine"
    assert pieces[0].parameters["File"]["Addresses"] == [{"Country": "China", "City": "杭州"}]
    assert pieces[2].parameters["File"] == {"URI": "oss://b/y.jpg", "CustomId": "7"}
    conflict = refusal(client.delete_dataset, imm.DeleteDatasetRequest(**here))
    assert conflict.code == "StatusConflict"


@pytest.mark.long
@pytest.mark.parametrize(
    ("file", "code"),
    [
        (imm.InputFile(), "MissingURI"),
        (imm.InputFile(uri="file:///etc/passwd"), "InvalidArgument"),
        (imm.InputFile(uri="/etc/passwd"), "InvalidArgument"),
        (imm.InputFile(uri="oss://b/../../etc/passwd"), "InvalidArgument"),
        (imm.InputFile(uri="http://169.254.169.254/latest/meta-data"), "InvalidArgument"),
        (imm.InputFile(uri="gopher://b/a"), "InvalidArgument"),
        (imm.InputFile(uri="oss://b/a", custom_labels={str(n): "x" * 700 for n in range(100)}), "InvalidArgument"),
        (imm.InputFile(uri="oss://b/a", lat_long="91,0"), "InvalidArgument"),
        (imm.InputFile(uri="oss://b/a", produce_time="yesterday"), "InvalidArgument"),
        (imm.InputFile(uri="oss://b/a", media_type="hologram"), "InvalidArgument"),
        (imm.InputFile(uri="oss://b/a", custom_id="x" * 1025), "InvalidArgument"),
        (imm.InputFile(uri="oss://b/a", custom_labels={str(n): "" for n in range(101)}), "LimitExceededError"),
    ],
)
def test_wrong_files(endpoint: Endpoint, project: str, dataset: str, file: imm.InputFile, code: str) -> None:
    request = imm.IndexFileMetaRequest(project_name=project, dataset_name=dataset, file=file)
    assert refusal(endpoint.client().index_file_meta, request).code == code


def test_batches_have_1_to_100_files(endpoint: Endpoint, project: str, dataset: str) -> None:
    client, here = endpoint.client(), {"project_name": project, "dataset_name": dataset}

    def batch(count: int) -> imm.BatchIndexFileMetaRequest:
        address = [
            imm.Address(country="中国", province="浙江省", city="杭州市", district="西湖区", address_line="x" * 300)
        ]
        files = [imm.InputFile(uri=f"oss://bucket/{n}.jpg", addresses=address) for n in range(count)]
        return imm.BatchIndexFileMetaRequest(**here, files=files)

    assert client.batch_index_file_meta(batch(100)).body.event_id  # a request line of some 80 KB
    assert refusal(client.batch_index_file_meta, batch(101)).code == "LimitExceededError"
    assert refusal(client.batch_index_file_meta, batch(0)).code == "InvalidArgument"
    too_many = imm.InputFile(uri=json.dumps([{"URI": f"oss://b/{n}"} for n in range(101)]))
    request = imm.BatchIndexFileMetaRequest(**here, files=[too_many])
    assert refusal(client.batch_index_file_meta, request).code == "LimitExceededError"
    huge = imm.BatchIndexFileMetaRequest(**here, files=[imm.InputFile(uri="oss://b/" + "x" * 200_000)])
    error = refusal(client.batch_index_file_meta, huge)
    assert (error.code, status(error)) == ("RequestURITooLong", 414)


def test_files_that_are_not_there(endpoint: Endpoint, project: str, dataset: str) -> None:
    client, here = endpoint.client(), {"project_name": project, "dataset_name": dataset}
    missing = refusal(client.get_file_meta, imm.GetFileMetaRequest(**here, uri="oss://b/none"))
    assert (missing.code, status(missing)) == ("ResourceNotFound", 404)
    assert client.batch_get_file_meta(imm.BatchGetFileMetaRequest(**here, uris=["oss://b/none"])).body.files == []
    file = imm.InputFile(uri="oss://b/none", title="x")
    assert refusal(client.update_file_meta, imm.UpdateFileMetaRequest(**here, file=file)).code == "ResourceNotFound"
    updated = client.batch_update_file_meta(imm.BatchUpdateFileMetaRequest(**here, files=[file])).body.files
    assert [(each.uri, each.success) for each in updated] == [("oss://b/none", False)]
    assert client.delete_file_meta(imm.DeleteFileMetaRequest(**here, uri="oss://b/none")).body.request_id
    assert client.batch_delete_file_meta(imm.BatchDeleteFileMetaRequest(**here, uris=["oss://b/none"])).body.request_id


def ask(endpoint: Endpoint, method: str, target: str, body: bytes | None = None) -> tuple[int, dict[str, Any]]:
    host, port = endpoint.address.split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    connection.request(method, target, body)
    answer = connection.getresponse()
    found = answer.status, json.loads(answer.read() or b"{}")
    connection.close()
    return found


@pytest.mark.parametrize(
    ("method", "target", "wanted", "code"),
    [
        ("GET", "/nothing/here", 404, "InvalidApi.NotFound"),
        ("PUT", "/", 405, "UnsupportedHTTPMethod"),
        ("OPTIONS", "/", 405, "UnsupportedHTTPMethod"),
        ("POST", "/", 400, "IncompleteSignature"),
        ("POST", "/?A=%FF", 400, "InvalidArgument"),
        ("POST", "/?" + "x" * 140_000, 414, "RequestURITooLong"),
        ("GET", "/../../etc/passwd", 404, "InvalidApi.NotFound"),
    ],
)
def test_every_answer_is_json(endpoint: Endpoint, method: str, target: str, wanted: int, code: str) -> None:
    found, document = ask(endpoint, method, target)
    assert (found, document["Code"]) == (wanted, code)
    assert {"Message", "RequestId", "HostId", "Recommend"} <= document.keys()


def test_long_bodies_are_read_and_refused(endpoint: Endpoint) -> None:
    assert ask(endpoint, "POST", "/", b"x" * (9 << 20))[0] == 413


def test_health(endpoint: Endpoint) -> None:
    assert ask(endpoint, "GET", "/healthz") == (200, {"Status": "alive"})
    assert ask(endpoint, "GET", "/readyz") == (200, {"Status": "ready"})


@pytest.mark.long
@pytest.mark.parametrize(
    "sent",
    [
        b"hello\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"POST / HTTP/9.9\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nbad header\r\n\r\n",
        b"GET / HTT",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc",
        b"POST /?" + b"x" * (3 << 20) + b" HTTP/1.1\r\n\r\n",
    ],
)
def test_what_is_no_http_is_answered_in_json(endpoint: Endpoint, sent: bytes) -> None:
    host, port = endpoint.address.split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while part := connection.recv(65536):
            answer += part
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"application/json" in head
    assert json.loads(body)["Code"]
