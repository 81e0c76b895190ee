"""Times as people write and read them: RFC 3339 in and out, ranges of them, and spans of days."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone

from catalog.sql import all_of, literal
from schemas.errors import UsageError

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_TIME = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2}:\d{2})(?:\.(\d{1,9}))?(?:[Zz]|([+-])([01]\d|2[0-3]):([0-5]\d))",
    re.ASCII,
)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def parse_time(name: str, text: str) -> date | datetime:
    """The instant or the plain date that the argument `name` gives. Digits beyond microseconds are cut off.

    Raises UsageError for anything but RFC 3339 with an offset, or YYYY-MM-DD.

    >>> parse_time("--start-from", "2026-03-04T00:00:00+08:00").isoformat()
    '2026-03-03T16:00:00+00:00'
    """
    try:
        found = _date_or_instant(text)
    except (ValueError, OverflowError):  # of the right form, but no such day or hour
        found = None
    if found is None:
        raise UsageError(
            f"{name} {text!r} is not a time: accepted are a date such as 2026-03-04, and RFC 3339 such as "
            "2026-03-04T18:30:00+08:00 or 2026-03-04T10:30:00Z"
        )
    return found


@dataclass(frozen=True)
class TimeRange:
    """From one instant or day to another, both counted; an end that is None is open."""

    start: date | datetime | None = None
    end: date | datetime | None = None

    def __bool__(self) -> bool:
        return self.start is not None or self.end is not None

    def condition(self, column: str, day_column: str | None = None) -> str:
        """The rows in the range. Dates are compared with `day_column`; without one, they are days in UTC."""
        bounds = []
        for operator, bound, edge in ((">=", self.start, first_instant), ("<=", self.end, last_instant)):
            if bound is not None and day_column and not isinstance(bound, datetime):
                bounds.append(f"{day_column} {operator} {literal(bound)}")
            elif bound is not None:
                bounds.append(f"{column} {operator} {literal(edge(bound))}")
        return all_of(bounds)


ANY_TIME = TimeRange()


def utc(instant: datetime | None) -> str | None:
    """RFC 3339 in UTC, trailing zeros trimmed.

    >>> utc(datetime(2026, 3, 4, 5, 6, 7, 120_000, UTC))
    '2026-03-04T05:06:07.12Z'
    """
    return None if instant is None else _trimmed(instant.astimezone(UTC)) + "Z"


def at_offset(instant: datetime, minutes: int) -> str:
    """RFC 3339 at an offset, in minutes east of UTC.

    >>> at_offset(datetime(2026, 3, 3, 16, 0, tzinfo=UTC), 480)
    '2026-03-04T00:00:00+08:00'
    """
    return _trimmed(instant.astimezone(UTC) + timedelta(minutes=minutes)) + _offset(minutes)


def day_start(day: date, minutes: int) -> str:
    """RFC 3339 of the first moment of a local day.

    >>> day_start(date(2026, 3, 4), -210)
    '2026-03-04T00:00:00-03:30'
    """
    return f"{day.isoformat()}T00:00:00{_offset(minutes)}"


def day_end(day: date, minutes: int) -> str:
    """RFC 3339 of the last nanosecond of a local day.

    >>> day_end(date(2026, 3, 7), 480)
    '2026-03-07T23:59:59.999999999+08:00'
    """
    return f"{day.isoformat()}T23:59:59.999999999{_offset(minutes)}"


def days_text(first: date, last: date) -> str:
    """A span of days, for reading.

    >>> days_text(date(2026, 3, 4), date(2026, 3, 7)), days_text(date(2025, 12, 30), date(2026, 1, 2))
    ('4-7 Mar 2026', '30 Dec 2025 - 2 Jan 2026')
    """
    end = f"{last.day} {_MONTHS[last.month - 1]} {last.year}"
    if first == last:
        return end
    if (first.year, first.month) == (last.year, last.month):
        return f"{first.day}-{end}"
    year = "" if first.year == last.year else f" {first.year}"
    return f"{first.day} {_MONTHS[first.month - 1]}{year} - {end}"


def _date_or_instant(text: str) -> date | datetime | None:
    if _DATE.fullmatch(text):
        return date.fromisoformat(text)
    parts = _TIME.fullmatch(text)
    if parts is None:
        return None
    day, clock, fraction, sign, hours, minutes = parts.groups()
    offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0)) * (-1 if sign == "-" else 1)
    micro = (fraction or "")[:6].ljust(6, "0")
    return datetime.fromisoformat(f"{day}T{clock}.{micro}").replace(tzinfo=timezone(offset)).astimezone(UTC)


def first_instant(bound: date | datetime) -> datetime:
    """An instant, or the first one of a day in UTC."""
    return bound if isinstance(bound, datetime) else datetime(bound.year, bound.month, bound.day, tzinfo=UTC)


def last_instant(bound: date | datetime) -> datetime:
    """An instant, or the last one of a day in UTC."""
    if isinstance(bound, datetime):
        return bound
    return datetime(bound.year, bound.month, bound.day, 23, 59, 59, 999_999, UTC)


def _trimmed(instant: datetime) -> str:
    text = instant.replace(tzinfo=None).isoformat()
    return text.rstrip("0") if "." in text else text


def _offset(minutes: int) -> str:
    """As Go's RFC3339Nano, which IMM's times are in: Z for none."""
    if minutes == 0:
        return "Z"
    hours, rest = divmod(abs(minutes), 60)
    return f"{'-' if minutes < 0 else '+'}{hours:02}:{rest:02}"
