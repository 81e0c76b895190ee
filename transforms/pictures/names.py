"""Dates in the names of files: what cameras, phones, messengers and screenshots write there.

The date comes first: year, month, day, together or apart. A time of day may follow, in six digits or in pairs, with a
word between (`at`, `um`, `à`). AM and PM behind a time are understood, and what stands for them before it in Chinese,
Japanese and Korean. What names no day, or no time of day that there is, is not taken. Some programs have forms of their
own: Telegram's desktop writes the day first, behind an `@`; WeChat, LINE and Facebook count milliseconds since 1970.
"""

import re
import unicodedata
from datetime import UTC, datetime, timedelta

from transforms.pictures.evidence import Said, Taken, moment

_LAST_YEAR = 2099
_DATE = r"(?<!\d)(?P<year>\d{4})(?P<gap>[-_. ]?)(?P<month>\d\d)(?P=gap)(?P<day>\d\d)"
_TOGETHER = r"[-_ .T]?(?P<hms>\d{6})(?P<millis>\d{3})?(?!\d)"
_HALVES = {"上午": "a", "下午": "p", "午前": "a", "午後": "p", "오전": "a", "오후": "p"}
"""AM and PM where they stand before the time."""
_APART = (
    rf"(?:\D{{0,14}}?(?P<before>{'|'.join(_HALVES)}) ?|\D{{1,16}}?)"
    r"(?P<hour>\d\d?)(?P<mark>[-_.:\u2236 h])(?P<minute>\d\d)(?:(?P=mark)|[m_.])(?P<second>\d\d)(?!\d)"
    r"(?:[-_. \u202f\u00a0]?(?P<fraction>\d{3})(?!\d))?(?:[ \u202f\u00a0]?(?P<half>[AaPp])\.?[Mm]\b)?"
)
_NAME = re.compile(f"{_DATE}(?:{_TOGETHER}|{_APART}|(?!\\d))", re.ASCII)
_DAY_FIRST = re.compile(
    r"@(?P<day>\d\d)-(?P<month>\d\d)-(?P<year>\d{4})_(?P<hour>\d\d)-(?P<minute>\d\d)-(?P<second>\d\d)", re.ASCII
)
_MILLISECONDS = re.compile(r"(?:mmexport|wx_camera_|FB_IMG_|line_)(\d{13})(?!\d)", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UTC = re.compile(r"PXL_|\d{8}_\d{9}_iOS\b")
"""Names whose clock is UTC's: those of Pixel phones, and of OneDrive's uploads from iOS."""
_UTC_BEHIND = re.compile(r"(?:Z|[-_ ]?UTC)(?![A-Za-z0-9])")
"""What tells behind a time that its clock is UTC's."""
_NUMBERED = re.compile(r"(?:IMG|VID|AUD|PTT)-\d{8}-WA\d+")  # WhatsApp: the day, and a number


def read_name(name: str) -> Said:
    """What a file's name says of the time it was taken.

    Names of Pixel phones and of OneDrive on iOS are UTC, and so are those that say it; counted milliseconds are an
    instant; all others are the camera's wall clock. A day alone is told as `name_day`, at noon.

    >>> [taken.text for name in ("PXL_20250615_143621025.jpg", "Screenshot 2024-01-02 at 3.04.05 PM.png", "IMG_1.jpg")
    ...  for taken in read_name(name).times]
    ['2025-06-15T14:36:21.025Z', '2024-01-02T15:04:05']
    """
    stem = unicodedata.normalize("NFC", name.rpartition(".")[0] or name)
    if counted := _MILLISECONDS.match(stem):
        instant = _EPOCH + timedelta(milliseconds=int(counted[1]))
        text = instant.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
        return Said(times=(Taken(text, "instant", "name"),)) if _usable(instant) else Said()
    if told := _DAY_FIRST.search(stem):
        parts = (told[name] for name in ("year", "month", "day", "hour", "minute", "second"))
        taken = _usable(moment(*map(int, parts)))
        return Said(times=(Taken(taken.isoformat(), "local", "name"),)) if taken else Said()
    is_numbered = _NUMBERED.match(stem) is not None
    for match in _NAME.finditer(stem):
        day = (int(match["year"]), int(match["month"]), int(match["day"]))
        if is_numbered or not (match["hms"] or match["hour"]):
            taken = _usable(moment(*day, 12, 0, 0))
            if taken:
                return Said(times=(Taken(taken.isoformat(), "local", "name_day"),))
            continue
        taken = _usable(moment(*day, *_clock(match)))
        if taken:
            fraction = match["millis"] or match["fraction"]
            text = taken.isoformat() + (f".{fraction}" if fraction else "")
            if _UTC.match(stem) or _UTC_BEHIND.match(stem, match.end()):
                return Said(times=(Taken(text + "Z", "instant", "name"),))
            return Said(times=(Taken(text, "local", "name"),))
    return Said()


def _clock(match: re.Match[str]) -> tuple[int, int, int]:
    if match["hms"]:
        return int(match["hms"][:2]), int(match["hms"][2:4]), int(match["hms"][4:])
    hour, half = int(match["hour"]), _HALVES.get(match["before"]) or (match["half"] or "").lower()
    if half:  # of twelve hours, the twelfth is the first
        hour = hour % 12 + (12 if half == "p" else 0) if 1 <= hour <= 12 else 99
    return hour, int(match["minute"]), int(match["second"])


def _usable(taken: datetime | None) -> datetime | None:
    return taken if taken and taken.year <= _LAST_YEAR else None
