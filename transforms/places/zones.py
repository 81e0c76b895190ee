"""Time zones over whole columns: what is added to UTC when and where, for any time of the calendar.

The rules are those of the package tzdata, whatever the machine has: the same on every worker. Files are as RFC 8536
has them: the times at which the offset changed, and a rule for all times after the last.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from schemas.errors import UsageError

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

MICROS = 1_000_000
DAY = 86_400
LAST_YEAR = 10_000
"""Rules are followed up to here: produce_time ends with the year 9999."""

_NAME = re.compile(r"[A-Za-z0-9_+-]+(?:/[A-Za-z0-9_+-]+)*")
_FIXED = re.compile(r"(?:UTC|GMT|UT)?([+-])(\d\d?)(?::?(\d\d))?")
_RULE = re.compile(
    r"(?:<[^>]+>|[A-Za-z]+)(?P<standard>[+-]?[\d:]+)"
    r"(?:(?:<[^>]+>|[A-Za-z]+)(?P<summer>[+-]?[\d:]+)?,(?P<start>[^,]+),(?P<end>[^,]+))?"
)
_WEEKDAY = re.compile(r"M(\d+)\.(\d)\.(\d)(?:/([+-]?[\d:]+))?")


@dataclass(frozen=True, eq=False)
class Zone:
    """The offsets of a time zone.

    changes: int64 (n,), ascending: seconds since 1970 (UTC) at which the offset changed. offsets: int64 (n + 1,),
    seconds east of UTC before the first change, and from each on.
    """

    changes: Ints
    offsets: Ints

    def at_instants(self, seconds: Ints) -> Ints:
        """The offset in force at each instant, seconds since 1970 (UTC)."""
        return self.offsets[np.searchsorted(self.changes, seconds, side="right")]

    def at_walls(self, seconds: Ints) -> Ints:
        """What is to be taken from each reading of a wall clock, seconds since 1970 as if it were UTC, for its instant.

        That is the offset before a change until the clock shows the later of its readings before and after: so a
        reading that is skipped moves forward by what was skipped, and of one that occurs twice the first is meant, as
        java.time.ZonedDateTime has it.
        """
        shown = self.changes + np.maximum(self.offsets[:-1], self.offsets[1:])
        return self.offsets[np.searchsorted(shown, seconds, side="right")]


@cache
def find_zone(name: str) -> Zone | None:
    """The zone of an IANA name, or of a fixed offset as +08:00, GMT+8 or UTC-03:30; None where there is none."""
    if fixed := _FIXED.fullmatch(name):
        sign, hours, minutes = fixed.groups()
        offset = int(hours) * 3600 + int(minutes or 0) * 60
        return Zone(np.empty(0, np.int64), np.array([-offset if sign == "-" else offset]))
    if not _NAME.fullmatch(name):
        return None
    try:
        written = (resources.files("tzdata") / "zoneinfo" / name).read_bytes()
    except OSError:
        return None
    return _read_zone(written) if written.startswith(b"TZif") else None


def known_zone(name: str) -> Zone:
    """The same; UsageError where there is none."""
    zone = find_zone(name)
    if zone is None:
        raise UsageError(f"time zone {name!r} is not known; IANA names are, such as Europe/Rome or Asia/Tokyo")
    return zone


def zone_offsets(seconds: Ints, zone_of_row: Ints, names: Sequence[str], *, walls: bool) -> Ints:
    """Seconds east of UTC at each time in the zone of its row, int64 (n,): see Zone.at_instants and Zone.at_walls.

    seconds: int64 (n,). zone_of_row: int64 (n,), positions in `names`, which are known zones. O(n log n).
    """
    offsets = np.empty(len(seconds), np.int64)
    by_zone = np.argsort(zone_of_row.astype(np.min_scalar_type(len(names))), kind="stable")  # short numbers sort faster
    ends = np.cumsum(np.bincount(zone_of_row, minlength=len(names)))
    for name, rows in zip(names, np.split(by_zone, ends)[:-1], strict=True):
        if len(rows):
            zone = known_zone(name)
            offsets[rows] = zone.at_walls(seconds[rows]) if walls else zone.at_instants(seconds[rows])
    return offsets


def _read_zone(written: bytes) -> Zone:
    """A zone of a TZif file: its block of 64-bit numbers, which follows one of 32-bit numbers, and its rule."""
    first = 44 + _block_bytes(written, 0, 4)
    times, types, _ = _counts(written, first)
    begin = first + 44
    changes = np.frombuffer(written, ">i8", times, begin).astype(np.int64)
    kinds = np.frombuffer(written, np.uint8, times, begin + 8 * times)
    infos = np.frombuffer(written, [("offset", ">i4"), ("summer", "u1"), ("name", "u1")], types, begin + 9 * times)
    of_type = infos["offset"].astype(np.int64)
    rule = written[begin + _block_bytes(written, first, 8) :].strip(b"\n").decode()
    later, then = _follow_rule(rule, after=int(changes[-1]) if times else -(1 << 62))
    return Zone(np.concatenate([changes, later]), np.concatenate([of_type[[0]], of_type[kinds], then]))


def _counts(written: bytes, header: int) -> tuple[int, int, int]:
    """Of the block after a header: its changes, its kinds of offset, and the bytes of all else that is not times."""
    utc, standard, leaps, times, types, letters = np.frombuffer(written, ">u4", 6, header + 20).tolist()
    if leaps:
        raise ValueError("time zones with leap seconds are not read")
    return times, types, letters + standard + utc


def _block_bytes(written: bytes, header: int, size: int) -> int:
    times, types, more = _counts(written, header)
    return times * (size + 1) + types * 6 + more


def _follow_rule(rule: str, *, after: int) -> tuple[Ints, Ints]:
    """The changes that a rule (POSIX's TZ) makes after a time, until LAST_YEAR, and the offset from each on."""
    parts = _RULE.fullmatch(rule)
    if parts is None:
        raise ValueError(f"time zone rule {rule!r} is not understood")
    if parts["start"] is None:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    standard = -_seconds(parts["standard"])
    summer = -_seconds(parts["summer"]) if parts["summer"] else standard + 3600
    since = max(after // (366 * DAY) + 1969, 0)
    years = np.arange(since, LAST_YEAR + 1)
    begins, ends = _changes(parts["start"], years) - standard, _changes(parts["end"], years) - summer
    changes = np.concatenate([begins, ends])
    offsets = np.repeat([summer, standard], len(years))
    order = np.argsort(changes)
    later = order[changes[order] > after]
    return changes[later], offsets[later]


def _changes(day: str, years: Ints) -> Ints:
    """When a clock shows the time of a rule's change, such as M3.5.0/3 (the last Sunday of March, at 3:00), by year."""
    parts = _WEEKDAY.fullmatch(day)
    if parts is None:
        raise ValueError(f"day {day!r} of a time zone's rule is not understood")
    month, week, weekday = (int(number) for number in parts.groups()[:3])
    months = (years - 1970) * 12 + month - 1
    first, following = (_first_day(number) for number in (months, months + 1))
    days = first + (weekday - (first + 4)) % 7 + 7 * (week - 1)  # day 0 was a Thursday
    days = np.where(days >= following, days - 7, days)
    changes: Ints = days * DAY + _seconds(parts[4] or "2")
    return changes


def _first_day(months: Ints) -> Ints:
    """The first day, since 1970, of months since then."""
    return months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)


def _seconds(text: str) -> int:
    """Of a time such as 2, -1 or 5:30."""
    hours, minutes, seconds = (*text.lstrip("+-").split(":"), "0", "0")[:3]
    size = int(hours) * 3600 + int(minutes) * 60 + int(seconds)
    return -size if text.startswith("-") else size
