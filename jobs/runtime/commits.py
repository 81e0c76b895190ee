"""The commit protocol: how a job changes a table, so that kills, repeats and races are harmless.

A run is a chain of commits, each to one table, each a pure function of what is already committed:

1. **Pin.** A step reads its inputs, and the table that it writes, at pinned versions.
2. **Diff.** It computes the rows that the table should hold, for the keys that its inputs' changes touch, and
   leaves out those that the table holds already (transforms.tables.changes). No difference, no commit.
3. **Commit.** One append where rows are only new, else one MERGE; by delta-rs where they are rows of this process, by
   Spark where they are a frame. Its Delta transaction, of an application id that all jobs share, counts the commits of
   jobs: of two writers that started from the same count one succeeds, and Delta refuses the other, or skips it, and
   the missing token tells. That makes an append safe. The token, in `userMetadata`, says what was consumed: the
   watermark that the next run starts from lives and dies with the rows that it stands for.
4. **Retry.** Whoever loses a race gets Conflict, and the whole step is done again from fresh pins.

Killed before a commit, nothing has happened; killed after, the next run finds the watermark and goes on.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import chain
from typing import Any, TypeVar

import pyarrow as pa
from delta.exceptions import DeltaConcurrentModificationException
from delta.tables import DeltaTable
from deltalake import CommitProperties, Transaction, WriterProperties, write_deltalake
from deltalake import DeltaTable as DeltaLog
from deltalake.exceptions import CommitFailedError
from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import to_arrow_schema

from catalog.upkeep import commits_after
from jobs.runtime.by_bucket import ByBucket, Rows
from jobs.runtime.kernels import apply_kernel
from jobs.runtime.lake import Lake, sum_of_files
from jobs.runtime.session import keep, session_settings
from schemas.contract import Contract
from schemas.errors import Conflict
from schemas.followers import follows
from schemas.lake import TABLES
from transforms.tables import keyed
from transforms.tables.actions import ACTION
from transforms.tables.changes import diff_rows
from transforms.tables.frames import from_frame

Result = TypeVar("Result")
AnyRows = TypeVar("AnyRows", pa.Table, ByBucket, DataFrame)
log = logging.getLogger("lakealbum")

TXN_APP_ID = "spark.databricks.delta.write.txnAppId"
TXN_VERSION = "spark.databricks.delta.write.txnVersion"
BROADCAST_ROWS = 100_000
"""Changed rows up to this many (some 50 MB) are sent to every worker; for more, MERGE shuffles both sides."""

MERGED_BYTES = 64 << 20
"""Bytes of a table's files up to which this process merges a few rows sooner than Spark starts to."""
MERGED_ALONE = 4 * MERGED_BYTES
"""The same where no session is there yet: 100 rows of a million files (96 MiB) take 10 s, as long as its start."""
WRITER = WriterProperties(compression="ZSTD")

USER_METADATA = "spark.databricks.delta.commitInfo.userMetadata"
APP_ID = "lakealbum"
MAINTENANCE = "maintenance after "
"""How the `userMetadata` of a maintenance commit begins; the token of the last job's commit follows."""
RECENT = 10
"""Log entries that are looked through for a token, after the last one, and before all are."""


@dataclass(frozen=True)
class Mark:
    """Where a table stands: how many commits jobs have made, and what they have consumed of the tables it follows.

    `consumed` has the version of each, by name; none before the first time, and for a table that follows none. It is
    empty too where the log is no longer there that told it (no job and no maintenance for as long as the log is kept,
    then another program's commit): then all is compared again.
    """

    count: int = 0
    consumed: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, table: DeltaLog) -> Mark:
        """The mark of a table at its latest version.

        Where a job made that version, its token says all; else the log is read for the count.
        """
        for entry in table.history(1):
            if (metadata := entry.get("userMetadata") or "").startswith("{"):
                token = json.loads(metadata)
                return cls(token["count"], token["consumed"])
        count = table.transaction_version(APP_ID) or 0
        for entries in (1, RECENT, table.version() + 1) if count else ():
            for entry in table.history(entries):
                metadata = (entry.get("userMetadata") or "").removeprefix(MAINTENANCE)
                if metadata.startswith("{") and (token := json.loads(metadata))["count"] == count:
                    return cls(count, token["consumed"])
        return cls(count)

    def next(self, consumes: Mapping[str, int]) -> Mark:
        """The mark of the next commit, which consumes tables up to the versions `consumes`."""
        return Mark(self.count + 1, {**self.consumed, **consumes})


@dataclass(frozen=True)
class Step:
    """One commit to be made: the table as pinned, and the version that it consumes of each table that it follows.

    `base` is the version that is pinned; `log` was there then, and in an object store may have moved on since.
    """

    lake: Lake
    contract: Contract
    run_id: str
    log: DeltaLog
    base: int
    mark: Mark
    consumes: Mapping[str, int] = field(default_factory=dict)
    dry_run: bool = False

    @classmethod
    def pin(
        cls,
        lake: Lake,
        contract: Contract,
        run_id: str,
        *,
        consumes: Mapping[str, int] | None = None,
        dry_run: bool = False,
    ) -> Step:
        """Pins `contract`'s table at its latest version; `consumes` are those of the tables that it follows."""
        for name in consumes or ():
            if not follows(TABLES[name], contract):
                raise ValueError(f"{contract.name} does not follow {name}: schemas.followers says what follows what")
        log = lake.log(contract)
        return cls(lake, contract, run_id, log, int(log.version()), Mark.of(log), consumes or {}, dry_run)

    def current(self) -> DataFrame:
        """The table as it was pinned, as a frame."""
        return self.lake.read(self.contract, self.base)

    def consumed(self, source: Contract) -> int | None:
        """The version of a table it follows that the pinned table has consumed; None before the first time."""
        return self.mark.consumed.get(source.name)

    def is_empty(self) -> bool:
        """Whether the pinned table holds no file, so that there is nothing to compare with."""
        return not self.log.file_uris()


@dataclass
class Committed:
    """What a step changed: rows by action, and the table's version afterwards."""

    version: int
    inserted: int = 0
    updated: int = 0
    deleted: int = 0

    @property
    def changed(self) -> int:
        """Rows inserted, updated or deleted."""
        return self.inserted + self.updated + self.deleted


@dataclass
class Ledger:
    """What a run has done so far: versions read and written, rows per stage. It becomes the run's row."""

    inputs: dict[str, int] = field(default_factory=dict)
    outputs: dict[str, int] = field(default_factory=dict)
    row_counts: dict[str, int] = field(default_factory=dict)
    examples: dict[str, str] = field(default_factory=dict)
    """What one of the rows of a stage says, where that is worth printing."""
    sources: dict[str, dict[str | None, int]] = field(default_factory=dict)
    """Sources read, and the rows of each by the reason why they were refused, None for accepted ones; none where rows
    of several sources were judged together."""

    def read(self, contract: Contract, version: int) -> None:
        """Notes a table read at a version."""
        self.inputs[contract.name] = version

    def judged(self, sources: Sequence[str], rows: Mapping[str | None, int]) -> None:
        """Notes the sources that rows came from, and what was refused."""
        for source in sources:
            verdicts = self.sources.setdefault(source, {})
            for reason, number in rows.items() if len(sources) == 1 else ():
                verdicts[reason] = verdicts.get(reason, 0) + number

    def count(self, stage: str, rows: int, *, example: str | None = None) -> None:
        """Notes the rows of a stage, and logs them."""
        self.row_counts[stage] = rows
        extra: dict[str, object] = {"rows": rows}
        if example is not None:
            extra["example"] = self.examples[stage] = example
        log.info("%s", stage, extra=extra)

    def wrote(self, contract: Contract, done: Committed) -> None:
        """Notes a commit and its rows."""
        if done.changed:
            self.outputs[contract.name] = done.version
        for action in ("inserted", "updated", "deleted"):
            rows = getattr(done, action)
            if rows:
                self.count(f"{contract.name}.{action}", self.row_counts.get(f"{contract.name}.{action}", 0) + rows)


def replace_rows(step: Step, wanted: Rows, current: Rows, *, ignore: tuple[str, ...] = ("run_id",)) -> Committed:
    """Makes the table hold `wanted` in place of `current` (the rows of the same keys, as pinned).

    `ignore` are columns in which a difference alone is no change. Raises Conflict when the table, or its
    watermark, has moved since it was pinned; SchemaMismatch when the rows do not fit the contract.
    """
    if step.is_empty():
        return add_rows(step, wanted)
    compare = [name for name in step.contract.names if name not in ignore]
    return apply_changes(step, _difference(step, wanted, current, compare=compare))


def put_rows(
    step: Step, wanted: Rows, current: Rows, *, compare: Sequence[str], keep: Sequence[str] = ("create_time",)
) -> Committed:
    """Inserts the rows of `wanted` that are new, and updates those that differ in a column of `compare`.

    `current` has the rows of the same keys, as pinned. Updates keep the old values of the columns `keep`; other rows
    stay as they are. Raises as replace_rows does.
    """
    if step.is_empty():
        return add_rows(step, wanted)
    kept = [name for name in keep if name in step.contract.names]
    return apply_changes(step, _difference(step, wanted, current, compare=compare, keep=kept, absent="leave"))


def _difference(step: Step, wanted: Rows, current: Rows, **how: Any) -> Rows:
    wanted = _conform(step, wanted)
    if isinstance(wanted, DataFrame) or isinstance(current, DataFrame):
        frame, current = step.lake.frame(wanted), step.lake.frame(current)
        return diff_rows(frame, current=current, key=step.contract.key, **how)
    names, types = [*step.contract.names, ACTION], [*step.contract.arrow_schema.types, pa.string()]
    differ = partial(keyed.diff_rows, key=step.contract.key, **how)
    schema = pa.schema([*zip(names, types, strict=True)])
    return apply_kernel(step.lake, differ, schema=schema, wanted=wanted, current=current)


def add_rows(step: Step, rows: Rows) -> Committed:
    """Appends rows that the table cannot hold: what comes of versions of its source that it has not consumed.

    Raises as replace_rows does.
    """
    rows = _conform(step, rows)
    if isinstance(rows, pa.Table):
        return apply_changes(step, keyed.with_action(rows, "insert"))
    if isinstance(rows, ByBucket) and step.lake.computes(rows):
        tables = (table for table in rows.tables() if len(table))
        first = next(tables, rows.schema.empty_table())
        return _commit(step, chain([first], tables), None) if len(first) else add_rows(step, first)
    frame = step.lake.frame(rows)
    if not step.consumes and frame.isEmpty():
        return Committed(step.base)
    return _commit(step, _gather(step, frame).withColumn(ACTION, F.lit("insert")), None)


def apply_changes(step: Step, changes: Rows) -> Committed:
    """Commits rows that must change: whole rows with `_action` (insert, update or delete), each key once."""
    changes = _conform(step, changes, ACTION)
    if isinstance(changes, ByBucket) and step.is_empty():  # where nothing is, nothing changes
        return add_rows(step, changes.select(step.contract.names))
    here = _few_of(step, changes)
    if here is None:
        changes = keep(step.lake.frame(changes))
        counts = {row[ACTION]: row["count"] for row in changes.groupBy(ACTION).count().collect()}
        is_few = step.lake.is_few(step.contract, sum(counts.values()), step.contract.names)
        here = from_frame(changes) if is_few else None
    else:
        counts = dict(Counter(here[ACTION].to_pylist()))
    if not counts and step.consumes.items() <= step.mark.consumed.items():
        return Committed(step.base)
    return _commit(step, changes if here is None else here, counts)


def _few_of(step: Step, changes: Rows) -> pa.Table | None:
    """The changes, where this process has them, or computes them bucket by bucket, and takes them on at once."""
    if isinstance(changes, pa.Table):
        return changes
    if isinstance(changes, DataFrame) or not step.lake.computes(changes):
        return None
    return changes.few(step.lake.driver_rows)


def _conform(step: Step, rows: AnyRows, *more: str) -> AnyRows:
    """`rows` in the contract's columns and order, or SchemaMismatch."""
    where = f"what was computed for {step.lake.uri(step.contract)}"
    names = [*step.contract.names, *more]
    if isinstance(rows, DataFrame):
        step.contract.check(to_arrow_schema(rows.drop(*more).schema, timestamp_utc=True), where)
        return rows.select(*names)
    step.contract.check(pa.schema([field for field in rows.schema if field.name not in more]), where)
    if isinstance(rows, ByBucket):
        return rows.select(names)
    types = {field.name: field.type for field in step.contract.arrow_schema}
    return rows.select(names).cast(pa.schema([(name, types.get(name, pa.string())) for name in names]))


def _commit(step: Step, changes: pa.Table | DataFrame | Iterator[pa.Table], counts: dict[str, int] | None) -> Committed:
    """One commit of `changes`; `counts` is their rows by action, None where all are inserts that nobody counted."""
    if step.dry_run:
        counts = counts if counts is not None else {"insert": _count(changes)}
        return Committed(step.base, counts.get("insert", 0), counts.get("update", 0), counts.get("delete", 0))
    name = step.contract.name
    reach_failure_point(f"before:{name}")
    mark = step.mark.next(step.consumes)
    token = json.dumps({"run_id": step.run_id, "step": name, **asdict(mark)})
    with conflicts_of(name):
        if isinstance(changes, pa.Table) and _is_large_merge(step, counts or {}):
            changes = step.lake.frame(changes)
        if isinstance(changes, pa.Table):
            _commit_here(step, changes, counts or {}, mark=mark, token=token)
        elif isinstance(changes, DataFrame):
            _commit_by_spark(step, changes, counts, mark=mark, token=token)
        else:
            counts = {"insert": _append_stream(step, changes, _properties(mark, token))}
    version, metrics = _find_commit(step, token)
    reach_failure_point(f"after:{name}")
    if counts is None:
        counts = {"insert": int(metrics.get("numOutputRows", 0))}
    return Committed(version, counts.get("insert", 0), counts.get("update", 0), counts.get("delete", 0))


def _count(changes: pa.Table | DataFrame | Iterator[pa.Table]) -> int:
    if isinstance(changes, DataFrame):
        return changes.count()
    return len(changes) if isinstance(changes, pa.Table) else sum(map(len, changes))


def _properties(mark: Mark, token: str) -> CommitProperties:
    """What says of a commit by delta-rs whose it is, and makes Delta refuse all but one of those of the same count."""
    return CommitProperties(custom_metadata={"userMetadata": token}, app_transactions=[Transaction(APP_ID, mark.count)])


def _only_adds(counts: Mapping[str, int]) -> bool:
    return set(counts) <= {"insert"}


def _is_large_merge(step: Step, counts: Mapping[str, int]) -> bool:
    """Whether rows change in a table whose files delta-rs would take long to write anew: Spark marks rows."""
    most = MERGED_BYTES if step.lake.has_spark else MERGED_ALONE
    return not _only_adds(counts) and sum_of_files(step.log, "size_bytes") > most


def _commit_here(step: Step, changes: pa.Table, counts: dict[str, int], *, mark: Mark, token: str) -> None:
    """A commit by delta-rs, which takes a hundredth of the time that Spark takes to plan one."""
    table = step.lake.at(step.contract, step.base)
    schema = step.contract.arrow_schema
    properties = _properties(mark, token)
    if _only_adds(counts):
        rows = changes.drop_columns([ACTION]).cast(schema)
        write_deltalake(table, rows, mode="append", writer_properties=WRITER, commit_properties=properties)
        return
    merge = table.merge(
        changes.cast(schema.append(pa.field(ACTION, pa.string()))),
        _same_key(step),
        source_alias="s",
        target_alias="t",
        writer_properties=WRITER,
        commit_properties=properties,
    )
    values = {name: f"s.{name}" for name in step.contract.names}
    if "delete" in counts:
        merge = merge.when_matched_delete(f"s.{ACTION} = 'delete'")
    if "update" in counts:
        merge = merge.when_matched_update(values, f"s.{ACTION} = 'update'")
    if "insert" in counts:
        merge = merge.when_not_matched_insert(values, f"s.{ACTION} = 'insert'")
    merge.execute()


def _append_stream(step: Step, tables: Iterator[pa.Table], properties: CommitProperties) -> int:
    """One append by delta-rs of tables that are computed while it writes. Returns how many rows they had.

    A thread writes, as a signal is heard by this one alone, between two statements: what is written then ends soon,
    without a commit. The same if a table can't be computed.
    """
    schema = step.contract.arrow_schema
    rows = 0
    is_over = threading.Event()
    failures: list[Exception] = []

    def batches() -> Iterator[pa.RecordBatch]:
        nonlocal rows
        try:
            for table in tables:
                if is_over.is_set():
                    raise RuntimeError("nobody waits for this commit any more")
                rows += len(table)
                yield from table.select(schema.names).cast(schema).to_batches()
        except Exception as error:
            failures.append(error)
            raise

    with ThreadPoolExecutor(1, "append") as threads:
        table = step.lake.at(step.contract, step.base)
        stream = pa.RecordBatchReader.from_batches(schema, batches())
        how = {"mode": "append", "writer_properties": WRITER, "commit_properties": properties}
        try:
            threads.submit(write_deltalake, table, stream, **how).result()  # type: ignore[arg-type]
        except Exception:  # what delta-rs makes of a failure of rows to come has no narrower type
            if failures:
                raise failures[0] from None
            raise
        finally:
            is_over.set()
    return rows


def _commit_by_spark(step: Step, changes: DataFrame, counts: dict[str, int] | None, *, mark: Mark, token: str) -> None:
    transaction = {TXN_APP_ID: APP_ID, TXN_VERSION: str(mark.count), USER_METADATA: token}
    with session_settings(step.lake.spark, transaction):
        if counts is None:
            _append(step, changes)
        elif _only_adds(counts):
            _append(step, _gather(step, changes))
        else:
            _merge(step, changes, counts)


def _same_key(step: Step) -> str:
    return " AND ".join(f"t.{name} = s.{name}" for name in step.contract.key)


def _gather(step: Step, rows: DataFrame) -> DataFrame:
    """`rows` with those of a partition together, so that each gets one file."""
    return rows.repartition(*step.contract.partition_by) if step.contract.partition_by else rows


def _append(step: Step, rows: DataFrame) -> None:
    """Adds rows that the table is known not to hold; none, where only the watermark moves."""
    rows.drop(ACTION).write.format("delta").mode("append").save(step.lake.uri(step.contract))


def _merge(step: Step, changes: DataFrame, counts: dict[str, int]) -> None:
    table = DeltaTable.forPath(step.lake.spark, step.lake.uri(step.contract))
    values: dict[str, str | Column] = {name: f"s.{name}" for name in step.contract.names}
    if sum(counts.values()) <= BROADCAST_ROWS and not step.contract.wide:
        changes = F.broadcast(changes)
    merge = table.alias("t").merge(changes.alias("s"), _same_key(step))
    if "delete" in counts:
        merge = merge.whenMatchedDelete(f"s.{ACTION} = 'delete'")
    if "update" in counts:
        merge = merge.whenMatchedUpdate(f"s.{ACTION} = 'update'", set=values)
    if "insert" in counts:
        merge = merge.whenNotMatchedInsert(f"s.{ACTION} = 'insert'", values=values)
    merge.execute()


def _find_commit(step: Step, token: str) -> tuple[int, dict[str, str]]:
    """The version that carries `token`, and its metrics. Conflict if there is none: Delta skipped the commit."""
    for entry in commits_after(step.lake.log(step.contract), step.base):
        if entry.get("userMetadata") == token:
            return int(entry["version"]), entry.get("operationMetrics") or {}
    raise Conflict(f"another run changed table {step.contract.name} first")


def maintenance_mark(lake: Lake, contract: Contract) -> str:
    """The `userMetadata` of maintenance: it passes on the mark of the last commit by a job."""
    return MAINTENANCE + json.dumps(asdict(Mark.of(lake.log(contract))))


@contextmanager
def maintenance_of(lake: Lake, contract: Contract) -> Iterator[None]:
    """Inside, Spark's commits to the table carry its maintenance_mark."""
    with session_settings(lake.spark, {USER_METADATA: maintenance_mark(lake, contract)}):
        yield


@contextmanager
def conflicts_of(table: str) -> Iterator[None]:
    """Makes Delta's word for a lost race, and delta-rs', a Conflict that names the table."""
    try:
        yield
    except (DeltaConcurrentModificationException, CommitFailedError) as error:
        raise Conflict(f"another writer changed table {table}: {str(error).splitlines()[0]}") from error
    except PySparkException as error:
        if "DELTA_CONCURRENT" in str(error):
            raise Conflict(f"another writer changed table {table}: {str(error).splitlines()[0]}") from error
        raise


def retry_conflicts(step: Callable[[], Result], *, attempts: int = 8) -> Result:
    """Runs `step` again, from fresh pins, each time that it loses a race; the last Conflict is raised."""
    for attempt in range(1, attempts):
        try:
            return step()
        except Conflict as conflict:
            log.warning("lost a race (%d of %d), starting over: %s", attempt, attempts, conflict)
            time.sleep(min(0.2 * 2**attempt, 5.0) * (1 + os.getpid() % 7 / 7))
    return step()


class InjectedFailure(Exception):
    """Raised at a failure point that LAKEALBUM_FAIL_AT names; for tests of recovery."""


def reach_failure_point(point: str) -> None:
    """Fails here if the environment says so: LAKEALBUM_FAIL_AT='after:place_days', LAKEALBUM_FAIL_HOW='kill'.

    `raise` (the default) raises InjectedFailure; `kill` ends the process at once, as kill -9 does.
    """
    if os.environ.get("LAKEALBUM_FAIL_AT") != point:
        return
    if os.environ.get("LAKEALBUM_FAIL_HOW") == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    raise InjectedFailure(point)
