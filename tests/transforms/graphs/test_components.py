"""Components are those that networkx finds, however the edges lie and however little one task may hold."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Sequence

import networkx as nx
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from pyspark import StorageLevel
from pyspark.sql import DataFrame, SparkSession

from transforms.graphs.components import NotConverged, label_components
from transforms.graphs.whole import find_roots, number_nodes
from transforms.tables.arrow_tables import whole_datasets

KEY = ("bucket", "project_name", "dataset_name")
Edges = dict[tuple[str, str], float]
"""Similarity by pair, the smaller fingerprint first."""


def keep(df: DataFrame) -> DataFrame:
    """A checkpoint, as jobs.runtime.runs.Run.cache has it."""
    return df.localCheckpoint(eager=True, storageLevel=StorageLevel.MEMORY_AND_DISK)


def edges_of(pairs: Iterable[tuple[str, str]], seed: int = 0) -> Edges:
    """The pairs in order, with similarities of few values, so that there are ties."""
    chance = random.Random(seed)
    ordered = sorted({(min(pair), max(pair)) for pair in pairs if pair[0] != pair[1]})
    return {pair: chance.choice((0.9, 0.925, 0.95, 1.0)) for pair in ordered}


def random_graph(seed: int, nodes: int, edges: int) -> Edges:
    """Up to so many edges between nodes whose fingerprints are in no order."""
    chance = random.Random(seed)
    names = shuffled_names(nodes, seed)
    return edges_of(((chance.choice(names), chance.choice(names)) for _ in range(edges)), seed)


def random_graphs(seed: int, count: int = 100) -> list[Edges]:
    """An example of a property: many graphs, to be grouped by one run."""
    chance = random.Random(seed)
    graphs = (random_graph(seed + number, chance.randint(2, 16), chance.randint(1, 30)) for number in range(count))
    return [graph for graph in graphs if graph]


def shuffled_names(count: int, seed: int = 0) -> list[str]:
    names = [f"{number:05x}" for number in range(count)]
    random.Random(seed).shuffle(names)
    return names


def chain(names: Sequence[str]) -> Edges:
    return edges_of(itertools.pairwise(names))


def giant(nodes: int, seed: int) -> Edges:
    """One component with hubs: a tree in which the early nodes have many neighbours, and as many edges again."""
    chance = random.Random(seed)
    names = shuffled_names(nodes, seed)
    tree = ((names[number], names[int(number * chance.random() ** 2)]) for number in range(1, nodes))
    return edges_of([*tree, *((chance.choice(names), chance.choice(names)) for _ in range(nodes))], seed)


def frame_of(spark: SparkSession, graphs: Sequence[Edges], partitions: int = 3, seed: int = 0) -> DataFrame:
    """Each graph as a dataset; rows in any order."""
    rows = [
        (number % 4, "p", f"d{number}", *pair, similarity)
        for number, graph in enumerate(graphs)
        for pair, similarity in graph.items()
    ]
    random.Random(seed).shuffle(rows)
    schema = "bucket int, project_name string, dataset_name string, fingerprint string, other_fingerprint string, "
    return spark.createDataFrame(rows, f"{schema} similarity double").repartition(partitions)


def components_of(graph: Edges) -> dict[str, str]:
    """The oracle."""
    parts = nx.connected_components(nx.Graph(list(graph)))
    return {node: min(part) for part in parts for node in part}


def labelled(edges: DataFrame, log: list[tuple[str, int, int]] | None = None, **options: int) -> list[dict[str, str]]:
    """`label_components`, by the number of the dataset."""
    told: list[tuple[str, int, int]] = [] if log is None else log
    labels = label_components(
        edges, key=KEY, checkpoint=keep, log=lambda name, number, left: told.append((name, number, left)), **options
    )
    assert labels.columns == [*KEY, "fingerprint", "component"]
    rows = labels.collect()
    found: list[dict[str, str]] = [{} for _ in range(1 + max(int(row.dataset_name[1:]) for row in rows))]
    for row in rows:
        number = int(row.dataset_name[1:])
        assert (row.bucket, row.project_name) == (number % 4, "p")
        assert row.fingerprint not in found[number]
        found[number][row.fingerprint] = row.component
    return found


def test_the_smallest_fingerprint_names_a_component(spark: SparkSession) -> None:
    graphs = [edges_of([("b", "c"), ("c", "d"), ("a", "d"), ("x", "y")]), edges_of([("c", "x")])]
    assert labelled(frame_of(spark, graphs)) == [
        {"a": "a", "b": "a", "c": "a", "d": "a", "x": "x", "y": "x"},
        {"c": "c", "x": "c"},
    ]


def test_no_edges_have_no_components(spark: SparkSession) -> None:
    nothing = frame_of(spark, [chain("ab")]).where("false")
    assert label_components(nothing, key=KEY, checkpoint=keep, log=lambda *_: None).count() == 0


@settings(max_examples=2, deadline=None, database=None, phases=[Phase.generate])
@given(seed=st.integers(1, 2**32), edges_per_task=st.sampled_from((3, 1000)))
def test_any_order_and_partitioning_gives_the_oracles_components(
    spark: SparkSession, seed: int, edges_per_task: int
) -> None:
    graphs = random_graphs(seed)
    edges = frame_of(spark, graphs, 1 + seed % 3, seed)
    assert labelled(edges, edges_per_task=edges_per_task) == [components_of(graph) for graph in graphs]


def test_chains_and_giants_take_few_rounds(spark: SparkSession) -> None:
    graphs = [chain(shuffled_names(600)), chain(sorted(shuffled_names(600))), giant(600, 1), chain("abc")]
    log: list[tuple[str, int, int]] = []
    assert labelled(frame_of(spark, graphs, 3), log, edges_per_task=100) == [components_of(graph) for graph in graphs]
    assert [name for name, _, _ in log] == ["components"] * len(log)
    assert [number for _, number, _ in log] == list(range(len(log)))
    left = [rows for _, _, rows in log]
    assert left[0] > 1600
    assert left[-1] == 0
    assert left == sorted(left, reverse=True)
    assert len(log) <= 7


def test_too_many_rounds_are_refused(spark: SparkSession) -> None:
    edges = frame_of(spark, [chain(shuffled_names(50))])
    with pytest.raises(NotConverged, match=r"49 edges left after 0 rounds; raise edges_per_task \(now 10\)"):
        label_components(edges, key=KEY, checkpoint=keep, log=lambda *_: None, edges_per_task=10, max_rounds=0)


@settings(max_examples=200, deadline=None)
@given(pairs=st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), max_size=30))
def test_roots_are_the_smallest_of_each_component(pairs: list[tuple[int, int]]) -> None:
    graph = nx.Graph(pairs)
    graph.add_nodes_from(range(21))
    wanted = {node: min(part) for part in nx.connected_components(graph) for node in part}
    ends = np.array(pairs, np.int64).reshape(-1, 2)
    roots = find_roots(ends[:, 0].copy(), ends[:, 1].copy(), 21)
    assert dict(enumerate(roots.tolist())) == wanted


def test_nodes_are_numbered_by_dataset_and_then_in_the_order_of_bytes() -> None:
    names = ["\U0001f600", "\uffee", "z", "é", ""]
    rows = [(key, one, other) for key in ("q", "p") for one, other in itertools.pairwise(names)]
    columns = [pa.array(column) for column in zip(*rows, strict=True)]
    table = pa.table(columns, names=["dataset_name", "fingerprint", "other_fingerprint"])
    split = pa.concat_tables([table.slice(0, 3), table.slice(3)])
    for edges in (table, split):
        graph = number_nodes(edges, key=["dataset_name"])
        assert graph.fingerprints.to_pylist() == sorted(names, key=str.encode) * 2
        for number, (key, one, other) in enumerate(rows):
            for node, name in ((graph.left[number], one), (graph.right[number], other)):
                assert graph.fingerprints[node].as_py() == name
                assert edges["dataset_name"][graph.rows[node]].as_py() == key


@settings(max_examples=100, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 9), max_size=12),
    cuts=st.lists(st.integers(1, 7), min_size=1, max_size=5),
    rows=st.integers(1, 12),
)
def test_datasets_stay_whole(sizes: list[int], cuts: list[int], rows: int) -> None:
    projects = [number // 3 for number, size in enumerate(sizes) for _ in range(size)]
    datasets = [number % 3 for number, size in enumerate(sizes) for _ in range(size)]
    batches = []
    start = 0
    while start < len(projects):
        end = start + cuts[len(batches) % len(cuts)]
        batches.append(pa.record_batch([projects[start:end], datasets[start:end]], names=["project", "dataset"]))
        start = end
    tables = list(whole_datasets(iter(batches), key=["project", "dataset"], rows=rows))
    held = [list(zip(*table.to_pydict().values(), strict=True)) for table in tables]
    assert [row for table in held for row in table] == list(zip(projects, datasets, strict=True))
    assert sum(len(set(table)) for table in held) == len(sizes)
    assert all(len(table) < rows + max(sizes) + max(cuts) for table in held)
