"""Made-up libraries through time: what is delivered, corrected, removed, asked for and deleted, step by step.

Everything is a function of a seed, of the step, and of the clusters that people see; so the same histories can be run
by any code that computes trips.
"""

from __future__ import annotations

import hashlib
import io
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Protocol, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as csv

from schemas.cluster_edits import CLUSTER_EDITS
from schemas.contract import LEVELS
from schemas.keys import CLUSTER_KEY, DATASET_KEY, DAY_KEY
from schemas.lake import bucket_of
from transforms.tables.actions import ACTION
from transforms.tables.keyed import anti_join, semi_join, union_by_name, with_columns
from transforms.trips.carrying import SEGMENTS
from transforms.trips.clusters import CLUSTERS
from transforms.trips.days import DAYS as DAYS_SCHEMA
from transforms.trips.days import FILE_COLUMNS, NAMES
from transforms.trips.events import EVENTS

Row = dict[str, Any]
Item = TypeVar("Item")

PROJECT = "golden"
STEPS = 8
BUCKETS = 16
PLACES = (
    "fr/occitanie/toulouse//",
    "fr/occitanie/albi//",
    "fr/rhône/lyon/5e/",
    "fr/rhône/lyon/5e/fourvière",
    "fr/rhône/lyon//",
    "sg/sg/sg//",
    "日本/東京/東京/渋谷/",
    "日本/東京/東京/新宿/",
    "us/maine/portland//",
    "us/oregon/portland//",
)
"""Full place keys, some of which share a prefix, and some of which miss a level."""
FIRST_DAYS = (date(2024, 2, 20), date(1582, 9, 25), date(9999, 11, 10), date(1, 1, 2), date(1969, 12, 20))
"""Where calendars and epochs turn; most histories begin on the first."""
SPAN_DAYS = 25
OPTIONS: tuple[Row, ...] = (
    {"gap_days": 1, "min_days": 1, "max_days": 15, "levels": ("province", "city")},
    {"gap_days": 1, "min_days": 2, "max_days": 15, "levels": ("province", "city")},
    {"gap_days": 4, "min_days": 1, "max_days": 99999, "levels": ("country", "city", "district")},
    {"gap_days": 0, "min_days": 1, "max_days": 6, "levels": LEVELS},
)
PLAN = (0, 2, 0, 1, 3, 0, 2, 1)
"""Of each step, which options are asked for: there and back, with levels dropped and regained."""
FULL = (5,)
"""Steps that ask for --full."""
WITHOUT_FEEDS = 3
"""The step that finds all change feeds gone."""
FILES = pa.schema(
    [
        ("bucket", pa.int32()),
        *((name, pa.string()) for name in ("project_name", "dataset_name", "place_key")),
        ("local_date", pa.date32()),
        *((name, pa.string()) for name in (*NAMES, "uri", "media_type")),
        ("produce_time", pa.timestamp("us", tz="UTC")),
        ("utc_offset", pa.int32()),
        ("cover_rank", pa.int64()),
    ]
)
assert tuple(FILES.names) == FILE_COLUMNS
STATES = pa.schema(
    [
        *(field for field in FILES if field.name in DATASET_KEY),
        ("options", pa.string()),
        ("evidence_version", pa.int64()),
        ("edits_version", pa.int64()),
        ("is_stale", pa.bool_()),
    ]
)
EDITS = pa.schema([pa.field("bucket", pa.int32()), *CLUSTER_EDITS.arrow_schema])


def pick(chance: random.Random, items: Sequence[Item]) -> Item:
    """One of `items`; by random() alone, which gives the same in every version of Python."""
    return items[int(chance.random() * len(items))]


@dataclass
class Library:
    """One dataset: its files as they are now."""

    name: str
    first_day: date
    places: tuple[str, ...]
    files: dict[str, Row] = field(default_factory=dict)
    made: int = 0

    @property
    def key(self) -> Row:
        """The dataset's key."""
        return dict(zip(DATASET_KEY, (bucket_of(PROJECT, self.name, BUCKETS), PROJECT, self.name), strict=True))

    def change(self, chance: random.Random) -> Iterator[tuple[Row | None, Row | None]]:
        """Changes of some files, each as (before, after), None where there is no such row."""
        for uri in list(self.files):
            if chance.random() < 0.08:
                what = pick(chance, ("correct", "correct", "remove", "rank", "drop"))
                before = self.files.pop(uri)
                if what == "drop":
                    yield before, None
                elif what in ("remove", "rank"):
                    self.files[uri] = {**before, "cover_rank": 2 if what == "remove" else -int(chance.random() * 3)}
                    yield before, self.files[uri]
                else:
                    yield before, self._put(chance, uri)
        for _ in range(int(chance.random() * chance.random() * 5)):
            self.made += 1
            uri = f"{pick(chance, ('é', 'z', 'Z', '😀', '￿'))}{self.made % 7}/{self.made}.jpg"
            yield None, self._put(chance, uri)

    def _put(self, chance: random.Random, uri: str) -> Row:
        place = pick(chance, self.places)
        day = self.first_day + timedelta(days=int(chance.random() * SPAN_DAYS))
        offset = pick(chance, (0, 60, 480, -300))
        noon = datetime(day.year, day.month, day.day, 12 + int(chance.random() * 2), tzinfo=UTC)
        dated = chance.random() < 0.95
        video = chance.random() < 0.25
        parts = [part or None for part in place.split("/")]
        names = [part and (part.upper() if chance.random() < 0.3 else part) for part in parts]
        codes = [part and (part[:2] if chance.random() < 0.8 else None) for part in parts]
        row = {
            **self.key,
            **dict(zip(NAMES, (*names, *codes), strict=True)),
            "place_key": place,
            "local_date": day if dated else None,
            "uri": uri,
            "media_type": "video" if video else "image",
            "produce_time": noon - timedelta(minutes=offset) if dated else None,
            "utc_offset": offset if dated else None,
            "cover_rank": 1 if video else -int(chance.random() * 3),
        }
        self.files[uri] = row
        return row


@dataclass(frozen=True)
class Turn:
    """What happens in one step: changes of `file_places` as its change feed, then a clustering of some datasets.

    `feeds_are_gone` where all that a step follows has lost its change feed, so that whole tables are compared.
    """

    step: int
    feed: pa.Table
    options: Row
    full: bool
    feeds_are_gone: bool
    asked: frozenset[str]

    @property
    def now(self) -> datetime:
        """When the clustering runs."""
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=self.step)

    @property
    def version(self) -> int:
        """The version of the tables that the step's commits make."""
        return self.step + 1


class Engine(Protocol):
    """What computes trips: each method gives the rows of one table that must change, all its columns but run_id."""

    def change_days(self, turn: Turn, *, files: pa.Table, days: pa.Table) -> pa.Table:
        """Of `place_days`."""
        ...

    def change_segments(
        self, turn: Turn, *, days: pa.Table, feed: pa.Table, segments: pa.Table, edits: pa.Table, states: pa.Table
    ) -> pa.Table:
        """Of `location_date_segments`; `feed` is that of `place_days`, `states` have the datasets asked for."""
        ...

    def change_clusters(self, turn: Turn, *, feed: pa.Table, segments: pa.Table, clusters: pa.Table) -> pa.Table:
        """Of `location_date_clusters`; `feed` is that of `location_date_segments`."""
        ...

    def derive_events(
        self, turn: Turn, *, feed: pa.Table, segments: pa.Table, clusters: pa.Table, events: pa.Table
    ) -> pa.Table:
        """New rows of `cluster_events`; `feed` is that of `location_date_clusters`."""
        ...


KEYS: dict[str, tuple[str, ...]] = {
    "days": DAY_KEY,
    "segments": CLUSTER_KEY,
    "clusters": CLUSTER_KEY,
    "events": (*CLUSTER_KEY, "cluster_version", "event"),
}
"""The keys of the tables that a step changes."""


def play(histories: Histories, engine: Engine) -> Iterator[tuple[Turn, dict[str, pa.Table]]]:
    """Runs an engine through the steps: per step the changes of each table, by the names of KEYS."""
    files = FILES.empty_table()
    tables = {"days": DAYS_SCHEMA, "segments": SEGMENTS, "clusters": CLUSTERS, "events": EVENTS}
    days, segments, clusters, events = (schema.empty_table() for schema in tables.values())
    days_feeds: list[pa.Table] = []
    states: dict[str, Row] = {}
    for step in range(STEPS):
        turn = histories.turn(step)
        commit = {"version": turn.version, "now": turn.now}
        files = files_after(files, turn.feed)
        days_changes = engine.change_days(turn, files=files, days=days)
        days_feeds.append(feed_of(days, days_changes, key=DAY_KEY, **commit))
        days = put_changes(days, days_changes, key=DAY_KEY)

        changes = engine.change_segments(
            turn,
            days=days,
            feed=union_by_name(*days_feeds),
            segments=segments,
            edits=histories.edits_table(),
            states=histories.states_table(turn, states),
        )
        segments_feed = feed_of(segments, changes, key=CLUSTER_KEY, **commit)
        segments = put_changes(segments, changes, key=CLUSTER_KEY)
        cluster_changes = engine.change_clusters(turn, feed=segments_feed, segments=segments, clusters=clusters)
        clusters_feed = feed_of(clusters, cluster_changes, key=CLUSTER_KEY, **commit)
        clusters = put_changes(clusters, cluster_changes, key=CLUSTER_KEY)
        told = engine.derive_events(turn, feed=clusters_feed, segments=segments, clusters=clusters, events=events)
        events = union_by_name(events, told)

        state = {"options": repr(turn.options), "evidence_version": turn.version, "edits_version": len(histories.edits)}
        states |= dict.fromkeys(turn.asked, state)
        histories.edit(step, clusters)
        yield turn, dict(zip(KEYS, (days_changes, changes, cluster_changes, told), strict=True))


@dataclass
class Histories:
    """Some datasets through time."""

    libraries: list[Library]
    edits: list[Row] = field(default_factory=list)

    @classmethod
    def begin(cls, count: int) -> Histories:
        """`count` empty datasets."""
        libraries = []
        for number in range(count):
            chance = random.Random(f"library {number}")
            first_day = FIRST_DAYS[0] if chance.random() < 0.7 else pick(chance, FIRST_DAYS)
            places = tuple(pick(chance, PLACES) for _ in range(1 + int(chance.random() * 3)))
            libraries.append(Library(f"d{number:04d}", first_day, places))
        return cls(libraries)

    def turn(self, step: int) -> Turn:
        """The step's changes, in two commits of `file_places`, and what is asked for."""
        rows: list[Row] = []
        asked = set()
        for library in self.libraries:
            chance = random.Random(f"step {step} of {library.name}")
            if chance.random() < 0.75:
                asked.add(library.name)
            for part in range(2):
                version = {"_commit_version": 2 * step + part + 1}
                for before, after in library.change(chance):
                    if before is None or after is None:
                        rows.append(
                            {**(before or after or {}), "_change_type": "delete" if before else "insert", **version}
                        )
                    else:
                        rows += [
                            {**before, "_change_type": "update_preimage", **version},
                            {**after, "_change_type": "update_postimage", **version},
                        ]
        feed = FILES.append(pa.field("_change_type", pa.string())).append(pa.field("_commit_version", pa.int64()))
        table = pa.Table.from_pylist(rows, feed)
        return Turn(step, table, OPTIONS[PLAN[step]], step in FULL, step == WITHOUT_FEEDS, frozenset(asked))

    def states_table(self, turn: Turn, states: dict[str, Row]) -> pa.Table:
        """The datasets asked for, with the state that their last clustering left, and whether they are stale."""
        never = dict.fromkeys(("options", "evidence_version", "edits_version"))
        rows = []
        for library in self.libraries:
            if library.name in turn.asked:
                state = states.get(library.name, never)
                is_stale = turn.full or state["options"] != repr(turn.options)
                rows.append({**library.key, **state, "is_stale": is_stale})
        return pa.Table.from_pylist(rows, STATES)

    def edit(self, step: int, clusters: pa.Table) -> None:
        """People delete some of the clusters that they see, and take some deletions back."""
        seen = clusters.select([*CLUSTER_KEY, "level", "place_key", "first_day", "last_day"])
        seen = seen.sort_by([("dataset_name", "ascending"), ("object_id", "ascending")])
        rows_of: dict[str, list[int]] = {}
        for number, name in enumerate(seen["dataset_name"].to_pylist()):
            rows_of.setdefault(name, []).append(number)
        deleted: dict[str, list[Row]] = {}
        for row in self.edits:
            if row["action"] == "delete":
                deleted.setdefault(row["dataset_name"], []).append(row)
        for library in self.libraries:
            chance = random.Random(f"edits after {step} of {library.name}")
            shown = rows_of.get(library.name, [])
            if shown and chance.random() < 0.15:
                self._add({**seen.slice(pick(chance, shown), 1).to_pylist()[0], "action": "delete"})
            if (gone := deleted.get(library.name)) and chance.random() < 0.3:
                row = pick(chance, gone)
                self._add({**library.key, "object_id": row["object_id"], "action": "undelete"})
            if shown and chance.random() < 0.05:
                object_id = seen["object_id"][shown[0]].as_py()
                self._add({**library.key, "object_id": object_id, "action": "update", "title": "ours"})

    def _add(self, row: Row) -> None:
        now = datetime(2026, 1, 1, tzinfo=UTC)
        self.edits.append({**row, "sequence": len(self.edits) + 1, "kind": "location-date", "edit_time": now})

    def edits_table(self) -> pa.Table:
        """The rows of `cluster_edits` so far, with their bucket."""
        return pa.Table.from_pylist(self.edits, EDITS)


def put_changes(table: pa.Table, changes: pa.Table, *, key: Sequence[str]) -> pa.Table:
    """The table with changes made, as a commit makes them."""
    kept = anti_join(table, changes, on=key)
    put = changes.filter(pc.not_equal(changes[ACTION], "delete"))
    return union_by_name(kept, put) if len(put) else kept


def feed_of(table: pa.Table, changes: pa.Table, *, key: Sequence[str], version: int, now: datetime) -> pa.Table:
    """The change feed of the commit that makes `changes` to a table."""
    rows = changes.select(table.column_names)
    inserted, updated, deleted = (
        rows.filter(pc.equal(changes[ACTION], action)) for action in ("insert", "update", "delete")
    )
    parts = {
        "insert": inserted,
        "update_preimage": semi_join(table, updated, on=key),
        "update_postimage": updated,
        "delete": semi_join(table, deleted, on=key),
    }
    commit = {"_commit_version": pa.scalar(version, pa.int64())}
    commit["_commit_timestamp"] = pa.scalar(now, pa.timestamp("us", tz="UTC"))
    return union_by_name(
        *(with_columns(part, {"_change_type": pa.scalar(kind), **commit}) for kind, part in parts.items())
    )


def files_after(files: pa.Table, feed: pa.Table) -> pa.Table:
    """`file_places` after the commits of a change feed."""
    for version in sorted(pc.unique(feed["_commit_version"]).to_pylist()):
        rows = feed.filter(pc.equal(feed["_commit_version"], version))
        after = rows.filter(pc.is_in(rows["_change_type"], value_set=pa.array(["insert", "update_postimage"])))
        files = union_by_name(anti_join(files, rows, on=(*DATASET_KEY, "uri")), after)
    return files


def canonical(rows: pa.Table, *, key: Sequence[str]) -> pa.Table:
    """The rows in one order, structs as columns of their own, instants and days as numbers."""
    columns = {}
    for name in rows.column_names:
        column = rows[name]
        if pa.types.is_struct(column.type):
            for number, part in enumerate(column.flatten()):
                columns[f"{name}.{column.type.field(number).name}"] = part
        else:
            columns[name] = column
    for name, column in columns.items():
        if pa.types.is_timestamp(column.type):
            columns[name] = column.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64())
        elif pa.types.is_date32(column.type):
            columns[name] = column.cast(pa.int32())
    flat = pa.table(dict(sorted(columns.items())))
    return flat.sort_by([(name, "ascending") for name in key])


def digest(rows: pa.Table, *, key: Sequence[str]) -> str:
    """SHA-256 of the rows as comma-separated values, whatever their order."""
    text = io.BytesIO()
    csv.write_csv(canonical(rows, key=key), text)
    return hashlib.sha256(text.getvalue()).hexdigest()
