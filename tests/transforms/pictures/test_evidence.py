"""`transforms.pictures.evidence`: whom to believe, whatever the order in which they speak."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.pictures.evidence import (
    PLACE_SOURCES,
    TIME_SOURCES,
    Place,
    Said,
    Taken,
    offset_between,
    offset_text,
    place_of,
    settle,
)

TEXT = "2024-05-06T12:00:00"


def said(source: str, text: str = TEXT, time_is: str = "local") -> Said:
    place = Place(1.0, 2.0, source) if source in PLACE_SOURCES else None
    return Said(times=(Taken(text, time_is, source),) if source in TIME_SOURCES else (), place=place)


@given(st.lists(st.sampled_from([*TIME_SOURCES, "gps"]), min_size=1, unique=True))
def test_the_first_of_the_table_is_believed(sources: list[str]) -> None:
    settled = settle([said(source) for source in sources])
    assert settled.taken is not None
    assert settled.taken.source == next(name for name in TIME_SOURCES if name in sources)
    placed = [name for name in PLACE_SOURCES if name in sources]
    assert (settled.place and settled.place.source) == (placed[0] if placed else None)
    if "takeout" in sources:
        turned = settle([said(source) for source in sources], prefer="takeout")
        assert turned.taken is not None
        assert turned.place is not None
        assert (turned.taken.source, turned.place.source) == ("takeout", "takeout")


def test_nothing_is_said() -> None:
    settled = settle([])
    assert (settled.taken, settled.place, settled.title, settled.labels) == (None, None, None, ())


def test_words_of_all_are_gathered_once() -> None:
    one, other = Said(title="A", labels=("x", "y")), Said(title="B", description="C", labels=("y", "z"))
    settled = settle([one, other])
    assert (settled.title, settled.description, settled.labels) == ("A", "C", ("x", "y", "z"))


def test_an_offset_that_an_editor_left_out_is_the_cameras() -> None:
    camera = said("exif_original", "2024-05-06T12:00:00.5+02:00", "offset")
    for order in permutations([camera, said("xmp_sidecar")]):
        taken = settle(order).taken
        assert taken == Taken(TEXT + "+02:00", "offset", "xmp_sidecar")
    assert settle([camera, said("xmp_sidecar", "2024-05-06T12:00:01")]).taken == Taken(
        "2024-05-06T12:00:01", "local", "xmp_sidecar"
    )


@pytest.mark.parametrize(
    "degrees",
    [(None, 1.0), (1.0, None), (0.0, 0.0), (float("nan"), 1.0), (91.0, 1.0), (1.0, -180.5), (float("inf"), 1.0)],
)
def test_nowhere(degrees: tuple[float | None, float | None]) -> None:
    assert place_of(*degrees, "gps") is None


@given(st.integers(-12 * 4, 14 * 4), st.integers(-60, 60))
def test_offsets_between_clocks(quarters: int, seconds: int) -> None:
    utc = datetime(2024, 5, 6, 12)
    wall = utc + timedelta(minutes=15 * quarters, seconds=seconds)
    assert offset_between(wall, utc, slack=timedelta(minutes=1)) == 15 * quarters
    assert offset_between(wall + timedelta(minutes=7), utc, slack=timedelta(minutes=1)) is None
    assert datetime.fromisoformat(f"{TEXT}{offset_text(15 * quarters)}").utcoffset() == timedelta(minutes=15 * quarters)
