"""What people said of files, folded and laid over what sources say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from catalog.file_edits import FileChange, append_file_edits, seen_files, take_back_labels
from catalog.files import FileQuery, query_files
from catalog.lake import Row, Scope
from catalog.simple_query import conditions
from catalog.times import TimeRange
from schemas.errors import UsageError
from tests.catalog.conftest import LakeMaker

TAKEN = datetime(2020, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def library(maker: LakeMaker) -> LakeMaker:
    """Two pictures of ada, with what a source says of them."""
    labels = {"custom_id": "theirs", "custom_labels": {"k": "v"}, "latitude": 30.25, "longitude": 120.0}
    maker.insert("files", [maker.file("a.jpg", **labels), maker.file("b.jpg", **labels)])
    return maker


def say(maker: LakeMaker, uri: str, *, back: tuple[Any, ...] = (), **fields: Any) -> None:
    """Appends an edit of a file."""
    (file,) = maker.lake.read(f"SELECT * FROM files WHERE uri = '{uri}'", "files")
    append_file_edits(maker.lake, [(file, FileChange(fields, back))])


def seen(maker: LakeMaker, uri: str) -> Row:
    """A file as people see it."""
    return query_files(maker.lake, FileQuery(maker.scope, conditions(None, uri=uri))).rows[0]


def test_what_nobody_edited_is_the_table_itself(library: LakeMaker) -> None:
    assert seen_files(library.lake, library.scope) == ("files", ("files",))


def test_the_last_edit_of_each_aspect_holds(library: LakeMaker) -> None:
    say(library, "a.jpg", custom_id="mine", custom_labels={"season": "spring"})
    say(library, "a.jpg", custom_id="again", produce_time=TAKEN, time_is="local")
    say(library, "a.jpg", latitude=1.0, longitude=2.0)
    file = seen(library, "a.jpg")
    assert (file["custom_id"], file["custom_labels"]) == ("again", {"season": "spring"})
    assert (file["produce_time"], file["time_is"], file["utc_offset"]) == (TAKEN, "local", None)
    assert (file["latitude"], file["longitude"], file["address"]) == (1.0, 2.0, None)
    assert (file["time_source"], file["location_source"]) == ("edited", "edited")
    other = seen(library, "b.jpg")
    assert (other["custom_id"], other["latitude"], other["utc_offset"]) == ("theirs", 30.25, 480)


def test_what_is_cleared_is_gone_and_what_is_taken_back_is_the_sources(library: LakeMaker) -> None:
    say(library, "a.jpg", custom_id="", custom_labels={})
    assert (seen(library, "a.jpg")["custom_id"], seen(library, "a.jpg")["custom_labels"]) == (None, {})
    say(library, "a.jpg", back=("custom_id",))
    assert (seen(library, "a.jpg")["custom_id"], seen(library, "a.jpg")["custom_labels"]) == ("theirs", {})
    say(library, "a.jpg", latitude=1.0, longitude=2.0)
    say(library, "a.jpg", back=("place", "custom_labels"))
    assert (seen(library, "a.jpg")["latitude"], seen(library, "a.jpg")["custom_labels"]) == (30.25, {"k": "v"})


def test_a_file_is_found_by_its_corrected_time(library: LakeMaker) -> None:
    say(library, "a.jpg", produce_time=TAKEN, time_is="instant")
    asked = TimeRange(datetime(2020, 1, 1, tzinfo=UTC), datetime(2020, 12, 31, tzinfo=UTC))
    page = query_files(library.lake, FileQuery(library.scope, conditions(None, produced=asked), with_total=True))
    assert ([row["uri"] for row in page.rows], page.total) == (["a.jpg"], 1)


def test_an_edit_follows_the_file_not_the_uri(library: LakeMaker) -> None:
    say(library, "a.jpg", custom_id="mine")
    (file,) = library.lake.read("SELECT * FROM files WHERE uri = 'a.jpg'", "files")
    library.remove("files", "uri = 'a.jpg'")
    library.insert("files", [{**file, "uri": "moved.jpg"}, library.file("a.jpg", object_id="another")])
    assert seen(library, "moved.jpg")["custom_id"] == "mine"
    assert seen(library, "a.jpg")["custom_id"] is None


def test_edits_of_other_datasets_do_not_show(library: LakeMaker) -> None:
    library.insert("files", [library.file("a.jpg", dataset="ben")])
    say(library, "b.jpg", custom_id="mine")
    page = query_files(library.lake, FileQuery(Scope("demo", ("ben",))))
    assert [row["custom_id"] for row in page.rows] == [None]


@pytest.mark.parametrize(
    ("fields", "back", "told"),
    [
        ({}, (), "nothing to change"),
        ({"custom_id": "x" * 1025}, (), "1,025 bytes"),
        ({"custom_labels": {"": "v"}}, (), "empty key"),
        ({"custom_labels": {"k": 1}}, (), "texts are accepted"),
        ({"custom_labels": {str(n): "v" for n in range(101)}}, (), "101 keys"),
        ({"latitude": 1.0}, (), "a latitude and a longitude"),
        ({"latitude": 91.0, "longitude": 0.0}, (), "degrees from -90 to 90"),
        ({"address": {"village": "x"}}, (), "'village'"),
        ({"custom_id": "x"}, ("custom_id",), "given and taken back"),
        ({}, ("colour",), "'colour' cannot be taken back"),
    ],
)
def test_what_is_not_accepted_is_named(fields: dict[str, Any], back: tuple[Any, ...], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        FileChange(fields, back)


def test_a_source_that_is_asked_to_take_the_place_of_labels_does_and_of_later_ones_does_not(library: LakeMaker) -> None:
    now = datetime.now(UTC)
    for uri in ("a.jpg", "b.jpg"):
        say(library, uri, custom_id="mine", custom_labels={"season": "spring"}, latitude=1.0, longitude=2.0)
    say(library, "b.jpg", back=("custom_labels",))
    asked = {("ada", uri): now + timedelta(hours=1) for uri in ("a.jpg", "new.jpg")}
    take_back_labels(library.lake, library.project, {**asked, ("ada", "b.jpg"): now - timedelta(hours=1)})
    a, b = seen(library, "a.jpg"), seen(library, "b.jpg")
    assert (a["custom_id"], a["custom_labels"], a["latitude"]) == ("theirs", {"k": "v"}, 1.0)
    assert (b["custom_id"], b["custom_labels"]) == ("mine", {"k": "v"})
    edits = library.lake.count("file_edits", "file_edits")
    take_back_labels(library.lake, library.project, asked)
    assert library.lake.count("file_edits", "file_edits") == edits
