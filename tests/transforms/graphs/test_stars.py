"""Groups are those of the plain greedy rule, on any of the ways there are to find them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from pyspark.sql import DataFrame, SparkSession

from tests.transforms.graphs.test_components import (
    KEY,
    Edges,
    chain,
    frame_of,
    giant,
    keep,
    random_graph,
    random_graphs,
    shuffled_names,
)
from transforms.graphs.components import NotConverged
from transforms.graphs.stars import _group_spread, group_stars
from transforms.graphs.whole import find_stars

Stars = dict[str, tuple[str, float]]
"""Representative and similarity by fingerprint."""


def stars_of(graph: Edges) -> Stars:
    """The oracle: the rule as it reads."""
    neighbours: dict[str, dict[str, float]] = {}
    for (one, other), similarity in graph.items():
        neighbours.setdefault(one, {})[other] = similarity
        neighbours.setdefault(other, {})[one] = similarity
    order = sorted(neighbours, key=lambda node: (-len(neighbours[node]), node))
    representatives: list[str] = []
    for node in order:
        if not any(other in neighbours[node] for other in representatives):
            representatives.append(node)
    stars = {node: (node, 1.0) for node in representatives}
    for node in order:
        if node not in stars:
            near = [other for other in representatives if other in neighbours[node]]
            best = max(near, key=lambda other: neighbours[node][other])  # the earliest of several
            stars[node] = (best, neighbours[node][best])
    return stars


def assert_guarantee(graph: Edges, stars: Stars) -> None:
    assert stars.keys() == {node for pair in graph for node in pair}
    representatives = {chosen for chosen, _ in stars.values()}
    assert not any(one in representatives and other in representatives for one, other in graph)
    for node, (chosen, similarity) in stars.items():
        if node == chosen:
            assert similarity == 1.0
        else:
            assert node not in representatives
            assert similarity == graph[min(node, chosen), max(node, chosen)]


def grouped(edges: DataFrame, log: list[tuple[str, int, int]] | None = None, **options: int) -> list[Stars]:
    """`group_stars`, by the number of the dataset."""
    told: list[tuple[str, int, int]] = [] if log is None else log
    groups = group_stars(
        edges, key=KEY, checkpoint=keep, log=lambda name, number, left: told.append((name, number, left)), **options
    )
    assert groups.columns == [*KEY, "fingerprint", "representative", "similarity"]
    rows = groups.collect()
    found: list[Stars] = [{} for _ in range(1 + max(int(row.dataset_name[1:]) for row in rows))]
    for row in rows:
        number = int(row.dataset_name[1:])
        assert (row.bucket, row.project_name) == (number % 4, "p")
        assert row.fingerprint not in found[number]
        found[number][row.fingerprint] = (row.representative, row.similarity)
    return found


def test_a_chain_is_cut_where_pictures_are_no_longer_alike(spark: SparkSession) -> None:
    line = {("a", "b"): 0.9, ("b", "c"): 0.95, ("c", "d"): 0.93, ("d", "e"): 0.91}
    between = {("a", "m"): 0.9, ("b", "m"): 0.95, ("b", "c"): 0.9, ("a", "d"): 0.9}
    tie = {("a", "m"): 0.9, ("b", "m"): 0.9, ("b", "c"): 0.9, ("a", "d"): 0.9, ("b", "x"): 0.9}
    pair = {("a", "b"): 0.99}
    assert grouped(frame_of(spark, [line, between, tie, pair])) == [
        {"a": ("b", 0.9), "b": ("b", 1.0), "c": ("b", 0.95), "d": ("d", 1.0), "e": ("d", 0.91)},
        {"a": ("a", 1.0), "b": ("b", 1.0), "c": ("b", 0.9), "d": ("a", 0.9), "m": ("b", 0.95)},
        {"a": ("a", 1.0), "b": ("b", 1.0), "c": ("b", 0.9), "d": ("a", 0.9), "m": ("b", 0.9), "x": ("b", 0.9)},
        {"a": ("a", 1.0), "b": ("a", 0.99)},
    ]


def test_where_no_dataset_is_large_nothing_is_kept_or_iterated(spark: SparkSession) -> None:
    def refuse(*_: object) -> DataFrame:
        raise AssertionError("not called")

    edges = frame_of(spark, [chain("abc"), chain("abcd")])
    groups = group_stars(edges, key=KEY, checkpoint=refuse, log=refuse, edges_per_task=3)
    assert groups.count() == 7
    assert group_stars(edges.where("false"), key=KEY, checkpoint=refuse, log=refuse).count() == 0


@pytest.mark.slow
@settings(max_examples=1, deadline=None, database=None, phases=[Phase.generate])
@given(seed=st.integers(1, 2**32), edges_per_task=st.sampled_from((8, 1000)))
def test_any_order_and_partitioning_gives_the_oracles_groups(
    spark: SparkSession, seed: int, edges_per_task: int
) -> None:
    graphs = random_graphs(seed)
    wanted = [stars_of(graph) for graph in graphs]
    assert grouped(frame_of(spark, graphs, 1 + seed % 3, seed), edges_per_task=edges_per_task) == wanted
    for graph, stars in zip(graphs, wanted, strict=True):
        assert_guarantee(graph, stars)


def test_what_no_task_can_hold_gives_the_same_groups(spark: SparkSession) -> None:
    names = shuffled_names(400, 5)
    pieces = [chain(names[start : start + 40]) for start in range(0, 400, 40)]
    in_parts = {pair: similarity for piece in pieces for pair, similarity in piece.items()}
    small = [random_graph(seed, 6, 8) for seed in range(60)]
    graphs = [chain(shuffled_names(200)), giant(200, 2), in_parts, random_graph(3, 200, 600), *small]
    log: list[tuple[str, int, int]] = []
    assert grouped(frame_of(spark, graphs, 4), log, edges_per_task=60) == [stars_of(graph) for graph in graphs]
    rounds = [left for name, _, left in log if name == "stars"]
    assert rounds[0] > 1000  # in_parts and small ones do not take part
    assert rounds[-1] == 0
    assert len(rounds) <= 8


def test_too_many_rounds_are_refused(spark: SparkSession) -> None:
    edges = frame_of(spark, [chain(shuffled_names(40))], 1)
    with pytest.raises(NotConverged, match=r"stars: 39 edges undecided after 0 rounds; raise edges_per_task \(now 5\)"):
        _group_spread(edges, key=KEY, checkpoint=keep, log=lambda *_: None, edges_per_task=5, max_rounds=0)


@settings(max_examples=300, deadline=None)
@given(
    pairs=st.dictionaries(
        st.tuples(st.sampled_from("abcdefghij"), st.sampled_from("abcdefghij")).filter(lambda pair: pair[0] < pair[1]),
        st.sampled_from((0.9, 0.95, 1.0)),
        max_size=30,
    ),
    order=st.randoms(use_true_random=False),
)
def test_the_kernel_follows_the_rule(pairs: Edges, order: object) -> None:
    edges = list(pairs.items())
    order.shuffle(edges)  # type: ignore[attr-defined]
    names = sorted({node for pair in pairs for node in pair})
    left = np.array([names.index(pair[0]) for pair, _ in edges], np.int64)
    right = np.array([names.index(pair[1]) for pair, _ in edges], np.int64)
    degrees = np.bincount(left, minlength=len(names)) + np.bincount(right, minlength=len(names))
    chosen, best = find_stars(left, right, np.array([similarity for _, similarity in edges], np.float64), degrees)
    stars = {name: (names[chosen[node]], best[node]) for node, name in enumerate(names)}
    assert stars == stars_of(pairs)
    assert_guarantee(pairs, stars)


def test_similarities_of_nought_or_below_count_too() -> None:
    ends = np.array([0, 1], np.int64), np.array([1, 2], np.int64)
    chosen, best = find_stars(*ends, np.array([-0.5, 0.0]), np.array([1, 2, 1], np.int64))
    assert chosen.tolist() == [1, 1, 1]
    assert best.tolist() == [-0.5, 1.0, 0.0]
