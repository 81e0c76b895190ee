"""Opening a lake and reading its tables with delta-rs, without a JVM."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable, QueryBuilder
from deltalake.exceptions import DeltaError, TableNotFoundError

from catalog.sql import all_of, equals, from_microseconds, one_of
from catalog.storage import storage_options
from schemas.contract import TIMESTAMP, Contract
from schemas.datasets import DATASETS
from schemas.errors import LakeError, NotFound
from schemas.lake import CONTRACT_VERSION, TABLES, bucket_of, check_name, table_uri
from schemas.settings import LakeSettings

Row = dict[str, Any]

# Filters run while Parquet is decoded: the wide columns are read for the rows that pass only.
_SESSION = {
    "datafusion.execution.parquet.pushdown_filters": "true",
    "datafusion.execution.parquet.reorder_filters": "true",
}


class Lake:
    """An open lake: its root, its settings, and the rows of its tables.

    Each `read` sees the newest version of every table it names. Rows are dicts of plain Python values, with
    maps as dicts and instants in UTC.
    """

    def __init__(self, root: str) -> None:
        """Opens the lake at a directory or an object-store URI.

        Raises LakeError where there is no lake, or one of another version's contracts.
        """
        if "://" not in root and "%" in root:
            raise LakeError(f"lake {root!r}: delta-rs takes the % for an escape; use a path without one")
        self.root = root
        datasets = self._open(DATASETS.name)
        if datasets is None:
            raise LakeError(f"there is no lake at {root!r}: `lakealbum index SOURCE --lake {root}` makes one")
        metadata = datasets.metadata()
        _check_version(root, DATASETS, metadata.configuration)
        self.settings = LakeSettings.from_properties(metadata.configuration, table_uri(root, DATASETS.name))
        self.token_key = hashlib.sha256(f"lakealbum token {metadata.id}".encode()).digest()

    def table(self, contract: Contract) -> DeltaTable | None:
        """The newest version of a table, None where it has not been made yet.

        Raises LakeError where its contract is of another version.
        """
        table = self._open(contract.name)
        if table is not None:
            _check_version(self.root, contract, table.metadata().configuration)
        return table

    def has(self, table: str) -> bool:
        """Whether a table has been made."""
        return self.table(TABLES[table]) is not None

    def read(self, statement: str, *tables: str) -> list[Row]:
        """The rows that a statement selects from the tables it names; none if one of them is not there."""
        found = list(self.batches(statement, *tables))
        return _to_rows(pa.Table.from_batches(found)) if found else []

    def batches(self, statement: str, *tables: str) -> Iterator[pa.RecordBatch]:
        """The same rows as Arrow, a batch at a time: for more of them than should be in memory at once."""
        session = QueryBuilder(_SESSION)
        for name in tables:
            table = self.table(TABLES[name])
            if table is None:
                return
            session = session.register(name, table)
        try:
            yield from pa.RecordBatchReader.from_stream(session.execute(statement))
        except Exception as error:  # what fails while a stream is read has no narrower type
            raise LakeError(f"lake {self.root!r}: {', '.join(tables)} cannot be read: {error}") from error

    def count(self, source: str, *tables: str) -> int:
        """How many rows a FROM clause has, of the tables it names; none if one of them is not there."""
        return sum(row["total"] for row in self.read(f"SELECT count(*) AS total FROM {source}", *tables))

    def _open(self, table: str) -> DeltaTable | None:
        try:
            return DeltaTable(table_uri(self.root, table), storage_options=storage_options(self.root))
        except TableNotFoundError:
            return None
        except (DeltaError, OSError) as error:
            raise LakeError(f"lake {self.root!r}: table {table} cannot be opened: {error}") from error


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

    def condition(self, lake: Lake, bucketed: bool = True) -> str:
        """The rows of this scope, in a table with or without a column `bucket`."""
        conditions = [equals("project_name", self.project)]
        if self.datasets:
            conditions.append(one_of("dataset_name", self.datasets))
        if self.datasets and bucketed:
            buckets = {bucket_of(self.project, dataset, lake.settings.buckets) for dataset in self.datasets}
            conditions.append(one_of("bucket", sorted(buckets)))
        return all_of(conditions)

    def check(self, lake: Lake) -> None:
        """Raises NotFound naming the project or dataset that is not there. For answers that are empty."""
        ours = equals("project_name", self.project)
        known = _names(lake, f"SELECT dataset_name AS name FROM datasets WHERE {ours}")
        if not known:
            projects = _names(lake, "SELECT DISTINCT project_name AS name FROM datasets")
            raise NotFound(f"there is no project {self.project!r}; projects: {_some(projects)}")
        for dataset in sorted(set(self.datasets) - set(known)):
            raise NotFound(f"project {self.project!r} has no dataset {dataset!r}; datasets: {_some(known)}")


def _to_rows(table: pa.Table) -> list[Row]:
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
