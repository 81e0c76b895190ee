"""Projects and datasets."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from catalog.imm import pascal
from catalog.lake import Row
from catalog.paging import Page, Pager, Sorting
from catalog.projects import count_files, delete_dataset, delete_project, limits_of, put_dataset, put_project
from catalog.requests import Piece
from catalog.times import utc
from schemas.projects import DATASET_LIMITS, LIMITS
from serve.errors import already_exists, not_found, status_conflict, too_many
from serve.operations.parameters import NEXT_TOKEN, Parameter, flag, integer, max_results, records, text
from serve.operations.registry import Context, Fields, Params, operation

SERVICE_ROLE = "AliyunIMMDefaultRole"
TEMPLATE = "Official:DefaultEmptyId"
MOST_RESULTS = 200
DEFAULT_RESULTS = 100
DESCRIPTION = text("Description", most=256)
TEMPLATE_ID = text("TemplateId", most_bytes=1024)
WITH_STATISTICS = flag("WithStatistics")
PREFIX = text("Prefix")
PROJECT_FIELDS = (
    DESCRIPTION,
    text("ServiceRole", most_bytes=1024),
    TEMPLATE_ID,
    records("Tag", text("Key").must, text("Value"), most=20),
)
DATASET_FIELDS = (
    DESCRIPTION,
    TEMPLATE_ID,
    records("WorkflowParameters", text("Name").must, text("Value"), most=100),
)


def _limits(names: Iterable[str]) -> tuple[Parameter, ...]:
    return tuple(integer(pascal(name), *LIMITS[name][:2]) for name in names)


_KEPT = "ProjectMaxDatasetCount is enforced; the other limits, ServiceRole and TemplateId are kept and told"
PROJECT_PARAMETERS = (*PROJECT_FIELDS, *_limits(LIMITS))
DATASET_PARAMETERS = (*DATASET_FIELDS, *_limits(DATASET_LIMITS))


@operation("CreateProject", "project", *PROJECT_PARAMETERS, need_not_exist=True, differs=_KEPT)
def create_project(context: Context, params: Params) -> Fields:
    """Makes a project without datasets."""
    row = {"project_name": context.project, "create_time": context.now, **_project_row(context, params)}
    with context.namespaces.changing:
        if context.namespaces.project(context.project):
            raise already_exists("Project", context.project)
        put_project(context.lake, row)
        context.namespaces.refresh()
    return {"Project": _project(context, row)}


@operation("GetProject", "project", WITH_STATISTICS)
def get_project(context: Context, params: Params) -> Fields:
    """Tells of a project."""
    return {"Project": _project(context, _existing_project(context), counted=params.get("WithStatistics", False))}


@operation("UpdateProject", "project", *PROJECT_PARAMETERS, differs=_KEPT)
def update_project(context: Context, params: Params) -> Fields:
    """Changes what is given of a project, and leaves the rest."""
    with context.namespaces.changing:
        row = {**_existing_project(context), **_project_row(context, params)}
        put_project(context.lake, row)
        context.namespaces.refresh()
    return {"Project": _project(context, row)}


@operation("DeleteProject", "project", need_not_exist=True)
def delete_project_operation(context: Context, params: Params) -> Fields:
    """Deletes a project without datasets. One that is not there is as good."""
    if context.namespaces.project(context.project) is None:
        return {}
    with context.namespaces.changing:
        if context.namespaces.datasets(context.project):
            raise status_conflict(f"The project {context.project} has datasets; delete them first.")
        delete_project(context.lake, context.project)
        context.namespaces.refresh()
    return {}


@operation("ListProjects", "projects", max_results(MOST_RESULTS), NEXT_TOKEN, PREFIX, PROJECT_FIELDS[-1])
def list_projects(context: Context, params: Params) -> Fields:
    """A page of the projects, by name."""
    tags = {tag["Key"]: tag.get("Value", "") for tag in params.get("Tag", ())}
    rows = [row for row in context.namespaces.projects() if tags.items() <= (row["tags"] or {}).items()]
    page = _page(context, params, "project_name", rows, {"tags": tags})
    return {"Projects": [_project(context, row) for row in page.rows], "NextToken": page.next_token or ""}


@operation("CreateDataset", "dataset", *DATASET_PARAMETERS, need_not_exist=True, differs=_KEPT)
def create_dataset(context: Context, params: Params) -> Fields:
    """Makes an empty dataset."""
    row = {
        "project_name": context.project,
        "dataset_name": context.dataset,
        "create_time": context.now,
        **_dataset_row(context, params),
    }
    with context.namespaces.changing:
        project, there = _existing_project(context), len(context.namespaces.datasets(context.project))
        if context.namespaces.dataset(context.project, context.dataset):
            raise already_exists("Dataset", context.dataset)
        most = limits_of(project)["project_max_dataset_count"]
        if there >= most:
            raise too_many(f"The project {context.project}, with one more dataset,", there + 1, most)
        put_dataset(context.lake, row)
        context.namespaces.refresh()
    return {"Dataset": _dataset(context, row)}


@operation("GetDataset", "dataset", WITH_STATISTICS)
def get_dataset(context: Context, params: Params) -> Fields:
    """Tells of a dataset."""
    return {"Dataset": _dataset(context, _existing_dataset(context), counted=params.get("WithStatistics", False))}


@operation("UpdateDataset", "dataset", *DATASET_PARAMETERS, differs=_KEPT)
def update_dataset(context: Context, params: Params) -> Fields:
    """Changes what is given of a dataset, and leaves the rest."""
    with context.namespaces.changing:
        row = {**_existing_dataset(context), **_dataset_row(context, params)}
        put_dataset(context.lake, row)
        context.namespaces.refresh()
    return {"Dataset": _dataset(context, row)}


@operation("DeleteDataset", "dataset", need_not_exist=True, by_get=False)
def delete_dataset_operation(context: Context, params: Params) -> Fields:
    """Deletes a dataset without files and bindings; what clusterings left of it goes behind the answer.

    One that is not there is as good.
    """
    if not context.namespaces.dataset(context.project, context.dataset):
        return {}
    if context.queue.has_files(context.project, context.dataset) or count_files(context.lake, context.scope).files:
        raise status_conflict(f"The dataset {context.dataset} has files; delete them first.")
    if context.count_bindings():
        raise status_conflict(f"The dataset {context.dataset} has bindings; delete them first.")
    with context.namespaces.changing:
        delete_dataset(context.lake, context.project, context.dataset)
        context.namespaces.refresh()
    event_id = str(uuid.uuid4()).upper()
    context.accept([Piece("DeleteDataset", context.project, context.dataset, context.request_id, event_id, {})])
    return {}


@operation("ListDatasets", "datasets", max_results(MOST_RESULTS), NEXT_TOKEN, PREFIX)
def list_datasets(context: Context, params: Params) -> Fields:
    """A page of a project's datasets, by name."""
    page = _page(context, params, "dataset_name", context.namespaces.datasets(context.project), {})
    return {"Datasets": [_dataset(context, row) for row in page.rows], "NextToken": page.next_token or ""}


def _page(context: Context, params: Params, column: str, rows: Iterable[Row], asked: Mapping[str, Any]) -> Page:
    """The page of rows, in the order of a name, that a token asks for."""
    prefix, sorting = params.get("Prefix", ""), Sorting(column, column)
    query = {"kind": column, "project": context.project, "prefix": prefix, **asked}
    pager = Pager(context.lake.token_key, query, sorting, params.get("MaxResults") or DEFAULT_RESULTS)
    position = pager.position(params.get("NextToken"))
    after = position[1] if position else ""
    return pager.page(row for row in rows if row[column] > after and row[column].startswith(prefix))


def _project_row(context: Context, params: Params) -> Row:
    """The columns of `projects` that a request gives."""
    tags = {tag["Key"]: tag.get("Value", "") for tag in params["Tag"]} if params.get("Tag") else None
    given = {
        "description": params.get("Description"),
        "service_role": params.get("ServiceRole"),
        "template_id": params.get("TemplateId"),
        "tags": tags,
        **{name: params.get(pascal(name)) for name in LIMITS},
    }
    return {"update_time": context.now} | {name: value for name, value in given.items() if value is not None}


def _dataset_row(context: Context, params: Params) -> Row:
    """The columns of `dataset_settings` that a request gives."""
    workflow = params.get("WorkflowParameters")
    given = {
        "description": params.get("Description"),
        "template_id": params.get("TemplateId"),
        "workflow_parameters": {item["Name"]: item.get("Value", "") for item in workflow} if workflow else None,
        **{name: params.get(pascal(name)) for name in DATASET_LIMITS},
    }
    return {"update_time": context.now} | {name: value for name, value in given.items() if value is not None}


def _existing_project(context: Context) -> Row:
    row = context.namespaces.project(context.project)
    if row is None:  # it went after the door had looked
        raise not_found("Project", context.project)
    return row


def _existing_dataset(context: Context) -> Row:
    row = context.namespaces.dataset(context.project, context.dataset)
    if row is None:
        raise not_found("Dataset", context.dataset)
    return row


def _project(context: Context, row: Row, *, counted: bool = False) -> Fields:
    """A Project."""
    document = {
        "ProjectName": row["project_name"],
        "Description": row.get("description") or "",
        "ServiceRole": row.get("service_role") or SERVICE_ROLE,
        "TemplateId": row.get("template_id") or TEMPLATE,
        "CreateTime": utc(row["create_time"]),
        "UpdateTime": utc(row["update_time"]),
        "Tags": [{"TagKey": key, "TagValue": value} for key, value in (row.get("tags") or {}).items()],
        **{pascal(name): value for name, value in limits_of(row).items()},
    }
    if counted:
        found = count_files(context.lake, context.scope)
        document |= {
            "FileCount": found.files,
            "TotalFileSize": found.bytes,
            "DatasetCount": len(context.namespaces.datasets(row["project_name"])),
        }
    return document


def _dataset(context: Context, row: Row, *, counted: bool = False) -> Fields:
    """A Dataset."""
    project = _existing_project(context)
    workflow = row.get("workflow_parameters") or {}
    document = {
        "ProjectName": row["project_name"],
        "DatasetName": row["dataset_name"],
        "Description": row.get("description") or "",
        "TemplateId": row.get("template_id") or project.get("template_id") or TEMPLATE,
        "CreateTime": utc(row["create_time"]),
        "UpdateTime": utc(row["update_time"]),
        "WorkflowParameters": [{"Name": name, "Value": value} for name, value in workflow.items()],
        **{pascal(name): value for name, value in limits_of(row, project).items()},
    }
    if counted:
        found = count_files(context.lake, context.scope)
        document |= {"FileCount": found.files, "TotalFileSize": found.bytes, "BindCount": context.count_bindings()}
    return document
