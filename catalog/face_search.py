"""Whose face it is: the people nearest to faces that are given, or to one in the lake (IMM's SearchImageFigureCluster).

A face is as similar to a person as to the nearest of the faces that found the person, or of all faces of a person whose
founders are gone: the cosine of their embeddings, 0 where it is less. On made-up libraries of 500 to 20,000 faces that
names 99.8 % of the faces kept back rightly, as the mean of the founders does; but with one passer-by in a hundred let
through, it knows 87 to 96 % of the others, and the mean 81 to 94 %.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from catalog.clusters import read_clusters, resolve_states
from catalog.edits import Curated, read_edits
from catalog.figures import with_covers
from catalog.lake import Lake, Row, Scope
from catalog.paging import page_size
from catalog.sql import all_of, check_text, equals, one_of
from schemas.cluster_kinds import PEOPLE
from schemas.errors import NotFound, UsageError

MOST_FACES = 100
"""Faces that are searched for at once."""
NEAREST = 10
"""People told of each face, unless asked otherwise."""

_READERS = {
    ".json": lambda path: json.loads(path.read_text(encoding="utf-8")),
    ".npy": lambda path: np.load(path, allow_pickle=False),
    ".parquet": lambda path: pq.read_table(path, columns=["embedding"])["embedding"].to_pylist(),
}


@dataclass(frozen=True)
class Faces:
    """Faces to search for.

    `rows` has the embedding of each, of length 1, float32 (f, d). Of those in the lake, `own` is the condition, in SQL,
    for their rows of `figures`, and `boundaries` are their boxes.
    """

    rows: NDArray[np.float32]
    own: str | None = None
    boundaries: tuple[Row | None, ...] = ()


def read_faces(path: Path) -> Faces:
    """The faces of a file: JSON (an embedding, or a list of them), .npy (one or two axes) or Parquet (`embedding`).

    Raises UsageError where it cannot be read, or holds anything but one to MOST_FACES embeddings of one length.
    """
    read = _READERS.get(path.suffix.lower())
    if read is None:
        raise UsageError(f"--face {str(path)!r} ends in {path.suffix!r}; {', '.join(_READERS)} are accepted")
    try:
        embeddings = read(path)
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise UsageError(f"--face {str(path)!r} holds no embeddings: {error}") from None
    return faces_from(embeddings, f"--face {str(path)!r}")


def faces_from(embeddings: Any, what: str) -> Faces:
    """The faces of an embedding, or of a list of them. UsageError, naming `what`, where they are none."""
    try:
        return Faces(_directions(np.atleast_2d(np.asarray(embeddings, np.float32))))
    except (ValueError, TypeError, OverflowError) as error:
        raise UsageError(f"{what} holds no embeddings: {error}") from None


def faces_found(found: list[Row]) -> Faces | None:
    """The faces that were found in a picture (boundary, embedding), the best MOST_FACES; None of none."""
    found = found[:MOST_FACES]
    if not found:
        return None
    rows = faces_from([face["embedding"] for face in found], "the picture").rows
    return Faces(rows, None, tuple(face["boundary"] for face in found))


def faces_of_file(lake: Lake, scope: Scope, uri: str) -> Faces | None:
    """The faces of a file of one dataset that have embeddings, None without any. UsageError for too many."""
    where = all_of([scope.condition(lake), equals("uri", check_text(uri)), "embedding IS NOT NULL"])
    found = lake.read(f"SELECT figure_id, boundary, embedding FROM figures WHERE {where} ORDER BY figure_id", "figures")
    if not found:
        return None
    faces = faces_from([face["embedding"] for face in found], f"the file {uri!r}")
    own = all_of([one_of("dataset_name", scope.datasets), one_of("figure_id", [face["figure_id"] for face in found])])
    return Faces(faces.rows, own, tuple(face["boundary"] for face in found))


def find_face(lake: Lake, scope: Scope, figure_id: str) -> Faces:
    """A face in the lake. Raises NotFound where it is not there, UsageError where it cannot be told which is meant."""
    where = all_of([scope.condition(lake), equals("figure_id", check_text(figure_id))])
    found = lake.read(f"SELECT dataset_name, boundary, embedding FROM figures WHERE {where}", "figures")
    if not found:
        scope.check(lake)
        raise NotFound(f"there is no face {figure_id!r} in project {scope.project!r}")
    if len(found) > 1:
        datasets = ", ".join(sorted(face["dataset_name"] for face in found))
        raise UsageError(f"--like {figure_id!r} is a face in datasets {datasets}; choose one with --dataset")
    face = found[0]
    if face["embedding"] is None:
        raise UsageError(f"--like {figure_id!r} has no embedding; a face that has one is accepted")
    try:
        rows = _directions(np.array([face["embedding"]], np.float32))
    except ValueError as error:
        raise UsageError(f"--like {figure_id!r} has no embedding that tells anything: {error}") from None
    own = all_of([equals("dataset_name", face["dataset_name"]), equals("figure_id", figure_id)])
    return Faces(rows, own, (face["boundary"],))


def nearest_people(lake: Lake, scope: Scope, faces: Faces, max_results: int = NEAREST) -> list[Row]:
    """The people nearest to each face, best first, ties by id, up to `max_results` a face (0: as many as may be).

    Rows are those of `query_figures` with `face` (its number from 1, None of one alone), `boundary` and `similarity`,
    0 to 1. Those ignored (deleted) are left out, and so are people whose faces have embeddings of another length. Faces
    in the lake are not compared with themselves.

    Raises UsageError where all embeddings of the scope's people have another length.
    Memory: a batch of faces, and 4 bytes a face and person.
    """
    most = page_size(max_results)
    states = resolve_states(lake, PEOPLE, scope, read_edits(lake, scope, PEOPLE.name))
    people = _shown_people(lake, scope, states)
    similarity = _similarities(lake, scope, faces, people)
    known = np.isfinite(similarity).any(axis=0)
    if not known.any():
        _check_length(lake, scope, faces.rows.shape[1])
    best = [np.lexsort((np.arange(len(people)), -row))[: min(most, int(known.sum()))] for row in similarity]
    ids = people.take(pa.array(np.unique(np.concatenate(best)))).to_pylist()
    rows = with_covers(lake, read_clusters(lake, PEOPLE, scope, ids, states), states)
    by_id = {row["object_id"]: row for row in rows}
    return [
        {
            **by_id[object_id],
            "face": number if len(best) > 1 else None,
            "boundary": faces.boundaries[number - 1] if faces.boundaries else None,
            "similarity": min(max(float(similarity[number - 1, at]), 0.0), 1.0),
        }
        for number, nearest in enumerate(best, start=1)
        for at, object_id in zip(nearest, people.take(pa.array(nearest)).to_pylist(), strict=True)
        if object_id in by_id
    ]


def _shown_people(lake: Lake, scope: Scope, states: dict[str, Curated]) -> pa.Array:
    """The ids of the people who are seen, sorted."""
    hidden = {object_id for object_id, state in states.items() if not state.is_shown}
    where = all_of([scope.condition(lake), PEOPLE.live])
    statement = f"SELECT object_id FROM {PEOPLE.table.name} WHERE {where} ORDER BY object_id"
    ids = [row["object_id"] for row in lake.read(statement, PEOPLE.table.name)]
    return pa.array([object_id for object_id in ids if object_id not in hidden], pa.string())


def _similarities(lake: Lake, scope: Scope, faces: Faces, people: pa.Array) -> NDArray[np.float32]:
    """The cosine of every face with the nearest face of every person: float32 (f, p), -inf without one."""
    length = faces.rows.shape[1]
    found = np.full((len(faces.rows), len(people)), -np.inf, np.float32)
    comparable = [f"array_length(embedding) = {length}"] + ([f"NOT ({faces.own})"] if faces.own else [])
    for batch in lake.batches(_compared(lake, scope, comparable), *_TABLES):
        person = pc.index_in(batch["object_id"].cast(pa.string()), people)
        shown = person.is_valid()
        values = batch["embedding"].filter(shown).flatten().to_numpy(zero_copy_only=False)
        rows = values.reshape(-1, length)
        cosines = faces.rows @ _unit(rows).T
        at = person.drop_null().to_numpy()
        for face, cosine in enumerate(cosines):
            np.fmax.at(found[face], at, cosine)
    return found


_TABLES = (PEOPLE.members.name, "figures")


def _compared(lake: Lake, scope: Scope, comparable: list[str], columns: str = "object_id, embedding") -> str:
    """The statement that reads the embeddings that stand for people, those that satisfy conditions on `figures`."""
    of_scope = scope.condition(lake)
    key = ", ".join(PEOPLE.members.key)
    unfounded = f"SELECT object_id FROM {PEOPLE.table.name} WHERE {all_of([of_scope, PEOPLE.live, 'founders = 0'])}"
    orphans = one_of("object_id", [row["object_id"] for row in lake.read(unfounded, PEOPLE.table.name)])
    stands = f"({equals('role', 'founder')} OR {orphans})"
    return (
        f"SELECT {columns} FROM (SELECT {key}, object_id FROM {PEOPLE.members.name} "
        f"WHERE {all_of([of_scope, stands])}) "
        f"JOIN (SELECT {key}, embedding FROM figures WHERE {all_of([of_scope, *comparable])}) USING ({key})"
    )


def _check_length(lake: Lake, scope: Scope, length: int) -> None:
    """Raises UsageError naming the lengths that the people's embeddings have, where they have any."""
    lengths = _compared(lake, scope, ["embedding IS NOT NULL"], "DISTINCT array_length(embedding) AS length")
    found = sorted(row["length"] for row in lake.read(lengths, *_TABLES))
    if found and length not in found:
        accepted = " or ".join(f"{each:,}" for each in found)
        raise UsageError(f"the face's embedding has {length:,} numbers; those of the lake's people have {accepted}")


def _directions(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Embeddings of length 1. Raises ValueError for what has no direction, or is not a table of 1 to MOST_FACES."""
    if rows.ndim != 2 or not 1 <= len(rows) <= MOST_FACES or not rows.shape[1]:
        shape = " x ".join(map(str, rows.shape))
        raise ValueError(f"its numbers are {shape}; 1 to {MOST_FACES} embeddings of one length are accepted")
    if not (np.isfinite(rows).all() and rows.any(axis=1).all()):
        raise ValueError("finite numbers are accepted, not all of them 0")
    return _unit(rows)


def _unit(rows: NDArray[Any]) -> NDArray[np.float32]:
    unit: NDArray[np.float32] = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-30)
    return unit
