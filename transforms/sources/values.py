"""Reading one value of a source, of whatever type the source has, as the type that the lake has.

Each reader takes a column and its Spark type and returns a `Value`: what was given, as text, and the value, null
where nothing was given or where it can't be accepted. No reader throws on a bad value. A type that can't hold the
field at all raises `Unfit`, which the caller gathers: it is an error of the source, not of a row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql.types import (
    ArrayType,
    BinaryType,
    DataType,
    DecimalType,
    DoubleType,
    FloatType,
    IntegralType,
    MapType,
    NullType,
    NumericType,
    StringType,
    StructType,
)

from schemas.contract import LEVELS

NUMBER_PATTERN = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\z"
INFINITE_PATTERN = r"^(?i)[+-]?inf(inity)?\z"
REPLACEMENT = "\ufffd"


@dataclass(frozen=True)
class Value:
    """What a source gives for a field (text, null where it gives nothing), and the value that the lake takes."""

    given: Column
    value: Column


Reader = Callable[[Column, DataType], Value]


class Unfit(TypeError):
    """The type of a source's column can't hold the field; the text says which types can."""


def absent(lake_type: str) -> Value:
    """The value of a field that the source doesn't have."""
    return Value(F.lit(None).cast("string"), F.lit(None).cast(lake_type))


def read_text(column: Column, kind: DataType) -> Value:
    """A text, as it is; blank is missing. Whole numbers are taken as texts. Bytes that are no UTF-8 are kept."""
    if not isinstance(kind, StringType | IntegralType):
        raise Unfit("text")
    text = column.cast("string")
    text = F.when(F.trim(text) != "", text)
    return Value(text, text)


def read_name(column: Column, kind: DataType) -> Value:
    """A text without the blanks around it, in lower case."""
    text = read_text(column, kind).value
    return Value(text, F.lower(F.trim(text)))


def read_etag(column: Column, kind: DataType) -> Value:
    """A hash, without the quotes and the weakness mark that an HTTP ETag has around it (RFC 9110, 8.8.3)."""
    text = read_text(column, kind)
    return Value(text.given, F.regexp_replace(F.trim(text.value), r'^(?:W/)?"(.*)"\z', "$1"))


def is_clean(text: Column) -> Column:
    r"""Whether a text is valid UTF-8 throughout, and was before it was read.

    >>> df = spark.createDataFrame([("café",), ("caf\ufffd",)], "x string")
    >>> df.select("x", is_clean(F.col("x")).alias("clean")).show(truncate=False)
    +----+-----+
    |x   |clean|
    +----+-----+
    |café|true |
    |caf�|false|
    +----+-----+
    """
    return F.is_valid_utf8(text) & ~F.contains(text, F.lit(REPLACEMENT))


def matching(reader: Reader, pattern: str) -> Reader:
    """A reader that accepts only texts that match a pattern."""

    def read(column: Column, kind: DataType) -> Value:
        text = reader(column, kind)
        return Value(text.given, F.when(text.value.rlike(pattern), text.value))

    return read


def read_number(column: Column, kind: DataType) -> Value:
    """A number, perhaps infinite. NaN, and text that says so, is missing: pandas writes it for a missing value.

    Text is a decimal number with a point: no comma, no degree sign, no digit grouping.
    """
    if isinstance(kind, StringType):
        given = F.trim(column)
        given = F.when(~F.lower(given).isin("", "nan"), given)
        infinite = F.when(given.startswith("-"), F.lit("-Infinity")).otherwise(F.lit("Infinity"))
        text = F.when(given.rlike(NUMBER_PATTERN), given).when(given.rlike(INFINITE_PATTERN), infinite)
        return Value(given, text.try_cast("double"))
    if not isinstance(kind, NumericType):
        raise Unfit("a number, or text")
    number = column.cast("double")
    number = F.when(~F.isnan(number), number)
    return Value(F.when(number.isNotNull(), column.cast("string")), number)


def number_within(low: float, high: float = float("inf")) -> Reader:
    """A reader of finite numbers from `low` to `high`, both included."""

    def read(column: Column, kind: DataType) -> Value:
        number = read_number(column, kind)
        good = number.value.between(low, high) & (F.abs(number.value) != float("inf"))
        return Value(number.given, F.when(good, number.value))

    return read


def whole_number_within(low: int, high: int) -> Reader:
    """A reader of whole numbers from `low` to `high`, both included; 4032.0 is one (pandas writes it so)."""

    def read(column: Column, kind: DataType) -> Value:
        given = read_number(column, kind).given
        if isinstance(kind, StringType):
            digits = F.regexp_replace(given, r"\.0*\z", "")
            whole = F.when(digits.rlike(r"^[+-]?\d+\z"), digits.try_cast("bigint"))
        elif isinstance(kind, FloatType | DoubleType):
            whole = F.when(F.rint(column) == column, column.try_cast("bigint"))
        elif isinstance(kind, DecimalType):
            whole = F.when(F.floor(column) == column, column.try_cast("bigint"))
        else:
            whole = column.try_cast("bigint")
        return Value(given, F.when(whole.between(low, high), whole))

    return read


def bytes_of_length(length: int) -> Reader:
    """A reader of exactly so many bytes; none are missing, as is what is no binary: a `thumbnail` may be a link."""

    def read(column: Column, kind: DataType) -> Value:
        if not isinstance(kind, BinaryType):
            return absent("binary")
        size = F.octet_length(column)
        given = F.when(size > 0, F.concat(size.cast("string"), F.lit(" bytes")))
        return Value(given, F.when(size == length, column))

    return read


def read_address(column: Column, kind: DataType) -> Value:
    """An address, struct of country, province, city, district, township; blank parts are null, as is one of blanks.

    Given as a struct with any of these fields, a map from text to text, or text that is a JSON object of them.
    """
    parts: dict[str, Column]
    if isinstance(kind, StringType):
        given = F.when(F.trim(column) != "", column)
        parsed = F.from_json(F.when(given.rlike(r"^\s*\{"), given), "map<string,string>")
        parts = {level: F.try_element_at(parsed, F.lit(level)) for level in LEVELS}
        readable = parsed.isNotNull()
    elif isinstance(kind, MapType) and isinstance(kind.keyType, StringType) and isinstance(kind.valueType, StringType):
        given = F.to_json(column)
        parts = {level: F.try_element_at(column, F.lit(level)) for level in LEVELS}
        readable = F.lit(True)
    elif isinstance(kind, StructType):
        names = {field.name.lower(): field for field in kind.fields}
        for level in LEVELS:
            if level in names and not isinstance(names[level].dataType, StringType | NullType):
                raise Unfit(f"text in its field {level}")
        given = F.when(column.isNotNull(), F.to_json(column))
        parts = {
            level: column.getField(names[level].name).cast("string") if level in names else F.lit(None).cast("string")
            for level in LEVELS
        }
        readable = F.lit(True)
    else:
        raise Unfit("a struct, a map of texts, or text that is a JSON object")
    trimmed = {level: F.trim(part) for level, part in parts.items()}
    blank_as_null = {level: F.when(part != "", part) for level, part in trimmed.items()}
    address = F.struct(*[part.alias(level) for level, part in blank_as_null.items()])
    some = F.coalesce(*blank_as_null.values()).isNotNull()
    return Value(F.when(~readable | some, given), F.when(given.isNotNull() & readable & some, address))


ADDRESS_TYPE = "struct<" + ",".join(f"{level}:string" for level in LEVELS) + ">"


def read_labels(column: Column, kind: DataType) -> Value:
    """A list of labels without blanks or repetitions: a list of texts, a JSON list of them, or text split at commas."""
    if isinstance(kind, ArrayType) and isinstance(kind.elementType, StringType):
        given, listed = F.to_json(column), column.cast("array<string>")
    elif isinstance(kind, StringType):
        given = F.when(F.trim(column) != "", F.trim(column))
        listed = F.when(given.startswith("["), F.from_json(given, "array<string>")).otherwise(F.split(given, ","))
    else:
        raise Unfit("a list of texts, or text")
    labels = F.array_distinct(F.filter(F.transform(listed, lambda label: F.trim(label)), lambda label: label != ""))
    empty = F.size(labels) == 0
    return Value(F.when(~F.coalesce(empty, F.lit(False)), given), F.when(~empty, labels))


def read_text_map(column: Column, kind: DataType) -> Value:
    """Texts by name: a map, a struct, or text that is a JSON object; names without a value are left out, as are none.

    Numbers, truth values and lists in them are taken as their JSON text.
    """
    if isinstance(kind, NullType):
        return absent(TEXT_MAP_TYPE)
    if isinstance(kind, StringType):
        given = F.when(~F.regexp_replace(column, r"\s", "").isin("", "{}"), F.trim(column))
    elif isinstance(kind, MapType | StructType):
        given = F.nullif(F.to_json(column), F.lit("{}"))
    else:
        raise Unfit("a map, a struct, or text that is a JSON object")
    parsed = F.from_json(F.when(given.startswith("{"), given), TEXT_MAP_TYPE)
    texts = F.map_filter(parsed, lambda name, text: text.isNotNull())
    return Value(given, F.when(F.forall(F.map_keys(texts), lambda name: name != ""), texts))


TEXT_MAP_TYPE = "map<string,string>"


def read_object(column: Column, kind: DataType) -> Value:
    """A JSON object, as text: a struct, a map, or such text; an empty one is missing."""
    if isinstance(kind, NullType):
        return absent("string")
    if isinstance(kind, StringType):
        given = F.when(~F.regexp_replace(column, r"\s", "").isin("", "{}"), F.trim(column))
    elif isinstance(kind, MapType | StructType):
        given = F.nullif(F.to_json(column), F.lit("{}"))
    else:
        raise Unfit("a struct, a map, or text that is a JSON object")
    return Value(given, F.when(given.startswith("{") & F.from_json(given, _JSON_MAP).isNotNull(), given))


def filled_object(text: Column, *, without: Iterable[str] = ()) -> Column:
    """The JSON object that a text is, but for listed and empty keys ("", [], {}, null); null where none is left.

    >>> df = spark.createDataFrame([('{"Mask": "none", "Age": 3, "Hats": [], "Sharp": 0.5}',), ('{"Age": 4}',)], ["x"])
    >>> df.select(filled_object(F.col("x"), without=["Age"]).alias("rest")).show(truncate=False)
    +---------------------------+
    |rest                       |
    +---------------------------+
    |{"Mask":"none","Sharp":0.5}|
    |NULL                       |
    +---------------------------+
    <BLANKLINE>
    """
    unwanted = list(without)

    def is_wanted(key: Column, value: Column) -> Column:
        return ~key.isin(unwanted) & ~F.try_variant_get(value, "$", "string").isin("", "[]", "{}")

    return F.nullif(F.to_json(F.map_filter(F.from_json(text, _JSON_MAP), is_wanted)), F.lit("{}"))


_JSON_MAP = "map<string,variant>"


def read_embedding(column: Column, kind: DataType) -> Value:
    """A list of finite 32-bit numbers: a list of numbers, or text that is a JSON list of them; empty is missing."""
    if isinstance(kind, ArrayType) and isinstance(kind.elementType, NumericType):
        given, listed = F.to_json(F.slice(column, 1, 8)), column.cast("array<double>")
    elif isinstance(kind, StringType):
        given = F.when(~F.regexp_replace(column, r"\s", "").isin("", "[]"), F.left(column, F.lit(200)))
        listed = F.from_json(F.when(given.startswith("["), column), "array<double>")
    else:
        raise Unfit("a list of numbers, or text that is a JSON list of them")
    floats = F.transform(listed, lambda number: number.cast("float"))
    finite = F.forall(floats, lambda number: F.coalesce(F.abs(number) < float("inf"), F.lit(False)))
    empty = F.coalesce(F.size(floats) == 0, F.lit(False))
    return Value(F.when(~empty, given), F.when(~empty & finite, floats))
