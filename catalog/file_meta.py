"""What is known of files by their uris, and what people change of it (IMM's GetFileMeta and UpdateFileMeta)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

from catalog.figures import Change, FaceMarks, find_person, update_person
from catalog.file_edits import FileChange, append_file_edits, seen_files
from catalog.lake import Lake, Row, Scope
from catalog.sql import all_of, check_text, equals, one_of, relation
from schemas.cluster_kinds import PEOPLE
from schemas.errors import NotFound, UsageError

INDEPENDENT = "figure-cluster-id-independent"
"""The FigureClusterId of a face that is nobody's."""
UNAVAILABLE = "figure-cluster-id-unavailable"
"""The FigureClusterId of a face that is not clustered yet."""
MOST_SHOWN = 10
_OFFSETS = (timedelta(hours=-12), timedelta(hours=14))
_KEYS = ("uri", "custom_id", "custom_labels", "produce_time", "latitude", "longitude", "address", "figures", "undo")


@dataclass(frozen=True)
class FileUpdate:
    """What a person changes of the file of a uri. `figures` says whose faces are: figure_id -> person, or INDEPENDENT.

    Raises UsageError where nothing changes.
    """

    uri: str
    change: FileChange | None = None
    figures: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.change is None and not self.figures:
            raise UsageError(f"{self.uri}: nothing to change: give fields, or figures")

    @classmethod
    def of(
        cls, uri: str, fields: Mapping[str, Any], *, undo: Iterable[str] = (), figures: Mapping[str, str] | None = None
    ) -> FileUpdate:
        """The update that fields as people write them ask for: `produce_time` is text, undo names aspects."""
        given = {name: value for name, value in fields.items() if value is not None}
        if "produce_time" in given:
            given |= read_time(given["produce_time"])
        aspects: Any = tuple(name.replace("-", "_") for name in undo)
        change = FileChange(given, aspects) if given or aspects or not figures else None
        return cls(uri, change, {face: _person(text) for face, text in (figures or {}).items()})


def get_files(lake: Lake, scope: Scope, uris: Sequence[str]) -> list[Row]:
    """The files of these uris, or paths, in their order, as people see them, each with `figures`, the faces in it.

    Rows have the columns of `files`. Raises NotFound naming those that are not there, UsageError where a uri is in
    more than one dataset of the scope.
    """
    found = _find(lake, scope, uris)
    return with_figures(lake, scope, [found[uri] for uri in dict.fromkeys(uris)])


def update_files(lake: Lake, scope: Scope, updates: Sequence[FileUpdate]) -> int:
    """Writes down what people change of files, and returns of how many. All is checked before anything is written.

    Custom ids, labels, times and places are one commit; each face is an edit of the person, as `update figures` makes.
    Raises NotFound for a file, face or person that is not there, UsageError for a file that is named twice.
    """
    names = Counter(update.uri for update in updates)
    if doubled := [name for name, times in names.items() if times > 1]:
        raise UsageError(f"{doubled[0]} is named more than once; once is accepted")
    found = _find(lake, scope, list(names))
    moves = [
        (person, change)
        for update in updates
        if update.figures
        for person, change in _moves(lake, found[update.uri], update.figures)
    ]
    changes = [(found[update.uri], update.change) for update in updates if update.change is not None]
    if changes:
        append_file_edits(lake, changes)
    for person, change in moves:
        update_person(lake, scope, person, change)
    return len(updates)


def with_figures(lake: Lake, scope: Scope, files: Sequence[Row]) -> list[Row]:
    """Files with `figures`, the faces in each: rows of that table, `person` (IMM's FigureClusterId), `confidence`."""
    if not files:
        return []
    own = Scope(scope.project, tuple({file["dataset_name"] for file in files}))
    condition = own.condition(lake)
    shown = relation("shown", ("dataset", "path"), ([file["dataset_name"], file["uri"]] for file in files))
    members = (
        "(SELECT dataset_name AS member_dataset, figure_id AS member, object_id AS whose, confidence "
        f"FROM figure_members WHERE {condition})"
    )
    columns = (
        "dataset_name, figure_id, uri, boundary, head_pose, face_quality, gender, age, attributes, confidence, "
        f"CASE WHEN member IS NULL THEN '{UNAVAILABLE}' ELSE coalesce(whose, '{INDEPENDENT}') END AS person"
    )
    statement = (
        f"SELECT {columns} FROM (SELECT * FROM figures WHERE {condition}) AS figures "
        f"JOIN {shown} ON dataset_name = dataset AND uri = path "
        f"LEFT JOIN {members} AS members ON dataset_name = member_dataset AND figure_id = member ORDER BY figure_id"
    )
    faces: dict[tuple[str, str], list[Row]] = {}
    for face in lake.read(statement, "figures", "figure_members"):
        faces.setdefault((face["dataset_name"], face["uri"]), []).append(face)
    return [{**file, "figures": faces.get((file["dataset_name"], file["uri"]), [])} for file in files]


def read_time(text: str) -> Row:
    """A time as people write it, in the columns of `files`: with an offset, with Z, or as a clock showed it.

    Raises UsageError for anything but ISO 8601.

    >>> read_time("2026-03-04T18:30:00+08:00")["time_is"], read_time("1968-07-04")["time_is"]
    ('offset', 'local')
    """
    try:
        day = date.fromisoformat(text) if len(text) == len("2026-03-04") else None
        taken = datetime.combine(day, time()) if day else datetime.fromisoformat(text)
        offset = taken.utcoffset()
        if offset is None:
            return {"produce_time": taken.replace(tzinfo=UTC), "time_is": "local", "utc_offset": None}
        if not _OFFSETS[0] <= offset <= _OFFSETS[1] or offset % timedelta(minutes=1):
            raise ValueError(text)
        says: Row = {"time_is": "offset", "utc_offset": offset // timedelta(minutes=1)}
        if text.endswith(("Z", "z")):
            says = {"time_is": "instant", "utc_offset": None}
        return {"produce_time": taken.astimezone(UTC), **says}
    except (TypeError, ValueError, OverflowError):
        raise UsageError(
            f"{text!r} is not a time: accepted are 2026-03-04, 2026-03-04T18:30:00 (as a clock there showed it), "
            "2026-03-04T18:30:00+08:00 and 2026-03-04T10:30:00Z"
        ) from None


def read_updates(path: Path) -> list[FileUpdate]:
    """The updates in a file of JSON lines, one object a file.

    Its keys are those of _KEYS: `undo` lists aspects, `figures` maps faces to people. UsageError names the line.
    """
    updates = []
    for number, line in _lines(path):
        try:
            asked = json.loads(line)
        except ValueError as error:
            raise UsageError(f"{path}, line {number}: no JSON object ({error})") from None
        if not isinstance(asked, dict) or not isinstance(asked.get("uri"), str):
            raise UsageError(f"{path}, line {number}: a JSON object with a uri is accepted")
        if strange := sorted(asked.keys() - set(_KEYS)):
            raise UsageError(f"{path}, line {number}: no field {strange[0]!r}; accepted are {', '.join(_KEYS)}")
        undo, figures = asked.pop("undo", ()), asked.pop("figures", None)
        try:
            updates.append(FileUpdate.of(asked.pop("uri"), asked, undo=undo, figures=figures))
        except UsageError as error:
            raise UsageError(f"{path}, line {number}: {error}") from None
    return updates


def read_uris(path: Path) -> list[str]:
    """The uris in a file: one a line, or JSON lines of objects that have one."""
    return [json.loads(line)["uri"] if line.startswith("{") else line for _, line in _lines(path)]


def _lines(path: Path) -> list[tuple[int, str]]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--from {str(path)!r} cannot be read: {error}") from None
    return [(number, line.strip()) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]


def _person(text: str) -> str:
    return INDEPENDENT if text in ("independent", INDEPENDENT) else PEOPLE.full_id(text)


def _find(lake: Lake, scope: Scope, uris: Sequence[str]) -> dict[str, Row]:
    """The file of each uri or path."""
    if not uris:
        raise UsageError("no file is named: give URIs, or --from FILE")
    forms = {uri: _forms(check_text(uri)) for uri in uris}
    wanted = relation("wanted", ("path",), ([form] for form in sorted({f for each in forms.values() for f in each})))
    files, tables = seen_files(lake, scope)
    where = all_of([scope.condition(lake), "deleted_time IS NULL"])
    rows = lake.read(f"SELECT files.* FROM {files} JOIN {wanted} ON uri = path WHERE {where}", *tables)
    by_uri: dict[str, Row] = {}
    for row in rows:
        if row["uri"] in by_uri:
            raise UsageError(f"{row['uri']} is in more than one dataset: --dataset says which is meant")
        by_uri[row["uri"]] = row
    found = {uri: next((by_uri[form] for form in forms[uri] if form in by_uri), None) for uri in uris}
    if missing := [uri for uri, row in found.items() if row is None]:
        scope.check(lake)
        more = f" and {len(missing) - MOST_SHOWN:,} more" if len(missing) > MOST_SHOWN else ""
        raise NotFound(f"no file {', '.join(missing[:MOST_SHOWN])}{more} in project {scope.project!r}")
    return {uri: row for uri, row in found.items() if row is not None}


def _forms(uri: str) -> tuple[str, ...]:
    """A uri; of a path, also the uri that pictures read from it have."""
    return (uri,) if "://" in uri else (uri, Path(uri).absolute().as_uri())


def _moves(lake: Lake, file: Row, figures: Mapping[str, str]) -> list[tuple[str, Change]]:
    """The people whose faces change, and how."""
    own = Scope(file["project_name"], (file["dataset_name"],))
    where = all_of([own.condition(lake), equals("uri", file["uri"]), one_of("figure_id", figures)])
    known = {row["figure_id"] for row in lake.read(f"SELECT figure_id FROM figures WHERE {where}", "figures")}
    if missing := sorted(figures.keys() - known):
        raise NotFound(f"there is no face {missing[0]!r} in {file['uri']}")
    now = lake.read(f"SELECT figure_id, object_id FROM figure_members WHERE {where}", "figure_members")
    whose = {row["figure_id"]: row["object_id"] for row in now}
    moves = []
    for face, person in figures.items():
        if person != INDEPENDENT:
            find_person(lake, own, person)
            moves.append((person, Change(marks=FaceMarks(join=(face,)))))
        elif whose.get(face):
            moves.append((whose[face], Change(marks=FaceMarks(part=(face,)))))
    return moves
