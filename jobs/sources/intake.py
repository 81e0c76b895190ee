"""What every job that takes in a source does with its rows: count the verdicts, and put rows into their tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterable

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.runtime.commits import Step, put_rows, retry_conflicts
from jobs.runtime.lake import bucket
from jobs.runtime.runs import EMBEDDED, Run
from schemas.contract import Contract
from transforms.tables.partitions import gather_few

NOT_TAKEN = "not_taken."
"""Begins the names of stages that count files that were not taken in, by their suffix."""


def count_verdicts(run: Run, judged: DataFrame, *, suffixes: bool = False) -> None:
    """Counts judged rows (`reason` null where accepted, else with a `message`) in the run's ledger, by verdict.

    With `suffixes`, the refused are counted by the suffix of their uri too, beside files that were passed over.
    """
    suffix = F.lower(F.regexp_extract("uri", r"\.([^./?#]{1,20})(?:\?.*)?$", 1)) if suffixes else F.lit("")
    kinds = (F.col("reason"), F.when(F.col("reason").isNotNull(), suffix).alias("suffix"))
    verdicts = judged.groupBy(*kinds).agg(F.count("*").alias("rows"), F.min("message").alias("example")).collect()
    rows: Counter[str | None] = Counter()
    examples: dict[str, str] = {}
    for row in verdicts:
        rows[row.reason] += row.rows
        if row.reason is not None:
            stage = f"rejected.{row.reason}"
            examples[stage] = min(row.example, examples.get(stage, row.example))
            if suffixes:
                count_not_taken(run, row.suffix, row.rows)
    previous = run.ledger.row_counts
    stages = {"input": sum(rows.values()), "accepted": rows.pop(None, 0)}
    for stage, count in {**stages, **{f"rejected.{reason}": n for reason, n in sorted(rows.items())}}.items():
        run.ledger.count(stage, previous.get(stage, 0) + count, example=examples.get(stage))


def as_they_are(rows: DataFrame, current: DataFrame) -> DataFrame:
    """Settles nothing."""
    return rows


def count_not_taken(run: Run, suffix: str, files: int) -> None:
    """Adds files of a suffix to those that were not taken in."""
    stage = NOT_TAKEN + (suffix or "without suffix")
    run.ledger.count(stage, run.ledger.row_counts.get(stage, 0) + files)


def put(
    run: Run,
    contract: Contract,
    rows: DataFrame,
    *,
    compare: Iterable[str],
    untold: Container[str] = (),
    settle: Callable[[DataFrame, DataFrame], DataFrame] = as_they_are,
) -> None:
    """Commits rows that are new, or differ in a column of `compare`; their bucket and run are filled in.

    Columns that are `untold` keep what the table holds. `settle` makes of the rows, and those of the table once it is
    pinned, the rows that go in. They are among those that count_verdicts counted.
    """
    if "bucket" in contract.names:
        rows = rows.withColumn("bucket", bucket(run.lake.settings.buckets))
    rows = run.stamp(rows) if "run_id" in contract.names else rows
    kept = [name for name in contract.names if name in untold]
    told = [name for name in compare if name not in untold]

    def commit() -> None:
        step = Step.pin(run.lake, contract, run.run_id, dry_run=run.dry_run)
        settled = settle(gather_few(rows), step.current()).select(*contract.names)
        run.ledger.wrote(contract, put_rows(step, settled, compare=told, keep=("create_time", *kept)))

    weight = EMBEDDED if "embedding" in contract.names else 1
    with run.few_or_many(weight * (run.ledger.row_counts["input"] + run.lake.rows(contract))):
        retry_conflicts(commit)
