"""What photo files say about themselves, mostly through Pillow: headers are read, no pixels.

Source: EXIF 2.32 (CIPA DC-008-2019); the section numbers below are its own.
"""

import math
import numbers
import re
import struct
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, BinaryIO

from PIL import ExifTags, Image, ImageFile

from transforms.pictures.heif import is_heif, read_heif

MAX_PIXELS = 2**29
"""A header that announces more pixels is refused: 512 Mi, over twice the largest phone sensor."""

# Pillow's parsers index, unpack, divide and recurse on what the file says, and guard only part of it.
DECODE_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
)
"""What reading the header of a hostile file may raise."""

# MPO, Pillow's name for a JPEG with more pictures behind it (previews, gain maps), is opened as JPEG.
_CONTENT_TYPES = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "TIFF": "image/tiff",
    "WEBP": "image/webp",
    "GIF": "image/gif",
    "BMP": "image/bmp",
}
# Time, fraction and offset go together (4.6.5 F). DateTime is when the *file* was last changed: left out, as
# an edit years later must not move a picture to another trip.
_TIME_TAGS = (
    (ExifTags.Base.DateTimeOriginal, ExifTags.Base.SubsecTimeOriginal, ExifTags.Base.OffsetTimeOriginal),
    (ExifTags.Base.DateTimeDigitized, ExifTags.Base.SubsecTimeDigitized, ExifTags.Base.OffsetTimeDigitized),
)
# `2010:08:03 10:15:19`, and what else is met: other separators, blank padding, a fraction, an offset.
_TIME = re.compile(
    r"(\d{4})[:/.-] ?(\d{1,2})[:/.-] ?(\d{1,2})[ T] ?(\d{1,2}): ?(\d{1,2}): ?(\d{1,2})"
    r"(?:\.(\d+))? ?(Z|[+-].*)?",
    re.ASCII,
)
_OFFSET = re.compile(r"([+-])(\d\d):?(\d\d)", re.ASCII)
_OFFSET_MINUTES = range(-12 * 60, 14 * 60 + 1)
_LARGEST_EXIF = 2**24
_FIRST_YEAR = 1826  # of the oldest photograph there is; `0001:01:01` and the like are unset clocks


@dataclass(frozen=True)
class PhotoTags:
    """What one photo says of itself, as stored but for times and degrees, which are decoded.

    `image_width` and `image_height` are pixels as displayed. `orientation` is EXIF's 1 to 8, else None; HEIF
    readers have applied it already. `produce_time` is ISO 8601 text, `time_is` says how to read it: `offset`
    (it ends in one) or `local` (wall clock). `latitude` and `longitude` are degrees, signed, finite, not yet
    checked for range.
    """

    content_type: str
    produce_time: str | None
    time_is: str | None
    latitude: float | None
    longitude: float | None
    image_width: int
    image_height: int
    orientation: int | None
    camera_make: Any
    camera_model: Any
    title: str | None


class TooManyPixelsError(Exception):
    """A header announces more than `MAX_PIXELS`."""


def read_photo(file: BinaryIO, head: bytes) -> PhotoTags:
    """Read the tags of one photo, given its first 12 bytes. Broken EXIF gives None for what it breaks.

    Raises TooManyPixelsError for a header over `MAX_PIXELS`, and one of `DECODE_ERRORS` for what isn't a
    JPEG, PNG, TIFF, WebP, GIF, BMP, HEIC or AVIF picture. Memory: the header, but WebP files are held whole.
    """
    with quiet_pillow():
        return _read_heif_photo(file) if is_heif(head) else _read_pillow_photo(file)


def _read_heif_photo(file: BinaryIO) -> PhotoTags:
    header = read_heif(file)
    if header.width * header.height > MAX_PIXELS:
        raise TooManyPixelsError(f"{header.width} x {header.height} pixels; at most {MAX_PIXELS} in all")
    main = Image.Exif()
    with suppress(*DECODE_ERRORS):
        main.load(header.exif)
    return _photo_tags(header.content_type, (header.width, header.height), main)


def _read_pillow_photo(file: BinaryIO) -> PhotoTags:
    try:
        with Image.open(file, formats=tuple(_CONTENT_TYPES)) as image:
            main = _read_exif(image)
            width, height = image.size
            if (_orientation(main) or 1) >= 5 and image.format != "TIFF":  # Pillow turns a TIFF's size itself
                width, height = height, width
            return _photo_tags(_CONTENT_TYPES.get(str(image.format), "image/jpeg"), (width, height), main)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise TooManyPixelsError(f"at most {MAX_PIXELS} pixels: {error}") from error


def _photo_tags(content_type: str, size: tuple[int, int], main: Image.Exif) -> PhotoTags:
    exif, gps = _sub_ifd(main, ExifTags.IFD.Exif), _sub_ifd(main, ExifTags.IFD.GPSInfo)
    produce_time, time_is = _produce_time(exif, main)
    return PhotoTags(
        content_type=content_type,
        produce_time=produce_time,
        time_is=time_is,
        latitude=_degrees(gps, ExifTags.GPS.GPSLatitude, ExifTags.GPS.GPSLatitudeRef, "NS"),
        longitude=_degrees(gps, ExifTags.GPS.GPSLongitude, ExifTags.GPS.GPSLongitudeRef, "EW"),
        image_width=size[0],
        image_height=size[1],
        orientation=_orientation(main),
        camera_make=_tag(ExifTags.Base.Make, main),
        camera_model=_tag(ExifTags.Base.Model, main),
        title=_utf16_text(_tag(ExifTags.Base.XPTitle, main)),
    )


@contextmanager
def quiet_pillow() -> Iterator[None]:
    """Silence Pillow's warnings, but raise the one for a picture over `MAX_PIXELS`.

    Both settings are the process's own, and are put back: whoever decodes pixels keeps a stricter limit.
    """
    before = Image.MAX_IMAGE_PIXELS
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        Image.MAX_IMAGE_PIXELS = MAX_PIXELS
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before


def _read_exif(image: Image.Image) -> Image.Exif:
    """The EXIF block, its main directory read; empty where it is missing or broken."""
    try:
        if image.format == "PNG" and "exif" not in image.info and (late := _exif_behind_pixels(image)):
            image.info["exif"] = late
        return Image.Image.getexif(image)  # PNG's own getexif decodes the pixels to look behind them
    except DECODE_ERRORS:
        return Image.Exif()


def _sub_ifd(main: Image.Exif, tag: int) -> Mapping[int, Any]:
    """A directory that the main one points to; empty where missing or broken: the others stay readable."""
    try:
        return main.get_ifd(tag)
    except DECODE_ERRORS:
        return {}


def _exif_behind_pixels(image: Image.Image) -> bytes | None:
    """The `eXIf` chunk of a PNG, which may follow the pixels; chunks are skipped by their length."""
    if not isinstance(image, ImageFile.ImageFile) or image.fp is None:
        return None
    image.fp.seek(len(b"\x89PNG\r\n\x1a\n"))
    while len(header := image.fp.read(8)) == 8:
        length, kind = struct.unpack(">I4s", header)
        if kind == b"eXIf":
            return image.fp.read(min(length, _LARGEST_EXIF))
        image.fp.seek(length + 4, 1)  # the data and its checksum
    return None


def _tag(tag: int, *ifds: Mapping[int, Any]) -> Any:
    """The tag from the first directory that has it, decoded only now; None if it can't be."""
    for ifd in ifds:
        try:
            if (value := ifd.get(tag)) is not None:
                return value
        except DECODE_ERRORS:
            continue
    return None


def _orientation(main: Mapping[int, Any]) -> int | None:
    orientation = _tag(ExifTags.Base.Orientation, main)
    return orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else None


def _ascii(value: Any) -> str:
    """An EXIF ASCII value (4.6.2): up to its NUL, without blanks around it; empty for any other type."""
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    return value.partition("\0")[0].strip() if isinstance(value, str) else ""


def _produce_time(exif: Mapping[int, Any], main: Mapping[int, Any]) -> tuple[str | None, str | None]:
    """When the picture was taken, as ISO 8601 text, and whether that text is `offset` or `local`."""
    for time_tag, fraction_tag, offset_tag in _TIME_TAGS:
        match = _TIME.fullmatch(_ascii(_tag(time_tag, exif, main)))
        moment = match and _moment(*map(int, match.groups()[:6]))
        if match and moment:
            fraction = match[7] or _ascii(_tag(fraction_tag, exif, main))
            offset = _offset(match[8] or _ascii(_tag(offset_tag, exif, main)))
            fraction = f".{fraction[:9]}" if re.fullmatch("[0-9]+", fraction) else ""
            return moment.isoformat() + fraction + offset, "offset" if offset else "local"
    return None, None


def _moment(year: int, month: int, day: int, hour: int, minute: int, second: int) -> datetime | None:
    try:
        moment = datetime(year, month, day, hour, minute, second)
    except ValueError:
        return None
    return moment if year >= _FIRST_YEAR else None


def _offset(text: str) -> str:
    """`-0600` and `-06:00` as `-06:00`, `Z` as `+00:00`; empty for anything else, or beyond -12 to +14 h."""
    match = _OFFSET.fullmatch("+00:00" if text == "Z" else text)
    if match is None or int(match[3]) > 59:
        return ""
    minutes = int(match[1] + "1") * (int(match[2]) * 60 + int(match[3]))
    return f"{match[1]}{match[2]}:{match[3]}" if minutes in _OFFSET_MINUTES else ""


def _degrees(gps: Mapping[int, Any], tag: int, ref_tag: int, hemispheres: str) -> float | None:
    """Signed degrees from up to three rationals (degrees, minutes, seconds; 4.6.6) and a hemisphere letter.

    None without a hemisphere, with a zero denominator, a negative part, or over 60 minutes or seconds.
    """
    letter, value = _ascii(_tag(ref_tag, gps)).upper(), _tag(tag, gps)
    parts = value if isinstance(value, tuple) else (value,)
    if letter not in tuple(hemispheres) or not 1 <= len(parts) <= 3:
        return None
    if not all(isinstance(part, numbers.Real) for part in parts):
        return None
    try:
        degrees, minutes, seconds = [*map(float, parts), 0.0, 0.0][:3]
    except ArithmeticError:  # a zero denominator, or one too large for a float
        return None
    angle = degrees + minutes / 60 + seconds / 3600
    if not math.isfinite(angle) or min(degrees, minutes, seconds) < 0 or max(minutes, seconds) > 60:
        return None
    return -angle if letter in "SW" else angle


def _utf16_text(value: Any) -> str | None:
    """Windows' XP tags hold UTF-16LE bytes."""
    if isinstance(value, tuple) and all(isinstance(byte, int) and 0 <= byte < 256 for byte in value):
        value = bytes(value)
    if not isinstance(value, bytes):
        return None
    try:
        return value.decode("utf-16-le")
    except UnicodeDecodeError:
        return None
