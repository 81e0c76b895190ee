"""Conditions in DataFusion SQL. Every value goes through `literal`: no text becomes SQL by itself."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta

from schemas.errors import UsageError

Value = str | int | float | bool | date | datetime | None

_MANY = 10
_INSTANT = 'Timestamp(Microsecond, Some("UTC"))'
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def literal(value: Value) -> str:
    r"""The SQL literal of a value. Instants keep their microseconds, whatever the year.

    In DataFusion's dialect a quote is doubled and nothing else is special, not even a backslash.
    Raises UsageError for text that is not Unicode (a lone surrogate, from a byte that is not UTF-8).

    >>> print(literal("Ada's \\ 100 %"), literal(3), literal(None), literal(date(2026, 3, 4)))
    'Ada''s \ 100 %' 3 NULL DATE '2026-03-04'
    """
    match value:
        case None:
            return "NULL"
        case bool():
            return "TRUE" if value else "FALSE"
        case int():
            return str(value)
        case float():
            return f"CAST('{value!r}' AS DOUBLE)"
        case str():
            return "'" + check_text(value).replace("'", "''") + "'"
        case datetime():
            return instant(str(microseconds(value)))
        case date():
            return f"DATE '{value.isoformat()}'"


def equals(column: str, value: Value) -> str:
    """Rows whose column has the value."""
    return f"{column} = {literal(value)}"


def one_of(column: str, values: Iterable[Value]) -> str:
    """Rows whose column has one of the values; of no values, no rows."""
    listed = ", ".join(literal(value) for value in values)
    return f"{column} IN ({listed})" if listed else "FALSE"


def among(column: str, values: Iterable[str]) -> str:
    """The same for many texts: quicker to plan than a list, and rows beyond the first and last one are not read."""
    wanted = sorted(set(values))
    if len(wanted) < _MANY:
        return one_of(column, wanted)
    ids = relation("wanted", ("id",), ([value] for value in wanted))
    between = f"{column} BETWEEN {literal(wanted[0])} AND {literal(wanted[-1])}"
    return f"{between} AND {column} IN (SELECT id FROM {ids})"


def same_text(column: str, text: str) -> str:
    """Rows whose column is the text, in any case."""
    return f"upper({column}) = upper({literal(text)})"


def has_part(column: str, text: str) -> str:
    """Rows whose column contains the text, in any case. Upper case, as a Greek sigma has two lower ones."""
    return f"strpos(upper({column}), upper({literal(text)})) > 0"


def under(column: str, path: str) -> str:
    """Rows whose column is the path, or lies below it (`a/b` is under `a`; `ab` is not)."""
    return f"({equals(column, path)} OR starts_with({column}, {literal(path + '/')}))"


def all_of(conditions: Iterable[str]) -> str:
    """Rows that satisfy every condition; with none, all rows."""
    return " AND ".join(f"({condition})" for condition in conditions) or "TRUE"


def relation(name: str, columns: tuple[str, ...], rows: Iterable[Iterable[Value]]) -> str:
    """A relation of literal rows, of which there must be one. Joining many keys is quicker to plan than listing them.

    >>> print(relation("wanted", ("id",), [["a"], ["b"]]))
    (VALUES ('a'), ('b')) AS wanted(id)
    """
    listed = ", ".join("(" + ", ".join(literal(value) for value in row) + ")" for row in rows)
    return f"(VALUES {listed}) AS {name}({', '.join(columns)})"


def instant(column: str) -> str:
    """The instants that a column counts as microseconds since 1970."""
    return f"arrow_cast({column}, '{_INSTANT}')"


def microseconds(time: datetime) -> int:
    """Microseconds since 1970, exactly."""
    return (time - _EPOCH) // timedelta(microseconds=1)


def from_microseconds(count: int) -> datetime:
    """The instant that is so many microseconds after 1970.

    >>> from_microseconds(microseconds(datetime(2026, 3, 4, 5, 6, 7, 8, UTC))).isoformat()
    '2026-03-04T05:06:07.000008+00:00'
    """
    return _EPOCH + timedelta(microseconds=count)


def check_text(text: str) -> str:
    """Returns text that can be stored, else (arguments that are not UTF-8) raises UsageError."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError(f"{text!r} is not Unicode text; UTF-8 is accepted") from None
    return text
