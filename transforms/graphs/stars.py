"""Groups of similar things as stars: each member is a neighbour of the one that represents its group."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import DoubleType, IntegerType, StructField, StructType

from transforms.graphs.components import (
    EDGES_PER_TASK,
    ROWS_AT_ONCE,
    Checkpoint,
    Log,
    NotConverged,
    label_components,
    part_by_size,
    text_column,
)
from transforms.graphs.whole import ENDS, cover_table, group_table
from transforms.tables.arrow_tables import ArrowBatches, whole_datasets
from transforms.tables.frames import gather_whole, union_by_name


def group_stars(
    edges: DataFrame,
    *,
    key: Sequence[str],
    checkpoint: Checkpoint,
    log: Log,
    edges_per_task: int = EDGES_PER_TASK,
    max_rounds: int = 100,
) -> DataFrame:
    """One row per node that has an edge: `key`, `fingerprint`, `representative`, and the `similarity` of the two.

    `edges` are the pairs within the threshold, each once: `key` of the dataset (never null), `fingerprint`,
    `other_fingerprint` (not the same), `similarity` (a number, not NaN). They are read twice: keep them before.

    Guaranteed: every member of a group is a neighbour of its representative, so as like it as the threshold asks, and
    no two representatives are neighbours. Nodes are taken in the order of their number of neighbours, most first, ties
    by fingerprint, smallest first; one that no earlier representative is a neighbour of represents a group. Every other
    node then joins the most similar representative among its neighbours, of several the earliest. A representative's
    own row has itself and similarity 1. The result is a function of the graph alone: neither order nor partitioning
    matter.

    Datasets of up to `edges_per_task` edges are grouped whole, many in one call of the kernel; where all are, it costs
    one count and one shuffle. A larger one is split into its components first, and a component that is itself larger
    goes through rounds, each of which decides the nodes that come before all their undecided neighbours, and these
    neighbours, until what is undecided of it fits into a task. That gives the same groups, as the lexicographically
    first maximal independent set is unique. With ties in random order (fingerprints are hashes) some 5 rounds do; at
    worst, a chain whose fingerprints rise along it, a round decides two nodes, and NotConverged ends it after
    `max_rounds`.

    Memory: a task holds ROWS_AT_ONCE or `edges_per_task` edges, whichever is more, some 300 bytes each.

    Source: Aslam, Pelekhov, Rus: The Star Clustering Algorithm for Static and Dynamic Information Organization, 2004.
    Rounds: Blelloch, Fineman, Shun: Greedy Sequential Maximal Independent Set and Matching are Parallel on Average,
    2012.
    """
    edges = edges.select(*key, *ENDS, "similarity")
    few, large, _ = part_by_size(edges, key=key, edges_per_task=edges_per_task, checkpoint=checkpoint)
    groups = [_group_whole(few, key=key)]
    if large is not None:
        labels = label_components(large, key=key, checkpoint=checkpoint, log=log, edges_per_task=edges_per_task)
        parts = checkpoint(large.join(labels, [*key, ENDS[0]], how="inner"))
        part = (*key, "component")
        split, giants, _ = part_by_size(parts, key=part, edges_per_task=edges_per_task, checkpoint=checkpoint)
        groups.append(_group_whole(split, key=part).drop("component"))
        if giants is not None:
            spread = _group_spread(
                giants, key=part, checkpoint=checkpoint, log=log, edges_per_task=edges_per_task, max_rounds=max_rounds
            )
            groups.append(spread.drop("component"))
    return union_by_name(*groups)


def _group_whole(edges: DataFrame, *, key: Sequence[str]) -> DataFrame:
    """group_stars of datasets that fit in a task each."""
    names = list(key)

    def group(batches: ArrowBatches) -> ArrowBatches:
        for table in whole_datasets(batches, key=names, rows=ROWS_AT_ONCE):
            yield from group_table(table, key=names).to_batches()

    schema = StructType(
        [
            *(edges.schema[name] for name in key),
            text_column(ENDS[0]),
            text_column("representative"),
            StructField("similarity", DoubleType(), nullable=False),
        ]
    )
    return gather_whole(edges, key=key).mapInArrow(group, schema)


def _group_spread(
    edges: DataFrame,
    *,
    key: Sequence[str],
    checkpoint: Checkpoint,
    log: Log,
    edges_per_task: int,
    max_rounds: int,
) -> DataFrame:
    """group_stars of datasets (`key`) none of which fits in a task."""
    arcs = checkpoint(_directed(edges, key=key))
    open_edges = checkpoint(arcs.where(_comes_before("degree", ENDS[0], "other_degree", ENDS[1])).drop("similarity"))
    covered: list[DataFrame] = []
    parts: list[DataFrame] = []
    for number in range(max_rounds + 1):
        few, large, left = part_by_size(open_edges, key=key, edges_per_task=edges_per_task, checkpoint=checkpoint)
        log("stars", number, left)
        parts.append(few)
        if large is None:
            break
        if number == max_rounds:
            raise NotConverged(
                f"stars: {left:,} edges undecided after {max_rounds} rounds; raise edges_per_task "
                f"(now {edges_per_task:,}), or max_rounds"
            )
        newly = checkpoint(_cover(large, key=key))
        covered.append(newly)
        other = newly.withColumnRenamed(ENDS[0], ENDS[1])
        open_edges = checkpoint(
            large.join(newly, [*key, ENDS[0]], how="left_anti").join(other, [*key, ENDS[1]], how="left_anti")
        )
    covered += [_cover_whole(part, key=key) for part in parts]
    return _join_best(arcs, members=checkpoint(union_by_name(*covered)), key=key)


def _directed(edges: DataFrame, *, key: Sequence[str]) -> DataFrame:
    """Each edge from either end, with `degree` and `other_degree`."""
    node, other = ENDS
    there = edges.select(*key, *ENDS, "similarity")
    back = edges.select(*key, F.col(other).alias(node), F.col(node).alias(other), "similarity")
    arcs = union_by_name(there, back)
    degrees = arcs.groupBy(*key, node).agg(F.count(F.lit(1)).cast(IntegerType()).alias("degree"))
    others = degrees.withColumnsRenamed({node: other, "degree": "other_degree"})
    return arcs.join(degrees, [*key, node], how="inner").join(others, [*key, other], how="inner")


def _comes_before(degree: str, node: str, other_degree: str, other: str) -> Column:
    """Whether the one node comes before the other in the order in which representatives are chosen."""
    tie = (F.col(degree) == F.col(other_degree)) & (F.col(node) < F.col(other))
    return (F.col(degree) > F.col(other_degree)) | tie


def _cover(edges: DataFrame, *, key: Sequence[str]) -> DataFrame:
    """The neighbours of the nodes that no neighbour comes before; of an edge the first end comes first."""
    node, other = ENDS
    beaten = edges.select(*key, F.col(other).alias(node))
    return edges.join(beaten, [*key, node], how="left_anti").select(*key, F.col(other).alias(node)).distinct()


def _cover_whole(edges: DataFrame, *, key: Sequence[str]) -> DataFrame:
    """The nodes that do not become representatives, of datasets whose undecided edges fit in a task."""
    names = list(key)

    def cover(batches: ArrowBatches) -> ArrowBatches:
        for table in whole_datasets(batches, key=names, rows=ROWS_AT_ONCE):
            yield from cover_table(table, key=names).to_batches()

    schema = StructType([*(edges.schema[name] for name in key), text_column(ENDS[0])])
    return gather_whole(edges, key=key).mapInArrow(cover, schema)


def _join_best(arcs: DataFrame, *, members: DataFrame, key: Sequence[str]) -> DataFrame:
    """The groups, where all nodes but `members` represent one: any two neighbours are not both representatives."""
    node, other = ENDS
    rank = F.struct((-F.col("similarity")).alias("a"), (-F.col("other_degree")).alias("b"), F.col(other).alias("c"))
    others = members.withColumnRenamed(node, other)
    to_representatives = arcs.join(others, [*key, other], how="left_anti")
    joined = (
        to_representatives.groupBy(*key, node)
        .agg(F.min_by(F.struct(F.col(other).alias("representative"), "similarity"), rank).alias("best"))
        .select(*key, node, "best.*")
    )
    alone = to_representatives.select(*key, F.col(other).alias(node)).distinct()
    themselves = alone.withColumns({"representative": F.col(node), "similarity": F.lit(1.0)})
    return union_by_name(joined, themselves)
