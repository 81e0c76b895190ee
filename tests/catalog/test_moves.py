"""Decisions about pictures follow them to their new uris."""

from __future__ import annotations

from catalog.edits import append_edit, read_edits
from catalog.moves import carry_marks
from catalog.similar_images import Marks, find_cluster, update_cluster
from schemas.cluster_kinds import GROUPS
from tests.catalog.conftest import LakeMaker, group_id, group_uris


def test_what_is_kept_parted_or_a_cover_is_so_under_the_new_uri_too(maker: LakeMaker) -> None:
    maker.group(1)
    a, b, c = group_uris(1)
    update_cluster(maker.lake, maker.scope, group_id(1), {"cover_uri": a}, Marks(keep=(b,), part=(c,)))
    moves = {a: "x/a.jpg", b: "x/b.jpg", c: "x/c.jpg", "nobody's.jpg": "x/n.jpg"}
    before = read_edits(maker.lake, maker.scope, GROUPS.name)
    assert carry_marks(maker.lake, maker.scope, moves) == 3
    carried = read_edits(maker.lake, maker.scope, GROUPS.name)[len(before) :]
    assert [(e["action"], e["uri"], e["cover_uri"], e["object_id"]) for e in carried] == [
        ("update", None, "x/a.jpg", group_id(1)),
        ("keep", "x/b.jpg", None, group_id(1)),
        ("part", "x/c.jpg", None, group_id(1)),
    ]
    looks = maker.lake.read("SELECT fingerprints FROM cluster_edits WHERE action = 'part'", "cluster_edits")
    assert looks[0] == looks[1]
    assert carry_marks(maker.lake, maker.scope, moves) == 0


def test_what_was_taken_back_is_not_carried(maker: LakeMaker) -> None:
    maker.group(1)
    a, *_ = group_uris(1)
    update_cluster(maker.lake, maker.scope, group_id(1), {}, Marks(keep=(a,)))
    append_edit(maker.lake, GROUPS.name, find_cluster(maker.lake, maker.scope, group_id(1)), "unkeep", uri=a)
    assert carry_marks(maker.lake, maker.scope, {a: "x/a.jpg"}) == 0
