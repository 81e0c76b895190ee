"""Pages of a sorted answer: keyset conditions, tokens that cannot be forged, and merging of sorted rows.

A page goes on after the last row that was seen, not after a count of rows, so that rows that come or go
between two calls neither repeat nor hide others.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import heapq
import hmac
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, Literal, Protocol

from catalog.lake import Row
from catalog.sql import all_of, from_microseconds, literal, microseconds
from schemas.errors import UsageError

Order = Literal["asc", "desc"]
Value = datetime | str | int | float | None
Position = tuple[Value, ...]  # sort values and tie-breaker of the last row seen

MOST_RESULTS = 100
"""Rows of the largest page."""

_SEAL_BYTES = 16


@dataclass(frozen=True)
class Page:
    """Some rows of an answer, and the token that the next ones are asked for with; None after the last.

    `total` says how many rows all pages have, where that was asked.
    """

    rows: list[Row]
    next_token: str | None = None
    total: int | None = None


class Ordered(Protocol):
    """An order of rows in which none ties with another."""

    def key(self, row: Row) -> Position:
        """Where a row stands."""

    def after(self, position: Position | None) -> str:
        """The rows behind a position, in SQL; at the start, all."""


@dataclass(frozen=True)
class Sorting:
    """An order of rows: by a column that is never null, ties by a unique one, both in the same direction."""

    column: str
    tie: str
    order: Order = "asc"

    @property
    def clause(self) -> str:
        """ORDER BY in SQL."""
        return f"ORDER BY {self.column} {self.order}, {self.tie} {self.order}"

    def key(self, row: Row) -> Position:
        """Where a row stands."""
        return row[self.column], row[self.tie]

    def after(self, position: Position | None) -> str:
        """The rows behind a position, in SQL; at the start, all."""
        if position is None:
            return "TRUE"
        sign = ">" if self.order == "asc" else "<"
        value, tie = literal(position[0]), literal(position[1])
        return (
            f"{self.column} {sign}= {value} AND "
            f"({self.column} {sign} {value} OR ({self.column} = {value} AND {self.tie} {sign} {tie}))"
        )

    def merge(self, *sorted_rows: Iterable[Row]) -> Iterator[Row]:
        """Rows of several sorted streams as one, each stream read no further than needed."""
        return heapq.merge(*sorted_rows, key=self.key, reverse=self.order == "desc")


@dataclass(frozen=True)
class ManySorting:
    """An order of rows by several columns, each in its own direction, rows without a value last.

    The last column is unique and never null.
    """

    columns: tuple[tuple[str, Order], ...]

    @property
    def clause(self) -> str:
        """ORDER BY in SQL."""
        return "ORDER BY " + ", ".join(f"{column} {order} NULLS LAST" for column, order in self.columns)

    def key(self, row: Row) -> Position:
        """Where a row stands."""
        return tuple(row[column] for column, _ in self.columns)

    def after(self, position: Position | None) -> str:
        """The rows behind a position, in SQL; at the start, all."""
        if position is None:
            return "TRUE"
        behind, same = [], []
        for (column, order), value in zip(self.columns, position, strict=True):
            if value is None:
                same.append(f"{column} IS NULL")
                continue
            sign = ">" if order == "asc" else "<"
            further = f"({column} {sign} {literal(value)} OR {column} IS NULL)"
            behind.append(all_of([*same, further]))
            same.append(f"{column} = {literal(value)}")
        return " OR ".join(f"({condition})" for condition in behind)


@dataclass(frozen=True)
class Pager:
    """How one query of one lake is cut into pages.

    `query` is everything that decides which rows come in which order; a token is good for that query alone.
    """

    key: bytes
    query: Mapping[str, Any]
    sorting: Ordered
    max_results: int

    def position(self, token: str | None) -> Position | None:
        """Where the page that a token asks for starts. UsageError for a token of another query or lake."""
        payload = self._opened(token)
        return None if payload is None else tuple(_decode(value) for value in payload["at"])

    def versions(self, token: str | None) -> dict[str, int]:
        """The versions of tables that the first page was read at; {} at the start. UsageError as `position`."""
        payload = self._opened(token)
        return payload["of"] if payload else {}

    def page(self, rows: Iterable[Row], versions: Mapping[str, int] | None = None) -> Page:
        """The first page of rows that start at the asked-for position; the next one is to be read at `versions`."""
        found = list(islice(rows, self.max_results + 1))
        shown = found[: self.max_results]
        more = len(found) > len(shown)
        return Page(shown, self._token(self.sorting.key(shown[-1]), versions or {}) if more else None)

    def _opened(self, token: str | None) -> dict[str, Any] | None:
        if not token:
            return None
        try:
            sealed = base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True)
        except (UnicodeEncodeError, binascii.Error):
            raise _foreign_token() from None
        payload, seal = sealed[:-_SEAL_BYTES], sealed[-_SEAL_BYTES:]
        if not hmac.compare_digest(seal, self._seal(payload)):
            raise _foreign_token()
        opened: dict[str, Any] = json.loads(payload)
        return opened

    def _token(self, position: Position, versions: Mapping[str, int]) -> str:
        stored = {"at": [_encode(value) for value in position], "of": versions}
        payload = json.dumps(stored, separators=(",", ":")).encode()
        return base64.urlsafe_b64encode(payload + self._seal(payload)).decode()

    def _seal(self, payload: bytes) -> bytes:
        asked = json.dumps([self.query, vars(self.sorting)], sort_keys=True, default=str).encode()
        message = hashlib.sha256(asked).digest() + payload
        return hmac.new(self.key, message, hashlib.sha256).digest()[:_SEAL_BYTES]


def _encode(value: Value) -> Any:
    return {"us": microseconds(value)} if isinstance(value, datetime) else value


def _decode(value: Any) -> Value:
    return from_microseconds(value["us"]) if isinstance(value, dict) else value


def scan(
    read: Callable[[str, int], list[Row]], sorting: Sorting, position: Position | None, first_batch: int
) -> Iterator[Row]:
    """The rows behind a position, in order, read in batches that double.

    `read(condition, limit)` returns the first rows, in order, that satisfy a condition.
    """
    size = first_batch
    while True:
        rows = read(sorting.after(position), size)
        yield from rows
        if len(rows) < size:
            return
        position = sorting.key(rows[-1])
        size *= 2


def page_size(max_results: int) -> int:
    """The rows a page that IMM's MaxResults asks for, where 0 stands for the most. UsageError if out of range."""
    return check_max_results(max_results, least=0) or MOST_RESULTS


def check_max_results(value: int, least: int = 1, most: int = MOST_RESULTS) -> int:
    """Returns a page size that is within bounds, else raises UsageError."""
    if not least <= value <= most:
        raise UsageError(f"MaxResults {value} is out of range: {least} to {most} are accepted")
    return value


def check_among(what: str, values: Iterable[str], accepted: Collection[str]) -> None:
    """Raises UsageError for a value that is not among those accepted."""
    for value in values:
        if value not in accepted:
            raise UsageError(f"{what} {value!r} is not one of {', '.join(accepted)}")


def _foreign_token() -> UsageError:
    return UsageError(
        "NextToken is not one that this query gave: pass it unchanged, on the same lake, with the same "
        "project, datasets, filters, sort and order"
    )
