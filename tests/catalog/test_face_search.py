"""Whose face it is: the nearest people of lakes of a few faces, against a plain comparison with every founder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catalog.edits import append_edit
from catalog.face_search import Faces, find_face, nearest_people, read_faces
from catalog.figures import Change, ignore_person, update_person
from catalog.lake import Row, Scope
from schemas.cluster_kinds import PEOPLE
from schemas.errors import NotFound, UsageError
from tests.catalog.conftest import LakeMaker, person_id
from tests.catalog.test_commands import Shell

LENGTH = 8
DIRECTIONS = np.linalg.qr(np.random.default_rng(1).standard_normal((LENGTH, LENGTH)))[0]


def embedding(person: int, shift: float = 0.0, towards: int = 7) -> list[float]:
    """A face of a person, drawn a little towards another direction; not of length 1."""
    return [float(each) for each in 3 * (DIRECTIONS[person] + shift * DIRECTIONS[towards])]


def founders(person: int) -> list[list[float]]:
    """The three faces that found a person: as its direction is, and drawn two ways."""
    return [embedding(person), embedding(person, 0.5, 6), embedding(person, 0.5, 7)]


def named(person: int, embeddings: list[list[float]]) -> dict[str, list[float]]:
    """Embeddings by the names of a person's faces: p<person>-<n>."""
    return {f"p{person}-{n}": each for n, each in enumerate(embeddings)}


@pytest.fixture
def people(maker: LakeMaker) -> LakeMaker:
    """Persons 0 and 1 of ada and 2 of ben, each of three founders; ada's 0 has a face that joined, far from them."""
    maker.person(0, named(0, founders(0)), faces=4)
    maker.person(1, named(1, founders(1)))
    maker.person(2, named(2, founders(2)), "ben")
    maker.faces(0, {"p0-9": embedding(3)}, role="joined")
    maker.faces(None, {"pNone-0": embedding(1, 1.0)}, role=None)
    return maker


@pytest.fixture
def shell(people: LakeMaker, capsys: pytest.CaptureFixture[str]) -> Shell:
    """A shell at their lake."""
    return Shell(people, capsys)


def cosine(one: list[float], other: list[float]) -> float:
    """The cosine of two embeddings."""
    return float(np.dot(one, other) / np.linalg.norm(one) / np.linalg.norm(other))


def faces(*rows: list[float]) -> Faces:
    """Faces of these embeddings."""
    return Faces(np.array([np.array(row) / np.linalg.norm(row) for row in rows], np.float32))


def found(maker: LakeMaker, asked: Faces, scope: Scope | None = None, **options: Any) -> list[tuple[str, float]]:
    """Who is nearest, and how similar."""
    return [
        (row["object_id"], row["similarity"])
        for row in nearest_people(maker.lake, scope or maker.scope, asked, **options)
    ]


def test_the_nearest_founder_decides(people: LakeMaker) -> None:
    asked = embedding(0, 0.8)
    expected = {
        person_id(number): max(0.0, *(cosine(asked, founder) for founder in founders(number))) for number in range(3)
    }
    rows = found(people, faces(asked))
    assert rows == [
        (person, pytest.approx(expected[person], abs=1e-6))
        for person in sorted(expected, key=lambda p: (-expected[p], p))
    ]
    assert rows[0][0] == person_id(0)
    assert found(people, faces(asked), max_results=1) == rows[:1]
    # the face that joined is not looked at
    assert found(people, faces(embedding(3)))[0][1] == pytest.approx(0, abs=1e-6)


def test_all_faces_stand_for_a_person_whose_founders_are_gone(people: LakeMaker) -> None:
    people.person(5, {"p5-0": embedding(5)}, "ben", founders=0)
    people.faces(5, {"p5-1": embedding(4)}, "ben", role="joined")
    assert found(people, faces(embedding(4)), max_results=1) == [(person_id(5), pytest.approx(1, abs=1e-6))]


def test_each_face_is_answered_by_itself(people: LakeMaker) -> None:
    rows = nearest_people(people.lake, people.scope, faces(embedding(1), embedding(2)), 1)
    assert [(row["face"], row["object_id"], row["faces"]) for row in rows] == [
        (1, person_id(1), 3),
        (2, person_id(2), 3),
    ]


def test_scope_and_edits_narrow(people: LakeMaker) -> None:
    asked = faces(embedding(2))
    assert found(people, asked)[0][0] == person_id(2)
    assert {person for person, _ in found(people, asked, Scope("demo", ("ada",)))} == {person_id(0), person_id(1)}
    ignore_person(people.lake, people.scope, person_id(2))
    assert {person for person, _ in found(people, asked)} == {person_id(0), person_id(1)}
    [row] = [row for row in people.lake.read("SELECT * FROM figure_clusters", "figure_clusters") if row["faces"] == 4]
    append_edit(people.lake, PEOPLE.name, row, "update", title="Ada")
    assert "Ada" in {row["title"] for row in nearest_people(people.lake, people.scope, asked)}


def test_a_face_of_the_lake_is_not_compared_with_itself(people: LakeMaker) -> None:
    asked = find_face(people.lake, people.scope, "p1-0")
    assert asked.boundaries == ({"left": 1, "top": 2, "width": 120, "height": 140},)
    person, similarity = found(people, asked)[0]
    assert person == person_id(1)
    assert similarity == pytest.approx(cosine(embedding(1), embedding(1, 0.5)), abs=1e-6)
    with pytest.raises(NotFound, match="no face 'p9-0' in project 'demo'"):
        find_face(people.lake, people.scope, "p9-0")
    with pytest.raises(NotFound, match="no face 'p2-0'"):
        find_face(people.lake, Scope("demo", ("ada",)), "p2-0")
    people.insert("figures", [people.figure("p1-0", embedding(1), "ben"), people.figure("blank", None)])
    with pytest.raises(UsageError, match="datasets ada, ben; choose one with --dataset"):
        find_face(people.lake, people.scope, "p1-0")
    with pytest.raises(UsageError, match="has no embedding"):
        find_face(people.lake, people.scope, "blank")


def test_people_of_other_embeddings_are_left_out(people: LakeMaker) -> None:
    people.person(4, named(4, [[1.0, 2.0, 3.0]] * 3), "ben")
    assert {person for person, _ in found(people, faces(embedding(2)))} == {person_id(number) for number in range(3)}
    assert found(people, faces([1.0, 2.0, 3.0])) == [(person_id(4), pytest.approx(1))]
    with pytest.raises(UsageError, match="has 5 numbers; those of the lake's people have 3 or 8"):
        found(people, faces([1.0] * 5))
    with pytest.raises(UsageError, match="has 3 numbers; those of the lake's people have 8"):
        found(people, faces([1.0] * 3), Scope("demo", ("ada",)))


def test_people_are_shown_with_the_cover_that_was_chosen(people: LakeMaker) -> None:
    update_person(people.lake, people.scope, person_id(1), Change({"cover_figure_id": "p1-2"}))
    (nearest,) = nearest_people(people.lake, people.scope, faces(embedding(1)), 1)
    assert (nearest["object_id"], nearest["cover_figure_id"], nearest["cover_uri"]) == (
        *(person_id(1), "p1-2", "oss://b/p1-2.jpg"),
    )


def test_a_lake_without_people_has_none_that_are_near(maker: LakeMaker) -> None:
    assert found(maker, faces(embedding(1))) == []


def written(path: Path, rows: Any) -> Path:
    """A file of embeddings, in the format that its name tells."""
    if path.suffix == ".json":
        path.write_text(rows if isinstance(rows, str) else json.dumps(rows), encoding="utf-8")
    elif path.suffix == ".npy":
        np.save(path, np.array(rows))
    else:
        pq.write_table(pa.table({"embedding": pa.array(rows, pa.list_(pa.float32()))}), path)
    return path


@pytest.mark.parametrize(
    ("name", "rows", "count"),
    [
        ("one.json", embedding(1), 1),
        ("two.json", [embedding(1), embedding(2)], 2),
        ("one.npy", embedding(1), 1),
        ("two.npy", [embedding(1), embedding(2)], 2),
        ("two.parquet", [embedding(1), embedding(2)], 2),
    ],
)
def test_files_of_faces(tmp_path: Path, name: str, rows: Any, count: int) -> None:
    read = read_faces(written(tmp_path / name, rows)).rows
    expected = np.array([DIRECTIONS[1], DIRECTIONS[2]])[:count]
    assert np.allclose(read, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "rows", "message"),
    [
        ("face.txt", None, r"ends in '.txt'; .json, .npy, .parquet are accepted"),
        ("none.json", None, "holds no embeddings"),
        ("broken.json", "[1, 2", "holds no embeddings"),
        ("words.json", ["a", "b"], "holds no embeddings"),
        ("object.json", {"embedding": [1]}, "holds no embeddings"),
        ("uneven.json", [[1, 2], [1]], "holds no embeddings"),
        ("empty.json", [], "1 to 100 embeddings"),
        ("many.npy", [[1.0, 2.0]] * 101, "101 x 2; 1 to 100 embeddings"),
        ("deep.npy", [[[1.0]]], "1 x 1 x 1"),
        ("zero.npy", [0.0, 0.0], "not all of them 0"),
        ("nan.npy", [float("nan"), 1.0], "finite"),
        ("null.parquet", [[1.0, 2.0], None], "holds no embeddings"),
    ],
)
def test_files_without_faces_are_refused(tmp_path: Path, name: str, rows: Any, message: str) -> None:
    path = tmp_path / name
    if rows is not None:
        written(path, rows)
    with pytest.raises(UsageError, match=message):
        read_faces(path)


def test_searching_as_typed(shell: Shell, tmp_path: Path) -> None:
    one = written(tmp_path / "one.npy", embedding(0, 0.1))
    two = written(tmp_path / "two.json", [embedding(0), embedding(2)])
    answer: Row = shell.json(f"query figures --face {one} --max-results 2")
    assert answer.keys() == {"Clusters", "RequestId"}
    first, second = answer["Clusters"]
    assert first["ClusterId"] == first["ObjectId"] == person_id(0)
    assert first["FaceCount"] == 4
    assert 1 >= first["Similarity"] > second["Similarity"] >= 0
    assert "Face" not in first
    assert shell.json("query figures --like p1-0")["Clusters"][0]["Boundary"] == {
        "Left": 1, "Top": 2, "Width": 120, "Height": 140,
    }  # fmt: skip
    printed = shell(f"query figures --face {two} --max-results 1").splitlines()
    assert printed[0].split()[:4] == ["Face", "Similarity", "Dataset", "Faces"]
    assert printed[1].split()[:3] == ["1", "1.000", "ada"]
    assert printed[2].split()[:3] == ["2", "1.000", "ben"]
    assert shell("query figures --like p1-0 --dataset ada").splitlines()[0].split()[:2] == ["Similarity", "Faces"]
    assert "exclude each other" in shell(f"query figures --face {one} --like p1-0", 2)
    assert "--object-id, --name, --sort, --total cannot be given together with --like" in shell(
        f"query figures --like p1-0 --name A --sort FaceCount --total --id {person_id(1)}", 2
    )
    assert "0 to 100" in shell("query figures --like p1-0 --max-results 101", 2)
    assert "has 1 numbers" in shell(f"query figures --face {written(tmp_path / 'short.json', [5])}", 2)


@pytest.mark.long
def test_no_more_than_ten_people_unless_asked(shell: Shell) -> None:
    for number in range(3, 12):
        shell.maker.person(number, named(number, founders(number % 6)))
    assert len(shell.json("query figures --like p1-0")["Clusters"]) == 10
    assert len(shell.json("query figures --like p1-0 --max-results 0")["Clusters"]) == 12
