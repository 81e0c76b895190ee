"""Work on files: what was asked of each, put together, then removed and indexed by one run of each job."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from catalog.commits import remove
from catalog.file_edits import take_back_labels
from catalog.file_notes import Key, coming, note_files, read_file_notes, replaced_by, show_files
from catalog.lake import Lake, Row, Scope
from catalog.requests import Piece
from catalog.sql import all_of, among, literal, one_of
from schemas.contract import ADDRESS, LABELS, LEVELS
from schemas.file_notes import FILE_NOTES
from serve.work.groups import DELETE, FILE_WORK, INDEX, Group

FILE_COLUMNS: Mapping[str, pa.DataType] = {
    "media_type": pa.string(),
    "content_type": pa.string(),
    "file_hash": pa.string(),
    "produce_time": pa.string(),
    "latitude": pa.string(),
    "longitude": pa.string(),
    "address": ADDRESS,
    "title": pa.string(),
    "labels": pa.list_(pa.string()),
    "custom_id": pa.string(),
    "custom_labels": LABELS,
    "attributes": pa.string(),
}
"""What an InputFile can say of a file of the lake."""
MOST_ATTRIBUTES = 1 << 20
"""Bytes of them that index takes."""
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass
class FileWork:
    """What is to be done to one file, by all that was asked of it: perhaps removed, then perhaps indexed."""

    remove: bool = False
    index: dict[str, Any] | None = None
    whole: bool = False
    """Whether `index` takes the place of what was said of the file, or is laid over it."""
    asked: datetime = _LONG_AGO
    """When it was last asked to be indexed as a whole."""

    def add(self, piece: Piece) -> None:
        """What another piece, asked later, makes of it."""
        kind = FILE_WORK[piece.operation]
        if kind == DELETE:
            self.remove, self.index, self.whole = True, None, False
        elif kind == INDEX:
            self.index, self.whole, self.asked = dict(piece.parameters["File"]), True, piece.ask_time
        elif self.index is not None or not self.remove:
            self.index = {**(self.index or {}), **piece.parameters["File"]}


def carry_out_files(lake: Lake, group: Group) -> None:
    """Removes and indexes the files of a group."""
    works: dict[Key, FileWork] = {}
    for piece in group.pieces:
        assert piece.uri is not None, piece.operation
        works.setdefault((piece.dataset_name, piece.uri), FileWork()).add(piece)
    for dataset in group.datasets:
        removed = [uri for (of, uri), work in works.items() if of == dataset and work.remove]
        _remove_files(lake, group.project, dataset, removed, until=group.pieces[-1].ask_time)
    indexed = {key: work for key, work in works.items() if work.index is not None}
    if indexed:
        _replace(lake, group.project, indexed)
        _say_more(lake, group.project, indexed)
        try:
            _index_files(lake, group.project, indexed)
        finally:
            show_files(lake, group.project, indexed, datetime.now(UTC))


def _remove_files(lake: Lake, project: str, dataset: str, uris: Sequence[str], *, until: datetime) -> None:
    """Removes those files that are there, and what was noted to hide them, but for what was asked later."""
    from jobs.remove_files import RemoveFiles, remove_files
    from jobs.runtime.runs import run_job

    if not uris:
        return
    scope = Scope(project, (dataset,))
    where = all_of([scope.condition(lake), "deleted_time IS NULL", one_of("uri", uris)])
    there = [row["uri"] for row in lake.read(f"SELECT uri FROM files WHERE {where}", "files")]
    if there:
        config = RemoveFiles(lake=lake.root, project=project, dataset=(dataset,), uri=tuple(there))
        with run_job(config, job="remove-files", task_type="FileRemoving") as run:
            remove_files(run, config)
    noted = all_of([scope.condition(lake, bucketed=False), f"removed_time <= {literal(until)}", one_of("uri", uris)])
    remove(lake.root, FILE_NOTES, noted)


def _replace(lake: Lake, project: str, works: Mapping[Key, FileWork]) -> None:
    """Takes back what callers said of files before these were asked to be indexed anew."""
    whole = {key: work.asked for key, work in works.items() if work.whole}
    if whole:
        take_back_labels(lake, project, whole)


def _say_more(lake: Lake, project: str, works: Mapping[Key, FileWork]) -> None:
    """Writes down what InputFiles say that `files` has no column for, before the files show.

    New files are hidden meanwhile: a run stores them first and finds their places then, and whoever sees a file may
    ask for it by its place.
    """
    scope = Scope(project, tuple(sorted({dataset for dataset, _ in works})))
    where = all_of([scope.condition(lake), "deleted_time IS NULL", among("uri", {uri for _, uri in works})])
    rows = lake.read(f"SELECT dataset_name, uri FROM files WHERE {where}", "files")
    there = {(row["dataset_name"], row["uri"]) for row in rows}
    noted = read_file_notes(lake, scope, [uri for _, uri in works])
    changes = {}
    for key, work in works.items():
        if work.whole and work.index is not None:
            change = replaced_by(work.index, work.asked)
            if key not in there:
                changes[key] = coming(change)
            elif key in noted or change(None) is not None:
                changes[key] = change
    note_files(lake, project, changes, datetime.now(UTC))


def _index_files(lake: Lake, project: str, works: Mapping[Key, FileWork]) -> None:
    """Indexes files by one run: a source for each set of columns that files are told of."""
    from jobs.index_files import index_files
    from jobs.indexing.options import IndexFiles
    from jobs.runtime.runs import run_job

    rows: dict[tuple[str, ...], list[Row]] = {}
    for (dataset, uri), work in works.items():
        told = file_columns(work.index or {}, lake.settings.language, whole=work.whole)
        if told:
            rows.setdefault(tuple(sorted(told)), []).append({"dataset_name": dataset, "uri": uri, **told})
    if not rows:
        return
    with tempfile.TemporaryDirectory(prefix="lakealbum-") as folder:
        sources = []
        for number, (columns, listed) in enumerate(rows.items(), start=1):
            types = {"dataset_name": pa.string(), "uri": pa.string(), **{name: FILE_COLUMNS[name] for name in columns}}
            path = Path(folder) / f"IndexFileMeta-{number}.parquet"
            pq.write_table(pa.Table.from_pylist(listed, schema=pa.schema(types)), path)
            sources.append(str(path))
        config = IndexFiles(lake=lake.root, project=project, source=tuple(sources), format="parquet")
        with run_job(config, job="index-files", task_type="FileIndexing") as run:
            index_files(run, config)


def file_columns(document: Mapping[str, Any], language: str, *, whole: bool) -> Row:
    """The columns of a file that an InputFile tells: all of them if it is the whole of it, else those given."""
    latitude, _, longitude = (document.get("LatLong") or "").partition(",")
    addresses = document.get("Addresses") or []
    told = {
        "media_type": document.get("MediaType"),
        "content_type": document.get("ContentType"),
        "file_hash": document.get("FileHash"),
        "produce_time": document.get("ProduceTime"),
        "latitude": latitude.strip() or None,
        "longitude": longitude.strip() or None,
        "address": _address(addresses, language),
        "title": document.get("Title"),
        "labels": [label["LabelName"] for label in document.get("Labels") or [] if label.get("LabelName")] or None,
    }
    if whole:
        return told | {
            "custom_id": document.get("CustomId"),
            "custom_labels": document.get("CustomLabels"),
            "attributes": _attributes(document),
        }
    return {name: value for name, value in told.items() if value is not None}


def _attributes(document: Mapping[str, Any]) -> str | None:
    """Labels and addresses whole, where columns do not tell all of them, and they are not endless."""
    labels, addresses = document.get("Labels") or [], document.get("Addresses") or []
    more: dict[str, Any] = {}
    if any(label.keys() - {"LabelName"} for label in labels):
        more["Labels"] = labels
    if len(addresses) > 1 or any(place.keys() & {"AddressLine", "Language"} for place in addresses):
        more["Addresses"] = addresses
    text = json.dumps(more, ensure_ascii=False)
    return text if more and len(text.encode()) <= MOST_ATTRIBUTES else None


def _address(addresses: Sequence[Mapping[str, str]], language: str) -> dict[str, str | None] | None:
    """The address in the lake's language, else the first."""
    if not addresses:
        return None
    spoken = [each for each in addresses if (each.get("Language") or "").lower().partition("-")[0] == language]
    chosen = (spoken or list(addresses))[0]
    return {level: chosen.get(level.capitalize()) for level in LEVELS}
