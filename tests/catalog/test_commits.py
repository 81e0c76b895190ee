"""Commits of several threads to one table."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from catalog.commits import open_newest, replace
from catalog.create import ensure_table
from schemas.projects import PROJECTS
from tests.catalog.conftest import NOON


def test_threads_that_merge_take_turns_and_lose_no_race(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def wait(seconds: float) -> None:
        raise AssertionError("a commit lost to another thread")

    monkeypatch.setattr("catalog.commits.time.sleep", wait)
    rows = [{"project_name": f"p{n}", "create_time": NOON, "update_time": NOON} for n in range(8)]
    ensure_table(str(tmp_path), PROJECTS)
    with ThreadPoolExecutor(8) as several:
        for written in [several.submit(replace, str(tmp_path), PROJECTS, [row]) for row in rows]:
            written.result()
    assert open_newest(str(tmp_path), PROJECTS).to_pyarrow_dataset().count_rows() == 8
