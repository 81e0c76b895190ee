"""What the JSON file says that Google Takeout puts beside each picture.

Takeout's JSON has no specification; the fields are those that its archives have had since 2019. `title` is the file's
name, not a title.
"""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from transforms.pictures.evidence import FIRST_YEAR, Place, Said, Taken, place_of, plain_texts

MAX_TAKEOUT_BYTES = 2**20
"""Larger ones are not read; a sidecar has one or two kilobytes."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LONGEST_DESCRIPTION = 4000


class NotTakeoutError(ValueError):
    """Bytes that are no JSON object as Takeout writes it."""


def read_takeout(content: bytes) -> Said:
    """What a sidecar says: photoTakenTime, an instant; geoData, then geoDataExif; people, favourites, description.

    Raises NotTakeoutError for anything that is no JSON object with at least one of these.
    """
    try:
        facts = json.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise NotTakeoutError(f"no JSON: {str(error)[:200]}") from error
    if not isinstance(facts, dict) or not facts.keys() & {"photoTakenTime", "geoData", "geoDataExif", "people"}:
        raise NotTakeoutError("JSON, but none that Google Takeout writes beside a picture")
    taken = _taken(facts.get("photoTakenTime"))
    people = [person.get("name") for person in _items(facts.get("people")) if isinstance(person, dict)]
    return Said(
        times=(taken,) if taken else (),
        place=_place(facts.get("geoData")) or _place(facts.get("geoDataExif")),
        description=_description(facts.get("description")),
        labels=(
            *(f"person:{name}" for name in plain_texts(people)),
            *(["favorite"] if facts.get("favorited") is True else []),
        ),
    )


def _taken(value: Any) -> Taken | None:
    """The instant; none for zero, which stands for an unknown one, and before there were photographs."""
    stamp = value.get("timestamp") if isinstance(value, dict) else None
    if not isinstance(stamp, int | str) or isinstance(stamp, bool):
        return None
    try:
        seconds = int(stamp)
        instant = _EPOCH + timedelta(seconds=seconds)
    except (ValueError, OverflowError):
        return None
    if seconds == 0 or instant.year < FIRST_YEAR:
        return None
    return Taken(instant.replace(tzinfo=None).isoformat() + "Z", "instant", "takeout")


def _place(value: Any) -> Place | None:
    if not isinstance(value, dict):
        return None
    latitude, longitude = value.get("latitude"), value.get("longitude")
    if not (isinstance(latitude, int | float) and isinstance(longitude, int | float)):
        return None
    if isinstance(latitude, bool) or isinstance(longitude, bool):
        return None
    try:
        return place_of(float(latitude), float(longitude), "takeout")
    except OverflowError:
        return None


def _description(value: Any) -> str | None:
    if not isinstance(value, str) or "\0" in value:
        return None
    text = value.strip()[:_LONGEST_DESCRIPTION]
    return text.encode("utf-8", "ignore").decode() or None


def _items(value: Any) -> list[Any]:
    return value[:1000] if isinstance(value, list) else []
