"""Graphs of whole datasets that one process holds: their nodes in numbers, components, and stars.

Tables in, tables out, of many datasets at once. A table of edges has the columns `key` of the dataset (never null),
`fingerprint` and `other_fingerprint`; transforms.graphs.components and transforms.graphs.stars are for graphs that no
machine holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from transforms.tables.machine import kernel

Nodes = NDArray[np.int64]
Similarities = NDArray[np.float64]

ENDS = ("fingerprint", "other_fingerprint")


def connect(table: pa.Table, *, key: Sequence[str], with_centres: bool) -> pa.Table:
    """The nodes of the edges in `table`: `key`, `component` (the smallest that is connected), `other_fingerprint`.

    One row per node; without centres those are left out that are a component's smallest.
    """
    graph = number_nodes(table, key=key)
    roots = find_roots(graph.left, graph.right, len(graph.fingerprints))
    nodes = np.arange(len(roots)) if with_centres else np.flatnonzero(roots != np.arange(len(roots)))
    columns = [graph.fingerprints.take(pa.array(roots[nodes])), graph.fingerprints.take(pa.array(nodes))]
    keys = graph.keys_of(table, nodes, key=key)
    return pa.table([*keys.columns, *columns], names=[*key, "component", ENDS[1]])


@kernel
def find_roots(left: Nodes, right: Nodes, count: int) -> Nodes:
    """The smallest node that each of `count` nodes is connected with: int64 (count,).

    left, right: int64 (edges,). Union by smallest with path halving: O(edges log count), near linear in practice.
    Memory: 8 bytes a node.
    """
    parents = np.arange(count)
    for edge in range(len(left)):
        one, other = left[edge], right[edge]
        while parents[one] != one:
            parents[one] = parents[parents[one]]
            one = parents[one]
        while parents[other] != other:
            parents[other] = parents[parents[other]]
            other = parents[other]
        if one < other:
            parents[other] = one
        else:
            parents[one] = other
    for node in range(count):  # a parent is never greater, and those before have their roots
        parents[node] = parents[parents[node]]
    return parents


@dataclass(frozen=True)
class Graph:
    """A table of edges, of one or many datasets, in numbers: nodes are in the order of dataset, then fingerprint.

    left, right: int64 (edges,), nodes. fingerprints: strings (nodes,). rows: int64 (nodes,), a row of the table with
    the node's key. The order of datasets is any; that of fingerprints is the order of their bytes, as Spark has it.
    """

    left: Nodes
    right: Nodes
    fingerprints: pa.Array
    rows: Nodes

    def keys_of(self, table: pa.Table, nodes: Nodes, *, key: Sequence[str]) -> pa.Table:
        """The key columns of some nodes."""
        return table.select(list(key)).take(pa.array(self.rows[nodes]))


def number_nodes(table: pa.Table, *, key: Sequence[str]) -> Graph:
    """The graph of the edges in `table`; no fingerprint is looked at in Python."""
    count = len(table)
    both = pa.chunked_array([*table[ENDS[0]].chunks, *table[ENDS[1]].chunks], type=table.schema.field(ENDS[0]).type)
    codes, names = _encode(both)
    order = pc.sort_indices(names)
    names = names.take(order)
    ranks = np.empty(len(names), np.int64)
    ranks[order.to_numpy()] = np.arange(len(names))
    nodes = ranks[codes]
    datasets, many = _number_datasets(table, key)
    if many <= 1:
        return Graph(nodes[:count], nodes[count:], names, np.zeros(len(names), np.int64))
    placed = np.concatenate([datasets, datasets]) * len(names) + nodes
    found, first, nodes = np.unique(placed, return_index=True, return_inverse=True)
    return Graph(nodes[:count], nodes[count:], names.take(pa.array(found % len(names))), first % count)


def _number_datasets(table: pa.Table, key: Sequence[str]) -> tuple[Nodes, int]:
    """The number of each row's dataset, and how many there are."""
    datasets, many = np.zeros(len(table), np.int64), 1
    for name in key:
        codes, values = _encode(table[name])
        if len(values) > 1:
            found, datasets = np.unique(datasets * len(values) + codes, return_inverse=True)
            many = len(found)
    return datasets, many


def _encode(column: pa.ChunkedArray) -> tuple[Nodes, pa.Array]:
    """Each row's value by its place in the second, which has every value once."""
    encoded = column.dictionary_encode(null_encoding="encode")  # one dictionary for all chunks
    if encoded.num_chunks == 0:
        return np.empty(0, np.int64), pa.array([], column.type)
    codes = np.concatenate([chunk.indices.to_numpy() for chunk in encoded.chunks]).astype(np.int64)
    return codes, encoded.chunk(0).dictionary


def group_table(table: pa.Table, *, key: Sequence[str]) -> pa.Table:
    """group_stars of the edges of whole datasets that a table holds."""
    graph = number_nodes(table, key=key)
    nodes = np.arange(len(graph.fingerprints))
    degrees = np.bincount(graph.left, minlength=len(nodes)) + np.bincount(graph.right, minlength=len(nodes))
    chosen, likeness = find_stars(graph.left, graph.right, table["similarity"].to_numpy(), degrees)
    columns = [graph.fingerprints, graph.fingerprints.take(pa.array(chosen)), pa.array(likeness)]
    keys = graph.keys_of(table, nodes, key=key)
    return pa.table([*keys.columns, *columns], names=[*key, ENDS[0], "representative", "similarity"])


@kernel
def find_stars(left: Nodes, right: Nodes, similarity: Similarities, degrees: Nodes) -> tuple[Nodes, Similarities]:
    """Each node's representative, int64 (nodes,), and how similar the two are, float64 (nodes,), 1 for itself.

    left, right: int64 (edges,), the ends of each edge, each edge once. similarity: float64 (edges,). degrees: int64
    (nodes,): nodes come in the order of these, greatest first, then of their number. Parts that are not connected
    do not influence each other. Time: O(nodes log nodes + edges). Memory: 24 bytes an edge, 40 a node.
    """
    count = len(degrees)
    offsets = np.zeros(count + 1, np.int64)
    for edge in range(len(left)):
        offsets[left[edge] + 1] += 1
        offsets[right[edge] + 1] += 1
    for node in range(count):
        offsets[node + 1] += offsets[node]
    places = offsets[:-1].copy()
    neighbours = np.empty(2 * len(left), np.int32)
    likeness = np.empty(2 * len(left), np.float64)
    for edge in range(len(left)):
        one, other = left[edge], right[edge]
        neighbours[places[one]], likeness[places[one]] = other, similarity[edge]
        neighbours[places[other]], likeness[places[other]] = one, similarity[edge]
        places[one] += 1
        places[other] += 1
    chosen = np.full(count, -1, np.int64)
    best = np.ones(count, np.float64)
    for node in np.argsort(-degrees, kind="mergesort"):  # stable: ties stay in the order of nodes
        if chosen[node] >= 0:
            continue
        chosen[node] = node
        for place in range(offsets[node], offsets[node + 1]):  # none of them is a representative
            neighbour = neighbours[place]
            if chosen[neighbour] < 0 or likeness[place] > best[neighbour]:
                chosen[neighbour], best[neighbour] = node, likeness[place]
    return chosen, best


def cover_table(table: pa.Table, *, key: Sequence[str]) -> pa.Table:
    """The nodes (`key`, `fingerprint`) that do not become representatives, of what is undecided of whole datasets."""
    graph = number_nodes(table, key=key)
    degrees = np.empty(len(graph.fingerprints), np.int64)
    degrees[graph.left] = table["degree"].to_numpy()
    degrees[graph.right] = table["other_degree"].to_numpy()
    chosen, _ = find_stars(graph.left, graph.right, np.ones(len(table)), degrees)
    nodes = np.flatnonzero(chosen != np.arange(len(chosen)))
    keys = graph.keys_of(table, nodes, key=key)
    return pa.table([*keys.columns, graph.fingerprints.take(pa.array(nodes))], names=[*key, ENDS[0]])
