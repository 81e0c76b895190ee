"""Whether a table that is kept open is still at its newest version: one request to an object store.

To open it anew takes two requests an entry of its log, to let delta-rs list the log two in all.
"""

from __future__ import annotations

import time

TRUSTED_SECONDS = 3600.0
"""A log that nobody looked at for longer may have been cleaned up meanwhile, the next entry with the others."""


class LogWatch:
    """Looks at the log of one table in an object store."""

    def __init__(self, uri: str, options: dict[str, str] | None) -> None:
        from deltalake.fs import DeltaStorageHandler  # a tenth of a second, for object stores alone

        self._store = DeltaStorageHandler(uri, options)
        self._looked = time.monotonic()

    def may_have_moved(self, version: int) -> bool:
        """Whether a commit followed a version, or there may have been one: no look for an hour.

        Raises OSError where the store does not answer.
        """
        before, self._looked = self._looked, time.monotonic()
        if self._looked - before > TRUSTED_SECONDS:
            return True
        try:
            self._store.open_input_file(f"_delta_log/{version + 1:020}.json").close()
        except FileNotFoundError:
            return False
        return True
