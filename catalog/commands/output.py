"""What verbs print on stdout: a page of documents, as JSON or as a table, or what a change did."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Mapping
from typing import Any

import click

from catalog import imm, terminal
from catalog.commands.arguments import flag_of
from catalog.lake import Lake, Scope
from catalog.paging import Page


def show(
    lake: Lake,
    scope: Scope,
    page: Page,
    as_json: bool,
    name: str,
    documents: list[imm.Document],
    table: Callable[[list[imm.Document]], None],
    total: str = "TotalCount",
) -> None:
    """Prints a page of documents, as JSON under `name` or as a table, and how to get the next one.

    `total` is what IMM calls the number of all that match.
    """
    if not documents:
        scope.check(lake)
    if as_json:
        counted = {} if page.total is None else {total: page.total}
        print_json({name: documents, **counted, **({"NextToken": page.next_token} if page.next_token else {})})
        return
    if not documents:
        click.echo("Nothing matches.")
        return
    table(documents)
    if page.total is not None:
        click.echo(f"{page.total:,} match.")
    if page.next_token:
        click.echo(f"There are more: {_next_command(click.get_current_context(), page.next_token)}")


def _next_command(ctx: click.Context, token: str) -> str:
    """The command that was given, for the next page."""
    return " ".join([ctx.command_path, *_given_options(ctx, but="next_token"), "--next-token", token])


def undelete_command(kind: str, object_id: str) -> str:
    """The command that undoes a deletion, where it was made."""
    options = _given_options(click.get_current_context(), but="as_json")
    return " ".join(["lakealbum undelete", kind, object_id, *options])


def _given_options(ctx: click.Context, *, but: str) -> list[str]:
    """The options that a command was given, as typed, without one of them."""
    words = []
    for parameter in ctx.command.params:
        source = ctx.get_parameter_source(parameter.name or "")
        is_given = source is click.core.ParameterSource.COMMANDLINE and isinstance(parameter, click.Option)
        if not is_given or parameter.name == but:
            continue
        value = ctx.params[parameter.name or ""]
        flag = flag_of(parameter)
        if isinstance(value, bool):
            words.append(flag)
        else:
            for item in value if isinstance(value, tuple) else (value,):
                words += [flag, shlex.quote(str(item))]
    return words


def print_document(document: Mapping[str, Any]) -> None:
    """Prints a document: for people on a terminal, else on one line, as a scheduler or `while read` takes it."""
    click.echo(json.dumps(document, ensure_ascii=False, indent=2 if sys.stdout.isatty() else None))


def print_json(document: imm.Document) -> None:
    """Prints a document as IMM answers with it."""
    print_document(imm.answer(document))


def done(as_json: bool, sentence: str) -> None:
    """What a change did: a line to read, or the RequestId that IMM answers with."""
    if as_json:
        print_json({})
    else:
        click.echo(terminal.printable(sentence))


def tell_changes(fields: dict[str, Any]) -> list[str]:
    """What an update gave to each column of `cluster_edits`, in words."""
    return [f"{terminal.FIELD_NAMES[name]} {_after(value)}" for name, value in fields.items()]


def _after(value: Any) -> str:
    if not value:
        return "cleared"
    if isinstance(value, dict):
        return "now " + ", ".join(f"{key}={item}" for key, item in value.items())
    return f"now {value!r}"
