"""Whether two lakes hold the same rows: `python -m tests.cluster.compare LAKE OTHER`.

Every table that jobs compute is compared, ids included; what tells of the runs that wrote the rows is left out: when,
which, and at which versions of tables. Exit code 1, and some of the rows, where they differ.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable, QueryBuilder

from catalog.storage import storage_options
from schemas.lake import TABLES, table_uri

OF_RUNS = {
    "run_id",
    "create_time",
    "update_time",
    "reject_time",
    "event_time",
    "scan_time",
    "load_time",
    "cluster_since",
    "cluster_version",
    "evidence_versions",
    "edits_version",
    "index_version",
}
DIGITS = 5
"""Of numbers; sums may be taken in another order."""
SHOWN = 3


def rows_of(root: str, table: str) -> Counter[str]:
    """The rows of a table as text, and how often each is there."""
    opened = DeltaTable(table_uri(root, table), storage_options=storage_options(root))
    names = ", ".join(f'"{name}"' for name in TABLES[table].names if name not in OF_RUNS)
    found = pa.table(QueryBuilder().register("t", opened).execute(f"SELECT {names} FROM t").read_all())
    return Counter(json.dumps(_rounded(row), sort_keys=True, default=str) for row in found.to_pylist())


def _rounded(value: Any) -> Any:
    match value:
        case float():
            return round(value, DIGITS)
        case dict():
            return {key: _rounded(each) for key, each in value.items()}
        case list() | tuple():
            return [_rounded(each) for each in value]
    return value


def main(one: str, other: str) -> int:
    """Prints a line a table. Returns how many differ."""
    differ = 0
    for table, contract in TABLES.items():
        if contract.writer != "jobs":
            continue
        ours, theirs = rows_of(one, table), rows_of(other, table)
        only = {one: ours - theirs, other: theirs - ours}
        print(f"{table:<28} {ours.total():>6} {'equal' if ours == theirs else 'NOT EQUAL'}")
        differ += ours != theirs
        for root, rows in only.items():
            for row in sorted(rows)[:SHOWN]:
                print(f"  only {root}: {row[:600]}")
    return differ


if __name__ == "__main__":
    sys.exit(min(1, main(*sys.argv[1:])))
