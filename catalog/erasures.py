"""Erasing people: what belongs to one, the edit that says so for ever, and taking out what was decided about them.

The edits come first: all that an erasure takes out of the lake follows from them, so that one that was killed is
finished by the next, and the faces are not taken in again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa

from catalog.clusters import why_missing
from catalog.commits import change, remove
from catalog.edits import append_edit, read_edits
from catalog.lake import Lake, Row, Scope
from catalog.sql import all_of, equals, one_of
from schemas.cluster_edits import CLUSTER_EDITS, FIGURE_PLACE
from schemas.cluster_kinds import PEOPLE
from schemas.errors import NotFound, UsageError

OBEYED_BY_CLUSTERING = ("join", "leave", "part", "rejoin", "merge", "unmerge")
"""What people say of faces that shows only after the next clustering."""

_CLEAR_HASH = 50
"""Quality from which a perceptual hash tells a picture from others."""

_DIGEST = "encode(sha256(concat(project_name, chr(10), dataset_name, chr(10), figure_id)), 'hex')"


@dataclass(frozen=True)
class Erasure:
    """A person to be erased, or erased before.

    `object_ids` are the person's and those of the people who went into it; `digests` stand for the faces
    (transforms.people.erasures.face_digest): 64 bytes each, `places` (FIGURE_PLACE) for where they are. The unsaid are
    those of which no edit says so yet.
    """

    person: Row
    object_ids: tuple[str, ...]
    digests: tuple[str, ...]
    places: tuple[Row, ...]
    unsaid_ids: tuple[str, ...]
    unsaid_digests: tuple[str, ...]

    @property
    def own(self) -> Scope:
        """The person's dataset."""
        return Scope(self.person["project_name"], (self.person["dataset_name"],))

    @property
    def is_said(self) -> bool:
        """Whether the person was erased before, by edits that say all of it."""
        return not (self.unsaid_ids or self.unsaid_digests)


def plan_erasure(lake: Lake, scope: Scope, object_id: str) -> Erasure:
    """What erasing a person takes: the faces that are its members now, and those of an erasure that is in force.

    Raises NotFound where there is no such person and none was erased, UsageError where people have said since the last
    clustering whose faces are whose: then nobody knows yet.
    """
    where = all_of([scope.condition(lake), equals("object_id", object_id), PEOPLE.live])
    live = lake.read(
        f"SELECT project_name, dataset_name, object_id FROM figure_clusters WHERE {where}", "figure_clusters"
    )
    said = _erasing_edits(lake, scope, object_id)
    if not live and not said:
        raise NotFound(why_missing(lake, PEOPLE, scope, object_id, f"there is no person {object_id}"))
    person = {name: (live or said)[0][name] for name in ("project_name", "dataset_name")} | {"object_id": object_id}
    own = Scope(person["project_name"], (person["dataset_name"],))
    if not said:
        _check_obeyed(lake, own)
    said_ids = {edit["object_id"] for edit in said}
    object_ids = {object_id, *said_ids, *_absorbed(lake, own, object_id)}
    sequences = one_of("sequence", [edit["sequence"] for edit in said])
    said_digests = _texts(
        lake, f"SELECT unnest(figure_digests) AS text FROM cluster_edits WHERE {sequences}", "cluster_edits"
    )
    members = all_of([own.condition(lake), one_of("object_id", sorted(object_ids))])
    digests = _texts(lake, f"SELECT {_DIGEST} AS text FROM figure_members WHERE {members}", "figure_members")
    return Erasure(
        person,
        tuple(sorted(object_ids)),
        tuple(sorted(digests | said_digests)),
        tuple(_places(lake, own, members)),
        tuple(sorted(object_ids - said_ids)),
        tuple(sorted(digests - said_digests)),
    )


def record_erasure(lake: Lake, erasure: Erasure) -> None:
    """Says in edits what no edit says yet: the people who went into the person, and last the person, with the faces."""
    person = erasure.person
    for object_id in erasure.unsaid_ids:
        if object_id != person["object_id"]:
            merged = person | {"object_id": object_id}
            append_edit(lake, PEOPLE.name, merged, "erase", other_id=person["object_id"])
    if person["object_id"] in erasure.unsaid_ids or erasure.unsaid_digests:
        digests, places = list(erasure.unsaid_digests), list(erasure.places)
        append_edit(lake, PEOPLE.name, person, "erase", figure_digests=digests, figure_places=places)


def remove_decisions(lake: Lake, erasure: Erasure) -> int:
    """Deletes what people said of an erased person and its faces: names, labels, merging, whose face it is.

    Erasing itself stays, and its undoing; another person's cover that was one of the faces is cleared. Returns how many
    edits were deleted. They are named by their numbers, as the table's log keeps the condition.
    """
    ids = erasure.object_ids
    own = all_of([erasure.own.condition(lake, bucketed=False), equals("kind", PEOPLE.name)])
    erased = f"SELECT unnest(figure_digests) FROM cluster_edits WHERE {own} AND {_is_of(ids)} AND action = 'erase'"

    def numbers(about: str) -> str:
        statement = (
            f"SELECT sequence FROM cluster_edits WHERE {own} AND action NOT IN ('erase', 'undelete') AND ({about})"
        )
        rows = lake.read(statement, "cluster_edits")
        return one_of("sequence", [row["sequence"] for row in rows]) if rows else ""

    deleted = 0
    if condition := numbers(f"{_is_of(ids)} OR (figure_id IS NOT NULL AND {_DIGEST} IN ({erased}))"):
        deleted = remove(lake.root, CLUSTER_EDITS, condition)
    cover = _DIGEST.replace("figure_id", "cover_figure_id")
    if condition := numbers(f"cover_figure_id <> '' AND {cover} IN ({erased})"):
        change(lake.root, CLUSTER_EDITS, condition, {"cover_figure_id": "''"})
    return deleted


def erased_places(lake: Lake, scope: Scope) -> pa.Table:
    """Where the erased faces of a scope were: FIGURE_PLACE, as columns; those of people not undeleted since."""
    edits = read_edits(lake, scope, PEOPLE.name)
    undone = {edit["object_id"]: edit["sequence"] for edit in edits if edit["action"] == "undelete"}
    said = [e["sequence"] for e in edits if e["action"] == "erase" and e["sequence"] > undone.get(e["object_id"], -1)]
    schema = pa.schema(list(FIGURE_PLACE))
    if not said:
        return schema.empty_table()
    statement = f"SELECT figure_places FROM cluster_edits WHERE {one_of('sequence', said)}"
    places = [place for row in lake.read(statement, CLUSTER_EDITS.name) for place in row["figure_places"] or ()]
    return pa.Table.from_pylist(places, schema=schema)


def _places(lake: Lake, own: Scope, members: str) -> list[Row]:
    """Where the faces of some members are (FIGURE_PLACE), as far as their boxes and pictures are known."""
    here = own.condition(lake)
    statement = f"""
        SELECT figure.uri AS uri, file.content_hash AS content_hash, look.perceptual_hash AS perceptual_hash,
            figure.boundary['left'] AS x, figure.boundary['top'] AS y, figure.boundary['width'] AS w,
            figure.boundary['height'] AS h, file.image_width AS image_width, file.image_height AS image_height
        FROM (SELECT figure_id FROM figure_members WHERE {members}) AS member
        JOIN (SELECT figure_id, uri, boundary FROM figures WHERE {here} AND boundary IS NOT NULL) AS figure
            ON figure.figure_id = member.figure_id
        JOIN (SELECT uri, content_hash, image_width, image_height FROM files
            WHERE {here} AND image_width > 0 AND image_height > 0) AS file ON file.uri = figure.uri
        LEFT JOIN (SELECT uri, perceptual_hash FROM file_features
            WHERE {here} AND perceptual_hash_quality >= {_CLEAR_HASH}) AS look ON look.uri = figure.uri
        ORDER BY uri, x, y, w, h"""
    return [
        {
            **{name: row[name] for name in ("uri", "content_hash", "perceptual_hash")},
            "left": row["x"] / row["image_width"],
            "top": row["y"] / row["image_height"],
            "right": (row["x"] + row["w"]) / row["image_width"],
            "bottom": (row["y"] + row["h"]) / row["image_height"],
        }
        for row in lake.read(statement, "figure_members", "figures", "files", "file_features")
    ]


def _is_of(object_ids: Iterable[str]) -> str:
    ids = list(object_ids)
    return f"({one_of('object_id', ids)} OR {one_of('other_id', ids)})"


def _erasing_edits(lake: Lake, scope: Scope, object_id: str) -> list[Row]:
    """The edits in force that erase a person, and those who went into it, the person's first."""
    edits = read_edits(lake, scope, PEOPLE.name)
    undone = {edit["object_id"]: edit["sequence"] for edit in edits if edit["action"] == "undelete"}
    said = [e for e in edits if e["action"] == "erase" and e["sequence"] > undone.get(e["object_id"], -1)]
    own = [edit for edit in said if edit["object_id"] == object_id]
    return [*own, *(edit for edit in said if edit["other_id"] == object_id)] if own else []


def _absorbed(lake: Lake, own: Scope, object_id: str) -> set[str]:
    """The people who are gone and whose faces went, at once or by way of others, mostly to this one."""
    found: set[str] = set()
    pending = {object_id}
    while pending:
        into = all_of([own.condition(lake), "state = 'gone'", one_of("successor_id", sorted(pending))])
        pending = _texts(lake, f"SELECT object_id AS text FROM figure_clusters WHERE {into}", "figure_clusters") - found
        found |= pending
    return found


def _check_obeyed(lake: Lake, own: Scope) -> None:
    where = all_of([own.condition(lake), equals("kind", PEOPLE.name)])
    states = lake.read(f"SELECT edits_version FROM dataset_state WHERE {where}", "dataset_state")
    obeyed = max((state["edits_version"] for state in states), default=-1)
    edits = read_edits(lake, own, PEOPLE.name)
    if any(edit["sequence"] > obeyed and edit["action"] in OBEYED_BY_CLUSTERING for edit in edits):
        raise UsageError(
            f"people said whose faces are whose in dataset {own.datasets[0]!r} since its last clustering: run "
            f"`lakealbum cluster figures --project {own.project} --dataset {own.datasets[0]}` first"
        )


def _texts(lake: Lake, statement: str, table: str) -> set[str]:
    return {row["text"] for row in lake.read(statement, table)}
