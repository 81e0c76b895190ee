"""What tests of lineage events share: a collector that is a file, and OpenLineage's own validator."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

VALIDATOR = Path(__file__).parents[5] / "shared" / "openlineage" / "validate.py"
Event = dict[str, Any]

importlib.import_module("jobs.runtime.lineage.events")  # so that no short run here ends before its client is loaded


@pytest.fixture(autouse=True)
def _no_collector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing is configured but by the test itself. The client sets variables of its own: they go, too."""
    before = dict(os.environ)
    for name in [name for name in before if name.startswith(("OPENLINEAGE", "AIRFLOW_CTX"))]:
        del os.environ[name]
    os.environ["HOME"] = str(tmp_path)
    monkeypatch.chdir(tmp_path)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def collected(tmp_path: Path) -> Callable[[], list[Event]]:
    """Configures a file as the collector; gives the events in it."""
    path = tmp_path / "events.jsonl"
    settings = {"TYPE": "file", "LOG_FILE_PATH": str(path), "APPEND": "true"}
    os.environ.update({f"OPENLINEAGE__TRANSPORT__{name}": value for name, value in settings.items()})
    return lambda: [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture
def validate(tmp_path: Path) -> Callable[[list[Event]], None]:
    """Checks events, and every facet of theirs, against OpenLineage's JSON schemas."""
    if not VALIDATOR.exists():
        pytest.skip("OpenLineage's JSON schemas are not here: they are no part of the repository")

    def check(events: list[Event]) -> None:
        path = tmp_path / "to-validate.jsonl"
        path.write_text("".join(json.dumps(event) + "\n" for event in events))
        said = subprocess.run([sys.executable, VALIDATOR, path], capture_output=True, text=True, check=True).stdout
        assert f"{len(events)} events" in said
        assert " 0 errors; unknown schemas: []" in said, said

    return check
