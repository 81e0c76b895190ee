"""IMM's SimpleQuery: trees of conditions on files, checked, and as filters in SQL.

Operators, limits and what they mean: the API reference of IMM 2020-09-30 (SimpleQuery; supported fields and operators).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from catalog.file_fields import LISTS, Field, Source, find_field, find_list, whole_list
from catalog.lake import Within
from catalog.paging import check_among
from catalog.sql import all_of, literal
from catalog.times import ANY_TIME, TimeRange, first_instant, last_instant, parse_time
from schemas.errors import LimitExceeded, UsageError

MOST_CONDITIONS = 100
MOST_LEVELS = 5
MOST_CORNERS = 200
"""Corners of a polygon: ours, as each is a part of the filter."""
EARTH_RADIUS_M = 6_371_008.8
"""Mean radius of the WGS-84 ellipsoid."""

MEDIA_TYPES = ("image", "video")

Logic = Literal["and", "or", "not"]

_COMPARISONS = {"eq": "=", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
_LOGIC = ("and", "or", "not")
_GEO = ("geo-distance", "geo-bounding-box", "geo-polygon")
_OF_TEXT = (*_COMPARISONS, "prefix", "match-phrase", "exist")
_OF_NUMBERS = (*_COMPARISONS, "exist")
OPERATIONS: Mapping[str, tuple[str, ...]] = {
    "text": _OF_TEXT,
    "folded": _OF_TEXT,
    "number": _OF_NUMBERS,
    "single": _OF_NUMBERS,
    "time": _OF_NUMBERS,
    "point": ("eq", "exist", *_GEO),
    "map": ("exist",),
}
"""What can be asked of a field, by how its values compare."""
_KEYS = {"Field", "Operation", "Value", "SubQueries"}
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_CJK = r"[\p{Han}\p{Hiragana}\p{Katakana}]"


@dataclass(frozen=True)
class Leaf:
    """One condition on a field."""

    field: Field
    operation: str
    value: str = ""


@dataclass(frozen=True)
class Group:
    """Conditions of which all, one or none must hold."""

    operation: Logic
    parts: tuple[Condition, ...]


@dataclass(frozen=True)
class Nested:
    """Some element of one list satisfies a condition. `source` is None for a list that no file of a lake has."""

    source: Source | None
    part: Group


Condition = Leaf | Group | Nested


def parse_query(text: str) -> Condition | None:
    """The condition that a JSON text says; None for all files. Raises UsageError, or what `read_query` raises."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"the query is not JSON: {error}") from None
    return read_query(document)


def read_query(document: Any) -> Condition | None:
    """The condition that a SimpleQuery says; None of an empty one: all files.

    Raises UsageError naming what is wrong and what is accepted, LimitExceeded beyond 100 conditions or 5 levels.
    """
    if isinstance(document, dict) and not any(document.values()):
        return None
    condition = _read(document, level=0, inside=None)
    count = sum(1 for _ in leaves(condition))
    if count > MOST_CONDITIONS:
        raise LimitExceeded(f"the query has {count} conditions; up to {MOST_CONDITIONS} are accepted")
    return condition


def where(field: str, operation: str, value: str = "") -> Leaf:
    """One condition, checked. Raises UsageError where the field cannot be asked that, or not for that value."""
    found = whole_list(field) if operation == "exist" and field in LISTS else find_field(field)
    accepted = OPERATIONS[found.kind]
    if operation not in accepted:
        raise UsageError(f"{operation!r} of field {field!r} is not one of {', '.join(accepted)}")
    leaf = Leaf(found, operation, value)
    _compare(leaf, "NULL")  # refuses a value that is not of the field's type
    return leaf


def leaves(condition: Condition | None) -> Iterator[Leaf]:
    """The conditions on fields in a tree."""
    match condition:
        case Leaf():
            yield condition
        case Group(parts=parts):
            for part in parts:
                yield from leaves(part)
        case Nested(part=part):
            yield from leaves(part)


def fixed_fields(condition: Condition | None) -> set[str]:
    """The fields that have one and the same value in all files that satisfy a condition."""
    match condition:
        case Leaf(field=field, operation="eq") if field.kind in ("text", "number") and not field.is_list_part:
            return {field.name}
        case Group(operation="and", parts=parts):
            return {name for part in parts for name in fixed_fields(part)}
    return set()


def to_sql(condition: Condition, within: Within) -> str:
    """The filter over `files`, and the sources of its fields, in SQL; null counts as false.

    `within` are the conditions on project and dataset that the rows of lists are read with. No `NOT` is put over what
    may be null, so that a condition on a value that is not there is false, and its negation true.
    """
    match condition:
        case Leaf(field=field) if field.sql is None:
            return "FALSE"
        case Leaf(field=field) if field.source and field.is_list_part:
            return _some_element(field.source, _compare(condition, field.column), within, {field.sql or ""})
        case Leaf(field=field):
            return _compare(condition, field.column)
        case Group():
            return _join(condition, (to_sql(part, within) for part in condition.parts))
        case Nested(source=source, part=part):
            names = {leaf.field.sql for leaf in leaves(part) if leaf.field.sql}
            return _some_element(source, _of_element(part), within, names) if source else "FALSE"


def _of_element(condition: Condition) -> str:
    """The filter over the elements of one list."""
    match condition:
        case Leaf(field=field):
            return "FALSE" if field.sql is None else _compare(condition, field.column)
        case Group():
            return _join(condition, map(_of_element, condition.parts))
    raise TypeError(condition)  # nested in nested is refused when it is read


def _join(group: Group, parts: Iterable[str]) -> str:
    listed = [f"({part})" for part in parts]
    if group.operation == "and":
        return " AND ".join(listed)
    either = " OR ".join(listed)
    return either if group.operation == "or" else f"({either}) IS NOT TRUE"


def _some_element(source: Source, condition: str, within: Within, names: set[str]) -> str:
    elements = source.select(within, names)
    return f"EXISTS (SELECT 1 FROM {elements} AS {source.name} WHERE {source.joins('files')} AND ({condition}))"


def _read(node: Any, level: int, inside: str | None) -> Condition:
    """A condition. `inside` names the list whose element is asked about, '' where that is still to be found out."""
    if not isinstance(node, dict):
        raise UsageError(f"a condition is {_shown(node)}; an object with Operation is accepted")
    if strange := sorted(node.keys() - _KEYS):
        raise UsageError(f"a condition has {strange[0]!r}; {', '.join(sorted(_KEYS))} are accepted")
    if level > MOST_LEVELS:
        raise LimitExceeded(f"the query has more than {MOST_LEVELS} levels of SubQueries; up to that are accepted")
    operation = _text(node, "Operation").lower()
    below = node.get("SubQueries") or []
    if not isinstance(below, list):
        raise UsageError(f"SubQueries is {_shown(below)}; a list of conditions is accepted")
    if operation == "nested":
        return _read_nested(node, below, level, inside)
    if operation in _LOGIC:
        _refuse_text(node, "Field", operation)
        _refuse_text(node, "Value", operation)
        if not below:
            raise UsageError(f"{operation!r} has no SubQueries; at least one is accepted")
        logic: Logic = operation  # type: ignore[assignment]
        return Group(logic, tuple(_read(each, level + 1, inside) for each in below))
    if below:
        raise UsageError(f"{operation!r} has SubQueries; and, or, not and nested alone may")
    return _read_leaf(node, operation, inside)


def _read_leaf(node: Mapping[str, Any], operation: str, inside: str | None) -> Leaf:
    if operation not in {*_OF_TEXT, *_GEO}:
        accepted = ", ".join(dict.fromkeys((*_OF_TEXT, *_LOGIC, "nested", *_GEO)))
        raise UsageError(f"Operation {operation!r} is not one of {accepted}")
    field = _text(node, "Field")
    if not field:
        raise UsageError(f"{operation!r} has no Field; the name of a field of File is accepted")
    if operation != "exist" and node.get("Value") is None:
        raise UsageError(f"{operation!r} of field {field!r} has no Value; a text is accepted")
    leaf = where(field, operation, "" if operation == "exist" else _text(node, "Value"))
    if inside is not None and find_list(field) != inside:
        raise UsageError(f"field {field!r} is not a part of {inside}, which the nested condition is about")
    return leaf


def _read_nested(node: Mapping[str, Any], below: list[Any], level: int, inside: str | None) -> Nested:
    if inside is not None:
        raise UsageError("nested is within nested; and, or and not of conditions on one list are accepted there")
    if not below:
        raise UsageError("'nested' has no SubQueries; at least one is accepted")
    _refuse_text(node, "Value", "nested")
    name = _text(node, "Field") or _list_of(below)
    if name not in LISTS:
        raise UsageError(f"nested is about {name!r}; a list of File is accepted: {', '.join(LISTS)}")
    return Nested(LISTS[name], Group("and", tuple(_read(each, level + 1, name) for each in below)))


def _list_of(nodes: Any) -> str:
    """The list that the first field named in conditions is a part of."""
    for node in nodes if isinstance(nodes, list) else ():
        if not isinstance(node, dict):
            continue
        field = node.get("Field")
        found = find_list(field) if isinstance(field, str) else ""
        if found := found or _list_of(node.get("SubQueries")):
            return found
    return ""


def _text(node: Mapping[str, Any], key: str) -> str:
    """A text of a condition. A number is its text: some clients send one."""
    value = node.get(key)
    if value is None:
        return ""
    if isinstance(value, int | float) and not isinstance(value, bool) and key == "Value":
        return str(value)
    if not isinstance(value, str):
        raise UsageError(f"{key} is {_shown(value)}; a text is accepted")
    return value


def _refuse_text(node: Mapping[str, Any], key: str, operation: str) -> None:
    if value := _text(node, key):
        raise UsageError(f"{operation!r} has the {key} {value!r}; it takes SubQueries alone")


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 100 else text[:100] + "..."


def _compare(leaf: Leaf, column: str) -> str:
    """A condition on a value, in SQL."""
    field, operation, value = leaf.field, leaf.operation, leaf.value
    if operation == "exist":
        return f"{column} IS NOT NULL"
    match field.kind:
        case "text":
            return _compare_text(column, operation, literal(value))
        case "folded":
            return _compare_text(f"upper({column})", operation, f"upper({literal(value)})")
        case "time":
            return _compare_time(column, field.name, operation, value)
        case "point":
            return _compare_point(field.name, operation, value)
    number = _number(field.name, value)
    if field.kind == "single":
        number = f"CAST({number} AS FLOAT)"
    return f"{column} {_COMPARISONS[operation]} {number}"


def _compare_text(column: str, operation: str, value: str) -> str:
    if operation == "prefix":
        return f"{column} >= {value} AND starts_with({column}, {value})"  # the first part tells files to skip
    if operation == "match-phrase":
        return f"strpos({_words(column)}, {_words(value)}) > 0"
    return f"{column} {_COMPARISONS[operation]} {value}"


def _words(text: str) -> str:
    """The words of a text in upper case, each between blanks. Chinese and Japanese are words letter by letter."""
    apart = f"regexp_replace(upper({text}), '({_CJK})', ' ${{1}} ', 'g')"
    return rf"regexp_replace(' ' || {apart} || ' ', '[^\p{{L}}\p{{M}}\p{{N}}]+', ' ', 'g')"


def _number(field: str, value: str) -> str:
    """The number that a text is, in SQL. One that no integer of 64 bits holds is compared as a double."""
    if not _NUMBER.fullmatch(value) or not math.isfinite(float(value)):
        raise UsageError(f"{value!r} is not a number, as field {field!r} is one; 12 or -0.5 are accepted")
    if value.lstrip("+-").isdigit() and abs(int(value)) < 2**63:
        return str(int(value))
    return literal(float(value))


def _compare_time(column: str, field: str, operation: str, value: str) -> str:
    """An instant, or a day in UTC as a whole: `eq` is some time of it, `gt` after it, `gte` from its start on."""
    time = parse_time(f"the value of field {field}", value)
    if operation == "eq":
        return f"{column} BETWEEN {literal(first_instant(time))} AND {literal(last_instant(time))}"
    edge = last_instant if operation in ("gt", "lte") else first_instant
    return f"{column} {_COMPARISONS[operation]} {literal(edge(time))}"


def _compare_point(field: str, operation: str, value: str) -> str:
    """A condition on where a file was taken."""
    if operation == "geo-distance":
        return _within_distance(field, value)
    points = [_point(field, each) for each in value.split(";")]
    if operation == "geo-polygon":
        return _in_polygon(field, points)
    if len(points) != (1 if operation == "eq" else 2):
        wanted = "lat,lon" if operation == "eq" else "lat,lon;lat,lon, the upper left and the lower right corner,"
        raise UsageError(f"{operation!r} of field {field!r} is {value!r}; {wanted} is accepted")
    if operation == "eq":
        return f"files.latitude = {literal(points[0][0])} AND files.longitude = {literal(points[0][1])}"
    (top, left), (bottom, right) = points
    if top < bottom:
        raise UsageError(f"{operation!r} of field {field!r} is {value!r}: the first corner is the upper left one")
    west, east = f"files.longitude >= {literal(left)}", f"files.longitude <= {literal(right)}"
    across = f"({west} {'AND' if left <= right else 'OR'} {east})"  # a box may cross the date line
    return f"files.latitude BETWEEN {literal(bottom)} AND {literal(top)} AND {across}"


def _within_distance(field: str, value: str) -> str:
    """Great-circle distance on a sphere, by the haversine formula."""
    centre, separator, metres = value.partition(";")
    if not separator or not _NUMBER.fullmatch(metres) or not 0 <= float(metres) < math.inf:
        raise UsageError(f"'geo-distance' of field {field!r} is {value!r}; lat,lon;metres is accepted")
    latitude, longitude = _point(field, centre)
    reach = math.degrees(float(metres) / EARTH_RADIUS_M) + 1e-6
    half = "sin(radians(files.{} - {}) / 2)"
    north, east = half.format("latitude", literal(latitude)), half.format("longitude", literal(longitude))
    parallels = f"{literal(math.cos(math.radians(latitude)))} * cos(radians(files.latitude))"
    chord = f"{north} * {north} + {parallels} * {east} * {east}"
    return (
        f"files.latitude BETWEEN {literal(latitude - reach)} AND {literal(latitude + reach)} AND "
        f"{literal(2 * EARTH_RADIUS_M)} * asin(sqrt(least({literal(1.0)}, {chord}))) <= {literal(float(metres))}"
    )


def _in_polygon(field: str, points: list[tuple[float, float]]) -> str:
    """By how often a line to the east crosses the sides, which are straight in degrees."""
    if not 3 <= len(points) <= MOST_CORNERS:
        error = LimitExceeded if len(points) > MOST_CORNERS else UsageError
        raise error(f"'geo-polygon' of field {field!r} has {len(points)} points; 3 to {MOST_CORNERS} are accepted")
    crossings = []
    for (lat, lon), (other_lat, other_lon) in zip(points, points[1:] + points[:1], strict=True):
        if lat == other_lat:
            continue
        slope = (other_lon - lon) / (other_lat - lat)
        between = f"(files.latitude < {literal(lat)}) <> (files.latitude < {literal(other_lat)})"
        side = f"files.longitude < {literal(lon)} + {literal(slope)} * (files.latitude - {literal(lat)})"
        crossings.append(f"CASE WHEN {between} AND {side} THEN 1 ELSE 0 END")
    latitudes = [latitude for latitude, _ in points]
    inside = f"({' + '.join(crossings) or '0'}) % 2 = 1"
    return all_of([f"files.latitude BETWEEN {literal(min(latitudes))} AND {literal(max(latitudes))}", inside])


def _point(field: str, text: str) -> tuple[float, float]:
    parts = [part.strip() for part in text.split(",")]
    if len(parts) == 2 and all(map(_NUMBER.fullmatch, parts)):
        latitude, longitude = map(float, parts)
        if -90 <= latitude <= 90 and -180 <= longitude <= 180:
            return latitude, longitude
    raise UsageError(f"{text!r} is not a point, as field {field!r} is one; lat,lon in degrees is accepted")


def conditions(
    query: str | None, *, uri: str | None = None, media_type: str | None = None, produced: TimeRange = ANY_TIME
) -> Condition | None:
    """A SimpleQuery in JSON and common conditions beside it, all joined by `and`; None for all files."""
    found = [parse_query(query)] if query else []
    found += [where("URI", "eq", uri)] if uri is not None else []
    if media_type is not None:
        check_among("media type", [media_type], MEDIA_TYPES)
        found.append(where("MediaType", "eq", media_type))
    found += [
        where("ProduceTime", operation, bound.isoformat())
        for operation, bound in (("gte", produced.start), ("lte", produced.end))
        if bound is not None
    ]
    given = tuple(each for each in found if each is not None)
    return given[0] if len(given) == 1 else Group("and", given) if given else None
