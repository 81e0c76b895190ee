"""The verb `files`: what is known of files, by their uris, and what people say of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from catalog import imm, terminal
from catalog.commands.arguments import given_fields, pairs
from catalog.commands.options import in_lake
from catalog.commands.output import done, print_json
from catalog.file_edits import ASPECTS
from catalog.file_meta import FileUpdate, get_files, read_updates, read_uris, update_files
from catalog.lake import Lake, Scope
from schemas.contract import LEVELS
from schemas.errors import UsageError


@click.group("files")
def files() -> None:
    """Show, change or remove what is known of files, by their URIs (or paths)."""


@files.command("get")
@click.argument("uri", nargs=-1)
@click.option("--from", "source", type=click.Path(path_type=Path), help="A file with more URIs, one a line.")
@in_lake
def files_get(lake: Lake, scope: Scope, as_json: bool, uri: tuple[str, ...], source: Path | None) -> None:
    """Show all that is known of files, and of the faces in them."""
    rows = get_files(lake, scope, [*uri, *(read_uris(source) if source else ())])
    documents = [imm.file(row, lake.settings.language) for row in rows]
    if as_json:
        print_json({"Files": documents})
    else:
        terminal.files(documents)


@files.command("update")
@click.argument("uri", nargs=-1)
@click.option("--custom-id", help="New custom id, up to 1,024 bytes; '' clears it.")
@click.option("--label", multiple=True, metavar="KEY=VALUE", help="New labels, in place of all; repeatable, up to 100.")
@click.option("--clear-labels", is_flag=True, help="Clear all labels.")
@click.option("--time", "produce_time", help="When it was taken: 2026-03-04T18:30:00+08:00, or as a clock there said.")
@click.option("--lat-long", metavar="LAT,LONG", help="Where it was taken, in degrees.")
@click.option("--address", multiple=True, metavar="LEVEL=NAME", help=f"Where, by {', '.join(LEVELS)}; repeatable.")
@click.option("--undo", multiple=True, help=f"As its source says it again: {', '.join(ASPECTS)}; repeatable.")
@click.option(
    "--figure",
    multiple=True,
    metavar="FIGURE=ID",
    help="Whose the face is: the id of a person, or independent; repeatable.",
)
@click.option("--from", "source", type=click.Path(path_type=Path), help="JSON lines, one object a file, instead.")
@in_lake
def files_update(
    lake: Lake,
    scope: Scope,
    as_json: bool,
    uri: tuple[str, ...],
    label: tuple[str, ...],
    clear_labels: bool,
    lat_long: str | None,
    address: tuple[str, ...],
    undo: tuple[str, ...],
    figure: tuple[str, ...],
    source: Path | None,
    **given: Any,
) -> None:
    """Say what holds of files, whatever their sources say. What is not given stays as it is."""
    fields = given_fields(given, label, clear_labels)
    if lat_long:
        fields |= _lat_long(lat_long)
    if address:
        fields["address"] = pairs("--address", address)
    if source:
        if uri or fields or undo or figure:
            raise UsageError("--from says all: files, and what to change of each; it is given alone")
        updates = read_updates(source)
    else:
        faces = pairs("--figure", figure)
        if faces and len(uri) != 1:
            raise UsageError(f"--figure is about the faces of one file, not of {len(uri)}")
        updates = [FileUpdate.of(each, fields, undo=undo, figures=faces) for each in dict.fromkeys(uri)]
    count = update_files(lake, scope, updates)
    placed = any(update.change and update.change.moves_file for update in updates)
    later = " The next run of `lakealbum cluster location-date` or `lakealbum locate` obeys it." if placed else ""
    done(as_json, f"Updated {count:,} file{'s' * (count != 1)}.{later}")


def _lat_long(text: str) -> dict[str, float]:
    try:
        latitude, longitude = map(float, text.split(","))
    except ValueError:
        raise UsageError(f"--lat-long {text!r} is not LAT,LONG, such as 30.25,120.17") from None
    return {"latitude": latitude, "longitude": longitude}
