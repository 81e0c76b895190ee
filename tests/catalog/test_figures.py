"""Finding people, page by page, and what people decide about them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from catalog.edits import append_edit
from catalog.figures import (
    SORTS,
    Change,
    FaceMarks,
    FigureQuery,
    files_of_person,
    find_person,
    ignore_person,
    query_figures,
    undelete_person,
    update_person,
)
from catalog.lake import Scope
from schemas.errors import Conflict, NotFound, UsageError
from tests.catalog.conftest import DAY, NOON, LakeMaker, person_id

ADA = Scope("demo", ("ada",))


def ask(maker: LakeMaker, **asked: Any) -> list[int]:
    """The numbers of the people who fit, in order, two a page."""
    by_id = {person_id(number): number for number in range(10)}
    found: list[int] = []
    token = None
    while True:
        page = query_figures(maker.lake, FigureQuery(maker.scope, max_results=2, **asked), token)
        found += [by_id[row["object_id"]] for row in page.rows]
        token = page.next_token
        if token is None:
            return found


def total(maker: LakeMaker, **asked: Any) -> int | None:
    """How many fit."""
    return query_figures(maker.lake, FigureQuery(maker.scope, max_results=1, with_total=True, **asked)).total


def change(maker: LakeMaker, number: int, lock_version: int | None = None, **fields: Any) -> None:
    """Gives the fields of a person new values."""
    update_person(maker.lake, maker.scope, person_id(number), Change(fields), lock_version)


@pytest.fixture
def four(maker: LakeMaker) -> LakeMaker:
    """People 1 to 4, of ada, but 4 of ben; 1 and 3 have names."""
    for number, more in enumerate(({"gender": "male"}, {}, {"gender": "female"}, {"dataset": "ben"}), start=1):
        faces = [f"{number}-{face}" for face in "abcdef"[: number + 2]]
        maker.person(number, faces, create_time=NOON + number * DAY, **more)
    change(maker, 1, title="Zoe")
    change(maker, 3, title="Ada", custom_labels={"family": "yes"})
    return maker


@pytest.mark.long
def test_every_sort_in_both_orders_and_its_total(four: LakeMaker) -> None:
    by_id = sorted((1, 2, 3, 4), key=person_id)
    expected = {
        "ObjectId": by_id,
        "FaceCount": [1, 2, 3, 4],
        "ImageCount": [1, 2, 3, 4],
        "VideoCount": by_id,
        "ProjectName": by_id,
        "DatasetName": [n for n in by_id if n != 4] + [4],
        "CreateTime": [1, 2, 3, 4],
        "UpdateTime": [n for n in by_id if n in (2, 4)] + [1, 3],
        "Gender": [n for n in by_id if n in (2, 4)] + [3, 1],
        "GroupName": [n for n in by_id if n in (2, 4)] + [3, 1],
    }
    assert set(expected) == set(SORTS)
    for sort, numbers in expected.items():
        assert ask(four, sort=sort) == numbers, sort
        assert ask(four, sort=sort, order="desc") == numbers[::-1], sort
        assert total(four, sort=sort) == 4


def test_filters_and_their_totals(four: LakeMaker) -> None:
    filters: list[tuple[dict[str, Any], set[int]]] = [
        ({"title": "z"}, {1}),
        ({"labels": {"family": "yes"}}, {3}),
        ({"object_ids": (person_id(2), person_id(4), person_id(9))}, {2, 4}),
        ({"object_ids": (person_id(1),), "title": "ada"}, set()),
    ]
    for asked, numbers in filters:
        assert set(ask(four, **asked)) == numbers
        assert total(four, **asked) == len(numbers)
    ignore_person(four.lake, four.scope, person_id(2))
    assert (set(ask(four)), total(four)) == ({1, 3, 4}, 3)
    assert undelete_person(four.lake, four.scope, person_id(2))
    assert total(four) == 4
    with pytest.raises(UsageError, match="101 ids; up to 100"):
        FigureQuery(four.scope, object_ids=tuple(map(str, range(101))))


def test_a_chosen_cover_is_shown_while_it_is_a_face_of_the_person(four: LakeMaker) -> None:
    with pytest.raises(NotFound, match="cover '2-a' is not a face of person"):
        change(four, 1, cover_figure_id="2-a")
    change(four, 1, cover_figure_id="1-b")
    seen = find_person(four.lake, four.scope, person_id(1))
    assert (seen["cover_figure_id"], seen["cover_uri"]) == ("1-b", "oss://b/1-b.jpg")
    four.remove("figure_members", "figure_id = '1-b'")
    assert find_person(four.lake, four.scope, person_id(1))["cover_figure_id"] == "1-a"
    change(four, 1, cover_figure_id="")
    assert find_person(four.lake, four.scope, person_id(1))["cover_figure_id"] == "1-a"


def test_all_is_checked_before_the_first_edit(four: LakeMaker) -> None:
    me = person_id(2)
    refused = {
        NotFound: [
            Change({"title": "x"}, merge=(person_id(9),)),
            Change({"title": "x"}, merge=(person_id(4),)),  # of another dataset
            Change({"title": "x"}, FaceMarks(part=("nobody",))),
            Change({"title": "x"}, unmerge=True),
        ],
        UsageError: [Change({"title": "x"}, merge=(person_id(3), me))],
        Conflict: [],
    }
    for error, changes in refused.items():
        for wanted in changes:
            with pytest.raises(error):
                update_person(four.lake, ADA, me, wanted)
    with pytest.raises(Conflict, match="has MetaLockVersion 0, not 1"):
        update_person(four.lake, ADA, me, Change({"title": "x"}), lock_version=1)
    with pytest.raises(UsageError, match="nothing to change"):
        Change()
    with pytest.raises(UsageError, match="101 people to merge"):
        Change(merge=tuple(map(person_id, range(101))))
    assert find_person(four.lake, ADA, me)["lock_version"] == 0


def test_of_two_edits_of_one_lock_version_one_is_refused(four: LakeMaker) -> None:
    def rename(name: str) -> bool:
        try:
            change(four, 2, lock_version=0, title=name)
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(4) as several:
        done = list(several.map(rename, "abcd"))
    assert done.count(True) == 1
    seen = find_person(four.lake, four.scope, person_id(2))
    assert (seen["title"], seen["lock_version"]) == ("abcd"[done.index(True)], 1)
    change(four, 2, lock_version=1, title="e")
    assert find_person(four.lake, four.scope, person_id(2))["lock_version"] == 2


def test_merging_is_taken_back_once(four: LakeMaker) -> None:
    update_person(four.lake, ADA, person_id(1), Change(merge=(person_id(2), person_id(3))))
    update_person(four.lake, ADA, person_id(2), Change(unmerge=True))
    with pytest.raises(NotFound, match="no merging of person"):
        update_person(four.lake, ADA, person_id(2), Change(unmerge=True))
    actions = [
        row["action"] for row in four.lake.read("SELECT * FROM cluster_edits ORDER BY sequence", "cluster_edits")
    ]
    assert actions == ["update", "update", "merge", "merge", "unmerge"]


def test_files_of_a_person_page_by_page(four: LakeMaker) -> None:
    first = files_of_person(four.lake, four.scope, person_id(3), 2, with_total=True)
    assert ([row["uri"] for row in first.rows], first.total) == (["oss://b/3-a.jpg", "oss://b/3-b.jpg"], 5)
    second = files_of_person(four.lake, four.scope, person_id(3), 4, first.next_token)
    assert [row["figure_ids"] for row in second.rows] == [["3-c"], ["3-d"], ["3-e"]]
    assert (second.total, second.next_token) == (None, None)


def test_why_a_person_is_not_there(four: LakeMaker) -> None:
    append_edit(four.lake, "figures", find_person(four.lake, ADA, person_id(1)), "delete")
    with pytest.raises(NotFound, match="was deleted; `lakealbum undelete figures"):
        find_person(four.lake, four.scope, person_id(1))
    with pytest.raises(NotFound, match="there is no cluster"):
        find_person(four.lake, four.scope, person_id(7))
