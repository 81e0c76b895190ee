"""Rows of `file_places` from rows of `files`: the place, its key, the local day, and how good a cover the
file is.

An address that the source supplied is kept; only what still needs a look-up, of an address or of a time zone,
leaves Spark SQL for the kernel in `geocoding`. Dates and offsets are computed in a session whose time zone is
UTC.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from schemas.contract import LEVELS
from schemas.file_places import FILE_PLACES
from transforms.places.corrections import CORRECTED
from transforms.places.geocoding import Locator, is_place, locate_points
from transforms.tables.times import is_zone, shift_minutes

CODES = tuple(f"{level}_code" for level in LEVELS)

SUPPLIED = "supplied"
"""address_method of an address that came with the file; its index_version too, as nothing looked it up."""

VIDEO_RANK = 1
REMOVED_RANK = 2

FIRST_TIME, LAST_TIME = "0001-01-02 00:00:00", "9999-12-30 23:59:59"
"""Times outside are no times: a day inside the calendar's ends, so that no local day falls out of it."""

SPACES = (
    "\t\n\v\f\r \u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
"""The characters with Unicode's White_Space property."""

_ODD = r"\t\x0b\f\r\x85\u1680\u2028\u2029"
_ODD_SPACES = f"[ {_ODD}]{{2,}}|[{_ODD}]"
"""White space that NFKC leaves and that is not a single space, the line feed aside. Matching only what must
change makes the usual name cost one look at each character."""


def place_files(files: DataFrame, *, default_zone: str, locator: Locator, run_id: str) -> DataFrame:
    """One row per located file: the columns of `file_places`, in its contract's order.

    A file is located if its source supplied an address, or if the locator finds one for its coordinates.
    Others give no row. Files may be corrected by people (`corrections.correct_files`). `default_zone` (IANA) is the
    lake's, for times that need a zone where no coordinates tell it.
    """
    rows = files.select(
        *("bucket", "project_name", "dataset_name", "uri", "media_type", "shot_id", "deleted_time"),
        *("produce_time", "time_is", "utc_offset", "longitude", "latitude"),
        cover_rank().alias("cover_rank"),
        _location_source(files).alias("location_source"),
        has_address(F.col("address")).alias("is_supplied"),
        supplied_address(F.col("address")).alias("supplied"),
    )
    asks = is_place(F.col("longitude"), F.col("latitude")) & (~F.col("is_supplied") | needs_zone())
    return (
        rows.where(F.col("is_supplied") & ~asks)
        .transform(take_supplied)
        .unionByName(rows.where(asks).transform(look_up, locator=locator))
        .transform(fill_levels)
        .transform(key_places, keyed_by_codes=locator.keyed_by_codes)
        .transform(date_files, default_zone=default_zone)
        .withColumn("run_id", F.lit(run_id))
        .select(*FILE_PLACES.names)
    )


def _location_source(files: DataFrame) -> Column:
    """Who says where a file was taken: its source, or people."""
    said = F.lit("file")
    return F.when(F.col(CORRECTED), "edited").otherwise(said) if CORRECTED in files.columns else said


def take_supplied(rows: DataFrame) -> DataFrame:
    """The rows of `place_files` with the supplied address as theirs, and no time zone."""
    return rows.select(
        *(name for name in rows.columns if name not in ("is_supplied", "supplied")),
        *(F.col(f"supplied.{level}").alias(level) for level in LEVELS),
        *(F.lit(None).cast("string").alias(code) for code in CODES),
        F.lit(SUPPLIED).alias("address_method"),
        F.lit(None).cast("double").alias("address_distance"),
        F.lit(None).cast("string").alias("time_zone"),
        F.lit(SUPPLIED).alias("index_version"),
    )


def look_up(rows: DataFrame, *, locator: Locator) -> DataFrame:
    """The rows of `place_files` that now have an address: the supplied one, else the locator's; with a time
    zone."""
    given = F.col("is_supplied")
    nothing = F.lit(None)
    return (
        locate_points(rows, locator=locator, needs_zone=needs_zone())
        .where(given | F.col("address_method").isNotNull())
        .select(
            *(name for name in rows.columns if name not in ("is_supplied", "supplied")),
            *(F.when(given, F.col(f"supplied.{level}")).otherwise(F.col(level)).alias(level) for level in LEVELS),
            *(F.when(given, nothing).otherwise(F.col(code)).alias(code) for code in CODES),
            F.when(given, SUPPLIED).otherwise(F.col("address_method")).alias("address_method"),
            F.when(given, nothing).otherwise(F.col("address_distance")).alias("address_distance"),
            usable_zone(F.col("time_zone"), F.col("longitude")).alias("time_zone"),
            F.when(given, SUPPLIED).otherwise(F.col("index_version")).alias("index_version"),
        )
    )


def fill_levels(rows: DataFrame) -> DataFrame:
    """A level that does not exist at a place takes the name and code of the level above, down to city."""
    filled = rows
    for above, level in (("country", "province"), ("province", "city")):
        missing = F.col(level).isNull()
        filled = filled.withColumns(
            {
                level: F.when(missing, F.col(above)).otherwise(F.col(level)),
                f"{level}_code": F.when(missing, F.col(f"{above}_code")).otherwise(F.col(f"{level}_code")),
            }
        )
    return filled


def key_places(rows: DataFrame, *, keyed_by_codes: bool) -> DataFrame:
    """Adds `place_key`: of codes where areas with codes at every level located the file, else of names.

    An address that was supplied, or found in the gazetteer, is keyed by its names throughout, so that the
    same names are the same place whichever way they came.
    """
    names = [F.col(level) for level in LEVELS]
    if not keyed_by_codes:
        return rows.withColumn("place_key", place_key(names))
    is_supplied = F.col("address_method") == SUPPLIED
    parts = (
        F.when(is_supplied, name).otherwise(F.coalesce(F.col(code), name))
        for name, code in zip(names, CODES, strict=True)
    )
    return rows.withColumn("place_key", place_key(list(parts)))


def date_files(rows: DataFrame, *, default_zone: str) -> DataFrame:
    """produce_time becomes the instant; adds `local_date` and utc_offset (minutes) in force where and when it
    was taken.

    An explicit offset is trusted. A wall clock's reading (time_is local) is read in the zone of the place:
    one that a change to summer time skips moves forward by what was skipped, of one that occurs twice the
    first is meant, as java.time.ZonedDateTime has it; its day stays the one that the clock showed. An instant
    gets the zone of the place. Where no zone was looked up, default_zone holds. A time that does not say what
    it is counts as an instant. Offsets with seconds (local mean times, before 1900 or so) are rounded to
    minutes; days are not affected.
    """
    zone = F.coalesce(F.col("time_zone"), F.lit(default_zone))
    taken, offset = F.col("produce_time"), F.col("utc_offset")
    is_wall = F.coalesce(F.col("time_is") == "local", F.lit(False))
    return (
        rows.withColumn("produce_time", usable_time(taken))
        .withColumn("instant", F.when(is_wall, F.to_utc_timestamp(taken, zone)).otherwise(taken))
        .withColumn("utc_offset", F.when(has_offset(), offset).otherwise(offset_at(F.col("instant"), zone)))
        .withColumn(
            "local_date",
            F.to_date(
                F.when(is_wall, taken)
                .when(has_offset(), shift_minutes(taken, offset))
                .otherwise(F.from_utc_timestamp(taken, zone))
            ),
        )
        .withColumn("produce_time", F.col("instant"))
        .drop("instant", "time_is")
    )


def has_offset() -> Column:
    """Whether the source gave the offset with the time."""
    return F.coalesce((F.col("time_is") == "offset") & F.col("utc_offset").isNotNull(), F.lit(False))


def needs_zone() -> Column:
    """Whether the day of a file cannot be told without a time zone."""
    return F.col("produce_time").isNotNull() & ~has_offset()


def usable_time(time: Column) -> Column:
    """The time, or null outside FIRST_TIME..LAST_TIME."""
    first, last = (F.lit(bound).cast("timestamp") for bound in (FIRST_TIME, LAST_TIME))
    return F.when(time.between(first, last), time)


def usable_zone(zone: Column, longitude: Column) -> Column:
    """The zone if the JVM's rules know it, else the nautical zone of the longitude.

    Time-zone data gains zones faster than a JVM is updated (America/Coyhaique, of 2025, is unknown to Java
    17.0.15), and an unknown one would fail the job.

    >>> df = spark.sql("SELECT * FROM VALUES ('Asia/Tokyo', 139.7D), ('New/Zone', -72.1D) AS t(zone, lon)")
    >>> df.select(usable_zone(F.col("zone"), F.col("lon")).alias("zone")).show()
    +----------+
    |      zone|
    +----------+
    |Asia/Tokyo|
    | Etc/GMT+5|
    +----------+
    <BLANKLINE>
    """
    hours_west = F.round(-longitude / 15).cast("int")
    nautical = F.format_string("Etc/GMT%+d", hours_west)
    return F.when(is_zone(zone), zone).when(zone.isNotNull(), nautical)


def offset_at(instant: Column, zone: Column) -> Column:
    """Minutes east of UTC in force in a zone at an instant, rounded.

    >>> df = spark.sql("SELECT timestamp'2024-07-01 12:00:00' AS t")
    >>> df.select(offset_at(F.col("t"), F.lit("Asia/Kathmandu")).alias("minutes")).show()
    +-------+
    |minutes|
    +-------+
    |    345|
    +-------+
    <BLANKLINE>
    """
    micros = F.unix_micros(F.from_utc_timestamp(instant, zone)) - F.unix_micros(instant)
    return F.round(micros / 60_000_000).cast("int")


def cover_rank() -> Column:
    """How good a cover a file is, bigint, smaller is better: live pictures, then live videos, then removed
    files.

    A picture's rank is minus its pixels, 0 where its size is unknown; VIDEO_RANK and REMOVED_RANK are above
    that.
    """
    pixels = F.col("image_width").cast("long") * F.col("image_height").cast("long")
    return (
        F.when(F.col("deleted_time").isNotNull(), REMOVED_RANK)
        .when(F.col("media_type") == "video", VIDEO_RANK)
        .otherwise(-F.greatest(pixels, F.lit(0)))
        .cast("long")
    )


def supplied_address(address: Column) -> Column:
    """The address that a source gave, each part trimmed of spaces and null where blank.

    >>> df = spark.sql("SELECT struct(' Italy ' AS country, '' AS province, 'Rome' AS city, "
    ...                "'\\u3000' AS district, string(null) AS township) AS address")
    >>> df.select(supplied_address(F.col("address")).alias("address")).show(truncate=False)
    +-------------------------------+
    |address                        |
    +-------------------------------+
    |{Italy, NULL, Rome, NULL, NULL}|
    +-------------------------------+
    <BLANKLINE>
    """
    parts = ((level, address[level]) for level in LEVELS)
    return F.struct(*(F.when(is_given(part), F.trim(part)).alias(level) for level, part in parts))


def has_address(address: Column) -> Column:
    """Whether any part of an address is given."""
    return is_given(F.concat_ws("", *(address[level] for level in LEVELS)))


def is_given(text: Column) -> Column:
    """Whether a text holds more than white space; null for null. Most texts tell by their first character."""
    return text.between("!", "~~") | (F.ltrim(text, F.lit(SPACES)) != "")


def place_key(parts: Sequence[Column]) -> Column:
    """The key of a place from a code or name per level: the normalised parts joined by /, empty where null.

    Normalised is Unicode NFKC and full case folding (NFKC again after it), white space trimmed and collapsed
    to single spaces. Percent signs and slashes in a part become %25 and %2F. So different normalised paths
    have different keys, and the first n parts of a key are the key at level n.

    >>> df = spark.sql("SELECT 'Italy' AS a, 'Trentino/Südtirol' AS b, 'BOZEN  (Bolzano)' AS c")
    >>> df.select(place_key([df.a, df.b, df.c, F.lit(None), F.lit(None)]).alias("key")).show(truncate=False)
    +-------------------------------------------+
    |key                                        |
    +-------------------------------------------+
    |italy/trentino%2Fsüdtirol/bozen (bolzano)//|
    +-------------------------------------------+
    <BLANKLINE>
    """
    texts = [F.coalesce(part, F.lit("")) for part in parts]
    path = F.concat_ws("/", *texts)
    # Most paths are plain ASCII, where lower case is all there is to it.
    return F.when(_is_plain(path), F.lower(path)).otherwise(_normalised_path(texts))


def _is_plain(path: Column) -> Column:
    """Whether a joined path has nothing to normalise but case: ASCII, single spaces within parts, no % and no other /.

    Searches for short texts, which cost a fraction of one regular expression.
    """
    odd = ("%", "  ", "/ ", " /", *"\t\n\v\f\r")
    return (
        (F.octet_length(path) == F.length(path))
        & (F.substring_index(path, "/", len(LEVELS)) == path)
        & ~F.startswith(path, F.lit(" "))
        & ~F.endswith(path, F.lit(" "))
        & reduce(Column.__and__, (~F.contains(path, F.lit(text)) for text in odd))
    )


def _normalised_path(texts: Sequence[Column]) -> Column:
    """The key of any texts. They are joined by line feeds until slashes in them are escaped."""
    path = F.concat_ws("\n", *(F.replace(text, F.lit("\n"), F.lit(" ")) for text in texts))
    folded = _nfkc(_case_folded(_nfkc(path)))
    spaced = F.trim(F.regexp_replace(folded, _ODD_SPACES, " "))
    trimmed = F.regexp_replace(spaced, " \n ?|\n ", "\n")
    escaped = F.replace(F.replace(trimmed, F.lit("%"), F.lit("%25")), F.lit("/"), F.lit("%2F"))
    return F.replace(escaped, F.lit("\n"), F.lit("/"))


def _nfkc(text: Column) -> Column:
    """Unicode's compatibility composition, which Spark SQL lacks, by ICU4J, which Spark ships."""
    return F.java_method(F.lit("com.ibm.icu.text.Normalizer"), F.lit("compose"), text, F.lit(True))


def _case_folded(text: Column) -> Column:
    """Unicode's full case folding, by ICU4J."""
    return F.java_method(F.lit("com.ibm.icu.lang.UCharacter"), F.lit("foldCase"), text, F.lit(True))
