"""Writing the tables that delta-rs owns: `cluster_edits`, `tasks` and `runs`.

Each write is one commit of one table, which is compacted every so many commits, since each of them adds a file.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, PostCommitHookProperties, write_deltalake
from deltalake.exceptions import CommitFailedError

from catalog.lake import Row, open_table
from catalog.log_watch import LogWatch
from catalog.sql import equals
from catalog.storage import storage_options, store_reason
from schemas.contract import Contract
from schemas.errors import Conflict, LakeError, SchemaMismatch
from schemas.lake import table_uri

Result = TypeVar("Result")

ATTEMPTS = 60
COMPACT_EVERY = 50
_LONGEST_PAUSE = 0.2  # seconds; a commit takes a tenth of it
_TURNS: dict[str, threading.RLock] = {}
_NO_RETRY = CommitProperties(max_commit_retries=0)
_NO_CLEANUP = PostCommitHookProperties(cleanup_expired_logs=False)  # maintenance does so; it lists the log each time
_OPEN = threading.local()


def open_newest(root: str, contract: Contract) -> DeltaTable:
    """The newest version of a table. Raises LakeError where it is missing.

    In an object store each thread keeps what it has opened: opening reads the log anew, two requests an entry.
    """
    uri = table_uri(root, contract.name)
    kept: dict[str, tuple[DeltaTable, LogWatch]] = _OPEN.__dict__
    if uri in kept:
        table, watch = kept[uri]
        if watch.may_have_moved(table.version()):
            table.update_incremental()
        return table
    table = open_table(root, contract.name)
    if "://" in root:
        kept[uri] = table, LogWatch(uri, storage_options(root))
    return table


def append(root: str, contract: Contract, rows: Sequence[Row]) -> None:
    """Appends rows in one commit. Where its version is taken, delta-rs commits as the next one."""

    def write() -> None:
        table = open_newest(root, contract)
        write_deltalake(table, to_arrow(contract, rows), mode="append", post_commithook_properties=_NO_CLEANUP)
        _compact_now_and_then(table)

    until_committed(contract, write)


def append_numbered(root: str, contract: Contract, row_at: Callable[[int], Row]) -> int:
    """Appends the row that `row_at` makes for the version it is committed as, and returns that version.

    Compare and swap: where another writer took the version, the row is made anew for the next one.
    """
    return append_all_numbered(root, contract, lambda version: [row_at(version)])


def append_all_numbered(root: str, contract: Contract, rows_at: Callable[[int], Sequence[Row]]) -> int:
    """The same for several rows, in one commit."""

    def write() -> int:
        table = open_newest(root, contract)
        version = table.version() + 1
        rows = to_arrow(contract, rows_at(version))
        write_deltalake(table, rows, mode="append", commit_properties=_NO_RETRY, post_commithook_properties=_NO_CLEANUP)
        _compact_now_and_then(table)
        return version

    return until_committed(contract, write)


def replace(root: str, contract: Contract, rows: Sequence[Row]) -> None:
    """Inserts rows, each replacing the one of the same key, in one commit."""

    def write() -> None:
        merge_rows(open_newest(root, contract), contract, rows)

    until_committed(contract, write)


def merge_rows(table: DeltaTable, contract: Contract, rows: Sequence[Row]) -> None:
    """Inserts rows into a table as it was opened, each replacing the one of the same key, in one commit.

    Raises CommitFailedError where another writer was first: `until_committed` does all again.
    """
    same_key = [f"target.{column} = source.{column}" for column in contract.key]
    if len(rows) == 1:  # files that cannot hold the row are not read
        same_key += [equals(f"target.{column}", rows[0][column]) for column in contract.key]
    merger = table.merge(
        to_arrow(contract, rows),
        " AND ".join(same_key),
        source_alias="source",
        target_alias="target",
        commit_properties=_NO_RETRY,
        post_commithook_properties=_NO_CLEANUP,
    )
    merger.when_matched_update_all().when_not_matched_insert_all().execute()
    _compact_now_and_then(table)


def merge_and_delete(root: str, contract: Contract, rows: pa.Table, *, gone: pa.Array, within: str) -> None:
    """Inserts rows, each replacing the one of the same key, and deletes those that are `gone`, in one commit.

    `within` is a condition on `target`, by which files of the table are left alone.
    """
    same_key = " AND ".join(f"target.{column} = source.{column}" for column in contract.key)
    marked = rows.append_column("_gone", gone)
    values = {name: f"source.{name}" for name in contract.names}

    def write() -> None:
        table = open_newest(root, contract)
        merger = table.merge(
            marked,
            f"{same_key} AND {within}",
            source_alias="source",
            target_alias="target",
            commit_properties=_NO_RETRY,
        )
        (
            merger.when_matched_delete("source._gone")
            .when_matched_update(values, "NOT source._gone")
            .when_not_matched_insert(values, "NOT source._gone")
            .execute()
        )
        _compact_now_and_then(table)

    until_committed(contract, write)


def remove(root: str, contract: Contract, condition: str) -> int:
    """Deletes the rows that satisfy a condition, in one commit. Returns how many they were."""

    def write() -> int:
        deleted = open_newest(root, contract).delete(condition, commit_properties=_NO_RETRY)
        return int(deleted["num_deleted_rows"] or 0)

    return until_committed(contract, write)


def change(root: str, contract: Contract, condition: str, updates: dict[str, str]) -> int:
    """Gives columns of the rows that satisfy a condition new values (SQL), in one commit. Returns how many rows."""

    def write() -> int:
        changed = open_newest(root, contract).update(updates, predicate=condition, commit_properties=_NO_RETRY)
        return int(changed["num_updated_rows"] or 0)

    return until_committed(contract, write)


def to_arrow(contract: Contract, rows: Sequence[Row]) -> pa.Table:
    """The rows as an Arrow table of the contract's types; columns left out are null.

    Raises SchemaMismatch listing columns that the contract does not have, and those wrongly null.
    """
    known = set(contract.names)
    strange = {name for row in rows for name in row.keys() - known}
    problems = [f"column {name} is not in the contract" for name in sorted(strange)]
    problems += [
        f"column {column.name} is null"
        for column in contract.columns
        if not column.nullable and any(row.get(column.name) is None for row in rows)
    ]
    try:
        table = pa.Table.from_pylist(list(rows), schema=contract.arrow_schema)
    except (pa.ArrowException, UnicodeEncodeError) as error:
        problems.append(str(error))
    if problems:
        raise SchemaMismatch(f"rows do not fit the contract of table {contract.name}: " + "; ".join(problems))
    return table


def until_committed(contract: Contract, write: Callable[[], Result]) -> Result:
    """The result of `write`, tried again while other writers take the version that it would commit as.

    Threads of this process take turns: all but one of those that race would do their work for nothing. Raises
    Conflict where others take it ATTEMPTS times, LakeError where the store refuses the write.
    """
    for attempt in range(ATTEMPTS):
        try:
            with _TURNS.setdefault(contract.name, threading.RLock()):
                return write()
        except CommitFailedError as error:
            lost_to = error
            time.sleep(random.uniform(0, min(_LONGEST_PAUSE, 0.01 * 2**attempt)))
        except OSError as error:
            raise LakeError(f"table {contract.name} cannot be written: {store_reason(error)}") from error
    raise Conflict(f"table {contract.name}: {ATTEMPTS} attempts to commit lost to other writers; try again ({lost_to})")


def _compact_now_and_then(table: DeltaTable) -> None:
    """Joins the files of the last commits. Losing to another writer does no harm: the next one compacts."""
    if table.version() % COMPACT_EVERY:
        return
    try:
        table.optimize.compact(commit_properties=_NO_RETRY)
    except CommitFailedError:
        return
