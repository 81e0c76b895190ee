"""Similar pictures within one process: pairs to groups, what people parted, and what clusters are, in small tables."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pyarrow as pa

from schemas.cluster_kinds import GROUPS
from schemas.keys import DATASET_KEY
from tests.transforms.clusters.histories import EDITS, IMAGES, KEY, PAIRS, State, key_of, time_of
from transforms.clusters.changing import Clustering, change_clusters
from transforms.clusters.naming import clusters_of_looks, clusters_within_looks, keep_names
from transforms.similar_images.grouping import (
    connected_looks,
    decide_similar_images,
    dress_groups,
    group_images,
    is_within,
    parted_images,
    touched_looks,
)

OWN = dict(zip(DATASET_KEY, key_of(2), strict=True))
NOBODY = pa.schema(KEY).empty_table()
NO_EDITS = EDITS.empty_table()
PLAIN = dict.fromkeys(IMAGES.names)


def images_of(*pictures: str | tuple[str, dict[str, Any]]) -> pa.Table:
    """Pictures, each 'uri look', and what else is known of some."""
    rows = []
    for picture in pictures:
        told, more = picture if isinstance(picture, tuple) else (picture, {})
        uri, look = told.split()
        rows.append({**PLAIN, **OWN, "uri": uri, "fingerprint": look, "image_score": 0.5, **more})
    return pa.Table.from_pylist(rows, IMAGES)


def pairs_of(*pairs: str, **more: Any) -> pa.Table:
    """Pairs of looks, each 'one other' with a similarity of 0.9."""
    told = {**OWN, "signal": "hash", "distance": 20, "similarity": 0.9, **more}
    ends = (dict(zip(("fingerprint", "other_fingerprint"), pair.split(), strict=True)) for pair in pairs)
    rows = [{**told, **each} for each in ends]
    return pa.Table.from_pylist(rows, PAIRS)


def edits_of(*edits: tuple[str, str, list[str] | None]) -> pa.Table:
    """People's decisions about pictures: action, uri, fingerprints."""
    rows = [
        {**OWN, "sequence": number, "kind": GROUPS.name, "object_id": "c", "action": action, "uri": uri}
        | {"fingerprints": looks, "edit_time": time_of(0)}
        for number, (action, uri, looks) in enumerate(edits)
    ]
    return pa.Table.from_pylist(rows, EDITS)


def groups_of(images: pa.Table, pairs: pa.Table, edits: pa.Table = NO_EDITS) -> set[str]:
    """The groups, each as the uris in it."""
    found: dict[str, str] = {}
    for row in group_images(images, pairs=pairs, parted=parted_images(edits)).sort_by("uri").to_pylist():
        found[row["representative"]] = found.get(row["representative"], "") + row["uri"]
    return set(found.values())


def decide(images: pa.Table, pairs: pa.Table, state: State, *, step: int) -> Clustering:
    """Clusters pictures, and commits what changes."""
    groups = group_images(images, pairs=pairs, parted=parted_images(NO_EDITS))
    old = {"old_clusters": state.clusters, "old_members": state.members}
    found = decide_similar_images(groups, **old)
    changes = found.change_clusters(**old, now=time_of(step))
    state.commit(changes, found.change_members(old_members=state.members), killed=NOBODY)
    return found


def test_a_chain_is_cut_and_what_looks_the_same_is_together() -> None:
    images = images_of("1 a", "2 b", "3 c", "4 d", "5 e", "6 e", "7 f")
    assert groups_of(images, pairs_of("a b", "b c", "c d")) == {"123", "56"}
    assert groups_of(images, pairs_of("a b", "a c", "a x", "d x")) == {"123", "56"}


def test_a_picture_that_people_parted_stays_apart_from_these_and_from_what_they_are_similar_to() -> None:
    images, pairs = images_of("1 a", "2 a", "3 b", "4 c"), pairs_of("a b", "b c")
    assert groups_of(images, pairs) == {"1234"}
    apart = ("part", "1", ["b"])
    assert groups_of(images, pairs, edits_of(apart)) == {"234"}
    assert groups_of(images, pairs, edits_of(apart, ("rejoin", "1", None))) == {"1234"}
    assert groups_of(images, pairs, edits_of(apart, ("rejoin", "1", None), ("part", "1", ["x"]))) == {"1234"}
    assert groups_of(images_of("1 a", "2 a"), pairs_of(), edits_of(("part", "1", ["b"]))) == {"12"}


def test_pairs_within_the_thresholds() -> None:
    pairs = pa.concat_tables(
        [
            pairs_of("a b", distance=10),
            pairs_of("a c", distance=11),
            pairs_of("a d", signal="turned", distance=9),
            pairs_of("a e", signal="crop", distance=9),
            pairs_of("a f", signal="embedding", distance=None, similarity=0.95),
            pairs_of("a g", signal="embedding", distance=None, similarity=0.94),
        ]
    )

    def kept(crops: bool) -> str:
        within = is_within(pairs, max_distance=10, min_similarity=0.95, crops=crops)
        return "".join(within["other_fingerprint"].to_pylist())

    assert (kept(True), kept(False)) == ("bdef", "bdf")


def test_copies_bursts_and_what_is_near() -> None:
    camera = {"camera_make": "m", "camera_model": "n"}

    def at(seconds: float, **more: Any) -> dict[str, Any]:
        return {**camera, "produce_time": time_of(0) + timedelta(seconds=seconds), **more}

    images = images_of(
        ("1 a", at(0.5, image_score=0.9, content_hash="x")),
        ("2 a", at(0, content_hash="x")),  # without the fraction that 1 has: a copy, no burst of it
        ("3 a", at(3.5)),
        ("4 a", at(6.6)),
        ("5 a", {**at(3.4), "camera_model": "o"}),
        ("6 a", {**at(3.4), "camera_model": None}),
        ("7 b", at(3.4)),
        ("8 c", at(0, content_hash="y")),
        ("9 c", at(0, content_hash="y")),
    )
    state = State(GROUPS)
    decide(images, pairs_of(), state, step=0)
    told = {row["uri"]: (row["kind"], row["rank"]) for row in state.members.to_pylist()}
    assert told == {
        "1": ("burst", 1),
        "2": ("copy", 2),
        "3": ("burst", 3),
        "4": ("near-duplicate", 4),
        "5": ("near-duplicate", 5),
        "6": ("near-duplicate", 6),
        "8": ("near-duplicate", 1),
        "9": ("copy", 2),
    }
    groups = {row["cover_uri"]: row for row in state.clusters.to_pylist()}
    assert (groups["1"]["kind"], groups["8"]["kind"], groups["1"]["files"]) == ("near-duplicates", "copies", 6)
    assert groups["1"]["first_time"] == time_of(0)
    assert groups["1"]["last_time"] == time_of(0) + timedelta(seconds=6.6)


def test_files_of_one_shot_are_no_copies() -> None:
    raw = {"image_score": 0.1, "shot_id": "1"}
    images = images_of(
        ("1 a", {"image_score": 0.9, "shot_id": "1"}),
        ("2 a", raw),
        ("3 b", {"image_score": 0.9, "shot_id": "3", "content_hash": "x"}),
        ("4 b", {"image_score": 0.1, "shot_id": "3", "content_hash": "y"}),
        ("5 b", {"image_score": 0.5, "content_hash": "x"}),
    )
    state = State(GROUPS)
    decide(images, pairs_of(), state, step=0)
    told = {row["uri"]: (row["kind"], row["rank"]) for row in state.members.to_pylist()}
    assert told == {
        "1": ("near-duplicate", 1),
        "2": ("shot", 2),
        "3": ("near-duplicate", 1),
        "4": ("shot", 3),
        "5": ("copy", 2),
    }
    assert {row["cover_uri"]: row["kind"] for row in state.clusters.to_pylist()} == {"1": "shots", "3": "copies"}


def test_a_burst_is_of_pictures_within_seconds() -> None:
    own = {"camera_model": "n"}
    times = [None if second is None else time_of(0) + timedelta(seconds=second) for second in (0, 2, 4, 4)]
    images = images_of(*((f"{number} a", {**own, "produce_time": time}) for number, time in enumerate(times)))
    state = State(GROUPS)
    decide(images, pairs_of(), state, step=0)
    assert state.clusters["kind"].to_pylist() == ["burst"]


def test_the_best_picture_is_first_by_score_by_size_then_by_uri() -> None:
    unknown = {"image_score": None}
    images = images_of(
        ("é a", {"image_score": 0.5}),
        ("z a", {"image_score": 0.5}),
        ("1 a", {**unknown, "image_width": 1000, "image_height": 1000}),
        ("2 a", {**unknown, "image_width": 4000, "image_height": 4000}),
    )
    state = State(GROUPS)
    decide(images, pairs_of(), state, step=0)
    rows = state.members.sort_by("rank").to_pylist()
    assert [row["uri"] for row in rows] == ["2", "z", "é", "1"]
    assert rows[0]["image_score"] == 1.0
    assert 0.27 < rows[3]["image_score"] < 0.28  # log 2 / log 13


def test_options_there_and_back_bring_the_ids_back() -> None:
    images, state = images_of("1 a", "2 b", "3 c", "4 d"), State(GROUPS)
    decide(images, pairs_of("a b", "c d"), state, step=0)
    first = dict(zip(*(state.members[name].to_pylist() for name in ("uri", "object_id")), strict=True))
    decide(images, pairs_of(), state, step=1)
    assert len(state.members) == 0
    assert {row["state"] for row in state.clusters.to_pylist()} == {"gone"}
    decide(images, pairs_of("a b", "c d"), state, step=2)
    assert dict(zip(*(state.members[name].to_pylist() for name in ("uri", "object_id")), strict=True)) == first


def test_clusters_that_lost_pictures_keep_their_names_while_two_are_left() -> None:
    images, state = images_of("1 a", "2 a", "3 a", "4 b", "5 b"), State(GROUPS)
    decide(images, pairs_of(), state, step=0)
    groups = group_images(images, pairs=pairs_of(), parted=parted_images(NO_EDITS))
    there = groups.filter(pa.array([uri not in "35" for uri in groups["uri"].to_pylist()]))
    left = state.members.filter(pa.array([uri not in "35" for uri in state.members["uri"].to_pylist()]))
    names = keep_names(left, old_clusters=state.clusters, least=2)
    found = dress_groups(there, names=names)
    changes = found.change_clusters(old_clusters=state.clusters, old_members=state.members, now=time_of(1))
    assert sorted(zip(*(changes[name].to_pylist() for name in ("representative", "state")), strict=True)) == [
        ("a", "live"),
        ("b", "gone"),
    ]
    assert set(found.members["uri"].to_pylist()) == {"1", "2"}


def test_grouping_what_is_connected_alone_gives_the_ids_of_grouping_all() -> None:
    images, state = images_of("1 a", "2 b", "3 c", "4 d", "5 e", "6 f"), State(GROUPS)
    decide(images, pairs_of("a b", "c d"), state, step=0)
    pairs = pairs_of("a b", "c d", "d e", "e f")
    looks = touched_looks(images.slice(4, 1), pairs=pairs_of("d e"))
    looks = connected_looks(looks, pairs=pairs)
    assert sorted(looks["fingerprint"].to_pylist()) == ["c", "d", "e", "f"]
    known = clusters_of_looks(state.clusters, kind=GROUPS, looks=looks)
    old = clusters_within_looks(known, kind=GROUPS, looks=looks)
    assert old["representative"].to_pylist() == ["c"]
    members = state.members.filter(pa.array([look in "cdef" for look in state.members["fingerprint"].to_pylist()]))
    part = group_images(images.slice(2), pairs=pairs, parted=parted_images(NO_EDITS))
    found = decide_similar_images(part, old_clusters=old, old_members=members, known_clusters=known)
    whole = decide(images, pairs, state, step=1)
    ids = dict(zip(*(whole.members[name].to_pylist() for name in ("uri", "object_id")), strict=True))
    for row in found.members.to_pylist():
        assert ids[row["uri"]] == row["object_id"]


def test_a_cluster_whose_picture_changed_changes_too() -> None:
    images, state = images_of("1 a", "2 a"), State(GROUPS)
    decide(images, pairs_of(), state, step=0)
    better = images_of(("1 a", {"image_score": 0.6}), "2 a")
    decide(better, pairs_of(), state, step=1)
    (row,) = state.clusters.to_pylist()
    assert (row["update_time"], row["create_time"]) == (time_of(1), time_of(0))


def test_one_that_went_remembers_a_hundred_looks() -> None:
    pictures = images_of(*(f"{number:03} {number:03}" for number in range(150)))
    state = State(GROUPS)
    decide(pictures, pairs_of(*(f"000 {number:03}" for number in range(1, 150))), state, step=0)
    empty = GROUPS.table.computed_schema.empty_table()
    members = state.members.slice(0, 0)
    own = {"kind": GROUPS, "members": members, "old_members": state.members, "old_clusters": state.clusters}
    (row,) = change_clusters(empty, **own, now=time_of(1)).to_pylist()
    assert row["last_fingerprints"] == [f"{number:03}" for number in range(100)]
