"""The verb `check`: tests of the data of a lake."""

from __future__ import annotations

import json

import click

from catalog import terminal
from catalog.checks import CHECKS, Check, Finding, run_check
from catalog.commands.rows import plain
from catalog.imm import Document
from catalog.lake import Lake
from catalog.paging import check_among
from schemas.errors import UsageError
from schemas.lake import TABLES


@click.command("check")
@click.option("--lake", envvar="LAKEALBUM_LAKE", help="Root of the lake: a directory or an object-store URI.")
@click.option("--only", multiple=True, metavar="NAME", help="Only the test of this name; repeatable.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON document.")
def check(lake: str | None, only: tuple[str, ...], as_json: bool) -> int:
    """Test the tables: members against counts, events against clusters, orphans, constraints.

    Tells the rows that break a test. The exit code is 1 where one does.
    """
    if not lake:
        raise UsageError("--lake must be given, or LAKEALBUM_LAKE set: a directory or an object-store URI")
    check_among("test", only, [each.name for each in CHECKS])
    opened = Lake(lake).pin(TABLES)
    found = {each.name: run_check(opened, each) for each in CHECKS if not only or each.name in only}
    documents = [_document(each, found[each.name]) for each in CHECKS if each.name in found]
    if as_json:
        click.echo(json.dumps({"Checks": documents}, ensure_ascii=False, indent=2, default=plain))
    else:
        terminal.checks(documents)
    return 1 if any(found.values()) else 0


def _document(each: Check, findings: list[Finding]) -> Document:
    return {
        "Name": each.name,
        "Holds": each.holds,
        "Tables": [part.table for part in each.parts],
        "Passed": not findings,
        "Findings": [
            {"Table": finding.table, "Rows": finding.rows, "Examples": finding.examples} for finding in findings
        ],
    }
