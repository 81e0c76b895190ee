"""Reading one value of a source, of whatever type the source has, as the type that the lake has, by DuckDB's SQL.

Each reader takes what gives a field and returns a `Value`: what was given, and the value, null where nothing was given
or where it can't be accepted. No reader throws on a bad value. A type that can't hold the field at all raises
`Unfit`, which the caller gathers: it is an error of the source, not of a row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa

from schemas.contract import LEVELS
from transforms.sources.columns import (
    Field,
    is_bytes,
    is_list,
    is_number,
    is_text,
    json_part,
    json_text,
    literal,
    part_of,
)
from transforms.tables.source_columns import LONGEST_ARRAY_IN_ROW

NUMBER_PATTERN = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\z"
WHOLE_PATTERN = r"^[+-]?\d+\z"
INFINITE_PATTERN = r"^(?i)[+-]?inf(inity)?\z"
REPLACEMENT = "\ufffd"
NULL_TEXT = "CAST(NULL AS VARCHAR)"


def _as_text(given: str) -> str:
    return f"CAST({given} AS VARCHAR)"


@dataclass(frozen=True)
class Value:
    """What a source gives for a field, null where it gives nothing; the value that the lake takes; what is shown of it.

    `value` and `shown` make expressions, of the value and of a text; they are told the name of the column in which
    `given` is then.
    """

    given: str
    value: Callable[[str], str]
    shown: Callable[[str], str] = _as_text


Reader = Callable[[Field], Value]


class Unfit(TypeError):
    """The type of a source's column can't hold the field; the text says which types can."""


def read_text(field: Field) -> Value:
    """A text, as it is; blank is missing. Whole numbers are taken as texts."""
    if not (is_text(field.kind) or pa.types.is_integer(field.kind)):
        raise Unfit("text")
    text = field.sql if is_text(field.kind) else f"CAST({field.sql} AS VARCHAR)"
    return Value(f"CASE WHEN trim({text}) <> '' THEN {text} END", _itself)


def _itself(given: str) -> str:
    return given


def read_name(field: Field) -> Value:
    """A text without the blanks around it, in lower case."""
    return Value(read_text(field).given, lambda given: f"lower(trim({given}))")


def read_etag(field: Field) -> Value:
    """A hash, without the quotes and the weakness mark that an HTTP ETag has around it (RFC 9110, 8.8.3)."""
    bare = literal(r'^(?:W/)?"(.*)"\z')
    return Value(read_text(field).given, lambda given: rf"regexp_replace(trim({given}), {bare}, '\1')")


def is_clean(text: str) -> str:
    """Whether a text is valid UTF-8 throughout, and was before it was read: `clean_texts` has marked where not."""
    return f"NOT contains({text}, {literal(REPLACEMENT)})"


def matches(text: str, pattern: str) -> str:
    """Whether a text matches a pattern (RE2)."""
    return f"regexp_matches({text}, {literal(pattern)})"


def matching(reader: Reader, pattern: str) -> Reader:
    """A reader that accepts only texts that match a pattern."""

    def read(field: Field) -> Value:
        text = reader(field)

        def accept(given: str) -> str:
            value = text.value(given)
            return f"CASE WHEN {matches(value, pattern)} THEN {value} END"

        return Value(text.given, accept)

    return read


def read_number(field: Field) -> Value:
    """A number, perhaps infinite. NaN, and text that says so, is missing: pandas writes it for a missing value.

    Text is a decimal number with a point: no comma, no degree sign, no digit grouping.
    """
    sql, kind = field
    if is_text(kind):

        def number(given: str) -> str:
            infinite = f"CASE WHEN {given} LIKE '-%' THEN '-Infinity' ELSE 'Infinity' END"
            text = f"WHEN {matches(given, NUMBER_PATTERN)} THEN {given} WHEN {matches(given, INFINITE_PATTERN)}"
            return f"TRY_CAST(CASE {text} THEN {infinite} END AS DOUBLE)"

        return Value(f"CASE WHEN lower(trim({sql})) NOT IN ('', 'nan') THEN trim({sql}) END", number)
    if not is_number(kind):
        raise Unfit("a number, or text")
    there = f"CASE WHEN NOT isnan({sql}) THEN {sql} END" if pa.types.is_floating(kind) else sql
    return Value(there, lambda given: f"CAST({given} AS DOUBLE)")


def number_within(low: float, high: float | None = None) -> Reader:
    """A reader of finite numbers from `low` to `high`, both included."""

    def read(field: Field) -> Value:
        number = read_number(field)

        def accept(given: str) -> str:
            value = number.value(given)
            most = f" AND {value} <= {high}" if high is not None else ""
            return f"CASE WHEN isfinite({value}) AND {value} >= {low}{most} THEN {value} END"

        return Value(number.given, accept)

    return read


def whole_number_within(low: int, high: int) -> Reader:
    """A reader of whole numbers from `low` to `high`, both included; 4032.0 is one (pandas writes it so)."""

    def read(field: Field) -> Value:
        kind = field.kind

        def accept(given: str) -> str:
            if is_text(kind):
                digits = rf"regexp_replace({given}, '\.0*\z', '')"
                whole = f"TRY_CAST(CASE WHEN {matches(digits, WHOLE_PATTERN)} THEN {digits} END AS BIGINT)"
            elif pa.types.is_integer(kind):
                whole = f"TRY_CAST({given} AS BIGINT)"
            else:
                whole = f"CASE WHEN floor({given}) = {given} THEN TRY_CAST({given} AS BIGINT) END"
            return f"CASE WHEN {whole} BETWEEN {low} AND {high} THEN {whole} END"

        return Value(read_number(field).given, accept)

    return read


def bytes_of_length(length: int) -> Reader:
    """A reader of exactly so many bytes; none are missing, as is what is no binary: a `thumbnail` may be a link."""

    def read(field: Field) -> Value:
        sql, kind = field
        if not is_bytes(kind):
            return Value(NULL_TEXT, lambda given: "NULL")
        return Value(
            f"CASE WHEN octet_length({sql}) > 0 THEN {sql} END",
            lambda given: f"CASE WHEN octet_length({given}) = {length} THEN {given} END",
            lambda given: f"octet_length({given}) || ' bytes'",
        )

    return read


def read_address(field: Field) -> Value:
    """An address, struct of country, province, city, district, township; blank parts are null, as is one of blanks.

    Given as a struct with any of these fields, a map from text to text, or text that is a JSON object of them.
    """
    sql, kind = field
    if is_text(kind):
        given = f"CASE WHEN trim({sql}) <> '' THEN {sql} END"
        readable = f"coalesce(json_type(TRY_CAST({given} AS JSON)) = 'OBJECT', false)"
        parts = {level: json_part(given, level) for level in LEVELS}
    elif pa.types.is_map(kind) and is_text(kind.key_type) and is_text(kind.item_type):
        given, readable = sql, "true"
        parts = {level: f"map_extract_value({sql}, '{level}')" for level in LEVELS}
    elif pa.types.is_struct(kind):
        names = {part.name.lower(): part for part in kind}
        for level in LEVELS:
            if level in names and not (is_text(names[level].type) or pa.types.is_null(names[level].type)):
                raise Unfit(f"text in its field {level}")
        given, readable = sql, "true"
        parts = {
            level: part_of(field, names[level]).sql for level in LEVELS if level in names and is_text(names[level].type)
        }
    else:
        raise Unfit("a struct, a map of texts, or text that is a JSON object")
    filled = {level: f"nullif(trim({parts[level]}), '')" if level in parts else NULL_TEXT for level in LEVELS}
    some = f"coalesce({', '.join(filled.values())}) IS NOT NULL"
    address = "struct_pack(" + ", ".join(f"{level} := {part}" for level, part in filled.items()) + ")"
    return Value(
        f"CASE WHEN NOT {readable} OR {some} THEN {given} END",
        lambda given: f"CASE WHEN {given} IS NOT NULL AND {readable} AND {some} THEN {address} END",
        _itself if is_text(kind) else lambda given: json_text(Field(given, kind)),
    )


def read_labels(field: Field) -> Value:
    """A list of labels without blanks or repetitions: a list of texts, a JSON list of them, or text split at commas."""
    sql, kind = field
    if is_list(kind) and is_text(kind.value_type):
        given, listed = sql, sql
    elif is_text(kind):
        given = f"CASE WHEN trim({sql}) <> '' THEN trim({sql}) END"
        as_json = f"""TRY(from_json({given}, '["VARCHAR"]'))"""
        listed = f"CASE WHEN {given} LIKE '[%' THEN {as_json} ELSE string_split({given}, ',') END"
    else:
        raise Unfit("a list of texts, or text")
    texts = f"list_filter(list_transform({listed}, lambda label: trim(label)), lambda label: label <> '')"
    labels = f"list_filter({texts}, lambda label, place: list_position({texts}, label) = place)"
    is_empty = f"len({labels}) = 0"
    return Value(
        f"CASE WHEN NOT coalesce({is_empty}, false) THEN {given} END",
        lambda given: f"CASE WHEN NOT {is_empty} THEN {labels} END",
        _itself if is_text(kind) else lambda given: json_text(Field(given, kind)),
    )


def read_text_map(field: Field) -> Value:
    """Texts by name: a map, a struct, or text that is a JSON object; names without a value are left out, as are none.

    Numbers, truth values and lists in them are taken as their JSON text.
    """

    def accept(given: str) -> str:
        parsed = f"TRY_CAST({given} AS JSON)"
        names = f"json_keys({parsed})"
        is_good = (
            f"json_type({parsed}) = 'OBJECT' AND NOT list_contains({names}, '') "
            f"AND len(list_distinct({names})) = len({names})"
        )
        texts = f"""map_entries(from_json({given}, '"MAP(VARCHAR,VARCHAR)"'))"""
        filled = f"map_from_entries(list_filter({texts}, lambda entry: entry.value IS NOT NULL))"
        return f"CASE WHEN {is_good} THEN {filled} END"

    return Value(_given_object(field), accept)


def read_object(field: Field) -> Value:
    """A JSON object, as text: a struct, a map, or such text; an empty one is missing."""
    return Value(
        _given_object(field),
        lambda given: f"CASE WHEN json_type(TRY_CAST({given} AS JSON)) = 'OBJECT' THEN {given} END",
    )


def _given_object(field: Field) -> str:
    sql, kind = field
    if is_text(kind):
        return rf"CASE WHEN regexp_replace({sql}, '\s', '', 'g') NOT IN ('', '{{}}') THEN trim({sql}) END"
    if pa.types.is_map(kind) or pa.types.is_struct(kind):
        return f"nullif({json_text(field)}, '{{}}')"
    raise Unfit("a map, a struct, or text that is a JSON object")


def read_embedding(field: Field) -> Value:
    """A list of finite 32-bit numbers: a list of numbers, or text that is a JSON list of them; empty is missing."""
    sql, kind = field
    if is_list(kind) and is_number(kind.value_type):
        given = sql
        is_single = pa.types.is_float32(kind.value_type)
        floats = sql if is_single else f"list_transform({sql}, lambda number: TRY_CAST(number AS FLOAT))"
    elif is_text(kind):
        given = rf"CASE WHEN regexp_replace({sql}, '\s', '', 'g') NOT IN ('', '[]') THEN {sql} END"
        floats = f"""CASE WHEN {sql} LIKE '[%' THEN TRY(from_json({sql}, '["FLOAT"]')) END"""
    else:
        raise Unfit("a list of numbers, or text that is a JSON list of them")
    is_empty = f"coalesce(len({floats}) = 0, false)"
    is_finite = f"len(list_filter({floats}, lambda number: isfinite(number))) = len({floats})"
    return Value(
        f"CASE WHEN NOT {is_empty} THEN {given} END",
        lambda given: f"CASE WHEN {given} IS NOT NULL AND {is_finite} THEN {floats} END",
        _itself if is_text(kind) else lambda given: json_text(Field(f"{given}[1:{LONGEST_ARRAY_IN_ROW}]", kind)),
    )
