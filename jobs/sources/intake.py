"""What every job that takes in a source does with its rows: count the verdicts, and put rows into their tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame

from jobs.runtime.by_bucket import Rows, collect, column_names, fetch_keys
from jobs.runtime.commits import Step, put_rows, retry_conflicts
from jobs.runtime.kernels import apply_to_rows
from jobs.runtime.lake import Lake
from jobs.runtime.runs import Run
from schemas.contract import Contract
from schemas.locations import absolute_uri
from transforms.sources.verdicts import SUMMARY, summarize
from transforms.tables.digests import with_bucket

Settle = Callable[[Rows, Rows], Rows]

NOT_TAKEN = "not_taken."
"""Begins the names of stages that count files that were not taken in, by their suffix."""


@dataclass(frozen=True)
class Verdicts:
    """How many rows of a source were accepted and refused, and in about how many datasets they are, or more."""

    accepted: int
    refused: int
    datasets: int


def count_verdicts(
    run: Run, judged: Rows, *, sources: Sequence[str], suffixes: bool = False, known: int = 0
) -> Verdicts:
    """Counts judged rows (`reason` null where accepted, else with a `message`) in the run's ledger, by verdict.

    `sources` is where they came from. `known` are how many more were accepted, as they had come before.
    With `suffixes`, the refused are counted by the suffix of their uri too, beside files that were passed over.
    """
    rows: Counter[str | None] = Counter({None: known} if known else {})
    examples: dict[str, str] = {}
    datasets = 0
    for verdict in _summary(judged, suffixes=suffixes):
        reason = verdict["reason"]
        rows[reason] += verdict["rows"]
        datasets += verdict["datasets"]
        if reason is not None:
            stage = f"rejected.{reason}"
            examples[stage] = min(verdict["example"], examples.get(stage, verdict["example"]))
            if suffixes:
                count_not_taken(run, verdict["suffix"], verdict["rows"])
    run.ledger.judged([absolute_uri(source) for source in sources], rows)
    previous = run.ledger.row_counts
    accepted = rows.pop(None, 0)
    stages = {"input": accepted + rows.total(), "accepted": accepted}
    for stage, number in {**stages, **{f"rejected.{reason}": n for reason, n in sorted(rows.items())}}.items():
        run.ledger.count(stage, previous.get(stage, 0) + number, example=examples.get(stage))
    return Verdicts(accepted, rows.total(), datasets)


def _summary(judged: Rows, *, suffixes: bool) -> list[dict[str, Any]]:
    """The verdicts (SUMMARY) of all rows, or of those of each piece that a task of Spark counts."""
    wanted = {"reason", "message", "dataset_name", "uri"}
    told = judged.select([name for name in column_names(judged) if name in wanted])
    verdicts: list[dict[str, Any]] = collect(
        apply_to_rows(partial(summarize, suffixes=suffixes), told, schema=SUMMARY)
    ).to_pylist()
    return verdicts


def count_not_taken(run: Run, suffix: str, files: int) -> None:
    """Adds files of a suffix to those that were not taken in."""
    stage = NOT_TAKEN + (suffix or "without suffix")
    run.ledger.count(stage, run.ledger.row_counts.get(stage, 0) + files)


def put(
    run: Run,
    contract: Contract,
    rows: Rows,
    *,
    count: int,
    compare: Iterable[str],
    keep: tuple[str, ...] = ("create_time",),
    untold: Container[str] = (),
    settle: Settle | None = None,
) -> None:
    """Commits rows that are new, or differ in a column of `compare`; their bucket and run are filled in.

    `count` is about how many there are: few are compared and committed by this process, as are those of a table.
    Columns of `keep`, and those that are `untold`, keep what the table holds. `settle` makes of the rows, and those of
    the table once it is pinned, those that go in.
    """
    rows = run.stamp(rows) if "run_id" in contract.names else rows
    if run.lake.is_few(contract, count, contract.names):
        rows = collect(rows)
    if "bucket" in contract.names:
        rows = add_bucket(run.lake, rows)
    kept = [name for name in contract.names if name in untold]
    told = [name for name in compare if name not in untold]

    def commit() -> None:
        step = Step.pin(run.lake, contract, run.run_id, dry_run=run.dry_run)
        wanted, current = rows, _current(step, rows)
        if settle is not None:
            wanted = settle(wanted, current)
        done = put_rows(step, wanted, current, compare=told, keep=(*keep, *kept))
        run.ledger.wrote(contract, done)

    retry_conflicts(commit)


def add_bucket(lake: Lake, rows: Rows) -> Rows:
    """The rows with their bucket."""
    if isinstance(rows, DataFrame):
        return rows.withColumn("bucket", lake.bucket())
    schema = rows.schema.append(pa.field("bucket", pa.int32()))
    return apply_to_rows(partial(with_bucket, buckets=lake.settings.buckets), rows, schema=schema)


def _current(step: Step, rows: Rows) -> Rows:
    """The rows of the same keys, as pinned; of many all rows, which the comparison joins."""
    if isinstance(rows, DataFrame):
        return step.current()
    contract = step.contract
    fetch = fetch_keys if "bucket" in contract.names else Lake.fetch_keys
    return fetch(step.lake, contract, step.base, rows, on=contract.key, columns=contract.names)
