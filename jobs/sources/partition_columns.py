"""Columns that folders tell: of `dataset_name=ada/part-0.parquet` the column `dataset_name`, as Spark reads them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import reduce
from pathlib import PurePosixPath

import pyarrow as pa

from schemas.errors import SourceError

NOTHING = "__HIVE_DEFAULT_PARTITION__"
"""The value of a folder whose rows have none."""
MOST_DIGITS = 38

_ESCAPED = re.compile(r"%([0-9a-fA-F]{2})")
_INTEGER = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[\x00-\x20]*[+-]?(NaN|Infinity|([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?[fFdD]?)[\x00-\x20]*")
_INSTANT = pa.timestamp("us", "UTC")

Value = int | float | Decimal | date | datetime | str | None


def partition_columns(files: Sequence[str], roots: Sequence[str], *, uri: str) -> dict[str, pa.Array]:
    """The columns of folders between the `roots` of the source at `uri` and its files, a value for each file.

    Whole numbers are int or long, or decimal; then come double, timestamp (`2020-01-01 10:00:00`) and date; all else is
    text. Values of several types have the one that holds all, else they are texts.

    Raises SourceError where files lie in folders of several names, or some of them in none.
    """
    folders = [_folders_of(file, roots) for file in files]
    base, first = folders[0]
    names = [name for name, _ in first]
    for file, (own_base, told) in zip(files, folders, strict=True):
        own_names = [name for name, _ in told]
        if (own_names or names) and [own_base, *map(str.lower, own_names)] != [base, *map(str.lower, names)]:
            raise SourceError(
                f"{uri} can't be read as parquet: {files[0]} and {file} lie in folders that name other columns; files "
                "that all lie in folders of the same names are accepted"
            )
    if len({name.lower() for name in names}) < len(names) or "" in names:
        raise SourceError(f"{uri} can't be read as parquet: its folders have the columns {names}; each needs one name")
    return {name: _column([told[number][1] for _, told in folders]) for number, name in enumerate(names)}


def _folders_of(file: str, roots: Sequence[str]) -> tuple[str, list[tuple[str, str]]]:
    """The names and values that the folders of a file tell, the outermost first, and the folder that these lie in."""
    told: list[tuple[str, str]] = []
    if not roots or file in roots:
        return "", told
    bases = {PurePosixPath(root) for root in roots}
    for folder in PurePosixPath(file).parents:
        name, sign, value = folder.name.partition("=")
        if folder in bases or (told and not sign):
            return str(folder), told
        if sign:
            told.insert(0, (_unescaped(name), value))
    return "", told


def _unescaped(text: str) -> str:
    return _ESCAPED.sub(lambda code: chr(int(code[1], 16)), text)


def _column(texts: Sequence[str]) -> pa.Array:
    kind = reduce(_wider, {_type_of(text): None for text in texts})
    if pa.types.is_string(kind):
        return pa.array([None if text == NOTHING else _unescaped(text) for text in texts], kind)
    values = {text: _value(text) for text in texts}
    if pa.types.is_floating(kind):
        return pa.array([_as_float(values[text]) for text in texts], kind)
    if kind == _INSTANT:
        values = {text: _as_instant(value) for text, value in values.items()}
    return pa.array([values[text] for text in texts], kind)


def _value(text: str) -> Value:
    """What the value of a folder is, by the first type that it fits."""
    if text == NOTHING:
        return None
    if _INTEGER.fullmatch(text):
        number = int(text)
        return number if -(2**63) <= number < 2**63 else _decimal(text)
    if match := _NUMBER.fullmatch(text):
        bare = match[0].strip().rstrip("fFdD")
        return _decimal(text) if bare == text and match[2] else float(bare)
    with suppress(ValueError):
        return datetime.strptime(_unescaped(text), "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    with suppress(ValueError):
        if len(text) == len("2020-01-01"):
            return date.fromisoformat(text)
    return _unescaped(text)


def _decimal(text: str) -> Decimal | float:
    """A decimal number without places of up to MOST_DIGITS, else the nearest double."""
    number = Decimal(text)
    exponent = number.as_tuple().exponent
    is_whole = isinstance(exponent, int) and exponent >= 0 and number.adjusted() < MOST_DIGITS
    return number.quantize(Decimal(1)) if is_whole else float(text)


def _type_of(text: str) -> pa.DataType:
    match _value(text):
        case None:
            return pa.null()
        case int(number):
            return pa.int32() if -(2**31) <= number < 2**31 else pa.int64()
        case Decimal() as number:
            return pa.decimal128(len(number.as_tuple().digits), 0)
        case float():
            return pa.float64()
        case datetime():
            return _INSTANT
        case date():
            return pa.date32()
    return pa.string()


def _wider(left: pa.DataType, right: pa.DataType) -> pa.DataType:
    """The type that holds values of both."""
    if pa.types.is_null(left) or left == right:
        return right
    if pa.types.is_null(right):
        return left
    kinds = {left, right}
    if kinds == {pa.int32(), pa.int64()}:
        return pa.int64()
    if kinds == {pa.int32(), pa.float64()}:
        return pa.float64()
    if kinds == {pa.date32(), _INSTANT}:
        return _INSTANT
    digits = {pa.int32(): 10, pa.int64(): 20}
    if all(kind in digits or pa.types.is_decimal(kind) for kind in kinds):
        return pa.decimal128(max(digits.get(kind) or kind.precision for kind in kinds), 0)
    return pa.string()


def _as_float(value: Value) -> float | None:
    return float(value) if isinstance(value, int | float | Decimal) else None


def _as_instant(value: Value) -> Value:
    """A day as its first moment."""
    is_day = isinstance(value, date) and not isinstance(value, datetime)
    return datetime.combine(value, time(), UTC) if is_day else value  # type: ignore[arg-type]
