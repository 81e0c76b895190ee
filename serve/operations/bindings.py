"""Bindings: sources that datasets follow. The worker reads them, those that the server may read."""

from __future__ import annotations

from typing import Any

from catalog import imm
from catalog.bindings import bind, delete_binding, list_bindings
from catalog.lake import Row
from catalog.paging import Pager, Sorting
from catalog.projects import limits_of
from serve.errors import ApiError, already_exists, invalid, not_found, too_many
from serve.operations.files import check_uri, uri_of
from serve.operations.parameters import NEXT_TOKEN, max_results, text
from serve.operations.registry import Context, Fields, Params, operation
from serve.queue import sync_piece

MOST_RESULTS = 200
DEFAULT_RESULTS = 100
FORMAT = {"format": "photos"}
"""How a bound source is read: as a folder of pictures and videos, which are opened."""
_OWN = "oss://"
_URI = uri_of("URI")
_READ = (
    "URI may have a prefix, or name a folder. What `lakealbum serve --source` does not name is bound and not read: "
    "its State is Failed."
)


@operation("CreateBinding", "bindings", _URI.must, differs=_READ)
def create_binding(context: Context, params: Params) -> Fields:
    """Lets a dataset follow a source; its files show once the worker has read them."""
    if not context.dataset:
        raise ApiError("MissingDatasetName", "DatasetName is mandatory for this action.")
    uri = params["URI"]
    if not uri.startswith(_OWN) and not context.queue.sources.may_read(uri):
        raise invalid(
            f"URI {uri[:200]!r} is not accepted; oss://bucket is, and what the server was told that it may read"
        )
    if uri.startswith(_OWN):
        check_uri(uri)
    with context.namespaces.changing:
        bound = list_bindings(context.lake, context.scope)
        if _of(bound, uri):
            raise already_exists("Binding", uri[:500])
        project = context.namespaces.project(context.project)
        dataset = context.namespaces.dataset(context.project, context.dataset)
        if project is None or dataset is None:  # it went after the door had looked
            raise not_found("Dataset", context.dataset)
        most = limits_of(dataset, project)["dataset_max_bind_count"]
        if len(bound) >= most:
            raise too_many(f"The dataset {context.dataset}, with one more binding,", len(bound) + 1, most)
        row = bind(context.lake.root, context.scope, uri, FORMAT)
    context.accept([sync_piece(row, context.request_id)])
    return {"Binding": _document(row)}


@operation("GetBinding", "bindings", _URI.must)
def get_binding(context: Context, params: Params) -> Fields:
    """Tells of a binding."""
    found = _of(list_bindings(context.lake, context.scope), params["URI"])
    if not found:
        raise not_found("Binding", params["URI"][:500])
    if len(found) > 1:
        raise invalid(f"URI {params['URI'][:200]!r} is bound to several datasets: DatasetName says which is meant")
    return {"Binding": _document(found[0])}


@operation("ListBindings", "bindings", max_results(MOST_RESULTS), text("Name"), NEXT_TOKEN, _URI)
def list_bindings_operation(context: Context, params: Params) -> Fields:
    """A page of the bindings of a dataset, or of a project, by source."""
    query = {"kind": "bindings", "project": context.project, "dataset": context.dataset}
    asked = {name: params.get(name) for name in ("Name", "URI")}
    sorting = Sorting("source", "binding_id")
    pager = Pager(context.lake.token_key, query | asked, sorting, params.get("MaxResults") or DEFAULT_RESULTS)
    position = pager.position(params.get("NextToken"))
    rows = list_bindings(context.lake, context.scope)
    if "URI" in params:
        rows = _of(rows, params["URI"])
    if "Name" in params:
        rows = [row for row in rows if row["binding_id"] == params["Name"]]
    found: list[Any] = sorted(rows, key=sorting.key)
    page = pager.page(row for row in found if position is None or sorting.key(row) > position)
    return {"Bindings": [_document(row) for row in page.rows], "NextToken": page.next_token or ""}


@operation("DeleteBinding", "bindings", _URI.must)
def delete_binding_operation(context: Context, params: Params) -> Fields:
    """Ends a binding; the files that came by it stay. One that is not there is as good."""
    found = _of(list_bindings(context.lake, context.scope), params["URI"])
    if len(found) > 1:
        raise invalid(f"URI {params['URI'][:200]!r} is bound to several datasets: DatasetName says which is meant")
    for row in found:
        delete_binding(context.lake, row)
    return {}


def _of(bound: list[Row], uri: str) -> list[Row]:
    return [row for row in bound if row["source"] == uri.rstrip("/")]


def _document(row: Row) -> Fields:
    """A Binding. Once read, it is Running until it is stopped: the server reads it again and again."""
    document = imm.binding(row)
    if row["state"] == "Ready" and row["reason"]:
        document["State"] = "Failed"
    elif row["state"] == "Ready" and row["phase"] != "FullScanning":
        document["State"] = "Running"
    return {name: document[name] for name in _TOLD if name in document}


_TOLD = ("ProjectName", "DatasetName", "URI", "State", "Phase", "Reason", "CreateTime", "UpdateTime")
