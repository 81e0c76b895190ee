"""Which pieces of work go together: one run carries out a group, and each dataset's work stays in order."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from catalog.requests import Piece

INDEX, UPDATE, DELETE = "index", "update", "delete"
FILE_WORK = {
    "IndexFileMeta": INDEX,
    "BatchIndexFileMeta": INDEX,
    "UpdateFileMeta": UPDATE,
    "BatchUpdateFileMeta": UPDATE,
    "DeleteFileMeta": DELETE,
    "BatchDeleteFileMeta": DELETE,
}
"""Operation -> what it does to a file."""


@dataclass(frozen=True)
class Group:
    """Pieces that one run carries out: of one project, and of one kind of work with the same options."""

    what: tuple[str, ...]
    project: str
    pieces: list[Piece] = field(default_factory=list)

    @property
    def datasets(self) -> tuple[str, ...]:
        """The datasets that it is about."""
        return tuple(sorted({piece.dataset_name for piece in self.pieces}))


def next_group(pending: Sequence[Piece]) -> Group:
    """The pieces that go with the first one.

    Later pieces join where nothing else of their dataset waits before them: each dataset's work stays in order.
    """
    first = pending[0]
    group = Group(_what(first), first.project_name)
    waiting: set[tuple[str, str]] = set()
    for piece in pending:
        place = piece.project_name, piece.dataset_name
        if place in waiting:
            continue
        if _what(piece) == group.what and piece.project_name == group.project:
            group.pieces.append(piece)
        else:
            waiting.add(place)
    return group


def _what(piece: Piece) -> tuple[str, ...]:
    """Which work a piece is: of the same one, with the same options, one run is enough."""
    if piece.operation in FILE_WORK:
        return ("files",)
    if piece.operation == "CreateFigureClustersMergingTask":
        return piece.operation, piece.piece_id
    options = {name: piece.parameters.get(name) for name in ("DateOptions", "LocationOptions")}
    return piece.operation, json.dumps(options, sort_keys=True)
