"""The newest version of a table in an object store, by one request.

To open a table takes two requests an entry of its log since the last checkpoint, to let delta-rs look for what is new
in one that is open two in all.
"""

from __future__ import annotations

import re
import time

from pyarrow.fs import FileSelector

TRUSTED_SECONDS = 3600.0
"""A log that nobody looked at for longer may have been cleaned up meanwhile, the next entry with the others."""


_ENTRY = re.compile(r"\d{20}\.json")


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

    def newest(self) -> int:
        """The newest version, by the names of the log's entries. FileNotFoundError where there is none.

        Raises OSError where the store does not answer.
        """
        listed = self._store.get_file_info_selector(FileSelector("_delta_log", allow_not_found=True))
        entries = [file.base_name for file in listed if _ENTRY.fullmatch(file.base_name)]
        if not entries:
            raise FileNotFoundError("there is no entry of a table's log")
        return int(max(entries).removesuffix(".json"))
