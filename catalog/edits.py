"""What people decided about clusters: appending edits, and folding them into the state in force.

The functions know nothing of a kind of cluster but its name; who succeeded whom is handed to them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from catalog.commits import append_numbered
from catalog.lake import Lake, Row, Scope
from catalog.sql import all_of, check_text, equals
from schemas.cluster_edits import CLUSTER_EDITS
from schemas.errors import Conflict, UsageError

Action = Literal[
    "update", "delete", "undelete", "keep", "unkeep", "part", "rejoin", "join", "leave", "merge", "unmerge", "erase"
]

_LAID_OVER = ("title", "custom_id", "custom_labels", "cover_uri")
FIELDS = (*_LAID_OVER, "cover_figure_id")
MAX_TEXT_BYTES = 1024
MAX_LABELS = 100

_LONG = ("fingerprints", "figure_digests", "figure_places")  # up to 1,000 looks an edit, all faces of a person


@dataclass(frozen=True)
class Decision:
    """The last value that a field was given ('' or {} where it was cleared), and the edit that gave it."""

    value: Any
    sequence: int


@dataclass(frozen=True)
class Curated:
    """What is in force for one cluster, by its edits.

    `parted` members are hidden from it, as people say that they are not similar to the others; `emptied` tells that
    too few are left for a cluster. `edits` counts what was done to it: IMM's MetaLockVersion. Of a person who was
    `erased` nothing is left, and no face is taken in again.
    """

    object_id: str
    project_name: str
    dataset_name: str
    decisions: Mapping[str, Decision]
    deleted: bool
    edit_time: datetime
    parted: int = 0
    emptied: bool = False
    edits: int = 0
    erased: bool = False

    @property
    def is_shown(self) -> bool:
        """Whether people see the cluster."""
        return not (self.deleted or self.emptied)

    def value(self, name: str) -> Any:
        """The value of a field that has one, else None."""
        decision = self.decisions.get(name)
        return (decision.value or None) if decision else None


def check_fields(fields: Mapping[str, Any]) -> None:
    """Raises UsageError where an update changes nothing, or exceeds IMM's limits."""
    if not fields:
        raise UsageError("nothing to change: give a title, a custom id, labels or a cover")
    for name in ("title", "custom_id"):
        size = len(check_text(fields.get(name) or "").encode())
        if size > MAX_TEXT_BYTES:
            raise UsageError(f"{name} has {size:,} bytes; up to {MAX_TEXT_BYTES:,} are accepted")
    labels = fields.get("custom_labels") or {}
    if len(labels) > MAX_LABELS:
        raise UsageError(f"custom_labels has {len(labels)} keys; up to {MAX_LABELS} are accepted")
    for text in (*labels, *labels.values(), *(fields.get(cover) or "" for cover in ("cover_uri", "cover_figure_id"))):
        check_text(text)
    if "" in labels:
        raise UsageError("custom_labels has an empty key; keys of at least one character are accepted")


def append_edit(lake: Lake, kind: str, cluster: Row, action: Action, *, after: int | None = None, **fields: Any) -> int:
    """Records what a person did to a cluster, or decided about a member of it, and returns the edit's sequence.

    `fields` are the columns of `cluster_edits` that go with the action; those left out are left as they are. `after` is
    how many edits the cluster must have had so far; Conflict where it has others.
    """
    edit = {
        "project_name": cluster["project_name"],
        "dataset_name": cluster["dataset_name"],
        "kind": kind,
        "object_id": cluster["object_id"],
        "action": action,
        "edit_time": datetime.now(UTC),
        **fields,
    }

    def numbered(version: int) -> Row:
        if after is not None:
            check_lock_version(lake, kind, cluster, after)
        return {**edit, "sequence": version}

    return append_numbered(lake.root, CLUSTER_EDITS, numbered)


def check_lock_version(lake: Lake, kind: str, cluster: Row, expected: int) -> None:
    """Raises Conflict where a cluster was edited more, or less, often than `expected`."""
    scope = Scope(cluster["project_name"], (cluster["dataset_name"],))
    found = len(read_edits(lake, scope, kind, cluster["object_id"]))
    if found != expected:
        raise Conflict(
            f"cluster {cluster['object_id']} has MetaLockVersion {found}, not {expected}: it was edited meanwhile; "
            "look at it again"
        )


def read_edits(lake: Lake, scope: Scope, kind: str, object_id: str | None = None) -> list[Row]:
    """The edits of a scope, or of one cluster in it, in the order in which they apply; without their long lists."""
    if scope.datasets and _edited(lake).isdisjoint((kind, scope.project, each) for each in scope.datasets):
        return []
    conditions = [scope.condition(lake, bucketed=False), equals("kind", kind)]
    if object_id is not None:
        conditions.append(equals("object_id", object_id))
    columns = ", ".join(name for name in CLUSTER_EDITS.names if name not in _LONG)
    statement = f"SELECT {columns} FROM cluster_edits WHERE {all_of(conditions)} ORDER BY sequence"
    return lake.read(statement, "cluster_edits")


def _edited(lake: Lake) -> set[tuple[str, str, str]]:
    """The kind, project and dataset of all edits. Most datasets have none, which a look into memory then tells."""
    columns = ("kind", "project_name", "dataset_name")

    def read() -> set[tuple[str, str, str]]:
        rows = lake.read(f"SELECT DISTINCT {', '.join(columns)} FROM cluster_edits", "cluster_edits")
        return {tuple(row[name] for name in columns) for row in rows}

    return lake.once("edited", CLUSTER_EDITS, read)


def fold_edits(edits: Iterable[Row]) -> dict[str, Curated]:
    """The state of each edited cluster, by id, from edits in the order of their sequence.

    Decisions about members (keep, part and their undoing) leave it as it is, but for the time of the last edit.
    """
    by_cluster: dict[str, list[Row]] = {}
    for edit in edits:
        by_cluster.setdefault(edit["object_id"], []).append(edit)
    return {object_id: _fold(object_id, its) for object_id, its in by_cluster.items()}


def follow_merges(states: Mapping[str, Curated], successors: Mapping[str, str]) -> dict[str, Curated]:
    """The states with those of clusters that were merged away handed on to the survivors.

    `successors` names the successor of each cluster that is gone. Field by field, a survivor's own decision
    counts, even to clear; else the latest value among the clusters merged into it, each of them resolved
    the same way first. Deletions do not follow, nor do the fields of a deleted cluster. A cycle of successors
    ends nowhere: nothing is handed on from it.
    """
    absorbed: dict[str, list[str]] = {}
    for gone in sorted(_reach(states, successors)):
        absorbed.setdefault(successors[gone], []).append(gone)
    survivors = sorted((states.keys() | absorbed.keys()) - successors.keys())
    order = list(survivors)
    for object_id in order:  # grows as it goes: each cluster before the ones merged into it
        order.extend(absorbed.get(object_id, ()))
    resolved: dict[str, Curated | None] = {}
    for object_id in reversed(order):
        parts = [resolved[gone] for gone in absorbed.get(object_id, ())]
        resolved[object_id] = _inherit(states.get(object_id), object_id, parts)
    return {survivor: state for survivor in survivors if (state := resolved[survivor])}


def overlay(row: Row, state: Curated | None) -> Row:
    """A computed row with what was curated laid over it: the cluster as people see it.

    `title` is the one that people see: `given_title`, which somebody gave, else `proposed_title`, which was computed.
    """
    proposed = row.get("title")
    seen = {**row, "title": proposed, "proposed_title": proposed, "given_title": None}
    seen |= {"custom_id": None, "custom_labels": None, "lock_version": 0}
    if state is None:
        return seen
    seen["lock_version"] = state.edits
    seen |= {name: state.value(name) for name in _LAID_OVER if state.value(name) is not None}
    seen["given_title"] = state.value("title")
    if state.parted:
        seen["files"] -= state.parted
    seen["update_time"] = max(row["update_time"], state.edit_time)
    return seen


def _fold(object_id: str, edits: list[Row]) -> Curated:
    decisions: dict[str, Decision] = {}
    deleted = erased = False
    for edit in edits:
        if edit["action"] == "update":
            decisions |= {n: Decision(edit[n], edit["sequence"]) for n in FIELDS if edit[n] is not None}
        elif edit["action"] in ("delete", "undelete"):
            deleted, erased = edit["action"] == "delete", False
        elif edit["action"] == "erase":
            erased = True
    return Curated(
        object_id,
        edits[-1]["project_name"],
        edits[-1]["dataset_name"],
        decisions,
        deleted,
        max(edit["edit_time"] for edit in edits),
        edits=len(edits),
        erased=erased,
    )


def _reach(states: Mapping[str, Curated], successors: Mapping[str, str]) -> set[str]:
    """The edited clusters that are gone, and the gone ones that they lead to."""
    reached: set[str] = set()
    for object_id in states:
        current = object_id
        while current in successors and current not in reached:
            reached.add(current)
            current = successors[current]
    return reached


def _inherit(own: Curated | None, object_id: str, parts: Iterable[Curated | None]) -> Curated | None:
    """A cluster's own state over those of the ones merged into it; None if there is nothing to say of it."""
    handed_on = [part for part in parts if part and not part.deleted]
    if not handed_on:
        return own
    inherited: dict[str, Decision] = {}
    for part in handed_on:
        for name, decision in part.decisions.items():
            if decision.value and (name not in inherited or decision.sequence > inherited[name].sequence):
                inherited[name] = decision
    return Curated(
        object_id,
        handed_on[0].project_name,
        handed_on[0].dataset_name,
        {**inherited, **(own.decisions if own else {})},
        deleted=own is not None and own.deleted,
        edit_time=max(state.edit_time for state in (own, *handed_on) if state),
        edits=own.edits if own else 0,
    )
