"""From what came over the wire to one set of parameters: decoded, merged, and none of them given twice."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote_to_bytes

from serve.errors import ApiError, invalid

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
MOST_PARAMETERS = 20_000
"""Parameters of one request at most: a batch of 100 files flattened by a generic call has some thousand."""
DEEPEST = 16
"""Levels of a flattened parameter such as `Query.SubQueries.1.Field` at most."""

Pairs = list[tuple[str, str]]


def decode_pairs(what: str, text: bytes) -> Pairs:
    """The names and values of a query string or form, in order. ApiError for what is not UTF-8, or too many."""
    if not text:
        return []
    parts = text.split(b"&")
    if len(parts) > MOST_PARAMETERS:
        raise ApiError("LimitExceededError", f"The {what} has {len(parts):,} parameters.")
    pairs = []
    for part in parts:
        if part:
            name, _, value = part.partition(b"=")
            pairs.append((_decoded(what, name), _decoded(what, value)))
    return pairs


def merge_parameters(query: Pairs, content_type: str | None, body: bytes) -> dict[str, Any]:
    """The parameters of a request by name, nested ones put together.

    Raises ApiError for one that was given twice with different values: what is authorised must be what is done.
    """
    merged: dict[str, Any] = {}
    _add(merged, query)
    _add(merged, _body_items(content_type, body), other=set(merged))
    return _nested(merged)


def _add(merged: dict[str, Any], items: Iterable[tuple[str, Any]], other: set[str] | None = None) -> None:
    """Adds parameters. One that is in `other` may come again with the same value, any else not at all."""
    for name, value in items:
        if name in merged and not (other and name in other and merged[name] == value):
            raise invalid(f"The parameter {name[:100]} was given more than once")
        merged[name] = value


def _body_items(content_type: str | None, body: bytes) -> Iterable[tuple[str, Any]]:
    if not body:
        return []
    kind = (content_type or "").partition(";")[0].strip().lower()
    if kind == FORM:
        return decode_pairs("body", body)
    if kind == JSON:
        return _json_object(body).items()
    raise invalid(f"The body is of content type {kind[:100] or 'none'}; {FORM} and {JSON} are accepted")


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body, object_pairs_hook=_no_twice)
    except (ValueError, RecursionError):
        raise ApiError("InvalidJSON", "The body is not JSON.") from None
    if not isinstance(found, dict):
        raise ApiError("InvalidJSON", "The body is JSON, but no object.")
    return found


def _no_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise invalid("An object of the body has a key twice")
    return found


def _decoded(what: str, text: bytes) -> str:
    try:
        return unquote_to_bytes(text.replace(b"+", b" ")).decode()
    except UnicodeDecodeError:
        raise invalid(f"The {what} has a parameter that is not UTF-8") from None


def _nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters with dots in their names put together: `Query.Operation=eq` is a field of Query, `URIs.1` an element.

    >>> _nested({"Query.Operation": "eq", "Query.Value": "a", "URIs.1": "b", "URIs.2": "c"})
    {'Query': {'Operation': 'eq', 'Value': 'a'}, 'URIs': ['b', 'c']}
    """
    nested: dict[str, Any] = {}
    flattened = set()
    for name, value in flat.items():
        top, *path = name.split(".")
        if not path:
            if top in nested:
                raise invalid(f"The parameter {top[:100]} was given more than once")
            nested[top] = value
            continue
        if len(path) > DEEPEST:
            raise invalid(f"The parameter {name[:100]} is nested too deep")
        if top in nested and top not in flattened:
            raise invalid(f"The parameter {top[:100]} was given more than once")
        flattened.add(top)
        place = nested.setdefault(top, {})
        for step in path[:-1]:
            place = place.setdefault(step, {})
            if not isinstance(place, dict):
                raise invalid(f"The parameter {name[:100]} was given more than once")
        if path[-1] in place:
            raise invalid(f"The parameter {name[:100]} was given more than once")
        place[path[-1]] = value
    return {name: _listed(value) if name in flattened else value for name, value in nested.items()}


def _listed(value: Any) -> Any:
    """Objects whose keys count from 1 as lists."""
    if not isinstance(value, dict):
        return value
    items = {key: _listed(item) for key, item in value.items()}
    if items and all(key in items for key in map(str, range(1, len(items) + 1))):
        return [items[str(n)] for n in range(1, len(items) + 1)]
    return items
