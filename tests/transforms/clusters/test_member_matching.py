"""Old clusters and new groups are matched one to one, most shared members first."""

import random
from datetime import UTC, datetime

from pyspark.sql import SparkSession

from transforms.clusters.member_matching import match_members

Pair = tuple[str, str, str, int, int, int]


def expected(pairs: list[Pair]) -> set[tuple[str, str, str]]:
    """The rule itself: in the order of turn, most shared, oldest, lesser ids, what is free on both sides."""
    taken: set[tuple[str, str, str]] = set()
    used: set[tuple[str, str]] = set()
    for dataset, group, cluster, _, _, _ in sorted(pairs, key=lambda p: (p[3], -p[4], p[5], p[2], p[1])):
        if not {(dataset, group), (dataset, cluster)} & used:
            used |= {(dataset, group), (dataset, cluster)}
            taken.add((dataset, group, cluster))
    return taken


def test_most_shared_first_each_side_once(spark: SparkSession) -> None:
    rng = random.Random(1)
    ages = {f"c{number}": rng.randrange(1, 4) for number in range(20)}
    chosen = {(rng.choice("xy"), f"g{rng.randrange(20)}", rng.choice(list(ages))) for _ in range(150)}
    pairs: list[Pair] = [(*pair, rng.randrange(2), rng.randrange(1, 4), ages[pair[2]]) for pair in sorted(chosen)]
    rows = [(d, g, c, t, n, datetime(2026, 1, age, tzinfo=UTC)) for d, g, c, t, n, age in pairs]
    schema = "dataset string, representative string, object_id string, turn int, shared bigint, create_time timestamp"
    matches = match_members(spark.createDataFrame(rows, schema).repartition(2), key=("dataset",)).collect()
    assert {(row.dataset, row.representative, row.object_id) for row in matches} == expected(pairs)
    assert len(matches) == len(expected(pairs)) > 20


def test_without_pairs_there_are_no_matches(spark: SparkSession) -> None:
    schema = "dataset string, representative string, object_id string, turn int, shared bigint, create_time timestamp"
    assert match_members(spark.createDataFrame([], schema), key=("dataset",)).collect() == []
