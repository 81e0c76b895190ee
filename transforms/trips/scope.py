"""What a clustering of trips looks at: places whose evidence or deletions changed, and the deletions in force."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from schemas.keys import CLUSTER_KEY, DATASET_KEY, PLACE_KEY
from transforms.tables.keyed import distinct, key_codes, last_rows, left_join, semi_join
from transforms.trips.segmenting import explode_levels


def changed_places(feed: pa.Table, *, seen: pa.Table, levels: Sequence[str]) -> pa.Table:
    """The places (PLACE_KEY), at each level, whose evidence changed after their dataset was last clustered.

    `feed` is the change feed of `place_days` (DATASET_KEY, place_key, _commit_version); `seen` has the datasets asked
    for, each with the version that it was clustered from, `evidence_version`. Changes of other datasets are left out.
    """
    newer = _newer(feed, seen, version="_commit_version", than="evidence_version")
    finest = distinct(newer, key=(*DATASET_KEY, "place_key"))
    return distinct(explode_levels(finest, levels=levels).select(list(PLACE_KEY)), key=PLACE_KEY)


def edited_places(edits: pa.Table, *, seen: pa.Table) -> pa.Table:
    """The places (PLACE_KEY) of clusters that were deleted or undeleted after their dataset was last clustered.

    `edits` are all rows of `cluster_edits` of trips, with their bucket; `seen` has the datasets asked for, each with
    the version of the last edit that its clustering obeyed, `edits_version`.
    """
    edits = _deletions(edits)
    touched = _newer(edits, seen, version="sequence", than="edits_version")
    named = edits.filter(pc.equal(edits["action"], "delete"))  # an undelete does not say where
    return distinct(semi_join(named, touched, on=CLUSTER_KEY).select(list(PLACE_KEY)), key=PLACE_KEY)


def deletions_in_force(edits: pa.Table) -> pa.Table:
    """The clusters that are deleted: CLUSTER_KEY, level, place_key, first_day and last_day of the days taken out.

    `edits` are rows of `cluster_edits` of trips, with their bucket; of a cluster's the last by `sequence` holds.
    """
    edits = _deletions(edits)
    edits = edits.take(pc.sort_indices(edits, [("sequence", "ascending")]))
    (codes,) = key_codes(edits, key=CLUSTER_KEY)
    last = edits.take(pa.array(last_rows(codes)))
    deleted = last.filter(pc.equal(last["action"], "delete"))
    return deleted.select([*CLUSTER_KEY, "level", "place_key", "first_day", "last_day"])


def _deletions(edits: pa.Table) -> pa.Table:
    return edits.filter(pc.is_in(edits["action"], value_set=pa.array(["delete", "undelete"])))


def _newer(rows: pa.Table, seen: pa.Table, *, version: str, than: str) -> pa.Table:
    """The rows of datasets in `seen` whose version is above the one seen there."""
    rows = left_join(rows, seen, on=DATASET_KEY, columns=[than])
    return rows.filter(pc.greater(rows[version], rows[than]))  # null, where the dataset is not among them: left out
