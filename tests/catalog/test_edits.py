"""Edits fold as a naive reading of them would, follow merges, and none is lost when many are made at once."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.edits import (
    FIELDS,
    Curated,
    append_edit,
    check_fields,
    fold_edits,
    follow_merges,
    overlay,
    read_edits,
)
from catalog.lake import Row, Scope
from schemas.errors import UsageError
from tests.catalog.conftest import NOON, LakeMaker, cluster_id, edit

VALUES: dict[str, st.SearchStrategy[Any]] = {
    "title": st.sampled_from([None, "", "A", "B"]),
    "custom_id": st.sampled_from([None, "", "1"]),
    "custom_labels": st.sampled_from([None, {}, {"k": "v"}]),
    "cover_uri": st.sampled_from([None, "", "u"]),
}
ACTIONS = st.sampled_from(["update", "update", "delete", "undelete"])
STEPS = st.lists(st.tuples(st.sampled_from("abcdef"), ACTIONS, st.fixed_dictionaries(VALUES)), max_size=12)


def edits_of(steps: list[tuple[str, str, dict[str, Any]]]) -> list[Row]:
    return [
        edit(sequence, object_id, action, **(fields if action == "update" else {}))
        for sequence, (object_id, action, fields) in enumerate(steps, start=1)
    ]


def values(state: Curated) -> dict[str, Any]:
    return {name: state.value(name) for name in FIELDS}


@given(STEPS)
def test_folding_agrees_with_replaying(steps: list[tuple[str, str, dict[str, Any]]]) -> None:
    fields: dict[str, dict[str, Any]] = {}
    deleted: dict[str, bool] = {}
    for object_id, action, given_fields in steps:
        fields.setdefault(object_id, dict.fromkeys(FIELDS))
        if action == "update":
            fields[object_id].update({k: v for k, v in given_fields.items() if v is not None})
        else:
            deleted[object_id] = action == "delete"
    states = fold_edits(edits_of(steps))
    assert {key: values(state) for key, state in states.items()} == {
        key: {name: value or None for name, value in row.items()} for key, row in fields.items()
    }
    assert {key: state.deleted for key, state in states.items()} == {key: deleted.get(key, False) for key in fields}


def naive_effective(object_id: str, name: str, edits: list[Row], successors: dict[str, str]) -> tuple[Any, int]:
    """The value of a field and the edit it is from, by looking upstream edit by edit. (None, 0) if there is none."""
    own = [e for e in edits if e["object_id"] == object_id and e["action"] == "update" and e[name] is not None]
    if own:
        return own[-1][name] or None, own[-1]["sequence"] if own[-1][name] else 0
    sources = [gone for gone, successor in successors.items() if successor == object_id and not is_deleted(gone, edits)]
    found = [naive_effective(gone, name, edits, successors) for gone in sources]
    return max(found, key=lambda item: item[1], default=(None, 0))


def is_deleted(object_id: str, edits: list[Row]) -> bool:
    actions = [e["action"] for e in edits if e["object_id"] == object_id and e["action"] != "update"]
    return bool(actions) and actions[-1] == "delete"


@given(STEPS, st.dictionaries(st.sampled_from("abcde"), st.sampled_from("bcdef"), max_size=5))
def test_following_merges_agrees_with_looking_upstream(
    steps: list[tuple[str, str, dict[str, Any]]], links: dict[str, str]
) -> None:
    successors = {gone: successor for gone, successor in links.items() if gone < successor}  # without cycles
    edits = edits_of(steps)
    states = follow_merges(fold_edits(edits), successors)
    assert not states.keys() & successors.keys()
    for survivor in set("abcdef") - successors.keys():
        expected = {name: naive_effective(survivor, name, edits, successors)[0] for name in FIELDS}
        found = values(states[survivor]) if survivor in states else dict.fromkeys(FIELDS)
        assert found == expected
        assert (survivor in states and states[survivor].deleted) == is_deleted(survivor, edits)


@settings(deadline=2000)
@given(STEPS, st.dictionaries(st.sampled_from("abcdef"), st.sampled_from("abcdef")))
def test_cycles_of_successors_end(steps: list[tuple[str, str, dict[str, Any]]], successors: dict[str, str]) -> None:
    states = follow_merges(fold_edits(edits_of(steps)), successors)
    assert not states.keys() & successors.keys()


def test_a_long_chain_is_followed() -> None:
    successors = {f"{n:05}": f"{n + 1:05}" for n in range(5000)}
    states = follow_merges(fold_edits([edit(1, "00000", title="Lake")]), successors)
    assert values(states["05000"])["title"] == "Lake"


def test_a_survivor_keeps_what_it_cleared() -> None:
    edits = [edit(1, "a", title="Old", custom_id="7"), edit(2, "b", title="")]
    assert values(follow_merges(fold_edits(edits), {"a": "b"})["b"]) == {
        "title": None,
        "custom_id": "7",
        "custom_labels": None,
        "cover_uri": None,
        "cover_figure_id": None,
    }


def test_an_overlay_moves_the_update_time_but_never_back() -> None:
    row = {"title": "Hangzhou", "cover_uri": "u", "update_time": NOON}
    edited = overlay(row, fold_edits([edit(5, "a", custom_labels={"k": "v"})])["a"])
    assert edited["title"] == "Hangzhou"
    assert edited["custom_labels"] == {"k": "v"}
    assert edited["update_time"] > NOON
    later = {**row, "update_time": edited["update_time"].replace(year=2027)}
    assert overlay(later, fold_edits([edit(5, "a", title="T")])["a"])["update_time"] == later["update_time"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "nothing to change"),
        ({"title": "é" * 513}, r"title has 1,026 bytes; up to 1,024"),
        ({"custom_id": "x" * 1025}, r"custom_id has 1,025 bytes; up to 1,024"),
        ({"custom_labels": {str(n): "" for n in range(101)}}, "101 keys; up to 100"),
        ({"custom_labels": {"": "v"}}, "empty key"),
        ({"title": "\udce9"}, "UTF-8"),
        ({"custom_labels": {"k": "\udce9"}}, "UTF-8"),
        ({"cover_uri": "\udce9"}, "UTF-8"),
    ],
)
def test_limits(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        check_fields(fields)


def test_the_limits_themselves_are_accepted() -> None:
    check_fields({"title": "é" * 512, "custom_id": "", "custom_labels": {str(n): "" for n in range(100)}})


def test_edits_are_numbered_by_their_commit(maker: LakeMaker) -> None:
    row = maker.cluster(1)
    first = append_edit(maker.lake, "location-date", row, "update", title="it's \\ % _ \x00 🏝️")
    second = append_edit(maker.lake, "location-date", row, "delete", level="city")
    assert second == first + 1
    edits = read_edits(maker.lake, maker.scope, "location-date")
    assert [e["sequence"] for e in edits] == [first, second]
    assert edits[0]["title"] == "it's \\ % _ \x00 🏝️"
    assert read_edits(maker.lake, Scope("demo", ("ben",)), "location-date") == []
    assert read_edits(maker.lake, maker.scope, "figures") == []


@pytest.mark.long
def test_none_is_lost_when_eight_edit_at_once(maker: LakeMaker) -> None:
    sequences: list[int] = []

    def work(worker: int) -> None:
        for n in range(8):
            number = append_edit(maker.lake, "location-date", maker.cluster(worker), "update", title=f"{worker}.{n}")
            sequences.append(number)

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    edits = read_edits(maker.lake, maker.scope, "location-date")
    assert sorted(sequences) == [e["sequence"] for e in edits]
    assert len(set(sequences)) == 64
    assert {e["title"] for e in edits} == {f"{worker}.{n}" for worker in range(8) for n in range(8)}
    states = fold_edits(edits)
    assert {states[cluster_id(worker)].value("title") for worker in range(8)} == {f"{w}.7" for w in range(8)}
