"""The verbs as typed: what they print, as tables and JSON, and how they fail."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from datetime import date
from typing import Any

import pytest

from jobs.cli.main import lakealbum, run
from tests.catalog.conftest import DAY, NOON, LakeMaker, cluster_id, edit, group_id, group_uris
from tests.catalog.test_tasks import state


class Shell:
    """Types commands at a lake, and keeps what they print."""

    def __init__(self, maker: LakeMaker, capsys: pytest.CaptureFixture[str]) -> None:
        self.maker = maker
        self.capsys = capsys

    def __call__(self, line: str, code: int = 0) -> str:
        """What a command prints, on stderr where it is to fail with an exit code."""
        return self.run([*shlex.split(line), "--lake", self.maker.root, "--project", "demo"], code)

    def run(self, arguments: list[str], code: int = 0) -> str:
        """The same, of arguments as they are."""
        found = run(lakealbum, arguments, "lakealbum")
        printed = self.capsys.readouterr()
        assert found == code, printed
        return printed.err if code else printed.out

    def json(self, line: str) -> Any:
        """The document that a command prints."""
        return json.loads(self(f"{line} --json"))


@pytest.fixture
def shell(maker: LakeMaker, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    """A shell at a lake of three trips, two of ada's and one of ben's."""
    monkeypatch.delenv("LAKEALBUM_LAKE", raising=False)
    maker.insert(
        "location_date_clusters",
        [
            maker.cluster(0),
            maker.cluster(1, first_day=date(2026, 4, 1), days=1, title="Jiaxing", city="Jiaxing"),
            maker.cluster(2, dataset="ben", first_day=date(2026, 5, 1), title="[bold]M\x1b[31m"),
        ],
    )
    return Shell(maker, capsys)


def test_a_table_to_read(shell: Shell) -> None:
    printed = shell("query location-date --dataset ada")
    assert printed.splitlines()[0].split() == ["Dates", "Place", "Level", "Days", "Pictures", "Videos", "Id"]
    assert "4-7 Mar 2026" in printed
    assert "Hangzhou, Zhejiang, China" in printed
    assert cluster_id(0).removeprefix("location-date-cluster-") in printed


def test_titles_cannot_play_with_the_terminal(shell: Shell) -> None:
    printed = shell("query location-date")
    assert r"[bold]M\x1b[31m" in printed
    assert "\x1b" not in printed


def test_pages_are_reached_by_the_command_that_is_printed(shell: Shell) -> None:
    seen = []
    arguments = [
        *shlex.split('query location-date --title "\'" --max-results 1 --order desc'),
        "--lake",
        shell.maker.root,
    ]
    arguments += ["--project", "demo"]
    for n in range(3):
        title = f"it's {n}"
        shell(f"update location-date {cluster_id(n)} --title {shlex.quote(title)}")
    while True:
        printed = shell.run(arguments)
        seen.append(printed.splitlines()[1].partition("it's ")[2][0])
        _, more, command = printed.partition("There are more: lakealbum ")
        if not more:
            break
        arguments = shlex.split(command)
    assert seen == ["2", "1", "0"]


def test_the_same_pages_in_json(shell: Shell) -> None:
    first = shell.json("query location-date --max-results 2")
    assert [c["ObjectId"] for c in first["LocationDateClusters"]] == [cluster_id(0), cluster_id(1)]
    second = shell.json(f"query location-date --max-results 2 --next-token {first['NextToken']}")
    assert [c["ObjectId"] for c in second["LocationDateClusters"]] == [cluster_id(2)]
    assert "NextToken" not in second
    assert first["RequestId"] != second["RequestId"]


def test_filters_reach_the_query(shell: Shell) -> None:
    def found(line: str) -> list[str]:
        return [c["ObjectId"] for c in shell.json(f"query location-date {line}")["LocationDateClusters"]]

    assert found("--city jiaxing") == [cluster_id(1)]
    assert found("--level City,province --start-from 2026-04-01 --start-to 2026-04-30") == [cluster_id(1)]
    assert found("--end-from 2026-05-04T23:59:59.999999999+08:00") == [cluster_id(2)]
    assert found("--sort starttime --order desc")[0] == cluster_id(2)
    assert found("--sort LocationDateClusterEndTime")[0] == cluster_id(0)
    assert found(f"--id {cluster_id(1).removeprefix('location-date-cluster-')}") == [cluster_id(1)]
    assert found("--created-to 2025-11-19") == []
    assert found("--label a=b") == []


def test_nothing_found_is_said(shell: Shell) -> None:
    assert shell("query location-date --title nowhere") == "Nothing matches.\n"
    assert shell.json("query location-date --title nowhere")["LocationDateClusters"] == []
    assert "no dataset 'cleo'; datasets: ada, ben" in shell("query location-date --dataset cleo", 1)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("query location-date --level state", "level 'state' is not one of country, province"),
        ("query location-date --sort Size", "sort 'Size' is not one of"),
        ("query location-date --order up", "order 'up' is not one of asc, desc"),
        ("query location-date --max-results 101", "1 to 100"),
        ("query location-date --max-results many", "many"),
        ("query location-date --start-from tomorrow", "--start-from 'tomorrow' is not a time"),
        ("query location-date --label a", "--label 'a' is not KEY=VALUE"),
        ("query location-date --label a=1 --label a=2", "--label names 'a' twice"),
        ("query location-date --next-token abc", "NextToken is not one"),
        ("query location-date --dataset 1", "dataset '1' is not a name"),
        ("query location-date --id 7", "'7' is not the id"),
        ("query files --media-type audio", "media type 'audio' is not one of image, video"),
        (f"query files --cluster {cluster_id(0)} --uri a --sort URI", "--uri, --sort cannot be given together"),
        (f"update location-date {cluster_id(0)}", "nothing to change"),
        (f"update location-date {cluster_id(0)} --label a=b --clear-labels", "exclude each other"),
        (f"update location-date {cluster_id(0)} --title {'x' * 1025}", "1,025 bytes; up to 1,024"),
        ("query similar-images --kind copy", "kind 'copy' is not one of copies, burst, near-duplicates"),
        ("query similar-images --sort size", "sort 'size' is not one of UpdateTime, CreateTime, FilesCount"),
        ("query similar-images --max-results 101", "0 to 100"),
        ("query similar-images --max-results -1", "0 to 100"),
        (f"query similar-images --id {cluster_id(0)}", "which reads SimilarImageCluster-<uuid>"),
        (f"update similar-images {group_id(0)}", "nothing to change"),
        (f"update similar-images {group_id(0)} --keep a --unkeep a", "'a' is given to --keep and to --unkeep"),
        (f"update similar-images {group_id(0)} --label a=b --clear-labels", "exclude each other"),
        (f"update location-date {group_id(0)} --title x", "which reads location-date-cluster-<uuid>"),
        ("query files --cluster 7", "which reads location-date-cluster-<uuid> or SimilarImageCluster-<uuid>"),
        ("explain figure-1", "which reads location-date-cluster-<uuid> or SimilarImageCluster-<uuid>"),
        ("explain", "takes the ID of a cluster, or --columns TABLE"),
        ("explain --columns trips", "there is no table 'trips'; tables are area_index, areas"),
        ("tasks list --status done", "status 'done' is not one of Running, Succeeded, Failed"),
        ("tasks list --dataset ada", "--dataset does not narrow tasks"),
    ],
)
def test_bad_usage_is_told_with_what_is_accepted(shell: Shell, line: str, message: str) -> None:
    assert message in shell(line, 2)


@pytest.mark.parametrize(
    "line",
    [
        f"update location-date {cluster_id(9)} --title x",
        f"delete location-date {cluster_id(9)}",
        f"undelete location-date {cluster_id(0)}",
        f"explain {cluster_id(9)}",
        f"query files --cluster {cluster_id(9)}",
        f"update similar-images {group_id(9)} --keep a",
        f"delete similar-images {group_id(9)}",
        f"undelete similar-images {group_id(9)}",
        f"explain {group_id(9)}",
        f"query files --cluster {group_id(9)}",
        "tasks get T-9",
    ],
)
def test_what_is_not_there_fails_with_one(shell: Shell, line: str) -> None:
    assert shell(line, 1).startswith("lakealbum: ")


def test_a_lake_must_be_named(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "LAKEALBUM_LAKE" in shell.run(["query", "location-date"], 2)
    monkeypatch.setenv("LAKEALBUM_LAKE", shell.maker.root)
    assert "Hangzhou" in shell.run(["query", "location-date", "--project", "demo"])
    monkeypatch.setenv("LAKEALBUM_LAKE", shell.maker.root + "/nowhere")
    assert "there is no lake" in shell.run(["query", "location-date"], 1)


def test_changes_say_what_was_done(shell: Shell) -> None:
    printed = shell(f"update location-date {cluster_id(0)} --title 'West Lake' --custom-id '' --label a=b")
    assert printed == (
        f"Updated Hangzhou, 4-7 Mar 2026 ({cluster_id(0)}): title now 'West Lake', custom id cleared, labels now a=b.\n"
    )
    shell(f"update location-date {cluster_id(0)} --clear-labels")
    [cluster] = shell.json(f"query location-date --id {cluster_id(0)}")["LocationDateClusters"]
    assert cluster["Title"] == "West Lake"
    assert "CustomLabels" not in cluster
    assert "Deleted West Lake, 4-7 Mar 2026" in shell(f"delete location-date {cluster_id(0)}")
    assert "brings it back" in shell(f"delete location-date {cluster_id(0)}", 1)
    assert "it is back" in shell(f"undelete location-date {cluster_id(0)}")
    assert shell.json(f"update location-date {cluster_id(0)} --title x").keys() == {"RequestId"}


def test_files_of_a_cluster(shell: Shell) -> None:
    shell.maker.insert("file_places", [shell.maker.file_place(f"oss://b/{n}.jpg") for n in range(3)])
    shell.maker.insert("files", [shell.maker.file(f"oss://b/{n}.jpg") for n in range(4)])
    page = shell.json(f"query files --cluster {cluster_id(0)} --max-results 2")
    assert [f["URI"] for f in page["Files"]] == ["oss://b/0.jpg", "oss://b/1.jpg"]
    assert "oss://b/2.jpg" in shell(
        f"query files --cluster {cluster_id(0)} --max-results 2 --next-token {page['NextToken']}"
    )
    assert len(shell.json("query files --dataset ada --produced-from 2026-03-04")["Files"]) == 4


def test_tasks_are_listed_and_got(shell: Shell) -> None:
    assert shell("tasks list") == "Nothing matches.\n"
    shell.maker.insert("tasks", [state("T-1", "Failed", code="Conflict", message="lost it", tags={"k": "v"})])
    assert "T-1" in shell("tasks list --tag k=v --status Failed --sort taskid")
    assert shell.json("tasks list --type LocationDateClustering")["Tasks"][0]["Code"] == "Conflict"
    assert "lost it" in shell("tasks get T-1")
    assert shell.json("tasks get T-1")["TaskId"] == "T-1"


def test_an_explanation_tells_the_whole_story(shell: Shell) -> None:
    maker = shell.maker
    key = {name: maker.cluster(0)[name] for name in ("bucket", "project_name", "dataset_name")}
    moment = {"time": NOON, "uri": "a", "utc_offset": 480}
    day = {
        **key,
        "place_key": "CN/33/3301/x/",
        "files": 2,
        "images": 1,
        "videos": 1,
        "first": moment,
        "last": moment,
        "cover": {"rank": 0, "time": NOON, "uri": "a"},
        "run_id": "run-1",
    }
    days = [date(2026, 3, 4), date(2026, 3, 7), date(2026, 3, 8)]
    maker.insert("place_days", [{**day, "local_date": when} for when in days])
    maker.insert("place_days", [{**day, "local_date": days[0], "place_key": "CN/33/3301/y/"}])
    event = {
        **key,
        "kind": "location-date",
        "object_id": cluster_id(0),
        "cluster_version": 1,
        "event_time": NOON,
        "run_id": "run-0",
    }
    maker.insert(
        "cluster_events",
        [
            {**event, "event": "extended", "reason": "7 March came", "cluster_version": 2, "run_id": "run-1"},
            {**event, "event": "created", "reason": "first seen"},
        ],
    )
    options = {"gap_days": 1}
    same = {**key, "kind": "location-date", "evidence_versions": {"place_days": 1}, "edits_version": 0}
    maker.insert("dataset_state", [{**same, "options": json.dumps(options), "update_time": NOON, "run_id": "run-1"}])
    ran = {
        "task_id": "t",
        "job": "cluster location-date",
        "project_name": "demo",
        "parameters": json.dumps(options),
        "config_hash": "h",
        "code_version": "1",
        "inputs": {"place_days": 3},
        "outputs": {"location_date_clusters": 2},
        "status": "Succeeded",
    }
    maker.insert("runs", [{**ran, "run_id": f"run-{n}", "start_time": NOON + n * DAY} for n in (2, 1, 0)])
    shell(f"update location-date {cluster_id(0)} --title Lake")
    found = shell.json(f"explain {cluster_id(0)}")
    assert found["Status"] == "live"
    assert found["Cluster"]["Title"] == "Lake"
    assert found["Options"] == options
    assert found["Evidence"] == [
        {"LocalDate": "2026-03-04", "Files": 4, "Images": 2, "Videos": 2},
        {"LocalDate": "2026-03-07", "Files": 2, "Images": 1, "Videos": 1},
    ]
    assert [r["RunId"] for r in found["Runs"]] == ["run-0", "run-1"]
    assert found["Runs"][0]["Inputs"] == {"place_days": 3}
    assert [e["Event"] for e in found["Events"]] == ["created", "extended"]
    assert [e["Title"] for e in found["Edits"]] == ["Lake"]
    printed = shell(f"explain {cluster_id(0)}")
    for part in ("Lake (live)", "gap_days", "2026-03-07", "run-1", "7 March came", "update"):
        assert part in printed


@pytest.mark.parametrize(("state", "status"), [("gone", "gone"), ("live", "filtered"), ("deleted", "deleted")])
def test_what_is_no_cluster_now_is_explained_too(shell: Shell, state: str, status: str) -> None:
    shell.maker.insert("location_date_segments", [shell.maker.segment(7, state=state)])
    found = shell.json(f"explain {cluster_id(7)}")
    assert found["Status"] == status
    assert found["Cluster"]["ObjectId"] == cluster_id(7)
    assert status in shell(f"explain {cluster_id(7)}")


def test_columns_are_explained_without_a_lake(shell: Shell) -> None:
    found = json.loads(shell.run(["explain", "--columns", "location_date_clusters", "--json"]))
    columns = {column["Name"]: column for column in found["Columns"]}
    table = "location_date_segments"
    assert columns["create_time"]["From"] == [{"Table": table, "Column": "cluster_since", "Change": "identity"}]
    assert columns["run_id"] == {"Name": "run_id", "Made": "the run's id"}
    assert found["Rows"] == {"From": [{"Table": table, "Column": "is_cluster", "Change": "filter"}]}
    printed = shell.run(["explain", "--columns", "location_date_clusters"])
    assert f"transformation: {table}.first_day, {table}.first" in printed


def test_a_hidden_cluster_is_explained_as_deleted(shell: Shell) -> None:
    shell.maker.insert("cluster_edits", [edit(1, cluster_id(0), "delete")])
    assert shell.json(f"explain {cluster_id(0)}")["Status"] == "deleted"


@pytest.fixture
def similar(shell: Shell) -> Shell:
    """The shell, at a lake that has two groups of similar images too."""
    shell.maker.group(0)
    shell.maker.group(1, kind="burst", update_time=NOON + DAY)
    return shell


def test_similar_images_in_a_table_to_read(similar: Shell) -> None:
    printed = similar("query similar-images")
    assert printed.splitlines()[0].split() == ["Kind", "Files", "Best", "picture", "Score", "Updated", "Id"]
    assert printed.splitlines()[1].split() == [
        *("burst", "3", group_uris(1)[0], "0.90", "2025-11-21", "12:00:00"),
        group_id(1).removeprefix("SimilarImageCluster-"),
    ]
    similar(f"update similar-images {group_id(0)} --title 'Two \x1b[31m' --keep {group_uris(0)[2]}")
    assert r"Two \x1b[31m" in similar("query similar-images --title TWO")
    assert "Kept" in similar("query similar-images --kind near-duplicates").splitlines()[0]


def test_similar_images_in_json(similar: Shell) -> None:
    similar(f"update similar-images {group_id(0)} --label a=b --custom-id 7 --keep {group_uris(0)[1]}")
    page = similar.json("query similar-images --label a=b")
    [cluster] = page["SimilarImageClusters"]
    assert cluster["ObjectId"] == group_id(0)
    assert (cluster["CustomLabels"], cluster["CustomId"], cluster["Kind"]) == ({"a": "b"}, "7", "near-duplicates")
    assert (cluster["FilesCount"], cluster["Cover"]) == (3, {"URI": group_uris(0)[1]})
    kept = {"ImageScore": 0.8, "Kind": "near-duplicate", "Similarity": 0.98, "Keep": True}
    assert cluster["Files"][0] == {"URI": group_uris(0)[1], **kept}
    assert [file["URI"] for file in cluster["Files"][1:]] == [group_uris(0)[0], group_uris(0)[2]]
    assert cluster["CreateTime"] == "2025-11-20T12:00:00Z"
    assert "NextToken" not in page
    first = similar.json("query similar-images --max-results 1 --sort create-time --order asc")
    assert "NextToken" in first
    both = similar.json("query similar-images --max-results 0 --updated-from 2025-11-20T20:00:00+08:00 --sort files")
    assert len(both["SimilarImageClusters"]) == 2
    assert similar.json("query similar-images --updated-from 2025-11-21T20:00:01+08:00 --kind burst") != first


@pytest.mark.long
def test_changes_of_similar_images_say_what_was_done(similar: Shell) -> None:
    a, b, c = group_uris(0)
    assert similar(f"update similar-images {group_id(0)} --title Lake --keep {a} --keep {b}") == (
        f"Updated 3 near-duplicates ({group_id(0)}): title now 'Lake', kept {a}, {b}.\n"
    )
    printed = similar(f"update similar-images {group_id(0)} --not-similar {c} --unkeep {a}")
    assert printed.startswith(f"Updated Lake ({group_id(0)}): no longer kept {a}, not similar {c}. To undo: --similar.")
    assert similar.json(f"query similar-images --id {group_id(0)}")["SimilarImageClusters"][0]["FilesCount"] == 2
    assert f"similar again {c}" in similar(f"update similar-images {group_id(0)} --similar {c}")
    assert "is not a picture of cluster" in similar(f"update similar-images {group_id(0)} --cover oss://b/x.jpg", 1)
    bare = group_id(0).removeprefix("SimilarImageCluster-")
    assert f"To undo: lakealbum undelete similar-images {group_id(0)}" in similar(f"delete similar-images {bare}")
    assert "they are back" in similar(f"undelete similar-images {bare}")


@pytest.mark.parametrize("prefix", ["", "SimilarImageCluster-"])
def test_files_of_similar_images(similar: Shell, prefix: str) -> None:
    similar.maker.insert("files", [similar.maker.file(uri, image_width=40, image_height=30) for uri in group_uris(0)])
    uuid = group_id(0).removeprefix("SimilarImageCluster-")
    page = similar.json(f"query files --cluster {prefix}{uuid} --max-results 2")
    assert [(f["URI"], f["ImageScore"], f["ImageWidth"]) for f in page["Files"]] == [
        (group_uris(0)[0], 0.9, 40),
        (group_uris(0)[1], 0.8, 40),
    ]
    rest = similar(f"query files --cluster {prefix}{uuid} --max-results 2 --next-token {page['NextToken']}")
    assert rest.splitlines()[1].split()[:6] == ["0.70", "near-duplicate", "0.970", "40", "x", "30"]


def test_similar_images_are_explained(similar: Shell) -> None:
    maker = similar.maker
    a, b, c = group_uris(0)
    key = {name: maker.similar_cluster(0)[name] for name in ("bucket", "project_name", "dataset_name")}
    maker.insert("similar_image_pairs", [maker.pair(a, b), maker.pair(b, c, distance=2, similarity=0.99)])
    maker.insert("similar_image_pairs", [maker.pair(a, group_uris(1)[0])])
    options = {"max_distance": 31}
    state = {**key, "kind": "similar-images", "evidence_versions": {"similar_image_pairs": 2}, "edits_version": 0}
    maker.insert("dataset_state", [{**state, "options": json.dumps(options), "update_time": NOON, "run_id": "run-1"}])
    event = {**key, "kind": "similar-images", "object_id": group_id(0), "event": "created", "reason": "first seen"}
    maker.insert("cluster_events", [{**event, "files": 3, "cluster_version": 1, "event_time": NOON, "run_id": "run-0"}])
    similar(f"update similar-images {group_id(0)} --title Lake --not-similar {c} --keep {b}")
    found = similar.json(f"explain {group_id(0)}")
    assert (found["Status"], found["Cluster"]["Title"], found["Options"]) == ("live", "Lake", options)
    assert (found["Cluster"]["FilesCount"], found["Cluster"]["Cover"], found["Cluster"]["State"]) == (
        2,
        {"URI": b},
        "live",
    )
    assert [(m["URI"], m["Kept"], m["Parted"]) for m in found["Evidence"]] == [
        *((b, True, False), (a, False, False), (c, False, True)),
    ]
    assert [(p["URI"], p["OtherURI"], p["Distance"]) for p in found["Pairs"]] in (
        [(b, c, 2), (a, b, 8)],
        [(c, b, 2), (a, b, 8)],
        [(b, c, 2), (b, a, 8)],
        [(c, b, 2), (b, a, 8)],
    )
    assert [e["Event"] for e in found["Events"]] == ["created"]
    assert [(e["Action"], e.get("URI")) for e in found["Edits"]] == [
        *(("update", None), ("keep", b), ("part", c)),
    ]
    printed = similar(f"explain {group_id(0).removeprefix('SimilarImageCluster-')}")
    for part in (
        "Lake (live)",
        "max_distance",
        "Evidence: its pictures",
        "Pairs of similar ones",
        "first seen",
        "part",
    ):
        assert part in printed


def test_similar_images_that_are_not_to_be_seen_are_explained(similar: Shell) -> None:
    maker = similar.maker
    maker.insert("similar_image_clusters", [maker.similar_cluster(7, state="gone", successor_id=group_id(0))])
    assert similar.json(f"explain {group_id(7)}")["Status"] == "gone"
    similar(f"delete similar-images {group_id(1)}")
    assert similar.json(f"explain {group_id(1)}")["Status"] == "deleted"
    similar(f"update similar-images {group_id(0)} --not-similar {group_uris(0)[0]} --not-similar {group_uris(0)[1]}")
    assert similar.json(f"explain {group_id(0)}")["Status"] == "emptied"
    assert "--similar URI" in similar(f"query files --cluster {group_id(0)}", 1)


def test_a_query_loads_neither_spark_nor_what_jobs_need(maker: LakeMaker) -> None:
    script = (
        "import sys; from jobs.cli.main import lakealbum, run; "
        f"run(lakealbum, ['query', 'location-date', '--lake', {maker.root!r}, '--project', 'demo', '--json']); "
        "print([m for m in ('pyspark', 'pydantic', 'rich', 'yaml', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
