"""What every job that takes in a source does with its rows: count the verdicts, and put rows into their tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.runtime.commits import Step, put_rows, retry_conflicts
from jobs.runtime.lake import Rows, bucket
from jobs.runtime.runs import Run
from schemas.contract import Contract
from schemas.locations import absolute_uri
from transforms.tables.frames import from_frame

Settle = Callable[[DataFrame, DataFrame], DataFrame]


NOT_TAKEN = "not_taken."
"""Begins the names of stages that count files that were not taken in, by their suffix."""


@dataclass(frozen=True)
class Verdicts:
    """How many rows of a source were accepted and refused, and in about how many datasets they are, or more."""

    accepted: int
    refused: int
    datasets: int


def count_verdicts(run: Run, judged: DataFrame, *, sources: Sequence[str], suffixes: bool = False) -> Verdicts:
    """Counts judged rows (`reason` null where accepted, else with a `message`) in the run's ledger, by verdict.

    `sources` is where they came from.
    With `suffixes`, the refused are counted by the suffix of their uri too, beside files that were passed over.
    """
    suffix = F.lower(F.regexp_extract("uri", r"\.([^./?#]{1,20})(?:\?.*)?$", 1)) if suffixes else F.lit("")
    kinds = (F.col("reason"), F.when(F.col("reason").isNotNull(), suffix).alias("suffix"))
    datasets = F.approx_count_distinct("dataset_name") if "dataset_name" in judged.columns else F.lit(0)
    facts = (F.count("*").alias("rows"), F.min("message").alias("example"), datasets.alias("datasets"))
    verdicts = judged.groupBy(*kinds).agg(*facts).collect()
    rows: Counter[str | None] = Counter()
    examples: dict[str, str] = {}
    for row in verdicts:
        rows[row.reason] += row.rows
        if row.reason is not None:
            stage = f"rejected.{row.reason}"
            examples[stage] = min(row.example, examples.get(stage, row.example))
            if suffixes:
                count_not_taken(run, row.suffix, row.rows)
    run.ledger.judged([absolute_uri(source) for source in sources], rows)
    previous = run.ledger.row_counts
    accepted = rows.pop(None, 0)
    stages = {"input": accepted + rows.total(), "accepted": accepted}
    for stage, number in {**stages, **{f"rejected.{reason}": n for reason, n in sorted(rows.items())}}.items():
        run.ledger.count(stage, previous.get(stage, 0) + number, example=examples.get(stage))
    return Verdicts(accepted, rows.total(), sum(row.datasets for row in verdicts))


def count_not_taken(run: Run, suffix: str, files: int) -> None:
    """Adds files of a suffix to those that were not taken in."""
    stage = NOT_TAKEN + (suffix or "without suffix")
    run.ledger.count(stage, run.ledger.row_counts.get(stage, 0) + files)


def put(
    run: Run,
    contract: Contract,
    rows: DataFrame,
    *,
    count: int,
    compare: Iterable[str],
    keep: tuple[str, ...] = ("create_time",),
    untold: Container[str] = (),
    settle: Settle | None = None,
) -> None:
    """Commits rows that are new, or differ in a column of `compare`; their bucket and run are filled in.

    `count` is about how many there are: few are compared and committed by this process. Columns of `keep`, and those
    that are `untold`, keep what the table holds. `settle` makes of the rows, and those of the table once it is pinned,
    those that go in.
    """
    if "bucket" in contract.names:
        rows = rows.withColumn("bucket", bucket(run.lake.settings.buckets))
    rows = run.stamp(rows) if "run_id" in contract.names else rows
    kept = [name for name in contract.names if name in untold]
    told = [name for name in compare if name not in untold]
    given: Rows = from_frame(rows) if run.lake.is_few(contract, count, contract.names) else rows

    def commit() -> None:
        step = Step.pin(run.lake, contract, run.run_id, dry_run=run.dry_run)
        wanted, current = given, _current(step, given)
        if settle is not None:
            settled = settle(run.lake.frame(wanted), run.lake.frame(current))
            wanted = from_frame(settled) if isinstance(given, pa.Table) else settled
        done = put_rows(step, wanted, current, compare=told, keep=(*keep, *kept))
        run.ledger.wrote(contract, done)

    retry_conflicts(commit)


def _current(step: Step, rows: Rows) -> Rows:
    """The rows of the same keys, as pinned; of many all rows, which the comparison joins."""
    if not isinstance(rows, pa.Table):
        return step.current()
    return step.lake.fetch_keys(step.contract, step.base, rows, on=step.contract.key, columns=step.contract.names)
