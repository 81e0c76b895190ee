"""What MP4 and QuickTime files say about themselves, through MediaInfo (only headers are read, never frames).

Sources: ISO/IEC 14496-12 (ISO base media file format), Apple's *QuickTime File Format* (movie header, user
data and metadata keys), and ISO 6709 for locations.
"""

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, BinaryIO

from pymediainfo import MediaInfo

from transforms.pictures.evidence import FIRST_YEAR, OFFSET_MINUTES, Said, Taken, place_of
from transforms.pictures.heif import is_heif

# The first box of an MP4 or QuickTime file; QuickTime files made before `ftyp` existed begin with one of the
# rest.
_FIRST_BOXES = frozenset({b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"})
# Clocks that were never set: the zero of QuickTime and the zero of Unix.
_UNSET_CLOCKS = frozenset({datetime(1904, 1, 1, tzinfo=UTC), datetime(1970, 1, 1, tzinfo=UTC)})
_LOCAL_CLOCKS = frozenset({"gopro"})
"""Makers whose cameras have no time zone, and write the wall clock's reading as if it were UTC."""
_MAKES = ("comapplequicktimemake", "comandroidmanufacturer", "make", "mak")
_MODELS = ("comapplequicktimemodel", "comandroidmodel", "model", "mod")
_ISO6709 = re.compile(r"([+-])(\d{2,6}(?:\.\d*)?)([+-])(\d{3,7}(?:\.\d*)?)(?:[+-][\d.]+)?(?:CRS[^/]*)?/?", re.ASCII)


@dataclass(frozen=True, slots=True)
class VideoTags:
    """What one video says of itself.

    `image_width` and `image_height` are pixels as displayed, `duration` is seconds. Camera names are as stored.
    `content_identifier` is what Apple's cameras write into both files of a Live Photo.
    """

    content_type: str
    said: tuple[Said, ...]
    image_width: int | None
    image_height: int | None
    camera_make: str | None
    camera_model: str | None
    duration: float | None
    content_identifier: str | None


def is_video(head: bytes) -> bool:
    """Whether a file that begins with these 12 bytes is MP4 or QuickTime, and no still picture.

    >>> is_video(b"\\0\\0\\0\\x18ftypmp42"), is_video(b"\\0\\0\\0\\x18ftypheic")
    (True, False)
    """
    return head[4:8] in _FIRST_BOXES and not is_heif(head) and head[4:12] != b"ftypcrx "


def read_video(file: BinaryIO, head: bytes) -> VideoTags | None:
    """Read the tags of a video; None where no video track is found (audio only, cut short, something else).

    Memory: what MediaInfo keeps of the movie header, a few megabytes for hours of video; media data is
    skipped.
    """
    info = MediaInfo.parse(file, parse_speed=0, encoding_errors="replace")
    if not (info.general_tracks and info.video_tracks):
        return None
    general, video = info.general_tracks[0].to_data(), info.video_tracks[0].to_data()
    width, height = _displayed_size(video)
    make, model = _camera(general, video)
    taken = _taken(general, has_local_clock=make is not None and make.casefold() in _LOCAL_CLOCKS)
    latitude, longitude = _location(general) or (None, None)
    place = place_of(latitude, longitude, "quicktime")
    return VideoTags(
        content_type=_content_type(head),
        said=(Said(times=(taken,) if taken else (), place=place),),
        image_width=width,
        image_height=height,
        camera_make=make,
        camera_model=model,
        duration=_seconds(general.get("duration")),
        content_identifier=general.get("comapplequicktimecontentidentifier"),
    )


def parse_iso6709(text: str) -> tuple[float, float] | None:
    """(latitude, longitude) in degrees from an ISO 6709 string; None if it isn't one.

    All three forms are read: degrees, degrees and minutes (DDMM), degrees, minutes and seconds (DDMMSS).

    >>> parse_iso6709("+48.8577+002.295+035/")
    (48.8577, 2.295)
    >>> parse_iso6709("-3352.5+15112.6/")
    (-33.875, 151.21)
    """
    match = _ISO6709.fullmatch(text.strip())
    if match is None:
        return None
    latitude, longitude = _sexagesimal(match[2], 2), _sexagesimal(match[4], 3)
    if latitude is None or longitude is None:
        return None
    return (-latitude if match[1] == "-" else latitude), (-longitude if match[3] == "-" else longitude)


def _sexagesimal(digits: str, degree_digits: int) -> float | None:
    """Degrees from `DD.d`, `DDMM.m` or `DDMMSS.s`, where degrees take `degree_digits` digits."""
    whole, _, fraction = digits.partition(".")
    parts = [whole[:degree_digits], *re.findall("..?", whole[degree_digits:])]
    if any(len(part) != 2 for part in parts[1:]):
        return None
    parts[-1] += "." + fraction
    degrees, minutes, seconds = ([float(part) for part in parts] + [0.0, 0.0])[:3]
    return degrees + minutes / 60 + seconds / 3600 if minutes < 60 and seconds < 60 else None


def _content_type(head: bytes) -> str:
    brand = head[8:12] if head[4:8] == b"ftyp" else b"qt  "
    if brand[:3] in (b"3gp", b"3g2"):
        return "video/3gpp"
    return {b"qt  ": "video/quicktime", b"M4V ": "video/x-m4v"}.get(brand, "video/mp4")


def _displayed_size(video: dict[str, Any]) -> tuple[int | None, int | None]:
    width, height = video.get("width"), video.get("height")
    if not (isinstance(width, int) and isinstance(height, int)):
        return None, None
    quarter_turns = round(float(video.get("rotation") or 0) / 90)
    return (height, width) if quarter_turns % 2 else (width, height)


def _seconds(milliseconds: Any) -> float | None:
    """MediaInfo's duration in seconds; None for zero, which a recorder that was cut off leaves."""
    if not isinstance(milliseconds, (int, float)) or not math.isfinite(milliseconds) or milliseconds <= 0:
        return None
    return milliseconds / 1000


def _camera(general: dict[str, Any], video: dict[str, Any]) -> tuple[str | None, str | None]:
    """Maker and model: Apple's keys, Android's, or the user data that cameras write; GoPro's by its track's name."""
    make = next((general[key] for key in _MAKES if isinstance(general.get(key), str)), None)
    model = next((general[key] for key in _MODELS if isinstance(general.get(key), str)), None)
    if make is None and str(video.get("title") or "").strip().startswith("GoPro"):
        make = "GoPro"
    return make, model


def _taken(general: dict[str, Any], *, has_local_clock: bool) -> Taken | None:
    """When the video was shot, and how to read that: Apple's creation date, else the user data's, else the header's.

    The first two carry the offset of the place. The movie header's counts UTC seconds; cameras without a time zone put
    their wall clock there.
    """
    written = (
        general.get("comapplequicktimecreationdate"),
        str(general.get("recorded_date") or "").partition(" / ")[0],
    )
    shot = next((time for text in written if (time := _parse_time(text)) is not None), None)
    if shot is not None and shot.year >= FIRST_YEAR:
        offset = shot.utcoffset()
        if offset is None:
            return Taken(shot.isoformat(), "local", "quicktime")
        if offset.total_seconds() / 60 in OFFSET_MINUTES:
            return Taken(shot.isoformat(), "offset", "quicktime")
    created = _parse_time(str(general.get("encoded_date") or "").replace("UTC", "").strip())
    if created is None or created.replace(tzinfo=UTC) in _UNSET_CLOCKS:
        return None
    text = created.replace(tzinfo=None).isoformat()
    return Taken(text, "local", "quicktime") if has_local_clock else Taken(text + "Z", "instant", "quicktime")


def _parse_time(text: Any) -> datetime | None:
    """A date and time in any ISO 8601 form; None for anything else, a date alone included."""
    if not isinstance(text, str) or ":" not in text:
        return None
    try:
        return datetime.fromisoformat(text.strip())
    except ValueError:
        return None


def _location(general: dict[str, Any]) -> tuple[float, float] | None:
    """Apple's metadata key first, then the `©xyz` user data that Android and older iPhones write."""
    for key in ("comapplequicktimelocationiso6709", "xyz"):
        if isinstance(text := general.get(key), str) and (location := parse_iso6709(text)):
            return location
    return None
