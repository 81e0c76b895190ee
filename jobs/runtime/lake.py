"""A lake as a Spark job sees it: tables read at pinned versions, and what changed between two of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable, QueryBuilder
from pyspark.errors import AnalysisException, PySparkException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import from_arrow_schema
from pyspark.sql.types import StructType

from catalog.create import ensure_lake
from catalog.sql import equals, one_of
from catalog.storage import storage_options
from catalog.upkeep import commits_after, committed_at
from schemas.contract import Contract
from schemas.datasets import DATASETS
from schemas.errors import LakeError, UsageError
from schemas.lake import CONTRACT_VERSION, absolute_uri, table_uri
from schemas.settings import LakeSettings
from transforms.tables.arrow_tables import to_frame
from transforms.tables.partitions import gather_few, is_for_one_task

SMALL_BYTES = 8 << 20
"""Bytes of a table's files up to which it is sent along with the tasks that read it."""
SCANNED_ROWS = 2_000_000
"""Rows of a table up to which this process looks through it sooner than Spark starts to."""
FEED_ROWS = 50_000
"""Rows that commits wrote up to which this process reads their change feed."""
FEED = (
    pa.field("_change_type", pa.string()),
    pa.field("_commit_version", pa.int64()),
    pa.field("_commit_timestamp", pa.timestamp("us", "UTC")),
)
"""The columns that a change feed has beside the table's."""
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Lake:
    """An open lake. `settings` hold for all its tables."""

    spark: SparkSession
    root: str
    settings: LakeSettings
    _frames: dict[tuple[str, int, bool], DataFrame] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def open(cls, spark: SparkSession, root: str, create: LakeSettings | None = None) -> Lake:
        """Opens the lake at `root`; makes it first, with the settings `create`, where those are given."""
        root = absolute_uri(root)
        if create is not None and not DeltaTable.is_deltatable(
            table_uri(root, "datasets"), storage_options=storage_options(root)
        ):
            ensure_lake(root, create)
        return cls(spark, root, read_settings(root))

    def uri(self, contract: Contract) -> str:
        """Where a table is."""
        return table_uri(self.root, contract.name)

    def log(self, contract: Contract) -> DeltaTable:
        """A table's transaction log, at its latest version."""
        return DeltaTable(self.uri(contract), storage_options=storage_options(self.root))

    def at(self, contract: Contract, version: int) -> DeltaTable:
        """A table's transaction log, at a version."""
        return DeltaTable(self.uri(contract), version=version, storage_options=storage_options(self.root))

    def version(self, contract: Contract) -> int:
        """The latest version of a table."""
        return self.log(contract).version()

    def rows(self, *contracts: Contract) -> int:
        """About how many rows tables have: those of their files, by the log, deleted ones that are still there too."""
        return sum(sum_of_files(self.log(contract), "num_records") for contract in contracts)

    def rows_written(self, contract: Contract, after: int, until: int) -> int:
        """About how many rows a table's versions above `after` up to `until` wrote, by its log."""
        entries = (entry for entry in commits_after(self.log(contract), after) if entry["version"] <= until)
        return sum(_rows_written_by(entry) for entry in entries)

    def last_job_version(self, contract: Contract, *, after: int) -> int | None:
        """The latest version above `after` that a job committed (maintenance commits carry no token of their own)."""
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

    def read(self, contract: Contract, version: int) -> DataFrame:
        """A table as it was at `version`; opened once, as each opening makes Delta read its log anew.

        Where the session is set for few rows, a small table is read here: Delta takes several Spark jobs to plan that.
        """
        few = is_for_one_task(self.spark)
        opened = contract.name, version, few
        if opened not in self._frames:
            small = self._read_small(contract, version) if few else None
            self._frames[opened] = gather_few(self._open(contract, version)) if small is None else small
        return self._frames[opened]

    def _open(self, contract: Contract, version: int) -> DataFrame:
        return self.spark.read.format("delta").option("versionAsOf", version).load(self.uri(contract))

    def _read_small(self, contract: Contract, version: int) -> DataFrame | None:
        """The rows of a table, unless their files are larger than SMALL_BYTES."""
        table = self.at(contract, version)
        if sum_of_files(table, "size_bytes") > SMALL_BYTES:
            return None
        there = {column.name for column in table.schema().fields}  # an old version may lack some
        schema = pa.schema([column for column in contract.arrow_schema if column.name in there])
        return self.frame(pa.Table.from_batches(_batches(table, schema), schema))

    def frame(self, rows: pa.Table) -> DataFrame:
        """Rows of this process as a frame."""
        return gather_few(to_frame(self.spark, rows, from_arrow_schema(rows.schema, prefer_timestamp_ntz=True)))

    def can_scan(self, *contracts: Contract) -> bool:
        """Whether tables are so small that this process looks through them itself for a few rows."""
        return all(self.rows(contract) <= SCANNED_ROWS for contract in contracts)

    def scan(
        self, contract: Contract, version: int, columns: Sequence[str], *, condition: str = "TRUE"
    ) -> Iterator[pa.RecordBatch]:
        """Columns of those rows of a table that satisfy a condition (catalog.sql), read by this process, bit by bit."""
        schema = pa.schema([contract.arrow_schema.field(name) for name in columns])
        return _batches(self.at(contract, version), schema, condition)

    def rows_of(
        self, contract: Contract, version: int, keys: DataFrame, *, on: Sequence[str], columns: Sequence[str]
    ) -> DataFrame:
        """Columns of the rows of a table whose columns `on`, a bucket first, are among `keys`.

        Where the session is set for few rows, and the table is not too large (can_scan), this process looks for them.
        """
        if not (is_for_one_task(self.spark) and self.can_scan(contract)):
            return self.read(contract, version).join(keys, list(on), how="left_semi").select(*columns)
        asked = keys.select(*on).toArrow()
        found = []
        names = list(dict.fromkeys((*columns, *on)))
        for batch in self.scan(contract, version, names, condition=one_of(on[0], asked[on[0]].unique().to_pylist())):
            near = batch.filter(pc.is_in(batch[on[-1]], value_set=asked[on[-1]]))
            if len(near):
                found.append(near)
        schema = pa.schema([contract.arrow_schema.field(name) for name in names])
        rows = pa.Table.from_batches(found, schema)
        numbered = rows.select(list(on)).append_column("_row", pa.array(np.arange(len(rows))))
        matched = numbered.join(asked, list(on), join_type="left semi")["_row"]
        return self.frame(rows.take(matched).select(list(columns)))

    def changes(self, contract: Contract, after: int, until: int) -> DataFrame | None:
        """The change feed of a table over the versions after `after` up to `until`, both images of an update.

        None where the feed is gone (vacuumed, or its log cleaned up): the caller compares snapshots instead.
        """
        if self.settled_version(contract, after) is None:
            return None
        if is_for_one_task(self.spark) and self.rows_written(contract, after, until) <= FEED_ROWS:
            return self._read_feed(contract, after, until)
        try:
            return gather_few(
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

    def _read_feed(self, contract: Contract, after: int, until: int) -> DataFrame:
        feed = self.log(contract).load_cdf(starting_version=after + 1, ending_version=until)
        rows = pa.table(feed.read_all())
        schema = pa.schema([field for field in (*contract.arrow_schema, *FEED) if field.name in rows.column_names])
        return self.frame(rows.select(schema.names).cast(schema))

    def bucket(self) -> Column:
        """The bucket of a row, from its project_name and dataset_name (see schemas.lake.bucket_of)."""
        return bucket(self.settings.buckets)


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
    uri = table_uri(root, DATASETS.name)
    options = storage_options(root)
    if not DeltaTable.is_deltatable(uri, storage_options=options):
        raise LakeError(f"there is no lake at {root!r}: `lakealbum index SOURCE --lake {root}` makes one")
    properties = DeltaTable(uri, storage_options=options).metadata().configuration
    version = properties.get("lakealbum.contractVersion", "none")
    if version != str(CONTRACT_VERSION):
        raise LakeError(
            f"the lake at {root!r} has table contracts of version {version}; this LakeAlbum knows version "
            f"{CONTRACT_VERSION}: run `lakealbum migrate --lake {root}`, or the LakeAlbum that wrote it"
        )
    return LakeSettings.from_properties(properties, uri)


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
    rows = select_rows(lake.log(DATASETS), ("dataset_name",), equals("project_name", project))
    return sorted(row["dataset_name"] for row in rows)


def select_rows(table: DeltaTable, columns: Sequence[str], condition: str) -> list[dict[str, Any]]:
    """Columns of those rows of a table that satisfy a condition (catalog.sql), without Spark: for few rows."""
    found = _select(table, columns, condition).read_all()
    rows: list[dict[str, Any]] = found.to_pylist(maps_as_pydicts="strict")
    return rows


def _select(table: DeltaTable, columns: Iterable[str], condition: str) -> pa.RecordBatchReader:
    statement = f"SELECT {', '.join(columns)} FROM rows WHERE {condition}"
    return pa.RecordBatchReader.from_stream(QueryBuilder().register("rows", table).execute(statement))


def _batches(table: DeltaTable, schema: pa.Schema, condition: str = "TRUE") -> Iterator[pa.RecordBatch]:
    """The rows of a table that satisfy a condition, with the columns of a schema."""
    for batch in _select(table, (f'"{name}"' for name in schema.names), condition):
        yield batch.cast(schema)
