"""The columns of a source as a kernel sees them: which fields they are, `--map`, and the row as JSON, as DuckDB's SQL.

DuckDB does not tell names apart by case, and sources do. So columns go by their number: see `engine.query`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import pyarrow as pa

from schemas.errors import UsageError
from transforms.tables.source_columns import (
    FIGURE_FIELDS,
    FILE_FIELDS,
    IS_JSON,
    LONGEST_ARRAY_IN_ROW,
    MESSAGE,
    OPEN_OBJECTS,
    PARTS,
    REASON,
    ROW,
    TOLD_BY,
)


class Field(NamedTuple):
    """What gives a field: an expression over the numbered columns, and its Arrow type."""

    sql: str
    kind: pa.DataType


def fields_of(schema: pa.Schema, mapping: Mapping[str, str]) -> dict[str, Field]:
    """The lake's fields that a source has: columns that carry a field's name, whatever their case (an exact name
    wins), and what `mapping` maps (see `map_fields`). A column that can hold nothing is none.
    """
    found: dict[str, Field] = {}
    for column, field in data_columns(schema).items():
        name = column.lower()
        if name in _KNOWN and not is_void(field.kind) and (name not in found or column == name):
            found[name] = field
    fields = found | map_fields(schema, mapping)
    return {name: field for name, field in fields.items() if not is_void(field.kind)}


def map_fields(schema: pa.Schema, mapping: Mapping[str, str]) -> dict[str, Field]:
    """The fields that `mapping` gives: each key names what to read, its value the lake field it becomes.

    `{"town": "address.township"}` fills one part of the address; the others stay as the source has them. A key is a
    column's whole name, or a dotted path into a struct, a map, or JSON text. A mapped column takes the place of one
    that carries the field's name already.

    Raises UsageError naming what doesn't exist, and what does.
    """
    doubled = {field for field in mapping.values() if list(mapping.values()).count(field) > 1}
    if doubled:
        raise UsageError(f"--map gives {', '.join(sorted(doubled))} more than once; one column per field is accepted")
    whole: dict[str, Field] = {}
    parts: dict[str, dict[str, Field]] = {}
    for path, name in mapping.items():
        field = _reached(schema, path)
        owner, _, part = name.partition(".")
        if part and (part in PARTS.get(owner, ()) or owner in OPEN_OBJECTS):
            parts.setdefault(owner, {})[part] = field
        elif name in _KNOWN:
            whole[name] = field
        else:
            known = [
                *_KNOWN,
                *(f"{o}.{p}" for o in PARTS for p in PARTS[o]),
                *(f"{o}.NAME" for o in OPEN_OBJECTS),
            ]
            raise UsageError(f"--map {path}={name}: no field {name!r}; accepted are {', '.join(known)}")
    both = sorted(whole.keys() & parts.keys())
    if both:
        raise UsageError(f"--map gives {', '.join(both)} whole and in parts; one of the two is accepted")
    return whole | {owner: _filled(schema, owner, given) for owner, given in parts.items()}


_KNOWN = tuple(dict.fromkeys(FILE_FIELDS + FIGURE_FIELDS))


def untold_columns(schema: pa.Schema, mapping: Mapping[str, str]) -> frozenset[str]:
    """Columns of `files`, `file_features` and `figures` that a source does not speak of, as it lacks theirs."""
    told = fields_of(schema, mapping).keys()
    known = {*_KNOWN} - {"dataset_name", "uri", "figure_id"}
    return frozenset(name for name in known if told.isdisjoint(TOLD_BY.get(name, (name,))))


def data_columns(schema: pa.Schema) -> dict[str, Field]:
    """The source's own columns, by name, in order."""
    fields = {column.name: Field(f"_{number}", column.type) for number, column in enumerate(schema)}
    return {name: field for name, field in fields.items() if name not in (ROW, REASON, MESSAGE)}


def is_void(kind: pa.DataType) -> bool:
    """Whether a type has no value at any depth: null, lists and maps of null, structs whose fields all are."""
    if pa.types.is_struct(kind):
        return all(is_void(field.type) for field in kind)
    if is_list(kind):
        return is_void(kind.value_type)
    return is_void(kind.item_type) if pa.types.is_map(kind) else bool(pa.types.is_null(kind))


def is_text(kind: pa.DataType) -> bool:
    """Whether a type is text."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def is_list(kind: pa.DataType) -> bool:
    """Whether a type is a list, of any kind."""
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def is_bytes(kind: pa.DataType) -> bool:
    """Whether a type is bytes."""
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind))


def is_number(kind: pa.DataType) -> bool:
    """Whether a type is a number: whole, floating or decimal."""
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


_TYPE_NAMES = {
    pa.bool_(): "boolean",
    pa.int8(): "tinyint",
    pa.int16(): "smallint",
    pa.int32(): "int",
    pa.int64(): "bigint",
    pa.float32(): "float",
    pa.float64(): "double",
    pa.date32(): "date",
}


def type_name(kind: pa.DataType) -> str:
    """A type as SQL writes it.

    >>> type_name(pa.map_(pa.string(), pa.list_(pa.struct([("a", pa.int64())]))))
    'map<string,array<struct<a:bigint>>>'
    """
    if pa.types.is_struct(kind):
        return "struct<" + ",".join(f"{field.name}:{type_name(field.type)}" for field in kind) + ">"
    if pa.types.is_map(kind):
        return f"map<{type_name(kind.key_type)},{type_name(kind.item_type)}>"
    if is_list(kind):
        return f"array<{type_name(kind.value_type)}>"
    if pa.types.is_timestamp(kind):
        return "timestamp" if kind.tz else "timestamp_ntz"
    return "string" if is_text(kind) else _TYPE_NAMES.get(kind, str(kind))


def literal(text: str) -> str:
    """A text in SQL."""
    return "'" + text.replace("'", "''") + "'"


def row_json(schema: pa.Schema) -> str:
    """The row as JSON: nulls left out, NaN as text, bytes as base64, long lists of numbers cut."""
    shown = []
    for name, field in data_columns(schema).items():
        if is_list(field.kind) and is_number(field.kind.value_type):
            field = Field(f"{field.sql}[1:{LONGEST_ARRAY_IN_ROW}]", field.kind)
        shown.append((name, field))
    return json_object(shown)


def json_text(field: Field) -> str:
    """A value as JSON text, null where it is null."""
    sql, kind = field
    if pa.types.is_struct(kind):
        parts = [(part.name, part_of(field, part)) for part in kind]
        return f"CASE WHEN {sql} IS NOT NULL THEN {json_object(parts)} END"
    if pa.types.is_map(kind):
        value = json_text(Field("entry.value", kind.item_type))
        pair = f"to_json(CAST(entry.key AS VARCHAR)) || ':' || coalesce({value}, 'null')"
        return f"'{{' || array_to_string(list_transform(map_entries({sql}), lambda entry: {pair}), ',') || '}}'"
    if is_list(kind):
        value = f"coalesce({json_text(Field('item', kind.value_type))}, 'null')"
        return f"'[' || array_to_string(list_transform({sql}, lambda item: {value}), ',') || ']'"
    if is_text(kind):
        return f"CAST(to_json({sql}) AS VARCHAR)"
    if pa.types.is_floating(kind):
        text = f"CAST({sql} AS VARCHAR)"
        special = f"CASE WHEN isnan({sql}) THEN '\"NaN\"' WHEN {sql} > 0 THEN '\"Infinity\"' ELSE '\"-Infinity\"' END"
        return f"CASE WHEN isfinite({sql}) THEN {text} WHEN {sql} IS NOT NULL THEN {special} END"
    if pa.types.is_timestamp(kind):
        return f"strftime({sql}, '\"%Y-%m-%dT%H:%M:%S.%g{'Z' if kind.tz else ''}\"')"
    if is_bytes(kind):
        return f"'\"' || base64({sql}) || '\"'"
    if pa.types.is_integer(kind) or pa.types.is_decimal(kind) or pa.types.is_boolean(kind):
        return f"CAST({sql} AS VARCHAR)"
    return f"CAST(to_json(CAST({sql} AS VARCHAR)) AS VARCHAR)"


def hashed(field: Field) -> list[str]:
    """Expressions whose values are the same for the same value alone, for `hash`: DuckDB hashes an empty list, one of
    null, and null alike."""
    sql, kind = field
    if pa.types.is_struct(kind):
        return [f"{sql} IS NULL", *(text for part in kind for text in hashed(part_of(field, part)))]
    if pa.types.is_map(kind) or (is_list(kind) and pa.types.is_nested(kind.value_type)):
        return [json_text(field)]
    return [sql, f"len({sql})", f"{sql} IS NULL"] if is_list(kind) else [sql]


def json_object(parts: list[tuple[str, Field]]) -> str:
    """A JSON object of values, those that are null left out."""
    texts = []
    for name, field in parts:
        if not is_void(field.kind):
            texts.append(f"to_json({literal(name)}) || ':' || {json_text(field)}")
    return f"'{{' || concat_ws(',', {', '.join(texts)}) || '}}'" if texts else "'{}'"


def part_of(field: Field, part: pa.Field) -> Field:
    """One part of a struct."""
    return Field(f"struct_extract({field.sql}, {literal(part.name)})", part.type)


def json_part(text: str, *steps: str) -> str:
    """What a JSON text has below some keys, as text; null where it has nothing there, or is no JSON."""
    keys = "".join('."' + step.replace('"', "") + '"' for step in steps)
    return f"json_extract_string(TRY_CAST({text} AS JSON), {literal('$' + keys)})"


def _reached(schema: pa.Schema, path: str) -> Field:
    """What a key of `--map` names."""
    columns = data_columns(schema)
    if path in columns:
        return columns[path]
    name, *steps = path.split(".")
    if name not in columns:
        raise UsageError(f"--map {path}=...: the source has no column {name!r}; it has {', '.join(columns)}")
    field = columns[name]
    is_json = IS_JSON.items() <= (schema.field(schema.names.index(name)).metadata or {}).items()
    if is_json and steps:
        return Field(json_part(field.sql, *steps), pa.string())
    for step in steps:
        field = _step_into(field, step, path)
    return field


def _step_into(field: Field, step: str, path: str) -> Field:
    sql, kind = field
    if pa.types.is_map(kind) and is_text(kind.key_type):
        return Field(f"map_extract_value({sql}, {literal(step)})", kind.item_type)
    if pa.types.is_struct(kind) and kind.get_field_index(step) >= 0:
        return part_of(field, kind.field(step))
    names = ", ".join(part.name for part in kind) if pa.types.is_struct(kind) else ""
    has = f"its fields are {names}" if names else f"it is {type_name(kind)}"
    raise UsageError(f"--map {path}=...: nothing called {step!r} there; {has}")


def _filled(schema: pa.Schema, owner: str, given: dict[str, Field]) -> Field:
    """A struct of the parts that are mapped, and those that the source has.

    DuckDB's structs do not tell names apart by case.
    """
    names = {name.lower(): name for name in given}
    if len(names) < len(given):
        raise UsageError(f"--map gives parts of {owner} that differ by case alone: {', '.join(sorted(given))}")
    parts = {name: field for name, field in _parts(schema, owner).items() if name.lower() not in names} | given
    made = ", ".join(f"{_quoted(name)} := {field.sql}" for name, field in parts.items())
    return Field(f"struct_pack({made})", pa.struct([(name, field.kind) for name, field in parts.items()]))


def _parts(schema: pa.Schema, owner: str) -> dict[str, Field]:
    """The parts of a field that the source's own column of that name has.

    Raises UsageError where the parts may have any name, and their column does not tell which there are.
    """
    column = fields_of(schema, {}).get(owner)
    if column is None:
        return {}
    if pa.types.is_struct(column.kind):
        return {part.name.lower() if owner in PARTS else part.name: part_of(column, part) for part in column.kind}
    if owner in OPEN_OBJECTS:
        raise UsageError(
            f"--map gives parts of {owner}, and the source has a column {owner}, {type_name(column.kind)}: parts are "
            "added to a struct, or where the source has no such column"
        )
    if is_text(column.kind):
        return {part: Field(json_part(column.sql, part), pa.string()) for part in PARTS[owner]}
    if pa.types.is_map(column.kind) and is_text(column.kind.key_type):
        return {part: _step_into(column, part, owner) for part in PARTS[owner]}
    return {}


def _quoted(name: str) -> str:
    """A name in SQL."""
    return '"' + name.replace('"', '""') + '"'
