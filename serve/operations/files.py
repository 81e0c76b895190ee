"""Metadata of files: taken in behind the answer, read, changed and deleted at once."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Sequence
from typing import Any

from catalog import imm
from catalog.figures import Change, FaceMarks, find_person, update_person
from catalog.file_edits import FileChange, append_file_edits
from catalog.file_fields import INDEPENDENT, UNCLUSTERED
from catalog.file_notes import COLUMNS, given_by, note_files, removed_at
from catalog.files import read_files
from catalog.lake import Row
from catalog.requests import Piece
from catalog.sql import all_of, equals, one_of
from catalog.times import parse_time
from schemas.errors import NotFound, UsageError
from serve.errors import ApiError, invalid, not_found, too_many
from serve.operations.parameters import (
    MAX_BATCH,
    MAX_TEXT_BYTES,
    NOTIFICATION,
    USER_DATA,
    Parameter,
    choice,
    document,
    documents,
    integer,
    mapping,
    number,
    parse_parameters,
    records,
    text,
    texts,
)
from serve.operations.registry import Context, Fields, Params, operation

MEDIA_TYPES = ("image", "video", "audio", "document", "archive", "other")
MOST_URI_BYTES = 4096
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s/][^\x00-\x1f\x7f]*")
_SCHEMES = (
    *("oss", "pds", "s3", "s3a", "gs", "gcs", "cos", "cosn", "obs", "az", "adl"),
    *("abfs", "abfss", "wasb", "wasbs", "hdfs", "viewfs"),
)
"""Of object stores and file systems of clusters: what web servers or this machine have is no file of a dataset."""
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def uri_of(name: str) -> Parameter:
    """The URI of a file or a source."""
    return text(name, most_bytes=MOST_URI_BYTES)


def _time(name: str) -> Parameter:
    plain = text(name)

    def parse(path: str, value: Any) -> str:
        found: str = plain.parse(path, value)
        try:
            parse_time(path, found)
        except UsageError as error:
            raise invalid(str(error)) from None
        return found

    return Parameter(name, parse)


def _lat_long(name: str) -> Parameter:
    plain = text(name)

    def parse(path: str, value: Any) -> str:
        found: str = plain.parse(path, value)
        parts = [part.strip() for part in found.split(",")]
        if len(parts) != 2 or not all(_NUMBER.fullmatch(part) for part in parts):
            raise invalid(f"{path} {found[:100]!r} is not a latitude and a longitude, such as 30.25,120.16")
        if abs(float(parts[0])) > 90 or abs(float(parts[1])) > 180:
            raise invalid(f"{path} {found[:100]!r} is out of range: -90 to 90 and -180 to 180 are accepted")
        return ",".join(parts)

    return Parameter(name, parse)


_PLACE = [text(name) for name in ("Language", "Country", "Province", "City", "District", "Township", "AddressLine")]
INPUT_FILE = (
    uri_of("URI").must,
    uri_of("OSSURI"),
    text("CustomId", most_bytes=MAX_TEXT_BYTES),
    mapping("CustomLabels"),
    text("FileHash", most_bytes=MAX_TEXT_BYTES),
    choice("MediaType", *MEDIA_TYPES),
    text("ContentType", most_bytes=MAX_TEXT_BYTES),
    _lat_long("LatLong"),
    _time("ProduceTime"),
    records("Addresses", *_PLACE, most=100),
    records(
        "Labels",
        text("LabelName", most_bytes=MAX_TEXT_BYTES),
        text("Language"),
        text("LabelAlias"),
        text("ParentLabelName"),
        number("LabelConfidence"),
        number("CentricScore"),
        integer("LabelLevel", 0, 1000),
        most=1000,
    ),
    *(
        text(name, most_bytes=MAX_TEXT_BYTES)
        for name in ("Title", "Album", "AlbumArtist", "Artist", "Composer", "Performer")
    ),
    records("Figures", text("FigureId").must, text("FigureClusterId"), text("FigureType"), most=1000),
)
"""What callers say of a file."""
_LABELS = {"CustomId": "custom_id", "CustomLabels": "custom_labels"}
"""What callers change at once, as an edit of the file."""
_FILE = document("File").must
_ANY_FILES = documents("Files").must


_NOT_OPENED = "pictures and videos alone; they are not opened, so that a file is what InputFile says of it"
_BEHIND = (
    "CustomId, CustomLabels and the fields of music change at once, the others behind the answer; "
    "Figures are obeyed by the next clustering"
)


@operation("IndexFileMeta", "dataset", _FILE, NOTIFICATION, USER_DATA, light=True, differs=_NOT_OPENED)
def index_file_meta(context: Context, params: Params) -> Fields:
    """Takes a file in; it shows once the worker has indexed it."""
    return _index(context, "IndexFileMeta", params, _listed([params["File"]], "File"))


@operation("BatchIndexFileMeta", "dataset", _ANY_FILES, NOTIFICATION, USER_DATA, by_get=False, differs=_NOT_OPENED)
def batch_index_file_meta(context: Context, params: Params) -> Fields:
    """Takes 1 to 100 files in."""
    return _index(context, "BatchIndexFileMeta", params, _listed(params["Files"], "Files"))


@operation("GetFileMeta", "dataset", uri_of("URI").must, texts("WithFields"))
def get_file_meta(context: Context, params: Params) -> Fields:
    """What is known of a file."""
    files = _documents(context, [params["URI"]], params)
    if not files:
        raise not_found("File", params["URI"][:500])
    return {"Files": files}


@operation("BatchGetFileMeta", "dataset", texts("URIs", least=1, most=MAX_BATCH).must, texts("WithFields"))
def batch_get_file_meta(context: Context, params: Params) -> Fields:
    """What is known of 1 to 100 files; those that are not there are left out."""
    return {"Files": _documents(context, params["URIs"], params)}


@operation("UpdateFileMeta", "dataset", _FILE, differs=_BEHIND)
def update_file_meta(context: Context, params: Params) -> Fields:
    """Changes what is given of a file."""
    (file,) = _listed([params["File"]], "File", most=1)
    if refusal := _update(context, "UpdateFileMeta", [file])[0]:
        raise refusal
    return {}


@operation("BatchUpdateFileMeta", "dataset", _ANY_FILES, differs=_BEHIND)
def batch_update_file_meta(context: Context, params: Params) -> Fields:
    """Changes what is given of 1 to 100 files, and says of each whether that went well."""
    files = _listed(params["Files"], "Files")
    refusals = _update(context, "BatchUpdateFileMeta", files)
    return {
        "Files": [
            {"URI": file["URI"], "Success": refusal is None, "Message": "" if refusal is None else str(refusal)}
            for file, refusal in zip(files, refusals, strict=True)
        ]
    }


@operation("DeleteFileMeta", "dataset", uri_of("URI").must)
def delete_file_meta(context: Context, params: Params) -> Fields:
    """Deletes a file's metadata, if it is there: it is hidden at once, and removed behind the answer."""
    return _delete(context, "DeleteFileMeta", [params["URI"]])


@operation("BatchDeleteFileMeta", "dataset", texts("URIs", least=1, most=MAX_BATCH).must, by_get=False)
def batch_delete_file_meta(context: Context, params: Params) -> Fields:
    """Deletes the metadata of 1 to 100 files."""
    return _delete(context, "BatchDeleteFileMeta", list(dict.fromkeys(params["URIs"])))


def _listed(given: Sequence[Row], what: str, most: int = MAX_BATCH) -> list[Row]:
    """The files that are meant: a JSON list in a URI stands for the files that it lists, as IMM's samples write it."""
    files: list[Row] = []
    for element in given:
        uri = element.get("URI")
        inner = json.loads(uri) if isinstance(uri, str) and _is_list(uri) else [element]
        files += [{"URI": item} if isinstance(item, str) else item for item in inner]
    if not files:
        raise invalid(f"{what} has no file; 1 to {most} are accepted")
    if len(files) > most:
        raise too_many(what, len(files), most)
    checked = []
    for number_of, file in enumerate(files, start=1):
        where = f"{what}.{number_of}." if len(files) > 1 or what == "Files" else f"{what}."
        if not isinstance(file, dict):
            raise invalid(f"{where[:-1]} is not an object")
        checked.append(parse_parameters(INPUT_FILE, {key: value for key, value in file.items() if value != []}, where))
    return checked


def _is_list(uri: str) -> bool:
    if not uri.lstrip().startswith("["):
        return False
    try:
        return isinstance(json.loads(uri), list)
    except (ValueError, RecursionError):
        return False


def _index(context: Context, name: str, params: Params, files: Sequence[Row]) -> Fields:
    for file in files:
        check_uri(file["URI"])
    event_id = str(uuid.uuid4()).upper()
    more = {key: value for key, value in params.items() if key in ("Notification", "UserData")}
    context.accept([_piece(context, name, event_id, file, more) for file in files])
    return {"EventId": event_id}


def check_uri(uri: str) -> None:
    """The endpoint opens no file that a caller names: a URI is a name, of an object that others can read."""
    if not _SCHEME.fullmatch(uri) or uri.partition("://")[0].lower() not in _SCHEMES:
        raise invalid(f"URI {uri[:200]!r} is not accepted; oss://bucket/object, and URIs of other object stores, are")
    if any(step in (".", "..") for step in uri.partition("://")[2].split("/")):
        raise invalid(f"URI {uri[:200]!r} has the step . or .., which names no object")


def _piece(context: Context, name: str, event_id: str, file: Row, more: Params) -> Piece:
    parameters = {"File": file, **more}
    return Piece(name, context.project, context.dataset, context.request_id, event_id, parameters, uri=file["URI"])


def _documents(context: Context, uris: Sequence[str], params: Params) -> list[Fields]:
    fields = tuple(params.get("WithFields", ()))
    rows = {row["uri"]: row for row in read_files(context.lake, context.scope, uris, fields)}
    found = [rows[uri] for uri in dict.fromkeys(uris) if uri in rows]
    return [imm.only(imm.file(row, context.language), fields) for row in found]


def _update(context: Context, name: str, files: Sequence[Row]) -> list[ApiError | None]:
    """Changes files. What stands beside `files` changes at once; what a source tells, by the worker."""
    there = {row["uri"]: row for row in read_files(context.lake, context.scope, [f["URI"] for f in files], ("URI",))}
    refusals = [_assign_figures(context, f) if f["URI"] in there else not_found("File", f["URI"][:500]) for f in files]
    good = [file for file, refusal in zip(files, refusals, strict=True) if refusal is None]
    labels: dict[str, Row] = {}
    for file in good:
        if given := {column: file[name] for name, column in _LABELS.items() if name in file}:
            labels[file["URI"]] = labels.get(file["URI"], {}) | given
    if labels:
        append_file_edits(context.lake, [(there[uri], FileChange(fields)) for uri, fields in labels.items()])
    said = [file for file in good if file.keys() & COLUMNS.keys()]
    note_files(
        context.lake,
        context.project,
        {(context.dataset, file["URI"]): given_by(file) for file in said},
        context.now,
    )
    told = [file for file in good if file.keys() - COLUMNS.keys() - _LABELS.keys() - {"URI", "Figures"}]
    if told:
        event_id = str(uuid.uuid4()).upper()
        context.accept([_piece(context, name, event_id, file, {}) for file in told])
    return refusals


def _assign_figures(context: Context, file: Row) -> ApiError | None:
    """Says of faces of a file whose they are. The next clustering obeys it."""
    figures = {figure["FigureId"]: figure.get("FigureClusterId") for figure in file.get("Figures", ())}
    wanted = {figure_id: person for figure_id, person in figures.items() if person}
    if not wanted:
        return None
    where = all_of(
        [context.scope.condition(context.lake), equals("uri", file["URI"]), one_of("figure_id", sorted(wanted))]
    )
    known = {row["figure_id"] for row in context.lake.read(f"SELECT figure_id FROM figures WHERE {where}", "figures")}
    if missing := sorted(wanted.keys() - known):
        return not_found("Figure", missing[0][:200])
    members = context.lake.read(
        f"SELECT figure_id, object_id FROM figure_members WHERE {where} AND object_id IS NOT NULL", "figure_members"
    )
    present = {row["figure_id"]: row["object_id"] for row in members}
    try:
        for person in wanted.values():
            if person not in (INDEPENDENT, UNCLUSTERED):
                find_person(context.lake, context.scope, person)
        for figure_id, person in wanted.items():
            of = present.get(figure_id)
            if person not in (INDEPENDENT, UNCLUSTERED):
                update_person(context.lake, context.scope, person, Change(marks=FaceMarks(join=(figure_id,))))
            elif of:
                update_person(context.lake, context.scope, of, Change(marks=FaceMarks(part=(figure_id,))))
    except NotFound:
        return not_found("FigureCluster", str(person)[:200])
    return None


def _delete(context: Context, name: str, uris: Sequence[str]) -> Fields:
    changes = dict.fromkeys(((context.dataset, uri) for uri in uris), removed_at(context.now))
    note_files(context.lake, context.project, changes, context.now)
    event_id = str(uuid.uuid4()).upper()
    context.accept([_piece(context, name, event_id, {"URI": uri}, {}) for uri in uris])
    return {}
