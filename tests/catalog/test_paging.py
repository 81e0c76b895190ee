"""Tokens are good for one query of one lake, and merged streams keep their order."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.lake import Row
from catalog.paging import Pager, Sorting, check_max_results, scan
from schemas.errors import UsageError

SORTING = Sorting("time", "id")
ROWS = [{"time": datetime(2026, 3, day, tzinfo=UTC), "id": f"c{day}"} for day in range(1, 10)]


def pager(key: bytes = b"lake", query: str = "q", sorting: Sorting = SORTING) -> Pager:
    return Pager(key, {"title": query}, sorting, max_results=3)


def token() -> str:
    found = pager().page(ROWS).next_token
    assert found
    return found


def test_a_token_leads_behind_the_last_row() -> None:
    assert pager().position(token()) == (ROWS[2]["time"], "c3")
    assert pager().position(None) is None


def test_text_positions_round_trip() -> None:
    by_text = pager(sorting=Sorting("name", "id"))
    page = by_text.page([{"name": f"名'{n}", "id": str(n)} for n in range(4)])
    assert by_text.position(page.next_token) == ("名'2", "2")


def test_the_last_page_has_no_token() -> None:
    assert pager().page(ROWS[:3]).next_token is None
    assert pager().page([]).next_token is None


@pytest.mark.parametrize(
    "other",
    [
        pager(key=b"other"),
        pager(query="r"),
        pager(sorting=Sorting("time", "id", "desc")),
        pager(sorting=Sorting("t", "id")),
    ],
)
def test_a_foreign_token_is_refused(other: Pager) -> None:
    with pytest.raises(UsageError, match="NextToken"):
        other.position(token())


@pytest.mark.parametrize("forged", ["x", "%%%", "é", "AAAA", base64.urlsafe_b64encode(b"[]" + bytes(16)).decode()])
def test_a_forged_token_is_refused(forged: str) -> None:
    with pytest.raises(UsageError, match="NextToken"):
        pager().position(forged)


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_token_with_any_bit_changed_is_refused(where: int, change: int) -> None:
    raw = bytearray(base64.urlsafe_b64decode(token()))
    raw[where % len(raw)] ^= change
    with pytest.raises(UsageError, match="NextToken"):
        pager().position(base64.urlsafe_b64encode(bytes(raw)).decode())


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(), st.booleans()), unique_by=lambda r: r[1]),
    st.sampled_from(["asc", "desc"]),
)
def test_merged_streams_are_in_order(rows: list[tuple[int, int, bool]], order: str) -> None:
    sorting = Sorting("value", "id", order)  # type: ignore[arg-type]

    def stream(which: bool) -> list[Row]:
        some = [{"value": value, "id": tie} for value, tie, side in rows if side is which]
        return sorted(some, key=sorting.key, reverse=order == "desc")

    everything = sorted(((value, tie) for value, tie, _ in rows), reverse=order == "desc")
    assert [sorting.key(row) for row in sorting.merge(stream(True), stream(False))] == everything


@pytest.mark.parametrize("first_batch", [1, 2, 9, 10, 50])
def test_a_scan_sees_every_row_once(first_batch: int) -> None:
    conditions: list[str] = []

    def read(condition: str, limit: int) -> list[Row]:
        conditions.append(condition)
        seen = sum(sizes)
        sizes.append(len(ROWS[seen : seen + limit]))
        return ROWS[seen : seen + limit]

    sizes: list[int] = []
    assert list(scan(read, SORTING, None, first_batch)) == ROWS
    assert conditions[0] == "TRUE"
    assert len(set(conditions)) == len(conditions)


@pytest.mark.parametrize("value", [0, -1, 101])
def test_page_sizes_are_bounded(value: int) -> None:
    with pytest.raises(UsageError, match=f"MaxResults {value} .* 1 to 100"):
        check_max_results(value)
