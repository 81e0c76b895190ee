"""People: finding them and their faces, and what is said of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from catalog.clusters import ClusterQuery, query_clusters, resolve_states, undelete, why_missing
from catalog.edits import Action, Curated, append_edit, check_fields, check_lock_version, read_edits
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
    "Gender": "gender",
    "GroupName": "title",
}
MOST_MERGED = 100
"""People who are merged into one at once, as in IMM."""
_MARKS: tuple[Action, ...] = (
    "leave",
    "rejoin",
    "join",
    "part",
)  # in the order in which they are written: undoing first


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

    Rows have the columns of `figure_clusters`, title, custom_id, custom_labels and `lock_version` (MetaLockVersion).
    Those ignored (deleted) are left out. What was said of faces, and merging, shows when the next clustering has obeyed
    it.
    """
    states = resolve_states(lake, PEOPLE, query.scope, read_edits(lake, query.scope, PEOPLE.name))
    page = query_clusters(lake, query, states, next_token)
    return replace(page, rows=with_covers(lake, page.rows, states))


def find_person(lake: Lake, scope: Scope, object_id: str) -> Row:
    """The person as people see it. Raises NotFound saying what became of it, as far as the lake knows."""
    rows = query_figures(lake, FigureQuery(scope, object_ids=(object_id,))).rows
    if not rows:
        raise NotFound(why_missing(lake, PEOPLE, scope, object_id, f"person {object_id} is not to be seen"))
    return rows[0]


@dataclass(frozen=True)
class Change:
    """What a person wants of a person: `fields` of title, custom_id, custom_labels and cover_figure_id get new values.

    '' and {} clear. `merge` are the ids of people who are this one, too; `unmerge` takes back that this one is another.
    """

    fields: Mapping[str, Any] = field(default_factory=dict)
    marks: FaceMarks = FaceMarks()
    merge: tuple[str, ...] = ()
    unmerge: bool = False

    def __post_init__(self) -> None:
        """Raises UsageError where nothing changes, or where a value exceeds its limit."""
        if not (self.fields or self.marks or self.merge or self.unmerge):
            raise UsageError("nothing to change: give a name, a custom id, labels, a cover, faces or people")
        if self.fields:
            check_fields(self.fields)
        if len(self.merge) > MOST_MERGED:
            raise UsageError(f"{len(self.merge)} people to merge; up to {MOST_MERGED} are accepted")

    @property
    def needs_person(self) -> bool:
        """Whether the person must be there: of one who was merged into another, that alone can be taken back."""
        return bool(self.fields or self.marks or self.merge)


def update_person(lake: Lake, scope: Scope, object_id: str, change: Change, lock_version: int | None = None) -> Row:
    """Writes down what people want of a person (IMM's UpdateFigureCluster, CreateFigureClustersMergingTask).

    Everything is checked before the first edit is written. `lock_version` is the MetaLockVersion that the person had
    when it was looked at: Conflict where it has another by now. Raises UsageError for what is not accepted, NotFound
    where the person, a face, or somebody to be merged is not there. Returns the person, or, where merging alone is
    taken back, its key.
    """
    merging = _merging_in_force(lake, scope, object_id) if change.unmerge else None
    person = find_person(lake, scope, object_id) if change.needs_person or merging is None else merging
    own = Scope(person["project_name"], (person["dataset_name"],))
    _check_faces(lake, own, [*change.marks.join, *change.marks.part])
    if cover := change.fields.get("cover_figure_id"):
        _check_cover(lake, person, cover)
    if object_id in change.merge:
        raise UsageError(f"{object_id} cannot be merged into itself")
    others = [find_person(lake, own, other) for other in dict.fromkeys(change.merge)]
    if lock_version is not None:
        check_lock_version(lake, PEOPLE.name, person, lock_version)
    edits: list[tuple[Row, Action, dict[str, Any]]] = []
    if merging is not None:
        edits.append((person, "unmerge", {}))
    if change.fields:
        edits.append((person, "update", dict(change.fields)))
    for action in _MARKS:
        edits += [(person, action, {"figure_id": face}) for face in dict.fromkeys(getattr(change.marks, action))]
    edits += [(other, "merge", {"other_id": object_id}) for other in others]
    for number, (whose, action, fields) in enumerate(edits):
        first = number == 0 and whose is person
        append_edit(lake, PEOPLE.name, whose, action, after=lock_version if first else None, **fields)
    return person


def ignore_person(lake: Lake, scope: Scope, object_id: str) -> Row:
    """Hides a person for good; the faces stay. Returns the person."""
    person = find_person(lake, scope, object_id)
    append_edit(lake, PEOPLE.name, person, "delete")
    return person


def undelete_person(lake: Lake, scope: Scope, object_id: str) -> bool:
    """Undoes ignoring. Returns whether the person is seen again. NotFound where it was not ignored."""
    undelete(lake, PEOPLE, scope, object_id)
    return bool(query_figures(lake, FigureQuery(scope, object_ids=(object_id,))).rows)


def files_of_person(
    lake: Lake,
    scope: Scope,
    object_id: str,
    max_results: int = 20,
    next_token: str | None = None,
    *,
    with_total: bool = False,
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
    shown = f"files JOIN ({faces}) ON uri = shown WHERE {own.condition(lake)}"
    after = sorting.after(pager.position(next_token))
    statement = f"SELECT * FROM {shown} AND ({after}) {sorting.clause} LIMIT {max_results + 1}"
    tables = ("files", "figure_members")
    page = pager.page(lake.read(statement, *tables))
    return replace(page, total=lake.count(shown, *tables)) if with_total else page


def _merging_in_force(lake: Lake, scope: Scope, object_id: str) -> Row:
    """The edit that merged a person into another. Raises NotFound where none is in force."""
    told = [e for e in read_edits(lake, scope, PEOPLE.name, object_id) if e["action"] in ("merge", "unmerge")]
    if not told or told[-1]["action"] == "unmerge":
        raise NotFound(f"no merging of person {object_id} is in force in project {scope.project!r}")
    return told[-1]


def _check_cover(lake: Lake, person: Row, figure_id: str) -> None:
    if figure_id not in {row["figure_id"] for row in _faces_of(lake, [person], [check_text(figure_id)])}:
        raise NotFound(
            f"cover {figure_id!r} is not a face of person {person['object_id']}; those that are: "
            f"`lakealbum query files --cluster {person['object_id']} --json`"
        )


def with_covers(lake: Lake, rows: list[Row], states: Mapping[str, Curated]) -> list[Row]:
    """People with the covers that were chosen, as long as these are faces of theirs."""
    chosen = {
        row["object_id"]: figure_id
        for row in rows
        if (state := states.get(row["object_id"])) and (figure_id := state.value("cover_figure_id"))
    }
    if not chosen:
        return rows
    found = _faces_of(lake, [row for row in rows if row["object_id"] in chosen], list(chosen.values()))
    covers = {
        face["object_id"]: {"cover_figure_id": face["figure_id"], "cover_uri": face["uri"]}
        for face in found
        if chosen[face["object_id"]] == face["figure_id"]
    }
    return [row | covers.get(row["object_id"], {}) for row in rows]


def _faces_of(lake: Lake, people: Sequence[Row], figure_ids: Sequence[str]) -> list[Row]:
    """Which of these faces are of which of these people: `object_id`, `figure_id`, `uri`."""
    own = Scope(people[0]["project_name"], tuple(sorted({row["dataset_name"] for row in people})))
    ids = [row["object_id"] for row in people]
    where = all_of([own.condition(lake), one_of("object_id", ids), one_of("figure_id", figure_ids)])
    return lake.read(f"SELECT object_id, figure_id, uri FROM figure_members WHERE {where}", "figure_members")


def _check_faces(lake: Lake, own: Scope, figure_ids: Sequence[str]) -> None:
    if not figure_ids:
        return
    asked = [check_text(figure_id) for figure_id in figure_ids]
    where = all_of([own.condition(lake), one_of("figure_id", asked)])
    known = {row["figure_id"] for row in lake.read(f"SELECT figure_id FROM figures WHERE {where}", "figures")}
    if missing := sorted(set(asked) - known):
        raise NotFound(f"there is no face {missing[0]!r} in dataset {own.datasets[0]!r}")
