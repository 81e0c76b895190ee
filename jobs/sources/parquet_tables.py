"""Reading Parquet in this process, as Arrow tables with the types that Spark has for the same files.

So what becomes of a row does not depend on who read it. Columns of Arrow's type null stay null at any depth, and any
type that the column has in another file takes the place of null. Texts are as they are, valid UTF-8 or not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyspark.sql.pandas.types import from_arrow_schema

from jobs.sources.files_here import open_file
from jobs.sources.partition_columns import MOST_DIGITS, partition_columns
from schemas.errors import SourceError

FOOTERS_AT_ONCE = 4
ROWS_AT_ONCE = 100_000
"""Rows that are read together: 100 MB, where they have pixels and embeddings."""
INSTANT, WALL_CLOCK = pa.timestamp("us", "UTC"), pa.timestamp("us")
NANOSECONDS = 1000
"""In a microsecond."""
_TEXTS = ("ENUM", "JSON")
"""Logical types of Parquet that are texts, and may be binary to Arrow."""
_NOT_READ = ("FLOAT16", "TIME", "UUID")
"""Those that Spark does not read."""
_PLAIN = {
    pa.uint8(): pa.int16(),
    pa.uint16(): pa.int32(),
    pa.uint32(): pa.int64(),
    pa.uint64(): pa.decimal128(20, 0),
    pa.date64(): pa.date32(),
    pa.large_string(): pa.string(),
    pa.string_view(): pa.string(),
    pa.large_binary(): pa.binary(),
    pa.binary_view(): pa.binary(),
}
"""Arrow's types that stand for another here."""


def scan_parquet(files: Sequence[str], *, uri: str, roots: Sequence[str] = ()) -> pa.RecordBatchReader:
    """The rows of Parquet files of the source at `uri`, in the order of the files' names, read bit by bit.

    A column that a file lacks is null there. Folders `name=value` below `roots` are columns (`partition_columns`).
    Unsigned numbers are wider signed ones. Times have microseconds, those of a zone or of 96 bits are instants;
    nanoseconds are cut to them, but below the top they are whole numbers.

    Raises SourceError for a file that is broken, now or as it is read, or has a type that is not read, and for a column
    of several types.
    """
    files = sorted(files)
    with ThreadPoolExecutor(FOOTERS_AT_ONCE) as pool:
        schemas = [*pool.map(_read_schema, files)]
    merged = _merge_all(schemas, uri)
    partitions = partition_columns(files, roots, uri=uri)
    schema = merged
    for name, values in partitions.items():
        schema = _set_column(schema.empty_table(), name, pa.array([], values.type)).schema

    def read() -> Iterator[pa.RecordBatch]:
        for number, file in enumerate(files):
            for rows in _read_file(file, merged):
                for name, values in partitions.items():
                    rows = _set_column(rows, name, pa.repeat(values[number], len(rows)))
                yield from pa.Table.from_arrays(rows.columns, schema=schema).to_batches()

    return pa.RecordBatchReader.from_batches(schema, read())


def count_rows(files: Sequence[str]) -> int:
    """How many rows Parquet files have, by their footers. Raises SourceError for one that is broken."""
    with ThreadPoolExecutor(FOOTERS_AT_ONCE) as pool:
        return sum(pool.map(lambda file: _read_footer(file).num_rows, files))


def _read_footer(file: str) -> pq.FileMetaData:
    try:
        with open_file(file) as opened:
            return pq.read_metadata(opened)
    except (pa.ArrowException, OSError) as error:
        raise SourceError(f"{file} can't be read as parquet: {error}") from error


def _read_schema(file: str) -> pa.StructType:
    """The columns of a file as they are given here."""
    footer = _read_footer(file).schema
    leaves = (footer.column(number) for number in range(len(footer)))
    try:
        return pa.struct(
            [pa.field(field.name, _type(field.type, leaves, is_top=True)) for field in footer.to_arrow_schema()]
        )
    except pa.ArrowException as error:
        raise SourceError(f"{file} can't be read as parquet: {error}") from error
    except _NotReadError as error:
        raise SourceError(
            f"{file} can't be read as parquet: {error}; it is accepted as text, or without that column"
        ) from error


class _NotReadError(TypeError):
    """A column that is not read."""


def _type(kind: pa.DataType, leaves: Iterator[pq.ColumnSchema], *, is_top: bool = False) -> pa.DataType:
    """The type in which a column is given; `leaves` are Parquet's columns from the first of it on."""
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(field.name, _type(field.type, leaves)) for field in kind])
    if pa.types.is_map(kind):
        return pa.map_(_type(kind.key_type, leaves), _type(kind.item_type, leaves))
    if _is_list(kind):
        return pa.list_(_type(kind.value_type, leaves))
    leaf = next(leaves)
    logical = leaf.logical_type.type
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    if logical in _NOT_READ or leaf.converted_type == "INTERVAL":
        raise _NotReadError(f"column {leaf.path} is {leaf.logical_type}")
    if logical in _TEXTS:
        return pa.string()
    if isinstance(kind, pa.BaseExtensionType):
        kind = kind.storage_type
    if pa.types.is_timestamp(kind):
        if leaf.physical_type == "INT96" or (kind.tz and (is_top or kind.unit != "ns")):
            return INSTANT
        return WALL_CLOCK if is_top or kind.unit != "ns" else pa.int64()
    if pa.types.is_duration(kind):
        return pa.int64()
    if pa.types.is_fixed_size_binary(kind):
        return pa.binary()
    if pa.types.is_decimal(kind):
        if kind.precision > MOST_DIGITS:
            raise _NotReadError(f"column {leaf.path} has {kind.precision} digits, more than {MOST_DIGITS}")
        return pa.decimal128(kind.precision, kind.scale)
    return _PLAIN.get(kind, kind)


def _is_list(kind: pa.DataType) -> bool:
    kinds = (pa.ListType, pa.LargeListType, pa.FixedSizeListType, pa.ListViewType, pa.LargeListViewType)
    return isinstance(kind, kinds)


def _merge_all(schemas: Sequence[pa.StructType], uri: str) -> pa.Schema:
    """The columns of all files: those of the first, then what others have more."""
    merged = schemas[0]
    _check_names(merged, uri)
    for schema in dict.fromkeys(schemas[1:]):
        _check_names(schema, uri)
        both = _merge(merged, schema)
        if both is None:
            left, right = (from_arrow_schema(pa.schema([*kind])).simpleString() for kind in (merged, schema))
            raise SourceError(
                f"{uri} can't be read as parquet: its files differ in types, {left} and {right}; one type per column "
                "is accepted"
            )
        merged = both
    _check_names(merged, uri)
    return pa.schema([*merged])


def _check_names(schema: pa.StructType, uri: str) -> None:
    """Raises SourceError where two columns, or two fields of a struct, have one name."""
    for names in _names(schema):
        if len({name.lower() for name in names}) < len(names):
            raise SourceError(f"{uri} can't be read as parquet: of the columns {names} each needs a name of its own")


def _merge(left: pa.DataType, right: pa.DataType) -> pa.DataType | None:
    """The type that holds the values of both: they are the same, but for nulls and missing fields; else None."""
    if pa.types.is_null(left) or left == right:
        return right
    if pa.types.is_null(right):
        return left
    if pa.types.is_struct(left) and pa.types.is_struct(right):
        kinds = {field.name: field.type for field in left}
        for field in right:
            kinds[field.name] = _merge(kinds.get(field.name, pa.null()), field.type)
        return None if None in kinds.values() else pa.struct([*kinds.items()])
    if pa.types.is_list(left) and pa.types.is_list(right):
        inner = _merge(left.value_type, right.value_type)
        return inner and pa.list_(inner)
    if pa.types.is_map(left) and pa.types.is_map(right):
        key, item = _merge(left.key_type, right.key_type), _merge(left.item_type, right.item_type)
        return key and item and pa.map_(key, item)
    if pa.types.is_decimal(left) and pa.types.is_decimal(right) and left.scale == right.scale:
        return pa.decimal128(max(left.precision, right.precision), left.scale)
    return None


def _names(kind: pa.DataType) -> Iterator[list[str]]:
    """The names of the fields of each struct in a type."""
    if pa.types.is_struct(kind):
        yield [field.name for field in kind]
    yield from chain.from_iterable(_names(kind.field(number).type) for number in range(kind.num_fields))


def _read_file(file: str, schema: pa.Schema) -> Iterator[pa.Table]:
    """The rows of a file, with all columns of `schema`."""
    try:
        with open_file(file) as opened:
            parquet = pq.ParquetFile(opened, coerce_int96_timestamp_unit="us")
            there = {*parquet.schema_arrow.names}
            for batch in parquet.iter_batches(ROWS_AT_ONCE):
                rows = pa.Table.from_batches([batch])
                columns = [
                    _as(rows[field.name], field.type) if field.name in there else pa.nulls(len(rows), field.type)
                    for field in schema
                ]
                yield pa.table(columns, schema=schema)
    except (pa.ArrowException, OSError) as error:
        raise SourceError(f"{file} can't be read as parquet: {error}") from error


def _as(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """A column as one of the type that `_type` has for it, or `_merge`."""
    if isinstance(column.type, pa.BaseExtensionType):
        column = pa.chunked_array([chunk.storage for chunk in column.chunks], column.type.storage_type)
    if pa.types.is_binary(column.type) and pa.types.is_string(kind):
        return pa.chunked_array([chunk.view(kind) for chunk in column.chunks], kind)  # a cast would check its UTF-8
    if pa.types.is_timestamp(column.type) and column.type.unit == "ns" and pa.types.is_timestamp(kind):
        nanoseconds = column.cast(pa.int64())
        cut = pc.divide(nanoseconds, NANOSECONDS)  # towards zero
        late = pc.greater(pc.multiply(cut, NANOSECONDS), nanoseconds)
        return pc.subtract(cut, late.cast(pa.int64())).cast(kind)
    return column.cast(kind)


def _set_column(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    """The table with a column in the place of the one of that name, whatever its case, else as the last."""
    places = [number for number, other in enumerate(table.column_names) if other.lower() == name.lower()]
    return table.set_column(places[0], name, values) if places else table.append_column(name, values)
