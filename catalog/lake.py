"""Opening a lake and reading its tables with delta-rs, without a JVM."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError

from catalog.log_watch import LogWatch
from catalog.selecting import select
from catalog.sql import all_of, equals, from_microseconds, one_of
from catalog.storage import storage_options, store_reason
from schemas.contract import TIMESTAMP, Contract
from schemas.datasets import DATASETS
from schemas.errors import LakeError, NotFound, UsageError
from schemas.lake import CONTRACT_VERSION, TABLES, bucket_of, check_name, table_uri
from schemas.locations import lake_root
from schemas.settings import LakeSettings

Row = dict[str, Any]
Known = TypeVar("Known")

# Filters run while Parquet is decoded: the wide columns are read for the rows that pass only.
_SESSION = {
    "datafusion.execution.parquet.pushdown_filters": "true",
    "datafusion.execution.parquet.reorder_filters": "true",
}
_ONE_CORE = {"datafusion.execution.target_partitions": "1"}


class Lake:
    """An open lake: its root, its settings, and the rows of its tables.

    Each `read` sees the newest version of every table it names. Rows are dicts of plain Python values, with
    maps as dicts and instants in UTC.
    """

    def __init__(self, root: str, *, busy: bool = False) -> None:
        """Opens the lake at a directory or an object-store URI.

        `busy`: many threads ask at once. A statement then takes one core: to share it out over all costs more together.
        Raises LakeError where there is no lake, or one of another version's contracts; UsageError for a root that
        `lake_root` refuses.
        """
        self.root = root = lake_root(root)
        self._kept: dict[str, _Kept] = {}
        self._known: dict[str, tuple[DeltaTable, Any]] = {}
        datasets = open_table(root, DATASETS.name)
        self.settings = settings_of(root, datasets)
        self._pinned: dict[str, DeltaTable] = {}
        self._past: list[str] = []
        self.busy = busy
        self._session = {**_SESSION, **(_ONE_CORE if busy else {})}
        self.token_key = hashlib.sha256(f"lakealbum token {datasets.metadata().id}".encode()).digest()

    def table(self, contract: Contract) -> DeltaTable:
        """The newest version of a table. LakeError where it is missing, or its contract is of another version."""
        if contract.name in self._pinned:
            return self._pinned[contract.name]
        kept = self._kept.get(contract.name)
        if kept is not None and kept.is_newest():
            return kept.table
        table = open_table(self.root, contract.name)
        _check_version(self.root, contract, table.metadata().configuration)
        self._kept[contract.name] = _Kept.of(table, self.root, contract.name)
        return table

    def pin(self, tables: Iterable[str], versions: Mapping[str, int] | None = None) -> Lake:
        """The same lake with some tables at rest: each as of its version in `versions`, else as it is now.

        Raises UsageError where a version is not there any more.
        """
        pinned = copy(self)
        pinned._pinned, pinned._past = {}, []
        for name in sorted(tables):
            table = self.table(TABLES[name])
            if versions and versions.get(name, table.version()) != table.version():
                pinned._past.append(f"{name} at version {versions[name]}")
                table = open_table(self.root, name)  # one of its own, to be moved back
                try:
                    table.load_as_version(versions[name])
                except (DeltaError, OSError, ValueError):
                    raise pinned._not_kept() from None
            pinned._pinned[name] = table
        return pinned

    def _not_kept(self) -> UsageError:
        return UsageError(
            f"NextToken goes on with {', '.join(self._past)}, which the lake does not keep any more: ask for the first "
            "page again"
        )

    @property
    def versions(self) -> dict[str, int]:
        """The versions of the tables that are pinned."""
        return {name: table.version() for name, table in self._pinned.items()}

    def read(self, statement: str, *tables: str) -> list[Row]:
        """The rows that a statement selects from the tables it names."""
        found = list(self.batches(statement, *tables))
        return plain_rows(pa.Table.from_batches(found)) if found else []

    def batches(self, statement: str, *tables: str) -> Iterator[pa.RecordBatch]:
        """The same rows as Arrow, a batch at a time: for more of them than should be in memory at once."""
        named = {name: self.table(TABLES[name]) for name in tables}
        try:
            yield from select(statement, named, self._session)
        except Exception as error:  # what fails while a stream is read has no narrower type
            if self._past and "not found" in str(error).lower():
                raise self._not_kept() from error
            raise LakeError(f"lake {self.root!r}: {', '.join(tables)} cannot be read: {error}") from error

    def once(self, what: str, contract: Contract, read: Callable[[], Known]) -> Known:
        """What `read` tells of a table, read once for each version of it.

        It stays in memory, and should be little.
        """
        table = self.table(contract)
        of, told = self._known.get(what, (None, None))
        if of is table:
            return cast(Known, told)
        known = read()  # of this version, or a newer one
        self._known[what] = table, known
        return known

    def count(self, source: str, *tables: str) -> int:
        """How many rows a FROM clause has, of the tables it names."""
        return sum(row["total"] for row in self.read(f"SELECT count(*) AS total FROM {source}", *tables))


def open_table(root: str, name: str, version: int | None = None) -> DeltaTable:
    """A table of the lake at `root`, at its newest version or another.

    Raises LakeError where it is missing, which tells what makes it, or cannot be opened.
    """
    try:
        return DeltaTable(table_uri(root, name), version=version, storage_options=storage_options(root))
    except TableNotFoundError:
        raise _lacks(root, name) from None
    except (DeltaError, OSError) as error:
        raise LakeError(f"lake {root!r}: table {name} cannot be opened: {store_reason(error)}") from error


def settings_of(root: str, datasets: DeltaTable) -> LakeSettings:
    """The settings of the lake at `root`. Raises LakeError where it is of another version."""
    properties = datasets.metadata().configuration
    _check_version(root, DATASETS, properties)
    return LakeSettings.from_properties(properties, table_uri(root, DATASETS.name))


def _lacks(root: str, name: str) -> LakeError:
    if name == DATASETS.name:  # made last: without it there is no lake
        return LakeError(f"there is no lake at {root!r}: `lakealbum index SOURCE --lake {root}` makes one")
    return LakeError(
        f"lake {root!r} has no table {name}: `lakealbum migrate --lake {root}` makes it, empty; if it was there "
        "before, restore it instead"
    )


@dataclass(frozen=True)
class _Kept:
    """A table as it was opened, and how its log's last entry looked: opening it anew reads the log anew.

    In an object store a watch looks for the entry that would follow.
    """

    table: DeltaTable
    watch: LogWatch | None
    entry: Path
    state: tuple[int, int] | None

    @classmethod
    def of(cls, table: DeltaTable, root: str, name: str) -> _Kept:
        entry = Path(root, name, "_delta_log", f"{table.version():020}.json")
        if "://" in root:
            return cls(table, LogWatch(table_uri(root, name), storage_options(root)), entry, None)
        return cls(table, None, entry, _state(entry))

    def is_newest(self) -> bool:
        """Whether no commit has followed, and, on a disk, the last one is still the same file."""
        if self.watch is not None:
            return not self.watch.may_have_moved(self.table.version())
        following = self.entry.with_name(f"{self.table.version() + 1:020}.json")
        return self.state is not None and not following.exists() and _state(self.entry) == self.state


def _state(entry: Path) -> tuple[int, int] | None:
    try:
        found = entry.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


class Within(NamedTuple):
    """The rows of a scope, in SQL: in a table with a column `bucket`, and in one without."""

    bucketed: str
    plain: str


@dataclass(frozen=True)
class Scope:
    """What a request is about: one project, and some of its datasets or (none named) all of them."""

    project: str
    datasets: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_name("project", self.project)
        for dataset in self.datasets:
            check_name("dataset", dataset)
        object.__setattr__(self, "datasets", tuple(sorted(set(self.datasets))))

    def condition(self, lake: Lake, bucketed: bool = True, table: str = "") -> str:
        """The rows of this scope, in a table with or without a column `bucket`; `table` names it in a join."""
        of = f"{table}." if table else ""
        conditions = [equals(f"{of}project_name", self.project)]
        if self.datasets:
            conditions.append(one_of(f"{of}dataset_name", self.datasets))
        if self.datasets and bucketed:
            buckets = {bucket_of(self.project, dataset, lake.settings.buckets) for dataset in self.datasets}
            conditions.append(one_of(f"{of}bucket", sorted(buckets)))
        return all_of(conditions)

    def within(self, lake: Lake) -> Within:
        """The same conditions for tables of either kind."""
        return Within(self.condition(lake), self.condition(lake, bucketed=False))

    def check(self, lake: Lake) -> None:
        """Raises NotFound naming the project or dataset that is not there. For answers that are empty."""
        ours = equals("project_name", self.project)
        known = _names(lake, f"SELECT dataset_name AS name FROM datasets WHERE {ours}")
        if not known:
            projects = _names(lake, "SELECT DISTINCT project_name AS name FROM datasets")
            raise NotFound(f"there is no project {self.project!r}; projects: {_some(projects)}")
        for dataset in sorted(set(self.datasets) - set(known)):
            raise NotFound(f"project {self.project!r} has no dataset {dataset!r}; datasets: {_some(known)}")


def plain_rows(table: pa.Table) -> list[Row]:
    """Rows of plain Python values. Instants go by way of integers: pyarrow would load pandas to make them."""
    instants = [field.name for field in table.schema if field.type == TIMESTAMP]
    for name in instants:
        counts = [chunk.view(pa.int64()) for chunk in table[name].chunks]
        table = table.set_column(table.schema.get_field_index(name), name, pa.chunked_array(counts, pa.int64()))
    rows: list[Row] = table.to_pylist(maps_as_pydicts="strict")
    for row in rows:
        for name in instants:
            row[name] = None if row[name] is None else from_microseconds(row[name])
    return rows


def _check_version(root: str, contract: Contract, properties: dict[str, str]) -> None:
    found = properties.get("lakealbum.contractVersion")
    if found != str(CONTRACT_VERSION):
        raise LakeError(
            f"lake {root!r}: table {contract.name} has contract version {found or 'none'}; this LakeAlbum knows "
            f"version {CONTRACT_VERSION}: run `lakealbum migrate --lake {root}`, or the LakeAlbum that wrote it"
        )


def _names(lake: Lake, statement: str) -> list[str]:
    return [row["name"] for row in lake.read(f"{statement} ORDER BY name", DATASETS.name)]


def _some(names: Iterable[str], limit: int = 10) -> str:
    """The first few names, for an error message."""
    listed = list(names)
    more = f" and {len(listed) - limit:,} more" if len(listed) > limit else ""
    return ", ".join(listed[:limit]) + more if listed else "none"
