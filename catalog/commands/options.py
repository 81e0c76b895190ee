"""The options that verbs share, as decorators of their commands."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

from catalog.lake import Lake, Scope
from catalog.paging import Order
from catalog.times import TimeRange, parse_time
from schemas.errors import UsageError

Command = Callable[..., Any]


def lake_options(command: Command) -> Command:
    """The options --lake, --project and --dataset."""
    for option in (
        click.option("--dataset", multiple=True, help="Dataset; repeatable.  [default: all of the project]"),
        click.option("--project", help="Project.  [default: default]"),
        click.option("--lake", envvar="LAKEALBUM_LAKE", help="Root of the lake: a directory or an object-store URI."),
    ):
        command = option(command)
    return command


def in_lake(command: Command) -> Command:
    """The options --lake, --project, --dataset and --json; the command gets `lake`, `scope` and `as_json`."""

    @functools.wraps(command)
    def opened(lake: str | None, project: str | None, dataset: tuple[str, ...], **kwargs: Any) -> Any:
        if not lake:
            raise UsageError("--lake must be given, or LAKEALBUM_LAKE set: a directory or an object-store URI")
        return command(Lake(lake), Scope("default" if project is None else project, dataset), **kwargs)

    as_json = click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON document.")
    return lake_options(as_json(opened))


def in_pages(
    sorts: dict[str, str], max_results: int, order: Order = "asc", least: int = 1
) -> Callable[[Command], Command]:
    """The options --sort, --order, --max-results and --next-token."""
    first = next(iter(sorts))

    def with_options(command: Command) -> Command:
        for option in (
            click.option("--next-token", help="Goes on where the last page ended."),
            click.option(
                "--max-results",
                type=int,
                default=max_results,
                show_default=True,
                help=f"Rows a page, {least} to 100.",
            ),
            click.option("--order", default=order, show_default=True, help="asc or desc."),
            click.option("--sort", default=first, show_default=True, help=f"{', '.join(sorts)}."),
        ):
            command = option(command)
        return command

    return with_options


def by_ids(noun: str) -> Callable[[Command], Command]:
    """The option --id; the command gets `object_ids`."""
    told = f"The {noun} of this id; repeatable."
    return click.option("--object-id", "--id", "object_ids", multiple=True, metavar="ID", help=told)


def counted(command: Command) -> Command:
    """The option --total; the command gets `with_total`."""
    return click.option("--total", "with_total", is_flag=True, help="Count all that match, too.")(command)


def customised(command: Command) -> Command:
    """The options --custom-id, --label and --clear-labels, for what people give to a cluster of any kind."""
    told = "New labels, in place of all; repeatable, up to 100."
    for option in (
        click.option("--clear-labels", is_flag=True, help="Clear all labels."),
        click.option("--label", multiple=True, metavar="KEY=VALUE", help=told),
        click.option("--custom-id", help="New custom id, up to 1,024 bytes; '' clears it."),
    ):
        command = option(command)
    return command


def time_range(name: str, what: str, calendar: str = "UTC") -> Callable[[Command], Command]:
    """The options --NAME-from and --NAME-to; the command gets NAME, a TimeRange."""

    def with_options(command: Command) -> Command:
        @functools.wraps(command)
        def with_range(**kwargs: Any) -> Any:
            first, last = (kwargs.pop(f"{name}_{end}") for end in ("from", "to"))
            start = parse_time(f"--{name}-from", first) if first else None
            end = parse_time(f"--{name}-to", last) if last else None
            return command(**kwargs, **{name: TimeRange(start, end)})

        when = f"a date is a day in {calendar}"
        upper = click.option(f"--{name}-to", metavar="TIME", help=f"{what} then or before; {when}.")
        lower = click.option(f"--{name}-from", metavar="TIME", help=f"{what} then or later; {when}.")
        return lower(upper(with_range))

    return with_options
