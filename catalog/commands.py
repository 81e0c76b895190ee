"""The verbs that read and curate a lake: query, update, delete, undelete, explain, tasks.

Modules are imported by the verb that needs them, so that a query starts in a fraction of a second.
"""

from __future__ import annotations

import functools
import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from catalog import figures, imm, similar_images, terminal
from catalog.clusters import is_known
from catalog.explain import explain_figures, explain_location_date, explain_similar_images
from catalog.file_edits import ASPECTS
from catalog.file_meta import FileUpdate, get_files, read_updates, read_uris, update_files, with_figures
from catalog.files import SORTS as FILE_SORTS
from catalog.files import FileQuery, query_files
from catalog.lake import Lake, Scope
from catalog.location_dates import (
    SORTS,
    LocationDateQuery,
    delete_cluster,
    files_of_cluster,
    query_location_dates,
    undelete_cluster,
    update_cluster,
)
from catalog.paging import MOST_RESULTS, Order, Page, check_among
from catalog.similar_images import KINDS, Marks, SimilarImageQuery, query_similar_images
from catalog.tasks import SORTS as TASK_SORTS
from catalog.tasks import TaskQuery, get_task, list_tasks
from catalog.times import TimeRange, parse_time
from schemas.cluster_kinds import GROUPS, PEOPLE, TRIPS, is_uuid
from schemas.contract import LEVELS
from schemas.errors import UsageError

Command = Callable[..., Any]

_NOT_OF_A_FACE = (
    "object_ids", "title", "label", "created_from", "created_to", "updated_from", "updated_to",
    "sort", "order", "next_token", "with_total",
)  # fmt: skip
_NOT_OF_A_CLUSTER = ("uri", "media_type", "removed", "produced_from", "produced_to", "sort", "order")


def in_lake(command: Command) -> Command:
    """The options --lake, --project, --dataset and --json; the command gets `lake`, `scope` and `as_json`."""

    @functools.wraps(command)
    def opened(lake: str | None, project: str, dataset: tuple[str, ...], **kwargs: Any) -> Any:
        if not lake:
            raise UsageError("--lake must be given, or LAKEALBUM_LAKE set: a directory or an object-store URI")
        return command(Lake(lake), Scope(project, dataset), **kwargs)

    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON document."),
        click.option("--dataset", multiple=True, help="Dataset; repeatable.  [default: all of the project]"),
        click.option("--project", default="default", show_default=True, help="Project."),
        click.option("--lake", envvar="LAKEALBUM_LAKE", help="Root of the lake: a directory or an object-store URI."),
    ):
        opened = option(opened)
    return opened


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


@click.group()
def query() -> None:
    """Show clusters or files. Times are dates (2026-03-04) or RFC 3339 (2026-03-04T18:30:00+08:00)."""


@query.command("location-date")
@by_ids("cluster")
@click.option("--title", help="Part of the title, in any case.")
@click.option("--country", help="Name of the country, in any case; so too for the next four.")
@click.option("--province", help="Name of the province.")
@click.option("--city", help="Name of the city.")
@click.option("--district", help="Name of the district.")
@click.option("--township", help="Name of the township.")
@click.option("--level", multiple=True, help=f"{', '.join(LEVELS)}; repeatable, or with commas.")
@click.option("--label", multiple=True, metavar="KEY=VALUE", help="A custom label it has; repeatable.")
@time_range("start", "Starts", calendar="its own calendar")
@time_range("end", "Ends", calendar="its own calendar")
@time_range("created", "Created")
@time_range("updated", "Updated")
@in_pages(SORTS, max_results=20)
@counted
@in_lake
def query_location_date(
    lake: Lake,
    scope: Scope,
    as_json: bool,
    object_ids: tuple[str, ...],
    level: tuple[str, ...],
    label: tuple[str, ...],
    sort: str,
    next_token: str | None,
    **filters: Any,
) -> None:
    """Show trips and stays."""
    address = {part: name for part in LEVELS if (name := filters.pop(part))}
    asked = LocationDateQuery(
        scope=scope,
        object_ids=tuple(map(TRIPS.full_id, object_ids)),
        address=address,
        levels=_listed(level),
        labels=_pairs("--label", label),
        sort=_sort(sort, SORTS),
        **filters,
    )
    page = query_location_dates(lake, asked, next_token)
    clusters = [imm.location_date_cluster(row, lake.settings.language) for row in page.rows]
    _show(lake, scope, page, as_json, "LocationDateClusters", clusters, terminal.location_date_clusters)


@query.command("similar-images")
@by_ids("cluster")
@click.option("--title", help="Part of a title that it was given, in any case.")
@click.option("--kind", "kinds", multiple=True, help=f"{', '.join(KINDS)}; repeatable, or with commas.")
@click.option("--label", multiple=True, metavar="KEY=VALUE", help="A custom label it has; repeatable.")
@time_range("created", "Created")
@time_range("updated", "Updated")
@in_pages(similar_images.SORTS, max_results=MOST_RESULTS, order="desc", least=0)
@counted
@in_lake
def query_similar_images_command(
    lake: Lake,
    scope: Scope,
    as_json: bool,
    object_ids: tuple[str, ...],
    kinds: tuple[str, ...],
    label: tuple[str, ...],
    sort: str,
    next_token: str | None,
    **filters: Any,
) -> None:
    """Show duplicates, edits and bursts, each with its pictures, the best first."""
    asked = SimilarImageQuery(
        scope=scope,
        object_ids=tuple(map(GROUPS.full_id, object_ids)),
        kinds=_listed(kinds),
        labels=_pairs("--label", label),
        sort=_sort(sort, similar_images.SORTS),
        **filters,
    )
    page = query_similar_images(lake, asked, next_token)
    clusters = [imm.similar_image_cluster(row) for row in page.rows]
    _show(lake, scope, page, as_json, "SimilarImageClusters", clusters, terminal.similar_images)


@query.command("figures")
@by_ids("person")
@click.option("--name", "title", help="Part of a name that was given, in any case.")
@click.option("--label", multiple=True, metavar="KEY=VALUE", help="A custom label they have; repeatable.")
@click.option(
    "--face",
    type=click.Path(path_type=Path),
    help="The people nearest to the faces whose embeddings are in this file: .json, .npy or .parquet (`embedding`).",
)
@click.option("--like", metavar="FIGURE", help="The people nearest to this face in the lake.")
@time_range("created", "Created")
@time_range("updated", "Updated")
@in_pages(figures.SORTS, max_results=MOST_RESULTS, least=0)
@counted
@in_lake
def query_figures_command(
    lake: Lake,
    scope: Scope,
    as_json: bool,
    object_ids: tuple[str, ...],
    label: tuple[str, ...],
    face: Path | None,
    like: str | None,
    sort: str,
    next_token: str | None,
    **filters: Any,
) -> None:
    """Show people: all, or those nearest to a face, the 10 nearest unless --max-results says otherwise."""
    if face or like:
        _show_nearest(lake, scope, as_json, face, like, filters["max_results"])
        return
    asked = figures.FigureQuery(
        scope=scope,
        object_ids=tuple(map(PEOPLE.full_id, object_ids)),
        labels=_pairs("--label", label),
        sort=_sort(sort, figures.SORTS),
        **filters,
    )
    page = figures.query_figures(lake, asked, next_token)
    people = [imm.figure_cluster(row) for row in page.rows]
    _show(lake, scope, page, as_json, "FigureClusters", people, terminal.people)


def _show_nearest(
    lake: Lake, scope: Scope, as_json: bool, face: Path | None, like: str | None, max_results: int
) -> None:
    from catalog.face_search import NEAREST, find_face, nearest_people, read_faces

    if face and like:
        raise UsageError("--face and --like exclude each other: one says which faces, the other which in the lake")
    _refuse_with("--face" if face else "--like", _NOT_OF_A_FACE)
    faces = read_faces(face) if face else find_face(lake, scope, like or "")
    found = nearest_people(lake, scope, faces, max_results if _is_typed("max_results") else NEAREST)
    _show(lake, scope, Page(found), as_json, "Clusters", list(map(imm.nearest_person, found)), terminal.people)


@query.command("files")
@click.option("--cluster", metavar="ID", help="The files of this cluster: a trip's by time, similar images best first.")
@click.option("--uri", help="The one file of this URI.")
@click.option("--media-type", help="image or video.")
@click.option("--removed", is_flag=True, help="Those that were removed, instead of those that are there.")
@time_range("produced", "Taken")
@in_pages(FILE_SORTS, max_results=20)
@counted
@in_lake
def query_files_command(
    lake: Lake,
    scope: Scope,
    as_json: bool,
    cluster: str | None,
    sort: str,
    max_results: int,
    next_token: str | None,
    with_total: bool,
    **filters: Any,
) -> None:
    """Show files, or those of a cluster."""
    language, table = lake.settings.language, terminal.files
    if cluster:
        _refuse_with("--cluster", _NOT_OF_A_CLUSTER)
        object_id = _any_id(lake, scope, cluster)
        if object_id.startswith(PEOPLE.prefix):
            page = figures.files_of_person(lake, scope, object_id, max_results, next_token, with_total=with_total)
            files = [imm.person_file(row, language) for row in page.rows]
        elif _is_similar(object_id):
            page = similar_images.files_of_cluster(
                lake, scope, object_id, max_results, next_token, with_total=with_total
            )
            files = [imm.similar_image_file(row, language) for row in page.rows]
            table = terminal.similar_files
        else:
            page = files_of_cluster(lake, scope, object_id, max_results, next_token, with_total=with_total)
            files = [imm.located_file(row, language) for row in page.rows]
    else:
        asked = FileQuery(
            scope=scope, sort=_sort(sort, FILE_SORTS), max_results=max_results, with_total=with_total, **filters
        )
        page = query_files(lake, asked, next_token)
        files = [imm.file(row, language) for row in with_figures(lake, scope, page.rows)]
    _show(lake, scope, page, as_json, "Files", files, table, total="TotalHits")


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
        _print_json({"Files": documents})
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
    fields = _fields(given, label, clear_labels)
    if lat_long:
        fields |= _lat_long(lat_long)
    if address:
        fields["address"] = _pairs("--address", address)
    if source:
        if uri or fields or undo or figure:
            raise UsageError("--from says all: files, and what to change of each; it is given alone")
        updates = read_updates(source)
    else:
        faces = _pairs("--figure", figure)
        if faces and len(uri) != 1:
            raise UsageError(f"--figure is about the faces of one file, not of {len(uri)}")
        updates = [FileUpdate.of(each, fields, undo=undo, figures=faces) for each in dict.fromkeys(uri)]
    count = update_files(lake, scope, updates)
    placed = any(update.change and update.change.moves_file for update in updates)
    later = " The next run of `lakealbum cluster location-date` or `lakealbum locate` obeys it." if placed else ""
    _done(as_json, f"Updated {count:,} file{'s' * (count != 1)}.{later}")


def _lat_long(text: str) -> dict[str, float]:
    try:
        latitude, longitude = map(float, text.split(","))
    except ValueError:
        raise UsageError(f"--lat-long {text!r} is not LAT,LONG, such as 30.25,120.17") from None
    return {"latitude": latitude, "longitude": longitude}


@click.group()
def update() -> None:
    """Change what a cluster is called, how it is labelled, or its cover."""


@update.command("location-date")
@click.argument("object_id", metavar="ID")
@click.option("--title", help="New title, up to 1,024 bytes; '' goes back to the name of the place.")
@click.option("--custom-id", help="New custom id, up to 1,024 bytes; '' clears it.")
@click.option("--label", multiple=True, metavar="KEY=VALUE", help="New labels, in place of all; repeatable, up to 100.")
@click.option("--clear-labels", is_flag=True, help="Clear all labels.")
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
    fields = _fields(given, label, clear_labels)
    cluster = update_cluster(lake, scope, TRIPS.full_id(object_id), fields)
    _done(as_json, f"Updated {terminal.name_of(cluster)}: {', '.join(_changes(fields))}.")


@update.command("similar-images")
@click.argument("object_id", metavar="ID")
@click.option("--title", help="New title, up to 1,024 bytes; '' clears it.")
@click.option("--custom-id", help="New custom id, up to 1,024 bytes; '' clears it.")
@click.option("--label", multiple=True, metavar="KEY=VALUE", help="New labels, in place of all; repeatable, up to 100.")
@click.option("--clear-labels", is_flag=True, help="Clear all labels.")
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
    fields = _fields(given, label, clear_labels)
    marks = Marks(keep, unkeep, part, rejoin)
    cluster = similar_images.update_cluster(lake, scope, GROUPS.full_id(object_id), fields, marks)
    said = {"kept": keep, "no longer kept": unkeep, "not similar": part, "similar again": rejoin}
    changes = [*_changes(fields), *(f"{what} {', '.join(uris)}" for what, uris in said.items() if uris)]
    undo = " To undo: --similar. The next run of `lakealbum cluster similar-images` groups them anew." if part else ""
    _done(as_json, f"Updated {terminal.name_of_similar(cluster)}: {', '.join(changes)}.{undo}")


@update.command("figures")
@click.argument("object_id", metavar="ID")
@click.option("--name", "title", help="New name, up to 1,024 bytes; '' clears it.")
@click.option("--custom-id", help="New custom id, up to 1,024 bytes; '' clears it.")
@click.option("--label", multiple=True, metavar="KEY=VALUE", help="New labels, in place of all; repeatable, up to 100.")
@click.option("--clear-labels", is_flag=True, help="Clear all labels.")
@click.option("--cover", "cover_figure_id", metavar="FIGURE", help="New cover, one of the faces; '' the best again.")
@click.option("--this-person", "join", multiple=True, metavar="FIGURE", help="This face is the person's; repeatable.")
@click.option("--not-this-person", "part", multiple=True, metavar="FIGURE", help="This face is not; repeatable.")
@click.option("--undo-this-person", "leave", multiple=True, metavar="FIGURE", help="Take --this-person back.")
@click.option("--undo-not-this-person", "rejoin", multiple=True, metavar="FIGURE", help="Take the other back.")
@click.option("--merge", multiple=True, metavar="ID", help="This person, too, is the one; repeatable, up to 100.")
@click.option("--unmerge", is_flag=True, help="Take the merging of this person into another back.")
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
    """Name a person, merge people, say which faces are the person's. The next clustering obeys it, and every later."""
    full = PEOPLE.full_id(object_id)
    fields = _fields(given, label, clear_labels)
    marks = figures.FaceMarks(join, leave, part, rejoin)
    change = figures.Change(fields, marks, tuple(map(PEOPLE.full_id, merge)), unmerge)
    figures.update_person(lake, scope, full, change, lock_version)
    changes = _changes(fields)
    if unmerge:
        changes.append("not merged any more")
    if merge:
        changes.append(f"{len(merge)} merged into it")
    said = {"this person": join, "not this person": part, "undone": (*leave, *rejoin)}
    changes += [f"{what} {', '.join(faces)}" for what, faces in said.items() if faces]
    later = " The next run of `lakealbum cluster figures` obeys it." if marks or merge or unmerge else ""
    _done(as_json, f"Updated {full}: {', '.join(changes)}.{later}")


@click.group()
def delete() -> None:
    """Delete a cluster. Its files stay."""


@delete.command("location-date")
@click.argument("object_id", metavar="ID")
@in_lake
def delete_location_date(lake: Lake, scope: Scope, as_json: bool, object_id: str) -> None:
    """Delete a trip or stay. Its files stay; its days at that place no longer make a trip."""
    cluster = delete_cluster(lake, scope, TRIPS.full_id(object_id))
    undo = f"lakealbum undelete location-date {cluster['object_id']}"
    _done(as_json, f"Deleted {terminal.name_of(cluster)}. To undo: {undo}")


@delete.command("similar-images")
@click.argument("object_id", metavar="ID")
@in_lake
def delete_similar_images(lake: Lake, scope: Scope, as_json: bool, object_id: str) -> None:
    """Hide similar images. The pictures stay, and so do the marks on them."""
    cluster = similar_images.delete_cluster(lake, scope, GROUPS.full_id(object_id))
    undo = f"lakealbum undelete similar-images {cluster['object_id']}"
    _done(as_json, f"Deleted {terminal.name_of_similar(cluster)}. To undo: {undo}")


@delete.command("figures")
@click.argument("object_id", metavar="ID")
@in_lake
def delete_figures(lake: Lake, scope: Scope, as_json: bool, object_id: str) -> None:
    """Ignore a person for good. The faces stay."""
    person = figures.ignore_person(lake, scope, PEOPLE.full_id(object_id))
    undo = f"lakealbum undelete figures {person['object_id']}"
    _done(as_json, f"Ignored {terminal.name_of_person(person)}. To undo: {undo}")


@click.group()
def undelete() -> None:
    """Undo a deletion."""


@undelete.command("location-date")
@click.argument("object_id", metavar="ID")
@in_lake
def undelete_location_date(lake: Lake, scope: Scope, as_json: bool, object_id: str) -> None:
    """Bring a deleted trip or stay back."""
    back = undelete_cluster(lake, scope, TRIPS.full_id(object_id))
    outcome = "it is back" if back else "it comes back with the next run of `lakealbum cluster location-date`"
    _done(as_json, f"Undeleted {TRIPS.full_id(object_id)}: {outcome}.")


@undelete.command("similar-images")
@click.argument("object_id", metavar="ID")
@in_lake
def undelete_similar_images(lake: Lake, scope: Scope, as_json: bool, object_id: str) -> None:
    """Bring deleted similar images back."""
    back = similar_images.undelete_cluster(lake, scope, GROUPS.full_id(object_id))
    outcome = "they are back" if back else f"`lakealbum explain {object_id}` says why they are not to be seen"
    _done(as_json, f"Undeleted {GROUPS.full_id(object_id)}: {outcome}.")


@undelete.command("figures")
@click.argument("object_id", metavar="ID")
@in_lake
def undelete_figures(lake: Lake, scope: Scope, as_json: bool, object_id: str) -> None:
    """Bring an ignored person back, or let the faces of an erased one be indexed again."""
    back = figures.undelete_person(lake, scope, PEOPLE.full_id(object_id))
    later = "is not there; faces that were erased can come back with the next `lakealbum index --rows figures`"
    outcome = "is back" if back else later
    _done(as_json, f"Undeleted {PEOPLE.full_id(object_id)}: {outcome}.")


@click.command()
@click.argument("object_id", metavar="ID")
@in_lake
def explain(lake: Lake, scope: Scope, as_json: bool, object_id: str) -> None:
    """Say why a cluster exists: run, inputs, options, evidence, events, edits."""
    cluster = _any_id(lake, scope, object_id)
    if cluster.startswith(PEOPLE.prefix):
        found = explain_figures(lake, scope, cluster)
    elif _is_similar(cluster):
        found = explain_similar_images(lake, scope, cluster)
    else:
        found = explain_location_date(lake, scope, cluster)
    document = imm.explanation(found, lake.settings.language)
    if as_json:
        _print_json(document)
    else:
        terminal.explanation(document)


@click.group()
def tasks() -> None:
    """List tasks, or get one."""


@tasks.command("list")
@click.option("--type", "task_types", multiple=True, help="Type, such as SimilarImageClustering; repeatable.")
@click.option("--status", help="Running, Succeeded or Failed.")
@click.option("--tag", multiple=True, metavar="KEY=VALUE", help="A tag it has; repeatable.")
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
    asked = TaskQuery(project=scope.project, tags=_pairs("--tag", tag), sort=_sort(sort, TASK_SORTS), **filters)
    page = list_tasks(lake, asked, next_token)
    _show(lake, scope, page, as_json, "Tasks", [imm.task(row) for row in page.rows], terminal.tasks)


@tasks.command("get")
@click.argument("task_id", metavar="ID")
@in_lake
def tasks_get(lake: Lake, scope: Scope, as_json: bool, task_id: str) -> None:
    """Show one task, of whatever project."""
    document = imm.task(get_task(lake, task_id))
    if as_json:
        _print_json(document)
    else:
        terminal.task(document)


def _show(
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
        _print_json({name: documents, **counted, **({"NextToken": page.next_token} if page.next_token else {})})
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
    words = [ctx.command_path]
    for parameter in ctx.command.params:
        source = ctx.get_parameter_source(parameter.name or "")
        if source is not click.core.ParameterSource.COMMANDLINE or parameter.name == "next_token":
            continue
        value = ctx.params[parameter.name or ""]
        flag = _flag(parameter)
        if isinstance(value, bool):
            words.append(flag)
        else:
            for item in value if isinstance(value, tuple) else (value,):
                words += [flag, shlex.quote(str(item))]
    return " ".join([*words, "--next-token", token])


def _print_json(document: imm.Document) -> None:
    click.echo(json.dumps(imm.answer(document), ensure_ascii=False, indent=2))


def _done(as_json: bool, sentence: str) -> None:
    """What a change did: a line to read, or the RequestId that IMM answers with."""
    if as_json:
        _print_json({})
    else:
        click.echo(terminal.printable(sentence))


def _any_id(lake: Lake, scope: Scope, text: str) -> str:
    """The id of a cluster of any kind; of a bare UUID that of the cluster that has it, else that of a trip."""
    kinds = (TRIPS, GROUPS, PEOPLE)
    for kind in kinds:
        if text.startswith(kind.prefix):
            return kind.full_id(text)
    if not is_uuid(text):
        accepted = " or ".join(f"{kind.prefix}<uuid>" for kind in kinds)
        raise UsageError(f"{text!r} is not the id of a cluster, which reads {accepted}")
    return next(
        (full for kind in kinds if is_known(lake, kind, scope, full := kind.full_id(text))), TRIPS.full_id(text)
    )


def _is_similar(object_id: str) -> bool:
    return object_id.startswith(GROUPS.prefix)


def _fields(given: dict[str, Any], label: tuple[str, ...], clear_labels: bool) -> dict[str, Any]:
    """The columns of `cluster_edits` that an update gives values."""
    if label and clear_labels:
        raise UsageError("--label and --clear-labels exclude each other: --label replaces all labels anyway")
    fields = {name: value for name, value in given.items() if value is not None}
    if label or clear_labels:
        fields["custom_labels"] = _pairs("--label", label)
    return fields


def _changes(fields: dict[str, Any]) -> list[str]:
    return [f"{terminal.FIELD_NAMES[name]} {_after(value)}" for name, value in fields.items()]


def _after(value: Any) -> str:
    if not value:
        return "cleared"
    if isinstance(value, dict):
        return "now " + ", ".join(f"{key}={item}" for key, item in value.items())
    return f"now {value!r}"


def _listed(given: tuple[str, ...]) -> tuple[str, ...]:
    """Names given one by one or with commas between, in any case."""
    return tuple(name.strip().lower() for text in given for name in text.split(","))


def _sort(given: str, accepted: dict[str, str]) -> str:
    """A sort key in any case, with or without hyphens; what a kind's keys have in common may be left out."""
    short = {name.removeprefix("LocationDateCluster").removesuffix("Count").lower(): name for name in accepted}
    full = {name.lower(): name for name in accepted}
    name = (short | full).get(given.lower().replace("-", ""), given)
    check_among("sort", [name], accepted)
    return name


def _pairs(option: str, given: tuple[str, ...]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for text in given:
        key, separator, value = text.partition("=")
        if not key or not separator:
            raise UsageError(f"{option} {text!r} is not KEY=VALUE")
        if key in pairs:
            raise UsageError(f"{option} names {key!r} twice")
        pairs[key] = value
    return pairs


def _refuse_with(option: str, others: tuple[str, ...]) -> None:
    """Raises UsageError where options were given that say nothing together with another one."""
    options = {parameter.name: _flag(parameter) for parameter in click.get_current_context().command.params}
    given = [options[name] for name in others if _is_typed(name)]
    if given:
        raise UsageError(f"{', '.join(given)} cannot be given together with {option}")


def _flag(parameter: click.Parameter) -> str:
    """The longest name of an option."""
    return max(parameter.opts, key=len)


def _is_typed(name: str) -> bool:
    """Whether an option was given on the command line, and has not its default."""
    return click.get_current_context().get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
