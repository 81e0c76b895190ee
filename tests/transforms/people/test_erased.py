"""Erased faces: which they are, and how they are kept out."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pyarrow as pa

from schemas.cluster_edits import CLUSTER_EDITS
from transforms.people.erased import ERASED, drop_erased, erased_faces, refuse_erased

ADA = {"project_name": "demo", "dataset_name": "ada"}
JUDGED = pa.schema(
    [(name, pa.string()) for name in ("project_name", "dataset_name", "figure_id", "reason", "message", "row")]
)
EDITS = pa.schema([(column.name, column.type) for column in CLUSTER_EDITS.columns])


def digest(figure_id: str, dataset: str = "ada") -> str:
    """What an erased face is known by."""
    return hashlib.sha256(f"demo\n{dataset}\n{figure_id}".encode()).hexdigest()


def erased_of(*faces: str) -> pa.Table:
    """Erased faces of ada."""
    schema = pa.schema([(name, pa.string()) for name in ERASED])
    return pa.Table.from_pylist([{**ADA, "figure_digest": digest(face)} for face in faces], schema)


def test_the_last_word_about_a_person_says_whether_the_faces_are_erased() -> None:
    def edit(sequence: int, action: str, person: str, *faces: str) -> dict[str, Any]:
        row = {"sequence": sequence, "action": action, "object_id": person, "figure_digests": list(faces) or None}
        return {**dict.fromkeys(EDITS.names), **ADA, "kind": "figures", **row}

    told = [
        *(edit(2, "undelete", "A"), edit(1, "erase", "A", "1", "2"), edit(3, "erase", "A", "2", "3")),
        *(edit(4, "erase", "B"), edit(5, "erase", "C", "3"), edit(6, "erase", "D", "4"), edit(7, "undelete", "D")),
        *(edit(8, "undelete", "E"), edit(9, "update", "A")),
    ]
    for edits in (told, told[::-1]):
        found = erased_faces(pa.Table.from_pylist(edits, EDITS))
        assert sorted(found["figure_digest"].to_pylist()) == ["2", "3"]
    assert erased_faces(EDITS.empty_table()).num_rows == 0


def test_faces_are_erased_in_their_own_dataset() -> None:
    rows = [{"project_name": "demo", "dataset_name": name, "figure_id": f} for name in ("ada", "ben") for f in "12"]
    faces = pa.Table.from_pylist(rows)
    left = drop_erased(faces, erased=erased_of("1")).select(["dataset_name", "figure_id"]).to_pylist()
    assert [tuple(row.values()) for row in left] == [("ada", "2"), ("ben", "1"), ("ben", "2")]
    assert drop_erased(faces, erased=erased_of()) is faces


def test_erased_faces_are_refused_and_told_by_their_digest_alone() -> None:
    told = [("ada", "1", None), ("ada", "2", None), ("ben", "1", None), ("ada", "1", "age_invalid"), ("ada", None, "x")]
    rows = [
        {"project_name": "demo", "dataset_name": name, "figure_id": face, "reason": why, "message": why, "row": face}
        for name, face, why in told
    ]
    judged = refuse_erased(pa.Table.from_pylist(rows, JUDGED), erased=erased_of("1", "3"))
    assert judged["reason"].to_pylist() == ["figure_erased", None, None, "figure_erased", "x"]
    assert [why is not None and "who was erased" in why for why in judged["message"].to_pylist()] == [
        *(True, False, False, True, False),
    ]
    first, *others = judged["row"].to_pylist()
    assert json.loads(first) == {"figure_digest": digest("1")}
    assert others == ["2", "1", first, None]
    assert judged.schema == JUDGED
