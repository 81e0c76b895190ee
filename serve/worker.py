"""The worker: a process that carries out what the endpoint accepted, in order, in one warm session.

    requests -> files, file_notes | clusters -> tasks, requests

`python -m serve.worker --lake URI`; it ends when its standard input does, after the run under way. What is asked and
not done is done by the next worker: every step is harmless to repeat.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import logging
import os
import select
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from catalog.commits import remove
from catalog.edits import read_edits
from catalog.figures import Change, update_person
from catalog.file_notes import Key, note_files, read_file_notes, replaced_by
from catalog.lake import Lake, Row, Scope
from catalog.projects import count_files
from catalog.requests import Piece, append_step, expire_requests, read_pending
from catalog.sql import all_of, equals, literal, one_of
from catalog.tasks import append_task_state, get_task
from schemas.cluster_events import CLUSTER_EVENTS
from schemas.cluster_kinds import GROUPS, PEOPLE
from schemas.contract import ADDRESS, LEVELS
from schemas.dataset_state import DATASET_STATE
from schemas.datasets import DATASETS
from schemas.errors import LakeAlbumError, NotFound
from schemas.file_notes import FILE_NOTES
from schemas.lake import TABLES
from schemas.projects import DATASET_SETTINGS
from schemas.rejected import REJECTED
from schemas.requests import REQUESTS
from serve.notifications import Notifier, Topics

log = logging.getLogger("lakealbum")

BATCH = 20_000
"""Pieces that are looked at, at once."""
MOST_TRIES = 3
"""As often is a piece begun that ends the worker each time; then it failed."""
FEWER_BITS = 4
"""By how many powers of two fewer pieces go together each time that they ended the worker."""
LOOK_SECONDS = 2.0
"""How long an idle worker waits for a sign before it looks by itself."""
EXPIRE_SECONDS = 900.0

INDEX, UPDATE, DELETE = "index", "update", "delete"
FILE_WORK = {
    "IndexFileMeta": INDEX,
    "BatchIndexFileMeta": INDEX,
    "UpdateFileMeta": UPDATE,
    "BatchUpdateFileMeta": UPDATE,
    "DeleteFileMeta": DELETE,
    "BatchDeleteFileMeta": DELETE,
}
"""Operation -> what it does to a file."""
FILE_COLUMNS: Mapping[str, pa.DataType] = {
    "media_type": pa.string(),
    "content_type": pa.string(),
    "file_hash": pa.string(),
    "produce_time": pa.string(),
    "latitude": pa.string(),
    "longitude": pa.string(),
    "address": ADDRESS,
    "title": pa.string(),
    "labels": pa.list_(pa.string()),
}
"""What an InputFile can say of a file of the lake."""
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass
class FileWork:
    """What is to be done to one file, by all that was asked of it: perhaps removed, then perhaps indexed."""

    remove: bool = False
    index: dict[str, Any] | None = None
    whole: bool = False
    """Whether `index` takes the place of what was said of the file, or is laid over it."""
    asked: datetime = _LONG_AGO

    def add(self, piece: Piece) -> None:
        """What another piece, asked later, makes of it."""
        kind = FILE_WORK[piece.operation]
        if kind == DELETE:
            self.remove, self.index, self.whole = True, None, False
        elif kind == INDEX:
            self.index, self.whole = dict(piece.parameters["File"]), True
        elif self.index is not None or not self.remove:
            self.index = {**(self.index or {}), **piece.parameters["File"]}
        self.asked = piece.ask_time


@dataclass(frozen=True)
class Group:
    """Pieces that one run carries out: of one project, and of one kind of work with the same options."""

    what: tuple[str, ...]
    project: str
    pieces: list[Piece] = field(default_factory=list)

    @property
    def datasets(self) -> tuple[str, ...]:
        """The datasets that it is about."""
        return tuple(sorted({piece.dataset_name for piece in self.pieces}))


def next_group(pending: Sequence[Piece]) -> Group:
    """The pieces that go with the first one.

    Later pieces join where nothing else of their dataset waits before them: each dataset's work stays in order.
    """
    first = pending[0]
    group = Group(_what(first), first.project_name)
    waiting: set[tuple[str, str]] = set()
    for piece in pending:
        place = piece.project_name, piece.dataset_name
        if place in waiting:
            continue
        if _what(piece) == group.what and piece.project_name == group.project:
            group.pieces.append(piece)
        else:
            waiting.add(place)
    return group


def _what(piece: Piece) -> tuple[str, ...]:
    """Which work a piece is: of the same one, with the same options, one run is enough."""
    if piece.operation in FILE_WORK:
        return ("files",)
    if piece.operation == "CreateFigureClustersMergingTask":
        return piece.operation, piece.piece_id
    options = {name: piece.parameters.get(name) for name in ("DateOptions", "LocationOptions")}
    return piece.operation, json.dumps(options, sort_keys=True)


def carry_out(lake: Lake, group: Group) -> None:
    """Does the work of a group. Raises what its job raises."""
    if group.what == ("files",):
        _carry_out_files(lake, group)
    else:
        DATASET_WORK[group.what[0]](lake, group)


def _carry_out_files(lake: Lake, group: Group) -> None:
    works: dict[Key, FileWork] = {}
    for piece in group.pieces:
        assert piece.uri is not None, piece.operation
        works.setdefault((piece.dataset_name, piece.uri), FileWork()).add(piece)
    for dataset in group.datasets:
        removed = [uri for (of, uri), work in works.items() if of == dataset and work.remove]
        _remove_files(lake, group.project, dataset, removed, until=group.pieces[-1].ask_time)
    indexed = {key: work for key, work in works.items() if work.index is not None}
    if indexed:
        _say_more(lake, group.project, indexed)
        _index_files(lake, group.project, indexed)


def _remove_files(lake: Lake, project: str, dataset: str, uris: Sequence[str], *, until: datetime) -> None:
    """Removes those files that are there, and what was noted to hide them, but for what was asked later."""
    from jobs.remove_files import RemoveFiles, remove_files
    from jobs.runtime.runs import run_job

    if not uris:
        return
    scope = Scope(project, (dataset,))
    where = all_of([scope.condition(lake), "deleted_time IS NULL", one_of("uri", uris)])
    there = [row["uri"] for row in lake.read(f"SELECT uri FROM files WHERE {where}", "files")]
    if there:
        config = RemoveFiles(lake=lake.root, project=project, dataset=(dataset,), uri=tuple(there))
        with run_job(config, job="remove-files", task_type="FileRemoving") as run:
            remove_files(run, config)
    if lake.has(FILE_NOTES.name):
        noted = all_of(
            [scope.condition(lake, bucketed=False), f"removed_time <= {literal(until)}", one_of("uri", uris)]
        )
        remove(lake.root, FILE_NOTES, noted)


def _say_more(lake: Lake, project: str, works: Mapping[Key, FileWork]) -> None:
    """Writes down what InputFiles say that `files` has no column for, before the files show."""
    scope = Scope(project, tuple(sorted({dataset for dataset, _ in works})))
    there = read_file_notes(lake, scope, [uri for _, uri in works])
    changes = {}
    for key, work in works.items():
        if work.whole and work.index is not None:
            change = replaced_by(work.index, work.asked)
            if key in there or change(None) is not None:
                changes[key] = change
    note_files(lake, project, changes, datetime.now(UTC))


def _index_files(lake: Lake, project: str, works: Mapping[Key, FileWork]) -> None:
    """Indexes files by one run: a source for each set of columns that files are told of."""
    from jobs.index_files import IndexFiles, index_files
    from jobs.runtime.runs import run_job

    rows: dict[tuple[str, ...], list[Row]] = {}
    for (dataset, uri), work in works.items():
        told = file_columns(work.index or {}, lake.settings.language, whole=work.whole)
        if told:
            rows.setdefault(tuple(sorted(told)), []).append({"dataset_name": dataset, "uri": uri, **told})
    if not rows:
        return
    with tempfile.TemporaryDirectory(prefix="lakealbum-") as folder:
        sources = []
        for number, (columns, listed) in enumerate(rows.items(), start=1):
            types = {"dataset_name": pa.string(), "uri": pa.string(), **{name: FILE_COLUMNS[name] for name in columns}}
            path = Path(folder) / f"IndexFileMeta-{number}.parquet"
            pq.write_table(pa.Table.from_pylist(listed, schema=pa.schema(types)), path)
            sources.append(str(path))
        config = IndexFiles(lake=lake.root, project=project, source=tuple(sources), format="parquet")
        with run_job(config, job="index-files", task_type="FileIndexing") as run:
            index_files(run, config)


def file_columns(document: Mapping[str, Any], language: str, *, whole: bool) -> Row:
    """The columns of a file that an InputFile tells: all of them if it is the whole of it, else those given."""
    latitude, _, longitude = (document.get("LatLong") or "").partition(",")
    addresses = document.get("Addresses") or []
    told = {
        "media_type": document.get("MediaType"),
        "content_type": document.get("ContentType"),
        "file_hash": document.get("FileHash"),
        "produce_time": document.get("ProduceTime"),
        "latitude": latitude.strip() or None,
        "longitude": longitude.strip() or None,
        "address": _address(addresses, language),
        "title": document.get("Title"),
        "labels": [label["LabelName"] for label in document.get("Labels") or [] if label.get("LabelName")] or None,
    }
    return told if whole else {name: value for name, value in told.items() if value is not None}


def _address(addresses: Sequence[Mapping[str, str]], language: str) -> dict[str, str | None] | None:
    """The address in the lake's language, else the first."""
    if not addresses:
        return None
    spoken = [each for each in addresses if (each.get("Language") or "").lower().partition("-")[0] == language]
    chosen = (spoken or list(addresses))[0]
    return {level: chosen.get(level.capitalize()) for level in LEVELS}


def _cluster_location_dates(lake: Lake, group: Group) -> None:
    from jobs.cluster_location_dates import TASK_TYPE, ClusterLocationDates, cluster_location_dates
    from jobs.runtime.runs import run_job

    asked = group.pieces[0].parameters
    days = asked["DateOptions"]
    config = ClusterLocationDates(
        lake=lake.root,
        project=group.project,
        dataset=group.datasets,
        gap_days=days["GapDays"],
        min_days=days["MinDays"],
        max_days=days["MaxDays"],
        levels=tuple(asked["LocationOptions"]["LocationDateClusterLevels"]),
        **_caller(group),
    )
    with run_job(config, job="cluster-location-dates", task_type=TASK_TYPE, asked=_task_of(lake, group)) as run:
        cluster_location_dates(run, config)


def _cluster_similar_images(lake: Lake, group: Group) -> None:
    from jobs.cluster_similar_images import TASK_TYPE, ClusterSimilarImages, cluster_similar_images
    from jobs.runtime.runs import run_job

    for number, (options, datasets) in enumerate(_by_options(lake, group, GROUPS.name)):
        config = ClusterSimilarImages(
            lake=lake.root, project=group.project, dataset=datasets, **options, **_caller(group)
        )
        asked = _task_of(lake, group) if number == 0 else None
        with run_job(config, job="cluster-similar-images", task_type=TASK_TYPE, asked=asked) as run:
            cluster_similar_images(run, config)


def _cluster_figures(lake: Lake, group: Group) -> None:
    from jobs.cluster_figures import TASK_TYPE, ClusterFigures, cluster_figures
    from jobs.runtime.runs import run_job

    for number, (options, datasets) in enumerate(_by_options(lake, group, PEOPLE.name)):
        config = ClusterFigures(lake=lake.root, project=group.project, dataset=datasets, **options, **_caller(group))
        asked = _task_of(lake, group) if number == 0 else None
        with run_job(config, job="cluster-figures", task_type=TASK_TYPE, asked=asked) as run:
            cluster_figures(run, config)


def _merge_figures(lake: Lake, group: Group) -> None:
    """Writes down that people are one, unless a worker before did, and clusters their faces again."""
    piece = group.pieces[0]
    scope, into = Scope(group.project, group.datasets), piece.parameters["To"]
    edits = read_edits(lake, scope, PEOPLE.name)
    merged = {edit["object_id"] for edit in edits if edit["action"] == "merge" and edit["other_id"] == into}
    if froms := [object_id for object_id in piece.parameters["Froms"] if object_id not in merged]:
        update_person(lake, scope, into, Change(merge=tuple(froms)))
    _cluster_figures(lake, group)


def _purge(lake: Lake, group: Group) -> None:
    """Deletes what is left of datasets that were deleted, unless files have come to a new one of the name since."""
    for dataset in group.datasets:
        scope = Scope(group.project, (dataset,))
        if count_files(lake, scope).files:
            continue
        for contract in TABLES.values():
            names = set(contract.names)
            if contract in KEPT or not {"project_name", "dataset_name"} <= names or not lake.has(contract.name):
                continue
            ours = scope.condition(lake, bucketed="bucket" in names)
            if lake.count(f"{contract.name} WHERE {ours}", contract.name):
                remove(lake.root, contract, ours)


KEPT = (DATASETS, DATASET_SETTINGS, CLUSTER_EVENTS, REQUESTS, REJECTED)
"""Tables that tell of a deleted dataset as before: what happened, and the names that may be in use again."""
DATASET_WORK: Mapping[str, Callable[[Lake, Group], None]] = {
    "CreateLocationDateClusteringTask": _cluster_location_dates,
    "CreateSimilarImageClusteringTask": _cluster_similar_images,
    "CreateFigureClusteringTask": _cluster_figures,
    "CreateFigureClustersMergingTask": _merge_figures,
    "DeleteDataset": _purge,
}
"""Operation -> how its work is done, for work on whole datasets."""


def _by_options(lake: Lake, group: Group, kind: str) -> Iterator[tuple[dict[str, Any], tuple[str, ...]]]:
    """The datasets by the options in force for them; those never clustered go by the defaults."""
    scope = Scope(group.project, group.datasets)
    where = all_of([scope.condition(lake), equals("kind", kind)])
    rows = lake.read(f"SELECT dataset_name, options FROM dataset_state WHERE {where}", DATASET_STATE.name)
    in_force = {row["dataset_name"]: row["options"] for row in rows}
    alike: dict[str, list[str]] = {}
    for dataset in group.datasets:
        alike.setdefault(in_force.get(dataset, "{}"), []).append(dataset)
    for options, datasets in alike.items():
        yield json.loads(options), tuple(datasets)


def _caller(group: Group) -> dict[str, Any]:
    """What the caller wants kept with the task."""
    asked = group.pieces[0].parameters
    return {"user_data": asked.get("UserData"), "tag": asked.get("Tags") or {}}


def _task_of(lake: Lake, group: Group) -> dict[str, object]:
    """The task of the first piece, as it was promised to its caller."""
    state = _state(lake, group.pieces[0])
    kept = ("task_id", "task_type", "dataset_names", "event_id", "request_id", "start_time", "tags", "user_data")
    return {name: state[name] for name in kept if name in state}


def _state(lake: Lake, piece: Piece) -> Row:
    """The last state of a piece's task."""
    assert piece.task_id is not None, piece.operation
    try:
        return {name: value for name, value in get_task(lake, piece.task_id).items() if name != "sort_end_time"}
    except NotFound:  # it expired while it waited
        return {"task_id": piece.task_id}


class Work:
    """The work of one lake, a group at a time."""

    def __init__(self, root: str, notifier: Notifier | None = None) -> None:
        self.lake = Lake(root)
        self._notifier = notifier
        self._seen = -1
        self._expired = time.monotonic()

    def do_some(self) -> bool:
        """Carries out the next group, if there is one. Returns whether there was."""
        table = self.lake.table(REQUESTS)
        version = -1 if table is None else table.version()
        if version == self._seen:
            return False
        pending = read_pending(self.lake, BATCH)
        if not pending:
            self._seen = version
            self._tidy()
            return False
        self._do(next_group(pending))
        return True

    def _do(self, group: Group) -> None:
        first = group.pieces[0]
        if first.tries >= MOST_TRIES:
            self._end([first], "Lost", f"{first.operation} ended the worker {first.tries} times")
            return
        del group.pieces[max(1, len(group.pieces) >> FEWER_BITS * first.tries) :]  # one of them may end the worker
        append_step(self.lake.root, [first], "started")
        log.info("work", extra={"what": group.what[0], "project": group.project, "pieces": len(group.pieces)})
        try:
            carry_out(self.lake, group)
        except LakeAlbumError as error:
            log.error("work failed", extra={"what": group.what[0], "reason": str(error)[:500]})
            if len(group.pieces) > 1:
                self._one_by_one(group)
            else:
                self._end(group.pieces, error.code, str(error))
        else:
            self._end(group.pieces)

    def _one_by_one(self, group: Group) -> None:
        """Of pieces that failed together, those that are good are done, and the others fail by themselves."""
        halves = group.pieces[: len(group.pieces) // 2], group.pieces[len(group.pieces) // 2 :]
        for half in halves:
            self._do(Group(group.what, group.project, list(half)))

    def _end(self, pieces: Sequence[Piece], code: str | None = None, message: str | None = None) -> None:
        """Tells tasks what became of them, then takes the pieces out of the queue."""
        for piece in pieces:
            if piece.task_id is not None:
                self._end_task(piece, code, message)
        if self._notifier:  # before the pieces leave the queue: killed in between, it is told twice
            self._notifier.ended(self.lake, pieces, code, message)
        append_step(self.lake.root, pieces, "failed" if code else "done", message)

    def _end_task(self, piece: Piece, code: str | None, message: str | None) -> None:
        state, now = _state(self.lake, piece), datetime.now(UTC)
        if state.get("status") in ("Succeeded", "Failed") and state.get("code") != "Lost":
            return
        if "task_type" not in state:
            return
        ended = {"status": "Failed" if code else "Succeeded", "code": code, "message": message}
        progress = state["progress"] if code else 100
        append_task_state(self.lake.root, {**state, **ended, "progress": progress, "end_time": now, "update_time": now})

    def _tidy(self) -> None:
        if time.monotonic() - self._expired > EXPIRE_SECONDS:
            self._expired = time.monotonic()
            expire_requests(self.lake, datetime.now(UTC))


@contextmanager
def only_worker(root: str) -> Iterator[None]:
    """Waits until no other process works on the lake, and keeps others waiting; on one machine, of a local lake."""
    if "://" in root:
        yield
        return
    lock = os.open(Path(root) / ".worker.lock", os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def is_wanted(seconds: float) -> bool:
    """Waits for a sign from the server, so long at most. Returns False once the server has hung up."""
    ready, _, _ = select.select([sys.stdin.fileno()], [], [], seconds)
    return not ready or bool(os.read(sys.stdin.fileno(), 65536))


def main(arguments: Iterable[str] | None = None) -> int:
    """Works until the server hangs up."""
    from jobs.runtime.progress import configure_logging

    parser = argparse.ArgumentParser(prog="serve.worker")
    parser.add_argument("--lake", required=True)
    parser.add_argument("--notifications", type=Path)
    parser.add_argument("--once", action="store_true", help="End when nothing is left to do.")
    options = parser.parse_args(None if arguments is None else list(arguments))
    configure_logging()
    signal.signal(signal.SIGTERM, lambda number, _: os._exit(128 + number))  # the next worker does what this one was at
    with only_worker(options.lake):
        topics = Topics.read(options.notifications) if options.notifications else Topics()
        notifier = Notifier(options.lake, topics)
        notifier.start()
        try:
            _work(Work(options.lake, notifier), once=options.once)
        finally:
            notifier.stop()
    return 0


def _work(work: Work, *, once: bool) -> None:
    if once:
        while work.do_some():
            pass
        return
    while is_wanted(0 if work.do_some() else LOOK_SECONDS):
        pass


if __name__ == "__main__":
    sys.exit(main())
