"""Times are read strictly and written as IMM writes them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.times import TimeRange, at_offset, day_end, day_start, days_text, parse_time, utc
from schemas.errors import UsageError
from tests.catalog.conftest import LakeMaker

OFFSETS = st.integers(-18 * 60, 18 * 60)
INSTANTS = st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1), timezones=st.just(UTC))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-03-04", date(2026, 3, 4)),
        ("2024-02-29", date(2024, 2, 29)),
        ("2026-03-04T00:00:00Z", datetime(2026, 3, 4, tzinfo=UTC)),
        ("2026-03-04 00:00:00z", datetime(2026, 3, 4, tzinfo=UTC)),
        ("2026-03-04T00:00:00.5-03:30", datetime(2026, 3, 4, 3, 30, 0, 500_000, UTC)),
        ("2026-03-07T23:59:59.999999999+08:00", datetime(2026, 3, 7, 15, 59, 59, 999_999, UTC)),
    ],
)
def test_accepted_times(text: str, expected: date | datetime) -> None:
    assert parse_time("--start-from", text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "20260304",
        "2026-3-4",
        "2026-W10-3",
        "2025-02-29",
        "2026-03-04T00:00:00",
        "2026-03-04T25:00:00Z",
        "2026-03-04T00:00:60Z",
        "2026-03-04T00:00:00+24:00",
        "2026-03-04T00:00:00+0800",
        "2026-03-04T00:00:00.Z",
        "0001-01-01T00:00:00+08:00",
        "٢٠٢٦-٠٣-٠٤",
        " 2026-03-04",
        "2026-03-04\n",
    ],
)
def test_everything_else_is_refused_by_name(text: str) -> None:
    with pytest.raises(UsageError, match=r"--start-from .* is not a time: accepted are") as caught:
        parse_time("--start-from", text)
    assert repr(text) in str(caught.value)


@given(INSTANTS, OFFSETS)
def test_what_is_printed_is_read_back(instant: datetime, offset: int) -> None:
    assert parse_time("x", at_offset(instant, offset)) == instant
    assert parse_time("x", utc(instant) or "") == instant


@given(INSTANTS, OFFSETS)
def test_trailing_zeros_are_trimmed(instant: datetime, offset: int) -> None:
    clock = at_offset(instant, offset)[:26].partition("T")[2].split("+")[0].split("-")[0].rstrip("Z")
    assert "." not in clock or clock[-1] not in "0."


@pytest.mark.parametrize(
    ("minutes", "suffix"), [(0, "Z"), (480, "+08:00"), (-210, "-03:30"), (345, "+05:45"), (840, "+14:00")]
)
def test_days_carry_their_offset(minutes: int, suffix: str) -> None:
    assert day_start(date(2026, 3, 4), minutes) == f"2026-03-04T00:00:00{suffix}"
    assert day_end(date(2026, 3, 4), minutes) == f"2026-03-04T23:59:59.999999999{suffix}"


def test_no_time_stays_none() -> None:
    assert utc(None) is None


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        (date(2026, 3, 4), date(2026, 3, 4), "4 Mar 2026"),
        (date(2026, 3, 4), date(2026, 3, 7), "4-7 Mar 2026"),
        (date(2026, 2, 28), date(2026, 3, 1), "28 Feb - 1 Mar 2026"),
        (date(2025, 12, 30), date(2026, 1, 2), "30 Dec 2025 - 2 Jan 2026"),
        (date(2025, 3, 4), date(2026, 3, 7), "4 Mar 2025 - 7 Mar 2026"),
    ],
)
def test_spans_of_days(first: date, last: date, expected: str) -> None:
    assert days_text(first, last) == expected


def test_ranges_count_both_ends(maker: LakeMaker) -> None:
    day = TimeRange(date(2026, 3, 4), date(2026, 3, 4))
    start = datetime(2026, 3, 4, tzinfo=UTC)
    tick = timedelta(microseconds=1)
    times = [start - tick, start, start + timedelta(days=1) - tick, start + timedelta(days=1)]
    maker.insert("files", [maker.file(str(n), produce_time=time) for n, time in enumerate(times)])

    def inside(wanted: TimeRange) -> str:
        rows = maker.lake.read(f"SELECT uri FROM files WHERE {wanted.condition('produce_time')} ORDER BY uri", "files")
        return "".join(row["uri"] for row in rows)

    assert inside(day) == "12"
    assert inside(TimeRange(start, None)) == "123"
    assert inside(TimeRange(None, start)) == "01"
    assert inside(TimeRange()) == "0123"
