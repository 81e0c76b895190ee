"""The verb `query`: clusters of each kind, and files."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import click

from catalog import figures, imm, similar_images, terminal
from catalog.commands.arguments import any_id, is_typed, listed, pairs, refuse_with, sort_key
from catalog.commands.options import by_ids, counted, in_lake, in_pages, time_range
from catalog.commands.output import print_json, show
from catalog.files import (
    MOST_GROUPS,
    Aggregation,
    AggregationOperation,
    FileQuery,
    aggregate_files,
    count_files,
    query_files,
)
from catalog.lake import Lake, Scope
from catalog.location_dates import SORTS, LocationDateQuery, files_of_cluster, query_location_dates
from catalog.paging import MOST_RESULTS, Page, check_among
from catalog.similar_images import KINDS, SimilarImageQuery, query_similar_images
from catalog.simple_query import conditions
from catalog.times import TimeRange
from schemas.cluster_kinds import GROUPS, PEOPLE, TRIPS
from schemas.contract import LEVELS
from schemas.errors import UsageError

_NOT_OF_A_FACE = (
    "object_ids", "title", "label", "created_from", "created_to", "updated_from", "updated_to",
    "sort", "order", "next_token", "with_total",
)  # fmt: skip
_NOT_OF_A_CLUSTER = (
    "where", "uri", "media_type", "removed", "produced_from", "produced_to", "aggregate", "sort", "order",
    "with_fields",
)  # fmt: skip


@click.command("location-date")
@by_ids("cluster")
@click.option("--title", help="Part of the title, in any case.")
@click.option("--country", help="Name of the country, in any case.")
@click.option("--province", help="Name of the province, in any case.")
@click.option("--city", help="Name of the city, in any case.")
@click.option("--district", help="Name of the district, in any case.")
@click.option("--township", help="Name of the township, in any case.")
@click.option("--level", multiple=True, help=f"{', '.join(LEVELS)}; repeatable, or with commas.")
@click.option("--label", multiple=True, metavar="KEY=VALUE", help="A custom label of the cluster; repeatable.")
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
        levels=listed(level),
        labels=pairs("--label", label),
        sort=sort_key(sort, SORTS),
        **filters,
    )
    page = query_location_dates(lake, asked, next_token)
    clusters = [imm.location_date_cluster(row, lake.settings.language) for row in page.rows]
    show(lake, scope, page, as_json, "LocationDateClusters", clusters, terminal.location_date_clusters)


@click.command("similar-images")
@by_ids("cluster")
@click.option("--title", help="Part of a title that it was given, in any case.")
@click.option("--kind", "kinds", multiple=True, help=f"{', '.join(KINDS)}; repeatable, or with commas.")
@click.option("--label", multiple=True, metavar="KEY=VALUE", help="A custom label of the cluster; repeatable.")
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
        kinds=listed(kinds),
        labels=pairs("--label", label),
        sort=sort_key(sort, similar_images.SORTS),
        **filters,
    )
    page = query_similar_images(lake, asked, next_token)
    clusters = [imm.similar_image_cluster(row) for row in page.rows]
    show(lake, scope, page, as_json, "SimilarImageClusters", clusters, terminal.similar_images)


@click.command("figures")
@by_ids("person")
@click.option("--name", "title", help="Part of a name that was given, in any case.")
@click.option("--label", multiple=True, metavar="KEY=VALUE", help="A custom label of the person; repeatable.")
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
        labels=pairs("--label", label),
        sort=sort_key(sort, figures.SORTS),
        **filters,
    )
    page = figures.query_figures(lake, asked, next_token)
    people = [imm.figure_cluster(row) for row in page.rows]
    show(lake, scope, page, as_json, "FigureClusters", people, terminal.people)


def _show_nearest(
    lake: Lake, scope: Scope, as_json: bool, face: Path | None, like: str | None, max_results: int
) -> None:
    from catalog.face_search import NEAREST, find_face, nearest_people, read_faces

    if face and like:
        raise UsageError("--face and --like exclude each other: one says which faces, the other which in the lake")
    refuse_with("--face" if face else "--like", _NOT_OF_A_FACE)
    faces = read_faces(face) if face else find_face(lake, scope, like or "")
    found = nearest_people(lake, scope, faces, max_results if is_typed("max_results") else NEAREST)
    show(lake, scope, Page(found), as_json, "Clusters", list(map(imm.nearest_person, found)), terminal.people)


@click.command("files")
@click.option("--cluster", metavar="ID", help="The files of this cluster: a trip's by time, similar images best first.")
@click.option("--where", metavar="JSON", help="Those that satisfy this SimpleQuery (docs/queries.md); @FILE reads it.")
@click.option("--uri", help="The one file of this URI.")
@click.option("--media-type", help="image or video.")
@click.option("--removed", is_flag=True, help="Those that were removed, instead of those that are there.")
@time_range("produced", "Taken")
@click.option(
    "--aggregate",
    multiple=True,
    metavar="OP:FIELD",
    help="Compute this of all that match, instead: min, max, average, sum, count, distinct or group; repeatable.",
)
@click.option("--sort", help="Up to 5 fields of File with commas between.  [default: URI]")
@click.option("--order", help="asc or desc, one for each; with commas between.  [default: desc of a --sort, else asc]")
@click.option("--with-fields", help="Show these fields alone; with commas between.")
@click.option("--max-results", type=int, default=20, show_default=True, help="Files a page, 1 to 100; groups, to 2000.")
@click.option("--next-token", help="Goes on where the last page ended.")
@click.option("--total", "--count", "with_total", is_flag=True, help="Count all that match, too.")
@in_lake
def query_files_command(
    lake: Lake,
    scope: Scope,
    as_json: bool,
    cluster: str | None,
    where: str | None,
    uri: str | None,
    media_type: str | None,
    removed: bool,
    produced: TimeRange,
    aggregate: tuple[str, ...],
    sort: str | None,
    order: str | None,
    with_fields: str | None,
    max_results: int,
    next_token: str | None,
    with_total: bool,
) -> None:
    """Show files that satisfy conditions, or those of a cluster; or aggregate them."""
    if cluster:
        refuse_with("--cluster", _NOT_OF_A_CLUSTER)
        _show_files_of(lake, scope, as_json, cluster, max_results, next_token, with_total)
        return
    orders: list[Any] = _parts(order)
    asked = FileQuery(
        scope,
        conditions(_argument(where), uri=uri, media_type=media_type, produced=produced),
        sort=tuple(_parts(sort)),
        order=tuple(orders),
        removed=removed,
        fields=tuple(_parts(with_fields)),
        max_results=20 if aggregate else max_results,
        with_total=with_total,
    )
    if aggregate:
        refuse_with("--aggregate", ("sort", "order", "with_fields", "next_token"))
        most = max_results if is_typed("max_results") else MOST_GROUPS
        found = aggregate_files(lake, asked, [_aggregation(text) for text in aggregate], most)
        total = {"TotalHits": count_files(lake, asked)} if with_total else {}
        _show_aggregations(as_json, {"Aggregations": [imm.aggregation(each) for each in found], **total})
        return
    page = query_files(lake, asked, next_token)
    files = [imm.only(imm.file(row, lake.settings.language), asked.fields) for row in page.rows]
    table = terminal.fields if asked.fields else terminal.files
    show(lake, scope, page, as_json, "Files", files, table, total="TotalHits")


def _show_files_of(
    lake: Lake, scope: Scope, as_json: bool, cluster: str, max_results: int, next_token: str | None, with_total: bool
) -> None:
    language, table = lake.settings.language, terminal.files
    object_id = any_id(lake, scope, cluster)
    if object_id.startswith(PEOPLE.prefix):
        page = figures.files_of_person(lake, scope, object_id, max_results, next_token, with_total=with_total)
        files = [imm.person_file(row, language) for row in page.rows]
    elif object_id.startswith(GROUPS.prefix):
        page = similar_images.files_of_cluster(lake, scope, object_id, max_results, next_token, with_total=with_total)
        files = [imm.similar_image_file(row, language) for row in page.rows]
        table = terminal.similar_files
    else:
        page = files_of_cluster(lake, scope, object_id, max_results, next_token, with_total=with_total)
        files = [imm.located_file(row, language) for row in page.rows]
    show(lake, scope, page, as_json, "Files", files, table, total="TotalHits")


def _show_aggregations(as_json: bool, document: imm.Document) -> None:
    if as_json:
        print_json(document)
        return
    terminal.aggregations(document["Aggregations"])
    if "TotalHits" in document:
        click.echo(f"{document['TotalHits']:,} match.")


def _parts(given: str | None) -> list[str]:
    return [part.strip() for part in given.split(",")] if given else []


def _argument(given: str | None) -> str | None:
    """An argument, or the content of the file that it names with @."""
    if not given or not given.startswith("@"):
        return given
    try:
        return Path(given[1:]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--where {given!r} cannot be read: {error}") from None


def _aggregation(given: str) -> Aggregation:
    operation, _, field = given.partition(":")
    check_among("--aggregate", [operation], get_args(AggregationOperation))
    return Aggregation(field, operation)  # type: ignore[arg-type]
