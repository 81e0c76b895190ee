"""Why a person exists: the faces and what made them good, runs, options, events, and what people said."""

from __future__ import annotations

import json
from typing import Any

import pytest

from catalog.explain import FACES_SHOWN
from catalog.lake import Row
from tests.catalog.conftest import DAY, NOON, LakeMaker, edit, person_id
from tests.catalog.test_commands import Shell


def key(maker: LakeMaker) -> Row:
    """What tells ada's dataset."""
    return {name: maker.file("x")[name] for name in ("bucket", "project_name", "dataset_name")}


def person(maker: LakeMaker, number: int, **given: Any) -> Row:
    """A row of `figure_clusters`."""
    counts = {"faces": 3, "founders": 2, "files": 3, "images": 3, "videos": 0}
    lineage = {"representative": "f1", "anchor": "f1", "generation": 1, "run_id": "run-1"}
    cover = {"cover_figure_id": "f1", "cover_uri": "oss://b/f1.jpg"}
    times = {"create_time": NOON, "update_time": NOON}
    return {
        **key(maker),
        "object_id": person_id(number),
        "state": "live",
        **counts,
        **cover,
        **lineage,
        **times,
        **given,
    }


def add_face(maker: LakeMaker, name: str, role: str, confidence: float, **given: Any) -> None:
    """Writes a face of person 0, good unless told otherwise."""
    shown = {**key(maker), "figure_id": name, "uri": f"oss://b/{name}.jpg", "run_id": "run-1"}
    looks = {
        "boundary": {"left": 0, "top": 0, "width": 76, "height": 90},
        "head_pose": {"yaw": 29.5, "pitch": -29.5, "roll": 0.0},
        "face_quality": 0.85,
        "embedding": [1.0, 0.0],
    }
    maker.insert("figures", [maker.figure(name, **looks | given)])
    maker.insert("figure_members", [{**shown, "object_id": person_id(0), "role": role, "confidence": confidence}])


@pytest.fixture
def shell(maker: LakeMaker, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    """A shell at a lake of one person of ada's, of three faces."""
    monkeypatch.delenv("LAKEALBUM_LAKE", raising=False)
    maker.insert("figure_clusters", [person(maker, 0)])
    add_face(maker, "f2", "founder", 0.9)
    add_face(maker, "f1", "founder", 1.0)
    add_face(maker, "f3", "joined", 0.95, face_quality=0.8)
    return Shell(maker, capsys)


def test_a_person_is_explained(shell: Shell) -> None:
    maker = shell.maker
    options = {"profile": {"noise": 0.5}}
    state = {
        **key(maker),
        "kind": "figures",
        "evidence_versions": {"figures": 2},
        "edits_version": 0,
        "run_id": "run-1",
    }
    maker.insert("dataset_state", [{**state, "options": json.dumps(options), "update_time": NOON}])
    event = {**key(maker), "kind": "figures", "object_id": person_id(0), "event": "created", "reason": "new members"}
    maker.insert("cluster_events", [{**event, "files": 3, "cluster_version": 1, "event_time": NOON, "run_id": "run-0"}])
    ran = {"task_id": "t", "job": "cluster-figures", "project_name": "demo", "parameters": "{}", "config_hash": "h"}
    ran |= {"code_version": "1", "status": "Succeeded", "inputs": {"figures": 2}}
    maker.insert("runs", [{**ran, "run_id": f"run-{n}", "start_time": NOON + n * DAY} for n in (2, 1, 0)])
    shell(f"update figures {person_id(0)} --name 'Ada \x1b[31m' --not-this-person f3")
    found = shell.json(f"explain {person_id(0)}")
    assert (found["Status"], found["Options"], found["Cluster"]["Name"]) == ("live", options, "Ada \x1b[31m")
    assert {name: found["Cluster"][name] for name in ("FaceCount", "State", "Anchor", "RunId")} == {
        "FaceCount": 3, "State": "live", "Anchor": "f1", "RunId": "run-1",
    }  # fmt: skip
    assert [(face["FigureId"], face["Role"], face["Good"]) for face in found["Evidence"]] == [
        ("f1", "founder", True), ("f2", "founder", True), ("f3", "joined", False),
    ]  # fmt: skip
    assert found["Evidence"][1] == {
        "FigureId": "f2", "URI": "oss://b/f2.jpg", "Role": "founder", "Confidence": 0.9, "Good": True,
        "FaceQuality": pytest.approx(0.85), "Width": 76, "Height": 90, "Yaw": 29.5, "Pitch": -29.5, "Roll": 0.0,
    }  # fmt: skip
    assert [run["RunId"] for run in found["Runs"]] == ["run-0", "run-1"]
    assert [event["Event"] for event in found["Events"]] == ["created"]
    assert [(e["Action"], e.get("FigureId")) for e in found["Edits"]] == [("update", None), ("part", "f3")]
    assert "Pairs" not in found
    printed = shell(f"explain {person_id(0).removeprefix('Cluster-')}")
    for part in (
        r"Ada \x1b[31m (live)",
        "the faces, founders first\n",
        "oss://b/f3.jpg",
        "new members",
        "part",
        "noise",
    ):
        assert part in printed


@pytest.mark.long
@pytest.mark.parametrize(
    "given",
    [
        {"boundary": {"left": 0, "top": 0, "width": 75, "height": 90}},
        {"boundary": {"left": 0, "top": 0, "width": 90, "height": 75}},
        {"boundary": None},
        {"head_pose": {"yaw": 30.0, "pitch": 0.0, "roll": 0.0}},
        {"head_pose": {"yaw": 0.0, "pitch": -30.0, "roll": 0.0}},
        {"head_pose": {"yaw": 0.0, "pitch": 0.0, "roll": None}},
        {"face_quality": None},
        {"embedding": None},
    ],
)
def test_what_makes_a_face_no_good_one(shell: Shell, given: Row) -> None:
    add_face(shell.maker, "f4", "joined", 0.5, **given)
    evidence = {face["FigureId"]: face["Good"] for face in shell.json(f"explain {person_id(0)}")["Evidence"]}
    assert evidence == {"f1": True, "f2": True, "f3": False, "f4": False}


def test_the_profile_of_a_model_tells_which_angles_are_good(shell: Shell) -> None:
    maker = shell.maker
    options = {"profile": {"good_angle": 20.0}, "families": {"yunet-sface": {"good_angle": 45.0}}}
    seen = {"kind": "figures", "evidence_versions": {"figures": 1}, "edits_version": 0, "update_time": NOON}
    maker.insert("dataset_state", [{**key(maker), **seen, "options": json.dumps(options), "run_id": "run-1"}])
    averted = {"head_pose": {"yaw": 40.0, "pitch": 0.0, "roll": 0.0}}
    add_face(maker, "f4", "joined", 0.5, **averted, model="yunet-sface/1")
    add_face(maker, "f5", "joined", 0.4, **averted, model="another/1")
    evidence = {face["FigureId"]: face["Good"] for face in shell.json(f"explain {person_id(0)}")["Evidence"]}
    assert evidence == {"f1": False, "f2": False, "f3": False, "f4": True, "f5": False}


def test_a_long_person_shows_some_faces_and_says_so(shell: Shell) -> None:
    maker = shell.maker
    more = [
        {**key(maker), "figure_id": f"g{n:03d}", "uri": "oss://b/g.jpg", "run_id": "run-1"} for n in range(FACES_SHOWN)
    ]
    theirs = {"object_id": person_id(0), "role": "joined", "confidence": 0.5}
    maker.insert("figure_members", [row | theirs for row in more])
    found = shell.json(f"explain {person_id(0)}")["Evidence"]
    assert [face["FigureId"] for face in found] == ["f1", "f2", "f3", *(f"g{n:03d}" for n in range(FACES_SHOWN - 3))]
    maker.rewrite("figure_clusters", [person(maker, 0, faces=FACES_SHOWN + 3)])
    assert f"founders first; {FACES_SHOWN} of {FACES_SHOWN + 3}" in shell(f"explain {person_id(0)}")


def test_people_who_are_not_to_be_seen_are_explained(shell: Shell) -> None:
    maker = shell.maker
    gone = {"state": "gone", "last_figures": ["f1"]}
    maker.insert(
        "figure_clusters",
        [person(maker, 1, **gone, successor_id=person_id(0)), person(maker, 2, **gone), person(maker, 3)],
    )
    maker.insert("cluster_edits", [edit(1, person_id(1), kind="figures", title="Countess")])
    merged = shell.json(f"explain {person_id(1)}")
    assert (merged["Status"], merged["Cluster"]["SuccessorId"]) == ("merged", person_id(0))
    assert (merged["Cluster"]["Name"], merged["Evidence"]) == ("Countess", [])
    assert shell.json(f"explain {person_id(0)}")["Cluster"]["Name"] == "Countess"
    assert shell.json(f"explain {person_id(2)}")["Status"] == "gone"
    shell(f"delete figures {person_id(3)}")
    assert shell.json(f"explain {person_id(3)}")["Status"] == "deleted"
    assert f"there is no cluster {person_id(4)} in project 'demo'" in shell(f"explain {person_id(4)}", 1)
    maker.insert("cluster_edits", [edit(3, person_id(5), "erase", kind="figures", figure_digests=["x"])])
    assert f"after `lakealbum undelete figures {person_id(5)} --project demo`" in shell(f"explain {person_id(5)}", 1)
    assert "faces that were erased can come back" in shell(f"undelete figures {person_id(5)}")
    assert "there is no cluster" in shell(f"explain {person_id(5)}", 1)
