"""The verb `report similar-images`: one HTML file on which people review similar images. No JVM is started.

clusters, some at a time -> what is known of their pictures -> thumbnails -> a page with commands ready to copy
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import click

from catalog import imm
from catalog.commands.options import in_lake
from catalog.commands.output import print_json
from catalog.lake import Lake, Row, Scope
from catalog.paging import Order, check_among
from catalog.similar_images import KINDS, SimilarImageQuery, query_similar_images
from catalog.sql import relation
from jobs.pages.page import page_foot, page_head
from jobs.pages.thumbnails import Thumbnail, ThumbnailReader, Unreadable, placeholder, stored_thumbnail
from jobs.pages.writing import write_page
from jobs.runtime.progress import Progress
from jobs.similar_images.page import HINT, Group, Picture, group_section
from schemas.file_features import THUMBNAIL_SIDE

CLUSTERS_AT_ONCE = 20
"""So many clusters, with up to 100 pictures each, are read at once; their thumbnails are made one cluster at a time."""
SORT_NAMES = {"files": "FilesCount", "update-time": "UpdateTime", "create-time": "CreateTime"}


@dataclass
class Tally:
    """What the page has, counted as it is written."""

    clusters: int = 0
    files: int = 0
    shown: int = 0
    not_opened: int = 0
    spare_bytes: int = 0
    more: bool = False
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Known:
    """What the lake knows of the pictures of some clusters: rows of `files`, and of pairs, by fingerprints."""

    files: dict[tuple[str, str], Row]
    pairs: dict[tuple[str, str, str], Row]

    def pair(self, dataset: str, one: str, other: str) -> Row | None:
        """The pair of two fingerprints, whichever comes first."""
        return self.pairs.get((dataset, min(one, other), max(one, other)))


@click.command("similar-images")
@click.option("--out", required=True, metavar="FILE", help="HTML file to write; it replaces one that is there.")
@click.option("--kind", "kinds", multiple=True, help=f"{', '.join(KINDS)}; repeatable.  [default: all]")
@click.option("--sort", default="files", show_default=True, help=f"{', '.join(SORT_NAMES)}.")
@click.option("--order", default="desc", show_default=True, help="asc or desc.")
@click.option(
    "--max-clusters", type=click.IntRange(min=1), default=200, show_default=True, help="Most clusters on the page."
)
@in_lake
def similar_images(
    lake: Lake,
    scope: Scope,
    as_json: bool,
    out: str,
    kinds: tuple[str, ...],
    sort: str,
    order: Order,
    max_clusters: int,
) -> None:
    """Write similar images to an HTML file: pictures side by side, the best marked, with commands to copy.

    Each cluster comes with up to 100 pictures. The pictures are read from their uris.
    """
    check_among("sort", [sort], SORT_NAMES)
    size = min(CLUSTERS_AT_ONCE, max_clusters)
    query = SimilarImageQuery(scope, kinds=kinds, sort=SORT_NAMES[sort], order=order, max_results=size)
    tally = write_report(lake, query, Path(out), max_clusters)
    if not tally.clusters:
        scope.check(lake)
    if as_json:
        counts = {"Clusters": tally.clusters, "Files": tally.files, "Shown": tally.shown}
        print_json({"Out": out, **counts, "NotOpened": tally.not_opened})
        return
    amiss = f" {tally.not_opened:,} could not be opened." if tally.not_opened else ""
    click.echo(f"{out}: {tally.clusters:,} clusters, {tally.shown:,} pictures.{amiss}")


def write_report(lake: Lake, query: SimilarImageQuery, out: Path, max_clusters: int) -> Tally:
    """Writes the page, whole or not at all. Raises UsageError where it cannot be written.

    Memory: the rows of `CLUSTERS_AT_ONCE` clusters and the thumbnails of one.
    """
    tally = Tally(options=("--lake", lake.root, "--project", query.scope.project))

    def sections(thumbnails: ThumbnailReader, working: Progress) -> Iterator[str]:
        for row, known in _clusters(lake, query, max_clusters, tally):
            working.stage(f"{tally.clusters:,} clusters", 100 * tally.clusters // max_clusters)
            yield group_section(_group(lake, row, known, thumbnails, tally), tally.clusters)

    def ends() -> tuple[str, str]:
        empty = "" if tally.clusters else "There are no similar images to review."
        return page_head("Similar images", _facts(lake, query, tally), hint=HINT), page_foot(empty=empty)

    with ThumbnailReader() as thumbnails, Progress("report similar-images") as working:
        write_page(out, sections(thumbnails, working), ends=ends)
    return tally


def _clusters(lake: Lake, query: SimilarImageQuery, most: int, tally: Tally) -> Iterator[tuple[Row, Known]]:
    """The clusters of the page, each with what is known of its pictures."""
    token = None
    while tally.clusters < most:
        page = query_similar_images(lake, query, token)
        rows = page.rows[: most - tally.clusters]
        known = _known(lake, rows)
        for row in rows:
            tally.clusters += 1
            yield row, known
        token = page.next_token
        tally.more = token is not None or len(rows) < len(page.rows)
        if token is None:
            return


def _known(lake: Lake, rows: list[Row]) -> Known:
    members = [member for row in rows for member in row["members"]]
    if not members:
        return Known({}, {})
    scope = Scope(members[0]["project_name"], tuple(member["dataset_name"] for member in members))
    wanted = {(member["dataset_name"], member["uri"]) for member in members}
    files = _of_files(lake, "files", scope, wanted, "*")
    sought = {
        (row["dataset_name"], *sorted((member["fingerprint"], other)))
        for row in rows
        for member in row["members"]
        for other in (_best(row)["fingerprint"], row["representative"])
        if member["fingerprint"] != other
    }
    pairs: list[Row] = []
    if sought:
        asked = relation("asked", ("in_dataset", "one", "other"), sorted(sought))
        pairs = lake.read(
            f"SELECT * FROM similar_image_pairs JOIN {asked} ON dataset_name = in_dataset "
            f"AND fingerprint = one AND other_fingerprint = other WHERE {scope.condition(lake)}",
            "similar_image_pairs",
        )
    return Known(files, {(row["dataset_name"], row["fingerprint"], row["other_fingerprint"]): row for row in pairs})


def _of_files(
    lake: Lake, table: str, scope: Scope, wanted: set[tuple[str, str]], columns: str
) -> dict[tuple[str, str], Row]:
    """The rows of a table about files, by dataset and uri."""
    asked = relation("asked", ("in_dataset", "asked_uri"), sorted(wanted))
    rows = lake.read(
        f"SELECT {columns} FROM {table} JOIN {asked} ON dataset_name = in_dataset AND uri = asked_uri "
        f"WHERE {scope.condition(lake)}",
        table,
    )
    return {(row["dataset_name"], row["uri"]): row for row in rows}


def _group(lake: Lake, row: Row, known: Known, thumbnails: ThumbnailReader, tally: Tally) -> Group:
    members = row["members"]
    shown = _thumbnails(lake, row, known, thumbnails, tally)
    pictures = [_picture(row, member, small, known, lake) for member, small in zip(members, shown, strict=True)]
    tally.files += row["files"]
    tally.shown += len(pictures)
    for member in members:
        file = known.files.get((row["dataset_name"], member["uri"]))
        if file and not member["kept"] and member is not _best(row):
            tally.spare_bytes += file["size"] or 0
    return Group(
        object_id=row["object_id"],
        title=row["title"],
        dataset=row["dataset_name"],
        kind=row["kind"],
        files=row["files"],
        updated=f"{row['update_time']:%Y-%m-%d %H:%M}",
        cover_uri=row["cover_uri"],
        pictures=pictures,
        options=tally.options,
    )


def _thumbnails(lake: Lake, row: Row, known: Known, reader: ThumbnailReader, tally: Tally) -> list[Thumbnail]:
    """The thumbnails of a cluster's members; what cannot be opened is shown as it was when it was indexed."""
    dataset, uris = row["dataset_name"], [member["uri"] for member in row["members"]]
    found = list(reader.read(uris))
    failed = {(dataset, uri) for uri, small in zip(uris, found, strict=True) if isinstance(small, Unreadable)}
    tally.not_opened += len(failed)
    scope = Scope(row["project_name"], (dataset,))
    stored = (
        _of_files(lake, "file_features", scope, failed, "dataset_name, uri, thumbnail, fingerprint") if failed else {}
    )

    def instead(uri: str, reason: str) -> Thumbnail:
        file, features = known.files.get((dataset, uri)), stored.get((dataset, uri))
        luminances = features["thumbnail"] if features else None
        if luminances is None or len(luminances) != THUMBNAIL_SIDE**2:
            return placeholder(reason)
        width, height = (file and file["image_width"]) or 1, (file and file["image_height"]) or 1
        return stored_thumbnail(luminances, width, height, reason)

    return [
        instead(uri, small.reason) if isinstance(small, Unreadable) else small
        for uri, small in zip(uris, found, strict=True)
    ]


def _picture(row: Row, member: Row, small: Thumbnail, known: Known, lake: Lake) -> Picture:
    file = known.files.get((row["dataset_name"], member["uri"]))
    document = imm.file(file, lake.settings.language) if file else {}
    width, height, size = (document.get(name) for name in ("ImageWidth", "ImageHeight", "Size"))
    return Picture(
        uri=member["uri"],
        thumbnail=small,
        score=member["image_score"],
        kind=member["kind"],
        relation=_relation(row, member, known),
        size=", ".join(
            [*([f"{width:,} x {height:,}"] if width else []), *([_bytes(size)] if size is not None else [])]
        ),
        taken=document.get("ProduceTime", "").replace("T", " "),
        kept=member["kept"],
        best=member is _best(row),
    )


def _best(row: Row) -> Row:
    """The best of the pictures that come with a cluster, which those that are kept may precede."""
    best: Row = min(row["members"], key=lambda member: member["rank"])
    return best


def _relation(row: Row, member: Row, known: Known) -> str:
    """How alike a member and the best picture are; failing that, the member and the one that all are similar to."""
    best, dataset = _best(row), row["dataset_name"]
    if member is best:
        return ""
    look = member["fingerprint"]
    if look == best["fingerprint"]:
        files = [known.files.get((dataset, uri)) for uri in (member["uri"], best["uri"])]
        contents = {file and file["content_hash"] for file in files}
        return "same content as the best" if len(contents) == 1 and None not in contents else "same hash as the best"
    if pair := known.pair(dataset, look, best["fingerprint"]):
        return f"{_likeness(pair)} the best"
    if look == row["representative"]:
        return "the one that all are similar to"
    if pair := known.pair(dataset, look, row["representative"]):
        return f"{_likeness(pair)} the representative"
    return f"{member['similarity']:.1%} similar to the representative"


def _likeness(pair: Row) -> str:
    match pair["signal"]:
        case "hash":
            return f"{pair['distance']} of 256 bits from"
        case "turned":
            return f"turned, {pair['distance']} of 256 bits from"
        case "crop":
            return f"crop, {pair['similarity']:.1%} similar to"
        case _:
            return f"{pair['similarity']:.1%} similar to"


def _facts(lake: Lake, query: SimilarImageQuery, tally: Tally) -> list[str]:
    """The page in a few words."""
    about = f"project {query.scope.project}"
    if query.scope.datasets:
        about += f", datasets {', '.join(query.scope.datasets)}"
    facts = [f"{tally.clusters:,} clusters{' (there are more)' if tally.more else ''}", f"{tally.files:,} pictures"]
    if tally.spare_bytes:
        facts.append(f"{_bytes(tally.spare_bytes)} beside the best and those kept")
    if tally.not_opened:
        facts.append(f"{tally.not_opened:,} could not be opened")
    return [*facts, about, f"lake {lake.root}", f"made {datetime.now(UTC):%Y-%m-%d %H:%M} UTC"]


def _bytes(count: int) -> str:
    """Bytes, for reading.

    >>> _bytes(999), _bytes(2_345_678), _bytes(10**12)
    ('999 B', '2.3 MB', '1000.0 GB')
    """
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} B"
