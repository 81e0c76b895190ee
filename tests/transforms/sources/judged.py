"""Judged rows, as transforms.sources.rows gives them, made up for tests."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from schemas.contract import Contract
from schemas.figures import FIGURES
from schemas.file_features import FILE_FEATURES
from schemas.files import FILES

Row = dict[str, Any]
_NOT_JUDGED = {"bucket", "object_id", "fingerprint", "run_id"} | {
    f"{what}_time" for what in ("create", "update", "deleted")
}
_VERDICT = [("reason", pa.string()), ("message", pa.string()), ("row", pa.string()), ("ordinal", pa.int32())]
_PLAIN = {"project_name": "demo", "dataset_name": "ada", "source": "s", "row": "{}", "ordinal": 0}


def judged_files(*rows: Row) -> pa.Table:
    """Rows of pictures of ada's, accepted where they give no reason."""
    return _judged(rows, (FILES, FILE_FEATURES), {"uri": "a.jpg", "media_type": "image"})


def judged_figures(*rows: Row) -> pa.Table:
    """The same of figures."""
    return _judged(rows, (FIGURES,), {"uri": "a.jpg", "figure_id": "f"})


def _judged(rows: tuple[Row, ...], contracts: tuple[Contract, ...], plain: Row) -> pa.Table:
    columns = {column.name: column.type for contract in contracts for column in contract.columns}
    told = [("source", pa.string())]
    fields = {**columns, **dict(told), **dict(_VERDICT)}
    schema = pa.schema([(name, kind) for name, kind in fields.items() if name not in (*_NOT_JUDGED, "moved_to")])
    unknown = {name for row in rows for name in row} - set(schema.names)
    assert not unknown, unknown
    return pa.Table.from_pylist([{**dict.fromkeys(schema.names), **_PLAIN, **plain, **row} for row in rows], schema)
