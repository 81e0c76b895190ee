"""People through the jobs' own functions: founding, joining, ids, what people decide, who stays and who goes."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from catalog.edits import append_edit
from catalog.face_search import find_face, nearest_people
from catalog.figures import Change, FaceMarks, FigureQuery, files_of_person, query_figures, update_person
from catalog.lake import Lake, Scope
from catalog.paging import Page
from jobs.cluster_figures import what_changed
from jobs.people.waiting import WAITING
from jobs.runtime.runs import print_result
from schemas.errors import UsageError
from tests.jobs.albums import PROJECT, WAYS, WAYS_SLOW, Album, Row

pytestmark = pytest.mark.long

SCOPE = Scope(PROJECT, ("ada",))


def unit(row: np.ndarray) -> np.ndarray:
    """A row of length 1."""
    return row / np.linalg.norm(row)


LOOKS = {name: unit(np.random.default_rng(ord(name)).standard_normal(64)) for name in "abcx"}


def face(name: str, *, good: bool = True, image: str | None = None, **more: object) -> Row:
    """A face of the person that its name begins with."""
    noise = np.random.default_rng(sum(map(ord, name)) * 1009).standard_normal(64) / 8
    embedding = unit(LOOKS[name[0]] + (0.5 if good else 0.8) * noise)
    row: Row = {
        "dataset_name": "ada",
        "figure_id": name,
        "uri": f"s3://ada/{image or name}.jpg",
        "boundary": {"left": 1, "top": 2, "width": 120, "height": 140},
        "head_pose": {"yaw": 3.0, "pitch": -2.0, "roll": 0.0},
        "face_quality": 0.95 if good else 0.6,
        "age": 40 + len(name),
        "gender": "female",
        "embedding": [round(float(value), 6) for value in embedding],
    }
    return row | more


def index(album: Album, faces: list[Row]) -> None:
    """Puts in faces, and the pictures that show them."""
    uris = sorted({row["uri"] for row in faces})
    album.deliver([{"dataset_name": "ada", "uri": uri, "media_type": "image"} for uri in uris])
    album.deliver_faces(faces)


def people(album: Album) -> dict[frozenset[str], str]:
    """The faces of each person, and the person's id."""
    found: dict[str, set[str]] = {}
    for row in album.rows("figure_members"):
        if row["object_id"]:
            found.setdefault(row["object_id"], set()).add(row["figure_id"])
    return {frozenset(names): object_id for object_id, names in found.items()}


def live(album: Album) -> dict[str, Row]:
    """The people who are."""
    return {row["object_id"]: row for row in album.rows("figure_clusters") if row["state"] == "live"}


A, B = {"a1", "a2", "a3", "a-poor"}, {"b1", "b2", "b3"}


@pytest.fixture
def album(tmp_path: Path, way: Row) -> Album:
    """Two people, one of two good faces who is none yet, and a passer-by."""
    album = Album(tmp_path, way)
    names = sorted(A | B | {"c1", "c2", "x"})
    index(album, [face(name, good=name != "a-poor") for name in names])
    album.cluster_figures()
    return album


@WAYS
def test_people_are_founded_kept_and_obeyed(album: Album) -> None:
    first = people(album)
    assert set(first) == {frozenset(A), frozenset(B)}
    a, b = first[frozenset(A)], first[frozenset(B)]
    row = live(album)[a]
    counts = ("faces", "founders", "files", "images", "videos", "min_age", "max_age", "gender")
    assert {name: row[name] for name in counts} == {
        "faces": 4, "founders": 3, "files": 4, "images": 4, "videos": 0, "min_age": 42, "max_age": 46,
        "gender": "female",
    }  # fmt: skip
    members = {row["figure_id"]: row for row in album.rows("figure_members")}
    assert {name: members[name]["role"] for name in ("a1", "a-poor", "c1", "x")} == {
        "a1": "founder", "a-poor": "joined", "c1": None, "x": None,
    }  # fmt: skip
    assert members["a1"]["confidence"] == 1
    assert 0.3 <= members["a-poor"]["confidence"] < 1
    lake = Lake(album.lake)
    [nearest] = nearest_people(lake, SCOPE, find_face(lake, SCOPE, "a-poor"), 1)
    assert nearest["object_id"] == a
    versions = album.versions()
    album.cluster_figures()
    assert album.versions() == versions

    # what people say, and new faces: c is founded now, b joins a by their word, one face of a's is not a's
    update_person(lake, SCOPE, a, Change({"title": "Ada"}, FaceMarks(part=("a-poor",), join=("x",)), merge=(b,)))
    index(album, [face("c3"), face("a4")])
    done = what_changed(album.cluster_figures())
    found = people(album)
    c = found[frozenset({"c1", "c2", "c3"})]
    assert done == {
        "NewClusterCount": 1, "UpdatedClusterCount": 2, "UpdatedFigureCount": 9,
        "NewClusterIds": [c], "UpdatedClusterIds": sorted([a, b]),
    }  # fmt: skip
    assert found[frozenset(A - {"a-poor"} | B | {"a4", "x"})] == a
    assert set(map(frozenset, found)) == {frozenset(A - {"a-poor"} | B | {"a4", "x"}), frozenset({"c1", "c2", "c3"})}
    page: Page = query_figures(lake, FigureQuery(SCOPE, title="ada"))
    assert [(row["object_id"], row["faces"]) for row in page.rows] == [(a, 8)]
    assert [row["figure_ids"] for row in files_of_person(lake, SCOPE, a, 2).rows] == [["a1"], ["a2"]]
    album.cluster_figures(full=True)
    assert people(album) == found


@WAYS_SLOW
def test_what_people_said_is_undone_and_who_loses_a_founder_stays(album: Album) -> None:
    lake, first = Lake(album.lake), people(album)
    a, b = first[frozenset(A)], first[frozenset(B)]
    update_person(lake, SCOPE, a, Change({"title": "Ada"}, FaceMarks(part=("a-poor",), join=("x",)), merge=(b,)))
    index(album, [face("c3"), face("a4")])
    album.cluster_figures()
    c = people(album)[frozenset({"c1", "c2", "c3"})]

    clusters = {row["object_id"]: row for row in album.rows("figure_clusters")}
    append_edit(lake, "figures", clusters[b], "unmerge")
    append_edit(lake, "figures", clusters[a], "rejoin", figure_id="a-poor")
    append_edit(lake, "figures", clusters[a], "leave", figure_id="x")
    album.remove("s3://ada/b1.jpg", "s3://ada/c1.jpg", dataset="ada")
    album.cluster_figures()
    assert people(album) == {frozenset(A | {"a4"}): a, frozenset({"b2", "b3"}): b, frozenset({"c2", "c3"}): c}

    # a person is there until there is no picture any more
    album.remove("s3://ada/c2.jpg", dataset="ada")  # at once, without a clustering
    assert people(album)[frozenset({"c3"})] == c
    assert [live(album)[c][name] for name in ("faces", "images", "cover_uri")] == [1, 1, "s3://ada/c3.jpg"]
    album.remove("s3://ada/c3.jpg", dataset="ada")
    assert set(live(album)) == {a, b}
    before = people(album), live(album)
    album.cluster_figures()
    assert (people(album), live(album)) == before
    assert not {"c1", "c2", "c3"} & {row["figure_id"] for row in album.rows("figures")}
    assert {event for event, _ in album.events()} == {
        "created",
        "extended",
        "merged_into",
        "revived",
        "shrunk",
        "removed",
    }


def test_faces_whose_files_are_not_indexed_are_counted_and_join_once_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    album = Album(tmp_path)
    faces = [face(name) for name in sorted(B | {"c1", "c2"})]
    index(album, faces[:1])
    indexed = album.index(faces, rows="figures")
    assert indexed.ledger.row_counts[WAITING] == 4
    waiting = album.cluster_figures()
    assert waiting.ledger.row_counts[WAITING] == 4
    assert people(album) == {}
    print_result(waiting, as_json=False)
    assert re.search(rf"{WAITING} +4  s3://ada/b2.jpg is not among the files", capsys.readouterr().out)
    index(album, faces)
    assert WAITING not in album.cluster_figures().ledger.row_counts
    assert set(people(album)) == {frozenset(B)}


def at_cosine(cosine: float, names: list[str], **more: object) -> list[Row]:
    """Good faces of which every two have this cosine."""
    own = np.eye(64)[: len(names) + 1]
    rows = np.sqrt(cosine) * own[-1] + np.sqrt(1 - cosine) * own[:-1]
    return [face(name, **more, embedding=row.tolist()) for name, row in zip(names, rows, strict=True)]


@WAYS_SLOW
def test_faces_are_grouped_by_the_profile_of_their_model_and_of_one_alone(tmp_path: Path, way: Row) -> None:
    """Three faces that are one person by the defaults, and not by SFace's profile, whose strangers are more alike."""
    album = Album(tmp_path, way)
    no_model = at_cosine(0.37, ["a1", "a2", "a3"], age=None, gender=None)
    ours, strange = ({"model": model, "age": None} for model in ("yunet-sface/1", "somebody-elses/3"))
    index(album, no_model)
    for dataset, faces in (
        ("bob", at_cosine(0.37, ["b1", "b2", "b3"], **ours)),
        ("cleo", at_cosine(0.37, ["c1", "c2", "c3"], **strange)),
        ("dora", at_cosine(0.50, ["x1", "x2", "x3"], **ours)),
    ):
        rows = [row | {"dataset_name": dataset} for row in faces]
        album.deliver([{"dataset_name": dataset, "uri": row["uri"], "media_type": "image"} for row in rows])
        album.deliver_faces(rows)
    album.cluster_figures()
    assert set(people(album)) == {frozenset(f"{name}{n}" for n in (1, 2, 3)) for name in "acx"}
    [unaged] = [row for row in live(album).values() if row["dataset_name"] == "ada"]
    assert [unaged[name] for name in ("min_age", "max_age", "average_age", "gender")] == [None] * 4
    by_gender = query_figures(Lake(album.lake), FigureQuery(Scope(PROJECT, ()), sort="Gender")).rows
    assert [row["gender"] for row in by_gender] == [None, "female", "female"]

    album.deliver_faces([no_model[0] | {"model": "yunet-sface/1"}])
    told = r"'ada' has faces of 2 models.*2 of no model that is named, 1 of yunet-sface/1\. .*index --faces --again"
    with pytest.raises(UsageError, match=told):
        album.cluster_figures()
    album.deliver_faces([row | {"model": "yunet-sface/1"} for row in no_model])
    album.cluster_figures()
    assert {frozenset(faces) for faces in people(album)} >= {frozenset({"c1", "c2", "c3"})}
