"""Files that were moved: what people decided about them under their old uris holds under the new ones."""

from __future__ import annotations

from collections.abc import Mapping

from catalog.edits import Action, append_edit, fold_edits, read_edits
from catalog.lake import Lake, Row, Scope
from schemas.cluster_kinds import GROUPS, TRIPS

_MARKS: tuple[tuple[Action, Action], ...] = (("keep", "unkeep"), ("part", "rejoin"))
"""Decisions about a picture of a cluster, and what takes each back."""


def carry_marks(lake: Lake, scope: Scope, moves: Mapping[str, str]) -> int:
    """Repeats decisions in force about files (old uri -> new) for their new uris, and returns how many.

    These are covers that people chose, and pictures that they keep or parted from others. Repeating it adds nothing.
    """
    carried = 0
    for kind in (TRIPS, GROUPS):
        edits = read_edits(lake, scope, kind.name)
        for state in fold_edits(edits).values():
            if (cover := state.value("cover_uri")) in moves:
                append_edit(lake, kind.name, vars(state), "update", cover_uri=moves[cover])
                carried += 1
        for action, undone in _MARKS:
            in_force = _marked(edits, action, undone)
            for (object_id, uri), edit in in_force.items():
                if uri in moves and (object_id, moves[uri]) not in in_force:
                    looks = _looks(lake, edit["sequence"]) if action == "part" else None
                    append_edit(lake, kind.name, edit, action, uri=moves[uri], fingerprints=looks)
                    carried += 1
    return carried


def _marked(edits: list[Row], action: Action, undone: Action) -> dict[tuple[str, str], Row]:
    """The edits in force of those that mark pictures: by cluster and uri."""
    found: dict[tuple[str, str], Row] = {}
    for edit in edits:
        if edit["uri"] is not None and edit["action"] in (action, undone):
            found[edit["object_id"], edit["uri"]] = edit
    return {key: edit for key, edit in found.items() if edit["action"] == action}


def _looks(lake: Lake, sequence: int) -> list[str] | None:
    rows = lake.read(f"SELECT fingerprints FROM cluster_edits WHERE sequence = {sequence}", "cluster_edits")
    return rows[0]["fingerprints"] if rows else None
