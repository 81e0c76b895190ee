"""Finding similar images, page by page, and what people decide about them, against a plain reading of all rows."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.lake import Row, Scope
from catalog.paging import Page
from catalog.similar_images import (
    MEMBERS_SHOWN,
    SORTS,
    Marks,
    SimilarImageQuery,
    delete_cluster,
    files_of_cluster,
    find_cluster,
    query_similar_images,
    undelete_cluster,
    update_cluster,
)
from catalog.times import TimeRange
from schemas.cluster_kinds import GROUPS
from schemas.errors import NotFound, UsageError
from tests.catalog.conftest import DAY, NOON, LakeMaker, edit, group_id, group_uris, look
from tests.examples import examples

ADA = Scope("demo", ("ada",))


def numbers(rows: list[Row]) -> list[int]:
    """The numbers of groups, in order."""
    by_id = {group_id(n): n for n in range(200)}
    return [by_id[row["object_id"]] for row in rows]


def ask(maker: LakeMaker, scope: Scope | None = None, **asked: Any) -> list[int]:
    """The numbers of the groups that fit, in order."""
    return numbers(query_similar_images(maker.lake, SimilarImageQuery(scope or maker.scope, **asked)).rows)


def names(maker: LakeMaker, number: int) -> str:
    """The last letters of the pictures of a group, in order."""
    found = find_cluster(maker.lake, maker.scope, group_id(number))
    return "".join(member["uri"].removesuffix(".jpg")[-1] for member in found["members"])


def mark(maker: LakeMaker, number: int, **marks: Any) -> Row:
    """Marks pictures of a group, by their letters."""
    uris = {name: tuple(f"oss://b/{number}/{letter}.jpg" for letter in letters) for name, letters in marks.items()}
    return update_cluster(maker.lake, maker.scope, group_id(number), {}, Marks(**uris))


def similar_edit(sequence: int, number: int, action: str = "update", **fields: Any) -> Row:
    """A row of `cluster_edits` about a group."""
    return edit(sequence, group_id(number), action, kind="similar-images", **fields)


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
def groups(maker: LakeMaker) -> LakeMaker:
    """Three groups of ada and one of ben, each updated a day after the one before; a fourth of ada is gone."""
    maker.group(0, update_time=NOON)
    maker.group(1, kind="burst", update_time=NOON + DAY)
    maker.group(2, ["oss://b/2/a#1.jpg", "oss://b/2/a#2.jpg"], kind="copies", update_time=NOON + 2 * DAY)
    maker.group(3, dataset="ben", create_time=NOON + DAY, update_time=NOON + 3 * DAY)
    gone = maker.similar_cluster(4, state="gone", files=0, successor_id=group_id(0))
    maker.insert("similar_image_clusters", [gone])
    return maker


@pytest.mark.long
@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, [3, 2, 1, 0]),
        ({"order": "asc"}, [0, 1, 2, 3]),
        ({"scope": ADA}, [2, 1, 0]),
        ({"scope": Scope("demo", ("ada", "ben")), "sort": "CreateTime", "max_results": 1}, [3]),
        ({"scope": Scope("other")}, []),
        ({"object_ids": (group_id(1),)}, [1]),
        ({"object_ids": (group_id(4),)}, []),
        ({"object_ids": ("' OR 1=1 --",)}, []),
        ({"kinds": ("burst",)}, [1]),
        ({"kinds": ("burst", "copies")}, [2, 1]),
        ({"title": "a"}, []),
        ({"labels": {"k": "v"}}, []),
        ({"created": TimeRange(date(2025, 11, 21), date(2025, 11, 21))}, [3]),
        ({"created": TimeRange(None, datetime(2025, 11, 20, 12, tzinfo=UTC))}, [2, 1, 0]),
        ({"updated": TimeRange(date(2025, 11, 21), date(2025, 11, 22))}, [2, 1]),
        ({"updated": TimeRange(None, NOON)}, [0]),
        ({"sort": "FilesCount", "order": "asc", "max_results": 1}, [2]),
        ({"max_results": 0}, [3, 2, 1, 0]),
    ],
)
def test_filters_and_orders(groups: LakeMaker, asked: dict[str, Any], expected: list[int]) -> None:
    assert ask(groups, **asked) == expected


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"max_results": -1}, "MaxResults -1 is out of range: 0 to 100"),
        ({"max_results": 101}, "MaxResults 101"),
        ({"kinds": ("copy",)}, "kind 'copy' is not one of copies, burst, near-duplicates"),
        ({"sort": "Size"}, "sort 'Size' is not one of UpdateTime, CreateTime, FilesCount"),
        ({"order": "up"}, "order 'up' is not one of asc, desc"),
    ],
)
def test_wrong_values_are_named(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        SimilarImageQuery(ADA, **wrong)


def test_no_limit_means_a_hundred() -> None:
    assert SimilarImageQuery(ADA).max_results == SimilarImageQuery(ADA, max_results=0).max_results == 100


def test_members_come_with_the_cluster_the_best_first(groups: LakeMaker) -> None:
    found = find_cluster(groups.lake, ADA, group_id(0))
    assert [(m["uri"], m["image_score"], m["kind"], m["kept"]) for m in found["members"]] == [
        (uri, score, "near-duplicate", False) for uri, score in zip(group_uris(0), (0.9, 0.8, 0.7), strict=True)
    ]
    assert (found["files"], found["cover_uri"], found["title"]) == (3, group_uris(0)[0], None)


def test_a_huge_cluster_shows_its_best_and_pages_through_all(maker: LakeMaker) -> None:
    uris = [f"oss://b/5/{n:04}.jpg" for n in range(250)]
    maker.group(5, uris)
    maker.insert("files", [maker.file(uri, image_width=40 + n) for n, uri in enumerate(uris[:-1])])
    update_cluster(maker.lake, ADA, group_id(5), {"cover_uri": uris[200]}, Marks(keep=(uris[220],)))
    found = find_cluster(maker.lake, ADA, group_id(5))
    assert found["files"] == 250
    assert [m["uri"] for m in found["members"]] == [uris[220], *uris[: MEMBERS_SHOWN - 1]]
    assert found["cover_uri"] == uris[200]
    rows = all_pages(lambda token: files_of_cluster(maker.lake, ADA, group_id(5), 90, token))
    assert [row["uri"] for row in rows] == [uris[220], *uris[:220], *uris[221:]]
    assert [row["kept"] for row in rows[:2]] == [True, False]
    assert rows[1]["file"]["image_width"] == 40
    assert rows[-1]["file"] is None


def test_filters_see_what_people_gave(groups: LakeMaker) -> None:
    update_cluster(groups.lake, ADA, group_id(0), {"title": "100 % 'Lake'", "custom_labels": {"k": "v"}})
    assert ask(groups, title="LAKE'") == [0]
    assert ask(groups, labels={"k": "v"}) == [0]
    assert ask(groups, labels={"k": "v"}, kinds=("burst",)) == []
    assert ask(groups, labels={"k": "w"}) == []
    assert ask(groups) == [0, 3, 2, 1]  # an edit is an update
    assert ask(groups, sort="CreateTime")[0] == 3
    today = datetime.now(UTC).date()
    assert ask(groups, updated=TimeRange(today - DAY, None)) == [0]
    update_cluster(groups.lake, ADA, group_id(0), {"title": "", "custom_labels": {}})
    assert ask(groups, title="lake") == ask(groups, labels={"k": "v"}) == []


def test_kept_pictures_come_first_and_are_the_cover(groups: LakeMaker) -> None:
    mark(groups, 0, keep="cb")
    found = find_cluster(groups.lake, ADA, group_id(0))
    assert [m["kept"] for m in found["members"]] == [True, True, False]
    assert names(groups, 0) == "bca"
    assert found["cover_uri"] == group_uris(0)[1]
    update_cluster(groups.lake, ADA, group_id(0), {"cover_uri": group_uris(0)[0]})
    assert find_cluster(groups.lake, ADA, group_id(0))["cover_uri"] == group_uris(0)[0]
    mark(groups, 0, unkeep="b")
    assert names(groups, 0) == "cab"
    with pytest.raises(NotFound, match="is not marked to be kept"):
        mark(groups, 0, unkeep="b")


def test_marks_are_of_one_dataset(groups: LakeMaker) -> None:
    uris = group_uris(0)
    groups.group(6, uris, dataset="ben")
    mark(groups, 0, keep="c", part="b")
    assert [m["kept"] for m in find_cluster(groups.lake, groups.scope, group_id(6))["members"]] == [False] * 3


def test_marks_that_hold_already_are_not_written_again(groups: LakeMaker) -> None:
    mark(groups, 0, keep="b", part="c")
    before = groups.lake.read("SELECT count(*) AS edits FROM cluster_edits", "cluster_edits")
    mark(groups, 0, keep="b", part="c")
    assert groups.lake.read("SELECT count(*) AS edits FROM cluster_edits", "cluster_edits") == before


def test_what_is_kept_stays_so_in_another_cluster(groups: LakeMaker) -> None:
    mark(groups, 0, keep="c")
    uri = group_uris(0)[2]
    groups.remove("similar_image_members", f"uri = '{uri}'")
    groups.group(7, ["oss://b/7/x.jpg", uri])
    assert [m["kept"] for m in find_cluster(groups.lake, ADA, group_id(7))["members"]] == [True, False]


@pytest.mark.long
def test_a_parted_picture_leaves_at_once_and_can_come_back(groups: LakeMaker) -> None:
    mark(groups, 0, part="a")
    found = find_cluster(groups.lake, ADA, group_id(0))
    assert (names(groups, 0), found["files"], found["cover_uri"]) == ("bc", 2, group_uris(0)[1])
    [part] = groups.lake.read("SELECT uri, fingerprints FROM cluster_edits", "cluster_edits")
    assert part == {"uri": group_uris(0)[0], "fingerprints": sorted(map(look, group_uris(0)[1:]))}
    assert [r["uri"] for r in files_of_cluster(groups.lake, ADA, group_id(0)).rows] == group_uris(0)[1:]
    for wrong in ({"keep": "a"}, {"part": "x"}):
        with pytest.raises(NotFound, match="is not a picture of cluster"):
            mark(groups, 0, **wrong)
    with pytest.raises(NotFound, match="is not a picture of cluster"):
        update_cluster(groups.lake, ADA, group_id(0), {"cover_uri": group_uris(0)[0]})
    mark(groups, 0, rejoin="a")
    assert names(groups, 0) == "abc"
    with pytest.raises(NotFound, match="is not marked as not similar"):
        mark(groups, 0, rejoin="a")


@pytest.mark.long
def test_a_cluster_of_fewer_than_two_is_hidden_until_one_comes_back(groups: LakeMaker) -> None:
    mark(groups, 0, part="a")
    mark(groups, 0, part="b")
    assert ask(groups) == [3, 2, 1]
    assert ask(groups, sort="CreateTime", order="asc", scope=ADA) == sorted([1, 2], key=group_id)
    assert ask(groups, sort="FilesCount", scope=ADA) == [1, 2]
    with pytest.raises(NotFound, match=r"fewer than two pictures .* --similar URI` takes that back"):
        find_cluster(groups.lake, ADA, group_id(0))
    mark(groups, 0, rejoin="b")
    assert names(groups, 0) == "bc"


def test_those_named_together_are_not_parted_from_each_other(groups: LakeMaker) -> None:
    groups.group(8, [f"oss://b/8/{letter}.jpg" for letter in "abcd"])
    mark(groups, 8, part="ab")
    parts = groups.lake.read("SELECT fingerprints FROM cluster_edits", "cluster_edits")
    apart = sorted(look(f"oss://b/8/{letter}.jpg") for letter in "cd")
    assert [part["fingerprints"] for part in parts] == [apart, apart]
    with pytest.raises(UsageError, match="no picture would stay"):
        mark(groups, 8, part="cd")


def test_copies_of_one_look_can_be_parted(groups: LakeMaker) -> None:
    first, second = "oss://b/2/a#1.jpg", "oss://b/2/a#2.jpg"
    update_cluster(groups.lake, ADA, group_id(2), {}, Marks(part=(second,)))
    assert 2 not in ask(groups)
    update_cluster(groups.lake, ADA, group_id(2), {}, Marks(rejoin=(second,)))
    assert [m["uri"] for m in find_cluster(groups.lake, ADA, group_id(2))["members"]] == [first, second]


@pytest.mark.long
def test_a_parted_picture_shows_where_none_of_the_others_is(groups: LakeMaker) -> None:
    mark(groups, 0, part="a")
    uri = group_uris(0)[0]
    groups.remove("similar_image_members", f"uri = '{uri}'")
    groups.group(7, [uri, "oss://b/7/x.jpg", "oss://b/7/y.jpg"])
    assert len(find_cluster(groups.lake, ADA, group_id(7))["members"]) == 3
    update_cluster(groups.lake, ADA, group_id(7), {}, Marks(part=(uri,)))  # adds up with the first
    assert len(find_cluster(groups.lake, ADA, group_id(7))["members"]) == 2
    groups.remove("similar_image_members", f"uri = '{uri}'")
    groups.group(9, [uri, group_uris(0)[1], "oss://b/9/z.jpg"])
    assert len(find_cluster(groups.lake, ADA, group_id(9))["members"]) == 2
    update_cluster(groups.lake, ADA, group_id(0), {}, Marks(rejoin=(uri,)))
    assert len(find_cluster(groups.lake, ADA, group_id(9))["members"]) == 3


def test_a_picture_is_parted_from_so_many_looks_and_no_more(maker: LakeMaker) -> None:
    uris = [f"oss://b/5/{n:05}.jpg" for n in range(1002)]
    maker.group(5, uris)
    with pytest.raises(UsageError, match="over 1,000 different looks"):
        update_cluster(maker.lake, ADA, group_id(5), {}, Marks(part=(uris[0],)))
    update_cluster(maker.lake, ADA, group_id(5), {}, Marks(part=tuple(uris[:2])))
    assert find_cluster(maker.lake, ADA, group_id(5))["files"] == 1000


@pytest.mark.long
@pytest.mark.parametrize(
    ("fields", "marks", "message"),
    [
        ({}, {}, "nothing to change"),
        ({"title": "x" * 1025}, {}, "1,025 bytes"),
        ({}, {"keep": ("a",), "unkeep": ("a",)}, "'a' is given to --keep and to --unkeep"),
        ({}, {"keep": ("a",), "part": ("a",)}, "'a' is given to --keep and to --not-similar"),
        ({}, {"part": ("a",), "rejoin": ("a",)}, "--not-similar and to --similar"),
        ({}, {"keep": ("\udce9",)}, "UTF-8"),
        ({"cover_uri": group_uris(0)[0]}, {"part": (group_uris(0)[0],)}, "cover and not similar at once"),
    ],
)
def test_wrong_changes_are_refused(
    groups: LakeMaker, fields: dict[str, Any], marks: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        update_cluster(groups.lake, ADA, group_id(0), fields, Marks(**marks))
    assert groups.lake.read("SELECT 1 AS one FROM cluster_edits", "cluster_edits") == []


def test_a_cover_that_left_is_none(groups: LakeMaker) -> None:
    update_cluster(groups.lake, ADA, group_id(0), {"cover_uri": group_uris(0)[2]})
    assert find_cluster(groups.lake, ADA, group_id(0))["cover_uri"] == group_uris(0)[2]
    groups.remove("similar_image_members", f"uri = '{group_uris(0)[2]}'")
    assert find_cluster(groups.lake, ADA, group_id(0))["cover_uri"] == group_uris(0)[0]


@pytest.mark.long
def test_edits_follow_merges(groups: LakeMaker) -> None:
    groups.insert(
        "similar_image_clusters",
        [groups.similar_cluster(90, state="gone", files=0, successor_id=group_id(4))],
    )
    groups.insert("cluster_edits", [similar_edit(1, 90, title="Lake", custom_labels={"a": "1"})])
    assert find_cluster(groups.lake, ADA, group_id(0))["title"] == "Lake"  # by way of 4, gone too
    groups.insert("cluster_edits", [similar_edit(2, 4, title="Tea")])
    assert ask(groups, title="tea", labels={"a": "1"}) == [0]
    update_cluster(groups.lake, ADA, group_id(0), {"title": "Ours"})
    assert find_cluster(groups.lake, ADA, group_id(0))["title"] == "Ours"
    groups.insert("cluster_edits", [similar_edit(4, 4, "delete")])
    assert 0 in ask(groups)
    uri = group_uris(0)[2]  # marked while it was in the cluster that is gone
    groups.insert(
        "cluster_edits",
        [similar_edit(5, 4, "part", uri=uri, fingerprints=[look(group_uris(0)[0])])],
    )
    assert names(groups, 0) == "ab"
    update_cluster(groups.lake, ADA, group_id(4), {}, Marks(rejoin=(uri,)))  # the gone cluster's id does
    assert names(groups, 0) == "abc"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"state": "gone", "successor_id": group_id(1)}, f"{group_id(1)} took over most of its pictures"),
        ({"state": "gone"}, "is gone; `lakealbum explain"),
        (None, "there is no cluster"),
    ],
)
def test_a_missing_cluster_is_explained(groups: LakeMaker, row: Row | None, message: str) -> None:
    if row:
        groups.insert("similar_image_clusters", [groups.similar_cluster(50, **row)])
    with pytest.raises(NotFound, match=message):
        find_cluster(groups.lake, ADA, group_id(50))


@pytest.mark.long
def test_deleting_hides_at_once_and_can_be_undone(groups: LakeMaker) -> None:
    mark(groups, 0, keep="c", part="a")  # marks are no deletions, nor their undoing
    delete_cluster(groups.lake, groups.scope, group_id(0))
    mark(groups, 1, keep="a")
    assert set(ask(groups)) == {1, 2, 3}
    with pytest.raises(NotFound, match="was deleted; `lakealbum undelete similar-images"):
        find_cluster(groups.lake, groups.scope, group_id(0))
    assert undelete_cluster(groups.lake, groups.scope, group_id(0))
    assert names(groups, 0) == "cb"
    with pytest.raises(NotFound, match="no deletion"):
        undelete_cluster(groups.lake, groups.scope, group_id(0))


def test_a_lake_never_clustered_has_no_clusters(maker: LakeMaker) -> None:
    assert query_similar_images(maker.lake, SimilarImageQuery(maker.scope)).rows == []


@pytest.mark.parametrize("text", ["", "x", "SimilarImageCluster-", "location-date-cluster-1"])
def test_what_is_no_id_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not the id of a similar-image cluster"):
        GROUPS.full_id(text)


@pytest.fixture(scope="module")
def paged(tmp_path_factory: pytest.TempPathFactory) -> LakeMaker:
    """Sixty groups with many ties, some edited, two deleted, one left with too few pictures, ten gone."""
    maker = LakeMaker(tmp_path_factory.mktemp("paged"))
    pick = random.Random(3)
    maker.datasets("ada", "ben")
    letters = {n: "abcde"[: pick.randint(2, 5)] for n in range(60)} | {30: "ab", 31: "abcd"}
    uris = {n: [f"oss://b/{n}/{letter}.jpg" for letter in letters[n]] for n in letters}
    dataset = {n: "ada" if n % 3 else "ben" for n in letters}
    maker.insert(
        "similar_image_clusters",
        [
            maker.similar_cluster(
                n,
                uris[n],
                dataset[n],
                kind=["burst", "copies"][n % 2],
                state="gone" if n >= 50 else "live",
                create_time=NOON + pick.randint(0, 3) * DAY,
                update_time=NOON + pick.randint(0, 3) * DAY,
            )
            for n in letters
        ],
    )
    maker.insert("similar_image_members", [row for n in range(50) for row in maker.members(n, uris[n], dataset[n])])
    for n in (20, 21, 22):
        update_cluster(maker.lake, maker.scope, group_id(n), {"title": "Edited"})
    for n in (10, 11):
        delete_cluster(maker.lake, maker.scope, group_id(n))
    for n in (30, 31):
        mark(maker, n, part="a")
    return maker


@pytest.mark.long
@settings(max_examples=examples(10), deadline=None)
@given(data=st.data())
def test_pages_are_the_sorted_whole(paged: LakeMaker, data: st.DataObject) -> None:
    sort = data.draw(st.sampled_from(sorted(SORTS)))
    order = data.draw(st.sampled_from(["asc", "desc"]))
    size = data.draw(st.sampled_from([1, 4, 9, 30]))
    title = data.draw(st.sampled_from([None, "edit"]))
    kinds = data.draw(st.sampled_from([(), ("burst",)]))
    scope = data.draw(st.sampled_from([paged.scope, ADA]))
    asked: Any = {"scope": scope, "title": title, "kinds": kinds, "sort": sort, "order": order}
    rows = all_pages(
        lambda token: query_similar_images(paged.lake, SimilarImageQuery(**asked, max_results=size), token)
    )
    assert rows == query_similar_images(paged.lake, SimilarImageQuery(**asked)).rows
    keys = [(row[SORTS[sort]], row["object_id"]) for row in rows]
    assert keys == sorted(keys, reverse=order == "desc")
    assert all(row["files"] == len(row["members"]) for row in rows)
    assert set(numbers(rows)) == {
        n
        for n in range(50)
        if (scope is paged.scope or n % 3)
        and n not in (10, 11, 30)
        and (title is None or n in (20, 21, 22))
        and (not kinds or n % 2 == 0)
    }


@pytest.mark.long
@pytest.mark.parametrize("sort", sorted(SORTS))
@pytest.mark.parametrize("order", ["asc", "desc"])
def test_rows_that_come_between_pages_repeat_and_hide_none(
    paged: LakeMaker, tmp_path: Path, sort: str, order: Any
) -> None:
    shutil.copytree(paged.root, tmp_path / "lake")
    maker = LakeMaker(tmp_path / "lake")
    asked: Any = {"scope": maker.scope, "sort": sort, "order": order}
    before = query_similar_images(maker.lake, SimilarImageQuery(**asked)).rows
    fresh = iter(range(100, 200))

    def between() -> None:
        number = next(fresh)
        maker.group(number, update_time=NOON + number % 4 * DAY)
        mark(maker, number, keep="b")

    query = SimilarImageQuery(**asked, max_results=17)
    found = numbers(all_pages(lambda token: query_similar_images(maker.lake, query, token), between))
    assert len(found) == len(set(found))
    assert [n for n in found if n < 100] == numbers(before)


def test_a_token_is_good_for_its_query_alone(paged: LakeMaker) -> None:
    first = query_similar_images(paged.lake, SimilarImageQuery(paged.scope, max_results=5, sort="FilesCount"))
    more = query_similar_images(
        paged.lake, SimilarImageQuery(paged.scope, max_results=9, sort="FilesCount"), first.next_token
    )
    whole = query_similar_images(paged.lake, SimilarImageQuery(paged.scope, max_results=14, sort="FilesCount"))
    assert first.rows + more.rows == whole.rows
    for other in ({"scope": ADA}, {"title": "o"}, {"order": "asc"}, {"sort": "CreateTime"}, {"kinds": ("burst",)}):
        asked: Any = {"scope": paged.scope, "sort": "FilesCount", **other}
        with pytest.raises(UsageError, match="NextToken"):
            query_similar_images(paged.lake, SimilarImageQuery(**asked), first.next_token)
