"""The demo's library: a year of four travellers' pictures, made up, at real places of the gazetteer.

Each traveller's camera writes times its own way: with an offset (ada, nils), as an instant in UTC (mei), or as a
wall clock without a zone (tom). All of them come out as the same local days. The same rows come out every time.
"""

from __future__ import annotations

import functools
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

import pyarrow.compute as pc
from tzfpy import get_tz

from schemas.errors import NotFound
from transforms.places.gazetteer import Town, find_town, towns

Row = dict[str, Any]
Clock = Literal["offset", "instant", "local"]

FIRST_DAY, LAST_DAY = date(2025, 1, 3), date(2026, 1, 12)
JITTER = 0.001
"""Pictures are up to this many degrees (100 m) from the centre of their town, so that it stays the nearest."""

MIDNIGHT_SPAN = 9
"""A late or early picture is taken so many minutes before or after midnight."""


@dataclass(frozen=True)
class Stay:
    """Some days in a town. `owl`: there are pictures just after midnight of the first day and before that of the last.

    `province` tells towns of one name apart; with `supplied`, files carry an address and no coordinates.
    """

    town: str
    country_code: str
    first: date
    days: int = 1
    a_day: int = 11
    owl: bool = False
    province: str | None = None
    supplied: bool = False

    def dates(self) -> list[date]:
        """The local days of the stay."""
        return [self.first + timedelta(days=number) for number in range(self.days)]


@dataclass(frozen=True)
class Traveller:
    """A person: where home is, what the camera is and how it writes times, and the year's stays elsewhere."""

    name: str
    home: tuple[str, str]
    camera: tuple[str, str]
    clock: Clock
    stays: tuple[Stay, ...]


TRAVELLERS = (
    Traveller(
        name="ada",
        home=("London", "GB"),
        camera=("Apple", "iPhone 15"),
        clock="offset",
        stays=(
            Stay("York", "GB", date(2025, 2, 15), 2),
            # Lisbon, Porto, Lisbon again: one stay in Lisbon, and one in Porto that lies within it.
            Stay("Lisbon", "PT", date(2025, 5, 10), 3, 16),
            Stay("Porto", "PT", date(2025, 5, 13), 1, 14),
            Stay("Lisbon", "PT", date(2025, 5, 14), 2),
            Stay("Sintra", "PT", date(2025, 5, 15)),
            Stay("Brighton", "GB", date(2025, 7, 5), 2, 9),
            Stay("Oxford", "GB", date(2025, 9, 20), 1, 8),
            Stay("Edinburgh", "GB", date(2025, 12, 30), 4, 18, owl=True),  # a New Year, across two years
        ),
    ),
    Traveller(
        name="mei",
        home=("Hangzhou", "CN"),
        camera=("HUAWEI", "P60"),
        clock="instant",
        stays=(
            # Hangzhou 3-5 March, Jiaxing 6-8 March: the province of both, Zhejiang, 3-8 March.
            Stay("Hangzhou", "CN", date(2025, 3, 3), 3, 5),
            Stay("Jiaxing", "CN", date(2025, 3, 6), 3, 9),
            Stay("Wuzhen", "CN", date(2025, 3, 7), 1, 6, supplied=True),
            # Two cities of one name: Suzhou in Jiangsu, and Suzhou in Anhui.
            Stay("Suzhou", "CN", date(2025, 4, 4), 2, province="Jiangsu"),
            Stay("Suzhou", "CN", date(2025, 4, 6), 2, 8, province="Anhui"),
            Stay("Singapore", "SG", date(2025, 6, 18), 4, 15, owl=True),  # a city without provinces
            Stay("Paris", "FR", date(2025, 10, 1), 4, 18, owl=True),  # six time zones from home
            Stay("Genève", "CH", date(2025, 10, 5), 2),
        ),
    ),
    Traveller(
        name="nils",
        home=("Berlin", "DE"),
        camera=("FUJIFILM", "X100V"),
        clock="offset",
        stays=(
            Stay("Potsdam", "DE", date(2025, 5, 17), 2, 7),
            Stay("Dresden", "DE", date(2025, 8, 1), 1, 9),
            Stay("Brno", "CZ", date(2025, 8, 2), 3, 14),
            Stay("Vienna", "AT", date(2025, 8, 5), 3, 13),
            Stay("Salzburg", "AT", date(2025, 8, 8), 1, 17),
            Stay("Munich", "DE", date(2025, 8, 9), 2, 8),
            Stay("Rostock", "DE", date(2025, 9, 27), 2, 8),
            Stay("Sydney", "AU", date(2025, 12, 28), 5, 14, owl=True),  # ten hours ahead of home
            Stay("Hobart", "AU", date(2026, 1, 2), 3),
        ),
    ),
    Traveller(
        name="tom",
        home=("New York City", "US"),
        camera=("Canon", "EOS R6"),
        clock="local",
        stays=(
            Stay("Philadelphia", "US", date(2025, 3, 8), 2, 12, owl=True),  # summer time begins on 9 March
            Stay("Tokyo", "JP", date(2025, 3, 23), 4, 17, owl=True),  # 22 March was lost at the date line
            Stay("Kyoto", "JP", date(2025, 3, 27), 2, 15),
            Stay("Nara-shi", "JP", date(2025, 3, 29), 1, 12),
            Stay("Kyoto", "JP", date(2025, 3, 30), 1, 7),
            Stay("Tokyo", "JP", date(2025, 4, 1), 1, 6),
            Stay("Honolulu", "US", date(2025, 4, 1), 3, 13),  # and 1 April was lived twice on the way back
            Stay("Washington", "US", date(2025, 11, 27), 3, 10),
        ),
    ),
)

BROKEN: dict[str, tuple[str, ...]] = {
    "ada": (
        '{"dataset_name": "ada", "uri": "s3://family/ada/torn.jpg", "produce_time": "2025-05-1',
        '{"dataset_name": "ada", "uri": "s3://family/ada/north.jpg", "latitude": 123.4, "longitude": -9.1}',
        '{"dataset_name": "ada", "uri": "s3://family/ada/half.jpg", "latitude": 38.7}',
    ),
    "mei": (
        '{"dataset_name": "mei", "produce_time": "2025-06-18T04:00:00Z"}',
        '{"dataset_name": "mei", "uri": "s3://family/mei/feb.jpg", "produce_time": "2025-02-30T10:00:00Z"}',
    ),
    "nils": (
        '{"dataset_name": "nils", "uri": "s3://family/nils/notes.txt"}',
        '{"dataset_name": "nils", "uri": "s3://family/nils/wide.jpg", "image_width": "4,000 px"}',
    ),
    "tom": (
        '{"dataset_name": "tom", "uri": "s3://family/tom/east.jpg", "latitude": "north", "longitude": 139.7}',
        '{"dataset_name": "t o m", "uri": "s3://family/tom/name.jpg"}',
    ),
}
"""Lines to be refused, each for its own reason, by traveller; the last good row of each is given twice, too."""


def library_lines(traveller: Traveller) -> list[str]:
    """A traveller's files as JSON lines in the lake's own names: the good rows by time, then those to be refused."""
    rows = [json.dumps(row, ensure_ascii=False) for row in library_rows(traveller)]
    return [*rows, *BROKEN[traveller.name], rows[-1]]


def library_rows(traveller: Traveller) -> list[Row]:
    """A traveller's good rows, one per file: those with a time and a place in the order taken, then a few without."""
    chance = random.Random(traveller.name)
    taken = sorted(
        ((town, moment, stay.supplied) for town, moment, stay in _shots(traveller, chance)), key=lambda shot: shot[1]
    )
    rows = [
        _file(traveller, number, chance) | _when(traveller.clock, moment) | _where(town, supplied, chance)
        for number, (town, moment, supplied) in enumerate(taken, start=1)
    ]
    received = [_file(traveller, len(rows) + number, chance) for number in range(1, 9)]
    for number, row in enumerate(received):  # pictures from a messenger, without a place; and scans, without a time
        moment = datetime.combine(FIRST_DAY + timedelta(days=40 * number), time(12, 30), UTC)
        rows.append(row | (_when(traveller.clock, moment) if number < 5 else {}))
    return rows


def town_of(stay: Stay) -> Town:
    """Where a stay is."""
    return _find(stay.town, stay.country_code, stay.province)


def _shots(traveller: Traveller, chance: random.Random) -> Iterator[tuple[Town, datetime, Stay]]:
    """Town and local time of each file that has both."""
    for stay in (*_home_days(traveller, chance), *traveller.stays):
        town = town_of(stay)
        zone = ZoneInfo(get_tz(town.longitude, town.latitude))
        for day in stay.dates():
            for _ in range(max(1, stay.a_day + chance.randint(-2, 2))):
                yield town, _at(day, chance.randrange(8 * 3600, 22 * 3600), zone), stay
        if stay.owl:
            span = MIDNIGHT_SPAN * 60
            yield town, _at(stay.dates()[0], chance.randrange(span), zone), stay
            yield town, _at(stay.dates()[-1], 24 * 3600 - 1 - chance.randrange(span), zone), stay


def _home_days(traveller: Traveller, chance: random.Random) -> Iterator[Stay]:
    """Single days at home, every three to eight days, but for the stays and the two days before and after each."""
    around = range(-2, 3)
    away = {day + timedelta(days=days) for stay in traveller.stays for day in stay.dates() for days in around}
    day = FIRST_DAY
    while day <= LAST_DAY:
        if day not in away:
            yield Stay(*traveller.home, day, a_day=chance.randint(1, 6))
        day += timedelta(days=chance.randint(3, 8))


def _at(day: date, second: int, zone: ZoneInfo) -> datetime:
    """A wall clock's reading on a day; one that summer time skips is moved on by the hour skipped."""
    wall = datetime.combine(day, time()) + timedelta(seconds=second)
    return wall.replace(tzinfo=zone).astimezone(UTC).astimezone(zone)


def _when(clock: Clock, moment: datetime) -> Row:
    """The time as a camera of that kind writes it."""
    if clock == "instant":
        return {"produce_time": moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}
    if clock == "local":
        return {"produce_time": moment.strftime("%Y:%m:%d %H:%M:%S")}
    return {"produce_time": moment.isoformat()}


def _where(town: Town, supplied: bool, chance: random.Random) -> Row:
    """The place: coordinates, or the town's address."""
    if supplied:
        return {
            "address": {
                "country": town.country,
                "province": town.province,
                "city": town.city,
                "township": town.township,
            }
        }
    return {
        "latitude": round(town.latitude + chance.uniform(-JITTER, JITTER), 6),
        "longitude": round(town.longitude + chance.uniform(-JITTER, JITTER), 6),
    }


def _file(traveller: Traveller, number: int, chance: random.Random) -> Row:
    """What a file says apart from time and place; one in fifteen is a video."""
    make, model = traveller.camera
    seconds = round(chance.uniform(3, 60), 1) if chance.random() < 1 / 15 else None
    suffix = "jpg" if seconds is None else "mp4"
    row: Row = {
        "dataset_name": traveller.name,
        "uri": f"s3://family/{traveller.name}/IMG_{number:04}.{suffix}",
        "size": chance.randrange(1_500_000, 6_000_000) * (1 if seconds is None else 12),
        "image_width": 4032 if seconds is None else 1920,
        "image_height": 3024 if seconds is None else 1080,
        "camera_make": make,
        "camera_model": model,
    }
    return row if seconds is None else row | {"duration": seconds}


@functools.cache
def _find(name: str, country_code: str, province: str | None) -> Town:
    if province is None:
        return find_town(name, country_code)
    wanted = (
        (pc.field("township") == name) & (pc.field("country_code") == country_code) & (pc.field("province") == province)
    )
    found = towns().filter(wanted).sort_by([("population", "descending")]).slice(0, 1).to_pylist()
    if not found:
        raise NotFound(f"the gazetteer has no town {name!r} in {province!r}, country {country_code!r}")
    return Town(**found[0])
