"""Work that the endpoint accepted: appended to the lake before it is acknowledged, and gone through in order."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from catalog.commits import append, remove
from catalog.lake import Lake, Row
from catalog.sql import all_of, equals, literal
from schemas.requests import REQUESTS

KEPT_PIECES = timedelta(hours=1)
"""How long a piece without a task is kept once it is done."""
KEPT_TASKS = timedelta(days=7)
_NOT_YET = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Piece:
    """One piece of work: what one operation asked for, about one file or one dataset."""

    operation: str
    project_name: str
    dataset_name: str
    request_id: str
    event_id: str
    parameters: Mapping[str, Any]
    uri: str | None = None
    task_id: str | None = None
    piece_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    ask_time: datetime = _NOT_YET
    number: int = 0
    tries: int = 0

    def row(self, step: str, at: datetime, message: str | None = None) -> Row:
        """A row of `requests`."""
        columns = {name: value for name, value in vars(self).items() if name in REQUESTS.names}
        parameters = json.dumps(self.parameters, ensure_ascii=False)
        return {**columns, "parameters": parameters, "step": step, "message": message, "step_time": at}


def append_asked(root: str, pieces: Sequence[Piece], ask_time: datetime) -> None:
    """Records pieces as asked, in their order, in one commit."""
    rows = [
        {**piece.row("asked", ask_time), "ask_time": ask_time, "number": number} for number, piece in enumerate(pieces)
    ]
    append(root, REQUESTS, rows)


def append_step(root: str, pieces: Iterable[Piece], step: str, message: str | None = None) -> None:
    """Records that pieces were started, are done, or failed."""
    now = datetime.now(UTC)
    append(root, REQUESTS, [piece.row(step, now, message) for piece in pieces])


def read_pending(lake: Lake, limit: int, condition: str = "TRUE") -> list[Piece]:
    """The first pieces that are neither done nor failed, in the order in which they were asked."""
    ended = "SELECT piece_id FROM requests WHERE step IN ('done', 'failed')"
    tries = "SELECT piece_id AS tried, count(*) AS tries FROM requests WHERE step = 'started' GROUP BY piece_id"
    asked = f"SELECT * FROM requests WHERE step = 'asked' AND {condition}"
    rows = lake.read(
        f"SELECT asked.*, coalesce(tries, 0) AS tries FROM ({asked}) AS asked "
        f"LEFT ANTI JOIN ({ended}) AS ended ON asked.piece_id = ended.piece_id "
        f"LEFT JOIN ({tries}) AS started ON asked.piece_id = tried ORDER BY ask_time, number LIMIT {limit}",
        REQUESTS.name,
    )
    return [_piece(row) for row in rows]


def read_definition(lake: Lake, task_id: str) -> Row | None:
    """The request that made a task: its operation and parameters (JSON)."""
    where = all_of([equals("task_id", task_id), "step = 'asked'"])
    rows = lake.read(f"SELECT operation, parameters FROM requests WHERE {where} LIMIT 1", REQUESTS.name)
    return rows[0] if rows else None


def expire_requests(lake: Lake, now: datetime) -> int:
    """Deletes what is done for long enough, and no piece that is older than one that waits. Returns how many rows."""
    waiting = read_pending(lake, 1)
    before = min([now - KEPT_PIECES, *(piece.ask_time for piece in waiting)])
    past = f"ask_time < {literal(before)} AND (task_id IS NULL OR ask_time < {literal(now - KEPT_TASKS)})"
    return remove(lake.root, REQUESTS, past) if lake.count(f"requests WHERE {past}", REQUESTS.name) else 0


def _piece(row: Row) -> Piece:
    fields = {name: row[name] for name in Piece.__dataclass_fields__ if name != "parameters"}
    return Piece(**fields, parameters=json.loads(row["parameters"]))
