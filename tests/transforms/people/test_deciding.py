"""Who the people of a library are: groups, what was there, and what people decided, in small tables."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from schemas.cluster_kinds import PEOPLE
from schemas.figures import FIGURES, MAX_ANGLE
from schemas.keys import DATASET_KEY
from tests.transforms.clusters.histories import EDITS, FACE_GROUPS, FACES, KEY, State, key_of, time_of
from transforms.clusters.changing import Clustering
from transforms.people.deciding import decide_people, describe_people, is_good
from transforms.people.grouping import Profile
from transforms.people.libraries import group_libraries

OWN = dict(zip(DATASET_KEY, key_of(1), strict=True))
NOBODY = pa.schema(KEY).empty_table()


def faces_of(names: str) -> pa.Table:
    """Faces, each in a picture of its own."""
    plain = {**OWN, "media_type": "image", "age": None, "gender": None, "face_quality": None}
    return pa.Table.from_pylist([{**plain, "figure_id": name, "uri": f"u{name}"} for name in names], FACES)


def groups_of(*groups: str) -> pa.Table:
    """Groups of faces, the first of which represents them."""
    rows = [
        {**OWN, "figure_id": name, "representative": group[0], "confidence": 1.0, "role": "founder"}
        for group in groups
        for name in group
    ]
    return pa.Table.from_pylist(rows, FACE_GROUPS)


@dataclass
class Library:
    """One library as it is clustered time after time."""

    state: State = field(default_factory=lambda: State(PEOPLE))
    edits: list[dict[str, Any]] = field(default_factory=list)
    step: int = 0

    def say(self, action: str, person: str, **own: Any) -> None:
        """A person's decision."""
        told = {"sequence": len(self.edits), "kind": "figures", "object_id": person, "action": action, **own}
        self.edits.append({**OWN, **told, "edit_time": time_of(self.step)})

    def cluster(self, *groups: str, there: str | None = None, killed: bool = False) -> dict[str, str]:
        """The person of each face (of the groups, or `there`) by its name; faces of nobody are left out."""
        faces = faces_of("".join(groups) if there is None else there)
        old = {"old_clusters": self.state.clusters, "old_members": self.state.members}
        found = decide_people(groups_of(*groups), faces=faces, edits=pa.Table.from_pylist(self.edits, EDITS), **old)
        assert isinstance(found, Clustering)
        clusters = found.change_clusters(**old, now=time_of(self.step))
        self.step += 1
        lost = pa.Table.from_pylist([OWN], NOBODY.schema) if killed else NOBODY
        self.state.commit(clusters, found.change_members(old_members=self.state.members), killed=lost)
        return {row["figure_id"]: row["object_id"] for row in self.state.members.to_pylist() if row["object_id"]}

    def row(self, person: str) -> dict[str, Any]:
        """A person's row."""
        (row,) = (row for row in self.state.clusters.to_pylist() if row["object_id"] == person)
        return row

    def role(self, face: str) -> str | None:
        """A face's role."""
        return next(row["role"] for row in self.state.members.to_pylist() if row["figure_id"] == face)


def test_ids_outlive_growth_and_a_change_of_representative() -> None:
    library = Library()
    first = library.cluster("abc", "xyz")
    assert first["a"] == first["c"] != first["x"]
    second = library.cluster("cbad", "xyz")
    assert second == {**first, "d": first["a"]}
    row = library.row(first["a"])
    assert (row["representative"], row["anchor"], row["generation"], row["faces"]) == ("c", "a", 1, 4)
    assert (row["create_time"], row["update_time"]) == (time_of(0), time_of(1))
    assert library.row(first["x"])["update_time"] == time_of(0)


def test_who_shares_most_follows_and_the_other_is_new() -> None:
    library = Library()
    was = library.cluster("abcde")["a"]
    now = library.cluster("deX", "abc")
    assert (now["a"], now["X"] != was) == (was, True)
    assert library.row(now["X"])["origin_id"] == was


def test_of_two_that_share_as_many_the_older_lives_on() -> None:
    library = Library()
    older = library.cluster("pqr", there="pqrabc")["p"]
    younger = library.cluster("pqr", "abc")["a"]
    now = library.cluster("apbqcr")
    assert set(now.values()) == {older}
    row = library.row(younger)
    assert (row["state"], row["successor_id"], row["last_figures"]) == ("gone", older, ["a", "b", "c"])


def test_one_who_went_comes_back_by_the_faces() -> None:
    library = Library()
    person = library.cluster("abc")["a"]
    assert library.cluster(there="") == {}
    assert library.row(person)["state"] == "gone"
    again = library.cluster("cba")
    assert set(again.values()) == {person}
    row = library.row(person)
    assert (row["state"], row["last_figures"], row["create_time"]) == ("live", None, time_of(0))


def test_killed_between_the_commits_the_next_run_knows_the_person_by_the_representative() -> None:
    library = Library()
    assert library.cluster("abc", killed=True) == {}
    (person,) = library.state.clusters["object_id"].to_pylist()
    assert set(library.cluster("abc").values()) == {person}
    assert len(library.state.clusters) == 1


def test_a_second_generation_begins_at_the_same_face() -> None:
    library = Library()
    first = library.cluster("abc")["a"]
    second = library.cluster("bcd", "axy")
    assert (second["b"], second["a"] != first) == (first, True)
    assert library.row(second["a"])["generation"] == 2


def test_one_whose_founders_went_stays_with_the_faces_that_are_left() -> None:
    library = Library()
    person = library.cluster("abcd")["a"]
    assert library.cluster(there="d") == {"d": person}
    assert library.row(person)["faces"] == 1


def test_one_most_of_whose_faces_are_somebody_elses_went_into_that_one() -> None:
    library = Library()
    was = library.cluster("abcde", "pqr")
    now = library.cluster("pqrabc", there="pqrabcde")
    assert set(now.values()) == {was["a"]} or set(now.values()) == {was["p"]}
    gone = ({was["a"], was["p"]} - set(now.values())).pop()
    assert library.row(gone)["successor_id"] in now.values()


def test_merged_people_are_one_until_they_are_unmerged() -> None:
    library = Library()
    was = library.cluster("abc", "xyz")
    library.say("merge", was["x"], other_id=was["a"])
    merged = library.cluster("abc", "xyz")
    assert set(merged.values()) == {was["a"]}
    row = library.row(was["a"])
    assert (row["faces"], row["representative"], library.row(was["x"])["successor_id"]) == (6, "a", was["a"])
    assert set(library.cluster("abcd", "xyz").values()) == {was["a"]}
    library.say("unmerge", was["x"])
    assert library.cluster("abcd", "xyz") == {**was, "d": was["a"]}


def test_one_unmerged_whose_founders_went_has_the_faces_remembered() -> None:
    library = Library()
    was = library.cluster("abc", "xyz")
    library.say("merge", was["x"], other_id=was["a"])
    library.cluster("abc", "xyz")
    library.say("unmerge", was["x"])
    now = library.cluster("abc", there="abcyz")
    assert now == {name: was[name] for name in "abcyz"}
    assert (library.role("y"), library.row(was["x"])["founders"]) == ("joined", 0)


def test_a_face_that_both_of_two_unmerged_remember_is_of_one() -> None:
    library = Library()
    was = library.cluster("abc", "xyz", "pqr")
    library.say("merge", was["x"], other_id=was["a"])
    library.cluster("abc", "xyz", "pqr")
    library.say("merge", was["a"], other_id=was["p"])
    library.cluster("abc", "xyz", "pqr")
    library.say("unmerge", was["x"])
    library.say("unmerge", was["a"])
    now = library.cluster("pqr", there="pqrabcxyz")
    assert now["x"] == was["a"]  # who went last
    assert set(now) == set("pqrabcxyz")


def test_of_a_ring_of_merges_nobody_is_merged() -> None:
    library = Library()
    was = library.cluster("abc", "xyz")
    library.say("merge", was["x"], other_id=was["a"])
    library.say("merge", was["a"], other_id=was["x"])
    assert library.cluster("abc", "xyz") == was


def test_faces_are_given_and_taken_whatever_the_groups_say() -> None:
    library = Library()
    was = library.cluster("abcd", "xyz", there="abcdxyzo")
    library.say("part", was["a"], figure_id="d")
    library.say("join", was["x"], figure_id="o")
    now = library.cluster("abcd", "xyz", there="abcdxyzo")
    assert now == {**{name: was[name] for name in "abcxyz"}, "o": was["x"]}
    assert (library.role("o"), library.role("d")) == ("chosen", None)
    library.say("rejoin", was["a"], figure_id="d")
    library.say("leave", was["x"], figure_id="o")
    assert library.cluster("abcd", "xyz", there="abcdxyzo") == was


def test_what_was_said_of_one_who_was_merged_is_said_of_the_other() -> None:
    library = Library()
    was = library.cluster("abc", "xyz", there="abcxyzo")
    library.say("join", was["x"], figure_id="o")
    library.say("merge", was["x"], other_id=was["a"])
    assert library.cluster("abc", "xyz", there="abcxyzo")["o"] == was["a"]


def test_nothing_changes_when_nothing_did() -> None:
    library = Library()
    library.cluster("abc", "xyz", there="abcxyzo")
    old = {"old_clusters": library.state.clusters, "old_members": library.state.members}
    found = decide_people(groups_of("abc", "xyz"), faces=faces_of("abcxyzo"), edits=EDITS.empty_table(), **old)
    assert len(found.change_clusters(**old, now=time_of(9))) == 0
    assert len(found.change_members(old_members=library.state.members)) == 0


def test_what_a_person_is() -> None:
    plain = {**OWN, "object_id": "c", "role": "founder"}
    columns = ("figure_id", "uri", "media_type", "age", "gender", "face_quality", "role")
    told = [
        ("é", "u1", "image", 30, "male", 0.5, "founder"),
        ("z", "u1", "image", None, "female", 0.5, "joined"),
        ("a", "u2", "video", 33, None, 0.9, "joined"),
        ("b", "u3", "image", 3, None, None, "chosen"),
    ]
    types = {**{name: pa.string() for name in columns}, "age": pa.int32(), "face_quality": pa.float32()}
    schema = pa.schema([*KEY, ("object_id", pa.string()), *types.items()])
    rows = pa.Table.from_pylist([{**plain, **dict(zip(columns, row, strict=True))} for row in told], schema)
    (person,) = describe_people(rows).to_pylist()
    expected = {"faces": 4, "founders": 1, "files": 3, "images": 2, "videos": 1, "min_age": 3, "max_age": 33}
    assert {name: person[name] for name in expected} == expected
    assert (person["average_age"], person["gender"]) == (22.0, "female")
    assert (person["cover_figure_id"], person["cover_uri"]) == ("z", "u1")  # by its bytes before é


def test_good_faces_exceed_what_is_asked() -> None:
    good = {"width": 76, "height": 76, "yaw": 29.9, "pitch": -29.9, "roll": 0.0, "quality": 0.81, "embedding": [1.0]}
    worse = [{"width": 75}, {"yaw": -30.0}, {"roll": None}, {"quality": 0.8}, {"quality": None}, {"embedding": None}]
    rows = [
        {
            "boundary": {"left": 0, "top": 0, "width": face["width"], "height": face["height"]},
            "head_pose": {angle: face[angle] for angle in ("yaw", "pitch", "roll")},
            "face_quality": face["quality"],
            "embedding": face["embedding"],
        }
        for face in (good, *({**good, **less} for less in worse))
    ]
    rows.append({**rows[0], "boundary": None})
    asked = ("boundary", "head_pose", "face_quality", "embedding")
    schema = pa.schema([(name, FIGURES.arrow_schema.field(name).type) for name in asked])
    faces = pa.Table.from_pylist(rows, schema)
    assert is_good(faces, MAX_ANGLE).to_pylist() == [True] + [False] * 7
    assert is_good(faces, 30.1).to_pylist() == [True, False, True] + [False] * 5


def test_small_libraries_are_grouped_each_by_itself() -> None:
    rng = np.random.default_rng(3)
    people = rng.normal(size=(2, 64))
    rows = []
    for number in (1, 2):
        for person in (0, 1):
            for shot in range(4):
                vector = people[person] + rng.normal(size=64) * 0.2
                name = f"{person}{shot}"
                own = {**dict(zip(DATASET_KEY, key_of(number), strict=True)), "figure_id": name, "uri": name}
                rows.append({**own, "embedding": vector.tolist(), "is_good": True, "face_quality": 0.9})
    odd = {**rows[0], "figure_id": "odd", "embedding": [1.0, 0.0]}
    none = {**rows[0], "figure_id": "none", "embedding": None}
    told = [("embedding", pa.list_(pa.float32())), ("is_good", pa.bool_()), ("face_quality", pa.float32())]
    schema = pa.schema([*KEY, ("figure_id", pa.string()), ("uri", pa.string()), *told])
    faces = pa.Table.from_pylist([*rows[::-1], odd, none], schema)
    found = group_libraries(faces, profile=Profile()).to_pylist()
    assert len(found) == 16
    for row in found:
        assert row["representative"][0] == row["figure_id"][0]
        assert row["role"] == "founder"
    assert group_libraries(faces.slice(0, 0), profile=Profile()).num_rows == 0
