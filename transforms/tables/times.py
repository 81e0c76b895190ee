"""Reading the times that sources write: texts, epoch numbers, Spark's own types; and settling what they mean.

A time is read twice over. What was *written* is a wall clock's reading and, perhaps, an offset from UTC; what
it *says* (`time_is`) is an instant with its offset, an instant alone, or a local time alone. The session's time
zone must be UTC.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql.types import (
    DataType,
    DateType,
    NumericType,
    StringType,
    TimestampNTZType,
    TimestampType,
)

TIME_PATTERN = (
    r"^\d{4}([-:/])\d\d\1\d\d"  # 2010-08-03, EXIF's 2010:08:03, 2010/08/03
    r"(?:[Tt ](\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?)"
    r"(?: ?(Z|z|UTC|[+-]\d\d(?::?[0-5]\d)?))?)?\z"
)
"""ISO 8601's extended format, RFC 3339 and EXIF; minutes and seconds are range-checked when the time is made."""

NO_TIME_PATTERN = r"^[0\s:/.TZ-]*\z"
"""Texts that say 'no time': blank, or zeros only ('0000:00:00 00:00:00', cameras without a clock; '0')."""

EPOCH_SECONDS = (100_000_000, 10_000_000_000)
"""Epoch numbers read as seconds, either sign: 1973 to 2286. Smaller ones would take 20100803 for seconds."""

EPOCH_MILLIS = (210_000_000_000, 10_000_000_000_000)
"""Epoch numbers read as milliseconds: 1976 to 2286. Smaller ones would take 201008031015 for milliseconds."""

EPOCH_MICROS = (210_000_000_000_000, 10_000_000_000_000_000)
"""Epoch numbers read as microseconds: 1976 to 2286."""

OFFSETS = (-12 * 60, 14 * 60)
"""Offsets from UTC that clocks on Earth are set to, minutes (IANA time zone database)."""

FIRST_INSTANT, LAST_INSTANT = "0001-01-01 00:00:00", "9999-12-31 23:59:59.999999"


@dataclass(frozen=True)
class WrittenTime:
    """A time as written; all columns are null where there is none or it can't be read.

    `wall` is the clock's reading as if it were UTC. `zone` is what stands with it: `offset`; `zulu` (Z, UTC);
    `instant` (an epoch number or a timestamp, which have no clock of their own); `local` (nothing); `date` (not
    even a time of day: midnight is read). `offset` is in minutes east of UTC.
    """

    wall: Column
    zone: Column
    offset: Column


def _in_place(_: str, column: Column) -> Column:
    return column


def written_time(
    column: Column, kind: DataType, *, first: Callable[[str, Column], Column] = _in_place
) -> WrittenTime | None:
    """Reads a column of any type that can hold a time; None if the type can't.

    `first` may have a part of a text computed before, under a name, and give that column: Spark searches a text anew
    for each mention of what a search finds.
    """
    nothing = F.lit(None).cast("int")
    if isinstance(kind, TimestampType):
        return WrittenTime(column, F.lit("instant"), nothing)
    if isinstance(kind, TimestampNTZType):
        return WrittenTime(column.cast("timestamp"), F.lit("local"), nothing)
    if isinstance(kind, DateType):
        return WrittenTime(column.cast("timestamp"), F.lit("date"), nothing)
    if isinstance(kind, NumericType):
        return WrittenTime(epoch_time(column), F.lit("instant"), nothing)
    if isinstance(kind, StringType):
        text = first("time_text", F.trim(column))
        clock, zone = first("time_clock", clock_part(text)), first("time_zone", zone_part(text))
        epoch = text.rlike(r"^-?\d{9,16}(\.\d+)?\z")
        return WrittenTime(
            F.when(epoch, epoch_time(text)).otherwise(wall_clock(text, clock)),
            F.when(epoch, F.lit("instant")).otherwise(written_zone(clock, zone)),
            offset_minutes(zone),
        )
    return None


def clock_part(text: Column) -> Column:
    """The time of day in a time text, as written; empty where there is none."""
    return F.regexp_extract(text, TIME_PATTERN, 2)


def zone_part(text: Column) -> Column:
    """The zone or offset in a time text, as written; empty where there is none."""
    return F.regexp_extract(text, TIME_PATTERN, 3)


def wall_clock(text: Column, clock: Column) -> Column:
    """The clock's reading in a time text, as if it were UTC; null if the text is no time. Finer than µs is cut off.

    `clock` is its clock_part.

    >>> texts = ["2010:08:03 10:15:19", "2010-08-03T10:15+08:00", "2010-02-29", "2010-8-3", "2010-08-03 24:00"]
    >>> df = spark.createDataFrame([(text,) for text in texts], "x string")
    >>> df.select("x", wall_clock(F.col("x"), clock_part(F.col("x"))).alias("clock")).show(truncate=False)
    +----------------------+-------------------+
    |x                     |clock              |
    +----------------------+-------------------+
    |2010:08:03 10:15:19   |2010-08-03 10:15:19|
    |2010-08-03T10:15+08:00|2010-08-03 10:15:00|
    |2010-02-29            |NULL               |
    |2010-8-3              |NULL               |
    |2010-08-03 24:00      |NULL               |
    +----------------------+-------------------+
    """
    day = F.concat_ws("-", F.substring(text, 1, 4), F.substring(text, 6, 2), F.substring(text, 9, 2))
    time_of_day = (
        F.when(clock == "", F.lit("00:00:00"))
        .when(F.length(clock) == 5, F.concat(clock, F.lit(":00")))
        .otherwise(F.translate(clock, ",", "."))
    )
    iso = F.concat(day, F.lit("T"), time_of_day, F.lit("Z"))
    return F.when(text.rlike(TIME_PATTERN), iso.try_cast("timestamp"))


def written_zone(clock: Column, zone: Column) -> Column:
    """What a time text says of its zone: offset, zulu, instant, local or date (see WrittenTime), from its parts.

    RFC 3339 section 4.3: -00:00 gives the instant and says that the local time is unknown.

    >>> texts = ["2010-08-03 10:15:19-0600", "2010-08-03T10:15:19Z", "2010-08-03T10:15-00:00", "2010-08-03"]
    >>> df = spark.createDataFrame([(text,) for text in texts], "x string")
    >>> parts = clock_part(F.col("x")), zone_part(F.col("x"))
    >>> df.select("x", written_zone(*parts).alias("zone")).show(truncate=False)
    +------------------------+-------+
    |x                       |zone   |
    +------------------------+-------+
    |2010-08-03 10:15:19-0600|offset |
    |2010-08-03T10:15:19Z    |zulu   |
    |2010-08-03T10:15-00:00  |instant|
    |2010-08-03              |date   |
    +------------------------+-------+
    """
    return (
        F.when(zone.rlike("^-00(:?00)?$"), F.lit("instant"))
        .when(zone.rlike("^[+-]"), F.lit("offset"))
        .when(zone != "", F.lit("zulu"))
        .when(clock != "", F.lit("local"))
        .otherwise(F.lit("date"))
    )


def offset_minutes(zone: Column) -> Column:
    """Minutes east of UTC of `+08:00`, `+0800` or `+08`; null for anything else, and for -00:00.

    >>> texts = ["+08:00", "-0930", "+05", "Z", "-00:00"]
    >>> df = spark.createDataFrame([(text,) for text in texts], "x string")
    >>> df.select("x", offset_minutes(F.col("x")).alias("minutes")).show(truncate=False)
    +------+-------+
    |x     |minutes|
    +------+-------+
    |+08:00|480    |
    |-0930 |-570   |
    |+05   |300    |
    |Z     |NULL   |
    |-00:00|NULL   |
    +------+-------+
    """
    minutes = F.substring(zone, 2, 2).try_cast("int") * 60 + F.coalesce(
        F.when(F.length(zone) > 3, F.substring(zone, -2, 2).try_cast("int")), F.lit(0)
    )
    return F.when(
        zone.rlike("^[+-]") & ~zone.rlike("^-00(:?00)?$"),
        F.when(zone.startswith("-"), -minutes).otherwise(minutes),
    )


def epoch_time(number: Column) -> Column:
    """The instant of an epoch number in seconds, milliseconds or microseconds, told apart by size; else null.

    >>> texts = ["1280830519", "1280830519250", "-1280830519.5", "20100803", "201008031015"]
    >>> df = spark.createDataFrame([(text,) for text in texts], "x string")
    >>> df.select("x", epoch_time(F.col("x")).alias("instant")).show(truncate=False)
    +-------------+----------------------+
    |x            |instant               |
    +-------------+----------------------+
    |1280830519   |2010-08-03 10:15:19   |
    |1280830519250|2010-08-03 10:15:19.25|
    |-1280830519.5|1929-05-31 13:44:40.5 |
    |20100803     |NULL                  |
    |201008031015 |NULL                  |
    +-------------+----------------------+
    """
    exact = number.try_cast("decimal(24,6)")
    size = F.abs(exact)

    def within(bounds: tuple[int, int]) -> Column:
        return (size >= bounds[0]) & (size < bounds[1])

    micros = (
        F.when(within(EPOCH_SECONDS), exact * 1_000_000)
        .when(within(EPOCH_MILLIS), exact * 1_000)
        .when(within(EPOCH_MICROS), exact)
    )
    return F.timestamp_micros(micros.try_cast("bigint"))


def settled_time(time: WrittenTime, rule: Column, offset_column: Column) -> tuple[Column, Column, Column]:
    """What a written time says: (produce_time, time_is, utc_offset) as the table `files` keeps them.

    `rule` is how the source's times are to be read (local, instant, offset), or null: as they are written.
    `local` takes the wall clock and drops the zone; `instant` takes an offset as defining the instant, not the
    local day, and refuses a date alone; `offset` takes Z as +00:00 and refuses a time without any.
    `offset_column` is an offset that the source gives beside the time, for times that carry none.
    All three are null where the time can't be read, or the instant lies outside the years 1 to 9999.
    """
    bare_instant = time.zone.isin("instant", "zulu")
    offset = F.coalesce(time.offset, offset_column)
    wall = F.when(bare_instant & offset.isNotNull(), shift_minutes(time.wall, offset)).otherwise(time.wall)
    offset = F.coalesce(offset, F.when((rule == "offset") & (time.zone == "zulu"), F.lit(0)))
    natural = F.when(offset.isNotNull(), F.lit("offset")).when(bare_instant, F.lit("instant")).otherwise(F.lit("local"))
    time_is = F.coalesce(rule, natural)
    moment = (
        F.when(time_is == "local", wall)
        .when((time_is == "instant") & (time.zone == "date"), F.lit(None))
        .when((time_is == "offset") & offset.isNull(), F.lit(None))
        .otherwise(shift_minutes(wall, -F.coalesce(offset, F.lit(0))))
    )
    first, last = (F.lit(limit).cast("timestamp") for limit in (FIRST_INSTANT, LAST_INSTANT))
    good = moment.between(first, last) & time.wall.between(first, last)
    return F.when(good, moment), F.when(good, time_is), F.when(good & (time_is == "offset"), offset)


def is_zone(zone: Column) -> Column:
    """Whether the JVM's rules know a time zone of this name, false for null."""
    return F.concat(F.lit("2000-01-01 00:00:00 "), zone).try_cast("timestamp").isNotNull()


def shift_minutes(moment: Column, minutes: Column) -> Column:
    """The timestamp `minutes` later."""
    return F.timestamp_micros(F.unix_micros(moment) + minutes.cast("bigint") * 60_000_000)
