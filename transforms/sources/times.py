"""Reading the times that sources write (texts, numbers, timestamps), and settling what they mean, by DuckDB's SQL.

A time is read twice over. What was *written* is a wall clock's reading and, perhaps, an offset from UTC; what
it *says* (`time_is`) is an instant with its offset, an instant alone, or a local time alone. Timestamps here have no
zone: they are UTC's.
"""

from __future__ import annotations

import pyarrow as pa

from transforms.sources.columns import Field, is_number, is_text
from transforms.sources.values import matches

TIME_PATTERN = (
    r"^(\d{4}(?:-\d\d-\d\d|:\d\d:\d\d|/\d\d/\d\d))"  # 2010-08-03, EXIF's 2010:08:03, 2010/08/03
    r"(?:[Tt ](\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?)"
    r"(?: ?(Z|z|UTC|[+-]\d\d(?::?[0-5]\d)?))?)?\z"
)
"""ISO 8601's extended format, RFC 3339 and EXIF; minutes and seconds are range-checked when the time is made."""

NO_TIME_PATTERN = r"^[0\s:/.TZ-]*\z"
"""Texts that say 'no time': blank, or zeros only ('0000:00:00 00:00:00', cameras without a clock; '0')."""

EPOCH_PATTERN = r"^-?\d{9,16}(\.\d+)?\z"

EPOCH_SECONDS = (100_000_000, 10_000_000_000)
"""Epoch numbers read as seconds, either sign: 1973 to 2286. Smaller ones would take 20100803 for seconds."""

EPOCH_MILLIS = (210_000_000_000, 10_000_000_000_000)
"""Epoch numbers read as milliseconds: 1976 to 2286. Smaller ones would take 201008031015 for milliseconds."""

EPOCH_MICROS = (210_000_000_000_000, 10_000_000_000_000_000)
"""Epoch numbers read as microseconds: 1976 to 2286."""

OFFSETS = (-12 * 60, 14 * 60)
"""Offsets from UTC that clocks on Earth are set to, minutes (IANA time zone database)."""

FIRST_INSTANT, LAST_INSTANT = "TIMESTAMP '0001-01-01 00:00:00'", "TIMESTAMP '9999-12-31 23:59:59.999999'"

_UNKNOWN_LOCAL = "('-00', '-0000', '-00:00')"
"""RFC 3339 section 4.3: -00:00 gives the instant and says that the local time is unknown."""

Layers = tuple[dict[str, str], ...]
"""Expressions by the name of a column, in layers: those of one mention columns of those before alone."""


def no_time(name: str) -> Layers:
    """The time as written of a source that writes none: see `written_time`."""
    nothing = {"wall": "TIMESTAMP", "zone": "VARCHAR", "offset": "INTEGER"}
    return {}, {}, {f"{name}_{part}": f"CAST(NULL AS {kind})" for part, kind in nothing.items()}


def written_time(name: str, field: Field) -> Layers | None:
    """Reads a column of any type that can hold a time, into columns that begin with `name`; None if the type can't.

    They are: `_wall`, the clock's reading as if it were UTC; `_zone`, what stands with it: `offset`; `zulu` (Z, UTC);
    `instant` (an epoch number or a timestamp, which have no clock of their own); `local` (nothing); `date` (not even a
    time of day: midnight is read); `_offset`, minutes east of UTC. All are null where there is no time, or none that
    can be read.
    """
    sql, kind = field
    if pa.types.is_timestamp(kind):
        return _typed(name, f"CAST({sql} AS TIMESTAMP)", "instant" if kind.tz else "local")
    if pa.types.is_date(kind):
        return _typed(name, f"CAST({sql} AS TIMESTAMP)", "date")
    if is_number(kind):
        return _typed(name, epoch_time(sql), "instant")
    if not is_text(kind):
        return None
    text, parts = f"{name}_text", f"{name}_parts"
    found = f"regexp_extract({text}, '{TIME_PATTERN}', ['day', 'clock', 'zone'])"
    day, clock, zone = (f"{parts}.{part}" for part in ("day", "clock", "zone"))
    is_epoch = f"{day} = '' AND {matches(text, EPOCH_PATTERN)}"
    return (
        {text: f"trim({sql})"},
        {parts: found},
        {
            f"{name}_wall": f"CASE WHEN {is_epoch} THEN {epoch_time(text)} ELSE {wall_clock(day, clock)} END",
            f"{name}_zone": f"CASE WHEN {is_epoch} THEN 'instant' ELSE {written_zone(clock, zone)} END",
            f"{name}_offset": offset_minutes(zone),
        },
    )


def _typed(name: str, wall: str, zone: str) -> Layers:
    nothing = "CAST(NULL AS INTEGER)"
    return {}, {}, {f"{name}_wall": wall, f"{name}_zone": f"'{zone}'", f"{name}_offset": nothing}


def wall_clock(day: str, clock: str) -> str:
    """A clock's reading, as if it were UTC, from its parts as written; null if it is none. Finer than µs is cut off."""
    time_of_day = f"CASE WHEN {clock} = '' THEN '00:00:00' ELSE replace({clock}, ',', '.') END"
    is_time = f"{day} > '0001' AND {clock} NOT LIKE '24%'"
    return f"CASE WHEN {is_time} THEN TRY_CAST(translate({day}, ':/', '--') || ' ' || {time_of_day} AS TIMESTAMP) END"


def written_zone(clock: str, zone: str) -> str:
    """What a time text says of its zone (see `written_time`), from its parts."""
    return (
        f"CASE WHEN {zone} IN {_UNKNOWN_LOCAL} THEN 'instant' WHEN {_is_offset(zone)} THEN 'offset' "
        f"WHEN {zone} <> '' THEN 'zulu' WHEN {clock} <> '' THEN 'local' ELSE 'date' END"
    )


def offset_minutes(zone: str) -> str:
    """Minutes east of UTC of `+08:00`, `+0800` or `+08`; null for anything else, and for -00:00."""
    hours = f"TRY_CAST(substr({zone}, 2, 2) AS INTEGER) * 60"
    minutes = f"{hours} + CASE WHEN length({zone}) > 3 THEN TRY_CAST(right({zone}, 2) AS INTEGER) ELSE 0 END"
    sign = f"CASE WHEN {zone} LIKE '-%' THEN -1 ELSE 1 END"
    return f"CASE WHEN {_is_offset(zone)} AND {zone} NOT IN {_UNKNOWN_LOCAL} THEN ({minutes}) * {sign} END"


def _is_offset(zone: str) -> str:
    return f"({zone} LIKE '+%' OR {zone} LIKE '-%')"


def epoch_time(number: str) -> str:
    """The instant of an epoch number in seconds, milliseconds or microseconds, told apart by size; else null."""
    exact = f"TRY_CAST({number} AS DECIMAL(24, 6))"

    def within(bounds: tuple[int, int]) -> str:
        return f"abs({exact}) >= {bounds[0]} AND abs({exact}) < {bounds[1]}"

    micros = (
        f"CASE WHEN {within(EPOCH_SECONDS)} THEN CAST(trunc({exact} * 1000000) AS BIGINT) "
        f"WHEN {within(EPOCH_MILLIS)} THEN CAST(trunc({exact} * 1000) AS BIGINT) "
        f"WHEN {within(EPOCH_MICROS)} THEN CAST(trunc({exact}) AS BIGINT) END"
    )
    return f"make_timestamp({micros})"


def settled_time(name: str, rule: str, offset_column: str) -> Layers:
    """What a written time says: produce_time, time_is and utc_offset as the table `files` keeps them.

    `rule` is how the source's times are to be read (local, instant, offset), or null: as they are written.
    `local` takes the wall clock and drops the zone; `instant` takes an offset as defining the instant, not the
    local day, and refuses a date alone; `offset` takes Z as +00:00 and refuses a time without any.
    `offset_column` is an offset that the source gives beside the time, for times that carry none.
    All three are null where the time can't be read, or the instant lies outside the years 1 to 9999.
    """
    wall, zone, offset = f"{name}_wall", f"{name}_zone", f"{name}_offset"
    is_bare = f"{zone} IN ('instant', 'zulu')"
    shown = f"coalesce({offset}, {offset_column})"
    good = f"settled_time BETWEEN {FIRST_INSTANT} AND {LAST_INSTANT} AND {wall} BETWEEN {FIRST_INSTANT} AND "
    good += LAST_INSTANT
    natural = f"CASE WHEN {shown} IS NOT NULL THEN 'offset' WHEN {is_bare} THEN 'instant' ELSE 'local' END"
    return (
        {
            "local_wall": f"CASE WHEN {is_bare} AND {shown} IS NOT NULL THEN {shifted(wall, shown)} ELSE {wall} END",
            "settled_offset": f"coalesce({shown}, CASE WHEN {rule} = 'offset' AND {zone} = 'zulu' THEN 0 END)",
            "settled_rule": f"coalesce({rule}, {natural})",
        },
        {
            "settled_time": f"""CASE WHEN settled_rule = 'local' THEN local_wall
                WHEN settled_rule = 'instant' AND {zone} = 'date' THEN NULL
                WHEN settled_rule = 'offset' AND settled_offset IS NULL THEN NULL
                ELSE {shifted("local_wall", "-coalesce(settled_offset, 0)")} END"""
        },
        {
            "produce_time": f"CASE WHEN {good} THEN settled_time END",
            "time_is": f"CASE WHEN {good} THEN settled_rule END",
            "utc_offset": f"CASE WHEN {good} AND settled_rule = 'offset' THEN settled_offset END",
        },
    )


def shifted(moment: str, minutes: str) -> str:
    """The timestamp so many minutes later."""
    return f"make_timestamp(epoch_us({moment}) + CAST({minutes} AS BIGINT) * 60000000)"
