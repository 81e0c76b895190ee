"""What parameters an operation takes: their form, their limits, and how they are read off a request.

A value comes as text from query strings and forms, and as itself from JSON bodies. What is absent, or an empty text, is
left out of the parameters that the operation gets.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from catalog.times import TimeRange, parse_time
from schemas.errors import UsageError
from schemas.lake import NAME_PATTERN
from serve.errors import ApiError, invalid, too_many

Parse = Callable[[str, Any], Any]

MAX_LABELS = 100
MAX_LABELS_BYTES = 65_536
"""Of all labels of one thing: ours, as index takes no more."""
MAX_TEXT_BYTES = 1024
MAX_USER_DATA_BYTES = 2048
MAX_BATCH = 100
_INTEGER = re.compile(r"[+-]?[0-9]{1,19}", re.ASCII)
_ENDS = ("Start", "End")
_NAME = re.compile(NAME_PATTERN.removesuffix("$") + r"\Z", re.ASCII)


@dataclass(frozen=True)
class Parameter:
    """One parameter: its wire name, how its value is read, whether it must be there."""

    name: str
    parse: Parse
    required: bool = False

    @property
    def must(self) -> Parameter:
        """The same parameter, required."""
        return Parameter(self.name, self.parse, required=True)


def parse_parameters(spec: tuple[Parameter, ...], raw: Mapping[str, Any], within: str = "") -> dict[str, Any]:
    """The values of those parameters that were given. Unknown names are passed over, as IMM does.

    Raises ApiError for one that is missing (Missing...) or of a wrong form.
    """
    values = {}
    for parameter in spec:
        path = within + parameter.name
        value = raw.get(parameter.name)
        if value is None or value == "":
            if parameter.required:
                raise ApiError(f"Missing{parameter.name}", f"{path} is mandatory for this action.")
            continue
        values[parameter.name] = parameter.parse(path, value)
    return values


def text(name: str, *, most_bytes: int | None = None, most: int | None = None) -> Parameter:
    """A text, of so many bytes or characters at most."""

    def parse(path: str, value: Any) -> str:
        found = _text(path, value)
        if most_bytes is not None and len(found.encode()) > most_bytes:
            raise invalid(f"{path} has {len(found.encode()):,} bytes; up to {most_bytes:,} are accepted")
        if most is not None and len(found) > most:
            raise invalid(f"{path} has {len(found):,} characters; up to {most:,} are accepted")
        return found

    return Parameter(name, parse)


def resource_name(name: str) -> Parameter:
    """The name of a project or dataset."""

    def parse(path: str, value: Any) -> str:
        found = _text(path, value)
        if not _NAME.match(found):
            raise invalid(
                f"{path} {found[:200]!r} is not a name: 1 to 128 letters, digits, - and _ are accepted, "
                "the first a letter or _"
            )
        return found

    return Parameter(name, parse)


def choice(name: str, *accepted: str) -> Parameter:
    """One of some texts, in any case; the value is as it is written here."""

    def parse(path: str, value: Any) -> str:
        found = _text(path, value)
        for one in accepted:
            if one.lower() == found.lower():
                return one
        raise invalid(f"{path} {found[:200]!r} is not one of {', '.join(accepted)}")

    return Parameter(name, parse)


def integer(name: str, least: int, most: int) -> Parameter:
    """A whole number within bounds."""

    def parse(path: str, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise invalid(f"{path} is a {_kind(value)}; a whole number is accepted")
        if isinstance(value, str) and not _INTEGER.fullmatch(value):
            raise invalid(f"{path} {value[:200]!r} is not a whole number")
        found = int(value)
        if not least <= found <= most:
            raise invalid(f"{path} {found} is out of range: {least} to {most} are accepted")
        return found

    return Parameter(name, parse)


def number(name: str) -> Parameter:
    """A finite number."""

    def parse(path: str, value: Any) -> float:
        try:
            found = float(value) if not isinstance(value, bool) else None
        except (TypeError, ValueError, OverflowError):
            found = None
        if found is None or found - found != 0:  # neither infinite nor no number
            raise invalid(f"{path} {str(value)[:200]!r} is not a number")
        return found

    return Parameter(name, parse)


def flag(name: str) -> Parameter:
    """True or false, in any case."""

    def parse(path: str, value: Any) -> bool:
        if isinstance(value, bool):
            return value
        if isinstance(value, str) and value.lower() in ("true", "false"):
            return value.lower() == "true"
        raise invalid(f"{path} {str(value)[:200]!r} is neither true nor false")

    return Parameter(name, parse)


def texts(name: str, *, most: int | None = None, least: int = 0) -> Parameter:
    """A list of texts. An element that is itself a JSON list stands for its elements, as IMM's samples write them."""

    def parse(path: str, value: Any) -> list[str]:
        found: list[str] = []
        for element in _list(path, value):
            inner = _inner_list(element)
            found += [_text(path, part) for part in inner] if inner is not None else [_text(path, element)]
        return _counted(path, found, least, most)

    return Parameter(name, parse)


def mapping(name: str) -> Parameter:
    """Labels or tags: a JSON object of texts."""

    def parse(path: str, value: Any) -> dict[str, str]:
        found = _object(path, value)
        if len(found) > MAX_LABELS:
            raise too_many(path, len(found), MAX_LABELS)
        if "" in found:
            raise invalid(f"{path} has an empty key; keys of at least one character are accepted")
        labels = {_text(path, key): _text(f"{path}.{key}", item) for key, item in found.items()}
        size = len(json.dumps(labels, ensure_ascii=False).encode())
        if size > MAX_LABELS_BYTES:
            raise invalid(f"{path} has {size:,} bytes; up to {MAX_LABELS_BYTES:,} are accepted")
        return labels

    return Parameter(name, parse)


def record(name: str, *fields: Parameter) -> Parameter:
    """A JSON object with fields of its own; empty lists in it stand for not given, as the SDK sends them."""

    def parse(path: str, value: Any) -> dict[str, Any]:
        return _record(path, value, fields)

    return Parameter(name, parse)


def records(name: str, *fields: Parameter, most: int | None = None, least: int = 0) -> Parameter:
    """A list of such JSON objects."""

    def parse(path: str, value: Any) -> list[dict[str, Any]]:
        found = [_record(f"{path}.{at}", element, fields) for at, element in enumerate(_list(path, value), start=1)]
        return _counted(path, found, least, most)

    return Parameter(name, parse)


def json_value(name: str) -> Parameter:
    """Any JSON value, as it is."""
    return Parameter(name, _json)


def document(name: str) -> Parameter:
    """Any JSON object, as it is: for trees that the operation checks itself."""
    return Parameter(name, _object)


def documents(name: str, *, most: int | None = None) -> Parameter:
    """A list of any JSON objects, as they are."""

    def parse(path: str, value: Any) -> list[dict[str, Any]]:
        return _counted(path, [_object(path, element) for element in _list(path, value)], 0, most)

    return Parameter(name, parse)


def time_range(name: str) -> Parameter:
    """A TimeRange: Start and End, each optional, both counted."""
    ends = record(name, text("Start"), text("End"))

    def parse(path: str, value: Any) -> TimeRange:
        found = ends.parse(path, value)
        try:
            start, end = (parse_time(f"{path}.{part}", found[part]) if part in found else None for part in _ENDS)
        except UsageError as error:
            raise invalid(str(error)) from None
        return TimeRange(start, end)

    return Parameter(name, parse)


def max_results(most: int = 100, *, least: int = 0) -> Parameter:
    """MaxResults: how many a page; 0 stands for the default where it is accepted."""
    return integer("MaxResults", least, most)


PROJECT = resource_name("ProjectName").must
DATASET = resource_name("DatasetName").must
NEXT_TOKEN = text("NextToken")
ORDER = choice("Order", "asc", "desc")
NOTIFICATION = record(
    "Notification",
    text("ExtendedMessageURI"),
    record("MNS", text("TopicName")),
    record("RocketMQ", text("InstanceId"), text("TopicName")),
)
USER_DATA = text("UserData", most_bytes=MAX_USER_DATA_BYTES)
TAGS = mapping("Tags")


def label_filter(name: str) -> Parameter:
    """A filter `key=value` of labels or tags; the value is a dict of one."""

    def parse(path: str, value: Any) -> dict[str, str]:
        found = _text(path, value)
        key, separator, wanted = found.partition("=")
        if not separator or not key:
            raise invalid(f"{path} {found[:200]!r} is not of the form key=value")
        return {key: wanted}

    return Parameter(name, parse)


def _record(path: str, value: Any, fields: tuple[Parameter, ...]) -> dict[str, Any]:
    given = {key: item for key, item in _object(path, value).items() if item != []}
    return parse_parameters(fields, given, f"{path}.")


def _text(path: str, value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise invalid(f"{path} is a {_kind(value)}; a text is accepted")
    found = str(value)
    try:
        found.encode()
    except UnicodeEncodeError:
        raise invalid(f"{path} is not Unicode text") from None
    if "\x00" in found:
        raise invalid(f"{path} has a NUL character")
    return found


def _list(path: str, value: Any) -> list[Any]:
    found = _json(path, value)
    if not isinstance(found, list):
        raise invalid(f"{path} is a {_kind(found)}; a list is accepted")
    return found


def _object(path: str, value: Any) -> dict[str, Any]:
    found = _json(path, value)
    if not isinstance(found, dict):
        raise invalid(f"{path} is a {_kind(found)}; an object is accepted")
    return found


def _json(path: str, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        raise ApiError("InvalidJSON", f"{path} {value[:200]!r} is not JSON") from None


def _inner_list(element: Any) -> list[Any] | None:
    """The list that a text holds, if it holds one."""
    if not isinstance(element, str) or not element.lstrip().startswith("["):
        return None
    try:
        found = json.loads(element)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, list) else None


def _counted(path: str, found: list[Any], least: int, most: int | None) -> list[Any]:
    if len(found) < least:
        raise invalid(f"{path} has {len(found)} elements; at least {least} are accepted")
    if most is not None and len(found) > most:
        raise too_many(path, len(found), most)
    return found


def _kind(value: Any) -> str:
    names = {dict: "object", list: "list", bool: "truth value", int: "number", float: "number", str: "text"}
    return names.get(type(value), "null")
