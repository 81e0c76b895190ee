"""Rows of clusters kept in memory, for a server that is asked for the pages of many datasets again and again.

DataFusion plans each statement anew, which takes ten times as long as finding fifty rows that are in memory. So the
rows of a bucket are kept from the second question about it on, as long as its table stays at the same version.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from catalog.lake import Lake, Row, plain_rows
from catalog.paging import Position, Sorting
from catalog.sql import equals
from schemas.contract import Contract
from schemas.lake import bucket_of

MOST_ROWS = 1_500_000
"""Rows of the largest table of which any are kept; a trip takes some 280 bytes."""
MOST_SORTED = 10_000
"""Rows of the largest dataset that is sorted for a page; larger ones are left to DataFusion, which sorts in parts."""
_KEYS = ("project_name", "dataset_name")


@dataclass
class _Bucket:
    """What is kept of a bucket: how often it was asked for, and then its rows, with where those of a dataset are."""

    asked: int = 0
    rows: pa.Table | None = None
    spans: Mapping[tuple[str, str], tuple[int, int]] | None = None
    reading: threading.Lock = field(default_factory=threading.Lock)


def kept_page(
    lake: Lake, contract: Contract, key: tuple[str, str], sorting: Sorting, position: Position | None, limit: int
) -> list[Row] | None:
    """The first rows of a dataset (project, name) behind a position, in order; None where they are not kept."""
    if not lake.busy or not lake.once(f"{contract.name} is small", contract, lambda: _is_small(lake, contract)):
        return None
    number = bucket_of(*key, lake.settings.buckets)
    bucket = lake.once(f"{contract.name} {number}", contract, _Bucket)
    bucket.asked += 1
    if bucket.spans is None and bucket.asked > 1 and bucket.reading.acquire(blocking=False):
        try:
            bucket.rows, bucket.spans = _read(lake, contract, number)
        finally:
            bucket.reading.release()
    if bucket.rows is None or bucket.spans is None:  # it is asked for the first time, or another thread reads it
        return None
    start, end = bucket.spans.get(key, (0, 0))
    if end - start > MOST_SORTED:
        return None
    return _first(bucket.rows.slice(start, end - start), contract, sorting, position, limit)


def _is_small(lake: Lake, contract: Contract) -> bool:
    files = pa.table(lake.table(contract).get_add_actions())
    return int(pc.sum(files["num_records"]).as_py() or 0) <= MOST_ROWS


def _read(lake: Lake, contract: Contract, number: int) -> tuple[pa.Table, dict[tuple[str, str], tuple[int, int]]]:
    """The rows of a bucket by dataset, texts that come again stored once, and where those of each begin and end."""
    statement = f"SELECT * FROM {contract.name} WHERE {equals('bucket', number)} ORDER BY {', '.join(_KEYS)}"
    found = list(lake.batches(statement, contract.name))
    rows = pa.Table.from_batches(found) if found else contract.arrow_schema.empty_table()
    rows = rows.select(contract.names).cast(contract.arrow_schema).combine_chunks()
    for at, column in enumerate(rows.schema):
        if column.type == pa.string():
            encoded = rows[column.name].dictionary_encode().combine_chunks()
            few = len(encoded.dictionary if isinstance(encoded, pa.DictionaryArray) else ()) * 2 < rows.num_rows
            rows = rows.set_column(at, column.name, encoded) if few else rows
    names = [rows[name].cast(pa.string()) for name in _KEYS]
    keys = pc.run_end_encode(pc.binary_join_element_wise(*names, "\n").combine_chunks())
    ends = keys.run_ends.to_pylist()
    spans = zip([0, *ends], ends, strict=False)
    return rows, {tuple(key.split("\n")): span for key, span in zip(keys.values.to_pylist(), spans, strict=True)}


def _first(rows: pa.Table, contract: Contract, sorting: Sorting, position: Position | None, limit: int) -> list[Row]:
    """The first rows behind a position."""
    order = "ascending" if sorting.order == "asc" else "descending"
    keys = pa.table({"by": rows[sorting.column], "tie": rows[sorting.tie].cast(pa.string())})
    indices = pc.sort_indices(keys, [("by", order), ("tie", order)])
    if position is not None:
        after = pc.less if sorting.order == "asc" else pc.greater
        value, tie = pa.scalar(position[0], keys["by"].type), pa.scalar(position[1], pa.string())
        behind = pc.or_(
            after(value, keys["by"]), pc.and_(pc.equal(keys["by"], value), after(tie, keys["tie"]))
        ).combine_chunks()
        indices = indices.filter(behind.take(indices))
    return plain_rows(rows.take(indices.slice(0, limit)).cast(contract.arrow_schema))
