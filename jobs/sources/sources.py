"""Reading a source: which format it has, and its rows as they are, each with its own JSON and what is wrong with it.

What can't be read at all is a SourceError before anything is computed; a row that can't be read is a row
with a reason (columns `transforms.tables.source_columns.REASON` and `MESSAGE`), refused later with the others.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath
from typing import Any, Literal, get_args

import pyarrow as pa
from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.runtime.failures import reason_of
from jobs.sources.parquet_sources import PATTERN, read_parquet
from jobs.sources.text_sources import read_csv, read_json
from schemas.errors import SourceError, UsageError
from schemas.file_features import PIXEL_FEATURES
from transforms.pictures.files import Reading, list_pictures, read_pictures
from transforms.pictures.formats import MEDIA_SUFFIXES
from transforms.pictures.listings import Listing
from transforms.pictures.sidecars import is_sidecar
from transforms.tables.source_columns import MESSAGE, REASON, ROW, row_json

log = logging.getLogger(__name__)

Format = Literal["parquet", "delta", "csv", "json", "imm", "photos"]
FORMATS: tuple[Format, ...] = get_args(Format)
ACCEPTED = "Parquet, Delta, CSV, JSON, IMM File JSON, or a folder of photos and videos is accepted"

SUFFIXES: dict[str, Format] = {
    "parquet": "parquet",
    "parq": "parquet",
    "csv": "csv",
    "json": "json",
    "jsonl": "json",
    "ndjson": "json",
    **dict.fromkeys(MEDIA_SUFFIXES, "photos"),
}
COMPRESSIONS = ("gz", "bz2", "zst", "lz4", "snappy")
HEAD_BYTES = 65_536
ROW_BYTES = 256
PACKED_ROW_BYTES = 32
"""What a row takes at least, as text and in Parquet: uri, time and place."""
PICTURES_PER_TASK = 1000
"""Half a minute's work, so that a task that is lost costs little."""
FACES = ("faces", "faces_model")
"""Columns of pictures that are no file's: faces are never kept with refused rows."""
HEADERS_PER_TASK = 10_000
"""Some seconds' work."""


def read_source(
    spark: SparkSession,
    uri: str,
    *,
    format: Format | None = None,
    reading: Reading = Reading(),  # noqa: B008, frozen
    listed: Callable[[Listing], None] = lambda listing: None,
) -> DataFrame:
    """The rows of the source at `uri` (a file, a directory, or a pattern), in its own columns.

    Added to each row: `ROW`, the row as JSON, and `REASON` and `MESSAGE`, null unless the row can't be read. CSV and
    JSON give text columns only. `imm` gives IMM's columns, for `transforms.sources.imm`. `format` is detected where
    it isn't given (see `detect_format`). Photos are read as `reading` says (see `transforms.pictures.files`); `listed`
    is told which files there are.

    Raises SourceError, naming the thing and what is accepted, for a source that is missing, empty, mixed or
    unreadable.
    """
    if format is not None and format not in FORMATS:
        raise UsageError(f"--format {format!r}: {', '.join(FORMATS)} is accepted")
    format = format or detect_format(spark, uri)
    if format == "photos":
        return read_photos(spark, list_photos(uri, listed), reading, root=uri)
    try:
        if format == "delta":
            return _with_rows(spark.read.format("delta").load(uri))
        files = _data_files(spark, uri, format)
        if format == "parquet":
            suffixed = _format_by_suffix(min(files)) == "parquet"  # if one is, all are
            return _with_rows(read_parquet(spark, uri, files, suffixed=suffixed))
        literal = {PATTERN.sub(r"\\\1", file): size for file, size in files.items()}  # names are no patterns
        if format == "csv":
            return read_csv(spark, sorted(literal))
        return read_json(spark, literal, imm=format == "imm")
    except (PySparkException, Py4JJavaError) as error:
        raise SourceError(f"{uri} can't be read as {format}: {reason_of(error)}") from error


def guess_rows(spark: SparkSession, uri: str, *, format: Format) -> int:
    """How many rows a source may have, by the bytes of its files; of compressed text, fewer than there are."""
    if format == "delta":
        detail = spark.sql(f"DESCRIBE DETAIL delta.{_sql_name(uri)}").first()
        return _rows_in(int(detail.sizeInBytes), format)  # type: ignore[union-attr]
    return _rows_in(sum(_data_files(spark, uri, format).values()), format)


def rows_on_disk(uris: Iterable[str], *, at_most: int) -> int | None:
    """About how many rows sources have, without Spark; None where they are more, or not on this machine's disk."""
    rows = 0
    for uri in uris:
        root = Path(uri.removeprefix("file://"))
        if not os.path.exists(root):
            return None
        folders = [(str(root.parent), [], [root.name])] if root.is_file() else os.walk(root)
        for folder, _, names in folders:
            rows += sum(_rows_of_file(os.path.join(folder, name)) for name in names)
            if rows > at_most:
                return None
    return rows


def _rows_of_file(file: str) -> int:
    kind = _format_by_suffix(file)
    if kind == "photos" or not os.path.exists(file):
        return 1
    return _rows_in(os.path.getsize(file), kind)


def _rows_in(size: int, kind: Format | None) -> int:
    return size // (PACKED_ROW_BYTES if kind in ("parquet", "delta") else ROW_BYTES)


def detect_format(spark: SparkSession, uri: str) -> Format:
    """The format of the source at `uri`: by its Delta log, by the suffixes of its files, else by their first bytes.

    JSON whose first 64 KiB name a key `URI` and none `uri` is IMM's; Google Takeout's sidecars belong to the photos
    beside them. Files with unknown suffixes beside known ones are passed over, and logged.

    Raises SourceError where there is nothing, nothing known, or more than one format.
    """
    if _has_delta_log(spark, uri):
        return "delta"
    files = _list_files(spark, uri)
    kinds: dict[Format | None, list[str]] = {}
    for file in sorted(files):
        kinds.setdefault(_format_by_suffix(file), []).append(file)
    unknown = kinds.pop(None, [])
    if "photos" in kinds and all(is_sidecar(PurePosixPath(file).name) for file in kinds.get("json", ())):
        kinds.pop("json", None)
    if not kinds:
        kinds = {_format_by_content(spark, unknown[0]): unknown}
    elif unknown:
        log.warning("%s: %d files with other suffixes are passed over, as %s", uri, len(unknown), unknown[0])
    if len(kinds) > 1:
        counts = ", ".join(f"{len(found)} {kind}" for kind, found in kinds.items())
        raise SourceError(f"{uri} holds files of several formats ({counts}): give --format, or name one kind of file")
    format, found = next(iter(kinds.items()))
    if format is None:
        raise SourceError(f"{uri} holds no data that is known, as {found[0]}. {ACCEPTED}")
    if format == "json" and _is_imm(_head(spark, found[0])):
        return "imm"
    return format


def list_photos(uri: str, listed: Callable[[Listing], None] = lambda listing: None) -> pa.Table:
    """The photos and videos of a folder (LISTING_SCHEMA); `listed` is told of what else there is.

    Raises SourceError where it can't be listed, or holds none.
    """
    try:
        listing = list_pictures(uri)
    except (OSError, pa.ArrowException) as error:
        raise SourceError(f"{uri} can't be listed: {error}; a folder of photos and videos is accepted") from error
    listed(listing)
    pictures = listing.pictures
    if not pictures.num_rows:
        raise SourceError(
            f"{uri} holds no photo or video; files ending in {', '.join(sorted(MEDIA_SUFFIXES))} are read"
        )
    return pictures


def read_photos(spark: SparkSession, pictures: pa.Table, reading: Reading, *, root: str | None = None) -> DataFrame:
    """The rows of some photos and videos (`LISTING_SCHEMA`, and `KNOWN`) under `root`, as `read_source` gives them;
    and `FACES`.
    """
    per_task = PICTURES_PER_TASK if reading.hashes else HEADERS_PER_TASK
    tasks = max(spark.sparkContext.defaultParallelism, pictures.num_rows // per_task)
    files = spark.createDataFrame(pictures).repartition(tasks, "shot_group").sortWithinPartitions("shot_group", "uri")
    read = read_pictures(files, reading, root=root)
    rows = read.withColumn(ROW, row_json(read.drop(*PIXEL_FEATURES, *FACES)))
    rows = rows.drop(*(() if reading.hashes else PIXEL_FEATURES), *(() if reading.turned else ["turned_hashes"]))
    rows = rows if reading.faces else rows.drop(*FACES)
    return rows.withColumnsRenamed({"error_code": REASON, "error_message": MESSAGE})


def _with_rows(raw: DataFrame) -> DataFrame:
    nothing = F.lit(None).cast("string")
    return raw.withColumns({ROW: row_json(raw), REASON: nothing, MESSAGE: nothing})


def _data_files(spark: SparkSession, uri: str, format: Format) -> dict[str, int]:
    """The files to read as `format`: those with its suffixes, or, if none has, all."""
    wanted = "json" if format == "imm" else format
    files = _list_files(spark, uri)
    return {file: size for file, size in files.items() if _format_by_suffix(file) == wanted} or files


def _list_files(spark: SparkSession, uri: str) -> dict[str, int]:
    """The files under `uri` and their sizes, without empty ones and those whose names begin with _ or . (Spark's rule).

    They are held on the driver, as Spark holds them itself to read them.
    """
    try:
        listing = spark.read.format("binaryFile").option("recursiveFileLookup", True).load(uri)
        files = {row["path"]: row["length"] for row in listing.select("path", "length").collect()}
    except (PySparkException, Py4JJavaError) as error:
        raise SourceError(f"{uri} can't be listed: {reason_of(error)}. {ACCEPTED}") from error
    if not files:
        raise SourceError(f"{uri} holds no files, or only empty ones. {ACCEPTED}")
    return files


def _format_by_suffix(file: str) -> Format | None:
    suffixes = [suffix.lower().removeprefix(".") for suffix in PurePosixPath(file).suffixes]
    if suffixes and suffixes[-1] in COMPRESSIONS:
        suffixes.pop()
    return SUFFIXES.get(suffixes[-1]) if suffixes else None


def _format_by_content(spark: SparkSession, file: str) -> Format | None:
    head = _head(spark, file)
    if head.startswith(b"PAR1"):
        return "parquet"
    return "json" if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"{", b"[")) else None


def _is_imm(head: bytes) -> bool:
    return b'"URI"' in head and b'"uri"' not in head


def _head(spark: SparkSession, file: str) -> bytes:
    """The first 64 KiB of a file, through the file systems that Spark knows."""
    jvm: Any = spark._jvm
    path = jvm.org.apache.hadoop.fs.Path(file)
    stream = _file_system(spark, path).open(path)
    try:
        bounded = jvm.org.apache.commons.io.input.BoundedInputStream(stream, HEAD_BYTES)
        return bytes(jvm.org.apache.commons.io.IOUtils.toByteArray(bounded))
    finally:
        stream.close()


def _has_delta_log(spark: SparkSession, uri: str) -> bool:
    jvm: Any = spark._jvm
    try:
        path = jvm.org.apache.hadoop.fs.Path(uri, "_delta_log")
        return bool(_file_system(spark, path).exists(path))
    except Py4JJavaError as error:
        raise SourceError(f"{uri} can't be opened: {reason_of(error)}. {ACCEPTED}") from error


def _file_system(spark: SparkSession, path: Any) -> Any:
    session: Any = spark._jsc
    return path.getFileSystem(session.hadoopConfiguration())


def _sql_name(uri: str) -> str:
    return "`" + uri.replace("`", "``") + "`"
