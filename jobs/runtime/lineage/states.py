"""What is told of a run: a state of its record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

Sources: TypeAlias = Mapping[str, Mapping[str | None, int]]
"""Sources of a run, and the rows of each by the reason why they were refused, None for accepted ones."""


@dataclass(frozen=True)
class RunState:
    """A run as it is: its rows of `runs` and `tasks`, the sources that it has read, and the kind of error.

    `is_own` says whether it is the run of this process, so that who started this process started the run.
    """

    run: Mapping[str, Any]
    task: Mapping[str, Any]
    sources: Sources
    code: str | None = None
    is_own: bool = True
