"""Ids that outlive re-clustering, for clusters of members: old and new are matched by the members that they share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame

from transforms.tables.machine import kernel


def match_members(pairs: DataFrame, *, key: Sequence[str]) -> DataFrame:
    """One row per match (`key`, `representative`, `object_id`): pairs taken by most shared members, each side once.

    `pairs` has a row per group (`representative`) and older cluster (`object_id`, `create_time`) with `shared` members
    in common, and a `turn`: pairs of a lower one are all taken before. Ties go to the oldest cluster, then to the
    lesser ids. A dataset's pairs are decided in one task, in one pass over them: some 200 bytes each.
    """
    columns = [pairs.schema[name] for name in (*key, "representative", "object_id")]
    schema = ", ".join(f"{field.name} {field.dataType.simpleString()}" for field in columns)
    return pairs.groupBy(*key).applyInArrow(_match_in_order, schema=schema)


def _match_in_order(pairs: pa.Table) -> pa.Table:
    order = [("turn", "ascending"), ("shared", "descending"), ("create_time", "ascending"), ("object_id", "ascending")]
    pairs = pairs.sort_by([*order, ("representative", "ascending")])
    groups, clusters = (
        pairs[name].combine_chunks().dictionary_encode().indices.to_numpy() for name in ("representative", "object_id")
    )
    taken = pairs.filter(pa.array(take_in_order(groups, clusters)))
    return taken.drop_columns(["turn", "shared", "create_time"])


@kernel
def take_in_order(left, right):
    """Which pairs are taken, in their order, if each of either side is taken once. int32 (n,), (n,) to bool (n,)."""
    has_left, has_right = np.zeros(left.max() + 1, np.bool_), np.zeros(right.max() + 1, np.bool_)
    taken = np.zeros(len(left), np.bool_)
    for pair in range(len(left)):
        if not has_left[left[pair]] and not has_right[right[pair]]:
            taken[pair] = has_left[left[pair]] = has_right[right[pair]] = True
    return taken
