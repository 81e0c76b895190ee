"""Documents as tables that one likes to read on a terminal. rich is imported when something is shown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import date
from functools import partial
from typing import Any

from catalog.imm import Document
from catalog.lake import Row
from catalog.times import days_text
from schemas.cluster_kinds import GROUPS, PEOPLE, TRIPS
from schemas.column_lineage import TableLineage, in_words

FIELD_NAMES = {
    "title": "title",
    "custom_id": "custom id",
    "custom_labels": "labels",
    "cover_uri": "cover",
    "cover_figure_id": "cover",
}

_TABLE_WIDTH = 200  # where the output is no terminal

Show = Callable[[Document], str]


def location_date_clusters(documents: list[Document]) -> None:
    """Trips: when, where, how long, how many pictures. Ids go without their prefix, as commands take them."""
    datasets = {document["DatasetName"] for document in documents}
    columns: dict[str, Show] = {
        "Dates": _dates,
        "Title": _title,
        "Place": lambda d: d["Addresses"][0].get("AddressLine", ""),
        "Level": lambda d: d["LocationDateClusterLevel"],
        "Days": lambda d: f"{d['Days']:,}",
        "Pictures": lambda d: f"{d['ImagesCount']:,}",
        "Videos": lambda d: f"{d['VideosCount']:,}",
        "Id": lambda d: d["ObjectId"].removeprefix(TRIPS.prefix),
    }
    if len(datasets) > 1:
        columns = {"Dataset": lambda d: d["DatasetName"], **columns}
    if all(_title(document) in _names(document) for document in documents):
        del columns["Title"]
    _print_table(documents, columns, numeric=("Days", "Pictures", "Videos"))


def similar_images(documents: list[Document]) -> None:
    """Similar images, a line a cluster: what they are, how many, the best. Ids go without their prefix."""
    datasets = {document["DatasetName"] for document in documents}
    columns: dict[str, Show] = {
        "Kind": lambda d: d["Kind"],
        "Files": lambda d: f"{d['FilesCount']:,}",
        "Title": lambda d: d.get("Title", ""),
        "Best picture": lambda d: d["Cover"]["URI"],
        "Score": _cover_score,
        "Kept": lambda d: f"{_kept(d):,}",
        "Updated": lambda d: _to_the_second(d["UpdateTime"]),
        "Id": lambda d: d["ObjectId"].removeprefix(GROUPS.prefix),
    }
    if len(datasets) > 1:
        columns = {"Dataset": lambda d: d["DatasetName"], **columns}
    if not any("Title" in document for document in documents):
        del columns["Title"]
    if not any(map(_kept, documents)):
        del columns["Kept"]
    _print_table(documents, columns, numeric=("Files", "Score", "Kept"))


def people(documents: list[Document]) -> None:
    """People, a line each: name, how many faces and files, the cover. Ids go without their prefix.

    Those nearest to a face begin with how similar it is, and which of several it is.
    """
    datasets = {document["DatasetName"] for document in documents}
    columns: dict[str, Show] = {
        "Name": lambda d: d.get("Name", ""),
        "Faces": lambda d: f"{d['FaceCount']:,}",
        "Pictures": lambda d: f"{d['ImageCount']:,}",
        "Videos": lambda d: f"{d['VideoCount']:,}",
        "Age": lambda d: f"{d['MinAge']}-{d['MaxAge']}" if "MinAge" in d else "",
        "Gender": lambda d: d.get("Gender", ""),
        "Cover": lambda d: d["Cover"]["URI"],
        "Id": lambda d: d["ObjectId"].removeprefix(PEOPLE.prefix),
    }
    if len(datasets) > 1:
        columns = {"Dataset": lambda d: d["DatasetName"], **columns}
    if not any("Name" in document for document in documents):
        del columns["Name"]
    if "Similarity" in documents[0]:
        columns = {"Similarity": lambda d: f"{d['Similarity']:.3f}", **columns}
    if "Face" in documents[0]:
        columns = {"Face": lambda d: str(d["Face"]), **columns}
    _print_table(documents, columns, numeric=("Face", "Similarity", "Faces", "Pictures", "Videos"))


def similar_files(documents: list[Document]) -> None:
    """The pictures of similar images, the best first."""
    columns: dict[str, Show] = {
        "Score": lambda d: f"{d['ImageScore']:.2f}",
        "Kind": lambda d: d["Kind"],
        "Alike": lambda d: f"{d['Similarity']:.3f}",
        "Pixels": lambda d: f"{d['ImageWidth']} x {d['ImageHeight']}" if "ImageWidth" in d else "",
        "Bytes": lambda d: f"{d['Size']:,}" if "Size" in d else "",
        "Taken": lambda d: d.get("ProduceTime", "unknown").replace("T", " "),
        "Keep": lambda d: "yes" if d.get("Keep") else "",
        "URI": lambda d: d["URI"],
    }
    if not any(document.get("Keep") for document in documents):
        del columns["Keep"]
    _print_table(documents, columns, numeric=("Score", "Alike", "Bytes"))


def bindings(documents: list[Document]) -> None:
    """Bindings, a line each: what is followed, how it stands, how many files."""
    columns: dict[str, Show] = {
        "Dataset": lambda d: d["DatasetName"],
        "Source": lambda d: d["URI"],
        "State": lambda d: d["State"],
        "Phase": lambda d: d["Phase"],
        "Files": lambda d: f"{d['FilesCount']:,}",
        "Missing": lambda d: f"{d.get('MissingCount', 0):,}",
        "Refused": lambda d: f"{d.get('RefusedCount', 0):,}",
        "Synced": lambda d: _to_the_second(d["SyncTime"]) if "SyncTime" in d else "",
        "Reason": lambda d: d.get("Reason", ""),
        "Id": lambda d: d["BindingId"],
    }
    if not any("Reason" in document for document in documents):
        del columns["Reason"]
    _print_table(documents, columns, numeric=("Files", "Missing", "Refused"))


def files(documents: list[Document]) -> None:
    """Files: when, what, where they are."""
    columns: dict[str, Show] = {
        "Taken": lambda d: d.get("ProduceTime", "unknown").replace("T", " "),
        "Type": lambda d: d["MediaType"],
        "Place": lambda d: d["Addresses"][0].get("AddressLine", "") if "Addresses" in d else "",
        "URI": lambda d: d["URI"],
    }
    _print_table(documents, columns)


def fields(documents: list[Document]) -> None:
    """Files, by the fields that were asked for."""
    names = list(dict.fromkeys(name for document in documents for name in document))
    columns: dict[str, Show] = {name: partial(_text_of, name) for name in names}
    _print_table(documents, columns)


def aggregations(documents: list[Document]) -> None:
    """Aggregations: a line a value, or a group."""
    lines = [
        {**document, **group}
        for document in documents
        for group in (document.get("Groups") or [{"Value": document.get("Value", "none")}])
    ]
    columns: dict[str, Show] = {
        "Aggregation": lambda d: f"{d['Operation']} of {d['Field']}",
        "Value": lambda d: f"{d['Value']:,.15g}" if isinstance(d["Value"], float) else d["Value"],
        "Files": lambda d: f"{d['Count']:,}" if "Count" in d else "",
    }
    if not any("Count" in line for line in lines):
        del columns["Files"]
    _print_table(lines, columns, numeric=("Files",))


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


def notifications(documents: list[Document]) -> None:
    """Notifications: of what, where to, how far, why not."""
    columns: dict[str, Show] = {
        "Notification": lambda d: d["NotificationId"],
        "State": lambda d: d["Delivery"],
        "Event": lambda d: d["EventType"],
        "To": lambda d: d.get("Topic") or d["Url"],
        "Tries": lambda d: f"{d['Attempts']:,}",
        "Asked": lambda d: _to_the_second(d["CreateTime"]),
        "Reason": lambda d: d.get("Reason", ""),
    }
    _print_table(documents, columns, numeric=("Tries",))


def rows(names: list[str], values: list[list[str]]) -> None:
    """Rows of any query: a column a name."""
    columns: dict[str, Show] = {name: partial(_text_of, name) for name in names}
    _print_table([dict(zip(names, row, strict=True)) for row in values], columns)


def checks(documents: list[Document]) -> None:
    """Tests of the data, a line each; then the rows that break them."""
    columns: dict[str, Show] = {
        "Test": lambda d: d["Name"],
        "What must hold": lambda d: d["Holds"],
        "Tables": lambda d: f"{len(set(d['Tables'])):,}",
        "Result": lambda d: "ok" if d["Passed"] else f"{sum(f['Rows'] for f in d['Findings']):,} rows break it",
    }
    _print_table(documents, columns, numeric=("Tables",))
    for document in documents:
        for finding in document["Findings"]:
            _heading(f"{document['Name']}: {finding['Rows']:,} rows of {finding['Table']}")
            rows = finding["Examples"]
            _print_table(rows, {name: _field(name) for name in rows[0]})


def task(document: Document) -> None:
    """All that is known of a task, a line each."""
    _print_fields(document)


def explanation(document: Document) -> None:
    """Why a cluster exists, from what it is down to what was done to it."""
    cluster = document["Cluster"]
    name = cluster.get("Title") or cluster.get("ProposedTitle") or cluster.get("Name") or cluster["ObjectId"]
    _heading(f"{name} ({document['Status']})")
    _print_fields({name: value for name, value in cluster.items() if not isinstance(value, dict | list)})
    _heading("Options in force")
    _print_fields(document["Options"])
    evidence = [("Evidence", "Evidence: the days with files at this place")]
    if "Pairs" in document:
        evidence = [("Evidence", "Evidence: its pictures"), ("Pairs", "Pairs of similar ones among them")]
    elif "FaceCount" in cluster:
        evidence = [("Evidence", _of_faces(len(document["Evidence"]), cluster["FaceCount"]))]
    for name, heading in (
        *evidence,
        ("Runs", "Runs that wrote it"),
        ("Events", "Events"),
        ("Edits", "Edits"),
    ):
        _heading(heading)
        unsaid = _ALIKE | _UNSAID.get(name, set())
        rows = [{key: row[key] for key in row if key not in unsaid} for row in document[name]]
        _print_table(rows, {key: _field(key) for key in dict.fromkeys(key for row in rows for key in row)})


def column_lineage(lineage: TableLineage) -> None:
    """Where each column of a table comes from, and what decides which rows it has."""
    rows = [{"Column": name, "From": in_words(origins)} for name, origins in lineage.columns.items()]
    if lineage.rows:
        rows.append({"Column": "(which rows)", "From": in_words(lineage.rows)})
    _print_table(rows, {"Column": _field("Column"), "From": _field("From")})


def _of_faces(shown: int, faces: int) -> str:
    return "Evidence: the faces, founders first" + (f"; {shown:,} of {faces:,}" if 0 < shown < faces else "")


# Alike in all rows about one cluster, or said by others.
_ALIKE = {"ProjectName", "DatasetName", "ObjectId", "Level", "PlaceKey", "ConfigHash"}
_UNSAID = {
    "Evidence": {"RunId", "Fingerprint"},
    "Pairs": {"Fingerprint", "OtherFingerprint"},
    "Events": {"Kind"},
    "Edits": {"Kind"},
}


def name_of(cluster: Row) -> str:
    """A cluster in a sentence: title, days, id."""
    return f"{cluster['title']}, {days_text(cluster['first_day'], cluster['last_day'])} ({cluster['object_id']})"


def name_of_similar(cluster: Row) -> str:
    """Similar images in a sentence: title or what they are, and id."""
    return f"{cluster['title'] or '{files:,} {kind}'.format_map(cluster)} ({cluster['object_id']})"


def name_of_person(person: Row) -> str:
    """A person in a sentence: name or how many faces, and id."""
    return f"{person['title'] or 'a person of {faces:,} faces'.format_map(person)} ({person['object_id']})"


def printable(text: str) -> str:
    r"""Text that cannot move the cursor, ring or recolour: control characters are shown, not sent.

    >>> print(printable("a\x1b[31mb"))
    a\x1b[31mb
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _dates(document: Document) -> str:
    first, last = document["LocationDateClusterStartTime"], document["LocationDateClusterEndTime"]
    return days_text(date.fromisoformat(first[:10]), date.fromisoformat(last[:10]))


def _title(document: Document) -> str:
    title: str = document.get("Title") or document["ProposedTitle"]
    return title


def _names(document: Document) -> set[str]:
    return set(document["Addresses"][0].values())


def _cover_score(document: Document) -> str:
    """The ImageScore of the cover, if it is among the pictures that are at hand."""
    cover = document["Cover"]["URI"]
    return next((f"{file['ImageScore']:.2f}" for file in document.get("Files", ()) if file["URI"] == cover), "")


def _kept(document: Document) -> int:
    return sum(bool(file.get("Keep")) for file in document.get("Files", ()))


def _to_the_second(time: str) -> str:
    return time.replace("T", " ").rstrip("Z").partition(".")[0]


def _text_of(name: str, document: Document) -> str:
    return _text(document[name]) if name in document else ""


def _field(key: str) -> Show:
    return lambda document: _text(document.get(key, ""))


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={item}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


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
