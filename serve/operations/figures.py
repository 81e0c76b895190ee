"""Figure clusters: people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from catalog import imm
from catalog.face_scans import wanted_family
from catalog.face_search import Faces, faces_found, faces_from, faces_of_file, nearest_people
from catalog.figures import SORTS, Change, FigureQuery, find_person, query_figures, update_person
from catalog.files import read_files
from catalog.lake import Row
from catalog.times import ANY_TIME
from schemas.errors import NotFound, UsageError
from serve.errors import invalid, not_found, status_conflict, unsupported
from serve.operations.parameters import (
    MAX_BATCH,
    MAX_TEXT_BYTES,
    NEXT_TOKEN,
    ORDER,
    choice,
    flag,
    integer,
    json_value,
    label_filter,
    mapping,
    max_results,
    record,
    records,
    text,
    texts,
    time_range,
)
from serve.operations.registry import Context, Fields, Params, operation

DEFAULT_RESULTS = 100
OBJECT_ID = text("ObjectId").must
_SORTS = {**{name: name for name in SORTS}, "Name": "GroupName"}
_EDITABLE = {"Name": "title", "CustomId": "custom_id", "CustomLabels": "custom_labels"}
_OF_COVERS = ("URI", "Figures")


@operation(
    "QueryFigureClusters",
    "dataset",
    time_range("CreateTimeRange"),
    label_filter("CustomLabels"),
    max_results(),
    NEXT_TOKEN,
    ORDER,
    choice("Sort", *_SORTS),
    time_range("UpdateTimeRange"),
    flag("WithTotalCount"),
)
def query_figure_clusters(context: Context, params: Params) -> Fields:
    """A page of the people who fit."""
    query = FigureQuery(
        context.scope,
        created=params.get("CreateTimeRange", ANY_TIME),
        updated=params.get("UpdateTimeRange", ANY_TIME),
        labels=params.get("CustomLabels", {}),
        sort=_SORTS[params.get("Sort", "ObjectId")],
        order=params.get("Order", "asc"),
        max_results=params.get("MaxResults") or DEFAULT_RESULTS,
        with_total=params.get("WithTotalCount", False),
    )
    page = query_figures(context.lake, query, params.get("NextToken"))
    total = {} if page.total is None else {"TotalCount": page.total}
    return {"FigureClusters": _people(context, page.rows), "NextToken": page.next_token or "", **total}


@operation("GetFigureCluster", "dataset", OBJECT_ID)
def get_figure_cluster(context: Context, params: Params) -> Fields:
    """Tells of a person."""
    return {"FigureCluster": _people(context, [_find(context, params["ObjectId"])])[0]}


@operation("BatchGetFigureCluster", "dataset", texts("ObjectIds", least=1, most=MAX_BATCH).must)
def batch_get_figure_cluster(context: Context, params: Params) -> Fields:
    """Tells of those people who are there, in the order in which they are asked for."""
    asked = tuple(dict.fromkeys(params["ObjectIds"]))
    found = query_figures(context.lake, FigureQuery(context.scope, object_ids=asked)).rows
    rows = sorted(found, key=lambda row: asked.index(row["object_id"]))
    return {"FigureClusters": _people(context, rows)}


@operation(
    "UpdateFigureCluster",
    "dataset",
    record(
        "FigureCluster",
        OBJECT_ID,
        text("Name", most_bytes=MAX_TEXT_BYTES),
        text("CustomId", most_bytes=MAX_TEXT_BYTES),
        mapping("CustomLabels"),
        integer("MetaLockVersion", 0, 2**31 - 1),
        record("Cover", records("Figures", text("FigureId").must, most=1)),
    ).must,
)
def update_figure_cluster(context: Context, params: Params) -> Fields:
    """Changes what is given of a person, and leaves the rest."""
    asked = params["FigureCluster"]
    fields: dict[str, Any] = {column: asked[name] for name, column in _EDITABLE.items() if name in asked}
    if figures := asked.get("Cover", {}).get("Figures"):
        fields["cover_figure_id"] = figures[0]["FigureId"]
    person = _find(context, asked["ObjectId"])
    if fields:
        try:
            update_person(
                context.lake, context.scope, person["object_id"], Change(fields), asked.get("MetaLockVersion")
            )
        except NotFound:
            raise not_found("Figure", fields.get("cover_figure_id", "")[:200]) from None
    elif asked.get("MetaLockVersion", person["lock_version"]) != person["lock_version"]:
        raise status_conflict(f"MetaLockVersion is {person['lock_version']} by now, not {asked['MetaLockVersion']}.")
    return {}


@operation(
    "SearchImageFigureCluster",
    "dataset",
    text("SourceURI"),
    json_value("Embedding"),
    differs="The faces are those that the lake has of an indexed SourceURI; of another one that `lakealbum serve "
    "--source` lets it read, those that the dataset's face models find; or they are given as Embedding, a JSON list of "
    "numbers or a list of such lists, which is an extension. CredentialConfig is passed over.",
)
def search_image_figure_cluster(context: Context, params: Params) -> Fields:
    """For each face the people whom it is most similar to, best first."""
    if ("SourceURI" in params) == ("Embedding" in params):
        raise invalid("exactly one of SourceURI and Embedding must be given")
    if "Embedding" in params:
        faces: Faces | None = faces_from(params["Embedding"], "Embedding")
    elif read_files(context.lake, context.scope, [params["SourceURI"]], _OF_COVERS):
        faces = faces_of_file(context.lake, context.scope, params["SourceURI"])
    else:
        faces = faces_found(_look_at(context, params["SourceURI"]))
    if faces is None:
        return {"Clusters": []}
    matches = [imm.cluster_match(row) for row in nearest_people(context.lake, context.scope, faces)]
    return {"Clusters": matches}


def _look_at(context: Context, uri: str) -> list[Row]:
    """The faces of a picture that is no file of the dataset, found by the dataset's models."""
    family = wanted_family(context.lake, context.project, context.dataset)
    if family is None or not context.queue.sources.may_read(uri):
        raise unsupported(
            "A SourceURI that is neither a file of the dataset nor a picture that this server may read for it",
            "`lakealbum serve --source` names what it may read; the dataset must look for faces (`index --faces`). "
            "Embeddings of faces can be given as Embedding.",
        )
    try:
        return context.queue.faces.find(uri, family)
    except NotFound:
        raise not_found("File", uri[:200]) from None
    except UsageError as error:
        raise invalid(f"SourceURI {uri[:200]!r}: {error}") from None


def _find(context: Context, object_id: str) -> Row:
    try:
        return find_person(context.lake, context.scope, object_id)
    except NotFound:
        raise not_found("FigureCluster", object_id[:200]) from None


def _people(context: Context, rows: Sequence[Row]) -> list[dict[str, Any]]:
    """FigureClusters, each with its cover: the file as it is known, and of its faces that of the person."""
    uris = [row["cover_uri"] for row in rows]
    covers = {row["uri"]: row for row in read_files(context.lake, context.scope, uris)} if rows else {}
    people = []
    for row in rows:
        person = imm.figure_cluster(row)
        if cover := covers.get(row["cover_uri"]):
            shown = [face for face in cover["figures"] if face["figure_id"] == row["cover_figure_id"]]
            person["Cover"] = imm.file({**cover, "figures": shown}, context.language)
        people.append(person)
    return people
