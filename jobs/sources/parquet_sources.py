"""Reading Parquet with what Spark does not see in it: times in nanoseconds, and columns of Arrow's type null.

Arrow writes a column of missing values alone, of which it knows no type, as whole numbers with a mark (Parquet's
logical type UNKNOWN). Spark does not read the mark. Here such a column has Spark's type void, at any depth, and any
type that the column has in another file takes the place of void.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial, reduce
from itertools import combinations
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, DataType, LongType, MapType, NullType, StructType

from jobs.sources.files_here import PATTERN
from schemas.errors import SourceError
from transforms.tables.source_frames import quoted

END_BYTES = 8
"""What a Parquet file ends with: the length of its footer in 4 bytes, and a magic number in 4."""
MOST_FOOTERS = 1_000
FOOTERS_AT_ONCE = 16
"""Reading a footer is mostly waiting for a store."""


def read_parquet(spark: SparkSession, uri: str, files: Mapping[str, int], *, suffixed: bool) -> DataFrame:
    """The rows of Parquet files (name -> size) at `uri`, if `suffixed` without files that do not end in .parquet.

    All footers are read first, so that a broken file or one with other types is found before anything is computed: by
    Spark, and by the driver those of up to MOST_FOOTERS files. Only where one of these has a column of type null, does
    the driver read those of all files.
    """
    schemas = _read_schemas(spark, dict(sorted(files.items())[:MOST_FOOTERS]))
    if any(list(_null_paths(schema)) for schema in schemas.values()):
        schemas |= _read_schemas(spark, {file: size for file, size in files.items() if file not in schemas})
        return _read_by_nulls(spark, uri, schemas)
    reader = spark.read.option("mergeSchema", True)
    if suffixed:
        reader = reader.option("pathGlobFilter", "*.{parquet,parq}")
    if any("=" not in folder for file in files for folder in _folders(file, uri)):  # which Spark would not look into
        raw = reader.option("basePath", uri).parquet(*[PATTERN.sub(r"\\\1", file) for file in files])
    else:
        raw = reader.parquet(uri)
    return raw.withColumns(_nanosecond_times(raw, schemas.values()))


def _folders(file: str, uri: str) -> list[str]:
    """The folders between a source and a file in it."""
    below = file.removeprefix(uri.rstrip("/") + "/")
    return below.split("/")[:-1] if below != file else []


def _read_by_nulls(spark: SparkSession, uri: str, schemas: Mapping[str, pa.StructType]) -> DataFrame:
    """The rows of files (name -> schema) with columns of type null; files that are alike in these are read together.

    Raises SourceError where files differ in types otherwise.
    """
    groups: dict[frozenset[tuple[str, ...]], list[str]] = {}
    for file, schema in sorted(schemas.items()):
        groups.setdefault(frozenset(_null_paths(schema)), []).append(file)
    reader = spark.read.option("mergeSchema", True)
    if not PATTERN.search(uri) and len(schemas) > 1:
        reader = reader.option("basePath", uri)
    parts = []
    for group in groups.values():
        part = reader.parquet(*[PATTERN.sub(r"\\\1", file) for file in group])
        part = part.withColumns(_nanosecond_times(part, [schemas[file] for file in group]))
        known = schemas[group[0]]
        columns = [(f.name, _voided(quoted(f.name), f.dataType, _child(known, f.name))) for f in part.schema.fields]
        parts.append(part.select(*[column.alias(name) for name, column in columns]))
    for left, right in combinations(parts, 2):
        if not _fit(left.schema, right.schema):
            raise SourceError(
                f"{uri} can't be read as parquet: its files differ in types, {left.schema.simpleString()} and "
                f"{right.schema.simpleString()}; one type per column is accepted"
            )
    return reduce(partial(DataFrame.unionByName, allowMissingColumns=True), parts)


def _read_schemas(spark: SparkSession, files: Mapping[str, int]) -> dict[str, pa.StructType]:
    with ThreadPoolExecutor(FOOTERS_AT_ONCE) as pool:
        return dict(zip(files, pool.map(partial(_read_schema, spark), files, files.values()), strict=True))


def _read_schema(spark: SparkSession, file: str, size: int) -> pa.StructType:
    """The columns of a Parquet file as Arrow has them, from its footer, through the file systems that Spark knows."""
    jvm: Any = spark._jvm
    session: Any = spark._jsc
    path = jvm.org.apache.hadoop.fs.Path(file)
    stream = path.getFileSystem(session.hadoopConfiguration()).open(path)
    try:

        def read_from(position: int) -> bytes:
            stream.seek(max(position, 0))
            return bytes(jvm.org.apache.commons.io.IOUtils.toByteArray(stream))

        end = read_from(size - END_BYTES)
        footer = read_from(size - END_BYTES - int.from_bytes(end[:4], "little"))
    finally:
        stream.close()
    try:
        # the magic number, which a Parquet file begins with, too, and no data: they are not looked at
        return pa.struct(list(pq.read_metadata(pa.BufferReader(end[4:] + footer)).schema.to_arrow_schema()))
    except (pa.ArrowException, OSError) as error:
        raise SourceError(f"{file} can't be read as parquet: {error}") from error


def _null_paths(kind: pa.DataType, *path: str) -> Iterator[tuple[str, ...]]:
    """Where a type is null, or a part of it."""
    if pa.types.is_null(kind):
        yield path
    for number in range(kind.num_fields):
        field = kind.field(number)
        yield from _null_paths(field.type, *path, field.name)


def _child(kind: pa.DataType | None, name: str = "") -> pa.DataType | None:
    """The type of a struct's field, a list's elements or a map's values; None where it is not known."""
    if kind is None or not kind.num_fields:
        return None
    if pa.types.is_struct(kind):
        number = kind.get_field_index(name)
        return kind.field(number).type if number >= 0 else None
    return kind.item_type if pa.types.is_map(kind) else kind.value_type


def _voided(column: Column, kind: DataType, arrow: pa.DataType | None) -> Column:
    """The column, void where `arrow` is null."""
    if arrow is None or not list(_null_paths(arrow)):
        return column
    if isinstance(kind, StructType):
        parts = [(field, column.getField(field.name)) for field in kind.fields]
        voided = [_voided(part, field.dataType, _child(arrow, field.name)).alias(field.name) for field, part in parts]
        return F.when(column.isNotNull(), F.struct(*voided))
    if isinstance(kind, ArrayType):
        return F.transform(column, lambda element: _voided(element, kind.elementType, _child(arrow)))
    if isinstance(kind, MapType):
        return F.transform_values(column, lambda _, value: _voided(value, kind.valueType, _child(arrow)))
    return F.lit(None)


def _fit(left: DataType, right: DataType) -> bool:
    """Whether two types are the same, void and missing fields apart."""
    if isinstance(left, NullType) or isinstance(right, NullType):
        return True
    if isinstance(left, StructType) and isinstance(right, StructType):
        return all(_fit(left[name].dataType, right[name].dataType) for name in set(left.names) & set(right.names))
    if isinstance(left, ArrayType) and isinstance(right, ArrayType):
        return _fit(left.elementType, right.elementType)
    if isinstance(left, MapType) and isinstance(right, MapType):
        return _fit(left.keyType, right.keyType) and _fit(left.valueType, right.valueType)
    return left == right


def _nanosecond_times(raw: DataFrame, schemas: Iterable[pa.StructType]) -> dict[str, Column]:
    """The columns that are times in nanoseconds, as times.

    Spark has no such type: it reads them as whole numbers (spark.sql.legacy.parquet.nanosAsLong).
    """
    fields = {field.name: field.type for schema in schemas for field in schema if pa.types.is_timestamp(field.type)}
    times = {}
    for column in raw.schema.fields:
        kind = fields.get(column.name)
        if isinstance(column.dataType, LongType) and kind is not None and kind.unit == "ns":
            nanoseconds = quoted(column.name)
            whole = nanoseconds - F.pmod(nanoseconds, F.lit(1000))
            time = F.timestamp_micros(F.call_function("div", whole, F.lit(1000)))  # `/` would go through doubles
            times[column.name] = time if kind.tz else time.cast("timestamp_ntz")
    return times
