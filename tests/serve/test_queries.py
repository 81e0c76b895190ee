"""Queries and edits of files and clusters through IMM's own SDK."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from alibabacloud_imm20200930 import models as imm
from alibabacloud_imm20200930.client import Client
from alibabacloud_tea_openapi import models as openapi
from alibabacloud_tea_openapi.client import Client as OpenApiClient
from alibabacloud_tea_openapi.exceptions import AlibabaCloudException
from alibabacloud_tea_openapi.utils import Utils
from darabonba.runtime import RuntimeOptions

from tests.catalog.conftest import DAY, NOON, LakeMaker, cluster_id, group_id, group_uris, person_id
from tests.serve.conftest import Endpoint

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


class Library:
    """A project of its own with the dataset ada, its rows, and a client that asks about them."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.project = f"p-{uuid4().hex[:12]}"
        self.maker = LakeMaker(Path(endpoint.lake.root), self.project)
        self.maker.datasets("ada")
        self.client: Client = endpoint.client()
        self.generic = OpenApiClient(endpoint.config())

    def ask(self, operation: str, **fields: Any) -> Any:
        """The body of the answer to an operation, named as the SDK's methods are."""
        request = getattr(imm, "".join(map(str.capitalize, operation.split("_"))) + "Request")
        return getattr(self.client, operation)(request(project_name=self.project, dataset_name="ada", **fields)).body

    def refused(self, operation: str, **fields: Any) -> str:
        """The code of the error that an operation ends with."""
        with pytest.raises(AlibabaCloudException) as error:
            self.ask(operation, **fields)
        return str(error.value.code)

    def call(self, operation: str, **parameters: Any) -> Any:
        """The body of the answer to a generic call."""
        asked = openapi.Params(
            action=operation,
            version="2020-09-30",
            protocol="HTTP",
            method="POST",
            auth_type="AK",
            style="RPC",
            pathname="/",
            req_body_type="json",
            body_type="json",
        )
        query = Utils.query({"ProjectName": self.project, "DatasetName": "ada", **parameters})
        return self.generic.call_api(asked, openapi.OpenApiRequest(query=query), RuntimeOptions())["body"]


@pytest.fixture
def library(endpoint: Endpoint) -> Library:
    return Library(endpoint)


def leaf(field: str, operation: str, value: str | None = None) -> imm.SimpleQuery:
    return imm.SimpleQuery(field=field, operation=operation, value=value)


@pytest.mark.long
def test_simple_query(library: Library) -> None:
    maker = library.maker
    rows = [maker.file(f"oss://b/{n}.jpg", size=100 * n, labels=["sea"] if n % 2 else None) for n in range(5)]
    maker.insert("files", rows)
    maker.insert("file_places", [maker.file_place("oss://b/1.jpg")])
    maker.insert("figures", [maker.figure("f", uri="oss://b/1.jpg", age=30)])
    query = imm.SimpleQuery(
        operation="and", sub_queries=[leaf("Size", "gte", "100"), leaf("Labels.LabelName", "eq", "sea")]
    )
    found = library.ask("simple_query", query=query)
    assert ([file.uri for file in found.files], found.total_hits) == (["oss://b/1.jpg", "oss://b/3.jpg"], 2)
    first = found.files[0]
    assert (first.size, first.figure_count, first.figures[0].age, first.addresses[0].city) == (100, 1, 30, "Hangzhou")
    assert first.labels[0].label_name == "sea"
    shown = library.ask(
        "simple_query", with_fields=["URI", "Size"], sort="Size", without_total_hits=True, max_results=2
    )
    assert [(file.uri, file.size, file.media_type) for file in shown.files] == [
        ("oss://b/4.jpg", 400, None),
        ("oss://b/3.jpg", 300, None),
    ]
    assert shown.total_hits is None
    rest = library.ask("simple_query", sort="Size", max_results=3, next_token=shown.next_token)
    assert ([file.size for file in rest.files], rest.next_token or "") == ([200, 100, 0], "")
    assert library.refused("simple_query", sort="URI", next_token=shown.next_token) == "InvalidArgument"


def test_an_address_that_was_given_shows_before_the_file_is_located_anew(library: Library) -> None:
    address = {"country": "China", "province": "Zhejiang", "city": "Jiaxing", "district": None, "township": None}
    library.maker.insert("files", [library.maker.file("oss://b/1.jpg", address=address)])
    library.maker.insert("file_places", [library.maker.file_place("oss://b/1.jpg")])
    (file,) = library.ask("get_file_meta", uri="oss://b/1.jpg").files
    assert [place.city for place in file.addresses] == ["Jiaxing"]


def test_aggregations(library: Library) -> None:
    maker = library.maker
    maker.insert("files", [maker.file(f"{n}.jpg", size=n, title="abb"[n]) for n in range(3)])
    asked = [("Size", "sum"), ("Title", "group"), ("Title", "distinct"), ("Album", "count")]
    aggregations = [imm.SimpleQueryRequestAggregations(field=field, operation=operation) for field, operation in asked]
    found = library.ask("simple_query", aggregations=aggregations, max_results=1)
    assert (found.files, found.total_hits) == ([], 3)
    values = [(each.field, each.operation, each.value) for each in found.aggregations]
    assert values == [
        ("Size", "sum", 3.0),
        ("Title", "group", None),
        ("Title", "distinct", 2.0),
        ("Album", "count", 0.0),
    ]
    assert [(each.value, each.count) for each in found.aggregations[1].groups] == [("b", 2)]


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"query": leaf("Colour", "eq", "red")}, "InvalidArgument"),
        ({"query": leaf("Size", "eq", "big")}, "InvalidArgument"),
        ({"query": imm.SimpleQuery(operation="or", sub_queries=[leaf("Size", "exist")] * 101)}, "LimitExceededError"),
        ({"sort": "Colour"}, "InvalidArgument"),
        ({"sort": "Size", "order": "asc,desc"}, "InvalidArgument"),
        ({"sort": "Size,URI,Title,MediaType,Duration,ObjectId"}, "LimitExceededError"),
        ({"max_results": 101}, "InvalidArgument"),
        ({"with_fields": ["Colour"]}, "InvalidArgument"),
        ({"next_token": "made up"}, "InvalidArgument"),
        ({"aggregations": [imm.SimpleQueryRequestAggregations(field="Title", operation="sum")]}, "InvalidArgument"),
        (
            {
                "aggregations": [imm.SimpleQueryRequestAggregations(field="Title", operation="group")],
                "max_results": 2001,
            },
            "InvalidArgument",
        ),
    ],
)
def test_what_simple_query_refuses(library: Library, asked: dict[str, Any], code: str) -> None:
    assert library.refused("simple_query", **asked) == code


def test_the_generic_sample(library: Library) -> None:
    maker = library.maker
    maker.insert("files", [maker.file("a.jpg", size=7), maker.file("b.jpg", size=8)])
    query = {"Field": "Size", "Operation": "lt", "Value": "8"}
    for written in (json.dumps(query), query):
        found = library.call("SimpleQuery", Query=written, Sort="Size", Order="ASC")
        assert [file["URI"] for file in found["Files"]] == ["a.jpg"]


def test_trips(library: Library) -> None:
    maker = library.maker
    assert library.ask("query_location_date_clusters").location_date_clusters == []
    maker.insert(
        "location_date_clusters", [maker.cluster(n, first_day=date(2026, 1, 1) + n * 10 * DAY) for n in range(25)]
    )
    first = library.ask("query_location_date_clusters")
    assert [each.object_id for each in first.location_date_clusters] == [cluster_id(n) for n in range(20)]
    rest = library.ask("query_location_date_clusters", next_token=first.next_token, max_results=100)
    assert [each.object_id for each in rest.location_date_clusters] == [cluster_id(n) for n in range(20, 25)]
    one = first.location_date_clusters[0]
    assert (one.title, one.location_date_cluster_level, one.addresses[0].city) == (None, "city", "Hangzhou")
    assert one.location_date_cluster_start_time == "2026-01-01T00:00:00+08:00"
    labels = {"season": "winter"}
    library.ask(
        "update_location_date_cluster", object_id=cluster_id(0), title="Tea", custom_id="7", custom_labels=labels
    )
    library.ask("update_location_date_cluster", object_id=cluster_id(0), title="Green tea")
    for asked in (
        {"title": "green"},
        {"custom_labels": "season=winter"},
        {"object_id": cluster_id(0)},
        {
            "address": imm.Address(city="hangzhou"),
            "location_date_cluster_end_time_range": imm.TimeRange(end="2026-01-05T00:00:00+08:00"),
        },
        {"update_time_range": imm.TimeRange(start="2026-02-01T00:00:00Z")},
    ):
        [found] = library.ask("query_location_date_clusters", **asked).location_date_clusters
        assert (found.object_id, found.title, found.custom_id, found.custom_labels) == (
            cluster_id(0),
            "Green tea",
            "7",
            labels,
        )
    assert library.ask("query_location_date_clusters", title="Hangzhou").location_date_clusters == []
    levels = ['["country", "city"]']
    asked = library.ask(
        "query_location_date_clusters", location_date_cluster_levels=levels, order="desc", max_results=1
    )
    assert asked.location_date_clusters[0].object_id == cluster_id(24)
    for _ in range(2):
        library.ask("delete_location_date_cluster", object_id=cluster_id(0))
    library.ask("delete_location_date_cluster", object_id="location-date-cluster-****")
    assert library.ask("query_location_date_clusters", object_id=cluster_id(0)).location_date_clusters == []
    assert library.refused("update_location_date_cluster", object_id=cluster_id(0), title="x") == "ResourceNotFound"
    assert library.refused("update_location_date_cluster", object_id="location-date-cluster-****") == "ResourceNotFound"
    assert (
        library.refused("update_location_date_cluster", object_id=cluster_id(1), title="x" * 1025) == "InvalidArgument"
    )
    assert (
        library.refused("query_location_date_clusters", location_date_cluster_levels=["continent"]) == "InvalidArgument"
    )
    assert library.refused("query_location_date_clusters", max_results=0) == "InvalidArgument"


def test_similar_images(library: Library) -> None:
    assert library.ask("query_similar_image_clusters").similar_image_clusters == []
    for number in range(3):
        library.maker.group(number, update_time=NOON + number * DAY)
    found = library.ask("query_similar_image_clusters", max_results=2)
    assert [each.object_id for each in found.similar_image_clusters] == [group_id(2), group_id(1)]
    assert [file.uri for file in found.similar_image_clusters[0].files] == group_uris(2)
    assert found.similar_image_clusters[0].files[0].image_score == 0.9
    assert library.ask("query_similar_image_clusters", custom_labels="a=b").similar_image_clusters == []


@pytest.mark.long
def test_people(library: Library) -> None:
    maker = library.maker
    assert library.ask("query_figure_clusters", with_total_count=True).total_count == 0
    for number, axis in ((1, [1.0, 0.0]), (2, [0.0, 1.0])):
        maker.person(number, {f"{number}-{face}": axis for face in "abc"}, create_time=NOON + number * DAY)
    found = library.ask("query_figure_clusters", sort="CreateTime", order="desc", with_total_count=True, max_results=1)
    assert ([each.object_id for each in found.figure_clusters], found.total_count) == ([person_id(2)], 2)
    assert found.figure_clusters[0].object_type == "figure-cluster"
    cover = found.figure_clusters[0].cover
    assert (cover.uri, cover.figures[0].figure_id, cover.figures[0].boundary.width) == ("oss://b/2-a.jpg", "2-a", 120)
    change = imm.FigureClusterForReq(
        object_id=person_id(1),
        name="Ada",
        meta_lock_version=0,
        cover=imm.FigureClusterForReqCover(figures=[imm.FigureClusterForReqCoverFigures(figure_id="1-b")]),
    )
    library.ask("update_figure_cluster", figure_cluster=change)
    assert library.refused("update_figure_cluster", figure_cluster=change) == "StatusConflict"
    person = library.ask("get_figure_cluster", object_id=person_id(1)).figure_cluster
    assert (person.name, person.meta_lock_version, person.cover.figures[0].figure_id) == ("Ada", 1, "1-b")
    ids = [person_id(9), person_id(2), person_id(1)]
    assert [each.object_id for each in library.ask("batch_get_figure_cluster", object_ids=ids).figure_clusters] == ids[
        1:
    ]
    by_name = library.ask("query_figure_clusters", sort="Name", order="desc").figure_clusters
    assert [each.object_id for each in by_name] == [person_id(1), person_id(2)]
    assert library.refused("get_figure_cluster", object_id=person_id(9)) == "ResourceNotFound"
    other = imm.FigureClusterForReq(object_id=person_id(9), name="x")
    assert library.refused("update_figure_cluster", figure_cluster=other) == "ResourceNotFound"
    strange = imm.FigureClusterForReqCover(figures=[imm.FigureClusterForReqCoverFigures(figure_id="2-a")])
    change = imm.FigureClusterForReq(object_id=person_id(1), cover=strange)
    assert library.refused("update_figure_cluster", figure_cluster=change) == "ResourceNotFound"


def test_whose_face_it_is(library: Library) -> None:
    maker = library.maker
    for number, axis in ((1, [1.0, 0.0]), (2, [0.0, 1.0])):
        maker.person(number, {f"{number}-{face}": axis for face in "abc"})
    maker.insert("figures", [maker.figure("new", [0.6, 0.8], uri="oss://b/new.jpg")])
    maker.insert("files", [maker.file("oss://b/new.jpg"), maker.file("oss://b/empty.jpg")])
    by_file = library.ask("search_image_figure_cluster", source_uri="oss://b/new.jpg").clusters
    assert [(each.cluster_id, round(each.similarity, 3)) for each in by_file] == [
        (person_id(2), 0.8),
        (person_id(1), 0.6),
    ]
    assert by_file[0].boundary.width == 120
    assert library.ask("search_image_figure_cluster", source_uri="oss://b/empty.jpg").clusters == []
    assert library.refused("search_image_figure_cluster", source_uri="oss://b/other.jpg") == "UnsupportedOperation"
    assert library.refused("search_image_figure_cluster") == "InvalidArgument"
    [best, _] = library.call("SearchImageFigureCluster", Embedding="[0, 2]")["Clusters"]
    assert (best["ClusterId"], best["Similarity"]) == (person_id(2), 1.0)
    assert len(library.call("SearchImageFigureCluster", Embedding="[[0, 2], [1, 1]]")["Clusters"]) == 4
    for wrong in ("[[1], [1, 2]]", '"x"', "[0, 0]", "[1, 2, 3]", "{}"):
        with pytest.raises(AlibabaCloudException) as error:
            library.call("SearchImageFigureCluster", Embedding=wrong)
        assert error.value.code == "InvalidArgument", wrong


def test_there_are_no_stories(library: Library) -> None:
    assert library.ask("query_stories").stories == []
    assert library.refused("get_story", object_id="s") == "ResourceNotFound"
    assert library.refused("update_story", object_id="s", story_name="x") == "ResourceNotFound"
    library.ask("delete_story", object_id="s")
    assert library.refused("create_story", story_type="TimeMemory") == "UnsupportedOperation"


def test_projects_do_not_see_each_other(endpoint: Endpoint, library: Library) -> None:
    other = Library(endpoint)
    library.maker.insert("files", [library.maker.file("a.jpg")])
    library.maker.person(1)
    library.maker.insert("location_date_clusters", [library.maker.cluster(0)])
    assert other.ask("simple_query").total_hits == 0
    assert other.refused("get_figure_cluster", object_id=person_id(1)) == "ResourceNotFound"
    assert other.ask("query_location_date_clusters", object_id=cluster_id(0)).location_date_clusters == []
    assert other.refused("update_location_date_cluster", object_id=cluster_id(0), title="x") == "ResourceNotFound"
    other.ask("delete_location_date_cluster", object_id=cluster_id(0))
    assert len(library.ask("query_location_date_clusters", object_id=cluster_id(0)).location_date_clusters) == 1


def test_files_come_in_the_order_asked_for_once_each_and_labels_are_found_at_once(library: Library) -> None:
    maker = library.maker
    maker.insert("files", [maker.file(f"oss://b/{name}.jpg", custom_labels={"by": "source"}) for name in "abc"])
    uris = [f"oss://b/{name}.jpg" for name in "cxac"]
    found = library.ask("batch_get_file_meta", uris=uris, with_fields=["CustomLabels"]).files
    assert [file.custom_labels for file in found] == [{"by": "source"}] * 2
    assert [file.uri for file in library.ask("batch_get_file_meta", uris=uris).files] == [uris[0], uris[2]]
    twice = [
        imm.InputFile(uri=uris[0], custom_id="1", custom_labels={"By": "me"}),
        imm.InputFile(uri=uris[0], custom_id="2"),
    ]
    assert [each.success for each in library.ask("batch_update_file_meta", files=twice).files] == [True, True]
    for query in (leaf("CustomLabels.by", "eq", "ME"), leaf("CustomId", "eq", "2")):
        (file,) = library.ask("simple_query", query=query).files
        assert (file.uri, file.custom_id, file.custom_labels) == (uris[0], "2", {"By": "me"})
    assert len(library.ask("simple_query", query=leaf("CustomLabels.BY", "eq", "source")).files) == 2


def test_a_lock_version_is_checked_though_nothing_else_changes(library: Library) -> None:
    library.maker.person(1)
    figure = imm.FigureClusterForReq(object_id=person_id(1), meta_lock_version=3)
    assert library.refused("update_figure_cluster", figure_cluster=figure) == "StatusConflict"
