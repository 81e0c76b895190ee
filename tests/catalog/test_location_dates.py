"""Finding clusters and their files, page by page, and editing them, against a plain reading of all rows."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.create import ensure_lake
from catalog.lake import Lake, Row, Scope
from catalog.location_dates import (
    SORTS,
    LocationDateQuery,
    delete_cluster,
    files_of_cluster,
    find_cluster,
    query_location_dates,
    undelete_cluster,
    update_cluster,
)
from catalog.paging import Page
from catalog.times import TimeRange
from schemas.cluster_kinds import TRIPS
from schemas.errors import NotFound, UsageError
from schemas.settings import LakeSettings
from tests.catalog.conftest import DAY, NOON, LakeMaker, cluster_id, edit
from tests.examples import examples

ADA = Scope("demo", ("ada",))


def numbers(rows: list[Row]) -> list[int]:
    """The numbers of clusters, in order."""
    by_id = {cluster_id(n): n for n in range(200)}
    return [by_id[row["object_id"]] for row in rows]


def ask(maker: LakeMaker, scope: Scope | None = None, **asked: Any) -> list[int]:
    """The numbers of the clusters that fit, in order."""
    query = LocationDateQuery(scope or maker.scope, max_results=100, **asked)
    return numbers(query_location_dates(maker.lake, query).rows)


def all_pages(ask_page: Callable[[str | None], Page], between: Callable[[], None] = lambda: None) -> list[Row]:
    """The rows of all pages."""
    rows: list[Row] = []
    token = None
    while True:
        page = ask_page(token)
        rows += page.rows
        token = page.next_token
        if token is None:
            return rows
        between()


@pytest.fixture
def travels(maker: LakeMaker) -> LakeMaker:
    """Four clusters of ada, one of ben."""
    maker.insert(
        "location_date_clusters",
        [
            maker.cluster(0, first_day=date(2026, 3, 4), days=4),
            maker.cluster(1, first_day=date(2026, 3, 8), days=1, title="Jiaxing", city="Jiaxing"),
            maker.cluster(2, first_day=date(2026, 3, 4), days=5, level="province", title="Zhejiang", city=None),
            maker.cluster(3, first_day=date(2026, 6, 1), title="Zürich", country="Schweiz", province=None, offset=120),
            maker.cluster(4, dataset="ben", first_day=date(2026, 1, 1), create_time=NOON + DAY, update_time=NOON + DAY),
        ],
    )
    return maker


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, {0, 1, 2, 3, 4}),
        ({"scope": ADA}, {0, 1, 2, 3}),
        ({"scope": Scope("demo", ("ada", "ben"))}, {0, 1, 2, 3, 4}),
        ({"scope": Scope("other")}, set()),
        ({"object_ids": (cluster_id(1),)}, {1}),
        ({"object_ids": ("' OR 1=1 --",)}, set()),
        ({"title": "zHe"}, {2}),
        ({"title": "ZÜR"}, {3}),
        ({"title": "%"}, set()),
        ({"title": "J_a"}, set()),
        ({"title": "'"}, set()),
        ({"address": {"country": "CHINA", "city": "hangzhou"}}, {0, 4}),
        ({"address": {"city": "Hang"}}, set()),
        ({"levels": ("province",)}, {2}),
        ({"levels": ("province", "city"), "scope": ADA}, {0, 1, 2, 3}),
        ({"start": TimeRange(date(2026, 3, 4), date(2026, 3, 4))}, {0, 2}),
        ({"start": TimeRange(datetime(2026, 3, 3, 16, tzinfo=UTC), datetime(2026, 3, 3, 16, tzinfo=UTC))}, {0, 2}),
        ({"start": TimeRange(datetime(2026, 3, 3, 16, 0, 1, tzinfo=UTC), None)}, {1, 3}),
        ({"end": TimeRange(None, date(2026, 3, 7))}, {0, 4}),
        ({"end": TimeRange(datetime(2026, 3, 7, 15, 59, 59, 999_999, UTC), date(2026, 3, 8))}, {0, 1, 2}),
        ({"created": TimeRange(date(2025, 11, 21))}, {4}),
        ({"updated": TimeRange(None, NOON)}, {0, 1, 2, 3}),
        ({"labels": {"k": "v"}}, set()),
        ({"start": TimeRange(date(1, 1, 1), date(9999, 12, 31))}, {0, 1, 2, 3, 4}),
        ({"updated": TimeRange(date(1, 1, 1), date(9999, 12, 31))}, {0, 1, 2, 3, 4}),
    ],
)
def test_filters(travels: LakeMaker, asked: dict[str, Any], expected: set[int]) -> None:
    assert set(ask(travels, **asked)) == expected


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"max_results": 0}, "MaxResults 0"),
        ({"levels": ("state",)}, "level 'state' is not one of country, province, city, district, township"),
        ({"address": {"street": "x"}}, "part of an address 'street'"),
        ({"sort": "Title"}, "sort 'Title' is not one of LocationDateClusterStartTime"),
        ({"order": "up"}, "order 'up' is not one of asc, desc"),
    ],
)
def test_wrong_values_are_named(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        LocationDateQuery(ADA, **wrong)


def test_filters_see_what_people_gave(travels: LakeMaker) -> None:
    update_cluster(travels.lake, ADA, cluster_id(0), {"title": "100 % 'West Lake'", "custom_labels": {"k": "v"}})
    assert ask(travels, title="west LAKE'") == [0]
    assert ask(travels, title="0 %") == [0]
    assert ask(travels, title="hangzhou") == [4]
    assert ask(travels, labels={"k": "v"}) == [0]
    assert ask(travels, labels={"k": "v", "other": "x"}) == []
    assert ask(travels, labels={"k": "V"}) == []
    assert ask(travels, labels={"k": "v"}, levels=("province",)) == []
    today = datetime.now(UTC).date()
    assert ask(travels, updated=TimeRange(today - DAY, None), scope=ADA) == [0]
    update_cluster(travels.lake, ADA, cluster_id(0), {"title": "", "custom_labels": {}})
    assert set(ask(travels, title="hangzhou")) == {0, 4}
    assert ask(travels, labels={"k": "v"}) == []


def test_what_is_not_given_stays(travels: LakeMaker) -> None:
    update_cluster(travels.lake, ADA, cluster_id(0), {"title": "A", "custom_id": "7"})
    update_cluster(travels.lake, ADA, cluster_id(0), {"custom_labels": {"k": "v"}})
    found = find_cluster(travels.lake, ADA, cluster_id(0))
    assert (found["title"], found["custom_id"], found["custom_labels"]) == ("A", "7", {"k": "v"})
    assert found["update_time"] > NOON
    assert find_cluster(travels.lake, ADA, cluster_id(1))["custom_labels"] is None


@pytest.mark.long
@settings(max_examples=examples(25), deadline=None)
@given(data=st.data())
def test_pages_are_the_sorted_whole(paged: LakeMaker, data: st.DataObject) -> None:
    sort = data.draw(st.sampled_from(sorted(SORTS)))
    order = data.draw(st.sampled_from(["asc", "desc"]))
    size = data.draw(st.sampled_from([1, 4, 9, 30]))
    title = data.draw(st.sampled_from([None, "o", "edited"]))
    scope = data.draw(st.sampled_from([paged.scope, ADA]))
    asked: Any = {"scope": scope, "title": title, "sort": sort, "order": order}
    rows = all_pages(
        lambda token: query_location_dates(paged.lake, LocationDateQuery(**asked, max_results=size), token)
    )
    whole = query_location_dates(paged.lake, LocationDateQuery(**asked, max_results=100)).rows
    assert rows == whole
    keys = [(row[SORTS[sort]], row["object_id"]) for row in rows]
    assert keys == sorted(keys, reverse=order == "desc")
    assert set(numbers(rows)) == {
        n
        for n in range(60)
        if (scope is paged.scope or n % 3)
        and n not in (10, 11)
        and (title is None or title in ("edited" if n in (20, 21, 22) else ["Oslo", "Roma"][n % 2]).lower())
    }


@pytest.fixture(scope="module")
def paged(tmp_path_factory: pytest.TempPathFactory) -> LakeMaker:
    """Sixty clusters with many ties, a few edited, two deleted."""
    maker = LakeMaker(tmp_path_factory.mktemp("paged"))
    pick = random.Random(3)
    maker.datasets("ada", "ben")
    maker.insert(
        "location_date_clusters",
        [
            maker.cluster(
                n,
                dataset="ada" if n % 3 else "ben",
                title=["Oslo", "Roma"][n % 2],
                first_day=date(2026, 1, pick.randint(1, 4)),
                days=pick.randint(1, 3),
                create_time=NOON + pick.randint(0, 3) * DAY,
                update_time=NOON + pick.randint(0, 3) * DAY,
            )
            for n in range(60)
        ],
    )
    for n in (20, 21, 22):
        update_cluster(maker.lake, maker.scope, cluster_id(n), {"title": "Edited"})
    for n in (10, 11):
        delete_cluster(maker.lake, maker.scope, cluster_id(n))
    return maker


@pytest.mark.long
@pytest.mark.parametrize("sort", sorted(SORTS))
@pytest.mark.parametrize("order", ["asc", "desc"])
def test_rows_that_come_between_pages_repeat_and_hide_none(
    paged: LakeMaker, tmp_path: Path, sort: str, order: Any
) -> None:
    shutil.copytree(paged.root, tmp_path / "lake")
    maker = LakeMaker(tmp_path / "lake")
    asked: Any = {"scope": maker.scope, "sort": sort, "order": order}
    before = query_location_dates(maker.lake, LocationDateQuery(**asked, max_results=100)).rows
    fresh = iter(range(100, 200))

    def between() -> None:
        number = next(fresh)
        maker.insert("location_date_clusters", [maker.cluster(number, first_day=date(2026, 1, number % 4 + 1))])
        update_cluster(maker.lake, maker.scope, cluster_id(number), {"title": "New"})

    query = LocationDateQuery(**asked, max_results=17)
    rows = all_pages(lambda token: query_location_dates(maker.lake, query, token), between)
    found = numbers(rows)
    assert len(found) == len(set(found))
    assert [n for n in found if n < 100] == numbers(before)


def test_page_size_may_change_and_the_query_may_not(paged: LakeMaker) -> None:
    first = query_location_dates(paged.lake, LocationDateQuery(paged.scope, max_results=5))
    more = query_location_dates(paged.lake, LocationDateQuery(paged.scope, max_results=9), first.next_token)
    whole = query_location_dates(paged.lake, LocationDateQuery(paged.scope, max_results=14)).rows
    assert first.rows + more.rows == whole
    for other in ({"scope": ADA}, {"title": "o"}, {"order": "desc"}, {"sort": "CreateTime"}, {"levels": ("city",)}):
        asked: Any = {"scope": paged.scope, **other}
        with pytest.raises(UsageError, match="NextToken"):
            query_location_dates(paged.lake, LocationDateQuery(**asked), first.next_token)


def test_a_token_of_another_lake_is_refused(paged: LakeMaker, tmp_path: Path) -> None:
    token = query_location_dates(paged.lake, LocationDateQuery(paged.scope, max_results=5)).next_token
    ensure_lake(str(tmp_path / "other"), LakeSettings())
    with pytest.raises(UsageError, match="NextToken"):
        query_location_dates(Lake(str(tmp_path / "other")), LocationDateQuery(paged.scope, max_results=5), token)


def test_deleting_hides_at_once_and_can_be_undone(travels: LakeMaker) -> None:
    deleted = delete_cluster(travels.lake, travels.scope, cluster_id(0))
    assert deleted["title"] == "Hangzhou"
    assert 0 not in ask(travels)
    with pytest.raises(NotFound, match="was deleted; `lakealbum undelete"):
        find_cluster(travels.lake, travels.scope, cluster_id(0))
    with pytest.raises(NotFound):
        update_cluster(travels.lake, travels.scope, cluster_id(0), {"title": "x"})
    edits = travels.lake.read("SELECT * FROM cluster_edits", "cluster_edits")
    assert [(e["level"], e["place_key"], e["first_day"], e["last_day"]) for e in edits] == [
        ("city", "CN/33/3301", date(2026, 3, 4), date(2026, 3, 7))
    ]
    assert undelete_cluster(travels.lake, travels.scope, cluster_id(0))
    assert 0 in ask(travels)
    with pytest.raises(NotFound, match="no deletion"):
        undelete_cluster(travels.lake, travels.scope, cluster_id(0))


def test_a_deletion_that_a_run_has_carried_out_is_undone_by_the_next(travels: LakeMaker) -> None:
    delete_cluster(travels.lake, travels.scope, cluster_id(0))
    travels.remove("location_date_clusters", f"object_id = '{cluster_id(0)}'")
    assert not undelete_cluster(travels.lake, travels.scope, cluster_id(0))


def test_edits_follow_merges(travels: LakeMaker) -> None:
    travels.insert(
        "location_date_segments",
        [
            travels.segment(90, state="gone", successor_id=cluster_id(91)),
            travels.segment(91, state="gone", successor_id=cluster_id(0)),
            travels.segment(92, state="gone", successor_id=cluster_id(0)),
            travels.segment(0),
        ],
    )
    travels.insert("cluster_edits", [edit(1, cluster_id(90), title="Lake", custom_labels={"a": "1"})])
    assert find_cluster(travels.lake, ADA, cluster_id(0))["title"] == "Lake"
    travels.insert("cluster_edits", [edit(2, cluster_id(92), title="Tea", cover_uri="oss://b/tea.jpg")])
    assert find_cluster(travels.lake, ADA, cluster_id(0))["title"] == "Tea"
    assert ask(travels, title="tea", labels={"a": "1"}) == [0]
    update_cluster(travels.lake, ADA, cluster_id(0), {"title": "Ours"})
    found = find_cluster(travels.lake, ADA, cluster_id(0))
    assert (found["title"], found["cover_uri"]) == ("Ours", "oss://b/tea.jpg")
    assert found["custom_labels"] == {"a": "1"}


def test_deletions_do_not_follow_merges(travels: LakeMaker) -> None:
    travels.insert("location_date_segments", [travels.segment(90, state="gone", successor_id=cluster_id(0))])
    travels.insert("cluster_edits", [edit(1, cluster_id(90), title="Lake"), edit(2, cluster_id(90), "delete")])
    assert find_cluster(travels.lake, ADA, cluster_id(0))["title"] == "Hangzhou"


def test_cycles_of_successors_do_no_harm(travels: LakeMaker) -> None:
    travels.insert(
        "location_date_segments",
        [travels.segment(a, state="gone", successor_id=cluster_id(b)) for a, b in ((90, 91), (91, 90))],
    )
    travels.insert("cluster_edits", [edit(1, cluster_id(90), title="Lake")])
    assert 0 in ask(travels)


@pytest.mark.parametrize(
    ("segment", "message"),
    [
        ({"state": "gone", "successor_id": cluster_id(1)}, f"{cluster_id(1)} took over"),
        ({"state": "gone"}, "is gone; `lakealbum explain"),
        ({"state": "live"}, "outside the MinDays and MaxDays"),
        (None, "there is no cluster"),
    ],
)
def test_a_missing_cluster_is_explained(travels: LakeMaker, segment: Row | None, message: str) -> None:
    if segment:
        travels.insert("location_date_segments", [travels.segment(50, **segment)])
    with pytest.raises(NotFound, match=message):
        find_cluster(travels.lake, ADA, cluster_id(50))


def test_a_lake_never_clustered_has_no_clusters(maker: LakeMaker) -> None:
    assert query_location_dates(maker.lake, LocationDateQuery(maker.scope)) == Page([])


def test_many_edits_at_the_front_do_not_end_the_scan(maker: LakeMaker) -> None:
    clusters = [maker.cluster(n, first_day=date(2026, 1, 1) + n * DAY) for n in range(150)]
    maker.insert("location_date_clusters", clusters)
    maker.insert("cluster_edits", [edit(n, cluster_id(n), "delete") for n in range(140)])
    assert ask(maker) == list(range(140, 150))


def test_files_are_those_of_place_days_and_dataset(travels: LakeMaker) -> None:
    inside = [travels.file_place(f"oss://b/{n}.jpg", produce_time=NOON + n % 3 * DAY) for n in range(25)]
    outside = [
        travels.file_place("too early", local_date=date(2026, 3, 3)),
        travels.file_place("too late", local_date=date(2026, 3, 8)),
        travels.file_place("elsewhere", place_key="CN/33/33010/x/"),
        travels.file_place("removed", deleted_time=NOON),
        travels.file_place("another's", dataset="ben"),
    ]
    last_day = travels.file_place("oss://b/last.jpg", local_date=date(2026, 3, 7), place_key="CN/33/3301//")
    travels.insert("file_places", [*inside, *outside, last_day])
    rows = all_pages(lambda token: files_of_cluster(travels.lake, ADA, cluster_id(0), 7, token))
    expected = sorted([*inside, last_day], key=lambda row: (row["produce_time"], row["uri"]))
    assert [row["uri"] for row in rows] == [row["uri"] for row in expected]


def test_a_cover_is_a_file_of_the_cluster(travels: LakeMaker) -> None:
    uri = "oss://b/it's 100 %.jpg"
    travels.insert("file_places", [travels.file_place(uri)])
    update_cluster(travels.lake, ADA, cluster_id(0), {"cover_uri": uri})
    assert find_cluster(travels.lake, ADA, cluster_id(0))["cover_uri"] == uri
    with pytest.raises(NotFound, match="not a file of cluster"):
        update_cluster(travels.lake, ADA, cluster_id(0), {"cover_uri": "oss://b/other.jpg"})
    update_cluster(travels.lake, ADA, cluster_id(0), {"cover_uri": ""})
    assert find_cluster(travels.lake, ADA, cluster_id(0))["cover_uri"] == "oss://b/0.jpg"


@pytest.mark.parametrize("text", ["", "x", "location-date-cluster-", "figure-1", "location-date-cluster-%"])
def test_what_is_no_id_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not the id of a location-date cluster"):
        TRIPS.full_id(text)


def test_edit_times_are_recent(travels: LakeMaker) -> None:
    update_cluster(travels.lake, ADA, cluster_id(0), {"title": "A"})
    [row] = travels.lake.read("SELECT edit_time FROM cluster_edits", "cluster_edits")
    assert abs(datetime.now(UTC) - row["edit_time"]) < timedelta(minutes=1)


def test_given_titles_are_told_from_names_of_places(travels: LakeMaker) -> None:
    update_cluster(travels.lake, ADA, cluster_id(0), {"title": "Hangzhou in spring"})
    found = query_location_dates(travels.lake, LocationDateQuery(ADA, given_title="hangzhou")).rows
    assert [row["object_id"] for row in found] == [cluster_id(0)]
    assert (found[0]["title"], found[0]["given_title"]) == ("Hangzhou in spring", "Hangzhou in spring")
    assert found[0]["proposed_title"] == "Hangzhou"
    seen = find_cluster(travels.lake, ADA, cluster_id(1))
    assert (seen["title"], seen["given_title"]) == (seen["proposed_title"], None)
