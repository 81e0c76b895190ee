"""The verb `query`: clusters of each kind, and files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from catalog import figures, imm, similar_images, terminal
from catalog.commands.arguments import any_id, is_typed, listed, pairs, refuse_with, sort_key
from catalog.commands.options import by_ids, counted, in_lake, in_pages, time_range
from catalog.commands.output import show
from catalog.files import SORTS as FILE_SORTS
from catalog.files import FileQuery, query_files
from catalog.lake import Lake, Scope
from catalog.location_dates import SORTS, LocationDateQuery, files_of_cluster, query_location_dates
from catalog.paging import MOST_RESULTS, Page
from catalog.similar_images import KINDS, SimilarImageQuery, query_similar_images
from schemas.cluster_kinds import GROUPS, PEOPLE, TRIPS
from schemas.contract import LEVELS
from schemas.errors import UsageError

_NOT_OF_A_FACE = (
    "object_ids", "title", "label", "created_from", "created_to", "updated_from", "updated_to",
    "sort", "order", "next_token", "with_total",
)  # fmt: skip
_NOT_OF_A_CLUSTER = ("uri", "media_type", "removed", "produced_from", "produced_to", "sort", "order")


@click.group()
def query() -> None:
    """Show clusters or files. Times are dates (2026-03-04) or RFC 3339 (2026-03-04T18:30:00+08:00)."""


@query.command("location-date")
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


@query.command("similar-images")
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


@query.command("figures")
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


@query.command("files")
@click.option("--cluster", metavar="ID", help="The files of this cluster: a trip's by time, similar images best first.")
@click.option("--uri", help="The one file of this URI.")
@click.option("--media-type", help="image or video.")
@click.option("--removed", is_flag=True, help="Removed files, instead of those that are there.")
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
        refuse_with("--cluster", _NOT_OF_A_CLUSTER)
        object_id = any_id(lake, scope, cluster)
        if object_id.startswith(PEOPLE.prefix):
            page = figures.files_of_person(lake, scope, object_id, max_results, next_token, with_total=with_total)
            files = [imm.person_file(row, language) for row in page.rows]
        elif object_id.startswith(GROUPS.prefix):
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
            scope=scope, sort=sort_key(sort, FILE_SORTS), max_results=max_results, with_total=with_total, **filters
        )
        page = query_files(lake, asked, next_token)
        files = [imm.file(row, language) for row in page.rows]
    show(lake, scope, page, as_json, "Files", files, table, total="TotalHits")
