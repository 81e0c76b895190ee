"""The verbs `bind` and `bindings`: which sources datasets follow. `sync` follows them. No JVM is started."""

from __future__ import annotations

from typing import Any

import click
import yaml

from catalog import bindings as kept
from catalog.commands.options import in_lake
from catalog.commands.output import print_json
from catalog.imm import Document
from catalog.imm import binding as document_of
from catalog.lake import Lake, Row, Scope
from catalog.terminal import bindings as print_bindings
from jobs.bindings.scanning import detect_kind
from schemas.errors import UsageError
from schemas.locations import absolute_uri, source_uri


@click.command("bind")
@click.argument("source")
@click.option("--lake", envvar="LAKEALBUM_LAKE", help="Root of the lake: a directory or an object-store URI.")
@click.option("--project", default="default", show_default=True, help="Project.")
@click.option("--dataset", required=True, help="The dataset that follows the source.")
@click.option("--format", help="photos, delta, parquet, csv, json or imm.  [default: detected]")
@click.option("--include", multiple=True, metavar="GLOB", help="Only paths below the source that fit; repeatable.")
@click.option("--exclude", multiple=True, metavar="GLOB", help="No paths that fit; repeatable.")
@click.option("--set", "options", multiple=True, metavar="KEY=VALUE", help="An option of index, such as hashes=false.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON document.")
def bind(
    source: str,
    lake: str | None,
    project: str,
    dataset: str,
    format: str | None,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    options: tuple[str, ...],
    as_json: bool,
) -> None:
    """Let a dataset follow SOURCE: a folder, a prefix of an object store, or a table. `sync` keeps it in step."""
    if not lake:
        raise UsageError("--lake must be given, or LAKEALBUM_LAKE set: a directory or an object-store URI")
    asked = dict(map(_option, options))
    asked["format"] = format or detect_kind(absolute_uri(source_uri(source)))
    asked |= {name: list(globs) for name, globs in (("include", include), ("exclude", exclude)) if globs}
    if asked["format"] != "photos" and (include or exclude):
        raise UsageError(f"--include and --exclude are about folders of photos; {source} is {asked['format']}")
    binding = kept.bind(lake, Scope(project, (dataset,)), source, asked)
    if as_json:
        print_json({"Binding": document_of(binding)})
    else:
        click.echo(
            f"Dataset {dataset} follows {binding['source']}: {binding['binding_id']}. `lakealbum sync` reads it."
        )


@click.group()
def bindings() -> None:
    """List the sources that datasets follow; stop, resume or delete a binding."""


@bindings.command("list")
@in_lake
def list_command(lake: Lake, scope: Scope, as_json: bool) -> None:
    """List bindings with their states."""
    documents = [document_of(row) for row in kept.list_bindings(lake, scope)]
    if as_json:
        print_json({"Bindings": documents})
    elif documents:
        print_bindings(documents)
    else:
        click.echo("No source is bound.")


@bindings.command("get")
@click.argument("binding", metavar="ID|SOURCE")
@in_lake
def get_command(lake: Lake, scope: Scope, as_json: bool, binding: str) -> None:
    """Show a binding: state, phase, counts, and why its last sync failed."""
    _show(document_of(kept.get_binding(lake, scope, binding)), as_json)


@bindings.command("stop")
@click.argument("binding", metavar="ID|SOURCE")
@in_lake
def stop_command(lake: Lake, scope: Scope, as_json: bool, binding: str) -> None:
    """Leave a source alone until it is resumed."""
    _change(lake, scope, as_json, binding, state="Stopped")


@bindings.command("resume")
@click.argument("binding", metavar="ID|SOURCE")
@in_lake
def resume_command(lake: Lake, scope: Scope, as_json: bool, binding: str) -> None:
    """Follow a stopped source again."""
    _change(lake, scope, as_json, binding, state="Ready")


@bindings.command("delete")
@click.argument("binding", metavar="ID|SOURCE")
@in_lake
def delete_command(lake: Lake, scope: Scope, as_json: bool, binding: str) -> None:
    """End a binding. The files that came by it stay."""
    row = kept.get_binding(lake, scope, binding)
    kept.delete_binding(lake, row)
    if as_json:
        print_json({})
    else:
        click.echo(f"{row['source']} is not followed any more; its files stay.")


def _option(text: str) -> tuple[str, Any]:
    key, separator, value = text.partition("=")
    if not key or not separator:
        raise UsageError(f"--set {text!r} is not KEY=VALUE")
    return key.replace("-", "_"), yaml.safe_load(value)


def _change(lake: Lake, scope: Scope, as_json: bool, name: str, **changes: Any) -> None:
    row: Row = kept.change_binding(lake, kept.get_binding(lake, scope, name), **changes)
    _show(document_of(row), as_json)


def _show(document: Document, as_json: bool) -> None:
    if as_json:
        print_json({"Binding": document})
    else:
        click.echo("\n".join(f"{name}: {value}" for name, value in document.items()))
