"""What changed between two listings."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from catalog.bindings import LISTING_SCHEMA
from jobs.bindings.moves import pair_moves
from jobs.bindings.planning import UNREADABLE, Plan, plan_sync
from jobs.bindings.scanning import Scan
from schemas.errors import SourceError

NOW = datetime(2026, 3, 10, tzinfo=UTC)
THEN = datetime(2026, 3, 1, tzinfo=UTC)
WEEK = timedelta(days=7)


def listing(*uris: str, **more: Any) -> pa.Table:
    rows = [{"uri": uri, "size": 1, "modified_time": THEN, **more} for uri in uris]
    return pa.Table.from_pylist(rows, schema=LISTING_SCHEMA)


def plan(listed: pa.Table, known: pa.Table, *, unreadable: tuple[str, ...] = (), **options: Any) -> Plan:
    return plan_sync(Scan(listed, unreadable), known, **{"source": "s", "now": NOW, "grace": WEEK, **options})


def uris(table: pa.Table) -> list[str]:
    return sorted(table["uri"].to_pylist())


def test_the_first_listing_is_all_new() -> None:
    first = plan(listing("a", "b"), listing())
    assert (uris(first.new), uris(first.changed), first.needs_run, first.listed) == (["a", "b"], [], True, 2)


def test_what_is_as_it_was_is_nothing_to_do() -> None:
    same = plan(listing("a", "b"), listing("b", "a"))
    assert not same.needs_run
    assert [t.num_rows for t in (same.to_read, same.missing, same.back)] == [0, 0, 0]


@pytest.mark.parametrize("more", [{"size": 2}, {"modified_time": NOW}, {"etag": "x"}])
def test_another_size_time_or_etag_is_a_change(more: dict[str, Any]) -> None:
    listed = pa.concat_tables([listing("a", **more), listing("b")])
    changed = plan(listed, listing("a", "b"))
    assert (uris(changed.new), uris(changed.changed)) == ([], ["a"])
    assert changed.changed.select(list(more)).to_pylist() == [more]


def test_what_is_gone_waits_for_its_grace() -> None:
    gone = plan(listing("a", "b"), listing("a", "b", "c"))
    assert (uris(gone.vanished), uris(gone.expired), gone.waiting, gone.needs_run) == (["c"], [], 1, False)
    assert gone.vanished["missing_since"].to_pylist() == [NOW]
    known = pa.concat_tables([listing("a", "b"), listing("c", missing_since=THEN)])
    late = plan(listing("a", "b"), known)
    assert (uris(late.vanished), uris(late.expired), late.waiting, late.needs_run) == ([], ["c"], 0, True)
    assert not plan(listing("a", "b"), known, grace=timedelta(days=30)).needs_run
    assert uris(plan(listing("a", "b"), listing("a", "b", "c"), grace=timedelta(0)).expired) == ["c"]


def test_what_comes_back_as_it_was_is_not_read_again() -> None:
    known = pa.concat_tables([listing("a"), listing("b", "c", missing_since=THEN)])
    listed = pa.concat_tables([listing("a", "b"), listing("c", size=2)])
    back = plan(listed, known)
    assert (uris(back.back), uris(back.changed), back.missing.num_rows) == (["b"], ["c"], 0)
    assert back.back["missing_since"].null_count == 1


def test_what_could_not_be_opened_is_tried_again() -> None:
    known = pa.concat_tables([listing("a", refusal=UNREADABLE), listing("b", refusal="picture_unreadable")])
    assert uris(plan(listing("a", "b"), known).to_read) == ["a"]


def test_a_source_that_lists_less_than_half_is_refused() -> None:
    with pytest.raises(SourceError, match=r"s lists 1 files, and listed 3 before.*--allow-mass-removal"):
        plan(listing("a"), listing("a", "b", "c"))
    assert uris(plan(listing("a"), listing("a", "b", "c"), allow_mass_removal=True).vanished) == ["b", "c"]
    assert uris(plan(listing("a"), listing("a", "b")).vanished) == ["b"]
    missing = pa.concat_tables([listing("a"), listing("b", "c", missing_since=THEN)])
    assert uris(plan(listing("a"), missing).expired) == ["b", "c"]


def test_what_lies_in_a_folder_that_may_not_be_listed_is_taken_to_be_there() -> None:
    known = listing("s/a", "s/in/b", "s/in/c", "s/inside")
    hidden = plan(listing("s/a"), known, unreadable=("s/in",))
    assert uris(hidden.vanished) == ["s/inside"]


def contents(**files: str | None) -> pa.Table:
    return pa.table({"uri": list(files), "content_hash": pa.array(files.values(), pa.string())})


@pytest.mark.parametrize(
    ("gone", "new", "moves"),
    [
        ({"a": "1", "b": "2"}, {"x": "1", "y": "3"}, [("a", "x")]),
        ({"d/p": "1", "d/q": "1"}, {"e/q": "1", "e/p": "1"}, [("d/p", "e/p"), ("d/q", "e/q")]),
        ({"d/p": "1"}, {"e/a": "1", "e/p": "1"}, [("d/p", "e/p")]),
        ({"a": "1", "b": "1"}, {"x": "1"}, [("a", "x")]),
        ({"a": None}, {"x": None}, []),
        ({}, {"x": "1"}, []),
    ],
)
def test_files_are_known_again_by_their_content(
    gone: dict[str, str | None], new: dict[str, str | None], moves: list[tuple[str, str]]
) -> None:
    found = pair_moves(contents(**gone), contents(**new))
    assert list(zip(*found.to_pydict().values(), strict=True)) == moves
