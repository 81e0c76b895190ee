"""Files and their places put into a lake without Spark, by the commit protocol: where tests of clusterings begin.

What `index` makes of the same rows is the same (test_deliveries_are_what_index_makes in test_index_files.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
from pyspark.sql import SparkSession

from jobs.runtime.commits import Step, put_rows, replace_rows
from jobs.runtime.lake import Lake
from schemas.contract import LEVELS, Contract
from schemas.datasets import DATASETS
from schemas.figures import FIGURES
from schemas.file_features import FILE_FEATURES
from schemas.file_places import FILE_PLACES
from schemas.files import FILES
from schemas.lake import bucket_of, file_object_id
from schemas.settings import LakeSettings
from tests.lakes import new_lake
from transforms.pictures.perceptual_hashes import CONTENT, MIN_HASH_QUALITY
from transforms.places.file_places import VIDEO_RANK

Row = dict[str, Any]
RUN = "delivery"
BUCKETS = 16


def deliver(root: str, rows: Sequence[Row], *, project: str) -> None:
    """Puts rows as `index` takes them, whose time has an offset and whose address is supplied, into the lake."""
    files = put_files(root, rows, project=project)
    lake = Lake.open(root, start_spark=no_spark)
    until = lake.version(FILES)
    step = Step.pin(lake, FILE_PLACES, RUN, consumes={FILES.name: until})
    keys = _table(FILES, files)
    placed = _table(FILE_PLACES, [place for row in files if (place := _place(row)) is not None])
    replace_rows(step, placed, _current(step, keys))


def put_files(root: str, rows: Sequence[Row], *, project: str) -> list[Row]:
    """Puts rows into the lake, but does not locate them; gives the rows of `files`."""
    new_lake(root, LakeSettings(BUCKETS))
    lake = Lake.open(root, start_spark=no_spark)
    now = datetime.now(UTC)
    files = [_file(row, project=project, buckets=lake.settings.buckets, now=now) for row in rows]
    features = [_features(row) for row in files if "perceptual_hash" in row and row["media_type"] == "image"]
    _put(lake, DATASETS, [_dataset(row, now) for row in files])
    _put(lake, FILES, files)
    _put(lake, FILE_FEATURES, features)
    return files


def deliver_faces(root: str, rows: Sequence[Row], *, project: str) -> None:
    """Puts faces as `index` takes them into the lake."""
    lake = Lake.open(root, start_spark=no_spark)
    _put(lake, FIGURES, [_face(row, project=project) for row in rows])


def _put(lake: Lake, contract: Contract, rows: Sequence[Row]) -> None:
    step = Step.pin(lake, contract, RUN)
    table = _table(contract, rows)
    compare = [name for name in contract.names if name not in ("source", "create_time", "update_time", "run_id")]
    put_rows(step, table, _current(step, table), compare=compare)


def no_spark() -> SparkSession:
    """For lakes in which few rows need no Spark."""
    raise AssertionError("Spark was started")


def _current(step: Step, keys: pa.Table) -> pa.Table:
    contract = step.contract
    if "bucket" not in contract.key:
        return step.lake.load(contract, step.base)
    return step.lake.load_keys(contract, step.base, keys, on=contract.key, columns=contract.names)


def _table(contract: Contract, rows: Sequence[Row]) -> pa.Table:
    """Rows as a table, the last of each key."""
    last = {tuple(row[name] for name in contract.key): row for row in rows}
    return pa.Table.from_pylist(list(last.values()), contract.arrow_schema)


def _dataset(file: Row, now: datetime) -> Row:
    names = {name: file[name] for name in ("project_name", "dataset_name")}
    return {**names, "create_time": now, "update_time": now}


def _file(row: Row, *, project: str, buckets: int, now: datetime) -> Row:
    dataset, text = row["dataset_name"], row.get("produce_time")
    taken = None if text is None else datetime.fromisoformat(text)
    offset = None if taken is None else taken.utcoffset() or timedelta(0)
    return {
        **row,
        "bucket": bucket_of(project, dataset, buckets),
        "project_name": project,
        "object_id": file_object_id(project, dataset, row["uri"]),
        "produce_time": taken,
        "produce_time_raw": text,
        "time_is": None if taken is None else "offset",
        "utc_offset": None if offset is None else offset // timedelta(minutes=1),
        "source": "delivery",
        "create_time": now,
        "update_time": now,
        "run_id": RUN,
    }


def _features(file: Row) -> Row:
    """What `file_features` says of a picture without an embedding."""
    quality, content = file.get("perceptual_hash_quality"), file.get("content_hash")
    is_good = file["perceptual_hash"] is not None and (quality is None or quality >= MIN_HASH_QUALITY)
    look = file["perceptual_hash"] if is_good else content and f"{CONTENT}{content}"
    return {**file, "fingerprint": look}


def _face(row: Row, *, project: str) -> Row:
    dataset = row["dataset_name"]
    return {
        **row,
        "bucket": bucket_of(project, dataset, BUCKETS),
        "project_name": project,
        "object_id": file_object_id(project, dataset, row["uri"]),
        "update_time": datetime.now(UTC),
        "run_id": RUN,
    }


def _place(file: Row) -> Row | None:
    address = file.get("address")
    if not address or file.get("deleted_time"):
        return None
    names = {level: address.get(level) for level in LEVELS}
    names["province"] = names["province"] or names["country"]
    names["city"] = names["city"] or names["province"]
    width, height = file.get("image_width"), file.get("image_height")
    taken = file["produce_time"]
    return {
        **{name: file.get(name) for name in ("bucket", "project_name", "dataset_name", "uri", "media_type")},
        **names,
        "produce_time": taken,
        "utc_offset": file["utc_offset"],
        "local_date": None if taken is None else taken.date(),
        "place_key": "/".join((names[level] or "").casefold() for level in LEVELS),
        "address_method": "supplied",
        "location_source": "file",
        "index_version": "supplied",
        "cover_rank": VIDEO_RANK if file["media_type"] == "video" else -(width or 0) * (height or 0),
        "run_id": RUN,
    }
