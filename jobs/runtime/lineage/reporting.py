"""Sending what happened to a run to a collector of OpenLineage events, where one is configured.

A thread loads the client, makes the events and sends them, so that a run waits for none of it but at its end, for
WAIT_SECONDS at most. A collector that is dead, wrong or missing never fails a run: the log says what was not told.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path

from jobs.runtime.lineage.parents import Parent, find_nominal_time, find_parent, submitted_settings
from jobs.runtime.lineage.states import RunState
from jobs.runtime.session import SUBMITTED

WAIT_SECONDS = 2.0
"""How long the end of a run waits, in all, until its events are sent."""
NAMESPACE = "OPENLINEAGE_NAMESPACE"
DEFAULT_NAMESPACE = "lakealbum"
CONFIGURING = ("OPENLINEAGE_URL", "OPENLINEAGE_CONFIG")
CONFIG_FILE = "openlineage.yml"

log = logging.getLogger("lakealbum")


def is_configured(environment: Mapping[str, str]) -> bool:
    """Whether there is somewhere to send events to: by a variable of OpenLineage's client, or its file openlineage.yml
    in this folder or in ~/.openlineage.
    """
    if environment.get("OPENLINEAGE_DISABLED", "").strip().lower() == "true":
        return False
    if any(value and (name in CONFIGURING or name.startswith("OPENLINEAGE__")) for name, value in environment.items()):
        return True
    return any(folder.joinpath(CONFIG_FILE).is_file() for folder in (Path(), Path.home() / ".openlineage"))


class Reporter:
    """Tells of runs of the lake at `root`; of nothing without a lake, or where no collector is configured."""

    def __init__(self, root: str | None = None) -> None:
        self._states: queue.SimpleQueue[RunState | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        if root is not None and is_configured(os.environ):
            self._thread = threading.Thread(target=self._send, args=(root, _find_parent()), name="lineage", daemon=True)
            self._thread.start()

    def tell(self, state: RunState) -> None:
        """Has a state of a run sent; returns at once."""
        if self._thread is not None:
            self._states.put(deepcopy(state))

    def close(self) -> None:
        """Waits until all is sent, for WAIT_SECONDS at most; what is not sent by then is lost."""
        if self._thread is None:
            return
        self._states.put(None)
        self._thread.join(WAIT_SECONDS)
        if self._thread.is_alive():
            log.warning("lineage: events were not taken within %s seconds, and may be lost", WAIT_SECONDS)
        self._thread = None

    def _send(self, root: str, parent: Parent | None) -> None:
        try:
            from openlineage.client import OpenLineageClient

            from jobs.runtime.lineage.events import Teller
        except ImportError as error:
            log.warning("lineage: nothing is told: %s; `pip install lakealbum[lineage]`", error)
            return
        # The folder that a job runs in says nothing of its source code, of which the client would tell.
        config = {"facets": {"source_code_location": {"disabled": True}}}
        namespace = os.environ.get(NAMESPACE) or DEFAULT_NAMESPACE
        teller = Teller(root, namespace, parent, find_nominal_time(os.environ))
        with _never_failing("nothing is told"):
            client = OpenLineageClient(config=config)
            while (state := self._states.get()) is not None:
                with _never_failing(f"status {state.run['status']} of run {state.run['run_id']} is not told"):
                    client.emit(teller.event(state))
            client.close(WAIT_SECONDS)


@contextmanager
def _never_failing(what: str) -> Iterator[None]:
    """Logs whatever a client, its transports and the network come up with: lineage fails no run."""
    try:
        yield
    except Exception as error:
        log.warning("lineage: %s: %r", what, error)


def _find_parent() -> Parent | None:
    try:
        return find_parent(os.environ, submitted_settings(SUBMITTED))
    except ValueError as error:
        log.warning("lineage: events have no parent: %s", error)
        return None
