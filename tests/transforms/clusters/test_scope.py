"""Which datasets changed since each was last clustered."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from schemas.keys import DATASET_KEY
from transforms.clusters.scope import Changes, changed_datasets

VERSIONS = pa.map_(pa.string(), pa.int64())
STATES = pa.schema(
    [
        *zip(DATASET_KEY, (pa.int32(), pa.string(), pa.string()), strict=True),
        ("evidence_versions", VERSIONS),
        ("edits_version", pa.int64()),
        ("is_stale", pa.bool_()),
    ]
)


def states(*rows: tuple[str, dict[str, int] | None, int | None, bool]) -> pa.Table:
    """Datasets as they were last clustered."""
    return pa.Table.from_pylist(
        [
            {
                **dict(zip(DATASET_KEY, (1, "p", name), strict=True)),
                "evidence_versions": None if seen is None else list(seen.items()),
                "edits_version": edits,
                "is_stale": stale,
            }
            for name, seen, edits, stale in rows
        ],
        STATES,
    )


def rows(version: str, *told: tuple[str, int]) -> pa.Table:
    """Rows of a feed, or edits."""
    schema = pa.schema([*(STATES.field(name) for name in DATASET_KEY), (version, pa.int64())])
    return pa.Table.from_pylist(
        [{**dict(zip(DATASET_KEY, (1, "p", name), strict=True)), version: number} for name, number in told], schema
    )


def told(changes: Changes) -> tuple[dict[str, bool], dict[str, list[Any]]]:
    """Whether each dataset is whole, and the versions of its feeds' rows."""
    datasets = dict(zip(*(changes.datasets[name].to_pylist() for name in ("dataset_name", "is_whole")), strict=True))
    return datasets, {name: feed["_commit_version"].to_pylist() for name, feed in changes.feeds.items()}


KNOWN = states(
    ("ada", {"files": 3, "pairs": 5}, 2, False),
    ("bob", {"files": 4, "pairs": 5}, 9, False),
    ("eve", {"files": 2, "pairs": 1}, 1, True),
    ("new", None, None, True),
)


def test_what_is_new_to_a_dataset_changes_it() -> None:
    feeds = {"files": rows("_commit_version", ("ada", 3), ("ada", 4), ("bob", 4), ("eve", 9), ("kim", 9))}
    assert told(changed_datasets(KNOWN, feeds=feeds)) == ({"ada": False, "eve": True, "new": True}, {"files": [4]})


def test_edits_and_options_ask_for_all_of_a_dataset() -> None:
    feeds = {"files": rows("_commit_version", ("ada", 4)), "pairs": rows("_commit_version", ("bob", 6))}
    edits = rows("sequence", ("ada", 3), ("bob", 9), ("kim", 10))
    datasets, newer = told(changed_datasets(KNOWN, feeds=feeds, edits=edits))
    assert datasets == {"ada": True, "bob": False, "eve": True, "new": True}
    assert newer == {"files": [4], "pairs": [6]}


def test_a_feed_that_is_gone_asks_for_all_datasets() -> None:
    changes = changed_datasets(KNOWN, feeds={"files": None, "pairs": rows("_commit_version", ("ada", 6))})
    assert told(changes) == (dict.fromkeys(("ada", "bob", "eve", "new"), True), {})


def test_of_a_table_that_a_dataset_was_never_clustered_from_nothing_is_new_to_it() -> None:
    only = states(("ada", {"files": 3}, 2, False))
    assert told(changed_datasets(only, feeds={"pairs": rows("_commit_version", ("ada", 6))})) == ({}, {"pairs": []})
