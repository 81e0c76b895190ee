"""Random histories of datasets, made again the same each time: what libraries and people did, step by step.

A thousand datasets of one table each: what is told of one does not depend on the others. Names are in several scripts,
so that the order of their bytes differs from that of Java's characters.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import chain, combinations
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from schemas.cluster_edits import CLUSTER_EDITS
from schemas.cluster_events import CLUSTER_EVENTS
from schemas.cluster_kinds import MemberKind
from schemas.keys import CLUSTER_KEY, DATASET_KEY, PAIR_KEY
from transforms.clusters.changing import apply_changes
from transforms.clusters.naming import positions_of
from transforms.tables.actions import ACTION
from transforms.tables.keyed import is_among, with_columns

DATASETS, STEPS, BUCKETS = 1000, 9, 8
NAMES = ("f", "Z", "é", "ﬀ", "😀", "中")
TIME = pa.timestamp("us", tz="UTC")
KEY = [("bucket", pa.int32()), ("project_name", pa.string()), ("dataset_name", pa.string())]
FACES = pa.schema(
    [
        *KEY,
        *((name, pa.string()) for name in ("figure_id", "uri", "media_type")),
        ("age", pa.int32()),
        ("gender", pa.string()),
        ("face_quality", pa.float32()),
    ]
)
FACE_GROUPS = pa.schema(
    [
        *KEY,
        ("figure_id", pa.string()),
        ("representative", pa.string()),
        ("confidence", pa.float64()),
        ("role", pa.string()),
    ]
)
IMAGES = pa.schema(
    [
        *KEY,
        ("uri", pa.string()),
        ("fingerprint", pa.string()),
        ("image_score", pa.float64()),
        *((name, pa.string()) for name in ("content_hash", "shot_id", "camera_make", "camera_model")),
        ("produce_time", TIME),
        ("image_width", pa.int32()),
        ("image_height", pa.int32()),
    ]
)
PAIRS = pa.schema(
    [
        *KEY,
        *((name, pa.string()) for name in ("fingerprint", "other_fingerprint", "signal")),
        ("distance", pa.int32()),
        ("similarity", pa.float64()),
    ]
)
EDITS = pa.schema([("bucket", pa.int32()), *((f.name, f.type) for f in CLUSTER_EDITS.arrow_schema)])
Row = dict[str, Any]
Key = tuple[int, str, str]


def key_of(number: int) -> Key:
    """The key of a dataset."""
    return number % BUCKETS, "p", f"d{number:04}"


def time_of(step: int) -> datetime:
    """When a step is clustered."""
    return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=step)


TIMES = (None, *(time_of(0) + timedelta(seconds=seconds) for seconds in (0, 1, 2.5, 3, 5.25, 9, -4e9, -4e9 + 0.5)))


@dataclass
class State:
    """What the lake's tables say of a kind's clusters."""

    kind: MemberKind
    clusters: pa.Table = field(init=False)
    members: pa.Table = field(init=False)
    events: pa.Table = field(init=False)

    def __post_init__(self) -> None:
        self.clusters = self.kind.table.computed_schema.empty_table()
        self.members = self.kind.members.computed_schema.empty_table()
        self.events = CLUSTER_EVENTS.computed_schema.empty_table()

    def feed(self, changes: pa.Table, *, step: int) -> pa.Table:
        """The change feed of a commit of changes to the clusters."""
        key = tuple(self.kind.table.key)
        action = changes[ACTION]
        names = self.clusters.column_names
        before = self.clusters.filter(pa.array(is_among(self.clusters, changes, on=key)))
        of = action.take(pa.array(positions_of(before, changes, on=key)))
        was = before.append_column("_change_type", pc.if_else(pc.equal(of, "delete"), "delete", "update_preimage"))
        put = changes.filter(pc.not_equal(action, "delete"))
        now = put.select(names).append_column(
            "_change_type", pc.if_else(pc.equal(put[ACTION], "insert"), "insert", "update_postimage")
        )
        fed = pa.concat_tables([was, now.cast(was.schema)])
        return with_columns(
            fed,
            {
                "_commit_version": pa.scalar(step + 1, pa.int64()),
                "_commit_timestamp": pa.scalar(time_of(step), TIME),
            },
        )

    def commit(self, clusters: pa.Table, members: pa.Table, *, killed: pa.Table) -> None:
        """Both commits; of the datasets that are `killed` the first alone."""
        self.clusters = apply_changes(self.clusters, clusters, key=tuple(self.kind.table.key))
        survives = ~is_among(members, killed, on=DATASET_KEY)
        self.members = apply_changes(self.members, members.filter(pa.array(survives)), key=tuple(self.kind.members.key))

    def erasing(self, people: pa.Table) -> pa.Table:
        """The changes by which people (CLUSTER_KEY) are erased."""
        gone = self.clusters.filter(pa.array(is_among(self.clusters, people, on=CLUSTER_KEY)))
        return gone.append_column(ACTION, pa.repeat(pa.scalar("delete"), len(gone)))

    def erase(self, people: pa.Table) -> None:
        """Takes clusters (CLUSTER_KEY) and their members out."""
        self.clusters, self.members = (
            rows.filter(pa.array(~is_among(rows, people, on=CLUSTER_KEY))) for rows in (self.clusters, self.members)
        )

    def ids(self) -> dict[Key, list[tuple[str, str]]]:
        """The ids of each dataset's clusters with their states, in order."""
        found: dict[Key, list[tuple[str, str]]] = {}
        ordered = self.clusters.select([*CLUSTER_KEY, "state"]).sort_by([(name, "ascending") for name in CLUSTER_KEY])
        for *key, object_id, state in zip(*(column.to_pylist() for column in ordered.columns), strict=True):
            found.setdefault(tuple(key), []).append((object_id, state))  # type: ignore[arg-type]
        return found

    def tables(self) -> Iterator[tuple[str, pa.Table, Sequence[str]]]:
        """Each table's name, rows and key."""
        yield "clusters", self.clusters, self.kind.table.key
        yield "members", self.members, self.kind.members.key
        yield "events", self.events, CLUSTER_EVENTS.key

    def of_first(self, table: pa.Table, datasets: int) -> pa.Table:
        """The rows of the first so many datasets."""
        return table.filter(pc.less(table["dataset_name"], key_of(datasets)[2])) if datasets < DATASETS else table

    def digest(self, datasets: int = DATASETS) -> str:
        """SHA-256 of all rows of the first datasets, in order."""
        digest = hashlib.sha256()
        for _, table, key in self.tables():
            ordered = self.of_first(table, datasets).sort_by([(name, "ascending") for name in key])
            for name in ordered.column_names:
                digest.update(name.encode())
                digest.update(_octets(ordered[name]))
        return digest.hexdigest()


def _octets(column: pa.ChunkedArray) -> bytes:
    """What a column says, whatever its buffers are."""
    if pa.types.is_list(column.type):
        column = pc.coalesce(pc.binary_join(column, "\n"), "no list")
    elif pa.types.is_timestamp(column.type):
        column = column.cast(pa.int64())
    there = pc.is_valid(column).to_numpy(zero_copy_only=False).tobytes()
    if pa.types.is_string(column.type):
        return there + "\x1f".join(pc.fill_null(column, "").to_pylist()).encode()
    return there + pc.fill_null(column, 0).to_numpy(zero_copy_only=False).astype("<f8").tobytes()


@dataclass
class Inputs:
    """What a clustering reads at one step: the tables of the evidence by name, and all edits so far."""

    tables: dict[str, pa.Table]
    edits: pa.Table
    killed: pa.Table
    erased: pa.Table


class _Histories:
    """What all datasets did so far; one random generator a dataset, so that none depends on another."""

    def __init__(self, kind: MemberKind, datasets: int) -> None:
        self.kind = kind
        self.keys = [key_of(number) for number in range(datasets)]
        self.rng = {key: random.Random(f"{kind.name} {key}") for key in self.keys}
        self.option = dict.fromkeys(self.keys, 0)
        self.rows: dict[Key, dict[str, Row]] = {key: {} for key in self.keys}
        self.edits: dict[Key, list[Row]] = {key: [] for key in self.keys}
        self.serial = 0

    def steps(self, state: State) -> Iterator[tuple[int, Inputs]]:
        """Step by step what there is; `state` must hold what the step before came to."""
        for step in range(STEPS):
            ids = state.ids()
            killed, erased = [], []
            for key in self.keys:
                rng, live = self.rng[key], ids.get(key, [])
                if rng.random() < 0.2:
                    self.option[key] = rng.choice((0, 0, 1, 2))
                self.deliver(key, rng, step)
                self.remove(key, rng)
                if live and rng.random() < 0.6:
                    self.decide(key, rng, step, live)
                if live and rng.random() < 0.04 and self.kind.name == "figures":
                    erased.append((*key, rng.choice(live)[0]))
                if rng.random() < 0.15 and step < STEPS - 1:
                    killed.append(key)
            keys = pa.schema(KEY)
            gone = pa.Table.from_pylist(
                [dict(zip(CLUSTER_KEY, each, strict=True)) for each in erased],
                keys.append(pa.field("object_id", pa.string())),
            )
            self.forget(gone, state)
            yield (
                step,
                Inputs(
                    self.tables(),
                    pa.Table.from_pylist(list(chain(*self.edits.values())), EDITS),
                    pa.Table.from_pylist([dict(zip(DATASET_KEY, each, strict=True)) for each in killed], keys),
                    gone,
                ),
            )

    def edit(self, key: Key, step: int, object_id: str, action: str, **own: Any) -> None:
        self.serial += 1
        told = {"sequence": self.serial, "kind": self.kind.name, "object_id": object_id, "action": action}
        self.edits[key].append({**dict(zip(DATASET_KEY, key, strict=True)), **told, "edit_time": time_of(step), **own})

    def forget(self, erased: pa.Table, state: State) -> None:
        """Takes the members of erased clusters out of what is delivered."""
        members = state.members.filter(pa.array(is_among(state.members, erased, on=CLUSTER_KEY)))
        columns = (members[name].to_pylist() for name in (*DATASET_KEY, self.kind.member))
        for *key, member in zip(*columns, strict=True):
            self.rows[tuple(key)].pop(member, None)  # type: ignore[index]

    def deliver(self, key: Key, rng: random.Random, step: int) -> None:
        raise NotImplementedError

    def remove(self, key: Key, rng: random.Random) -> None:
        """Files go, with all that they show."""
        if rng.random() < 0.35:
            uris = sorted({row["uri"] for row in self.rows[key].values()})
            lost = set(rng.sample(uris, min(len(uris), rng.choice((1, 1, 2, 4)))))
            self.rows[key] = {name: row for name, row in self.rows[key].items() if row["uri"] not in lost}

    def decide(self, key: Key, rng: random.Random, step: int, ids: list[tuple[str, str]]) -> None:
        raise NotImplementedError

    def tables(self) -> dict[str, pa.Table]:
        raise NotImplementedError


class Libraries(_Histories):
    """Faces, their groups, and what people decide about them."""

    def deliver(self, key: Key, rng: random.Random, step: int) -> None:
        rows = self.rows[key]
        for _ in range(rng.choice((0, 1, 3, 8)) if step else rng.randrange(3, 12)):
            name = f"{rng.choice(NAMES)}{rng.randrange(60)}"
            media = rng.choice(("image", "image", "video"))
            rows[name] = {
                **dict(zip(DATASET_KEY, key, strict=True)),
                "figure_id": name,
                "uri": f"{media}{rng.choice(NAMES)}{rng.randrange(25)}",
                "media_type": media,
                "age": rng.choice((None, 3, 30, 31, 64)),
                "gender": rng.choice((None, "male", "female")),
                "face_quality": rng.choice((None, 0.25, 0.5, 0.9)),
                "_truth": rng.randrange(4),
                "_draw": rng.random(),
            }

    def decide(self, key: Key, rng: random.Random, step: int, ids: list[tuple[str, str]]) -> None:
        person, other = rng.choice(ids)[0], rng.choice(ids)[0]
        faces = sorted(self.rows[key])
        asked = rng.choice(("merge", "merge", "unmerge", "unmerge", "join", "leave", "part", "part", "rejoin"))
        before = self.edits[key]
        if asked == "merge":
            self.edit(key, step, person, "merge", other_id=other)
        elif asked == "unmerge":
            merged = [edit["object_id"] for edit in before if edit["action"] == "merge"]
            self.edit(key, step, rng.choice(merged or [person]), "unmerge")
        elif asked in ("leave", "rejoin"):
            undone = {"leave": "join", "rejoin": "part"}[asked]
            done = [edit for edit in before if edit["action"] == undone]
            for edit in done[:1]:
                self.edit(key, step, edit["object_id"], asked, figure_id=edit["figure_id"])
        elif faces:
            for face in rng.sample(faces, min(len(faces), rng.choice((1, 2)))):
                self.edit(key, step, person, asked, figure_id=face)

    def tables(self) -> dict[str, pa.Table]:
        faces, groups = [], []
        for key in self.keys:
            option, of = self.option[key], {}
            for name, row in self.rows[key].items():
                faces.append({column: row[column] for column in FACES.names})
                # The options there and back: people apart, two of them one, or one cut in two.
                truth = (
                    row["_truth"]
                    if option == 0
                    else row["_truth"] // 2
                    if option == 1
                    else row["_truth"] * 2 + (row["_draw"] < 0.5)
                )
                of.setdefault(truth, []).append((row["_draw"], name))
            for its in of.values():
                if len(its) < 3:
                    continue
                its.sort()
                group = {**dict(zip(DATASET_KEY, key, strict=True)), "representative": its[0][1]}
                for place, (draw, name) in enumerate(its):
                    if draw < 0.95 or place < 3:
                        role = "founder" if place < 3 else "joined"
                        groups.append(
                            {**group, "figure_id": name, "role": role, "confidence": 1.0 if place < 3 else draw}
                        )
        return {"faces": pa.Table.from_pylist(faces, FACES), "groups": pa.Table.from_pylist(groups, FACE_GROUPS)}


def _person(face: Row, *, option: int) -> int:
    """Whose face it is, by options that tell people apart, take two for one, or one for two."""
    return (face["_truth"], face["_truth"] // 2, face["_truth"] * 2 + (face["_draw"] < 0.5))[option]


class Albums(_Histories):
    """Pictures, the pairs of what they look like, and which of them people part."""

    def deliver(self, key: Key, rng: random.Random, step: int) -> None:
        rows = self.rows[key]
        for _ in range(rng.choice((0, 1, 3, 8)) if step else rng.randrange(3, 12)):
            uri = f"{rng.choice(NAMES)}{rng.randrange(40)}"
            sized = rng.random() < 0.9
            rows[uri] = {
                **dict(zip(DATASET_KEY, key, strict=True)),
                "uri": uri,
                "fingerprint": f"{rng.choice(NAMES)}{rng.randrange(2)}",
                "image_score": rng.choice((None, 0.25, 0.5, 0.5)),
                "content_hash": rng.choice((None, "c1", "c2", "c3")),
                "camera_make": rng.choice((None, "m")),
                "camera_model": rng.choice((None, "n", "n", "o")),
                "produce_time": rng.choice(
                    (
                        None,
                        *(time_of(0) + timedelta(seconds=rng.choice((0, 1, 2.5, 3, 5.25, 9, -4e9))) for _ in range(3)),
                    )
                ),
                "image_width": rng.choice((1, 2, 1000, 4000)) if sized else None,
                "image_height": rng.choice((3, 1000, 3000)) if sized else None,
            }

    def decide(self, key: Key, rng: random.Random, step: int, ids: list[tuple[str, str]]) -> None:
        cluster, uris = rng.choice(ids)[0], sorted(self.rows[key])
        before = [edit for edit in self.edits[key] if edit["action"] == "part"]
        if before and rng.random() < 0.4:
            self.edit(key, step, cluster, "rejoin", uri=rng.choice(before)["uri"])
        elif uris:
            uri = rng.choice(uris)
            looks = sorted({row["fingerprint"] for row in self.rows[key].values()})
            apart = sorted(rng.sample(looks, min(len(looks), rng.choice((1, 1, 2, 3)))))
            self.edit(key, step, cluster, "part", uri=uri, fingerprints=apart)

    def __init__(self, kind: MemberKind, datasets: int) -> None:
        super().__init__(kind, datasets)
        looks = sorted(f"{name}{number}" for name in NAMES for number in range(2))
        self.pairs = {key: list(_similar(looks, self.rng[key], key)) for key in self.keys}

    def tables(self) -> dict[str, pa.Table]:
        images = [row for rows in self.rows.values() for row in rows.values()]
        pairs = [pair for key in self.keys for pair in self.pairs[key] if _is_asked_for(pair, option=self.option[key])]
        return {"images": pa.Table.from_pylist(images, IMAGES), "pairs": pa.Table.from_pylist(pairs, PAIRS)}


def _similar(looks: list[str], rng: random.Random, key: Key) -> Iterator[Row]:
    """The pairs of a dataset, whether their pictures are there or not."""
    for one, other in combinations(looks, 2):
        if rng.random() < 0.3:
            signal = rng.choice(("hash", "hash", "crop", "turned", "embedding"))
            distance = None if signal == "embedding" else rng.randrange(32)
            similarity = 0.9 + rng.randrange(10) / 100 if distance is None else 1 - distance / 256
            told = {"signal": signal, "distance": distance, "similarity": similarity}
            yield {**dict(zip(PAIR_KEY, (*key, one, other), strict=True)), **told}


def _is_asked_for(pair: Row, *, option: int) -> bool:
    """Whether a pair is within a dataset's thresholds: all, near hashes alone, or no crops."""
    return option == 0 or (pair["signal"] != "crop" and (option == 2 or (pair["distance"] or 99) <= 15))
