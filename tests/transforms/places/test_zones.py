"""Time zones over columns, beside Python's own zoneinfo."""

import re
from datetime import UTC, datetime, timedelta
from importlib import resources
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from schemas.errors import UsageError
from transforms.places.zones import Zone, find_zone, zone_offsets

EPOCH = datetime(1970, 1, 1)
FIRST, LAST = -62135510400, 253402214400 - 1
"""From 0001-01-02 to 9999-12-30."""
ZONES = [
    *("Europe/Zurich", "America/New_York", "America/Sao_Paulo", "Asia/Kathmandu", "Pacific/Apia", "Europe/Dublin"),
    *("Africa/Casablanca", "Australia/Lord_Howe", "Asia/Gaza", "Africa/Cairo", "America/Santiago", "Etc/GMT+5"),
    *("Antarctica/Troll", "Pacific/Chatham", "Africa/Monrovia", "Asia/Tehran", "America/Miquelon", "UTC"),
]


def zone(name: str) -> Zone:
    found = find_zone(name)
    assert found is not None
    return found


def python_zone(name: str) -> ZoneInfo:
    with (resources.files("tzdata") / "zoneinfo" / name).open("rb") as file:
        return ZoneInfo.from_file(file)


def seconds(text: str) -> int:
    return int((datetime.fromisoformat(text) - EPOCH).total_seconds())


@pytest.mark.long
@pytest.mark.parametrize("name", ZONES)
def test_offsets_are_those_of_zoneinfo_in_all_years(name):
    ours, theirs = zone(name), python_zone(name)
    random = np.random.default_rng(3)
    changes = ours.changes[(ours.changes > FIRST + 100_000) & (ours.changes < LAST - 100_000)]
    some = np.concatenate([changes[:300], random.choice(changes, min(100, len(changes)), replace=False)])
    near = np.concatenate([some - 1, some, some + 1, random.integers(FIRST, LAST, 300)])
    for instant, offset in zip(near.tolist(), ours.at_instants(near).tolist(), strict=True):
        taken = EPOCH.replace(tzinfo=UTC) + timedelta(seconds=instant)
        assert taken.astimezone(theirs).utcoffset() == timedelta(seconds=offset), taken
    walls = np.clip(np.concatenate([near + hours * 1800 for hours in range(-27, 28)]), FIRST, LAST)
    for wall, offset in zip(walls.tolist(), ours.at_walls(walls).tolist(), strict=True):
        shown = (EPOCH + timedelta(seconds=wall)).replace(tzinfo=theirs)
        assert shown.utcoffset() == timedelta(seconds=offset), shown


@pytest.mark.parametrize(
    ("wall", "offset"),
    [
        ("2024-03-31T01:59:59", 3600),
        ("2024-03-31T02:30:00", 3600),  # skipped
        ("2024-03-31T03:00:00", 7200),
        ("2024-10-27T02:59:59", 7200),  # twice
        ("2024-10-27T03:00:00", 3600),
        ("9999-07-01T00:00:00", 7200),
        ("0001-01-02T00:00:00", 2048),
    ],
)
def test_a_skipped_reading_has_the_offset_before_and_one_that_occurs_twice_the_first(wall, offset):
    assert zone("Europe/Zurich").at_walls(np.array([seconds(wall)])).tolist() == [offset]


@pytest.mark.parametrize(
    ("name", "offset"), [("+08:00", 28800), ("GMT+8", 28800), ("UTC-03:30", -12600), ("-0930", -34200), ("GMT0", 0)]
)
def test_fixed_offsets_are_zones(name, offset):
    assert zone(name).at_instants(np.array([0])).tolist() == [offset]


@pytest.mark.parametrize("name", ["", "Mars/Olympus", "../tzdata.zi", "/etc/passwd", "Europe", "zone.tab", "a" * 300])
def test_what_is_no_zone_is_none(name):
    assert find_zone(name) is None


def test_all_zones_of_the_package_are_read():
    listed = (resources.files("tzdata") / "zones").read_text().split()
    assert len(listed) > 500
    for name in listed:
        rules = zone(name)
        shown = rules.changes + np.maximum(rules.offsets[:-1], rules.offsets[1:])
        assert len(rules.offsets) == len(rules.changes) + 1
        assert (np.diff(rules.changes) > 0).all(), name
        assert (np.diff(shown) >= 0).all(), name


def test_each_row_has_the_zone_of_its_own():
    times = np.array([seconds("2024-07-01T12:00:00")] * 4)
    names = ["Asia/Tokyo", "Europe/Zurich", "Not/Used"]
    offsets = zone_offsets(times, np.array([1, 0, 1, 0]), names, walls=False)
    assert offsets.tolist() == [7200, 32400, 7200, 32400]
    assert zone_offsets(times[:0], np.array([], np.int64), [], walls=True).tolist() == []
    with pytest.raises(UsageError, match=re.escape("'Not/Used' is not known")):
        zone_offsets(times[:1], np.array([2]), names, walls=False)
