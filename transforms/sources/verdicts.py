"""Judged rows of a source, parted by verdict and counted, and as the tables of a lake have them.

Judged rows are those of transforms.sources.rows: `reason` is null where a row is accepted, else there is a `message`.
"""

from __future__ import annotations

from datetime import datetime
from functools import reduce

import pyarrow as pa
import pyarrow.compute as pc

from schemas.contract import TIMESTAMP, Contract
from schemas.datasets import DATASETS
from schemas.figures import FIGURES
from schemas.file_features import FEATURES, FILE_FEATURES
from schemas.files import FILES
from schemas.rejected import REJECTED
from transforms.tables.digests import sha256_of
from transforms.tables.keyed import distinct, with_columns

SUMMARY = pa.schema(
    [
        ("reason", pa.string()),
        ("suffix", pa.string()),
        ("rows", pa.int64()),
        ("example", pa.string()),
        ("datasets", pa.int64()),
    ]
)
"""Judged rows by reason, null where they are accepted, and by suffix of their uri: how many, the least of their
messages, and of accepted ones in how many datasets they are."""
REFUSAL = ("project_name", "dataset_name", "source", "reason", "message", "row", "ordinal")
"""Columns of judged rows that tell why they are refused."""
_SUFFIX = r"\.(?P<suffix>[^./?#]{1,20})(?:\?.*)?$"


def computed(contract: Contract, *, but: str = "") -> pa.Schema:
    """The columns of a table that are computed of judged rows: all but bucket and run, and but one."""
    return pa.schema([field for field in contract.computed_schema if field.name not in ("bucket", but)])


FEATURE_ROWS = computed(FILE_FEATURES, but="fingerprint").append(pa.field("content_hash", pa.string()))
"""Columns of feature_rows."""


def accepted(judged: pa.Table) -> pa.Table:
    """The accepted rows: at most one per (dataset, uri), or (dataset, figure_id)."""
    verdict = [name for name in ("reason", "message", "row", "ordinal") if name in judged.column_names]
    is_accepted = pc.is_null(judged["reason"])
    rows = judged.drop_columns(verdict)
    return rows if pc.all(is_accepted).as_py() in (True, None) else rows.filter(is_accepted)


def refused(judged: pa.Table, *, dataset: str | None, now: datetime) -> pa.Table:
    """The refused rows, as the table `rejected` has them; of no known dataset, they are of `dataset`.

    `reject_id` depends on the source, the reason, the row and its number among equal rows: a repeated run
    gives the same ids.
    """
    rows = judged.filter(pc.is_valid(judged["reason"]))
    told = {
        "reject_id": sha256_of(rows, ("source", "reason", "ordinal", "row")),
        "dataset_name": pc.coalesce(rows["dataset_name"], pa.scalar(dataset, pa.string())),
        "reject_time": pa.scalar(now, TIMESTAMP),
    }
    return with_columns(rows, told).select(computed(REJECTED).names)


def summarize(judged: pa.Table, *, suffixes: bool = False) -> pa.Table:
    """How many rows there are of each verdict (SUMMARY); with `suffixes`, the refused by suffix too, in lower case."""
    is_refused = pc.is_valid(judged["reason"])
    bad = judged.filter(is_refused)
    suffix = pa.scalar("")
    if suffixes:
        suffix = pc.utf8_lower(pc.struct_field(pc.extract_regex(bad["uri"], _SUFFIX), "suffix"))
    groups = with_columns(bad.select(["reason", "message"]), {"suffix": suffix}).group_by(["reason", "suffix"])
    counted = groups.aggregate([([], "count_all"), ("message", "min")])
    counted = counted.rename_columns({"count_all": "rows", "message_min": "example"})
    datasets = 0
    if "dataset_name" in judged.column_names:
        datasets = pc.count_distinct(judged["dataset_name"].filter(pc.invert(is_refused))).as_py()
    good = {"reason": None, "suffix": None, "rows": len(judged) - len(bad), "example": None, "datasets": datasets}
    refusals = with_columns(counted, {"datasets": pa.scalar(0, pa.int64())}).select(SUMMARY.names).cast(SUMMARY)
    return pa.concat_tables([pa.Table.from_pylist([good], SUMMARY), refusals])


def dataset_rows(judged: pa.Table, *, now: datetime) -> pa.Table:
    """The datasets that accepted rows are in, as new ones in table `datasets`."""
    key = ["project_name", "dataset_name"]
    names = distinct(accepted(judged.select([*key, "reason"])), key=key)
    nothing = dict.fromkeys(name for name in DATASETS.names if name not in key)
    return _with_values(names, DATASETS, **{**nothing, "create_time": now, "update_time": now})


def file_rows(judged: pa.Table, *, now: datetime) -> pa.Table:
    """The accepted rows as new ones in table `files`."""
    files = _with_object_id(accepted(judged))
    return _with_values(files, FILES, create_time=now, update_time=now, deleted_time=None, moved_to=None)


def feature_rows(judged: pa.Table, *, now: datetime) -> pa.Table:
    """The accepted rows of pictures with features (FEATURE_ROWS), of which settle_features makes rows of the table."""
    pictures = accepted(judged)
    pictures = pictures.filter(pc.equal(pictures["media_type"], "image"))
    has_any = reduce(pc.or_, (pc.is_valid(pictures[name]) for name in FEATURES))
    pictures = _with_object_id(pictures.filter(has_any))
    return with_columns(pictures, {"update_time": pa.scalar(now, TIMESTAMP)}).select(FEATURE_ROWS.names)


def figure_rows(judged: pa.Table, *, now: datetime) -> pa.Table:
    """The accepted rows as new ones in table `figures`."""
    return _with_values(_with_object_id(accepted(judged)), FIGURES, update_time=now)


def _with_object_id(rows: pa.Table) -> pa.Table:
    """The rows with the id of their file (schemas.lake.file_object_id)."""
    return with_columns(rows, {"object_id": sha256_of(rows, ("project_name", "dataset_name", "uri"))})


def _with_values(rows: pa.Table, contract: Contract, **values: datetime | None) -> pa.Table:
    """The columns of a table that are computed of judged rows, some with one value in all rows."""
    schema = computed(contract)
    told = {name: pa.scalar(value, schema.field(name).type) for name, value in values.items()}
    return with_columns(rows, told).select(schema.names)
