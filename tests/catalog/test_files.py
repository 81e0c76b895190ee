"""Files by dataset and common filters; their order, pages and aggregations."""

from __future__ import annotations

from datetime import UTC, date, datetime
from itertools import product
from typing import Any

import pytest
from deltalake import DeltaTable

from catalog.files import Aggregation, FileQuery, aggregate_files, count_files, query_files, read_files
from catalog.lake import Scope
from catalog.simple_query import conditions
from catalog.times import TimeRange
from schemas.errors import LimitExceeded, UsageError
from tests.catalog.conftest import DAY, NOON, LakeMaker

HOSTILE = "oss://b/it's \\ 100 %_ 🏝️.jpg"
ADA = Scope("demo", ("ada",))


@pytest.fixture
def library(maker: LakeMaker) -> LakeMaker:
    """Five files of ada and ben."""
    maker.insert(
        "files",
        [
            maker.file("a.jpg"),
            maker.file("a.jpg", dataset="ben", produce_time=datetime(2020, 1, 1, 23, 59, tzinfo=UTC)),
            maker.file("b.mov", media_type="video"),
            maker.file("c.jpg", deleted_time=NOON),
            maker.file(HOSTILE, produce_time=None, time_is=None),
        ],
    )
    return maker


@pytest.mark.parametrize(
    ("asked", "given", "expected"),
    [
        ({}, {}, ["a.jpg", "a.jpg", "b.mov", HOSTILE]),
        ({"order": ("desc",)}, {}, [HOSTILE, "b.mov", "a.jpg", "a.jpg"]),
        ({"scope": Scope("demo", ("ben",))}, {}, ["a.jpg"]),
        ({}, {"uri": HOSTILE}, [HOSTILE]),
        ({}, {"uri": "oss://b/%"}, []),
        ({}, {"media_type": "video"}, ["b.mov"]),
        ({"removed": True}, {}, ["c.jpg"]),
        ({}, {"produced": TimeRange(None, date(2020, 1, 1))}, ["a.jpg"]),
        ({}, {"produced": TimeRange(date(2020, 1, 2)), "media_type": "image"}, ["a.jpg"]),
    ],
)
def test_filters(library: LakeMaker, asked: Any, given: Any, expected: list[str]) -> None:
    page = query_files(library.lake, FileQuery(**{"scope": library.scope, "where": conditions(None, **given), **asked}))
    assert [row["uri"] for row in page.rows] == expected
    assert page.next_token is None


def all_pages(maker: LakeMaker, size: int, **asked: Any) -> list[str]:
    """The URIs of all pages of a size."""
    uris: list[str] = []
    token = None
    while True:
        page = query_files(maker.lake, FileQuery(ADA, max_results=size, **asked), token)
        uris += [row["uri"] for row in page.rows]
        token = page.next_token
        if token is None:
            return uris
        assert len(page.rows) == size


@pytest.mark.long
def test_orders_of_several_fields_with_missing_values_last(maker: LakeMaker) -> None:
    sizes, titles = [None, 1, 2], [None, "", "a"]
    made = {f"{n}.jpg": pair for n, pair in enumerate(product(sizes, titles))}
    rows = [maker.file(uri, size=size, title=title) for uri, (size, title) in made.items()]
    maker.insert("files", rows)

    def ranked(values: list[Any], order: str) -> dict[Any, int]:
        known = sorted((v for v in values if v is not None), reverse=order == "desc")
        return {value: rank for rank, value in enumerate([*known, None])}

    for first, second in product(("asc", "desc"), repeat=2):
        by_size, by_title = ranked(sizes, first), ranked(titles, second)
        expected = sorted(made, key=lambda uri: (by_size[made[uri][0]], by_title[made[uri][1]], uri))
        for size in (1, 2, 100):
            assert all_pages(maker, size, sort=("Size", "Title"), order=(first, second)) == expected


def test_orders_left_out(maker: LakeMaker) -> None:
    maker.insert("files", [maker.file(f"{n}.jpg", size=n % 2, image_width=n) for n in range(4)])
    assert all_pages(maker, 3, sort=("Size", "ImageWidth")) == ["3.jpg", "1.jpg", "2.jpg", "0.jpg"]
    assert all_pages(maker, 3, sort=("Size", "ImageWidth"), order=("desc",)) == ["1.jpg", "3.jpg", "0.jpg", "2.jpg"]
    assert all_pages(maker, 3, sort=("Bitrate", "Size"), order=("asc", "desc")) == ["1.jpg", "3.jpg", "0.jpg", "2.jpg"]


def test_every_single_field_sorts_and_sums_whatever_is_asked_for(library: LakeMaker) -> None:
    fields = ["CreateTime", "Filename", "FigureCount", "Timezone", "ImageScore.OverallQualityScore", "DatasetName"]
    for field in fields:
        assert sorted(all_pages(library, 2, sort=(field, "MediaType"))) == sorted(["a.jpg", "b.mov", HOSTILE])
    same = conditions('{"Field": "FigureCount", "Operation": "eq", "Value": "0"}')
    assert len(all_pages(library, 2, where=same, sort=("FigureCount", "Timezone"))) == 3


def test_pages_stay_as_they_were_when_the_first_one_was_read(maker: LakeMaker) -> None:
    maker.insert("files", [maker.file(f"{n}.jpg", size=n) for n in range(6)])
    asked = FileQuery(ADA, sort=("Size",), order=("asc",), max_results=2, with_total=True)
    first = query_files(maker.lake, asked)
    table = DeltaTable(f"{maker.root}/files")
    table.update({"size": "10 - size"}, predicate="uri <> 'x'")  # what was shown would be shown again
    maker.insert("files", [maker.file("new.jpg", size=3)])
    maker.remove("files", "uri = '4.jpg'")
    second = query_files(maker.lake, asked, first.next_token)
    third = query_files(maker.lake, asked, second.next_token)
    assert [row["uri"] for page in (first, second, third) for row in page.rows] == [f"{n}.jpg" for n in range(6)]
    assert (second.total, third.total, third.next_token) == (6, 6, None)
    assert query_files(maker.lake, asked).total == 6
    assert [row["uri"] for row in query_files(maker.lake, asked).rows] == ["new.jpg", "5.jpg"]


def test_a_token_is_good_for_its_query_alone_and_as_long_as_its_version_is_kept(library: LakeMaker) -> None:
    token = query_files(library.lake, FileQuery(library.scope, max_results=1)).next_token
    assert token
    for other in (
        {"sort": ("Filename",), "order": ("asc",)},
        {"where": conditions(None, media_type="image")},
        {"scope": ADA},
        {"removed": True},
    ):
        with pytest.raises(UsageError, match="NextToken is not one that this query gave"):
            query_files(library.lake, FileQuery(**{"scope": library.scope, **other}), token)  # type: ignore[arg-type]
    assert query_files(library.lake, FileQuery(library.scope, max_results=3, fields=("URI",)), token).rows
    library.rewrite("files", [library.file("d.jpg")])
    DeltaTable(f"{library.root}/files").vacuum(0, dry_run=False, enforce_retention_duration=False)
    with pytest.raises(UsageError, match="NextToken goes on with files at version 1, which the lake does not keep"):
        query_files(library.lake, FileQuery(library.scope, max_results=1), token)


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"sort": ("size",)}, UsageError),
        ({"sort": ("Figures.Age",)}, UsageError),
        ({"sort": ("LatLong",)}, UsageError),
        ({"sort": ("Size",) * 6}, LimitExceeded),
        ({"sort": ("Size",), "order": ("asc", "asc")}, UsageError),
        ({"order": ("up",)}, UsageError),
        ({"max_results": 101}, UsageError),
        ({"fields": ("Sizes",)}, UsageError),
    ],
)
def test_wrong_values_are_named(wrong: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error, match=r"accepted|is not one of"):
        FileQuery(Scope("demo"), **wrong)


def test_groups_are_the_largest_first_and_limited(maker: LakeMaker) -> None:
    maker.insert(
        "files", [maker.file(f"{n}.jpg", title="abbccc"[n], produce_time=NOON + n % 2 * DAY) for n in range(6)]
    )
    asked = [Aggregation("Title", "group"), Aggregation("ProduceTime", "group"), Aggregation("LatLong", "count")]
    titles, times, points = aggregate_files(maker.lake, FileQuery(ADA), asked, 2)
    assert titles.groups == (("c", 3), ("b", 2))
    assert times.groups == ((NOON, 3), (NOON + DAY, 3))
    assert points.value == 0
    assert count_files(maker.lake, FileQuery(ADA)) == 6
    for wrong in (("Title", "sum"), ("Colour", "count"), ("LatLong", "group"), ("ProduceTime", "min")):
        with pytest.raises(UsageError, match=r"is not one of"):
            Aggregation(*wrong)  # type: ignore[arg-type]
    with pytest.raises(LimitExceeded, match="101 aggregations"):
        aggregate_files(maker.lake, FileQuery(ADA), [Aggregation("Size", "sum")] * 101)
    with pytest.raises(UsageError, match="2001 is out of range: 1 to 2000"):
        aggregate_files(maker.lake, FileQuery(ADA), asked, 2001)


def test_many_different_values_are_counted_approximately(maker: LakeMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    maker.insert("files", [maker.file(f"{n}.jpg") for n in range(3000)])
    monkeypatch.setattr("catalog.files.EXACT_DISTINCT", 1000)
    (found,) = aggregate_files(maker.lake, FileQuery(ADA), [Aggregation("URI", "distinct")])
    assert found.value == pytest.approx(3000, rel=0.05)


def test_files_by_uri_as_queries_show_them(library: LakeMaker) -> None:
    library.insert("figures", [library.figure("f", uri="a.jpg")])
    rows = read_files(library.lake, ADA, ["b.mov", "a.jpg", "c.jpg", "nowhere.jpg", "a.jpg"])
    assert [(row["uri"], len(row["figures"])) for row in rows] == [("a.jpg", 1), ("b.mov", 0)]
    assert "figures" not in read_files(library.lake, ADA, ["a.jpg"], fields=("URI", "Size"))[0]


def test_files_that_callers_deleted_are_hidden_until_they_are_indexed_again(library: LakeMaker) -> None:
    edits = [library.file_edit("a.jpg", removed_time=NOON), library.file_edit("b.mov", removed_time=NOON - DAY)]
    library.insert("file_notes", edits)
    assert all_pages(library, 5) == ["b.mov", HOSTILE]
    assert count_files(library.lake, FileQuery(ADA)) == 2
    assert [row["uri"] for row in read_files(library.lake, ADA, ["a.jpg", "b.mov"])] == ["b.mov"]
    (found,) = aggregate_files(library.lake, FileQuery(ADA), [Aggregation("MediaType", "group")])
    assert found.groups == (("image", 1), ("video", 1))
    assert len(query_files(library.lake, FileQuery(library.scope)).rows) == 3
