"""A lake as a job sees it: tables at pinned versions, and what changed between two of them.

Rows are an Arrow table of this process, or a Spark frame, and the caller says which: `load` and its kin read here,
`read` and its kin by Spark, and `fetch` and its kin here where there are fewer than `driver_rows`, else by Spark. The
session is started when a frame is first asked for: a run of few rows starts no JVM.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property, lru_cache
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError
from pyspark.errors import AnalysisException, PySparkException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import from_arrow_schema
from pyspark.sql.types import StructType

from catalog.create import ensure_lake
from catalog.lake import open_table, settings_of
from catalog.log_watch import LogWatch
from catalog.selecting import select
from catalog.sql import all_of, equals, one_of
from catalog.storage import storage_options, store_reason
from catalog.upkeep import commits_after, committed_at
from jobs.runtime.by_bucket import ByBucket
from jobs.runtime.session import has_executors
from schemas.contract import Contract
from schemas.datasets import DATASETS
from schemas.errors import LakeError, UsageError
from schemas.lake import table_uri
from schemas.locations import absolute_uri
from schemas.settings import LakeSettings
from transforms.tables.arrow_tables import gather_tables
from transforms.tables.frames import to_frame
from transforms.tables.keyed import semi_join

Rows: TypeAlias = "pa.Table | DataFrame"
"""Rows of this process, or of Spark."""

DRIVER_ROWS = 1_000_000
"""Rows below which this process does sooner what Spark would take seconds to plan; some 500 MB of them."""
WIDE = 20
"""As many rows one counts for that has an embedding, or a thumbnail and hashes."""
SCANNED = 10
"""As many rows, times `driver_rows`, this process looks through for the rows of some keys."""
MOST_NAMED = 1_000
"""Datasets up to which a look-up names them, so that files of others are skipped."""
BUCKET_ROWS = 4_000_000
"""Rows of a bucket that this process, or a task of Spark, takes on at once for a kernel: some 2 GB of the widest."""
LOOKED_AT = 200_000
"""Rows that are looked at together while a table is looked through."""
FEED = (
    pa.field("_change_type", pa.string()),
    pa.field("_commit_version", pa.int64()),
    pa.field("_commit_timestamp", pa.timestamp("us", "UTC")),
)
"""The columns that a change feed has beside the table's."""
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Lake:
    """An open lake. `settings` hold for all its tables.

    `driver_rows` are what this process takes on of a table (DRIVER_ROWS), `bucket_rows` what it, or a task of Spark,
    takes on of a bucket (BUCKET_ROWS).
    """

    root: str
    settings: LakeSettings
    start_spark: Callable[[], SparkSession] = field(compare=False, repr=False)
    driver_rows: int = DRIVER_ROWS
    bucket_rows: int = BUCKET_ROWS
    _frames: dict[tuple[str, int], DataFrame] = field(default_factory=dict, compare=False, repr=False)
    _logs: dict[str, DeltaTable] = field(default_factory=dict, compare=False, repr=False)
    _watches: dict[str, LogWatch] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def open(
        cls,
        root: str,
        *,
        start_spark: Callable[[], SparkSession],
        create: LakeSettings | None = None,
        driver_rows: int = DRIVER_ROWS,
        bucket_rows: int = BUCKET_ROWS,
    ) -> Lake:
        """Opens the lake at `root`; makes it first, with the settings `create`, where those are given."""
        root = absolute_uri(root)
        if create is not None:
            try:
                ensure_lake(root, create)
            except (DeltaError, OSError) as error:
                raise LakeError(f"no lake can be made at {root!r}: {store_reason(error)}") from error
        datasets = open_table(root, DATASETS.name)
        lake = cls(root, settings_of(root, datasets), start_spark, driver_rows, bucket_rows)
        lake._keep_open(DATASETS, datasets)
        return lake

    def __reduce__(self) -> tuple[Any, ...]:
        """To a task of Spark goes where the lake is."""
        return _open_for_task, (self.root,)

    @cached_property
    def spark(self) -> SparkSession:
        """The Spark session, started now if it was not yet."""
        return self.start_spark()

    @property
    def has_spark(self) -> bool:
        """Whether the Spark session was started, by a frame that was asked for."""
        return "spark" in self.__dict__

    def computes(self, rows: ByBucket) -> bool:
        """Whether this process computes rows by bucket sooner than tasks of Spark: unless those are of other machines,
        and it is much work.
        """
        return rows.read < SCANNED * self.driver_rows or not has_executors(lambda: self.spark)

    def uri(self, contract: Contract) -> str:
        """Where a table is."""
        return table_uri(self.root, contract.name)

    def sql_name(self, contract: Contract) -> str:
        """A table's name in Spark's SQL."""
        return "delta.`" + self.uri(contract).replace("`", "``") + "`"

    def log(self, contract: Contract) -> DeltaTable:
        """A table's transaction log, at its latest version; in an object store the same object each time, moved there.

        There each opening reads the log anew, two requests an entry; to ask what is new takes one in all.

        Raises LakeError where there is no table, or it cannot be opened.
        """
        log = self._logs.get(contract.name)
        if log is None:
            log = open_table(self.root, contract.name)
            self._keep_open(contract, log)
        elif self._watch(contract).may_have_moved(log.version()):
            log.update_incremental()
        return log

    def _keep_open(self, contract: Contract, log: DeltaTable) -> None:
        if "://" in self.root:
            self._logs[contract.name] = log

    def _watch(self, contract: Contract) -> LogWatch:
        if contract.name not in self._watches:
            self._watches[contract.name] = LogWatch(self.uri(contract), storage_options(self.root))
        return self._watches[contract.name]

    def at(self, contract: Contract, version: int) -> DeltaTable:
        """A table's transaction log, at a version. Raises LakeError as `log` does."""
        if "://" in self.root:
            log = self._logs.get(contract.name) or self.log(contract)
            if log.version() == version:
                return log
        return open_table(self.root, contract.name, version)

    def version(self, contract: Contract) -> int:
        """The latest version of a table; in an object store the table is not opened for it."""
        if "://" in self.root and contract.name not in self._logs:
            try:
                return self._watch(contract).newest()
            except FileNotFoundError:
                pass  # opening it tells what is the matter
        return self.log(contract).version()

    def rows(self, *contracts: Contract) -> int:
        """About how many rows tables have: those of their files, by the log, deleted ones that are still there too."""
        return sum(sum_of_files(self.log(contract), "num_records") for contract in contracts)

    def rows_of_largest_bucket(self, contract: Contract) -> int:
        """The same of the largest bucket of a table that is partitioned by bucket."""
        files = pa.table(self.log(contract).get_add_actions(flatten=True))
        if not len(files):
            return 0
        buckets = files.select(["partition.bucket", "num_records"]).group_by("partition.bucket")
        return pc.max(buckets.aggregate([("num_records", "sum")])["num_records_sum"]).as_py() or 0

    def rows_written(self, contract: Contract, after: int, until: int) -> int:
        """About how many rows a table's versions above `after` up to `until` wrote, by its log."""
        entries = (entry for entry in commits_after(self.log(contract), after) if entry["version"] <= until)
        return sum(_rows_written_by(entry) for entry in entries)

    def last_job_version(self, contract: Contract, *, after: int) -> int | None:
        """The latest version above `after` that a job committed (maintenance commits carry no token of their own)."""
        if self.version(contract) <= after:
            return None
        commits = (entry for entry in commits_after(self.log(contract), after) if _is_of_job(entry))
        return next((int(entry["version"]) for entry in commits), None)

    def settled_version(self, contract: Contract, version: int) -> int | None:
        """The last version with the same rows as `version`: maintenance after it moved files, but changed no row.

        None unless all that it holds, and all changes since, can still be read: where the log was cleaned up since,
        or a VACUUM deleted files that a later job removed. (Files deleted by other means than VACUUM show when they
        are read, as an error.)
        """
        table = self.log(contract)
        entries = list(commits_after(table, version))
        if len(entries) < table.version() - version:
            return None
        changed = next((entry for entry in reversed(entries) if _is_of_job(entry)), None)
        if changed is None:
            return table.version()
        vacuums = [until for entry in entries if (until := _vacuumed_until(entry)) is not None]
        return None if max(vacuums, default=_LONG_AGO) > committed_at(changed) else int(changed["version"]) - 1

    def load(
        self, contract: Contract, version: int, columns: Sequence[str] | None = None, *, condition: str = "TRUE"
    ) -> pa.Table:
        """Columns of those rows of a table that satisfy a condition (catalog.sql), read by this process."""
        table = self.at(contract, version)
        there = {column.name for column in table.schema().fields}  # an old version may lack some
        names = [name for name in columns or contract.names if name in there]
        schema = self.schema_of(contract, names)
        return pa.Table.from_batches(_batches(table, schema, condition), schema)

    def scan(
        self, contract: Contract, version: int, columns: Sequence[str], *, condition: str = "TRUE"
    ) -> Iterator[pa.RecordBatch]:
        """The same, bit by bit."""
        return _batches(self.at(contract, version), self.schema_of(contract, columns), condition)

    def schema_of(self, contract: Contract, columns: Sequence[str]) -> pa.Schema:
        """The types of columns. All may be null: what is computed of them is checked when it is committed."""
        return pa.schema([(name, contract.arrow_schema.field(name).type) for name in columns])

    def load_keys(
        self, contract: Contract, version: int, keys: pa.Table, *, on: Sequence[str], columns: Sequence[str]
    ) -> pa.Table:
        """Columns of the rows of a table whose columns `on`, a bucket first, are among `keys`, read by this process."""
        return pa.concat_tables(self._scan_keys(contract, version, keys, on=on, columns=columns))

    def load_few_keys(
        self, contract: Contract, version: int, keys: pa.Table, **which: Sequence[str]
    ) -> pa.Table | None:
        """The same; None where the table is too large to look through, or they are more than this process takes on."""
        if len(keys) and not self.is_soon_scanned(contract):
            return None
        found: list[pa.Table] = []
        for rows in self._scan_keys(contract, version, keys, **which):
            found.append(rows)
            if not self.is_few(contract, sum(map(len, found)), which["columns"]):
                return None
        return pa.concat_tables(found)

    def _scan_keys(
        self, contract: Contract, version: int, keys: pa.Table, *, on: Sequence[str], columns: Sequence[str]
    ) -> Iterator[pa.Table]:
        names = list(dict.fromkeys((*columns, *on)))
        schema = self.schema_of(contract, names)
        yield schema.empty_table().select(list(columns))
        if not len(keys):
            return
        near = pc.unique(keys[on[-1]]) if len(keys) < LOOKED_AT / 4 else None  # of more, most rows are likely wanted
        values = {name: pc.unique(keys[name]).to_pylist() for name in on[:3]}
        named = (one_of(name, some) for name, some in values.items() if len(some) <= MOST_NAMED)
        scanned = self.scan(contract, version, names, condition=all_of(["TRUE", *named]))
        for rows in gather_tables(scanned, LOOKED_AT):
            if near is not None:
                rows = rows.filter(pc.is_in(rows[on[-1]], value_set=near))
            yield semi_join(rows, keys, on=on).select(list(columns))

    def load_changes(
        self, contract: Contract, after: int, until: int, columns: Sequence[str] | None = None
    ) -> pa.Table | None:
        """The change feed of a table over the versions after `after` up to `until`, both images of an update, read by
        this process. None where the feed is gone (vacuumed, or its log cleaned up): compare snapshots instead.
        """
        if self.settled_version(contract, after) is None:
            return None
        return self.load_feed(contract, after, until, columns)

    def load_feed(
        self,
        contract: Contract,
        after: int,
        until: int,
        columns: Sequence[str] | None = None,
        *,
        condition: str | None = None,
    ) -> pa.Table:
        """The same of a feed that is known to be there; of its rows those that satisfy a condition."""
        table = self.at(contract, until)
        there = {column.name for column in table.schema().fields}  # an old version may lack some
        schema = self.feed_schema(contract, [name for name in columns or contract.names if name in there])
        feed = table.load_cdf(after + 1, until, columns=schema.names, predicate=condition)
        return pa.table(feed.read_all()).select(schema.names).cast(schema)

    def feed_schema(self, contract: Contract, columns: Sequence[str]) -> pa.Schema:
        """The types of columns of a change feed, in the contract's order, and of its own (FEED)."""
        wanted = set(columns)
        return pa.schema([*self.schema_of(contract, [name for name in contract.names if name in wanted]), *FEED])

    def read(self, contract: Contract, version: int) -> DataFrame:
        """A table as it was at `version`, as a frame; opened once, as each opening makes Delta read its log anew."""
        opened = contract.name, version
        if opened not in self._frames:
            reader = self.spark.read.format("delta").option("versionAsOf", version)
            self._frames[opened] = reader.load(self.uri(contract))
        return self._frames[opened]

    def read_changes(self, contract: Contract, after: int, until: int) -> DataFrame | None:
        """The same as load_changes, as a frame."""
        if self.settled_version(contract, after) is None:
            return None
        try:
            return (
                self.spark.read.format("delta")
                .option("readChangeFeed", "true")
                .option("startingVersion", after + 1)
                .option("endingVersion", until)
                .load(self.uri(contract))
            )
        except (AnalysisException, PySparkException) as error:
            if any(
                sign in str(error)
                for sign in ("DELTA_MISSING_CHANGE_DATA", "DELTA_VERSION_NOT_FOUND", "Cannot time travel")
            ):
                return None
            raise

    def fetch(self, contract: Contract, version: int, columns: Sequence[str], *, condition: str = "TRUE") -> Rows:
        """Columns of the rows that satisfy a condition: loaded where the table has few rows, else read by Spark.

        The condition is of `equals` and `one_of` over plain names and numbers, which both read alike.
        """
        if self.is_few(contract, self.rows(contract), columns):
            return self.load(contract, version, columns, condition=condition)
        return self.read(contract, version).where(condition).select(*columns)

    def fetch_keys(
        self, contract: Contract, version: int, keys: Rows, *, on: Sequence[str], columns: Sequence[str]
    ) -> Rows:
        """Columns of the rows whose columns `on`, a bucket first, are among `keys`: loaded where `keys` are of this
        process, the table is not too large to look through, and the rows turn out to be few; else read by Spark.
        """
        if isinstance(keys, pa.Table):
            found = self.load_few_keys(contract, version, keys, on=on, columns=columns)
            if found is not None:
                return found
        frame = self.frame(keys).select(*on)
        keys = F.broadcast(frame) if isinstance(keys, pa.Table) else frame
        return self.read(contract, version).join(keys, list(on), how="left_semi").select(*columns)

    def fetch_changes(self, contract: Contract, after: int, until: int, columns: Sequence[str]) -> Rows | None:
        """The change feed with `columns`: loaded where few rows were written, else read by Spark; None if gone."""
        if self.is_few(contract, self.rows_written(contract, after, until), columns):
            return self.load_changes(contract, after, until, columns)
        changes = self.read_changes(contract, after, until)
        return None if changes is None else changes.select(*columns, *(column.name for column in FEED))

    def is_few(self, contract: Contract, rows: int, columns: Sequence[str]) -> bool:
        """Whether so many rows of a table are what this process takes on."""
        kinds = (contract.arrow_schema.field(name).type for name in columns)
        is_wide = any(pa.types.is_binary(kind) or kind == pa.list_(pa.float32()) for kind in kinds)
        return rows * (WIDE if is_wide else 1) < self.driver_rows

    def is_soon_scanned(self, contract: Contract) -> bool:
        """Whether this process looks through a table sooner than Spark."""
        return self.rows(contract) < SCANNED * self.driver_rows

    def frame(self, rows: Rows | ByBucket) -> DataFrame:
        """Rows as a frame."""
        if isinstance(rows, ByBucket):
            return rows.frame(self)
        if not isinstance(rows, pa.Table):
            return rows
        return to_frame(self.spark, rows, from_arrow_schema(rows.schema, prefer_timestamp_ntz=True))

    def bucket(self) -> Column:
        """The bucket of a row, from its project_name and dataset_name (see schemas.lake.bucket_of)."""
        return bucket(self.settings.buckets)


@lru_cache(maxsize=4)
def _open_for_task(root: str) -> Lake:
    def no_spark() -> SparkSession:
        raise RuntimeError("a task of Spark starts no Spark")

    return Lake.open(root, start_spark=no_spark)


def sum_of_files(table: DeltaTable, what: str) -> int:
    """What the log says of a table's files (`num_records`, `size_bytes`), summed up."""
    files = pa.table(table.get_add_actions(flatten=True))
    return sum(number or 0 for number in files[what].to_pylist()) if what in files.column_names else 0


def _is_of_job(entry: dict[str, Any]) -> bool:
    return (entry.get("userMetadata") or "").startswith("{")


def _rows_written_by(entry: dict[str, Any]) -> int:
    """Rows that a log entry says were inserted or updated: by Spark, by delta-rs that appended, or that merged."""
    metrics = entry.get("operationMetrics") or {}
    merged = ("num_target_rows_inserted", "num_target_rows_updated")
    return sum(int(metrics.get(name, 0)) for name in ("numOutputRows", "num_added_rows", *merged))


def _vacuumed_until(entry: dict[str, Any]) -> datetime | None:
    """If a log entry is the start of a VACUUM: files removed before the time returned may have been deleted."""
    if entry.get("operation") != "VACUUM START":
        return None
    asked = entry.get("operationParameters") or {}
    given = (asked.get(name) for name in ("specifiedRetentionMillis", "defaultRetentionMillis"))
    kept = [int(milliseconds) for milliseconds in given if milliseconds is not None]
    return committed_at(entry) - timedelta(milliseconds=min(kept, default=0))


def bucket(buckets: int) -> Column:
    """The bucket of a row: schemas.lake.bucket_of as a Spark column."""
    return F.pmod(F.crc32(F.concat_ws("\n", "project_name", "dataset_name")), F.lit(buckets)).cast("int")


def spark_schema(contract: Contract) -> StructType:
    """A contract's columns as a Spark schema."""
    return from_arrow_schema(contract.arrow_schema, prefer_timestamp_ntz=True)


def read_settings(root: str) -> LakeSettings:
    """The settings of the lake at `root`. LakeError where there is none, or one of another version."""
    return settings_of(root, open_table(root, DATASETS.name))


def check_datasets(lake: Lake, project: str, names: tuple[str, ...]) -> None:
    """Raises UsageError for a dataset that the project does not have, listing some that it has."""
    if not names:
        return
    known = dataset_names(lake, project)
    missing = sorted(set(names).difference(known))
    if missing:
        raise UsageError(
            f"project {project!r} has no dataset {', '.join(map(repr, missing))}; it has "
            + (", ".join(known[:10]) if known else "none yet")
        )


def dataset_names(lake: Lake, project: str) -> list[str]:
    """The names of a project's datasets, in order."""
    rows = _select(lake.log(DATASETS), ("dataset_name",), equals("project_name", project)).read_all()
    return sorted(rows["dataset_name"].to_pylist())


def select_rows(table: DeltaTable, columns: Sequence[str], condition: str) -> list[dict[str, Any]]:
    """Columns of those rows of a table that satisfy a condition (catalog.sql), without Spark: for few rows."""
    found = _select(table, columns, condition).read_all()
    rows: list[dict[str, Any]] = found.to_pylist(maps_as_pydicts="strict")
    return rows


def _select(table: DeltaTable, columns: Iterable[str], condition: str) -> pa.RecordBatchReader:
    statement = f"SELECT {', '.join(columns)} FROM rows WHERE {condition}"
    return select(statement, {"rows": table})


def _batches(table: DeltaTable, schema: pa.Schema, condition: str = "TRUE") -> Iterator[pa.RecordBatch]:
    """The rows of a table, as it is now, that satisfy a condition, with the columns of a schema.

    Raises LakeError where they cannot be read, as where a file of the table is gone.
    """
    try:
        for batch in _select(table, (f'"{name}"' for name in schema.names), condition):
            yield batch.cast(schema)
    except (pa.ArrowException, DeltaError) as error:
        raise LakeError(f"table {table.table_uri} cannot be read: {store_reason(error)}") from error
