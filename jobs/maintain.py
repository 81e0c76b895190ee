"""Job: maintain, which compacts, vacuums and expires.

    tasks (lost and old ones), then table by table: files joined, files that nobody needs any more deleted

Small tables are tended by this process, by delta-rs; Spark is started for the others, and for what --erased frees.
Each commit changes no computed row and counts as none of a job's, so that steps under way (jobs.runtime.commits) do
not mind it: one that loses a race to maintenance is done again, maintenance that loses one is left for the next time.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

import click
from pydantic import Field, field_validator
from pyspark.sql import SparkSession

from catalog import upkeep
from catalog.lake import Lake as Catalog
from catalog.lake import Row
from catalog.sql import equals
from jobs.cli.main import run as run_command
from jobs.cli.options import JobConfig, build_config, job_options
from jobs.runtime.commits import (
    MERGED_BYTES,
    conflicts_of,
    maintenance_mark,
    maintenance_of,
    reach_failure_point,
)
from jobs.runtime.lake import Lake
from jobs.runtime.lineage.states import RunState
from jobs.runtime.needs import Need, need_of
from jobs.runtime.runs import Run, print_result, run_job
from jobs.runtime.session import session_settings
from schemas.cluster_edits import CLUSTER_EDITS
from schemas.contract import Contract
from schemas.errors import Conflict, LakeError, UsageError
from schemas.figure_clusters import FIGURE_CLUSTERS
from schemas.figure_members import FIGURE_MEMBERS
from schemas.figures import FIGURES
from schemas.lake import TABLES
from schemas.rejected import REJECTED
from schemas.runs import RUNS

log = logging.getLogger("lakealbum")

RETAIN_HOURS = 168
"""Delta's default, a week: longer than the gap between runs."""
_LOG_FILE = re.compile(r"\.?(\d{20})\.")
"""A file of a table's log, or what a killed writer left of one, and its version."""
LOG_HOURS = 720
"""How long Delta keeps a table's log by default; it is never less than the files."""

ERASED_FROM = (FIGURES, FIGURE_MEMBERS, FIGURE_CLUSTERS, CLUSTER_EDITS, REJECTED)
"""Tables that `erase figure` takes a person out of."""


class Maintain(JobConfig):
    """What `maintain` can be asked."""

    retain_hours: int | None = Field(
        default=None, ge=0, le=87600, description="hours that replaced files are kept; 168 where not given"
    )
    erased: bool = Field(default=False, description="free at once what erased people left in old versions of tables")
    task_days: int = Field(default=7, ge=1, le=3650, description="days that a task is kept, from its start")

    def frees(self, contract: Contract) -> bool:
        """Whether no older version of a table is kept, nor the rows in it that are marked as deleted."""
        return self.erased and contract in ERASED_FROM

    def hours_of(self, contract: Contract) -> int:
        """Hours that replaced files of a table are kept."""
        if self.frees(contract):
            return 0
        return RETAIN_HOURS if self.retain_hours is None else self.retain_hours

    @field_validator("dataset")
    @classmethod
    def _no_dataset(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if value:
            raise ValueError("is not accepted: maintain works on the whole lake")
        return value


@dataclass
class TableUpkeep:
    """What was done to a table, or would be: files joined, and files deleted."""

    table: str
    files: int
    bytes: int
    files_compacted: int = 0
    bytes_compacted: int = 0
    files_vacuumed: int = 0
    note: str = ""


@dataclass(frozen=True)
class TaskUpkeep:
    """What was done to the tasks, or would be."""

    lost: int
    expired: int


def maintain_lake(run: Run, config: Maintain) -> tuple[TaskUpkeep, list[TableUpkeep]]:
    """Tidies the tasks, then every table of the lake. Harmless to repeat, and to run beside jobs.

    Raises UsageError where --retain-hours is less than what a later step, or a task under way, still needs, or where
    a task under way needs what --erased frees. Later steps then compare whole tables, of those that --erased frees.
    """
    run.progress.stage("tasks", 5)
    catalog = Catalog(config.lake)
    alive, lost = upkeep.running_tasks(catalog, run.now)
    others = [state for state in alive if state["task_id"] != run.task_id]
    held = {}
    for contract in TABLES.values():
        need = need_of(run.lake, catalog, contract, others, followers=not config.frees(contract))
        if need is not None and need.since < run.now - timedelta(hours=config.hours_of(contract)):
            held[contract.name] = need
    asked = {name: need for name, need in held.items() if config.retain_hours is not None or config.frees(TABLES[name])}
    if asked:
        raise UsageError(_refusal(config, asked, run.now))
    tasks = _tidy_tasks(run, config, catalog, lost, keep=alive)
    tables = []
    for number, contract in enumerate(TABLES.values()):
        run.progress.stage(f"table {contract.name}", 10 + 90 * number // len(TABLES))
        with _point(run, contract):
            tables.append(_tidy_table(run, config, contract, held.get(contract.name)))
    return tasks, tables


def _tidy_tasks(run: Run, config: Maintain, catalog: Catalog, lost: list[Any], keep: list[Any]) -> TaskUpkeep:
    expires = run.now - timedelta(days=config.task_days)
    expired = upkeep.old_tasks(catalog, expires, keep)
    if not run.dry_run:
        for state in lost:
            upkeep.fail_lost_task(config.lake, state)
            _tell_lost(run, catalog, state)
            log.warning("lost task", extra={"task_id": state["task_id"], "last_seen": state["update_time"]})
        if expired:
            upkeep.expire_tasks(config.lake, expires, keep)
    run.ledger.count("tasks.lost", len(lost))
    run.ledger.count("tasks.expired", expired)
    return TaskUpkeep(len(lost), expired)


def _tell_lost(run: Run, catalog: Catalog, task: Row) -> None:
    """Tells of the end of a run that could not tell of it."""
    for row in catalog.read(f"SELECT * FROM runs WHERE {equals('run_id', task['run_id'])}", RUNS.name):
        run.lineage.tell(RunState(row, task, {}, code=upkeep.LOST, is_own=False))


def _tidy_table(run: Run, config: Maintain, contract: Contract, held: Need | None) -> TableUpkeep:
    frees = config.frees(contract)
    if not frees and not upkeep.has_had_files(run.lake.root, contract):
        return TableUpkeep(contract.name, 0, 0)  # a VACUUM would list its folder, and commit twice
    partitions = upkeep.partitions_of(run.lake.root, contract)
    untidy = [partition for partition in partitions if partition.is_untidy or (frees and partition.deleted)]
    here = contract.writer == "catalog" or (not frees and _is_small(run.lake, contract, partitions))
    done = TableUpkeep(
        contract.name,
        sum(partition.files for partition in partitions),
        sum(partition.size for partition in partitions),
        sum(partition.files for partition in untidy),
        sum(partition.size for partition in untidy),
    )
    try:
        with conflicts_of(contract.name):
            if untidy and not run.dry_run:
                compact = _compact_here if here else _compact_by_spark
                compact(run.lake, contract, [partition.bucket for partition in untidy])
                run.ledger.outputs[contract.name] = run.lake.version(contract)
            if held is None:
                done.files_vacuumed = _vacuum(run, contract, config.hours_of(contract), here=here)
            else:
                done.note = f"not vacuumed: {held.whose}"
                log.warning("not vacuumed", extra={"table": contract.name, "reason": held.whose})
            if here and not run.dry_run:
                upkeep.checkpoint(run.lake.root, contract)
            if frees and not run.dry_run:
                _drop_history(run.lake, contract)
    except Conflict as conflict:
        done.note = f"left for the next time: {conflict}"
        log.warning("left for the next time", extra={"table": contract.name, "reason": str(conflict)})
    for stage, files in (("files_compacted", done.files_compacted), ("files_vacuumed", done.files_vacuumed)):
        if files:
            run.ledger.count(f"{contract.name}.{stage}", files)
    return done


def _is_small(lake: Lake, contract: Contract, partitions: list[upkeep.Partition]) -> bool:
    """Whether this process has tended a table before Spark has started: it has few rows, in files of few bytes.

    Rows that are marked as deleted are Spark's to drop.
    """
    rows, size, deleted = (sum(getattr(each, name) for each in partitions) for name in ("rows", "size", "deleted"))
    return lake.is_few(contract, rows, contract.names) and size <= MERGED_BYTES and not deleted


def _compact_here(lake: Lake, contract: Contract, buckets: list[int | None]) -> None:
    upkeep.compact(lake.root, contract, buckets, mark=maintenance_mark(lake, contract))


def _compact_by_spark(lake: Lake, contract: Contract, buckets: list[int | None]) -> None:
    """The same as upkeep.compact; with the files it drops the rows marked as deleted."""
    where = f"WHERE bucket IN ({', '.join(map(str, buckets))})" if contract.partition_by else ""
    order = f"ZORDER BY ({', '.join(contract.sort_by[:2])})" if contract.sort_by else ""
    settings = {"spark.databricks.io.skipping.mdc.sortWithinFiles": "true"}
    with maintenance_of(lake, contract), session_settings(lake.spark, settings):
        lake.spark.sql(f"OPTIMIZE {lake.sql_name(contract)} {where} {order}")


def _vacuum(run: Run, contract: Contract, hours: int, *, here: bool) -> int:
    """Deletes (in a dry run: finds) the files that no version of the last `hours` hours holds; how many.

    Which versions need a deletion vector, Spark knows: a table where one is left over is not vacuumed `here`.
    """
    if not run.dry_run:
        _remember_removals(run.lake, contract, hours, here=here)
    if here:
        stale = upkeep.stale_files(run.lake.root, contract, hours)
        if not any(map(upkeep.is_deletion_vector, stale)):
            if stale and not run.dry_run:
                upkeep.vacuum(run.lake.root, contract, hours, mark=maintenance_mark(run.lake, contract))
            return len(stale)
    return _vacuum_by_spark(run.lake, contract, hours, dry_run=run.dry_run)


def _vacuum_by_spark(lake: Lake, contract: Contract, hours: int, *, dry_run: bool) -> int:
    spark = lake.spark
    statement = f"VACUUM {lake.sql_name(contract)} RETAIN {hours} HOURS"
    with (
        maintenance_of(lake, contract),
        session_settings(spark, _vacuum_settings(spark)),
        _jvm_prints_to_stderr(spark),
    ):
        if dry_run:
            return spark.sql(f"{statement} DRY RUN").count()
        spark.sql(statement)
    end = next(iter(lake.log(contract).history(1)))
    return int((end.get("operationMetrics") or {}).get("numDeletedFiles", 0))


def _vacuum_settings(spark: SparkSession) -> dict[str, str]:
    """Delta would ignore RETAIN, and forbid a short one: what is needed has been looked at here. A log entry tells
    later runs. Listing a table takes a task a directory, not ten thousand."""
    return {
        "spark.databricks.delta.vacuum.retentionWindowIgnore.enabled": "false",
        "spark.databricks.delta.retentionDurationCheck.enabled": "false",
        "spark.databricks.delta.vacuum.logging.enabled": "true",
        "spark.sql.sources.parallelPartitionDiscovery.parallelism": str(2 * spark.sparkContext.defaultParallelism),
    }


def _drop_history(lake: Lake, contract: Contract) -> None:
    """Deletes the log up to the last commit, of which a checkpoint is made: its statistics name the least and the
    greatest values of columns, of rows that are no more, too. And files that a writer left who was killed."""
    jvm: Any = lake.spark._jvm
    delta_log = jvm.org.apache.spark.sql.delta.DeltaLog.forTable(lake.spark._jsparkSession, lake.uri(contract))
    if contract.writer == "catalog":
        upkeep.vacuum_abandoned(lake.root, contract)
        version = lake.version(contract)
        upkeep.checkpoint(lake.root, contract)
    else:
        version = lake.version(contract)
        delta_log.checkpoint()
    if delta_log.readLastCheckpointFile().get().version() < version:  # a failure is logged, not raised
        raise LakeError(f"table {contract.name} has no checkpoint of version {version}: its log cannot be deleted")
    folder = delta_log.logPath()
    files = folder.getFileSystem(delta_log.newDeltaHadoopConf())
    for status in files.listStatus(folder):
        numbered = _LOG_FILE.match(status.getPath().getName())
        if numbered and int(numbered[1]) < version:
            files.delete(status.getPath(), False)


def _remember_removals(lake: Lake, contract: Contract, hours: int, *, here: bool) -> None:
    """For a retention longer than a week: checkpoints forget removed files after what the table's property says."""
    retention = "delta.deletedFileRetentionDuration"
    wanted = {
        retention: f"interval {hours} hours",
        "delta.logRetentionDuration": f"interval {max(hours, LOG_HOURS)} hours",
    }
    table = lake.log(contract)
    if hours <= RETAIN_HOURS or table.metadata().configuration.get(retention) == wanted[retention]:
        return
    if here:
        mark = maintenance_mark(lake, contract)
        table.alter.set_table_properties(wanted, commit_properties=upkeep.marked(mark))
        return
    properties = ", ".join(f"'{key}' = '{value}'" for key, value in wanted.items())
    with maintenance_of(lake, contract):
        lake.spark.sql(f"ALTER TABLE {lake.sql_name(contract)} SET TBLPROPERTIES ({properties})")


def _refusal(config: Maintain, held: dict[str, Need], now: datetime) -> str:
    lines = [
        f"{name} is needed as it was {(now - need.since) / timedelta(hours=1):.1f} hours ago: {need.whose}"
        for name, need in held.items()
    ]
    given = "--erased" if config.retain_hours is None else f"--retain-hours {config.retain_hours}"
    return f"{given} keeps less than what is still needed\n" + "\n".join(lines)


@contextmanager
def _point(run: Run, contract: Contract) -> Iterator[None]:
    if not run.dry_run:
        reach_failure_point(f"before:maintain.{contract.name}")
    yield
    if not run.dry_run:
        reach_failure_point(f"after:maintain.{contract.name}")


@contextmanager
def _jvm_prints_to_stderr(spark: SparkSession) -> Iterator[None]:
    """VACUUM prints what it did on stdout, which belongs to the command's result."""
    jvm: Any = spark._jvm
    console = getattr(getattr(jvm, "scala.Console$"), "MODULE$")
    stdout = console.out()
    console.setOutDirect(jvm.java.lang.System.err)
    try:
        yield
    finally:
        console.setOutDirect(stdout)


def _print_upkeep(run: Run, tasks: TaskUpkeep, tables: list[TableUpkeep]) -> None:
    from rich.console import Console
    from rich.table import Table

    will = "to " if run.dry_run else ""
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("Table")
    for name in ("Files", "MB", f"Files {will}compact", f"MB {will}compact", f"Files {will}vacuum"):
        table.add_column(
            name if run.dry_run else name.replace("compact", "compacted").replace("vacuum", "vacuumed"), justify="right"
        )
    table.add_column("Note")
    for row in tables:
        numbers = (row.files, row.bytes / 1e6, row.files_compacted, row.bytes_compacted / 1e6, row.files_vacuumed)
        table.add_row(row.table, *(f"{n:,.1f}" if isinstance(n, float) else f"{n:,}" for n in numbers), row.note)
    console = Console()
    (console if console.is_terminal else Console(width=200)).print(table)
    print(f"Tasks lost: {tasks.lost:,}; expired: {tasks.expired:,}")
    if run.dry_run:
        print("Dry run: nothing was written.")


def _document(of: TableUpkeep | TaskUpkeep) -> dict[str, Any]:
    """Its fields, named as in all JSON documents."""
    return {"".join(part.capitalize() for part in name.split("_")): value for name, value in asdict(of).items()}


@click.command("maintain")
@click.option("--retain-hours", type=int, help="Hours that replaced files are kept.  [default: 168]")
@click.option("--erased", is_flag=True, default=None, help="Free at once what erased people left in old versions.")
@click.option("--task-days", type=int, help="Days that a task is kept, from its start.  [default: 7]")
@job_options
def command(given: dict[str, Any], as_json: bool, **own: Any) -> None:
    """Compact, vacuum and expire the tables of a lake."""
    config = build_config(Maintain, given, own)
    with run_job(config, job="maintain", task_type="LakeMaintenance") as run:
        tasks, tables = maintain_lake(run, config)
    if as_json:
        print_result(run, as_json=True, DryRun=run.dry_run, Tasks=_document(tasks), Tables=[*map(_document, tables)])
    else:
        _print_upkeep(run, tasks, tables)


if __name__ == "__main__":
    sys.exit(run_command(command))
