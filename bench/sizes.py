"""Bytes that a row of each table takes on disk, from the tables' logs: `python -m bench.sizes LAKE`.

Rows that are marked as deleted, and files of older versions, count as the log counts them: rows of files that are in
force, bytes of these files.
"""

from __future__ import annotations

import sys

import pyarrow as pa
from deltalake import DeltaTable

from catalog.storage import storage_options
from schemas.lake import TABLES, table_uri


def main(root: str) -> None:
    """Prints a line a table that has rows: rows, megabytes, bytes a row, files."""
    print("| table | rows | MB | bytes a row | files |\n|---|---|---|---|---|")
    for name in TABLES:
        table = DeltaTable(table_uri(root, name), storage_options=storage_options(root))
        files = pa.table(table.get_add_actions(flatten=True))
        rows = sum(number or 0 for number in files["num_records"].to_pylist()) if len(files) else 0
        size = sum(files["size_bytes"].to_pylist()) if len(files) else 0
        if rows:
            print(f"| {name} | {rows:,} | {size / 1e6:,.2f} | {size / rows:,.0f} | {len(files):,} |")


if __name__ == "__main__":
    main(sys.argv[1])
