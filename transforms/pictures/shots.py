"""Files of one shot: a Live Photo's picture and video, a raw file and its JPEG, a motion photo and its video.

Files of one shot lie in one folder and have one name but for its suffix (`shot_key`); that is how they are found. They
are one shot if nothing says otherwise: neither Apple's content identifiers, nor the cameras, nor the times. The picture
stands for the shot: its uri is the `shot_id` of all its files. A file whose `shot_id` is another's uri is a companion.

Sources: Apple's developer documentation of Live Photos (a movie of about three seconds); Android's Motion Photo
format 1.0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from transforms.pictures.evidence import TIME_SOURCES, offset_between, offset_text
from transforms.pictures.formats import RAW_CONTENT, motion_stem

LONGEST_COMPANION = 10.0
"""Seconds; a longer video of a picture's name is a video by itself."""

SLACK = timedelta(seconds=5)
"""By so much the times of one shot may differ: some phones write when a video ended."""

_VAGUE = frozenset({"name_day", "exif_modified"})
"""Sources of times that do not tell two shots apart."""

_LESS_TRUSTED = frozenset(list(TIME_SOURCES)[list(TIME_SOURCES).index("companion") :])

Row = dict[str, Any]


def shot_key(name: str) -> str:
    """What the names of files of one shot in a folder have in common.

    >>> shot_key("IMG_1.HEIC") == shot_key("img_1.mov"), shot_key("PXL_1.MP.jpg") == shot_key("PXL_1.MP")
    (True, True)
    """
    return motion_stem((name.rpartition(".")[0] or name).casefold())


def join_shots(rows: Sequence[Row]) -> list[Row]:
    """Rows of one folder and `shot_key`, with `shot_id` set, and time and place filled where their shot has them.

    Each row has the columns of `transforms.pictures.files.PICTURE_SCHEMA` and `content_identifier`. A file without a
    place takes its partner's (`location_source` companion); one without a time, or whose time has no offset, takes
    those (`time_source` companion). Rows with an error, and files that are alone, stay as they are.
    """
    readable = sorted((row for row in rows if row["error_code"] is None), key=_priority)
    if len(readable) < 2 or readable[0]["media_type"] != "image":
        return list(rows)
    main = readable[0]
    companions = [row for row in readable[1:] if _kind(row) != _kind(main) and is_one_shot(main, row)]
    if any(_kind(row) == 1 for row in companions):  # raw with JPEG and HEIC
        companions += [row for row in readable[1:] if _kind(row) == _kind(main) and is_one_shot(main, row)]
    if not companions:
        return list(rows)
    members = [main, *companions]
    joined = {id(row): _filled(row, members) | {"shot_id": main["uri"]} for row in members}
    return [joined.get(id(row), row) for row in rows]


def is_one_shot(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two files of one name are of one shot, as far as they tell."""
    if any(row["media_type"] == "video" and (row["duration"] or 0) > LONGEST_COMPANION for row in (one, other)):
        return False
    if one["content_identifier"] and other["content_identifier"]:
        return bool(one["content_identifier"] == other["content_identifier"])
    cameras = [str(row["camera_model"]).casefold() for row in (one, other) if row["camera_model"]]
    return len(set(cameras)) < 2 and _is_one_time(one, other)


def _is_one_time(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    if any(row["produce_time"] is None or row["time_source"] in _VAGUE for row in (one, other)):
        return True
    first, second = _moment(one), _moment(other)
    if (first.tzinfo is None) == (second.tzinfo is None):
        return abs(first - second) <= SLACK
    wall, instant = (first, second) if first.tzinfo is None else (second, first)
    return offset_between(wall, instant.astimezone(UTC).replace(tzinfo=None), slack=SLACK) is not None


def _filled(row: Row, members: Sequence[Row]) -> Row:
    """The row with what its shot knows and it does not."""
    filled = dict(row)
    placed = next((member for member in members if member["latitude"] is not None), None)
    if row["latitude"] is None and placed is not None:
        names = ("latitude", "longitude")
        filled |= {name: placed[name] for name in names} | {"location_source": "companion"}
    timed = [member for member in members if member["produce_time"] is not None]
    zoned = next((member for member in timed if member["time_is"] == "offset"), None)
    if row["produce_time"] is None or row["time_source"] in _LESS_TRUSTED:
        source = zoned or next((member for member in timed if member["time_source"] not in _LESS_TRUSTED), None)
        if source is not None and source is not row:
            filled |= {"produce_time": source["produce_time"], "time_is": source["time_is"], "time_source": "companion"}
    elif row["time_is"] != "offset" and zoned is not None:
        filled |= {
            "produce_time": _with_offset(row, _moment(zoned).utcoffset() or timedelta()),
            "time_is": "offset",
            "time_source": "companion",
        }
    return filled


def _with_offset(row: Mapping[str, Any], offset: timedelta) -> str:
    if row["time_is"] == "local":
        return str(row["produce_time"]) + offset_text(offset // timedelta(minutes=1))
    return _moment(row).astimezone(timezone(offset)).isoformat()


def _moment(row: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(row["produce_time"])


def _kind(row: Mapping[str, Any]) -> int:
    """0 for a picture, 1 for a raw one, 2 for a video: the order in which they stand for a shot."""
    if row["media_type"] == "video":
        return 2
    return 1 if row["content_type"] in RAW_CONTENT else 0


def _priority(row: Mapping[str, Any]) -> tuple[int, str]:
    return _kind(row), row["uri"]
