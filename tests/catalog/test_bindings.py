"""Bindings and their listings."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from catalog.bindings import (
    LISTING_SCHEMA,
    bind,
    change_binding,
    delete_binding,
    get_binding,
    list_bindings,
    read_listing,
    record_listing,
)
from catalog.lake import Lake, Row, Scope
from schemas.binding_files import BINDING_FILES
from schemas.errors import NotFound, UsageError

ADA = Scope("demo", ("ada",))
PHOTOS = {"format": "photos"}


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """A lake that its first binding made."""
    bind(str(tmp_path / "lake"), ADA, "/pictures/ada/", PHOTOS)
    return Lake(str(tmp_path / "lake"))


def entries(*uris: str, **more: Any) -> pa.Table:
    """A listing of files of a byte."""
    return pa.Table.from_pylist([{"uri": uri, "size": 1, **more} for uri in uris], schema=LISTING_SCHEMA)


def uris(lake: Lake, binding: Row) -> list[str]:
    return sorted(read_listing(lake, binding)["uri"].to_pylist())


def test_a_binding_is_known_by_its_id_and_its_source(lake: Lake) -> None:
    (binding,) = list_bindings(lake, Scope("demo"))
    assert (binding["source"], binding["state"], binding["phase"]) == ("/pictures/ada", "Ready", "FullScanning")
    assert get_binding(lake, Scope("demo"), binding["binding_id"]) == binding
    assert get_binding(lake, Scope("demo"), "/pictures/ada/") == binding
    with pytest.raises(NotFound, match="/pictures/ada"):
        get_binding(lake, Scope("demo"), "/pictures/ben")


def test_the_same_again_is_the_same_and_other_options_are_refused(lake: Lake) -> None:
    assert bind(lake.root, ADA, "/pictures/ada", PHOTOS) == list_bindings(lake, ADA)[0]
    with pytest.raises(UsageError, match="is bound to dataset 'ada' with the options"):
        bind(lake.root, ADA, "/pictures/ada", {"format": "imm"})


@pytest.mark.parametrize("source", ["/pictures", "/pictures/ada/2026"])
def test_sources_of_a_dataset_lie_apart(lake: Lake, source: str) -> None:
    with pytest.raises(UsageError, match="hold the same files"):
        bind(lake.root, ADA, source, PHOTOS)
    bind(lake.root, Scope("demo", ("ben",)), source, PHOTOS)
    bind(lake.root, ADA, "/pictures/adam", PHOTOS)


def test_one_dataset_follows(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="exactly one"):
        bind(str(tmp_path), Scope("demo"), "/pictures", PHOTOS)


def test_a_source_of_several_datasets_needs_one_named(lake: Lake) -> None:
    bind(lake.root, Scope("demo", ("ben",)), "/pictures/ada", PHOTOS)
    with pytest.raises(UsageError, match="several datasets"):
        get_binding(lake, Scope("demo"), "/pictures/ada")


def test_only_what_differs_is_written(lake: Lake) -> None:
    (binding,) = list_bindings(lake, ADA)
    assert change_binding(lake, binding, state="Ready") is binding
    changed = change_binding(lake, binding, state="Stopped", reason="x")
    assert get_binding(lake, ADA, "/pictures/ada") == changed
    assert changed["update_time"] > binding["update_time"]


def test_a_listing_is_replaced_row_by_row(lake: Lake) -> None:
    (binding,) = list_bindings(lake, ADA)
    other = bind(lake.root, Scope("demo", ("ben",)), "/pictures/ben", PHOTOS)
    record_listing(lake, other, entries("a"))
    record_listing(lake, binding, entries("a", "b", "c"))
    since = datetime(2026, 3, 4, tzinfo=UTC)
    record_listing(lake, binding, entries("b", "d", missing_since=since), ["c", "never there"])
    assert uris(lake, binding) == ["a", "b", "d"]
    assert uris(lake, other) == ["a"]
    assert sorted(map(str, read_listing(lake, binding)["missing_since"].to_pylist())) == [
        str(since),
        str(since),
        "None",
    ]
    delete_binding(lake, binding)
    assert (uris(lake, binding), uris(lake, other)) == ([], ["a"])
    assert [row["source"] for row in list_bindings(lake, Scope("demo"))] == ["/pictures/ben"]


def test_nothing_to_write_is_no_commit(lake: Lake) -> None:
    (binding,) = list_bindings(lake, ADA)
    record_listing(lake, binding, entries("a"))
    record_listing(lake, binding, entries())
    table = lake.table(BINDING_FILES)
    assert table is not None
    assert table.version() == 1


def test_a_binding_that_was_deleted_meanwhile_does_not_come_back(lake: Lake) -> None:
    (binding,) = list_bindings(lake, ADA)
    changed = change_binding(lake, binding, state="Stopped", reason="it's late", sync_time=datetime.now(UTC), files=3)
    assert list_bindings(lake, ADA) == [changed]
    assert change_binding(lake, changed, reason=None)["reason"] is None
    assert list_bindings(lake, ADA)[0]["reason"] is None
    delete_binding(lake, binding)
    with pytest.raises(NotFound, match="was deleted"):
        change_binding(lake, changed, state="Ready")
    assert list_bindings(lake, ADA) == []
