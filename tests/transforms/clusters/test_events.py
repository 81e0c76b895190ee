"""What happened to clusters, read off their change feed."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from schemas.cluster_events import CLUSTER_EVENTS
from schemas.keys import DATASET_KEY
from tests.transforms.clusters.histories import KEY, TIME, key_of, time_of
from transforms.clusters.events import derive_member_events, member_changes_since_events

OWN = dict(zip(DATASET_KEY, key_of(3), strict=True))
TOLD = pa.schema(
    [
        *KEY,
        ("object_id", pa.string()),
        ("state", pa.string()),
        ("files", pa.int64()),
        ("origin_id", pa.string()),
        ("successor_id", pa.string()),
    ]
)
FEED = pa.schema([*TOLD, ("_change_type", pa.string()), ("_commit_version", pa.int64()), ("_commit_timestamp", TIME)])


def row(cluster: str, state: str = "live", files: int = 3, **more: Any) -> dict[str, Any]:
    """A cluster."""
    return {**OWN, "object_id": cluster, "state": state, "files": files, **more}


def feed(*changes: tuple[dict[str, Any] | None, dict[str, Any] | None], version: int = 5) -> pa.Table:
    """A change feed of rows before and after."""
    rows = []
    for before, after in changes:
        if before:
            rows.append({**before, "_change_type": "update_preimage" if after else "delete"})
        if after:
            rows.append({**after, "_change_type": "update_postimage" if before else "insert"})
    stamped = [{**each, "_commit_version": version, "_commit_timestamp": time_of(version)} for each in rows]
    return pa.Table.from_pylist(stamped, FEED)


def events_of(changes: pa.Table, known: tuple[str, ...] = ()) -> dict[str, tuple[Any, ...]]:
    """The event of each cluster."""
    keys = pa.Table.from_pylist(
        [{**OWN, "object_id": name} for name in known], TOLD.remove(4).remove(4).remove(4).remove(4)
    )
    found = derive_member_events(changes, known=keys, kind="figures")
    assert found.schema == CLUSTER_EVENTS.computed_schema
    told = ("event", "other_id", "files_before", "files", "cluster_version")
    return {each["object_id"]: tuple(each[name] for name in told) for each in found.to_pylist()}


def test_what_each_change_tells() -> None:
    gone = {"state": "gone", "files": 2}
    changes = feed(
        (None, row("new")),
        (None, row("cut", origin_id="old")),
        (row("back", "gone"), row("back")),
        (row("more"), row("more", files=4)),
        (row("less"), row("less", files=2)),
        (row("same"), row("same", origin_id="old")),
        (row("into"), row("into", **gone, successor_id="more")),
        (row("few"), row("few", **gone)),
        (row("erased"), None),
        (row("was gone", "gone"), None),
    )
    assert events_of(changes, known=("back", "more")) == {
        "new": ("created", None, None, 3, 5),
        "cut": ("split_from", "old", None, 3, 5),
        "back": ("revived", None, None, 3, 5),
        "more": ("extended", None, 3, 4, 5),
        "less": ("shrunk", None, 3, 2, 5),
        "into": ("merged_into", "more", 3, None, 5),
        "few": ("removed", None, 3, None, 5),
        "erased": ("removed", None, 3, None, 5),
    }


def test_each_commit_tells_for_itself() -> None:
    changes = pa.concat_tables([feed((None, row("a"))), feed((row("a"), row("a", files=5)), version=6)])
    found = derive_member_events(changes, known=TOLD.empty_table(), kind="figures").sort_by("cluster_version")
    assert found["event"].to_pylist() == ["created", "extended"]
    assert found["event_time"].to_pylist() == [time_of(5), time_of(6)]


def test_no_change_no_event() -> None:
    assert events_of(feed()) == {}


def test_where_the_feed_is_gone_the_last_events_stand_for_it() -> None:
    told = feed((None, row("a")), (None, row("b")), (row("c"), row("c", "gone")))
    events = derive_member_events(told, known=TOLD.empty_table(), kind="figures")
    clusters = pa.Table.from_pylist([row("a", files=4), row("b"), row("c"), row("d", "gone")], TOLD)
    changes = member_changes_since_events(clusters, events=events, version=9, now=time_of(9))
    assert events_of(changes, known=("a", "b", "c")) == {
        "a": ("extended", None, 3, 4, 9),
        "c": ("revived", None, None, 3, 9),
    }
    gone = member_changes_since_events(clusters.slice(1), events=events, version=9, now=time_of(9))
    assert events_of(gone, known=("a", "b", "c"))["a"] == ("removed", None, 3, None, 9)
