"""Keeping a lake in order, as far as no JVM is needed: its files, lost and old tasks, delta-rs' tables."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import CommitProperties, DeltaTable, WriterProperties

from catalog.commits import open_newest
from catalog.lake import Lake, Row
from catalog.sql import literal, one_of
from catalog.storage import storage_options
from catalog.tasks import STALE_AFTER, append_task_state
from schemas.contract import Contract
from schemas.lake import table_uri
from schemas.runs import RUNS
from schemas.tasks import TASKS

FILE_BYTES = 1 << 30
"""Size up to which files are joined: Delta's own, spark.databricks.delta.optimize.maxFileSize."""
TOO_MANY_FILES = 8
"""A partition is rewritten once it has so many files more than its size calls for."""
TOO_MANY_DELETED = 0.05
"""Or once this share of its rows is marked as deleted: Delta's spark.databricks.delta.optimize.maxDeletedRowsRatio."""

WITHOUT_FILES = frozenset(
    {"CREATE TABLE", "SET TBLPROPERTIES", "ADD CONSTRAINT", "DROP CONSTRAINT", "ADD COLUMN", "CHANGE COLUMN"}
)
"""Operations that write and remove no file."""

ABANDONED_AFTER = timedelta(hours=1)
"""A delta-rs writer commits within seconds of writing a file."""

WRITER = WriterProperties(compression="ZSTD")

LOST = "Lost"
_LOST_MESSAGE = "no sign of life for {minutes} minutes: it was killed, or its machine lost; run it again"
_RUNNING = (
    "SELECT * FROM (SELECT *, row_number() OVER (PARTITION BY task_id ORDER BY update_time DESC, "
    "status = 'Running', progress DESC) AS age FROM tasks) WHERE age = 1 AND status = 'Running'"
)


@dataclass(frozen=True)
class Partition:
    """The files of one bucket of a table, or of a table without buckets (`bucket` None)."""

    bucket: int | None
    files: int
    size: int
    rows: int
    deleted: int

    @property
    def is_untidy(self) -> bool:
        """Whether rewriting it is worth its while: too many files, or too many rows marked as deleted."""
        needed = math.ceil(self.size / FILE_BYTES)
        return self.files >= needed + TOO_MANY_FILES or self.deleted > TOO_MANY_DELETED * self.rows


def partitions_of(root: str, contract: Contract) -> list[Partition]:
    """The partitions of a table, from its log and its deletion vectors."""
    table = DeltaTable(table_uri(root, contract.name), storage_options=storage_options(root))
    actions = pa.table(table.get_add_actions(flatten=True))
    buckets = actions["partition.bucket"].to_pylist() if contract.partition_by else [None] * actions.num_rows
    names = [path.rpartition("/")[2] for path in actions["path"].to_pylist()]
    deleted = _deleted_rows(table) if contract.merged else {}
    sums: dict[int | None, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    rows = zip(buckets, names, actions["size_bytes"].to_pylist(), actions["num_records"].to_pylist(), strict=True)
    for bucket, name, size, records in rows:
        for place, value in enumerate((1, size, records or 0, deleted.get(name, 0))):
            sums[bucket][place] += value
    return [Partition(bucket, *values) for bucket, values in sorted(sums.items(), key=lambda item: item[0] or 0)]


def has_had_files(root: str, contract: Contract) -> bool:
    """Whether a table has files, or may have had some: whether there can be any to delete or join.

    A table that was only made, or given properties and checks, has had none; where its log has lost its first entries,
    none can tell.
    """
    table = DeltaTable(table_uri(root, contract.name), storage_options=storage_options(root))
    if table.file_uris():
        return True
    entries = table.history()
    return len(entries) <= table.version() or any(entry.get("operation") not in WITHOUT_FILES for entry in entries)


def running_tasks(lake: Lake, now: datetime) -> tuple[list[Row], list[Row]]:
    """The last states of tasks that say Running: those that live, and those not heard of for five minutes."""
    states = [{name: row[name] for name in TASKS.names} for row in lake.read(_RUNNING, TASKS.name)]
    alive = [state for state in states if state["update_time"] >= now - STALE_AFTER]
    return alive, [state for state in states if state["update_time"] < now - STALE_AFTER]


def fail_lost_task(root: str, state: Row) -> None:
    """Records that a task was lost, in `tasks` and in `runs`.

    The state is dated just after the last that the task wrote: whatever it still writes, if it lives after all,
    comes later and holds.
    """
    seen: datetime = state["update_time"]
    message = _LOST_MESSAGE.format(minutes=STALE_AFTER // timedelta(minutes=1))
    failed = {"status": "Failed", "code": LOST, "message": message}
    append_task_state(root, {**state, **failed, "end_time": seen, "update_time": seen + timedelta(microseconds=1)})
    open_newest(root, RUNS).update(
        predicate=f"run_id = {literal(state['run_id'])} AND status = 'Running'",
        updates={"status": "'Failed'", "message": literal(message), "end_time": literal(seen)},
    )


def old_tasks(lake: Lake, before: datetime, keep: list[Row]) -> int:
    """How many tasks started before a time, those of `keep` aside."""
    statement = f"SELECT count(DISTINCT task_id) AS tasks FROM tasks WHERE {_old(before, keep)}"
    rows = lake.read(statement, TASKS.name)
    return int(rows[0]["tasks"]) if rows else 0


def expire_tasks(root: str, before: datetime, keep: list[Row]) -> None:
    """Deletes the tasks that started before a time, those of `keep` aside."""
    open_newest(root, TASKS).delete(_old(before, keep))


def compact(root: str, contract: Contract, buckets: Sequence[int | None], *, mark: str) -> None:
    """Joins the files of partitions.

    ZORDER rewrites a partition whole, which is what OPTIMIZE alone comes to for buckets below 1 GiB; for the price of
    a sort it brings the rows of a dataset together, so that a query of one skips the other pages of the file.
    """
    optimize = open_newest(root, contract).optimize
    how: dict[str, Any] = {"target_size": FILE_BYTES, "writer_properties": WRITER, "commit_properties": marked(mark)}
    if contract.partition_by:
        how["partition_filters"] = [("bucket", "in", [str(bucket) for bucket in buckets])]
    if contract.sort_by:
        optimize.z_order(contract.sort_by[:2], **how)
    else:
        optimize.compact(**how)


def checkpoint(root: str, contract: Contract) -> None:
    """Writes a checkpoint of a table, and drops log entries past their retention."""
    table = open_newest(root, contract)
    table.create_checkpoint()
    table.cleanup_metadata()


def stale_files(root: str, contract: Contract, hours: int) -> list[str]:
    """The files that a table has not needed for so many hours. Of a table of jobs, also those that no log entry names:
    change data, and what a writer left that was killed, if they are as old.
    """
    full = contract.writer == "jobs"
    table = open_newest(root, contract)
    return list(table.vacuum(hours, dry_run=True, enforce_retention_duration=False, full=full))


def vacuum(root: str, contract: Contract, hours: int, *, mark: str) -> None:
    """Deletes them."""
    full = contract.writer == "jobs"
    table = open_newest(root, contract)
    how: dict[str, Any] = {"enforce_retention_duration": False, "full": full, "commit_properties": marked(mark)}
    table.vacuum(hours, dry_run=False, **how)


def is_deletion_vector(path: str) -> bool:
    """Whether a file of a table marks rows as deleted, in some version."""
    return path.endswith(".bin")


def marked(mark: str) -> CommitProperties:
    """What a commit of maintenance carries."""
    return CommitProperties(custom_metadata={"userMetadata": mark})


def vacuum_abandoned(root: str, contract: Contract) -> None:
    """Deletes files that no commit of a delta-rs table names: what a writer left that was killed, or lost a race.

    They are older than `ABANDONED_AFTER`: a younger one may be about to be committed.
    """
    open_newest(root, contract).vacuum(
        ABANDONED_AFTER // timedelta(hours=1), dry_run=False, enforce_retention_duration=False, full=True
    )


def commits_after(table: DeltaTable, version: int) -> Iterator[dict[str, Any]]:
    """The entries of a table's log above a version, as far as they are still there, the newest first.

    `table` is at the latest version, as it was opened. delta-rs reads the log as it is, but numbers its entries down
    from the version that `table` is at: so that is moved on, and the log read again if there was something new.
    """
    while (until := table.version()) > version:
        entries = table.history(until - version)
        table.update_incremental()
        if table.version() == until:
            break
    else:
        return
    yield from (entry for entry in entries if entry.get("version", -1) > version)


def committed_at(entry: dict[str, Any]) -> datetime:
    """When a log entry was committed."""
    return datetime.fromtimestamp(int(entry["timestamp"]) / 1000, UTC)


def _old(before: datetime, keep: list[Row]) -> str:
    kept = one_of("task_id", [state["task_id"] for state in keep])
    return f"start_time < {literal(before)} AND NOT ({kept})"


def _deleted_rows(table: DeltaTable) -> dict[str, int]:
    """Rows marked as deleted, by the name of the file. One file's vector at a time is in memory."""
    counts: dict[str, int] = {}
    for batch in pa.RecordBatchReader.from_stream(table.deletion_vectors()):
        for path, kept in zip(batch["filepath"].to_pylist(), batch["selection_vector"], strict=True):
            counts[path.rpartition("/")[2]] = len(kept.values) - (pc.sum(kept.values).as_py() or 0)
    return counts
