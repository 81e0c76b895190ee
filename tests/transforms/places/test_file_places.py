"""Rows of `file_places`: addresses, keys, local days and covers."""

import re
import unicodedata
from datetime import UTC, date, datetime
from itertools import product
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.contract import LEVELS
from schemas.errors import UsageError
from schemas.file_places import FILE_PLACES
from schemas.files import FILES
from transforms.places.file_places import REMOVED_RANK, SPACES, SUPPLIED, VIDEO_RANK, is_given, place_files, place_key
from transforms.places.geocoding import LOCATED_SCHEMA, GazetteerLocator
from transforms.tables.keyed import with_columns

NOW = datetime(2024, 5, 1, tzinfo=UTC)
ROME = {"country": "Italy", "province": "Lazio", "city": "Rome"}
POINTS = {
    "Zurich": (8.54, 47.37),
    "Kathmandu": (85.32, 27.71),
    "Kiritimati": (-157.36, 1.87),
    "Apia": (-171.76, -13.83),
    "Suva": (178.44, -18.14),
    "New York": (-74.0, 40.71),
    "Sao Paulo": (-46.63, -23.55),
    "Singapore": (103.85, 1.29),
    "Coyhaique": (-72.07, -45.57),
    "Baker Island": (-176.48, 0.19),
}


def file(uri: str, *, at: str | None = None, near: str | None = None, **given: Any) -> dict[str, Any]:
    """A row of `files`: what a test says, and defaults for the rest."""
    longitude, latitude = POINTS[near] if near else (None, None)
    row: dict[str, Any] = dict.fromkeys(FILES.names)
    row |= {"bucket": 0, "project_name": "p", "dataset_name": "d", "uri": uri, "object_id": f"id-{uri}"}
    row |= {"media_type": "image", "source": "test", "create_time": NOW, "update_time": NOW, "run_id": "r0"}
    row |= {"longitude": longitude, "latitude": latitude, "time_is": "instant" if at else None}
    row |= {"produce_time": datetime.fromisoformat(at).replace(tzinfo=UTC) if at else None}
    unknown = set(given) - set(row)
    assert not unknown, f"no such columns: {unknown}"
    return row | given


def located(*files: dict[str, Any], default_zone: str = "UTC", locator: Any = None) -> pa.Table:
    table = pa.Table.from_pylist(list(files), schema=FILES.arrow_schema)
    return place_files(table, default_zone=default_zone, locator=locator or GazetteerLocator(), run_id="r1")


def places(*files: dict[str, Any], **how: Any) -> dict[str, SimpleNamespace]:
    """The rows by uri."""
    return {row["uri"]: SimpleNamespace(**row) for row in located(*files, **how).to_pylist()}


def supplied(**levels: str | None) -> dict[str, str | None]:
    return dict.fromkeys(LEVELS) | levels


# --- which files, which columns


def test_rows_are_as_the_contract_says():
    rows = located(file("a", address=ROME))
    assert rows.schema == FILE_PLACES.arrow_schema
    assert (rows["run_id"].to_pylist(), rows["location_source"].to_pylist()) == (["r1"], ["file"])


def test_no_files_give_no_rows():
    assert located().schema == located(file("nowhere")).schema == FILE_PLACES.arrow_schema


def test_rows_in_several_chunks_are_as_in_one():
    files = [file("a", address=ROME), file("nowhere"), file("b", near="Zurich", at="2024-01-01T12:00")]
    tables = [pa.Table.from_pylist([each], schema=FILES.arrow_schema) for each in files]
    rows = place_files(pa.concat_tables(tables), default_zone="UTC", locator=GazetteerLocator(), run_id="r1")
    assert rows.to_pylist() == located(*files).to_pylist()


def test_each_located_file_gives_one_row_and_others_none():
    rows = places(
        file("supplied", address=ROME),
        file("supplied and near", address=ROME, near="Zurich"),
        file("found", near="Zurich"),
        file("nowhere"),
        file("null island", longitude=0.0, latitude=0.0),
        file("mid-Atlantic", longitude=-30.0, latitude=0.0),
        file("blank address", address=supplied(country=" ", city="\u3000\t")),
        file("blank address near", address=supplied(country="", city="\u00a0"), near="Zurich"),
        file("local", address=ROME, near="Zurich", at="2024-01-01T12:00", time_is="local"),
    )
    methods = {uri: row.address_method for uri, row in rows.items()}
    assert methods == {
        "supplied": "supplied",
        "supplied and near": "supplied",
        "found": "nearest",
        "blank address near": "nearest",
        "local": "supplied",
    }


def test_a_supplied_address_wins_and_its_zone_is_still_found():
    row = places(file("a", address=ROME, near="Zurich", at="2024-01-01T12:00", time_is="local"))["a"]
    assert (row.city, row.country_code, row.address_distance) == ("Rome", None, None)
    assert (row.index_version, row.time_zone) == (SUPPLIED, "Europe/Zurich")


def test_a_found_address_tells_what_found_it():
    row = places(file("a", near="Zurich"))["a"]
    assert (row.country, row.country_code, row.province) == ("Switzerland", "CH", "Zurich")
    assert row.address_distance < 2_000
    assert row.index_version == GazetteerLocator().version
    assert row.time_zone == "Europe/Zurich"


def test_a_row_does_not_depend_on_its_neighbours():
    files = [
        file(f"{near}-{kind}", near=near, at="2024-03-10T02:30", time_is=kind)
        for near, kind in product(POINTS, ("local", "instant"))
    ]
    together = places(*files)
    assert len(together) == len(files) - 2  # Baker Island has no town
    assert places(*files[3:5]) == {f["uri"]: together[f["uri"]] for f in files[3:5]}


# --- levels and keys


def test_levels_that_do_not_exist_are_filled_down_to_city():
    rows = places(
        file("country", address=supplied(country="Monaco")),
        file("no province", address=supplied(country="Singapore", city="Singapore", township="Bedok")),
        file("no country", address=supplied(city="Rome")),
        file("no city", address=supplied(country="Italy", province=" Lazio ", city=" ")),
        file("district only", address=supplied(district="Mitte")),
    )
    assert {uri: (*(vars(row)[level] for level in LEVELS), row.place_key) for uri, row in rows.items()} == {
        "country": ("Monaco", "Monaco", "Monaco", None, None, "monaco/monaco/monaco//"),
        "no province": ("Singapore", "Singapore", "Singapore", None, "Bedok", "singapore/singapore/singapore//bedok"),
        "no country": (None, None, "Rome", None, None, "//rome//"),
        "no city": ("Italy", "Lazio", "Lazio", None, None, "italy/lazio/lazio//"),
        "district only": (None, None, None, "Mitte", None, "///mitte/"),
    }


def test_a_city_state_found_by_the_gazetteer_has_a_city():
    row = places(file("a", near="Singapore"))["a"]
    assert row.place_key == "singapore/singapore/singapore//singapore"


def test_supplied_and_found_addresses_of_the_same_names_are_one_place():
    found = places(file("found", near="Zurich"))["found"]
    names = {level: vars(found)[level] for level in LEVELS}
    same = places(file("same", address={k: v and v.upper() for k, v in names.items()}))["same"]
    assert same.place_key == found.place_key


def test_two_cities_of_one_name_are_two_places():
    rows = places(
        file("a", address=supplied(country="China", province="Jiangsu", city="Suzhou")),
        file("b", address=supplied(country="China", province="Anhui", city="Suzhou")),
    )
    assert rows["a"].place_key != rows["b"].place_key


class AreaLocator:
    """One area everywhere, with a code at each level but the district and province."""

    version, keyed_by_codes, first_tiles = "areas-1", True, (0,)

    def locate(self, longitude, latitude, *, needs_zone):
        row = {"country": "Latvia", "country_code": "LV", "city": "Riga", "city_code": "LV-RIX", "township": "Vecriga"}
        row |= {"address_method": "inside", "index_version": self.version}
        rows = [row if there else {} for there in ~np.isnan(longitude)]
        return pa.Table.from_pylist(rows, schema=LOCATED_SCHEMA)


def test_areas_are_keyed_by_codes_and_supplied_addresses_by_names():
    rows = places(file("in", near="Zurich"), file("given", address=ROME), locator=AreaLocator())
    assert rows["in"].place_key == "lv/lv/lv-rix//vecriga"
    assert (rows["in"].province, rows["in"].province_code) == ("Latvia", "LV")
    assert (rows["in"].address_method, rows["in"].index_version) == ("inside", "areas-1")
    assert rows["given"].place_key == "italy/lazio/rome//"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Straße", "STRASSE"),
        ("Québec", "Que\u0301bec"),
        ("\uff34\uff2f\uff2b\uff39\uff2f", "tokyo"),
        ("New  York ", "\u00a0new\u2003york"),
        ("ΟΔΟΣ", "οδος"),
        ("ﬁ", "FI"),
    ],
)
def test_spellings_of_one_name_have_one_key(one, other):
    rows = places(file("a", address=supplied(city=one)), file("b", address=supplied(city=other)))
    assert rows["a"].place_key == rows["b"].place_key


def normalise(name: str | None) -> str:
    """The key's rule, with Python's own Unicode tables."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name or "").casefold())
    return re.sub(f"[{SPACES}]+", " ", folded).strip(" ")


TRICKY = "aAbzß/%25F2 .\t\n\u00a0\u3000ée\u0301ﬁ\u03a3\u03c2\u03c3İǅ\uff05\uff0f½\uff41中\u0301"
NAMES = (
    st.none()
    | st.text(st.sampled_from(TRICKY), max_size=6)
    | st.text(st.characters(codec="utf-8", max_codepoint=0x2FFF, exclude_categories=["Cn", "Cs"]), max_size=4)
)


@pytest.mark.long
@settings(max_examples=30, deadline=None)
@given(st.lists(NAMES, min_size=20, max_size=60), st.randoms(use_true_random=False))
def test_keys_are_as_distinct_as_normalised_paths(names, random):
    paths = [random.choices(names, k=len(LEVELS)) for _ in range(300)]
    parts = pa.table([pa.array(texts, pa.string()) for texts in zip(*paths, strict=True)], names=LEVELS)
    keys = place_key(parts).to_pylist()
    are_given = [[bool(given) for given in is_given(parts[level]).to_pylist()] for level in LEVELS]
    normal = [tuple(map(normalise, path)) for path in paths]
    for key, given_parts, path in zip(keys, zip(*are_given, strict=True), normal, strict=True):
        escaped = [part.replace("%", "%25").replace("/", "%2F") for part in path]
        assert key == "/".join(escaped)
        assert [bool(part) for part in path] == list(given_parts)
    assert len(set(normal)) == len(set(keys))


# --- time


def day(row: SimpleNamespace) -> tuple[datetime, int, date]:
    return row.produce_time.replace(tzinfo=UTC), row.utc_offset, row.local_date


@pytest.mark.parametrize(
    ("instant", "offset", "expected"),
    [
        ("2024-03-01T18:14:59", 345, date(2024, 3, 1)),
        ("2024-03-01T18:15:00", 345, date(2024, 3, 2)),
        ("2024-02-28T10:00:00", 840, date(2024, 2, 29)),
        ("2024-03-01T11:59:59", -720, date(2024, 2, 29)),
        ("2023-02-28T10:00:00", 840, date(2023, 3, 1)),
        ("1969-12-31T23:59:59", 0, date(1969, 12, 31)),
        ("1969-12-31T23:59:59", 1, date(1970, 1, 1)),
    ],
)
def test_an_explicit_offset_is_trusted(instant, offset, expected):
    given = {"at": instant, "time_is": "offset", "utc_offset": offset}
    rows = places(file("supplied", address=ROME, near="Apia", **given), file("found", near="Apia", **given))
    taken = datetime.fromisoformat(instant).replace(tzinfo=UTC)
    assert day(rows["supplied"]) == day(rows["found"]) == (taken, offset, expected)
    assert rows["supplied"].time_zone is None


@pytest.mark.parametrize(
    ("near", "instant", "offset", "expected"),
    [
        ("Zurich", "2024-06-30T22:00:00", 120, date(2024, 7, 1)),
        ("Zurich", "2024-06-30T21:59:59", 120, date(2024, 6, 30)),
        ("Kathmandu", "2024-01-01T18:15:00", 345, date(2024, 1, 2)),
        ("Kathmandu", "1980-01-01T18:15:00", 330, date(1980, 1, 1)),
        ("Kiritimati", "2024-12-31T10:00:00", 840, date(2025, 1, 1)),
        ("Kiritimati", "1990-12-31T09:59:59", -600, date(1990, 12, 30)),
        ("Apia", "2011-12-30T09:59:59", -600, date(2011, 12, 29)),
        ("Apia", "2011-12-30T10:00:00", 840, date(2011, 12, 31)),
        ("Suva", "2024-07-01T12:00:00", 720, date(2024, 7, 2)),
        ("New York", "2024-03-10T06:59:59", -300, date(2024, 3, 10)),
        ("New York", "2024-03-10T07:00:00", -240, date(2024, 3, 10)),
    ],
)
def test_an_instant_gets_the_zone_of_its_place(near, instant, offset, expected):
    row = places(file("a", near=near, at=instant))["a"]
    assert day(row) == (datetime.fromisoformat(instant).replace(tzinfo=UTC), offset, expected)


@pytest.mark.parametrize(
    ("near", "wall", "instant", "offset"),
    [
        ("Zurich", "2024-07-01T00:00:00", "2024-06-30T22:00:00", 120),
        ("Zurich", "2024-03-31T02:30:00", "2024-03-31T01:30:00", 120),  # skipped: 03:30 is meant
        ("Zurich", "2024-10-27T02:30:00", "2024-10-27T00:30:00", 120),  # twice: the first
        ("New York", "2024-11-03T01:30:00", "2024-11-03T05:30:00", -240),
        ("Sao Paulo", "2018-11-04T00:30:00", "2018-11-04T03:30:00", -120),  # midnight was skipped
        ("Kiritimati", "2024-02-29T00:00:00", "2024-02-28T10:00:00", 840),
        ("Apia", "2011-12-30T12:00:00", "2011-12-30T22:00:00", 840),  # a day that was skipped
        ("Suva", "2024-01-01T23:59:59", "2024-01-01T11:59:59", 720),
        ("Zurich", "1850-01-01T00:00:00", "1849-12-31T23:25:52", 34),  # local mean time, +00:34:08
    ],
)
def test_a_wall_clock_is_read_in_the_zone_of_its_place(near, wall, instant, offset):
    row = places(file("a", near=near, at=wall, time_is="local"))["a"]
    taken = datetime.fromisoformat(instant).replace(tzinfo=UTC)
    assert day(row) == (taken, offset, datetime.fromisoformat(wall).date())


def test_without_coordinates_the_default_zone_holds():
    rows = places(
        file("instant", address=ROME, at="2024-07-01T22:30:00"),
        file("local", address=ROME, at="2024-07-01T22:30:00", time_is="local"),
        file("says nothing", address=ROME, at="2024-07-01T22:30:00", time_is=None),
        file("offset without one", address=ROME, at="2024-07-01T22:30:00", time_is="offset"),
        default_zone="Asia/Shanghai",
    )
    assert rows["instant"].time_zone is None
    assert day(rows["instant"]) == (datetime(2024, 7, 1, 22, 30, tzinfo=UTC), 480, date(2024, 7, 2))
    assert day(rows["local"]) == (datetime(2024, 7, 1, 14, 30, tzinfo=UTC), 480, date(2024, 7, 1))
    assert day(rows["says nothing"]) == day(rows["offset without one"]) == day(rows["instant"])


def test_a_zone_whose_rules_are_not_known_is_the_nautical_one():
    class Elsewhere(GazetteerLocator):
        def locate(self, longitude, latitude, *, needs_zone):
            found = super().locate(longitude, latitude, needs_zone=needs_zone)
            zones = pa.array(np.where(np.isnan(longitude), "", "America/New_Zone"))
            return with_columns(found, {"time_zone": zones})

    files = [file(near, near=near, at="2024-07-01T03:00") for near in ("Coyhaique", "Suva")]
    rows = places(*files, locator=Elsewhere())
    assert (rows["Coyhaique"].time_zone, *day(rows["Coyhaique"])[1:]) == ("Etc/GMT+5", -300, date(2024, 6, 30))
    assert (rows["Suva"].time_zone, *day(rows["Suva"])[1:]) == ("Etc/GMT-12", 720, date(2024, 7, 1))


def test_a_default_zone_that_nobody_knows_is_named():
    with pytest.raises(UsageError, match="'Mars/Olympus' is not known"):
        places(file("a", address=ROME, at="2024-07-01T03:00"), default_zone="Mars/Olympus")


def test_a_file_without_a_time_has_no_day():
    rows = places(file("supplied", address=ROME), file("found", near="Zurich"))
    for row in rows.values():
        assert (row.produce_time, row.utc_offset, row.local_date) == (None, None, None)


@pytest.mark.parametrize("kind", ["offset", "instant", "local"])
def test_times_at_the_ends_of_the_calendar_do_not_fail(kind):
    ends = ["0001-01-01T00:00:00", "0001-01-02T00:00:00", "9999-12-30T23:59:59", "9999-12-31T23:59:59"]
    files = [
        file(f"{near}{end}", near=near, at=end, time_is=kind, utc_offset=840 if kind == "offset" else None)
        for end, near in product(ends, ("Kiritimati", "New York"))
    ]
    rows = places(*files, default_zone="America/New_York")
    years = {uri[-19:-9]: row.local_date and row.local_date.year for uri, row in sorted(rows.items())}
    assert years == {"0001-01-01": None, "0001-01-02": 1, "9999-12-30": 9999, "9999-12-31": None}


def test_a_timestamp_beyond_any_calendar_is_no_time():
    files = [file("a", address=ROME, time_is="local"), file("b", near="Zurich", time_is="local")]
    table = pa.Table.from_pylist(files, schema=FILES.arrow_schema)
    for micros in (2**63 - 1, -(2**63)):
        time = pa.array([micros] * 2).cast(FILES.arrow_schema.field("produce_time").type)
        dated = with_columns(table, {"produce_time": time})
        rows = place_files(dated, default_zone="Asia/Tokyo", locator=GazetteerLocator(), run_id="r1")
        assert rows["local_date"].to_pylist() == rows["produce_time"].to_pylist() == [None, None]


# --- covers


def test_covers_rank_by_pixels_then_videos_then_removed_files():
    size = {"image_width": 60_000, "image_height": 50_000}
    rows = places(
        file("large", address=ROME, **size),
        file("small", address=ROME, image_width=640, image_height=480),
        file("unknown", address=ROME, image_width=640),
        file("video", address=ROME, media_type="video", **size),
        file("removed", near="Zurich", deleted_time=NOW, **size),
        file("removed video", address=ROME, media_type="video", deleted_time=NOW),
    )
    assert {uri: row.cover_rank for uri, row in rows.items()} == {
        "large": -3_000_000_000,
        "small": -307_200,
        "unknown": 0,
        "video": VIDEO_RANK,
        "removed": REMOVED_RANK,
        "removed video": REMOVED_RANK,
    }
    assert rows["removed"].deleted_time is not None
