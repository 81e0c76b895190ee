"""What every job that takes in a source does with its rows: count the verdicts, and put rows into their tables."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.runtime.commits import Step, put_rows, retry_conflicts
from jobs.runtime.lake import bucket
from jobs.runtime.runs import EMBEDDED, Run
from schemas.contract import Contract
from transforms.tables.partitions import gather_few


def count_verdicts(run: Run, judged: DataFrame) -> None:
    """Counts judged rows (`reason` null where accepted, else with a `message`) in the run's ledger, by verdict."""
    verdicts = judged.groupBy("reason").agg(F.count("*").alias("rows"), F.min("message").alias("example")).collect()
    rows = {row.reason: row.rows for row in verdicts}
    examples = {f"rejected.{row.reason}": row.example for row in verdicts if row.reason is not None}
    previous = run.ledger.row_counts
    stages = {"input": sum(rows.values()), "accepted": rows.pop(None, 0)}
    for stage, count in {**stages, **{f"rejected.{reason}": n for reason, n in sorted(rows.items())}}.items():
        run.ledger.count(stage, previous.get(stage, 0) + count, example=examples.get(stage))


def put(
    run: Run,
    contract: Contract,
    rows: DataFrame,
    *,
    compare: Iterable[str],
    keep: tuple[str, ...] = ("create_time",),
    untold: Container[str] = (),
    settle: Callable[[DataFrame, DataFrame], DataFrame] = lambda rows, current: rows,
) -> None:
    """Commits rows that are new, or differ in a column of `compare`; their bucket and run are filled in.

    Columns of `keep`, and those that are `untold`, keep what the table holds. `settle` makes of the rows, and those of
    the table once it is pinned, the rows that go in. They are among those that count_verdicts counted.
    """
    if "bucket" in contract.names:
        rows = rows.withColumn("bucket", bucket(run.lake.settings.buckets))
    rows = run.stamp(rows) if "run_id" in contract.names else rows
    kept = [name for name in contract.names if name in untold]
    told = [name for name in compare if name not in untold]

    def commit() -> None:
        step = Step.pin(run.lake, contract, run.run_id, dry_run=run.dry_run)
        settled = settle(gather_few(rows), step.current()).select(*contract.names)
        run.ledger.wrote(contract, put_rows(step, settled, compare=told, keep=(*keep, *kept)))

    weight = EMBEDDED if "embedding" in contract.names else 1
    with run.few_or_many(weight * (run.ledger.row_counts["input"] + run.lake.rows(contract))):
        retry_conflicts(commit)
