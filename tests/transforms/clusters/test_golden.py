"""A thousand random histories come to the same clusters, members and events as they always did.

`golden.json` has what the chains of joins on Spark made of them: a digest of all rows after each step, and the rows of
a dozen datasets at the end, to look at where digests differ.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from schemas.cluster_kinds import GROUPS, PEOPLE, MemberKind
from schemas.keys import DATASET_KEY
from tests.transforms.clusters.histories import DATASETS, STEPS, State
from tests.transforms.clusters.kernel_steps import live

GOLDEN = Path(__file__).with_name("golden.json")
FEW = 150
"""Histories that the quick test lives through: the first of all."""
SHOWN = 12
"""Datasets whose rows are in the file."""
KINDS = pytest.mark.parametrize("kind", [PEOPLE, GROUPS], ids=lambda kind: kind.name)


def rows_of(state: State) -> dict[str, list[list[Any]]]:
    """The rows of the first datasets, without the columns of their key but the name."""
    found = {}
    for name, table, key in state.tables():
        shown = state.of_first(table, SHOWN).sort_by([(column, "ascending") for column in key])
        shown = shown.drop_columns(list(DATASET_KEY[:2]))
        found[name] = json.loads(json.dumps([list(row.values()) for row in shown.to_pylist()], default=str))
    return found


def assert_same(expected: dict[str, Any], state: State, *, datasets: int, step: int) -> None:
    """The digest after a step is the expected one; at the end first of all the rows of a dozen datasets are."""
    if step == STEPS - 1:
        assert rows_of(state) == expected["rows"]
    assert state.digest(datasets) == expected[str(datasets)][step], f"step {step}"


@pytest.mark.long
@KINDS
def test_what_histories_come_to(kind: MemberKind) -> None:
    expected = json.loads(GOLDEN.read_text())[kind.name]
    for step, state in enumerate(live(kind, datasets=FEW)):
        assert_same(expected, state, datasets=FEW, step=step)
    assert step == STEPS - 1


@pytest.mark.slow
@KINDS
def test_what_a_thousand_histories_come_to(kind: MemberKind) -> None:
    expected = json.loads(GOLDEN.read_text())[kind.name]
    for step, state in enumerate(live(kind, datasets=DATASETS)):
        assert_same(expected, state, datasets=DATASETS, step=step)
        assert_same(expected, state, datasets=FEW, step=step)


def test_histories_have_all_that_can_happen() -> None:
    expected = json.loads(GOLDEN.read_text())
    for kind in (PEOPLE, GROUPS):
        events = {row[3] for row in expected[kind.name]["rows"]["events"]}
        assert {"created", "extended", "shrunk", "merged_into", "split_from", "removed"} <= events
        states = pa.array([row[2] for row in expected[kind.name]["rows"]["clusters"]])
        assert set(states.unique().to_pylist()) == {"live", "gone"}


def record(**way: Any) -> None:
    """Writes the file anew, by `way` (live's `decide` and `derive`)."""
    found = {}
    for kind in (PEOPLE, GROUPS):
        digests: dict[str, Any] = {str(FEW): [], str(DATASETS): []}
        for state in live(kind, datasets=DATASETS, **way):
            for datasets in (FEW, DATASETS):
                digests[str(datasets)].append(state.digest(datasets))
        found[kind.name] = {**digests, "rows": rows_of(state)}
    lines = json.dumps(found, ensure_ascii=False, separators=(",", ":")).replace("],[", "],\n[")
    GOLDEN.write_text(lines + "\n")
