"""The verb `explain`: why a cluster of any kind exists."""

from __future__ import annotations

import click

from catalog import imm, terminal
from catalog.commands.arguments import any_id
from catalog.commands.options import in_lake
from catalog.commands.output import print_json
from catalog.explain import explain_figures, explain_location_date, explain_similar_images
from catalog.lake import Lake, Scope
from schemas.cluster_kinds import GROUPS, PEOPLE


@click.command()
@click.argument("object_id", metavar="ID")
@in_lake
def explain(lake: Lake, scope: Scope, as_json: bool, object_id: str) -> None:
    """Say why a cluster exists: run, inputs, options, evidence, events, edits."""
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
