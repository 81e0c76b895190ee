"""What is said of a picture, by whom, and whom to believe.

Each kind of evidence has a module of its own (`exif`, `xmp`, `takeout`, `names`, `videos`) and tells what it says as a
`Said`. `settle` merges them by the order of trust, which `TIME_SOURCES` and `PLACE_SOURCES` are: the table in
docs/operations.md is printed from them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

Prefer = Literal["embedded", "takeout"]

TIME_SOURCES: Mapping[str, str] = {
    "xmp_sidecar": "an XMP sidecar: an editor wrote it after the camera wrote the file",
    "exif_original": "EXIF DateTimeOriginal",
    "exif_digitized": "EXIF DateTimeDigitized, where the original time is missing or zero",
    "xmp": "XMP in the file: exif:DateTimeOriginal, photoshop:DateCreated, xmp:CreateDate, in this order",
    "quicktime": "a video's header: Apple's creation date with its offset, else the movie header's UTC",
    "takeout": "Google Takeout's photoTakenTime, an instant",
    "gps": "the time of the GPS fix, an instant",
    "exif_modified": "EXIF DateTime: when the file was last changed",
    "companion": "the other file of the same shot, for a time or for the offset that is lacking",
    "name": "date and time in the file's name",
    "name_day": "the day alone in the file's name; noon stands for it",
}
"""Where a time can come from, the most trusted first. `source` stands beside them: a table or text source said it."""

PLACE_SOURCES: Mapping[str, str] = {
    "xmp_sidecar": "an XMP sidecar",
    "gps": "EXIF's GPS tags",
    "xmp": "XMP in the file",
    "quicktime": "a video's header: Apple's location, else the user data that Android writes",
    "takeout": "Google Takeout: geoData, which a person may have set, then geoDataExif",
    "companion": "the other file of the same shot",
}
"""Where a place can come from, the most trusted first."""

FIRST_YEAR = 1826
"""Of the oldest photograph there is; `0001:01:01` and the like are unset clocks."""

OFFSET_MINUTES = range(-12 * 60, 14 * 60 + 1)
"""Offsets from UTC that clocks on Earth are set to."""


@dataclass(frozen=True, slots=True)
class Taken:
    """When a picture was taken: ISO 8601 text, how to read it, and who says so.

    `time_is`: offset (the text ends in one), local (wall clock) or instant (it ends in Z). `source`: one of
    `TIME_SOURCES`.
    """

    text: str
    time_is: str
    source: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where it was taken: degrees, WGS 84, on the globe and not (0, 0); `source` is one of `PLACE_SOURCES`."""

    latitude: float
    longitude: float
    source: str


@dataclass(frozen=True, slots=True)
class Said:
    """What one piece of evidence says; what it does not say is None or empty.

    `labels` are words that people or programs attached: `person:NAME` for who is in the picture, `favorite` for one
    marked as such.
    """

    times: tuple[Taken, ...] = ()
    place: Place | None = None
    title: str | None = None
    description: str | None = None
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Settled:
    """What is believed of a picture."""

    taken: Taken | None
    place: Place | None
    title: str | None
    description: str | None
    labels: tuple[str, ...]


def settle(said: Sequence[Said], *, prefer: Prefer = "embedded") -> Settled:
    """The most trusted time and place; the first title and description, in the order of `said`; all labels, once each.

    `prefer` takeout believes Takeout before all else. A wall clock's reading without an offset takes that of another
    source with the same reading: editors copy the time, and leave the offset.
    """
    first = -1 if prefer == "takeout" else None
    times = [taken for one in said for taken in one.times]
    places = [one.place for one in said if one.place]
    return Settled(
        taken=_with_offset(min(times, key=lambda taken: _rank(_TIME_RANKS, taken.source, first), default=None), times),
        place=min(places, key=lambda place: _rank(_PLACE_RANKS, place.source, first), default=None),
        title=next((one.title for one in said if one.title), None),
        description=next((one.description for one in said if one.description), None),
        labels=tuple(dict.fromkeys(label for one in said for label in one.labels)),
    )


_TO_SECONDS = len("2024-01-01T00:00:00")
_TIME_RANKS = {name: rank for rank, name in enumerate(TIME_SOURCES, 1)}
_PLACE_RANKS = {name: rank for rank, name in enumerate(PLACE_SOURCES, 1)}


def _rank(ranks: Mapping[str, int], source: str, takeout: int | None) -> int:
    return takeout if takeout is not None and source == "takeout" else ranks[source]


def _with_offset(taken: Taken | None, times: Sequence[Taken]) -> Taken | None:
    if taken is None or taken.time_is != "local" or len(times) == 1:
        return taken
    same = (one for one in times if one.time_is == "offset" and one.text[:_TO_SECONDS] == taken.text[:_TO_SECONDS])
    found = next(same, None)
    return Taken(taken.text + found.text[-len("+00:00") :], "offset", taken.source) if found else taken


def place_of(latitude: float | None, longitude: float | None, source: str) -> Place | None:
    """The place, if both degrees are there, finite and on the globe. (0, 0) is what an unset receiver writes."""
    if latitude is None or longitude is None or not (math.isfinite(latitude) and math.isfinite(longitude)):
        return None
    if (latitude, longitude) == (0, 0) or not (-90 <= latitude <= 90 and -180 <= longitude <= 180):
        return None
    return Place(latitude, longitude, source)


def moment(year: int, month: int, day: int, hour: int, minute: int, second: int) -> datetime | None:
    """The wall clock's reading; None if there is no such day or time, or no photograph is that old."""
    try:
        return datetime(year, month, day, hour, minute, second) if year >= FIRST_YEAR else None
    except ValueError:
        return None


def offset_text(minutes: int) -> str:
    """An offset as ISO 8601 writes it.

    >>> offset_text(345), offset_text(-30), offset_text(0)
    ('+05:45', '-00:30', '+00:00')
    """
    hours, rest = divmod(abs(minutes), 60)
    return f"{'-' if minutes < 0 else '+'}{hours:02d}:{rest:02d}"


def offset_between(wall: datetime, utc: datetime, *, slack: timedelta) -> int | None:
    """The minutes by which a wall clock is east of an instant; None unless they are whole quarters of an hour.

    The clocks may differ by `slack` besides.
    """
    difference = wall - utc
    quarters = round(difference / timedelta(minutes=15))
    if abs(difference - quarters * timedelta(minutes=15)) > slack or quarters * 15 not in OFFSET_MINUTES:
        return None
    return quarters * 15


def plain_texts(texts: Iterable[object]) -> tuple[str, ...]:
    """The texts among some values that say something: trimmed, printable, at most 255 characters, once each."""
    trimmed = (" ".join(text.split()) for text in texts if isinstance(text, str))
    good = (text for text in trimmed if text and len(text) <= 255 and text.isprintable() and "\ufffd" not in text)
    return tuple(dict.fromkeys(good))


def trust_table() -> str:
    """The order of trust as a table in Markdown, for docs/operations.md."""

    def cell(sources: Mapping[str, str], ranks: Mapping[str, int], name: str) -> str:
        return f"{ranks[name]}. {sources[name]}" if name in ranks else ""

    lines = ["| source | of a time | of a place |", "|---|---|---|"]
    for name in dict.fromkeys((*TIME_SOURCES, *PLACE_SOURCES)):
        time, place = cell(TIME_SOURCES, _TIME_RANKS, name), cell(PLACE_SOURCES, _PLACE_RANKS, name)
        lines.append(f"| `{name}` | {time} | {place} |")
    return "\n".join(lines) + "\n"
