"""Which clusters the names of groups depend on, and the order of ties."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from schemas.cluster_kinds import GROUPS
from schemas.keys import DATASET_KEY
from tests.transforms.clusters.histories import KEY, key_of, time_of
from transforms.clusters.naming import clusters_of_looks, clusters_within_looks, name_groups

OWN = dict(zip(DATASET_KEY, key_of(1), strict=True))
MEMBERS = pa.schema([*KEY, *((name, pa.string()) for name in ("uri", "fingerprint", "node", "representative"))])
CLUSTERS, OLD_MEMBERS = GROUPS.table.computed_schema, GROUPS.members.computed_schema


def clusters_of(*clusters: dict[str, Any]) -> pa.Table:
    """Clusters, live ones of age 0 where nothing else is said."""
    plain = {**dict.fromkeys(CLUSTERS.names), **OWN, "state": "live", "generation": 1, "create_time": time_of(0)}
    return pa.Table.from_pylist(
        [{**plain, "anchor": cluster["representative"], **cluster} for cluster in clusters], CLUSTERS
    )


def old_members_of(**clusters: str) -> pa.Table:
    """The members of clusters, each a letter."""
    rows = [
        {**dict.fromkeys(OLD_MEMBERS.names), **OWN, "uri": name, "object_id": cluster, "fingerprint": name}
        for cluster, names in clusters.items()
        for name in names
    ]
    return pa.Table.from_pylist(rows, OLD_MEMBERS)


def members_of(*groups: str) -> pa.Table:
    """Groups, the first of which represents them; each looks like nothing but itself."""
    rows = [
        {**OWN, "uri": name, "fingerprint": name, "node": name, "representative": group[0]}
        for group in groups
        for name in group
    ]
    return pa.Table.from_pylist(rows, MEMBERS)


def names(groups: tuple[str, ...], old_members: pa.Table, *clusters: dict[str, Any]) -> dict[str, str]:
    """The cluster that each group follows, by its representative; the new are called so."""
    found = name_groups(members_of(*groups), kind=GROUPS, old_members=old_members, old_clusters=clusters_of(*clusters))
    known = {cluster["object_id"] for cluster in clusters}
    return {
        row["representative"]: row["object_id"] if row["object_id"] in known else "new" for row in found.to_pylist()
    }


def test_ties_go_to_the_oldest_then_to_the_lesser_ids_by_their_bytes() -> None:
    first = {"object_id": "ﬀ", "representative": "a"}  # before 😀 by bytes, after it by Java's characters
    second = {"object_id": "😀", "representative": "c"}
    members = old_members_of(**{"ﬀ": "ab", "😀": "cd"})
    assert names(("abcd",), members, first, second) == {"a": "ﬀ"}
    assert names(("abcd",), members, {**first, "create_time": time_of(1)}, second) == {"a": "😀"}


def test_of_two_groups_that_share_as_many_the_lesser_representative_follows() -> None:
    cluster = {"object_id": "c", "representative": "a"}
    assert names(("😀a", "ﬀb"), old_members_of(c="ab"), cluster) == {"ﬀ": "c", "😀": "new"}


def test_one_that_went_is_followed_only_by_what_no_live_one_answers_for() -> None:
    gone = {"object_id": "g", "representative": "a", "state": "gone", "last_fingerprints": ["a", "b", "c"]}
    live = {"object_id": "c", "representative": "d"}
    assert names(("abcd",), old_members_of(c="d"), gone, live) == {"a": "c"}
    assert names(("abc", "d"), old_members_of(c="d"), gone, live) == {"a": "g", "d": "c"}


def test_a_cluster_without_members_is_known_by_its_representative() -> None:
    halfway = {"object_id": "h", "representative": "b"}
    assert names(("ba", "cd"), old_members_of(), halfway) == {"b": "h", "c": "new"}


def test_what_the_names_of_groups_of_some_looks_depend_on() -> None:
    clusters = clusters_of(
        {"object_id": "1", "representative": "a#u", "anchor": "x"},
        {"object_id": "2", "representative": "x", "anchor": "a"},
        {"object_id": "3", "representative": "x", "state": "gone", "last_fingerprints": ["y", "a"]},
        {"object_id": "4", "representative": "x", "anchor": "b"},
    )
    looks = pa.Table.from_pylist([{**OWN, "fingerprint": "a"}], pa.schema([*KEY, ("fingerprint", pa.string())]))
    known = clusters_of_looks(clusters, kind=GROUPS, looks=looks)
    assert known["object_id"].to_pylist() == ["1", "2", "3"]
    assert clusters_within_looks(known, kind=GROUPS, looks=looks)["object_id"].to_pylist() == ["1", "3"]
    assert len(clusters_of_looks(clusters.slice(3), kind=GROUPS, looks=looks)) == 0
