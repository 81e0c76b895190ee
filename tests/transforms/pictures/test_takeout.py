"""`transforms.pictures.takeout`: what sidecars of Google Takeout say, and what they cannot do."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.pictures.takeout import NotTakeoutError, read_takeout


def sidecar(**facts: Any) -> bytes:
    """A sidecar of an account in German: words of Google's own do not matter."""
    usual = {
        "title": "IMG_1.jpg",
        "description": "",
        "photoTakenTime": {"timestamp": "1478174685", "formatted": "03.11.2016, 12:04:45 UTC"},
        "geoData": {"latitude": 0.0, "longitude": 0.0},
        "geoDataExif": {"latitude": 0.0, "longitude": 0.0},
    }
    return json.dumps(usual | facts).encode()


def test_what_a_sidecar_says() -> None:
    people = [{"name": "Ann"}, {"name": " Zoë  Müller "}, {"name": ""}, {}, "x", {"name": 1}]
    said = read_takeout(sidecar(description=" Am See\nim Herbst ", people=people, favorited=True))
    (taken,) = said.times
    assert (taken.text, taken.time_is, taken.source) == ("2016-11-03T12:04:45Z", "instant", "takeout")
    assert (said.title, said.description) == (None, "Am See\nim Herbst")
    assert said.labels == ("person:Ann", "person:Zoë Müller", "favorite")
    assert said.place is None


@pytest.mark.parametrize(
    ("stamp", "text"),
    [
        ("-86400", "1969-12-31T00:00:00Z"),
        (1478174685, "2016-11-03T12:04:45Z"),
        ("0", None),
        ("1478174685.5", None),
        ("99999999999999999999", None),
        ("9" * 5000, None),
        (True, None),
        (None, None),
        ("-9999999999", None),
    ],
)
def test_times(stamp: Any, text: str | None) -> None:
    times = read_takeout(sidecar(photoTakenTime={"timestamp": stamp})).times
    assert [taken.text for taken in times] == ([text] if text else [])


def test_a_person_is_believed_before_the_camera_and_nowhere_is_no_place() -> None:
    user, camera = {"latitude": 1.5, "longitude": -2.5}, {"latitude": 3.5, "longitude": 4.5}
    for geo, exif, place in ((user, camera, (1.5, -2.5)), ({}, camera, (3.5, 4.5)), (None, None, None)):
        said = read_takeout(sidecar(geoData=geo, geoDataExif=exif))
        assert (said.place and (said.place.latitude, said.place.longitude)) == place
    for odd in (float("nan"), 91.0, "48.8", 10**400, True):
        assert read_takeout(sidecar(geoData={"latitude": odd, "longitude": 2.0})).place is None


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"{}", b'{"a": 1}', b"{", b"\xff\xfe", b"[" * 100_000, b'{"photoTakenTime": ' + b"[" * 100_000],
)
def test_what_is_no_sidecar_is_told(content: bytes) -> None:
    with pytest.raises(NotTakeoutError):
        read_takeout(content)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
FIELDS = ("photoTakenTime", "geoData", "geoDataExif", "people", "description", "favorited", "title")


@given(st.dictionaries(st.sampled_from(FIELDS), JSON | st.fixed_dictionaries({"timestamp": JSON, "latitude": JSON})))
def test_any_sidecar_is_read_or_refused(facts: dict[str, Any]) -> None:
    try:
        read_takeout(json.dumps(facts).encode())
    except NotTakeoutError:
        assert not facts.keys() & {"photoTakenTime", "geoData", "geoDataExif", "people"}
