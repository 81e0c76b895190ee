"""Nonces that were used: each is good once for an access key, also after a restart and across server processes."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable
from datetime import UTC, datetime

MOST = 5_000_000
"""Nonces that are kept at most (some 500 MB on disk). More than that in half an hour is no honest caller."""
_SWEEP_EVERY = 10_000


class Nonces:
    """The nonces of a server, in a small database beside its credentials (`:memory:` for none)."""

    def __init__(self, path: str, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._clock = clock
        if path != ":memory:":
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        self._lock = threading.Lock()
        self._uses = 0
        self._open = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=10)
        self._open.execute("PRAGMA journal_mode=WAL")
        self._open.execute("PRAGMA synchronous=OFF")  # what the process wrote outlives it; a power cut loses minutes
        self._open.execute(
            "CREATE TABLE IF NOT EXISTS nonces (key_id TEXT, nonce TEXT, until REAL, PRIMARY KEY (key_id, nonce)) "
            "WITHOUT ROWID"
        )
        self._open.execute("CREATE INDEX IF NOT EXISTS by_until ON nonces (until)")

    def use(self, key_id: str, nonce: str, until: datetime) -> bool:
        """Whether the nonce is new to the key; it is remembered until then."""
        with self._lock:
            if self._uses % _SWEEP_EVERY == 0:
                self._sweep()
            self._uses += 1
            row = (key_id, nonce, until.timestamp())
            return self._open.execute("INSERT OR IGNORE INTO nonces VALUES (?, ?, ?)", row).rowcount == 1

    def close(self) -> None:
        """Closes the database."""
        with self._lock:
            self._open.close()

    def _sweep(self) -> None:
        self._open.execute("DELETE FROM nonces WHERE until < ?", (self._clock().timestamp(),))
        (kept,) = self._open.execute("SELECT count(*) FROM nonces").fetchone()
        if kept > MOST:  # the oldest go: they are the nearest to leaving the window
            self._open.execute(
                "DELETE FROM nonces WHERE (key_id, nonce) IN (SELECT key_id, nonce FROM nonces ORDER BY until LIMIT ?)",
                (kept - MOST,),
            )
