"""What the demo shows: each person's trips, what was refused, and what to type next."""

from __future__ import annotations

import os
import shlex
from collections import Counter
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from catalog.lake import Lake, Row, Scope
from catalog.terminal import printable
from catalog.times import days_text
from jobs.runtime.commits import Ledger
from schemas.cluster_kinds import TRIPS
from schemas.contract import LEVELS
from schemas.reasons import REASONS

HOME_STAYS = 5
"""The city with the most stays is called home if there are at least so many."""
MOST_TRIPS = 40
"""So many rows are shown of a person; the rest is a query away."""
WIDTH = 110
"""Width where the output is no terminal."""


@dataclass(frozen=True)
class Report:
    """What there is to show of one run of the chain. `clusters` are all of the scope, by start."""

    lake: Lake
    scope: Scope
    source: Path
    clusters: list[Row]
    row_counts: dict[str, int]
    changed: bool
    undated: int
    """Files without a time, or without a place."""

    @classmethod
    def of(
        cls, lake: Lake, scope: Scope, clusters: list[Row], indexed: Ledger, clustered: Ledger, *, source: Path
    ) -> Report:
        """Gathers it from the lake and from what both runs did."""
        inside = scope.condition(lake)
        there = lake.read(f"SELECT count(*) AS files FROM files WHERE {inside} AND deleted_time IS NULL", "files")
        dated = lake.read(
            f"SELECT count(*) AS files FROM file_places WHERE {inside} AND deleted_time IS NULL "
            "AND local_date IS NOT NULL",
            "file_places",
        )
        changed = bool(indexed.outputs or clustered.outputs)
        undated = there[0]["files"] - dated[0]["files"]
        return cls(lake, scope, source, clusters, indexed.row_counts, changed, undated)


@dataclass(frozen=True)
class Album:
    """One person's clusters as a reader wants them: journeys, each with its parts, and the stays at home."""

    dataset: str
    trips: list[tuple[Row, list[Row]]]
    home: list[Row]

    @classmethod
    def of(cls, dataset: str, clusters: list[Row]) -> Album:
        """Leads with the country where several cities of a foreign one were seen, else with the city.

        What is called home, and which clusters are shown, is the demo's choice: the lake holds every level alike.
        """
        cities = [row for row in clusters if row["level"] == "city"]
        place, stays = next(iter(Counter(row["place_key"] for row in cities).most_common(1)), ("", 0))
        home = [row for row in cities if row["place_key"] == place] if stays >= HOME_STAYS else []
        away = [row for row in cities if row not in home]
        trips: list[tuple[Row, list[Row]]] = []
        for country in (row for row in clusters if row["level"] == "country"):
            parts = [row for row in away if _is_within(row, country)]
            abroad = not home or not _is_under(home[0], country)
            if abroad and len({row["place_key"] for row in parts}) > 1:
                trips.append((country, parts))
                away = [row for row in away if row not in parts]
        trips += [(row, []) for row in away]
        return cls(dataset, sorted(trips, key=lambda trip: (trip[0]["first_day"], trip[0]["title"])), home)


def print_report(report: Report) -> None:
    """Prints trips, refusals and commands on stdout."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=WIDTH)
    albums = [
        Album.of(dataset, list(rows))
        for dataset, rows in groupby(
            sorted(report.clusters, key=lambda row: row["dataset_name"]), key=lambda row: row["dataset_name"]
        )
    ]
    console.print()
    if not report.changed:
        console.print("Nothing is new since the last time: no file, no cluster and no id has changed.\n")
    if albums:
        console.print(_table(albums))
    else:
        console.print("There is no trip to show: no file has both a time and a place.")
    for line in _facts(report):
        console.print(printable(line), markup=False, soft_wrap=True)
    refusals = _refusals(report.row_counts)
    if refusals.row_count:
        console.print("\nRefused rows, which the table `rejected` keeps:")
        console.print(refusals)
    console.print("\nWhat to type next", style="bold")
    console.print(_commands(report, albums), markup=False, soft_wrap=True)


def _table(albums: list[Album]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("Trip", "Dates", "Days", "Pictures", "Videos", "Where"):
        table.add_column(
            name, justify="right" if name in ("Days", "Pictures", "Videos") else "left", no_wrap=name == "Dates"
        )
    for album in albums:
        table.add_row(Text(album.dataset, style="bold cyan"))
        for trip, parts in album.trips[:MOST_TRIPS]:
            table.add_row(*_cells(trip, "  "), Text(_where(trip)))
            for part in parts:
                table.add_row(*_cells(part, "    "), Text(_where(part)), style="dim")
        if len(album.trips) > MOST_TRIPS:
            table.add_row(f"  and {len(album.trips) - MOST_TRIPS:,} more")
        if album.home:
            table.add_row(*_home_cells(album.home), Text(_where(album.home[0])), style="dim")
        table.add_row()
    return table


def _cells(row: Row, indent: str) -> list[Text]:
    return [
        Text(indent + printable(row["title"])),
        Text(days_text(row["first_day"], row["last_day"])),
        *(Text(f"{row[name]:,}") for name in ("days", "images", "videos")),
    ]


def _home_cells(stays: list[Row]) -> list[Text]:
    """All stays at home in one line: how many, and on how many days pictures were taken."""
    sums = [sum(row[name] for row in stays) for name in ("days_with_files", "images", "videos")]
    title = f"  home: {printable(stays[0]['title'])}"
    return [Text(title), Text(f"{len(stays):,} stays"), *(Text(f"{number:,}") for number in sums)]


def _where(row: Row) -> str:
    """Where a cluster is, the nearest level first, without what its title says already."""
    above = LEVELS[: LEVELS.index(row["level"]) + 1]
    names = dict.fromkeys(row[level] for level in reversed(above) if row[level] and row[level] != row["title"])
    return printable(", ".join(names))


def _facts(report: Report) -> list[str]:
    counts = report.row_counts
    levels = Counter(row["level"] for row in report.clusters)
    by_level = ", ".join(f"{levels[level]:,} by {level}" for level in reversed(LEVELS) if levels[level])
    lines = [f"{len(report.clusters):,} clusters: {by_level}."] if report.clusters else []
    lines.append(f"{counts['input']:,} rows in {report.source}: {counts['accepted']:,} files were taken in.")
    if report.undated:
        lines.append(f"{report.undated:,} files have no time or no place: they are kept, and join no trip.")
    return lines


def _refusals(row_counts: dict[str, int]) -> Table:
    """How many rows were refused, by reason; the table has no rows if none was."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(justify="right")
    table.add_column(no_wrap=True)
    for reason, meaning in REASONS.items():
        if count := row_counts.get(f"rejected.{reason}"):
            table.add_row(f"  {count:,}", reason, Text(meaning))
    return table


def _commands(report: Report, albums: list[Album]) -> str:
    """Commands that work as typed in the directory that the demo was started in, each after what it is for."""
    program, project = _program(), f"--project {report.scope.project}"
    steps = [("the lake that the commands below are about", f"export LAKEALBUM_LAKE={shlex.quote(report.lake.root)}")]
    trips = [trip for album in albums for trip, _ in album.trips]
    if trips:
        trip = max(trips, key=lambda row: (row["days"], row["files"]))
        cluster = trip["object_id"].removeprefix(TRIPS.prefix)
        dataset, title = trip["dataset_name"], printable(trip["title"])
        options = "--gap-days 3 --min-days 2 --max-days 30 --levels city"
        steps += [
            (f"the cities of {dataset}", f"{program} query location-date {project} --dataset {dataset} --level city"),
            (f"the files of {dataset}, {title}", f"{program} query files {project} --cluster {cluster}"),
            ("why it is there", f"{program} explain {project} {cluster}"),
            ("a title", f"{program} update location-date {project} {cluster} --title 'The long one'"),
            ("delete it, and bring it back", f"{program} delete location-date {project} {cluster}"),
            ("", f"{program} undelete location-date {project} {cluster}"),
            ("other options; the next demo goes back", f"{program} cluster location-date {project} {options}"),
        ]
    else:
        steps.append(("the files that were taken in", f"{program} query files {project}"))
    steps.append(("what has been run", f"{program} tasks list {project}"))
    return "\n".join((f"  # {why}\n" if why else "") + f"  {command}" for why, command in steps)


def _program() -> str:
    """How the command line is called from here: the checkout's launcher, else the installed command."""
    launcher = Path(__file__).parents[1] / "lakealbum"
    if not os.access(launcher, os.X_OK):
        return "lakealbum"
    return "./lakealbum" if launcher.parent == Path.cwd() else shlex.quote(str(launcher))


def _is_within(part: Row, whole: Row) -> bool:
    """Whether a cluster lies in another: in its place, and in its days."""
    return _is_under(part, whole) and whole["first_day"] <= part["first_day"] and part["last_day"] <= whole["last_day"]


def _is_under(part: Row, whole: Row) -> bool:
    return bool(part["place_key"].startswith(whole["place_key"] + "/"))
