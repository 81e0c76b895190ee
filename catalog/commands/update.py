"""The verb `update`: titles, names, labels, covers, and what people say of pictures and faces."""

from __future__ import annotations

from typing import Any

import click

from catalog import figures, similar_images, terminal
from catalog.commands.arguments import given_fields
from catalog.commands.options import customised, in_lake
from catalog.commands.output import done, tell_changes
from catalog.lake import Lake, Scope
from catalog.location_dates import update_cluster
from catalog.similar_images import Marks
from schemas.cluster_kinds import GROUPS, PEOPLE, TRIPS


@click.command("location-date")
@click.argument("object_id", metavar="ID")
@click.option("--title", help="New title, up to 1,024 bytes; '' goes back to the name of the place.")
@customised
@click.option("--cover", "cover_uri", metavar="URI", help="New cover, a file of the cluster; '' goes back to the best.")
@in_lake
def update_location_date(
    lake: Lake,
    scope: Scope,
    as_json: bool,
    object_id: str,
    label: tuple[str, ...],
    clear_labels: bool,
    **given: Any,
) -> None:
    """Change a trip or stay. What is not given stays as it is."""
    fields = given_fields(given, label, clear_labels)
    cluster = update_cluster(lake, scope, TRIPS.full_id(object_id), fields)
    done(as_json, f"Updated {terminal.name_of(cluster)}: {', '.join(tell_changes(fields))}.")


@click.command("similar-images")
@click.argument("object_id", metavar="ID")
@click.option("--title", help="New title, up to 1,024 bytes; '' clears it.")
@customised
@click.option("--cover", "cover_uri", metavar="URI", help="New cover, one of the pictures; '' goes back to the best.")
@click.option("--keep", multiple=True, metavar="URI", help="Keep this picture when duplicates go; repeatable.")
@click.option("--unkeep", multiple=True, metavar="URI", help="Take --keep back; repeatable.")
@click.option(
    "--not-similar",
    "part",
    multiple=True,
    metavar="URI",
    help="This picture is not similar to those that are not named; repeatable. It leaves, and stays away.",
)
@click.option("--similar", "rejoin", multiple=True, metavar="URI", help="Take --not-similar back; repeatable.")
@in_lake
def update_similar_images(
    lake: Lake,
    scope: Scope,
    as_json: bool,
    object_id: str,
    label: tuple[str, ...],
    clear_labels: bool,
    keep: tuple[str, ...],
    unkeep: tuple[str, ...],
    part: tuple[str, ...],
    rejoin: tuple[str, ...],
    **given: Any,
) -> None:
    """Change similar images, or say which of them to keep and which are not similar. The rest stays as it is."""
    fields = given_fields(given, label, clear_labels)
    marks = Marks(keep, unkeep, part, rejoin)
    cluster = similar_images.update_cluster(lake, scope, GROUPS.full_id(object_id), fields, marks)
    said = {"kept": keep, "no longer kept": unkeep, "not similar": part, "similar again": rejoin}
    changes = [*tell_changes(fields), *(f"{what} {', '.join(uris)}" for what, uris in said.items() if uris)]
    undo = " To undo: --similar. The next run of `lakealbum cluster similar-images` groups them anew." if part else ""
    done(as_json, f"Updated {terminal.name_of_similar(cluster)}: {', '.join(changes)}.{undo}")


@click.command("figures")
@click.argument("object_id", metavar="ID")
@click.option("--name", "title", help="New name, up to 1,024 bytes; '' clears it.")
@customised
@click.option(
    "--cover", "cover_figure_id", metavar="FIGURE", help="New cover, one of the faces; '' goes back to the best."
)
@click.option("--this-person", "join", multiple=True, metavar="FIGURE", help="This face is the person's; repeatable.")
@click.option(
    "--not-this-person", "part", multiple=True, metavar="FIGURE", help="This face is not the person's; repeatable."
)
@click.option("--undo-this-person", "leave", multiple=True, metavar="FIGURE", help="Take --this-person back.")
@click.option("--undo-not-this-person", "rejoin", multiple=True, metavar="FIGURE", help="Take --not-this-person back.")
@click.option("--merge", multiple=True, metavar="ID", help="Another id of the same person; repeatable, up to 100.")
@click.option("--unmerge", is_flag=True, help="Take back that this person was merged into another.")
@click.option("--lock-version", type=int, help="Only if the person's MetaLockVersion is still this one.")
@in_lake
def update_figures(
    lake: Lake,
    scope: Scope,
    as_json: bool,
    object_id: str,
    label: tuple[str, ...],
    clear_labels: bool,
    merge: tuple[str, ...],
    unmerge: bool,
    lock_version: int | None,
    join: tuple[str, ...],
    leave: tuple[str, ...],
    part: tuple[str, ...],
    rejoin: tuple[str, ...],
    **given: Any,
) -> None:
    """Name a person, merge people, say which faces are the person's. Later clusterings obey."""
    full = PEOPLE.full_id(object_id)
    fields = given_fields(given, label, clear_labels)
    marks = figures.FaceMarks(join, leave, part, rejoin)
    change = figures.Change(fields, marks, tuple(map(PEOPLE.full_id, merge)), unmerge)
    figures.update_person(lake, scope, full, change, lock_version)
    changes = tell_changes(fields)
    if unmerge:
        changes.append("not merged any more")
    if merge:
        changes.append(f"{len(merge)} merged into it")
    said = {"this person": join, "not this person": part, "undone": (*leave, *rejoin)}
    changes += [f"{what} {', '.join(faces)}" for what, faces in said.items() if faces]
    later = " The next run of `lakealbum cluster figures` obeys it." if marks or merge or unmerge else ""
    done(as_json, f"Updated {full}: {', '.join(changes)}.{later}")
