"""Files by dataset, URI and simple filters."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from catalog.files import FileQuery, query_files
from catalog.lake import Scope
from catalog.times import TimeRange
from schemas.errors import UsageError
from tests.catalog.conftest import NOON, LakeMaker

HOSTILE = "oss://b/it's \\ 100 %_ 🏝️.jpg"


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
    ("asked", "expected"),
    [
        ({}, ["a.jpg", "a.jpg", "b.mov", HOSTILE]),
        ({"order": "desc"}, [HOSTILE, "b.mov", "a.jpg", "a.jpg"]),
        ({"scope": Scope("demo", ("ben",))}, ["a.jpg"]),
        ({"uri": HOSTILE}, [HOSTILE]),
        ({"uri": "oss://b/%"}, []),
        ({"media_type": "video"}, ["b.mov"]),
        ({"removed": True}, ["c.jpg"]),
        ({"produced": TimeRange(None, date(2020, 1, 1))}, ["a.jpg"]),
    ],
)
def test_filters(library: LakeMaker, asked: dict[str, Any], expected: list[str]) -> None:
    page = query_files(library.lake, FileQuery(**{"scope": library.scope, **asked}))
    assert [row["uri"] for row in page.rows] == expected
    assert page.next_token is None


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_pages_are_the_whole(library: LakeMaker, order: Any) -> None:
    whole = query_files(library.lake, FileQuery(library.scope, order=order)).rows
    rows, token = [], None
    for _ in whole:
        page = query_files(library.lake, FileQuery(library.scope, order=order, max_results=1), token)
        rows += page.rows
        token = page.next_token
    assert rows == whole
    assert token is None


@pytest.mark.parametrize("wrong", [{"media_type": "audio"}, {"sort": "Size"}, {"order": "up"}, {"max_results": 101}])
def test_wrong_values_are_named(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"accepted|is not one of"):
        FileQuery(Scope("demo"), **wrong)
