"""Documents have the fields that IMM's own models read, in IMM's formats."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from catalog.edits import fold_edits, overlay
from catalog.imm import address, answer, file, located_file, location_date_cluster, similar_image_cluster, task
from catalog.lake import Row
from catalog.similar_images import find_cluster
from tests.catalog.conftest import NOON, LakeMaker, cluster_id, edit, group_id, group_uris
from tests.catalog.test_tasks import state


def model(name: str) -> Any:
    """A model of IMM's SDK, where that is installed."""
    models = pytest.importorskip("alibabacloud_imm20200930.models")
    return getattr(models, name)()


def stored(maker: LakeMaker, cluster: Row) -> Row:
    """A row as it is read back, with all its columns."""
    maker.insert("location_date_clusters", [cluster])
    return maker.lake.read("SELECT * FROM location_date_clusters", "location_date_clusters")[0]


def test_a_cluster(maker: LakeMaker) -> None:
    row = overlay(
        stored(maker, maker.cluster(1)), fold_edits([edit(1, "x", title="West Lake", custom_labels={"k": "v"})])["x"]
    )
    document = location_date_cluster(row, "en")
    assert document == {
        "ObjectId": cluster_id(1),
        "ProjectName": "demo",
        "DatasetName": "ada",
        "Title": "West Lake",
        "ProposedTitle": "Hangzhou",
        "LocationDateClusterLevel": "city",
        "LocationDateClusterStartTime": "2026-03-04T00:00:00+08:00",
        "LocationDateClusterEndTime": "2026-03-07T23:59:59.999999999+08:00",
        "Addresses": [
            {
                "Language": "en",
                "Country": "China",
                "Province": "Zhejiang",
                "City": "Hangzhou",
                "AddressLine": "Hangzhou, Zhejiang, China",
            }
        ],
        "Cover": {"URI": "oss://b/1.jpg"},
        "CustomLabels": {"k": "v"},
        "Days": 4,
        "DaysWithFiles": 4,
        "FilesCount": 40,
        "ImagesCount": 36,
        "VideosCount": 4,
        "CreateTime": "2025-11-20T12:00:00Z",
        "UpdateTime": "2025-11-20T12:00:01Z",
    }
    read = model("LocationDateCluster").from_map(document)
    assert read.location_date_cluster_end_time == document["LocationDateClusterEndTime"]
    assert read.addresses[0].address_line == "Hangzhou, Zhejiang, China"
    assert read.custom_labels == {"k": "v"}


def test_similar_images(maker: LakeMaker) -> None:
    maker.group(1)
    document = similar_image_cluster(find_cluster(maker.lake, maker.scope, group_id(1)))
    read = model("SimilarImageCluster").from_map(document)
    assert read.object_id == group_id(1)
    assert (read.create_time, read.update_time) == ("2025-11-20T12:00:00Z", "2025-11-20T12:00:00Z")
    assert [(image.uri, image.image_score) for image in read.files] == list(
        zip(group_uris(1), (0.9, 0.8, 0.7), strict=True)
    )


def test_start_and_end_have_offsets_of_their_own(maker: LakeMaker) -> None:
    given = maker.cluster(1, first_day=date(2026, 3, 28), days=2, offset=0, end_offset=60)
    row = overlay(stored(maker, given), None)
    document = location_date_cluster(row, "en")
    assert document["LocationDateClusterStartTime"] == "2026-03-28T00:00:00Z"
    assert document["LocationDateClusterEndTime"] == "2026-03-29T23:59:59.999999999+01:00"


@pytest.mark.parametrize(
    ("names", "language", "line"),
    [
        ({"country": "Singapore", "province": "Singapore", "city": "Singapore"}, "en", "Singapore"),
        ({"country": "中国", "province": "浙江省", "city": "杭州市"}, "zh-Hans", "中国浙江省杭州市"),
        ({"country": "France", "township": "Gif"}, "fr", "Gif, France"),
    ],
)
def test_address_lines(names: dict[str, str], language: str, line: str) -> None:
    row = dict.fromkeys(("country", "province", "city", "district", "township")) | names
    assert address(row, language)["AddressLine"] == line


def test_files(maker: LakeMaker) -> None:
    maker.insert(
        "files", [maker.file("a", latitude=30.25, longitude=-120.0, address={"city": "Hangzhou"}, labels=["lake"])]
    )
    [row] = maker.lake.read("SELECT * FROM files", "files")
    document = file(row, "en")
    assert document["ProduceTime"] == "2026-03-04T10:00:00+08:00"
    assert document["LatLong"] == "30.25,-120.0"
    assert document["Labels"] == [{"LabelName": "lake"}]
    assert document["Addresses"][0]["City"] == "Hangzhou"
    assert "DeletedTime" not in document
    assert model("File").from_map(document).uri == "a"
    assert file({**row, "time_is": "local"}, "en")["ProduceTime"] == "2026-03-04T02:00:00"
    assert file({**row, "time_is": "instant", "utc_offset": None}, "en")["ProduceTime"] == "2026-03-04T02:00:00Z"
    assert "ProduceTime" not in file({**row, "produce_time": None}, "en")
    assert "Addresses" not in file({**row, "address": None}, "en")


def test_located_files(maker: LakeMaker) -> None:
    maker.insert("file_places", [maker.file_place("a")])
    [row] = maker.lake.read("SELECT * FROM file_places", "file_places")
    document = located_file(row, "en")
    assert document["ProduceTime"] == "2026-03-04T10:00:00+08:00"
    assert document["Timezone"] == "Asia/Shanghai"


def test_tasks(maker: LakeMaker) -> None:
    maker.insert("tasks", [state("T-1", "Failed", code="Conflict", message="lost", tags={"k": "v"}, end_time=NOON)])
    [row] = maker.lake.read("SELECT * FROM tasks", "tasks")
    document = task(row)
    assert document["EndTime"] == "2025-11-20T12:00:00Z"
    for name in ("TaskInfo", "GetTaskResponseBody"):
        read = model(name).from_map(document)
        assert (read.task_id, read.status, read.code, read.tags) == ("T-1", "Failed", "Conflict", {"k": "v"})


def test_every_answer_has_an_id_of_its_own() -> None:
    assert answer({})["RequestId"] != answer({})["RequestId"]
