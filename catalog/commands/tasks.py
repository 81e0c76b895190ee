"""The verb `tasks`."""

from __future__ import annotations

from typing import Any

import click

from catalog import imm, terminal
from catalog.commands.arguments import pairs, sort_key
from catalog.commands.options import in_lake, in_pages, time_range
from catalog.commands.output import print_json, show
from catalog.lake import Lake, Scope
from catalog.tasks import SORTS as TASK_SORTS
from catalog.tasks import TaskQuery, get_task, list_tasks
from schemas.errors import UsageError


@click.group()
def tasks() -> None:
    """List tasks, or get one."""


@tasks.command("list")
@click.option("--type", "task_types", multiple=True, help="Type, such as SimilarImageClustering; repeatable.")
@click.option("--status", help="Running, Succeeded or Failed.")
@click.option("--tag", multiple=True, metavar="KEY=VALUE", help="A tag of the task; repeatable.")
@time_range("started", "Started")
@time_range("ended", "Ended")
@in_pages(TASK_SORTS, max_results=100)
@in_lake
def tasks_list(
    lake: Lake,
    scope: Scope,
    as_json: bool,
    tag: tuple[str, ...],
    sort: str,
    next_token: str | None,
    **filters: Any,
) -> None:
    """List the tasks of a project."""
    if scope.datasets:
        raise UsageError("--dataset does not narrow tasks, which belong to a project; leave it out")
    asked = TaskQuery(project=scope.project, tags=pairs("--tag", tag), sort=sort_key(sort, TASK_SORTS), **filters)
    page = list_tasks(lake, asked, next_token)
    show(lake, scope, page, as_json, "Tasks", [imm.task(row) for row in page.rows], terminal.tasks)


@tasks.command("get")
@click.argument("task_id", metavar="ID")
@in_lake
def tasks_get(lake: Lake, scope: Scope, as_json: bool, task_id: str) -> None:
    """Show one task of any project."""
    document = imm.task(get_task(lake, task_id))
    if as_json:
        print_json(document)
    else:
        terminal.task(document)
