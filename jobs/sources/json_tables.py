"""Reading JSON in this process, as an Arrow table of texts: objects, and what is none, as Spark's reader has them.

A value is a text, or the JSON text of what it is, written as Spark's Jackson does: without blanks, numbers with a point
as Java's doubles. Texts are parsed one by one: no reader of whole files tells of an object that it cannot read.
"""

from __future__ import annotations

import gc
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from functools import partial
from itertools import islice
from json.encoder import encode_basestring
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs.sources.files_here import read_whole
from jobs.sources.text_sources import (
    BLANK,
    HALVED,
    KNOWN_KEYS,
    LONE_SURROGATE,
    MARK,
    MOST_JSON_KEYS,
    NO_OBJECT,
    NOT_UTF8,
    REPEATED,
    Problem,
    is_document,
    one_of_each_case,
    refuse_large_document,
)
from transforms.sources.values import REPLACEMENT
from transforms.tables.source_columns import IS_JSON, MESSAGE, REASON, ROW

TEXTS_AT_ONCE = 20_000
LONGEST_NUMBER = 1000
"""Characters; Jackson reads none that is longer."""

_ESCAPES = {number: f"\\u{number:04X}" for number in range(32)}
_ESCAPES |= str.maketrans({'"': r"\"", "\\": r"\\", "\b": r"\b", "\f": r"\f", "\n": r"\n", "\r": r"\r", "\t": r"\t"})
_LONE_SURROGATE = re.compile(LONE_SURROGATE)
_SURROGATES = re.compile("[\ud800-\udfff\U00010000-\U0010ffff]")
_NOT_FINITE = r'^"(NaN|-?Infinity)"\z'

Found = dict[str, list[tuple[np.ndarray, pa.Array]]]
"""Values by key, in pieces: which rows have one, and which."""


class _Object(list[tuple[str, Any]]):
    """A JSON object: keys and values, as they are given."""


class _Number(str):
    """The JSON text of a number."""

    __slots__ = ()


def _whole_number(text: str) -> _Number:
    if len(text) > LONGEST_NUMBER:
        raise ValueError("a number of more characters")
    return _Number("0" if text == "-0" else text)


def _fraction(text: str) -> _Number:
    """A number as Java writes a double: from 1E-3 to below 1E7 plain, else in scientific notation."""
    if len(text) > LONGEST_NUMBER:
        raise ValueError("a number of more characters")
    number = float(text)
    if number == 0 or 1e-3 <= abs(number) < 1e7:
        return _Number(repr(number))
    if number in (float("inf"), float("-inf")):
        return _not_finite("Infinity" if number > 0 else "-Infinity")
    sign, digits, exponent = Decimal(repr(number)).normalize().as_tuple()
    if len(digits) == 1:  # Java writes two digits at least: the nearest ones
        sign, digits, exponent = Decimal(f"{number:.1e}").normalize().as_tuple()
    first, *others = map(str, digits)
    return _Number(f"{'-' * sign}{first}.{''.join(others) or '0'}E{int(exponent) + len(others)}")


def _not_finite(name: str) -> _Number:
    """NaN or an infinity, which Jackson writes in quotes."""
    return _Number(f'"{name}"')


def _refuse(name: str) -> _Number:
    raise ValueError(f"{name} is no number of JSON's")


_parse_numbers = partial(json.JSONDecoder, object_pairs_hook=_Object, parse_int=_whole_number, parse_float=_fraction)
_DECODER, _FINITE_DECODER = _parse_numbers(parse_constant=_not_finite), _parse_numbers(parse_constant=_refuse)
"""The second refuses NaN and infinities, as Spark's get_json_object does, which looks for `Files`."""


def load_json(files: Mapping[str, int], *, imm: bool = False) -> pa.Table:
    """One row per object in JSON files (path -> bytes): lines of objects or of lists of them, or one document a file.

    With `imm`, an object that holds a list `Files` (a response of GetFileMeta or SimpleQuery) stands for its items.
    The columns are the keys that occur, as in `text_sources.read_json`, texts marked by IS_JSON; `ROW`, the text of
    the object; and `REASON` and `MESSAGE`, null where the text is one object.
    """
    texts = (text for file, size in sorted(files.items()) for text in _texts(file, size))
    if imm:
        texts = (item for text in texts for item in _items(text))
    counts: Counter[str] = Counter()
    found: Found = defaultdict(list)
    told: list[pa.Table] = [_told([], [])]
    rows = 0
    with many_objects():
        while some := [*islice(texts, TEXTS_AT_ONCE)]:
            read = [_read_object(text) for text in some]
            problems = [problem for _, problem in read]
            _collect(found, counts, [fields for fields, _ in read], problems, first=rows)
            told.append(_told(some, problems))
            rows += len(some)
    keys = _choose_keys(counts)
    table = pa.table(
        [_column(found.get(key, []), rows) for key in keys],
        schema=pa.schema([pa.field(key, pa.string(), metadata=IS_JSON) for key in keys]),
    )
    for name, column in zip((ROW, REASON, MESSAGE), pa.concat_tables(told), strict=True):
        table = table.append_column(name, column)
    return table


@contextmanager
def many_objects() -> Iterator[None]:
    """Inside, Python looks for no cycles among objects: of a million new ones that takes longer than to make them."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def quote_json(text: str) -> str:
    """A text as JSON has it, with the escapes that Spark writes."""
    quoted = encode_basestring(text)
    return '"' + text.translate(_ESCAPES) + '"' if "\\u00" in quoted else quoted


def _texts(file: str, size: int) -> Iterator[str]:
    """The text of each object in a file: lines that hold no object are as they are, blank ones left out."""
    content = read_whole(file)
    if is_document(file, size):
        text = _bare(content)
        if _parse_one(text.partition("\n")[0]) is None and _parse_one(text) is not None:
            yield from _listed(text)
            return
    lines = content.splitlines()
    if lines and not is_document(file, size):
        refuse_large_document(file, lines[0].decode("utf-8", "replace"))
    for line in lines:
        if text := _bare(line):
            yield from _listed(text)


def _bare(text: bytes) -> str:
    """A text without a byte order mark before it and blanks around it."""
    return text.decode("utf-8", "replace").strip(BLANK).removeprefix(MARK).strip(BLANK)


def _listed(text: str) -> Iterable[str]:
    """The items of a list, each as its own text; what is no list, as it is."""
    if not text.startswith("["):
        return (text,)
    value = _parse_one(text)
    return (text,) if value is None else _texts_of(value)


def _items(text: str) -> Iterable[str]:
    """The items of `Files` where an object has such a list, or text that is one, else the object itself."""
    value = _parse_one(text, _FINITE_DECODER) if '"Files"' in text else None
    files = dict(reversed(value)).get("Files") if isinstance(value, _Object) else None
    files = _parse_one(files) if isinstance(files, str) else files
    if type(files) is not list:
        return (text,)
    return _texts_of(files)


def _texts_of(items: Sequence[Any]) -> list[str]:
    texts = map(_text, items)
    return ["null" if text is None else text for text in texts]


def _read_object(text: str) -> tuple[_Object, Problem | None]:
    """The fields of the object that a text begins with, and why it is none to work with."""
    value, end = _parse(text, _DECODER)
    fields = value if isinstance(value, _Object) else _Object()
    if REPLACEMENT in text:
        return fields, NOT_UTF8
    if "\\u" in text and _LONE_SURROGATE.search(text):
        return fields, HALVED
    if end != len(text) or not isinstance(value, _Object):
        return fields, NO_OBJECT
    return fields, REPEATED if len(dict(fields)) < len(fields) else None


def _parse(text: str, decoder: json.JSONDecoder) -> tuple[Any, int]:
    """The value that a text begins with, and where it ends; -1 where it begins with none."""
    try:
        return decoder.raw_decode(text)
    except (ValueError, RecursionError):
        return None, -1


def _parse_one(text: str, decoder: json.JSONDecoder = _DECODER) -> Any:
    """The one value that a text is; None where it is none, more, or null."""
    text = text.strip(BLANK)
    value, end = _parse(text, decoder)
    return value if end == len(text) else None


def _text(value: Any) -> str | None:
    """A value as text; null is none."""
    return value if value is None or isinstance(value, str) else _json(value)


def _json(value: Any) -> str:
    """A value as JSON text."""
    if isinstance(value, _Number):
        return value
    if isinstance(value, str):
        return _quote(value)
    if isinstance(value, _Object):
        return "{" + ",".join(f"{_quote(key)}:{_json(item)}" for key, item in value) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_json, value)) + "]"
    return {None: "null", True: "true", False: "false"}[value]


def _quote(text: str) -> str:
    """A text in a value's JSON text: what takes two characters in UTF-16 is escaped, and so are halves of such."""
    quoted = quote_json(text)
    return quoted if quoted.isascii() else _SURROGATES.sub(_escape_utf16, quoted)


def _escape_utf16(found: re.Match[str]) -> str:
    code = found[0].encode("utf-16-be", "surrogatepass").hex().upper()
    return "".join(f"\\u{code[start : start + 4]}" for start in range(0, len(code), 4))


def _collect(
    found: Found, counts: Counter[str], objects: Sequence[_Object], problems: Sequence[Problem | None], *, first: int
) -> None:
    """Adds the values of objects by their keys, and how many objects to work with have each.

    The rows are numbered from `first`. Objects of the same keys, in the same order, are taken together.
    """
    alike: dict[tuple[str, ...], list[int]] = defaultdict(list)
    values = []
    for number, fields in enumerate(objects):
        keys, own = zip(*fields, strict=True) if fields else ((), ())
        alike[keys].append(number)
        values.append(own)
    columns: dict[str, tuple[list[int], list[str | None]]] = defaultdict(lambda: ([], []))
    for keys, numbers in alike.items():
        good = sum(problems[number] is None for number in numbers)
        for key, column in zip(keys, zip(*(values[number] for number in numbers), strict=True), strict=True):
            counts[key] += good
            rows, texts = columns[key]
            rows += numbers
            texts += [value if type(value) is str else _text(value) for value in column]
    for key, (rows, texts) in columns.items():
        found[key].append((np.array(rows) + first, _strings(texts)))


def _strings(values: Sequence[str | None]) -> pa.Array:
    """Texts, halves of surrogate pairs as question marks."""
    try:
        return pa.array(values, pa.string())
    except UnicodeEncodeError:
        return pa.array([value and value.encode("utf-8", "replace").decode() for value in values], pa.string())


def _choose_keys(counts: Mapping[str, int]) -> list[str]:
    """The keys that become columns: those that the lake knows, then the most frequent."""
    ranked = sorted((key not in KNOWN_KEYS, -count, key) for key, count in counts.items() if key and count)
    return one_of_each_case(key for *_, key in ranked[:MOST_JSON_KEYS]) or ["uri"]


def _column(pieces: Sequence[tuple[np.ndarray, pa.Array]], length: int) -> pa.ChunkedArray:
    """The values of a key in their rows; of an object that has the key twice, the first."""
    places = np.full(length, -1)
    values = pa.chunked_array([values for _, values in pieces], pa.string())
    rows = np.concatenate([rows for rows, _ in pieces] or [np.array([], int)])
    places[rows[::-1]] = np.arange(len(rows))[::-1]
    column = values.take(pa.array(places, mask=places < 0))
    return pc.replace_substring_regex(column, _NOT_FINITE, r"\1")


def _told(texts: Sequence[str], problems: Sequence[Problem | None]) -> pa.Table:
    """What readers add to rows."""
    rows = [
        text if problem is None else f'{{"text":{quote_json(text)}}}'
        for text, problem in zip(texts, problems, strict=True)
    ]
    told = [problem or (None, None) for problem in problems]
    columns = [_strings(rows), *(pa.array([verdict[part] for verdict in told], pa.string()) for part in (0, 1))]
    return pa.table(columns, names=[ROW, REASON, MESSAGE])
