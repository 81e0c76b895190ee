"""Documents as tables that one likes to read on a terminal. rich is imported when something is shown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import date
from typing import Any

from catalog.imm import Document
from catalog.lake import Row
from catalog.times import days_text

FIELD_NAMES = {"title": "title", "custom_id": "custom id", "custom_labels": "labels", "cover_uri": "cover"}

_ID_PREFIX = "location-date-cluster-"
_TABLE_WIDTH = 200  # where the output is no terminal

Show = Callable[[Document], str]


def location_date_clusters(documents: list[Document]) -> None:
    """Trips: when, where, how long, how many pictures. Ids go without their prefix, as commands take them."""
    datasets = {document["DatasetName"] for document in documents}
    columns: dict[str, Show] = {
        "Dates": _dates,
        "Title": lambda d: d["Title"],
        "Place": lambda d: d["Addresses"][0].get("AddressLine", ""),
        "Level": lambda d: d["LocationDateClusterLevel"],
        "Days": lambda d: f"{d['Days']:,}",
        "Pictures": lambda d: f"{d['ImagesCount']:,}",
        "Videos": lambda d: f"{d['VideosCount']:,}",
        "Id": lambda d: d["ObjectId"].removeprefix(_ID_PREFIX),
    }
    if len(datasets) > 1:
        columns = {"Dataset": lambda d: d["DatasetName"], **columns}
    if all(document["Title"] in _names(document) for document in documents):
        del columns["Title"]
    _print_table(documents, columns, numeric=("Days", "Pictures", "Videos"))


def files(documents: list[Document]) -> None:
    """Files: when, what, where they are."""
    columns: dict[str, Show] = {
        "Taken": lambda d: d.get("ProduceTime", "unknown").replace("T", " "),
        "Type": lambda d: d["MediaType"],
        "Place": lambda d: d["Addresses"][0].get("AddressLine", "") if "Addresses" in d else "",
        "URI": lambda d: d["URI"],
    }
    _print_table(documents, columns)


def tasks(documents: list[Document]) -> None:
    """Tasks: what, when, how far, why not."""
    columns: dict[str, Show] = {
        "Task": lambda d: d["TaskId"],
        "Status": lambda d: d["Status"],
        "Progress": lambda d: f"{d['Progress']} %",
        "Started": lambda d: _to_the_second(d["StartTime"]),
        "Ended": lambda d: _to_the_second(d.get("EndTime", "")),
        "Message": lambda d: d.get("Message", ""),
    }
    _print_table(documents, columns, numeric=("Progress",))


def task(document: Document) -> None:
    """All that is known of a task, a line each."""
    _print_fields(document)


def explanation(document: Document) -> None:
    """Why a cluster exists, from what it is down to what was done to it."""
    cluster = document["Cluster"]
    _heading(f"{cluster.get('Title', cluster['ObjectId'])} ({document['Status']})")
    _print_fields({name: value for name, value in cluster.items() if not isinstance(value, dict | list)})
    _heading("Options in force")
    _print_fields(document["Options"])
    for name, heading in (
        ("Evidence", "Evidence: the days with files at this place"),
        ("Runs", "Runs that wrote it"),
        ("Events", "Events"),
        ("Edits", "Edits"),
    ):
        _heading(heading)
        rows = [{key: row[key] for key in row if key not in _ALIKE} for row in document[name]]
        _print_table(rows, {key: _field(key) for key in dict.fromkeys(key for row in rows for key in row)})


# Alike in all rows about one cluster.
_ALIKE = {"ProjectName", "DatasetName", "Kind", "ObjectId", "Level", "PlaceKey", "ConfigHash"}


def name_of(cluster: Row) -> str:
    """A cluster in a sentence: title, days, id."""
    return f"{cluster['title']}, {days_text(cluster['first_day'], cluster['last_day'])} ({cluster['object_id']})"


def printable(text: str) -> str:
    r"""Text that cannot move the cursor, ring or recolour: control characters are shown, not sent.

    >>> print(printable("a\x1b[31mb"))
    a\x1b[31mb
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _dates(document: Document) -> str:
    first, last = document["LocationDateClusterStartTime"], document["LocationDateClusterEndTime"]
    return days_text(date.fromisoformat(first[:10]), date.fromisoformat(last[:10]))


def _names(document: Document) -> set[str]:
    return set(document["Addresses"][0].values())


def _to_the_second(time: str) -> str:
    return time.replace("T", " ").rstrip("Z").partition(".")[0]


def _field(key: str) -> Show:
    return lambda document: _text(document.get(key, ""))


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={item}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value)


def _heading(text: str) -> None:
    _console().print(f"\n{printable(text)}", style="bold", markup=False, highlight=False)


def _print_fields(document: Document) -> None:
    if not document:
        _console().print("none", highlight=False)
    width = max(map(len, document), default=0)
    for name, value in document.items():
        _console().print(f"{name:<{width}}  {printable(_text(value))}", markup=False, highlight=False, soft_wrap=True)


def _print_table(documents: list[Document], columns: Mapping[str, Show], numeric: Iterable[str] = ()) -> None:
    from rich.table import Table

    if not documents:
        _console().print("none", highlight=False)
        return
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for name in columns:
        ids = name in ("Id", "Task", "URI")
        table.add_column(
            name,
            justify="right" if name in numeric else "left",
            no_wrap=ids or name == "Dates",
            overflow="ignore" if ids else "fold",
        )
    for document in documents:
        table.add_row(*(_cell(show(document)) for show in columns.values()))
    _console().print(table)


def _cell(text: str) -> Any:
    from rich.text import Text

    return Text(printable(text))


def _console() -> Any:
    from rich.console import Console

    console = Console()
    return console if console.is_terminal else Console(width=_TABLE_WIDTH)
