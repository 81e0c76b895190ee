"""Faces found in pictures as rows: their ids, and which of them are where an erased one was."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from schemas.cluster_edits import FIGURE_PLACE
from schemas.figures import FIGURES, FOUND_ID
from transforms.people.found_faces import LOOKED_AT, flatten_faces, is_erased, name_faces

Box = tuple[int, int, int, int]
HASH = "0f" * 32
NEAR = "0f" * 31 + "00"
FAR = "f0" * 32


def looked_at(uri: str, *boxes: Box, **more: Any) -> dict[str, Any]:
    """A picture of 1000 x 500 with faces in boxes."""
    sides = ("left", "top", "width", "height")
    faces = [
        {
            "boundary": dict(zip(sides, box, strict=True)),
            "head_pose": None,
            "face_quality": 0.9,
            "embedding": [1.0, 0.0],
        }
        for box in boxes
    ]
    told = {"bucket": 1, "project_name": "p", "dataset_name": "ada", "uri": uri, "object_id": uri, "model": "m/1"}
    look = {"content_hash": uri * 2, "perceptual_hash": HASH, "perceptual_hash_quality": 100}
    seen = {"image_width": 1000, "image_height": 500, "faces": faces}
    return told | look | seen | more


def flat(*pictures: dict[str, Any]) -> pa.Table:
    return flatten_faces(pa.Table.from_pylist(list(pictures), schema=LOOKED_AT))


def known(*faces: tuple[str, str, Box]) -> pa.Table:
    """Rows of `figures`: id, uri and box."""
    sides = ("left", "top", "width", "height")
    rows = [
        {"bucket": 1, "project_name": "p", "dataset_name": "ada", "figure_id": name, "uri": uri,
         "boundary": dict(zip(sides, box, strict=True))}
        for name, uri, box in faces
    ]  # fmt: skip
    return pa.Table.from_pylist(rows, schema=pa.schema([(c.name, c.type) for c in FIGURES.columns]))


def test_faces_become_rows_with_their_picture_s_columns() -> None:
    rows = flat(looked_at("a", (100, 50, 200, 100), (0, 0, 10, 10)), looked_at("b"), looked_at("c", faces=None))
    assert rows["uri"].to_pylist() == ["a", "a"]
    first = {name: rows[name][0].as_py() for name in ("left", "top", "right", "bottom")}
    assert {name: round(value, 3) for name, value in first.items()} == {
        "left": 0.1, "top": 0.1, "right": 0.3, "bottom": 0.3,
    }  # fmt: skip


def test_a_face_that_is_where_one_was_keeps_its_id() -> None:
    old = known(
        ("Face-1", "a", (100, 100, 50, 50)), ("Face-2", "a", (300, 100, 50, 50)), ("Face-3", "b", (100, 100, 50, 50))
    )
    rows = flat(looked_at("a", (305, 102, 50, 48), (500, 0, 40, 40), (102, 98, 52, 50)))
    ids = name_faces(rows, known=old)["figure_id"].to_pylist()
    assert (ids[0], ids[2]) == ("Face-2", "Face-1")
    assert ids[1].startswith(FOUND_ID)


def test_new_ids_are_a_function_of_file_and_place_and_never_taken() -> None:
    rows = flat(looked_at("a", (100, 100, 50, 50), (101, 100, 50, 50)), looked_at("b", (100, 100, 50, 50)))
    ids = name_faces(rows, known=known())["figure_id"].to_pylist()
    assert len(set(ids)) == 3
    assert name_faces(rows, known=known())["figure_id"].to_pylist() == ids
    elsewhere = known((ids[0], "a", (900, 0, 20, 20)))
    assert name_faces(rows, known=elsewhere)["figure_id"].to_pylist()[0] not in ids


def test_no_face_is_in_no_picture() -> None:
    rows = flat(looked_at("a"))
    assert name_faces(rows, known=known(("Face-1", "a", (0, 0, 9, 9)))).num_rows == 0
    assert is_erased(rows, places()).tolist() == []


def places(*rows: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=pa.schema(list(FIGURE_PLACE)))


def place(**more: Any) -> dict[str, Any]:
    """Where an erased face was: in the picture `a`, from a tenth to three tenths."""
    box = {"left": 0.1, "top": 0.1, "right": 0.3, "bottom": 0.3}
    return {"uri": "a", "content_hash": "aa", "perceptual_hash": HASH, **box, **more}


def test_erased_faces_are_known_by_file_content_or_look_and_place() -> None:
    there, beside = (105, 52, 200, 100), (600, 52, 200, 100)
    other = {"perceptual_hash": FAR}
    pictures = flat(
        looked_at("a", there, beside, **other),  # the same file
        looked_at("b", there, beside, content_hash="aa", **other),  # the same content
        looked_at("c", there, beside, perceptual_hash=NEAR),  # a copy of it
        looked_at("d", there, perceptual_hash=NEAR, perceptual_hash_quality=10),  # flat as many are
        looked_at("e", there, **other),  # another picture
        looked_at("f", there, content_hash=None, perceptual_hash=None, perceptual_hash_quality=None),
    )
    found = zip(pictures["uri"].to_pylist(), is_erased(pictures, places(place())).tolist(), strict=True)
    assert list(found) == [
        ("a", True), ("a", False), ("b", True), ("b", False), ("c", True), ("c", False),
        ("d", False), ("e", False), ("f", False),
    ]  # fmt: skip
    assert not is_erased(pictures, places()).any()
    unknown = place(uri=None, content_hash=None, perceptual_hash=None)
    assert not is_erased(pictures, places(unknown)).any()
