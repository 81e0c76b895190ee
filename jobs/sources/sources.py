"""A source of rows: where it lies, which format and which files it has, and its rows as they are.

A source is looked at once (`find_source`), and read from then on: in this process (`open_source`) or by Spark
(`read_source`). What can't be read at all is a SourceError before anything is computed; a row that can't be read is a
row with a reason (columns `transforms.tables.source_columns.REASON` and `MESSAGE`), refused later with the others.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import PurePosixPath
from typing import Literal, get_args

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError
from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from catalog.storage import store_reason
from jobs.runtime.failures import reason_of
from jobs.runtime.session import has_executors
from jobs.sources import files_here, spark_files
from jobs.sources.csv_tables import scan_csv
from jobs.sources.delta_tables import open_delta, scan_delta
from jobs.sources.files_here import (
    FILE,
    PATTERN,
    READ_HERE,
    Listing,
    compression_of,
    has_folder,
    is_local,
    is_within_reach,
    local_path,
)
from jobs.sources.json_tables import load_json
from jobs.sources.parquet_sources import MOST_FOOTERS, read_parquet
from jobs.sources.parquet_tables import count_rows, scan_parquet
from jobs.sources.partition_columns import partition_columns
from jobs.sources.text_sources import read_csv, read_json
from schemas.errors import SourceError, UsageError
from schemas.file_features import PIXEL_FEATURES
from transforms.pictures import listings
from transforms.pictures.files import Reading, list_pictures, read_pictures
from transforms.pictures.formats import MEDIA_SUFFIXES
from transforms.pictures.reader_processes import read_by_processes
from transforms.pictures.sidecars import is_sidecar
from transforms.sources.columns import row_json as json_of_row
from transforms.sources.engine import query
from transforms.tables.source_columns import MESSAGE, REASON, ROW
from transforms.tables.source_frames import row_json

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
LOADED: tuple[Format, ...] = ("parquet", "delta", "csv", "json", "imm")
"""Formats that this process reads by itself."""
STREAMED_CSV = 1 << 30
"""Bytes of a CSV file up to which it is read here, where all files are not read at once: it takes thrice as much."""
HEAD_BYTES = 65_536
ROW_BYTES = 256
PACKED_ROW_BYTES = 32
"""What a row takes at least, as text, and in Parquet or compressed: uri, time and place."""
PICTURES_PER_TASK = 1000
"""Half a minute's work, so that a task that is lost costs little."""
FACES = ("faces", "faces_model")
"""Columns of pictures that are no file's: faces are never kept with refused rows."""
HEADERS_PER_TASK = 10_000
"""Some seconds' work."""


@dataclass(frozen=True)
class Source:
    """What lies at `uri`: its format, the files to read (name -> bytes), and about how many rows.

    Where it `is_here` this process opens the files: the names are paths of this machine, or URIs of S3. Else they are
    those that Spark's file systems have. `roots` are the paths that the files were found under. Photos have no files
    here, which `list_photos` lists; nor has a Delta table.
    """

    uri: str
    format: Format
    rows: int
    is_here: bool
    files: Mapping[str, int] = field(default_factory=dict, repr=False)
    roots: tuple[str, ...] = field(default=(), repr=False)

    @property
    def is_loadable(self) -> bool:
        """Whether `open_source` reads it."""
        if not self.is_here or self.format not in LOADED:
            return False
        return all(
            (suffix := compression_of(file)) not in COMPRESSIONS or suffix in READ_HERE or self.format == "parquet"
            for file in self.files
        )

    @property
    def is_streamed(self) -> bool:
        """Whether `open_source` reads it bit by bit: JSON tells its columns at its end, CSV is read file by file."""
        if self.format == "csv":
            return max(self.files.values()) <= STREAMED_CSV
        return self.format in ("parquet", "delta")

    @property
    def spark_uri(self) -> str:
        """The source as Spark is told of it, whose own file system may be another."""
        return FILE + local_path(self.uri) if self.is_here and is_local(self.uri) else self.uri

    @property
    def spark_files(self) -> dict[str, int]:
        """The files as Spark is told of them."""
        prefix = FILE if self.is_here and is_local(self.uri) else ""
        return {prefix + file: size for file, size in self.files.items()}


def find_source(uri: str, *, format: Format | None = None, start_spark: Callable[[], SparkSession]) -> Source:
    """The source at `uri`: a file, a directory, a table, or a pattern. What is here is found without Spark.

    The format, where it is not given, is told by a Delta log, by the suffixes of the files, else by their first bytes.
    JSON whose first 64 KiB name a key `URI` and none `uri` is IMM's; Google Takeout's sidecars belong to the photos
    beside them. Files with unknown suffixes beside known ones are passed over, and logged. Rows are guessed by bytes,
    those of Parquet that is here counted by its footers.

    Raises SourceError where there is nothing, nothing known, or more than one format.
    """
    if format is not None and format not in FORMATS:
        raise UsageError(f"--format {format!r}: {', '.join(FORMATS)} is accepted")
    if format == "photos":
        return Source(uri, format, rows=0, is_here=is_local(uri))
    here = _is_here(uri, start_spark)
    if format == "delta" or (format is None and _has_delta_log(uri, here, start_spark)):
        return Source(uri, "delta", rows=_delta_rows(uri, here, start_spark), is_here=here)
    listing = _list_files(uri, here, start_spark)
    if format is None:
        format = _detect_format(uri, [*listing.files], partial(_read_head, here=here, start_spark=start_spark))
    files = _data_files(listing.files, format)
    if here and format == "parquet" and len(files) <= MOST_FOOTERS:
        rows = count_rows([*files])
    else:
        rows = sum(_guess_rows(file, size, format) for file, size in files.items())
    return Source(uri, format, rows=rows, is_here=here, files=files, roots=listing.roots)


def open_source(source: Source) -> pa.RecordBatchReader:
    """The rows of a source that `is_loadable`, read by this process, in its own columns; bit by bit if `is_streamed`.

    CSV and JSON give text columns only, and `REASON`, `MESSAGE` and `ROW`: they are null unless the row can't be read,
    but for JSON's `ROW`, which is its text. `imm` gives IMM's columns, for `transforms.sources.imm`.

    Raises SourceError, naming the thing and what is accepted, for a source that is unreadable, and NotReadHere for a
    Delta table that Spark may read; both perhaps as the rows are read.
    """
    match source.format:
        case "delta":
            return scan_delta(source.uri)
        case "csv":
            return scan_csv([*source.files])
        case "parquet":
            return scan_parquet([*source.files], uri=source.uri, roots=source.roots)
    return load_json(source.files, imm=source.format == "imm").to_reader()


def read_source(spark: SparkSession, source: Source) -> DataFrame:
    """The rows of a source, but for photos, read by Spark, in its own columns.

    Added to each row: `ROW`, the row as JSON, and `REASON` and `MESSAGE`, null unless the row can't be read. CSV and
    JSON give text columns only. `imm` gives IMM's columns, for `transforms.sources.imm`.

    Raises SourceError, naming the thing and what is accepted, for a source that is unreadable.
    """
    try:
        if source.format == "delta":
            return _with_rows(spark.read.format("delta").load(source.spark_uri))
        if source.format == "parquet":
            suffixed = _format_by_suffix(min(source.files)) == "parquet"  # if one is, all are
            # Of files that it leaves out, Spark is silent.
            partition_columns([*source.files], source.roots, uri=source.uri)
            return _with_rows(read_parquet(spark, source.spark_uri, source.spark_files, suffixed=suffixed))
        literal = {PATTERN.sub(r"\\\1", file): size for file, size in source.spark_files.items()}  # no patterns
        if source.format == "csv":
            return read_csv(spark, [*literal])
        return read_json(spark, literal, imm=source.format == "imm")
    except (PySparkException, Py4JJavaError) as error:
        raise SourceError(f"{source.uri} can't be read as {source.format}: {reason_of(error)}") from error


def list_photos(uri: str, listed: Callable[[listings.Listing], None] = lambda listing: None) -> pa.Table:
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
    return rows.drop(*_not_read(reading)).withColumnsRenamed({"error_code": REASON, "error_message": MESSAGE})


def load_photos(pictures: pa.Table, reading: Reading, *, root: str | None = None) -> pa.Table:
    """The same, read by processes of this machine."""
    read = read_by_processes(pictures, reading, root=root)
    told = read.drop_columns([*PIXEL_FEATURES, *FACES])
    texts = query(f"SELECT {json_of_row(told.schema)} AS row FROM rows", told)["row"]
    rows = read.drop_columns(_not_read(reading)).append_column(ROW, texts)
    return rows.rename_columns({"error_code": REASON, "error_message": MESSAGE})


def _not_read(reading: Reading) -> list[str]:
    """Columns of pictures that are not asked for: the source does not speak of them."""
    features: tuple[str, ...] = () if reading.turned else ("turned_hashes",)
    return [*(features if reading.hashes else PIXEL_FEATURES), *(() if reading.faces else FACES)]


def _guess_rows(file: str, size: int, format: Format | None) -> int:
    """How many rows a file may have, by its bytes; a picture is one."""
    if format == "photos":
        return 1
    return size // (PACKED_ROW_BYTES if format == "parquet" or compression_of(file) in COMPRESSIONS else ROW_BYTES)


def _is_here(uri: str, start_spark: Callable[[], SparkSession]) -> bool:
    """Whether this process can open a source; a path that is not there may be on the file system of a cluster."""
    if uri.startswith(FILE) or not is_local(uri):
        return is_local(uri) or is_within_reach(uri)
    return os.path.exists(local_path(uri)) or not has_executors(start_spark)


def _has_delta_log(uri: str, here: bool, start_spark: Callable[[], SparkSession]) -> bool:
    try:
        if here:
            return has_folder(uri, "_delta_log")
        return spark_files.has_folder(start_spark(), uri, "_delta_log")
    except OSError as error:
        raise SourceError(f"{uri} can't be opened: {error}. {ACCEPTED}") from error


def _delta_rows(uri: str, here: bool, start_spark: Callable[[], SparkSession]) -> int:
    """About how many rows a Delta table has."""
    try:
        if not here:
            return spark_files.delta_bytes(start_spark(), uri) // PACKED_ROW_BYTES
        return _rows_of_delta(open_delta(uri))
    except (OSError, TableNotFoundError) as error:
        raise SourceError(f"{uri} can't be read as delta: {store_reason(error)}") from error
    except DeltaError:  # delta-rs does not know all that tables may have
        return _delta_rows(FILE + local_path(uri) if is_local(uri) else uri, False, start_spark)


def _rows_of_delta(table: DeltaTable) -> int:
    """How many rows a table's files have, by its log, or by their bytes where it does not tell."""
    files = pa.table(table.get_add_actions())
    told = files["num_records"].to_pylist() if "num_records" in files.column_names else [None] * len(files)
    sizes = files["size_bytes"].to_pylist()
    return sum(size // PACKED_ROW_BYTES if rows is None else rows for rows, size in zip(told, sizes, strict=True))


def _list_files(uri: str, here: bool, start_spark: Callable[[], SparkSession]) -> Listing:
    """The files under `uri`, without empty ones and hidden ones (`files_here.list_files`)."""
    try:
        listing = files_here.list_files(uri) if here else spark_files.list_files(start_spark(), uri)
    except (OSError, ValueError) as error:
        raise SourceError(f"{uri} can't be listed: {error}. {ACCEPTED}") from error
    if not listing.files:
        raise SourceError(f"{uri} holds no files, or only empty ones. {ACCEPTED}")
    return listing


def _read_head(file: str, *, here: bool, start_spark: Callable[[], SparkSession]) -> bytes:
    try:
        return (
            files_here.read_head(file, HEAD_BYTES) if here else spark_files.read_head(start_spark(), file, HEAD_BYTES)
        )
    except OSError as error:
        raise SourceError(f"{file} can't be read: {error}") from error


def _detect_format(uri: str, files: Sequence[str], read_head: Callable[[str], bytes]) -> Format:
    """The format of some files, sorted by name; `read_head` gives the first bytes of one."""
    kinds: dict[Format | None, list[str]] = {}
    for file in files:
        kinds.setdefault(_format_by_suffix(file), []).append(file)
    unknown = kinds.pop(None, [])
    if "photos" in kinds and all(is_sidecar(PurePosixPath(file).name) for file in kinds.get("json", ())):
        kinds.pop("json", None)
    if not kinds:
        kinds = {_format_by_content(read_head(unknown[0])): unknown}
    elif unknown:
        log.warning("%s: %d files with other suffixes are passed over, as %s", uri, len(unknown), unknown[0])
    if len(kinds) > 1:
        counts = ", ".join(f"{len(found)} {kind}" for kind, found in kinds.items())
        raise SourceError(f"{uri} holds files of several formats ({counts}): give --format, or name one kind of file")
    format, found = next(iter(kinds.items()))
    if format is None:
        raise SourceError(f"{uri} holds no data that is known, as {found[0]}. {ACCEPTED}")
    if format == "json" and _is_imm(read_head(found[0])):
        return "imm"
    return format


def _data_files(files: Mapping[str, int], format: Format) -> dict[str, int]:
    """The files to read as `format`: those with its suffixes, or, if none has, all."""
    wanted = "json" if format == "imm" else format
    return {file: size for file, size in files.items() if _format_by_suffix(file) == wanted} or dict(files)


def _format_by_suffix(file: str) -> Format | None:
    suffixes = [suffix.lower().removeprefix(".") for suffix in PurePosixPath(file).suffixes]
    if suffixes and suffixes[-1] in COMPRESSIONS:
        suffixes.pop()
    return SUFFIXES.get(suffixes[-1]) if suffixes else None


def _format_by_content(head: bytes) -> Format | None:
    if head.startswith(b"PAR1"):
        return "parquet"
    return "json" if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"{", b"[")) else None


def _is_imm(head: bytes) -> bool:
    return b'"URI"' in head and b'"uri"' not in head


def _with_rows(raw: DataFrame) -> DataFrame:
    nothing = F.lit(None).cast("string")
    return raw.withColumns({ROW: row_json(raw), REASON: nothing, MESSAGE: nothing})
