"""The verb `explain`: why a cluster of any kind exists, and where the columns of a table come from."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from catalog import imm, terminal
from catalog.commands.arguments import any_id
from catalog.commands.options import in_lake, lake_options
from catalog.commands.output import print_json
from catalog.explain import explain_figures, explain_location_date, explain_similar_images
from catalog.lake import Lake, Scope
from schemas.cluster_kinds import GROUPS, PEOPLE
from schemas.column_lineage import Lineage, Made, lineage_of
from schemas.errors import UsageError


@click.command()
@click.argument("object_id", metavar="ID", required=False)
@click.option("--columns", "table", metavar="TABLE", help="Say where each column of a table comes from; needs no lake.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON document.")
@lake_options
def explain(object_id: str | None, table: str | None, as_json: bool, **where: Any) -> None:
    """Say why a cluster exists: run, inputs, options, evidence, events, edits."""
    if (object_id is None) == (table is None):
        raise UsageError("explain takes the ID of a cluster, or --columns TABLE")
    if table is not None:
        _explain_columns(table, as_json)
    else:
        _explain_cluster(object_id=object_id, as_json=as_json, **where)


def _explain_columns(table: str, as_json: bool) -> None:
    lineage = lineage_of(table)
    if as_json:
        columns = [{"Name": name, **_document(origins)} for name, origins in lineage.columns.items()]
        print_json({"Table": table, "Columns": columns, "Rows": _document(lineage.rows)})
    else:
        terminal.column_lineage(lineage)


def _document(lineage: Lineage) -> dict[str, Any]:
    """{"Made": ...} or {"From": [{"Table": ..., "Column": ..., "Change": ...}, ...]}."""
    if isinstance(lineage, Made):
        return {"Made": lineage.of}
    return {"From": [{imm.pascal(name): value for name, value in asdict(origin).items()} for origin in lineage]}


@in_lake
def _explain_cluster(lake: Lake, scope: Scope, as_json: bool, object_id: str) -> None:
    cluster = any_id(lake, scope, object_id)
    if cluster.startswith(PEOPLE.prefix):
        found = explain_figures(lake, scope, cluster)
    elif cluster.startswith(GROUPS.prefix):
        found = explain_similar_images(lake, scope, cluster)
    else:
        found = explain_location_date(lake, scope, cluster)
    document = imm.explanation(found, lake.settings.language)
    if as_json:
        print_json(document)
    else:
        terminal.explanation(document)
