"""What callers say of files that `files` has no column for, and deletions that are under way."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from typing import Any

from catalog.commits import merge_rows, open_newest, remove, until_committed
from catalog.lake import Lake, Row, Scope, plain_rows
from catalog.selecting import select
from catalog.sql import all_of, equals, one_of
from schemas.file_notes import FILE_NOTES

COLUMNS: Mapping[str, str] = {
    "Album": "album",
    "AlbumArtist": "album_artist",
    "Artist": "artist",
    "Composer": "composer",
    "Performer": "performer",
    "OSSURI": "oss_uri",
}
"""Field of a File -> column."""

COMING = datetime(9999, 1, 1, tzinfo=UTC)
"""The `removed_time` of a file that is being taken in: it shows once its place is known, too."""

Key = tuple[str, str]
"""A file: its dataset and its URI."""
Change = Callable[[Row | None], Row | None]
"""What becomes of the row of a file (None: there is none); None leaves it as it is."""


def read_file_notes(lake: Lake, scope: Scope, uris: Collection[str]) -> dict[Key, Row]:
    """The rows of those files that have one."""
    where = all_of([scope.condition(lake, bucketed=False), one_of("uri", sorted(set(uris)))])
    rows = lake.read(f"SELECT * FROM file_notes WHERE {where}", FILE_NOTES.name)
    return {(row["dataset_name"], row["uri"]): row for row in rows}


def note_files(lake: Lake, project: str, changes: Mapping[Key, Change], now: datetime) -> None:
    """Changes the rows of files in one commit, made again where another writer was first."""
    if not changes:
        return
    datasets, uris = ({key[part] for key in changes} for part in (0, 1))
    where = all_of(
        [equals("project_name", project), one_of("dataset_name", sorted(datasets)), one_of("uri", sorted(uris))]
    )

    def write() -> None:
        table = open_newest(lake.root, FILE_NOTES)
        found = select(f"SELECT * FROM file_notes WHERE {where}", {"file_notes": table}).read_all()
        old = {(row["dataset_name"], row["uri"]): row for row in plain_rows(found)}
        rows = []
        for (dataset, uri), change in changes.items():
            row = change(old.get((dataset, uri)))
            if row is not None:
                key = {"project_name": project, "dataset_name": dataset, "uri": uri}
                rows.append({**row, **key, "update_time": now})
        if rows:
            merge_rows(table, FILE_NOTES, rows)

    until_committed(FILE_NOTES, write)


def columns_of(document: Mapping[str, Any]) -> Row:
    """The columns that a File (or InputFile) gives."""
    return {column: document[field] for field, column in COLUMNS.items() if document.get(field) is not None}


def given_by(document: Mapping[str, Any]) -> Change:
    """Lays what a File gives over what is there."""
    columns = columns_of(document)
    return lambda old: {**(old or {}), **columns}


def replaced_by(document: Mapping[str, Any], asked: datetime) -> Change:
    """Takes the place of what was said before a file was asked to be indexed; what was said since stays."""
    columns = columns_of(document)

    def change(old: Row | None) -> Row | None:
        if old is None:
            return columns or None
        if old["update_time"] > asked:
            return {**columns, **{name: value for name, value in old.items() if value is not None}}
        return {**dict.fromkeys(COLUMNS.values()), **columns, "removed_time": None}

    return change


def coming(change: Change) -> Change:
    """Hides a new file until `show_files`, unless it was deleted since it was asked for."""

    def hide(old: Row | None) -> Row | None:
        row = change(old) or old or {}
        return {**row, "removed_time": row.get("removed_time") or COMING}

    return hide


def show_files(lake: Lake, project: str, keys: Collection[Key], now: datetime) -> None:
    """Shows those of these files that `coming` hides."""
    scope = Scope(project, tuple(sorted({dataset for dataset, _ in keys})))
    noted = read_file_notes(lake, scope, [uri for _, uri in keys])
    hidden = {key: noted[key] for key in keys if key in noted and noted[key]["removed_time"] == COMING}
    bare = {key for key, row in hidden.items() if all(row[column] is None for column in COLUMNS.values())}
    for dataset in sorted({dataset for dataset, _ in bare}):
        uris = one_of("uri", sorted(uri for of, uri in bare if of == dataset))
        of_dataset = [equals("project_name", project), equals("dataset_name", dataset)]
        remove(lake.root, FILE_NOTES, all_of([*of_dataset, equals("removed_time", COMING), uris]))
    note_files(lake, project, dict.fromkeys(hidden.keys() - bare, _shown), now)


def _shown(old: Row | None) -> Row | None:
    return {**old, "removed_time": None} if old and old["removed_time"] == COMING else None


def removed_at(now: datetime) -> Change:
    """Hides a file, and forgets what was said of it."""
    return lambda old: {**dict.fromkeys(COLUMNS.values()), "removed_time": now}
