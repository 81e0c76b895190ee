"""What an EXIF block says of its picture.

Source: EXIF 2.32 (CIPA DC-008-2019); the section numbers below are its own.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from transforms.pictures.evidence import (
    OFFSET_MINUTES,
    Place,
    Said,
    Taken,
    moment,
    offset_between,
    offset_text,
    place_of,
)
from transforms.pictures.tiff import NotTiffError, Tiff, block_reader, read_directory

WIDTH, HEIGHT, DATE_TIME, MAKE, MODEL, ORIENTATION = 0x100, 0x101, 0x132, 0x10F, 0x110, 0x112
XMP, EXIF_IFD, GPS_IFD, XP_TITLE = 0x2BC, 0x8769, 0x8825, 0x9C9B
ORIGINAL, DIGITIZED, MAKER_NOTE, PIXEL_X, PIXEL_Y = 0x9003, 0x9004, 0x927C, 0xA002, 0xA003
OFFSET, FRACTION = 0x9010, 0x9290
# Time, fraction and offset go together (4.6.5 F); OffsetTime stands in for an offset that is missing.
_TIMES = (
    (ORIGINAL, 0x9291, 0x9011, "exif_original"),
    (DIGITIZED, 0x9292, 0x9012, "exif_digitized"),
    (DATE_TIME, FRACTION, OFFSET, "exif_modified"),
)
_MAIN = frozenset({MAKE, MODEL, ORIENTATION, DATE_TIME, EXIF_IFD, GPS_IFD, XP_TITLE, ORIGINAL, DIGITIZED})
_EXIF = frozenset({tag for time in _TIMES for tag in time[:3]} | {MAKER_NOTE, PIXEL_X, PIXEL_Y})
_LATITUDE_REF, _LATITUDE, _LONGITUDE_REF, _LONGITUDE, _GPS_TIME, _GPS_DATE = 1, 2, 3, 4, 7, 0x1D
_GPS = frozenset({_LATITUDE_REF, _LATITUDE, _LONGITUDE_REF, _LONGITUDE, _GPS_TIME, _GPS_DATE})
# `2010:08:03 10:15:19`, and what else is met: other separators, blank padding, a fraction, an offset.
_TIME = re.compile(
    r"(\d{4})[:/.-] ?(\d{1,2})[:/.-] ?(\d{1,2})[ T] ?(\d{1,2}): ?(\d{1,2}): ?(\d{1,2})"
    r"(?:\.(\d+))? ?(Z|[+-].*)?",
    re.ASCII,
)
_DATE = re.compile(r"(\d{4})[:/.-] ?(\d{1,2})[:/.-] ?(\d{1,2})", re.ASCII)
_OFFSET = re.compile(r"([+-])(\d{1,2}):?(\d\d)", re.ASCII)
_DIGITS = re.compile("[0-9]+")
_GPS_SLACK = timedelta(minutes=1)  # a receiver's last fix is some seconds old, a camera's clock a little off
_APPLE = b"Apple iOS\0"
_APPLE_CONTENT = 0x11


_NOTHING = Said()


@dataclass(frozen=True, slots=True)
class ExifTags:
    """What an EXIF block says, as stored but for times and degrees, which are decoded.

    `orientation` is 1 to 8, else None. `size` is width and height in pixels of the picture that the block is about,
    where it gives them. `content_identifier` is what Apple's cameras write into both files of a Live Photo.
    """

    said: Said = _NOTHING
    make: Any = None
    model: Any = None
    orientation: int | None = None
    size: tuple[int, int] | None = None
    content_identifier: str | None = None


def read_exif_block(block: bytes) -> ExifTags:
    """The tags of an EXIF block, which begins with a TIFF header; none of one that doesn't."""
    if not block:
        return ExifTags()
    try:
        tiff = Tiff(block_reader(block))
    except NotTiffError:
        return ExifTags()
    main, _ = tiff.directory(tiff.first, _MAIN)
    return read_exif(tiff, main)


def read_exif(tiff: Tiff, main: Mapping[int, Any]) -> ExifTags:
    """The tags of a TIFF structure whose main directory has been read, with at least the tags of `MAIN_TAGS`."""
    return exif_tags(main, _sub(tiff, main, EXIF_IFD, _EXIF), _sub(tiff, main, GPS_IFD, _GPS))


MAIN_TAGS = _MAIN
EXIF_TAGS, GPS_TAGS = _EXIF, _GPS


def exif_tags(main: Mapping[int, Any], exif: Mapping[int, Any], gps: Mapping[int, Any]) -> ExifTags:
    """What the three directories say, wherever they were found."""
    fix = _gps_time(gps) if gps else None
    times = _times(main, exif, fix)
    place = _place(gps) if gps else None
    if fix is not None:
        times = (*times, Taken(fix.isoformat() + "Z", "instant", "gps"))
    return ExifTags(
        said=Said(times=times, place=place, title=_utf16_text(main.get(XP_TITLE))),
        make=main.get(MAKE),
        model=main.get(MODEL),
        orientation=_orientation(main.get(ORIENTATION)),
        size=_size(exif),
        content_identifier=_content_identifier(exif.get(MAKER_NOTE)),
    )


def parse_exif_time(text: str) -> tuple[datetime, str, str] | None:
    """Wall clock, fraction (digits) and offset (as written) of an EXIF time; None for what is none, or no such time.

    >>> parse_exif_time("2010:08:03 10:15:19.5+02:00")
    (datetime.datetime(2010, 8, 3, 10, 15, 19), '5', '+02:00')
    """
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    wall = moment(int(match[1]), int(match[2]), int(match[3]), int(match[4]), int(match[5]), int(match[6]))
    return (wall, match[7] or "", match[8] or "") if wall else None


def parse_offset(text: str) -> int | None:
    """Minutes east of UTC of `-06:00`, `-0600`, `+9:00` or `Z`; None for anything else, or beyond -12 to +14 hours."""
    if text == "Z":
        return 0
    match = _OFFSET.fullmatch(text)
    if match is None or int(match[3]) > 59:
        return None
    minutes = int(match[1] + "1") * (int(match[2]) * 60 + int(match[3]))
    return minutes if minutes in OFFSET_MINUTES else None


def ascii_text(value: Any) -> str:
    """An EXIF ASCII value (4.6.2): up to its NUL, without blanks around it; empty for any other type."""
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    return value.partition("\0")[0].strip() if isinstance(value, str) else ""


def _sub(tiff: Tiff, main: Mapping[int, Any], pointer: int, wanted: frozenset[int]) -> Mapping[int, Any]:
    """A directory that the main one points to; empty where missing or broken: the others stay readable."""
    offset = main.get(pointer)
    return tiff.directory(offset, wanted)[0] if isinstance(offset, int) else {}


def _times(main: Mapping[int, Any], exif: Mapping[int, Any], fix: datetime | None) -> tuple[Taken, ...]:
    found = []
    for time_tag, fraction_tag, offset_tag, source in _TIMES:
        value = main.get(time_tag) if time_tag == DATE_TIME else exif.get(time_tag) or main.get(time_tag)
        parsed = parse_exif_time(ascii_text(value)) if value is not None else None
        if parsed is None:
            continue
        wall, fraction, written = parsed
        fraction = fraction or ascii_text(exif.get(fraction_tag))
        offset = parse_offset(written) if written else None
        for tag in (offset_tag, OFFSET):
            offset = parse_offset(ascii_text(exif.get(tag))) if offset is None and tag in exif else offset
        if offset is None and fix is not None and source != "exif_modified":
            offset = offset_between(wall, fix, slack=_GPS_SLACK)
        text = wall.isoformat() + (f".{fraction[:9]}" if _DIGITS.fullmatch(fraction) else "")
        if offset is None:
            found.append(Taken(text, "local", source))
        else:
            found.append(Taken(text + offset_text(offset), "offset", source))
    return tuple(found)


def _gps_time(gps: Mapping[int, Any]) -> datetime | None:
    """The UTC of the fix, to the second (4.6.6)."""
    date = _DATE.fullmatch(ascii_text(gps.get(_GPS_DATE)))
    clock = _reals(gps.get(_GPS_TIME))
    if date is None or clock is None or len(clock) != 3 or any(part < 0 for part in clock):
        return None
    day = moment(int(date[1]), int(date[2]), int(date[3]), 0, 0, 0)
    seconds = clock[0] * 3600 + clock[1] * 60 + clock[2]
    return day + timedelta(seconds=int(seconds)) if day and seconds < 86_400 else None


def _place(gps: Mapping[int, Any]) -> Place | None:
    latitude = _degrees(gps, _LATITUDE, _LATITUDE_REF, "NS")
    return place_of(latitude, _degrees(gps, _LONGITUDE, _LONGITUDE_REF, "EW"), "gps") if latitude is not None else None


def _degrees(gps: Mapping[int, Any], tag: int, ref_tag: int, hemispheres: str) -> float | None:
    """Signed degrees from up to three rationals (degrees, minutes, seconds; 4.6.6) and a hemisphere letter.

    None without a hemisphere, with a zero denominator, a negative part, or over 60 minutes or seconds.
    """
    letter = ascii_text(gps.get(ref_tag)).upper()
    parts = _reals(gps.get(tag))
    if letter not in tuple(hemispheres) or parts is None or len(parts) > 3:
        return None
    degrees, minutes, seconds = [*parts, 0.0, 0.0][:3]
    if not (min(degrees, minutes, seconds) >= 0 and max(minutes, seconds) <= 60):
        return None
    angle = degrees + minutes / 60 + seconds / 3600
    return -angle if letter in "SW" else angle


def _reals(value: Any) -> list[float] | None:
    """The numbers of a value; None where one is no number or has a zero denominator."""
    values = value if isinstance(value, tuple) else (value,)
    numbers = []
    for one in values:
        if isinstance(one, tuple):
            if one[1] == 0:
                return None
            numbers.append(one[0] / one[1])
        elif isinstance(one, int | float):
            numbers.append(float(one))
        else:
            return None
    return numbers


def _orientation(value: Any) -> int | None:
    return value if isinstance(value, int) and 1 <= value <= 8 else None


def _size(exif: Mapping[int, Any]) -> tuple[int, int] | None:
    width, height = exif.get(PIXEL_X), exif.get(PIXEL_Y)
    return (width, height) if isinstance(width, int) and isinstance(height, int) and width and height else None


def _content_identifier(note: Any) -> str | None:
    """Apple's identifier of a Live Photo, from its maker note: a directory whose offsets count from the note."""
    if not isinstance(note, bytes) or not note.startswith(_APPLE):
        return None
    order = {b"MM": ">", b"II": "<"}.get(note[12:14])
    if order is None:
        return None
    tags, _ = read_directory(block_reader(note), order, 14, (_APPLE_CONTENT,))
    return ascii_text(tags.get(_APPLE_CONTENT)) or None


def _utf16_text(value: Any) -> str | None:
    """Windows' XP tags hold UTF-16LE bytes."""
    if not isinstance(value, bytes):
        return None
    try:
        return value.decode("utf-16-le")
    except UnicodeDecodeError:
        return None
