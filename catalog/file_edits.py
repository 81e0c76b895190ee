"""What people said of files: appending it, and files as people see them, with what is in force laid over the source's.

An edit is about a file, whatever its uri: it follows the file when that is moved.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from catalog.commits import append_all_numbered
from catalog.edits import MAX_LABELS, MAX_TEXT_BYTES
from catalog.lake import Lake, Row, Scope
from catalog.sql import all_of, among, check_text
from schemas.contract import LEVELS
from schemas.errors import UsageError
from schemas.file_edits import FILE_EDITS
from schemas.files import FILES
from schemas.lake import file_object_id

Aspect = Literal["custom_id", "custom_labels", "time", "place"]
ASPECTS: tuple[Aspect, ...] = get_args(Aspect)
TIME = ("produce_time", "time_is", "utc_offset")
PLACE = ("latitude", "longitude", "address")
COLUMNS: Mapping[Aspect, tuple[str, ...]] = {
    "custom_id": ("custom_id",),
    "custom_labels": ("custom_labels",),
    "time": TIME,
    "place": PLACE,
}
"""What each aspect of a file is in the columns of `files` and `file_edits`."""
_TELLING: Mapping[Aspect, tuple[str, ...]] = {
    "custom_id": ("custom_id",),
    "custom_labels": ("custom_labels",),
    "time": ("produce_time",),
    "place": ("latitude", "address"),
}
"""An edit says something of an aspect if one of these columns has a value."""
_LABELS: tuple[Aspect, ...] = ("custom_id", "custom_labels")
EDITED = "edited"
"""What `time_source` and `location_source` say of files as people see them, where people said it."""


@dataclass(frozen=True)
class FileChange:
    """What a person says of a file: columns of `file_edits`, whole aspects of it, and the aspects that are taken back.

    Raises UsageError where nothing changes, or where a value is not accepted.
    """

    fields: Mapping[str, Any] = field(default_factory=dict)
    taken_back: tuple[Aspect, ...] = ()

    def __post_init__(self) -> None:
        if not self.fields and not self.taken_back:
            raise UsageError("nothing to change: give a custom id, labels, a time or a place, or take some back")
        strange = sorted(set(self.taken_back) - set(ASPECTS))
        if strange:
            raise UsageError(f"{strange[0]!r} cannot be taken back; {', '.join(ASPECTS)} can")
        for aspect in self.taken_back:
            if self.fields.keys() & set(COLUMNS[aspect]):
                raise UsageError(f"{aspect} is given and taken back at once; one of the two is accepted")
        self._check_custom()
        self._check_place()

    @property
    def moves_file(self) -> bool:
        """Whether it is about when or where the file was taken."""
        return bool(self.fields.keys() & {*TIME, *PLACE} or {"time", "place"} & set(self.taken_back))

    def _check_custom(self) -> None:
        size = len(check_text(self.fields.get("custom_id") or "").encode())
        if size > MAX_TEXT_BYTES:
            raise UsageError(f"custom_id has {size:,} bytes; up to {MAX_TEXT_BYTES:,} are accepted")
        labels = self.fields.get("custom_labels") or {}
        if len(labels) > MAX_LABELS:
            raise UsageError(f"custom_labels has {len(labels)} keys; up to {MAX_LABELS} are accepted")
        for text in (*labels, *labels.values()):
            if not isinstance(text, str):
                raise UsageError(f"custom_labels has {text!r}; texts are accepted")
            check_text(text)
        if "" in labels:
            raise UsageError("custom_labels has an empty key; keys of at least one character are accepted")

    def _check_place(self) -> None:
        latitude, longitude = self.fields.get("latitude"), self.fields.get("longitude")
        if (latitude is None) != (longitude is None):
            raise UsageError("a place has a latitude and a longitude, or neither and an address")
        for name, degrees, bound in (("latitude", latitude, 90), ("longitude", longitude, 180)):
            if degrees is not None and not -bound <= degrees <= bound:
                raise UsageError(f"{name} {degrees} is not accepted; degrees from -{bound} to {bound} are")
        address = self.fields.get("address") or {}
        if strange := sorted(address.keys() - set(LEVELS)):
            raise UsageError(f"address has {strange[0]!r}; {', '.join(LEVELS)} are accepted")
        for name in address.values():
            check_text(name or "")


def append_file_edits(lake: Lake, changes: Iterable[tuple[Row, FileChange]]) -> int:
    """Records changes of files (rows with project_name, dataset_name, object_id, uri), each file once, in one commit.

    Returns the sequence of the edits.
    """
    now = datetime.now(UTC)
    edits = [
        {
            **{name: file[name] for name in ("project_name", "dataset_name", "object_id", "uri")},
            **change.fields,
            "taken_back": list(change.taken_back),
            "edit_time": now,
        }
        for file, change in changes
    ]
    return append_all_numbered(lake.root, FILE_EDITS, lambda version: [{**edit, "sequence": version} for edit in edits])


def take_back_labels(lake: Lake, project: str, asked: Mapping[tuple[str, str], datetime]) -> None:
    """Takes back the custom ids and labels that were said of files (dataset, uri) until these times: a source is asked
    to take their place."""
    scope = Scope(project, tuple(sorted({dataset for dataset, _ in asked})))
    named = among("uri", (uri for _, uri in asked))
    rows = lake.read(f"SELECT * FROM files WHERE {all_of([scope.condition(lake), named])}", FILES.name)
    files = {(row["dataset_name"], row["uri"]): row["object_id"] for row in rows}
    until = {files.get(key) or file_object_id(project, *key): (key, at) for key, at in asked.items()}
    where = all_of([scope.condition(lake, bucketed=False), among("object_id", until)])
    last: dict[tuple[str, Aspect], Row] = {}
    for edit in lake.read(f"SELECT * FROM file_edits WHERE {where} ORDER BY sequence", FILE_EDITS.name):
        for aspect in _LABELS:
            if edit[aspect] is not None or aspect in edit["taken_back"]:
                last[edit["object_id"], aspect] = edit
    void: dict[str, list[Aspect]] = {}
    for (object_id, aspect), edit in last.items():
        if edit[aspect] is not None and edit["edit_time"] <= until[object_id][1]:
            void.setdefault(object_id, []).append(aspect)
    changes = []
    for object_id, aspects in void.items():
        dataset, uri = until[object_id][0]
        file = {"project_name": project, "dataset_name": dataset, "object_id": object_id, "uri": uri}
        changes.append((file, FileChange(taken_back=tuple(aspects))))
    if changes:
        append_file_edits(lake, changes)


def seen_files(lake: Lake, scope: Scope) -> tuple[str, tuple[str, ...]]:
    """The files of a scope as people see them: a relation called `files` for SQL, and the tables that it reads.

    It has the columns of `files` with what people said in place of what sources say, as long as it is in force.
    """
    if not lake.table(FILE_EDITS).file_uris():
        return FILES.name, (FILES.name,)
    shown = {name: _seen(aspect, name) for aspect in ASPECTS for name in COLUMNS[aspect]}
    said_by: tuple[tuple[Aspect, str], ...] = (("time", "time_source"), ("place", "location_source"))
    for aspect, name in said_by:
        shown[name] = f"CASE WHEN {_is_given(aspect, of='edit.')} THEN '{EDITED}' ELSE source.{name} END"
    shown["update_time"] = "greatest(source.update_time, coalesce(edit.edit_time, source.update_time))"
    columns = ", ".join(f"{shown.get(name, f'source.{name}')} AS {name}" for name in FILES.names)
    where = scope.condition(lake, bucketed=False)
    edits = f"(SELECT object_id, {_in_force()} FROM file_edits WHERE {where} GROUP BY object_id) AS edit"
    relation = f"(SELECT {columns} FROM files AS source LEFT JOIN {edits} ON edit.object_id = source.object_id)"
    return f"{relation} AS files", (FILES.name, FILE_EDITS.name)


def _in_force() -> str:
    """What the last edit that says anything of an aspect says of it, for each file: null where it was taken back."""
    last = []
    for aspect in ASPECTS:
        said = f"{_is_given(aspect)} OR array_has(taken_back, '{aspect}')"
        last += [f"last_value({c} ORDER BY sequence) FILTER (WHERE {said}) AS {c}" for c in COLUMNS[aspect]]
    return ", ".join([*last, "max(edit_time) AS edit_time"])


def _seen(aspect: Aspect, name: str) -> str:
    value = f"nullif(edit.{name}, '')" if name == "custom_id" else f"edit.{name}"
    return f"CASE WHEN {_is_given(aspect, of='edit.')} THEN {value} ELSE source.{name} END"


def _is_given(aspect: Aspect, *, of: str = "") -> str:
    return "(" + " OR ".join(f"{of}{name} IS NOT NULL" for name in _TELLING[aspect]) + ")"
