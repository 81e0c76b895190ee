"""SIGTERM and SIGINT: they end a run, and its task and its row say that it was cancelled."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import threading
from types import FrameType, TracebackType
from typing import Any

from schemas.errors import Cancelled

HEARD = (signal.SIGTERM, signal.SIGINT)
SPARK_SECONDS = 5.0
"""How long Spark may take to end before it is killed."""


class Cancellation:
    """Hears SIGTERM and SIGINT while it is entered. Between `begin` and `end` they raise Cancelled; else they wait.

    A signal that the process ignores, or that somebody else handles, is left to them. Only the main thread hears.
    """

    def __init__(self) -> None:
        self.came: signal.Signals | None = None
        self._working = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Cancellation:
        if threading.current_thread() is threading.main_thread():
            ours = {signal.SIG_DFL, signal.default_int_handler}
            self._before = {heard: handler for heard in HEARD if (handler := signal.getsignal(heard)) in ours}
        self.listen()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for heard, handler in self._before.items():
            signal.signal(heard, handler)

    def listen(self) -> None:
        """Takes the signals (again: Spark takes SIGINT for itself when a session starts)."""
        for heard in self._before:
            signal.signal(heard, self._hear)

    def begin(self) -> None:
        """From here on a signal ends what is done; so does one that came before."""
        self._working = True
        if self.came is not None:
            raise Cancelled(self.came)

    def end(self) -> None:
        """From here on signals are noted alone: how it ended is being written down."""
        self._working = False

    def _hear(self, number: int, frame: FrameType | None) -> None:
        self.came = self.came or signal.Signals(number)
        if self._working:
            _end_spark()
            raise Cancelled(self.came)


def _end_spark() -> None:
    """Ends Spark, if it runs: this thread may wait for an answer of it, and nothing else would make it come."""
    if "pyspark" not in sys.modules:
        return
    from pyspark import SparkContext

    context = SparkContext._active_spark_context
    if context is None:
        return
    logging.getLogger("py4j").setLevel(logging.CRITICAL)  # it tells of each answer that does not come
    process: subprocess.Popen[bytes] | None = getattr(context._gateway, "proc", None)
    if process is None:  # spark-submit's: it ends with us
        threading.Thread(target=context.cancelAllJobs, daemon=True).start()
        return
    process.terminate()
    try:
        process.wait(SPARK_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
