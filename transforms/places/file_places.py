"""Rows of `file_places` from rows of `files`: the place, its key, the local day, and how good a cover the
file is. Arrow tables in and out, and no row matters to another.

An address that the source supplied is kept; only what still needs a look-up, of an address or of a time zone, goes to
the locator.
"""

from __future__ import annotations

import re
import unicodedata
from functools import reduce
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from schemas.contract import LEVELS
from schemas.file_places import FILE_PLACES
from transforms.places.corrections import CORRECTED
from transforms.places.geocoding import LOCATED_SCHEMA, Locator
from transforms.places.zones import DAY, MICROS, find_zone, zone_offsets
from transforms.tables.keyed import first_rows, key_codes, with_columns

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

CODES = tuple(f"{level}_code" for level in LEVELS)

SUPPLIED = "supplied"
"""address_method of an address that came with the file; its index_version too, as nothing looked it up."""

VIDEO_RANK = 1
REMOVED_RANK = 2

COPIED = ("bucket", "project_name", "dataset_name", "uri", "media_type", "shot_id", "deleted_time")
"""The columns of `files` that `file_places` repeats."""
LOOKED_UP = ("longitude", "latitude", "address")
FILE_COLUMNS = (*COPIED, "produce_time", "time_is", "utc_offset", "image_width", "image_height", *LOOKED_UP)
"""The columns of `files` that a place comes from."""

FIRST_TIME, LAST_TIME = (np.datetime64(time, "us").astype(np.int64) for time in ("0001-01-02", "9999-12-30T23:59:59"))
"""Times outside are no times: a day inside the calendar's ends, so that no local day falls out of it."""

SPACES = (
    "\t\n\v\f\r \u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
"""The characters with Unicode's White_Space property."""

_SPACES = re.compile(f"[{SPACES.replace(chr(10), '')}]+")
"""White space, the line feed aside, which keeps the parts of a path apart."""


def place_files(files: pa.Table, *, default_zone: str, locator: Locator, run_id: str) -> pa.Table:
    """One row per located file: the columns of `file_places`, in its contract's order.

    A file is located if its source supplied an address, or if the locator finds one for its coordinates.
    Others give no row. Files have FILE_COLUMNS, and may be corrected by people (`corrections.correct_files`).
    `default_zone` (IANA) is the lake's, for times that need a zone where no coordinates tell it.
    """
    located = look_up(files, locator=locator)
    located = key_places(fill_levels(located), keyed_by_codes=locator.keyed_by_codes)
    located = with_columns(located, {"cover_rank": cover_rank(located), "run_id": pa.scalar(run_id)})
    return date_files(located, default_zone=default_zone).select(FILE_PLACES.names).cast(FILE_PLACES.arrow_schema)


def look_up(files: pa.Table, *, locator: Locator) -> pa.Table:
    """Those of the files that have an address, with LOCATED_SCHEMA and `location_source`: the supplied address, else
    the locator's. Time zones are there where a day needs one and coordinates tell it."""
    longitude, latitude = _to_floats(files["longitude"]), _to_floats(files["latitude"])
    supplied = supplied_address(files["address"])
    is_supplied: Bools = reduce(np.logical_or, (_is_valid(part) for part in supplied.columns))
    needs = needs_zone(files)
    asks = ~is_supplied | needs
    found = locator.locate(np.where(asks, longitude, np.nan), latitude, needs_zone=needs)
    there = pa.array(is_supplied | _is_valid(found["address_method"]))
    given, longitude = pa.array(is_supplied).filter(there), longitude[np.asarray(there)]
    files, supplied, found = (rows.filter(there) for rows in (files.select(_kept(files)), supplied, found))
    own = {level: supplied[level] for level in LEVELS}
    own |= {"address_method": SUPPLIED, "index_version": SUPPLIED, "time_zone": found["time_zone"]}
    columns: dict[str, Any] = {
        name: pc.if_else(given, own.get(name, pa.scalar(None, found.schema.field(name).type)), found[name])
        for name in LOCATED_SCHEMA.names
    }
    columns["time_zone"] = usable_zone(columns["time_zone"], longitude)
    columns["location_source"] = _location_source(files)
    return with_columns(files, columns)


def _kept(files: pa.Table) -> list[str]:
    """The columns of files that tell more than where they are."""
    return [name for name in (*FILE_COLUMNS, CORRECTED) if name in files.column_names and name not in LOOKED_UP]


def _location_source(files: pa.Table) -> Any:
    """Who says where a file was taken: its source, or people."""
    if CORRECTED not in files.column_names:
        return pa.scalar("file")
    return pc.if_else(files[CORRECTED], "edited", "file")


def fill_levels(rows: pa.Table) -> pa.Table:
    """A level that does not exist at a place takes the name and code of the level above, down to city."""
    for above, level in (("country", "province"), ("province", "city")):
        missing = rows[level].is_null()
        filled = {
            level: pc.if_else(missing, rows[above], rows[level]),
            f"{level}_code": pc.if_else(missing, rows[f"{above}_code"], rows[f"{level}_code"]),
        }
        rows = with_columns(rows, filled)
    return rows


def key_places(rows: pa.Table, *, keyed_by_codes: bool) -> pa.Table:
    """Adds `place_key`: of codes where areas with codes at every level located the file, else of names.

    An address that was supplied, or found in the gazetteer, is keyed by its names throughout, so that the
    same names are the same place whichever way they came.
    """
    parts = rows.select(LEVELS)
    if keyed_by_codes:
        is_supplied = pc.equal(rows["address_method"], SUPPLIED)
        coded = {
            level: pc.if_else(is_supplied, rows[level], pc.coalesce(rows[code], rows[level]))
            for level, code in zip(LEVELS, CODES, strict=True)
        }
        parts = with_columns(parts, coded)
    return with_columns(rows, {"place_key": place_key(parts)})


def date_files(rows: pa.Table, *, default_zone: str) -> pa.Table:
    """produce_time becomes the instant; adds `local_date` and utc_offset (minutes) in force where and when it
    was taken.

    An explicit offset is trusted. A wall clock's reading (time_is local) is read in the zone of the place:
    one that a change to summer time skips moves forward by what was skipped, of one that occurs twice the
    first is meant, as java.time.ZonedDateTime has it; its day stays the one that the clock showed. An instant
    gets the zone of the place. Where no zone was looked up, default_zone holds. A time that does not say what
    it is counts as an instant. Offsets with seconds (local mean times, before 1900 or so) are rounded to
    minutes; days are not affected.
    """
    time = rows["produce_time"].cast(pa.timestamp("us", "UTC")).cast(pa.int64())
    taken = pc.fill_null(time, 0).to_numpy()
    is_time = _is_valid(time) & (taken >= FIRST_TIME) & (taken <= LAST_TIME)
    taken = np.where(is_time, taken, 0)
    zones = pc.fill_null(rows["time_zone"], default_zone).combine_chunks().dictionary_encode()
    zone_of_row, names = zones.indices.to_numpy().astype(np.int64), zones.dictionary.to_pylist()
    given = has_offset(rows)
    is_wall = is_time & pc.fill_null(pc.equal(rows["time_is"], "local"), False).to_numpy()

    def offsets(times: Ints, where: Bools, *, walls: bool) -> Ints:
        """Seconds east of UTC, 0 elsewhere."""
        found = np.zeros(len(times), np.int64)
        found[where] = zone_offsets(times[where] // MICROS, zone_of_row[where], names, walls=walls)
        return found

    instant = taken - offsets(taken, is_wall, walls=True) * MICROS
    in_force = offsets(instant, is_time & ~given, walls=False)
    minutes = np.where(in_force < 0, -1, 1) * ((np.abs(in_force) + 30) // 60)
    told = pc.fill_null(rows["utc_offset"], 0).to_numpy().astype(np.int64)
    shown = np.where(is_wall, taken, taken + np.where(given, told * 60, in_force) * MICROS)
    return with_columns(
        rows,
        {
            "produce_time": pa.array(instant, pa.timestamp("us", "UTC"), mask=~is_time),
            "utc_offset": pa.array(np.where(given, told, minutes), pa.int32(), mask=~(given | is_time)),
            "local_date": pa.array((shown // (DAY * MICROS)).astype(np.int32), mask=~is_time).cast(pa.date32()),
        },
    )


def has_offset(files: pa.Table) -> Bools:
    """Whether the source gave the offset with the time."""
    is_offset: Bools = pc.fill_null(pc.equal(files["time_is"], "offset"), False).to_numpy()
    return is_offset & _is_valid(files["utc_offset"])


def needs_zone(files: pa.Table) -> Bools:
    """Whether the day of a file cannot be told without a time zone."""
    return _is_valid(files["produce_time"]) & ~has_offset(files)


def usable_zone(zone: pa.ChunkedArray, longitude: Floats) -> pa.ChunkedArray:
    """The zone if its rules are known, else the nautical zone of the longitude; null for null.

    Boundaries gain zones faster than a machine's time-zone data.

    >>> usable_zone(pa.chunked_array([["Asia/Tokyo", "New/Zone", None]]), np.array([139.7, -72.1, 0.0])).to_pylist()
    ['Asia/Tokyo', 'Etc/GMT+5', None]
    """
    names = pc.drop_null(pc.unique(zone))
    unknown = pa.array([name for name in names.to_pylist() if find_zone(name) is None], pa.string())
    if not len(unknown):
        return zone
    west = -longitude / 15
    hours = np.nan_to_num(np.copysign(np.floor(np.abs(west) + 0.5), west)).astype(np.int64)
    nautical = pa.array([f"Etc/GMT{number:+d}" for number in range(-12, 13)]).take(pa.array(np.clip(hours + 12, 0, 24)))
    return pc.if_else(pc.is_in(zone, value_set=unknown), nautical, zone)


def cover_rank(files: pa.Table) -> pa.ChunkedArray:
    """How good a cover a file is, int64, smaller is better: live pictures, then live videos, then removed
    files.

    A picture's rank is minus its pixels, 0 where its size is unknown; VIDEO_RANK and REMOVED_RANK are above
    that.
    """
    pixels = pc.multiply(files["image_width"].cast(pa.int64()), files["image_height"].cast(pa.int64()))
    rank = pc.negate(pc.max_element_wise(pc.fill_null(pixels, 0), 0))
    rank = pc.if_else(pc.fill_null(pc.equal(files["media_type"], "video"), False), VIDEO_RANK, rank)
    return pc.if_else(files["deleted_time"].is_valid(), REMOVED_RANK, rank)


def supplied_address(address: pa.ChunkedArray) -> pa.Table:
    """The addresses that sources gave, a column a level, each part trimmed of spaces and null where blank.

    >>> from schemas.contract import ADDRESS
    >>> given = {"country": " Italy ", "province": "", "city": "Rome", "district": "\\u3000", "township": None}
    >>> supplied_address(pa.chunked_array([[given]], ADDRESS)).to_pylist()
    [{'country': 'Italy', 'province': None, 'city': 'Rome', 'district': None, 'township': None}]
    """
    parts = {}
    for level in LEVELS:
        part = pc.struct_field(address, level)
        parts[level] = pc.if_else(is_given(part), pc.utf8_trim(part, " "), pa.scalar(None, pa.string()))
    return pa.table(parts)


def is_given(text: pa.ChunkedArray | pa.Array) -> pa.ChunkedArray | pa.Array:
    """Whether a text holds more than white space; null for null."""
    return pc.not_equal(pc.utf8_ltrim(text, SPACES), "")


def place_key(parts: pa.Table) -> pa.ChunkedArray:
    """The key of each place from a code or name per level: the normalised parts joined by /, empty where null.

    Normalised is Unicode NFKC and full case folding (NFKC again after it), white space trimmed and collapsed
    to single spaces. Percent signs and slashes in a part become %25 and %2F. So different normalised paths
    have different keys, and the first n parts of a key are the key at level n.

    parts: LEVELS, texts. Each distinct path is normalised once.

    >>> place = {"country": "Italy", "province": "Trentino/Südtirol", "city": "BOZEN  (Bolzano)"}
    >>> place_key(pa.table({level: pa.array([place.get(level)], pa.string()) for level in LEVELS})).to_pylist()
    ['italy/trentino%2Fsüdtirol/bozen (bolzano)//']
    """
    (codes,) = key_codes(parts, key=LEVELS)
    paths = parts.take(pa.array(first_rows(codes)))
    texts = [pc.replace_substring(pc.fill_null(paths[level], ""), "\n", " ") for level in LEVELS]
    path = pc.binary_join_element_wise(*texts, "\n")
    # Most paths are plain ASCII, where lower case is all there is to it.
    keys = pc.replace_substring(pc.ascii_lower(path), "\n", "/")
    odd = pc.invert(_is_plain(path))
    normalised = pa.array([_normalised(text) for text in path.filter(odd).to_pylist()], pa.string())
    return pc.replace_with_mask(keys.combine_chunks(), odd.combine_chunks(), normalised).take(pa.array(codes))


def _is_plain(path: pa.ChunkedArray) -> pa.ChunkedArray:
    """Whether a path joined by line feeds has nothing to normalise but case: ASCII, single spaces within parts, no %
    and no /."""
    is_odd = pc.match_substring_regex(path, r"[^\x00-\x7f]|[%/\t\x0b\f\r]|  | \n|\n |\A | \z")
    return pc.invert(is_odd)


def _normalised(path: str) -> str:
    """The key of any texts, which are joined by line feeds until slashes in them are escaped."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", path).casefold())
    escaped = _SPACES.sub(" ", folded).replace("%", "%25").replace("/", "%2F")
    return "/".join(part.strip(" ") for part in escaped.split("\n"))


def _is_valid(column: pa.ChunkedArray | pa.Array) -> Bools:
    return np.asarray(column.is_valid())


def _to_floats(column: pa.ChunkedArray) -> Floats:
    """float64 (n,), NaN for null."""
    floats: Floats = column.cast(pa.float64()).to_numpy()
    return floats
