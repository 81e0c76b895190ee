"""Which datasets a clustering looks at: what changed of each since it was last clustered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.keys import DATASET_KEY
from transforms.clusters.naming import positions_of
from transforms.tables.grouped import first_of_each, holds
from transforms.tables.keyed import indices_or_null, key_codes


@dataclass(frozen=True)
class Changes:
    """What became of datasets since each was last clustered.

    `datasets` has the keys of those that changed, and `is_whole`: whether not evidence alone did, but all of it is
    asked for, or edited, or a change feed is gone. `feeds` are the rows of the change feeds of the evidence that are
    new to the dataset that they are of, by table.
    """

    datasets: pa.Table
    feeds: Mapping[str, pa.Table]


def changed_datasets(
    states: pa.Table, *, feeds: Mapping[str, pa.Table | None], edits: pa.Table | None = None
) -> Changes:
    """The datasets that are stale, or that change feeds or edits tell of; all where a feed is gone (None).

    `states` has a row per dataset: DATASET_KEY, `evidence_versions` (table to version), `edits_version`, and
    `is_stale`: whether all of it is clustered again, as it never was, its options change, or all is asked for. `feeds`
    have DATASET_KEY and `_commit_version`, without tables that did not move; `edits`, where there are new ones,
    DATASET_KEY and `sequence`. Rows of other datasets are left out.
    """
    if any(feed is None for feed in feeds.values()):
        whole = states.select(DATASET_KEY)
        return Changes(whole.append_column("is_whole", pa.repeat(pa.scalar(True), len(whole))), {})
    stale = states.filter(states["is_stale"]).select(DATASET_KEY)
    fresh = states.filter(pc.invert(states["is_stale"]))
    newer = {
        name: _newer(feed, fresh, "_commit_version", than=_seen(fresh, name))
        for name, feed in feeds.items()
        if feed is not None
    }
    found = [(stale, True), *((rows.select(DATASET_KEY), False) for rows in newer.values())]
    if edits is not None:
        edited = _newer(edits, fresh, "sequence", than=fresh["edits_version"])
        found.insert(1, (edited.select(DATASET_KEY), True))
    rows = pa.concat_tables([keys.cast(stale.schema) for keys, _ in found])
    is_whole = np.repeat([whole for _, whole in found], [len(keys) for keys, _ in found])
    (codes,) = key_codes(rows, key=DATASET_KEY)
    at = first_of_each(codes, ~is_whole)
    return Changes(rows.take(pa.array(at)).append_column("is_whole", pa.array(is_whole[at], pa.bool_())), newer)


def _seen(states: pa.Table, name: str) -> pa.ChunkedArray:
    """The version of a table that each dataset was last clustered from, null for none."""
    return pc.map_lookup(states["evidence_versions"], pa.scalar(name), "first")


def _newer(rows: pa.Table, states: pa.Table, version: str, *, than: pa.ChunkedArray) -> pa.Table:
    """The rows whose `version` is greater than their dataset's."""
    at = indices_or_null(positions_of(rows, states, on=DATASET_KEY))
    return rows.filter(pa.array(holds(pc.greater(rows[version], than.take(at)))))
