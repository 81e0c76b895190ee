"""Pages of kept rows are those that statements give, and follow the table."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from catalog import kept_rows
from catalog.lake import Lake, Scope
from catalog.location_dates import LocationDateQuery, query_location_dates, update_cluster
from catalog.paging import Page
from tests.catalog.conftest import DAY, LakeMaker, cluster_id

FIRST = date(2026, 1, 1)


def pages(lake: Lake, dataset: str, **asked: Any) -> list[Page]:
    """All pages of a query."""
    query = LocationDateQuery(Scope("demo", (dataset,)), max_results=3, **asked)
    found = [query_location_dates(lake, query)]
    while found[-1].next_token:
        found.append(query_location_dates(lake, query, found[-1].next_token))
    return found


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The buckets that are read, in their order."""
    read, seen = kept_rows._read, []

    def noted(lake: Lake, contract: Any, number: int) -> Any:
        seen.append(number)
        return read(lake, contract, number)

    monkeypatch.setattr(kept_rows, "_read", noted)
    return seen


@pytest.mark.long
def test_kept_pages_are_those_of_statements(maker: LakeMaker, reads: list[int]) -> None:
    maker.datasets("ada", "tom", "none")
    trips = [
        maker.cluster(n, dataset="ada" if n % 3 else "tom", first_day=FIRST + n % 5 * DAY, city=None if n % 4 else "X")
        for n in range(20)
    ]
    maker.insert("location_date_clusters", trips)
    busy = Lake(maker.root, busy=True)
    for _ in range(3):  # the second time, rows are kept
        for dataset in ("ada", "tom", "none"):
            for sort in ("LocationDateClusterStartTime", "UpdateTime"):
                for order in ("asc", "desc"):
                    asked = {"sort": sort, "order": order}
                    assert pages(busy, dataset, **asked) == pages(maker.lake, dataset, **asked)
    assert 1 <= len(reads) <= 3
    assert len(set(reads)) == len(reads)


def test_what_changes_is_seen_at_once(maker: LakeMaker, reads: list[int]) -> None:
    maker.datasets("ada")
    maker.insert("location_date_clusters", [maker.cluster(1)])
    busy = Lake(maker.root, busy=True)

    def ids() -> list[str]:
        return [row["object_id"] for page in pages(busy, "ada") for row in page.rows]

    assert [ids() for _ in range(3)] == [[cluster_id(1)]] * 3
    maker.insert("location_date_clusters", [maker.cluster(2, first_day=FIRST)])
    assert [ids() for _ in range(3)] == [[cluster_id(2), cluster_id(1)]] * 3
    update_cluster(busy, Scope("demo", ("ada",)), cluster_id(1), {"title": "Ours"})
    assert [row["title"] for row in pages(busy, "ada")[0].rows][1] == "Ours"
    assert len(reads) == 2


def test_filters_and_large_tables_are_left_to_statements(
    maker: LakeMaker, reads: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    maker.datasets("ada")
    maker.insert("location_date_clusters", [maker.cluster(n, first_day=FIRST + n * DAY) for n in range(4)])
    busy = Lake(maker.root, busy=True)
    for _ in range(3):
        assert pages(busy, "ada", levels=("country",))[0].rows == []
        assert len(pages(busy, "ada", object_ids=(cluster_id(1),))[0].rows) == 1
    assert reads == []
    monkeypatch.setattr(kept_rows, "MOST_ROWS", 3)
    assert [len(pages(Lake(maker.root, busy=True), "ada")[0].rows) for _ in range(3)] == [3, 3, 3]
    assert reads == []
