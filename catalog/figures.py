"""People: finding them and their faces, and what is said of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from catalog.clusters import ClusterQuery, query_clusters, resolve_states, undelete, why_missing
from catalog.edits import append_edit, check_fields, read_edits
from catalog.lake import Lake, Row, Scope
from catalog.paging import MOST_RESULTS, Page, Pager, Sorting, check_max_results, page_size
from catalog.sql import all_of, check_text, equals, one_of
from schemas.cluster_kinds import PEOPLE, ClusterKind
from schemas.errors import NotFound, UsageError

SORTS = {
    "ObjectId": "object_id",
    "ImageCount": "images",
    "VideoCount": "videos",
    "FaceCount": "faces",
    "ProjectName": "project_name",
    "DatasetName": "dataset_name",
    "CreateTime": "create_time",
    "UpdateTime": "update_time",
}
MOST_MERGED = 100
"""People who are merged into one at once, as in IMM."""


@dataclass(frozen=True)
class FigureQuery(ClusterQuery):
    """What people are asked for, in which order, and how many a page (0: as many as may be)."""

    kind_asked: ClassVar[ClusterKind] = PEOPLE
    sorts: ClassVar[Mapping[str, str]] = SORTS

    sort: str = "ObjectId"
    max_results: int = MOST_RESULTS

    def __post_init__(self) -> None:
        """Raises UsageError naming what is accepted."""
        object.__setattr__(self, "max_results", page_size(self.max_results))
        super().__post_init__()


@dataclass(frozen=True)
class FaceMarks:
    """Decisions about faces, by figure_id: `join`, it is this person's; `part`, it is not.

    `leave` and `rejoin` undo them.
    """

    join: tuple[str, ...] = ()
    leave: tuple[str, ...] = ()
    part: tuple[str, ...] = ()
    rejoin: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.join or self.leave or self.part or self.rejoin)


def query_figures(lake: Lake, query: FigureQuery, next_token: str | None = None) -> Page:
    """A page of the people who fit (IMM's QueryFigureClusters), as people see them.

    Rows have the columns of `figure_clusters`, title, custom_id and custom_labels. Those ignored (deleted) are left
    out. What was said of faces, and merging, shows when the next clustering has obeyed it.
    """
    states = resolve_states(lake, PEOPLE, query.scope, read_edits(lake, query.scope, PEOPLE.name))
    return query_clusters(lake, query, states, next_token)


def find_person(lake: Lake, scope: Scope, object_id: str) -> Row:
    """The person as people see it. Raises NotFound saying what became of it, as far as the lake knows."""
    rows = query_figures(lake, FigureQuery(scope, object_id=object_id)).rows
    if not rows:
        raise NotFound(why_missing(lake, PEOPLE, scope, object_id, f"person {object_id} is not to be seen"))
    return rows[0]


def update_person(lake: Lake, scope: Scope, object_id: str, fields: Mapping[str, Any], marks: FaceMarks) -> Row:
    """Replaces those given of title, custom_id and custom_labels ('' and {} clear), and marks faces.

    Everything is checked before the first edit is written. Raises UsageError where a value exceeds its limit, NotFound
    where the person, or a face, is not there.
    """
    if not fields and not marks:
        raise UsageError("nothing to change: give a title, a custom id, labels, or faces to mark")
    if fields:
        check_fields(fields)
    person = find_person(lake, scope, object_id)
    _check_faces(lake, Scope(person["project_name"], (person["dataset_name"],)), [*marks.join, *marks.part])
    if fields:
        append_edit(lake, PEOPLE.name, person, "update", **fields)
    for action in ("leave", "rejoin", "join", "part"):
        for figure_id in dict.fromkeys(getattr(marks, action)):
            append_edit(lake, PEOPLE.name, person, action, figure_id=figure_id)
    return person


def merge_people(lake: Lake, scope: Scope, into: str, others: Sequence[str]) -> Row:
    """Says that other people are this one (IMM's CreateFigureClustersMergingTask). Returns the one they become.

    Raises UsageError for more than MOST_MERGED, NotFound where one is not there, or not of the same dataset.
    """
    others = list(dict.fromkeys(others))
    if not 1 <= len(others) <= MOST_MERGED:
        raise UsageError(f"{len(others)} people to merge; 1 to {MOST_MERGED} are accepted")
    if into in others:
        raise UsageError(f"{into} cannot be merged into itself")
    person = find_person(lake, scope, into)
    own = Scope(person["project_name"], (person["dataset_name"],))
    found = [find_person(lake, own, other) for other in others]
    for other in found:
        append_edit(lake, PEOPLE.name, other, "merge", other_id=into)
    return person


def unmerge_person(lake: Lake, scope: Scope, object_id: str) -> None:
    """Takes the merging of a person back. Raises NotFound where it was not merged."""
    last = [e for e in read_edits(lake, scope, PEOPLE.name, object_id) if e["action"] in ("merge", "unmerge")]
    if not last or last[-1]["action"] == "unmerge":
        raise NotFound(f"no merging of person {object_id} is in force in project {scope.project!r}")
    append_edit(lake, PEOPLE.name, last[-1], "unmerge")


def ignore_person(lake: Lake, scope: Scope, object_id: str) -> Row:
    """Hides a person for good; the faces stay. Returns the person."""
    person = find_person(lake, scope, object_id)
    append_edit(lake, PEOPLE.name, person, "delete")
    return person


def undelete_person(lake: Lake, scope: Scope, object_id: str) -> bool:
    """Undoes ignoring. Returns whether the person is seen again. NotFound where it was not ignored."""
    undelete(lake, PEOPLE, scope, object_id)
    return bool(query_figures(lake, FigureQuery(scope, object_id=object_id)).rows)


def files_of_person(
    lake: Lake, scope: Scope, object_id: str, max_results: int = 20, next_token: str | None = None
) -> Page:
    """A page of the files that show a person, by URI: rows of `files` with `figure_ids`, the faces in them."""
    check_max_results(max_results)
    person = find_person(lake, scope, object_id)
    own = Scope(person["project_name"], (person["dataset_name"],))
    sorting = Sorting("uri", "object_id")
    pager = Pager(lake.token_key, {"kind": "files of a person", "object_id": object_id}, sorting, max_results)
    faces = (
        "SELECT uri AS shown, array_agg(figure_id ORDER BY figure_id) AS figure_ids FROM figure_members "
        f"WHERE {all_of([own.condition(lake), equals('object_id', object_id)])} GROUP BY uri"
    )
    where = all_of([own.condition(lake), sorting.after(pager.position(next_token))])
    statement = (
        f"SELECT * FROM files JOIN ({faces}) ON uri = shown WHERE {where} {sorting.clause} LIMIT {max_results + 1}"
    )
    return pager.page(lake.read(statement, "files", "figure_members"))


def _check_faces(lake: Lake, own: Scope, figure_ids: Sequence[str]) -> None:
    if not figure_ids:
        return
    asked = [check_text(figure_id) for figure_id in figure_ids]
    where = all_of([own.condition(lake), one_of("figure_id", asked)])
    known = {row["figure_id"] for row in lake.read(f"SELECT figure_id FROM figures WHERE {where}", "figures")}
    if missing := sorted(set(asked) - known):
        raise NotFound(f"there is no face {missing[0]!r} in dataset {own.datasets[0]!r}")
