"""What a job says while it works: one moving line on a terminal, structured log lines elsewhere; always on stderr."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress

from schemas.locations import redact

STANDARD = frozenset(vars(logging.LogRecord("", 0, "", 0, "", (), None))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """One JSON object per log line: time, level, event, and what the caller gave as `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        fields = {key: value for key, value in vars(record).items() if key not in STANDARD}
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z"
        line = {"time": stamp, "level": record.levelname.lower(), "event": record.getMessage(), **fields}
        return redact(json.dumps(line, default=str, ensure_ascii=False))


def configure_logging() -> None:
    """Structured logs on stderr; on a terminal only warnings, as the progress line tells the rest.

    LAKEALBUM_LOG=json|quiet chooses one whatever stderr is.
    """
    logger = logging.getLogger("lakealbum")
    choice = os.environ.get("LAKEALBUM_LOG", "quiet" if sys.stderr.isatty() else "json")
    logger.setLevel(logging.WARNING if choice == "quiet" else logging.INFO)
    if not logger.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(JsonFormatter())
        logger.addHandler(handler)
        logger.propagate = False


class Progress:
    """The stages of a job, shown as one line that moves on a terminal; elsewhere the log tells."""

    def __init__(self, job: str) -> None:
        self.percent = 0
        self._log = logging.getLogger("lakealbum")
        console = Console(stderr=True)
        self._bar = RichProgress(
            TextColumn("[bold]{task.fields[job]}"),
            BarColumn(bar_width=24),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self._line = self._bar.add_task("", total=100, job=job)

    def __enter__(self) -> Progress:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def stage(self, what: str, percent: int) -> None:
        """Says what comes now, and how much is done before it."""
        self.percent = percent
        self._bar.update(self._line, completed=percent, description=redact(what))
        self._log.info("stage", extra={"stage": what, "percent": percent})
