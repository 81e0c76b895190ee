"""Connected components of a graph that may be larger than any one machine's memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StringType, StructField, StructType

from schemas.errors import LakeAlbumError
from transforms.graphs.whole import ENDS, connect
from transforms.tables.arrow_tables import ArrowBatches, gather_tables, whole_datasets
from transforms.tables.frames import gather_whole, union_by_name

Checkpoint = Callable[[DataFrame], DataFrame]
"""Computes a frame now and keeps it."""
Log = Callable[[str, int, int], None]
"""Is told, before each round of a procedure: its name, how many rounds are over, rows left."""
EDGES_PER_TASK = 5_000_000
"""Edges that one task holds in memory at once: some 1.5 GB with fingerprints of 64 characters."""
ROWS_AT_ONCE = 1 << 20
"""Edges, of as many datasets as they come from, that one call of a kernel takes where it may choose."""


class NotConverged(LakeAlbumError):
    """An iteration did not end within its bound."""

    code = "NotConverged"


def label_components(
    edges: DataFrame,
    *,
    key: Sequence[str],
    checkpoint: Checkpoint,
    log: Log,
    max_rounds: int = 50,
    edges_per_task: int = EDGES_PER_TASK,
) -> DataFrame:
    """One row per node (`key`, `fingerprint`) with `component`, the smallest fingerprint that is connected with it.

    `edges` has the columns `key` of the dataset (never null), `fingerprint` and `other_fingerprint`, in any order and
    number; fingerprints of different datasets are different nodes.

    Each task first replaces the edges that it has by a spanning forest of stars, whose centres are the smallest nodes.
    A dataset that then has no more than `edges_per_task` is settled by one task. What is larger goes through rounds of
    three steps: nodes with one smaller neighbour and no greater one are set aside, each labelled in the end as that
    neighbour is; an edge moves from its smaller end to that end's smallest neighbour (large-star); edges that meet at
    their greater end are replaced by stars (small-star, and whatever else meets in the task), until no dataset is too
    large. Rounds: O(log² n) by the paper, in practice 1 to 3, as only a core too large for one task takes part;
    NotConverged after `max_rounds`. Nothing but counts comes to the driver.

    Memory: a task holds ROWS_AT_ONCE or `edges_per_task` edges, whichever is more, some 300 bytes each. Time: sorting
    the fingerprints, then near linear.

    Source: Kiveris, Lattanzi, Mirrokni, Rastogi, Vassilvitskii: Connected Components in MapReduce and Beyond, 2014.
    Setting settled nodes aside: Lulli, Carlini, Dazzi, Lucchese, Ricci: Fast Connected Components Computation in Large
    Graphs by Vertex Pruning, 2017.
    """
    small, other = ENDS
    names = [*key, *ENDS]
    settled: list[DataFrame] = []
    pruned: list[DataFrame] = []
    forest = checkpoint(_contract(edges.select(*names), key=key))
    for number in range(max_rounds + 1):
        few, large, left = part_by_size(forest, key=key, edges_per_task=edges_per_task, checkpoint=checkpoint)
        log("components", number, left)
        settled.append(few)
        if large is None:
            break
        if number == max_rounds:
            raise NotConverged(
                f"connected components: {left:,} edges left after {max_rounds} rounds; raise edges_per_task "
                f"(now {edges_per_task:,}), or max_rounds"
            )
        forest = large
        nodes = checkpoint(_look_around(forest, key=key))
        is_leaf = ~F.col("has_greater") & (F.col("smallest") == F.col("last_smaller"))
        leaves = nodes.where(is_leaf).select(*key, F.col("smallest").alias(small), F.col("node").alias(other))
        pruned.append(leaves)
        nearest = nodes.select(*key, F.col("node").alias(small), "smallest")
        core = (
            forest.join(leaves.select(*key, other), [*key, other], how="left_anti")
            .join(nearest, [*key, small], how="inner")
            .select(*key, F.coalesce("smallest", small).alias(small), other)
        )
        forest = checkpoint(_contract(core.repartition(*key, other), key=key))
    labels = _settle(settled, key=key)
    for leaves in reversed(pruned):
        labels = checkpoint(_label_leaves(leaves, labels=labels, key=key))
    return labels


def part_by_size(
    edges: DataFrame, *, key: Sequence[str], edges_per_task: int, checkpoint: Checkpoint
) -> tuple[DataFrame, DataFrame | None, int]:
    """The edges of datasets (`key`) that fit in a task each; those of larger ones, None without; how many these are."""
    sizes = edges.groupBy(*key).count().where(F.col("count") > edges_per_task)
    left = int(sizes.agg(F.coalesce(F.sum("count"), F.lit(0))).first()[0])  # type: ignore[index]
    if left == 0:
        return edges, None, 0
    large = F.broadcast(checkpoint(sizes.select(*key)))
    return edges.join(large, list(key), how="left_anti"), edges.join(large, list(key), how="left_semi"), left


def _look_around(forest: DataFrame, *, key: Sequence[str]) -> DataFrame:
    """Per node the first and the last of its smaller neighbours, null where it has none, and whether it has greater."""
    small, other = ENDS
    downwards = forest.select(*key, F.col(other).alias("node"), F.col(small).alias("smaller"))
    upwards = forest.select(*key, F.col(small).alias("node"), F.lit(None).cast("string").alias("smaller"))
    return (
        union_by_name(downwards, upwards)
        .groupBy(*key, "node")
        .agg(
            F.min("smaller").alias("smallest"),
            F.max("smaller").alias("last_smaller"),
            F.bool_or(F.col("smaller").isNull()).alias("has_greater"),
        )
    )


def _label_leaves(leaves: DataFrame, *, labels: DataFrame, key: Sequence[str]) -> DataFrame:
    """The labels with those of the leaves, and of the centres of stars that had leaves only."""
    small, other = ENDS
    joined = leaves.join(labels, [*key, small], how="left")
    component = F.coalesce("component", small)
    centres = joined.where(F.col("component").isNull()).select(*key, small, F.col(small).alias("component")).distinct()
    own = joined.select(*key, F.col(other).alias(small), component.alias("component"))
    return union_by_name(labels, own, centres)


def _contract(edges: DataFrame, *, key: Sequence[str]) -> DataFrame:
    """As few edges as connect, of those in one task, the same nodes: the smallest of them and each other one."""
    names = list(key)

    def contract(batches: ArrowBatches) -> ArrowBatches:
        for table in gather_tables(batches, ROWS_AT_ONCE):
            yield from connect(table, key=names, with_centres=False).rename_columns([*names, *ENDS]).to_batches()

    return edges.mapInArrow(contract, edges.schema)


def _settle(forests: Sequence[DataFrame], *, key: Sequence[str]) -> DataFrame:
    """The labels of datasets that fit in a task each."""
    names = list(key)
    edges = union_by_name(*forests)

    def settle(batches: ArrowBatches) -> ArrowBatches:
        for table in whole_datasets(batches, key=names, rows=ROWS_AT_ONCE):
            labelled = connect(table, key=names, with_centres=True)
            yield from (
                labelled.select([*names, ENDS[1], "component"])
                .rename_columns([*names, ENDS[0], "component"])
                .to_batches()
            )

    labels = StructType([*(edges.schema[name] for name in key), text_column(ENDS[0]), text_column("component")])
    return gather_whole(edges, key=key).mapInArrow(settle, labels)


def text_column(name: str) -> StructField:
    """A column of strings, none missing."""
    return StructField(name, StringType(), nullable=False)
