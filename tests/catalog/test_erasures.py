"""What erasing a person takes, and what it leaves of what people said; without the tables that Spark writes."""

from __future__ import annotations

import hashlib

from catalog.erasures import plan_erasure, record_erasure, remove_decisions
from tests.catalog.conftest import LakeMaker, edit, person_id
from tests.catalog.test_explain_figures import add_face, person


def test_what_was_said_of_the_person_goes_and_of_others_only_the_face(maker: LakeMaker) -> None:
    gone = person(maker, 2, state="gone", successor_id=person_id(0))
    maker.insert("figure_clusters", [person(maker, 0), person(maker, 1), gone])
    add_face(maker, "f1", "founder", 1.0)
    said = [
        edit(1, person_id(0), kind="figures", title="Ada"),
        edit(2, person_id(2), kind="figures", title="Countess"),
        edit(3, person_id(1), kind="figures", title="Bea", cover_figure_id="f1"),
        edit(4, person_id(1), "delete", kind="figures"),
    ]
    for row in said:
        maker.insert("cluster_edits", [row])
    planned = plan_erasure(maker.lake, maker.scope, person_id(0))
    assert set(planned.object_ids) == {person_id(0), person_id(2)}
    assert planned.digests == (hashlib.sha256(b"demo\nada\nf1").hexdigest(),)
    record_erasure(maker.lake, planned)
    again = plan_erasure(maker.lake, maker.scope, person_id(0))
    assert (again.object_ids, again.digests, again.is_said) == (planned.object_ids, planned.digests, True)
    assert remove_decisions(maker.lake, again) == 2
    columns = "sequence, action, title, cover_figure_id"
    left = maker.lake.read(f"SELECT {columns} FROM cluster_edits ORDER BY sequence", "cluster_edits")
    assert [tuple(row.values()) for row in left] == [
        (3, "update", "Bea", ""), (4, "delete", None, None), (5, "erase", None, None), (6, "erase", None, None),
    ]  # fmt: skip
    assert remove_decisions(maker.lake, again) == 0
