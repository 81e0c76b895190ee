"""The chains of joins on Spark come to what `golden.json` has; goes when they go, with `old_chains.py`."""

import json

import pytest
from pyspark.sql import SparkSession

from schemas.cluster_kinds import MemberKind
from tests.transforms.clusters import old_chains
from tests.transforms.clusters.kernel_steps import live
from tests.transforms.clusters.test_golden import FEW, GOLDEN, KINDS, assert_same


@pytest.mark.slow
@KINDS
def test_the_chains_on_spark_come_to_the_same(kind: MemberKind, spark: SparkSession) -> None:
    expected = json.loads(GOLDEN.read_text())[kind.name]
    for step, state in enumerate(live(kind, datasets=FEW, **old_chains.on(spark))):
        assert_same(expected, state, datasets=FEW, step=step)
