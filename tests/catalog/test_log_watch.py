"""A table that is kept open learns of a commit by looking for the next entry of its log."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from catalog import log_watch
from catalog.log_watch import TRUSTED_SECONDS, LogWatch


def test_it_tells_of_a_commit_and_trusts_no_look_of_long_ago(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uri = str(tmp_path / "table")
    rows = pa.table({"number": [1]})
    write_deltalake(uri, rows)
    now = 1000.0
    monkeypatch.setattr(log_watch.time, "monotonic", lambda: now)
    watch = LogWatch(uri, None)
    assert not watch.may_have_moved(0)
    write_deltalake(uri, rows, mode="append")
    assert watch.may_have_moved(0)
    assert not watch.may_have_moved(DeltaTable(uri).version())
    now += TRUSTED_SECONDS + 1
    assert watch.may_have_moved(1)
    assert not watch.may_have_moved(1)


def test_the_newest_version_is_told_by_the_names_of_entries(tmp_path: Path) -> None:
    uri = str(tmp_path / "table")
    rows = pa.table({"number": [1]})
    for _ in range(11):
        write_deltalake(uri, rows, mode="append")
    DeltaTable(uri).create_checkpoint()
    assert LogWatch(uri, None).newest() == DeltaTable(uri).version() == 10
    (tmp_path / "none").mkdir()
    with pytest.raises(FileNotFoundError):
        LogWatch(str(tmp_path / "none"), None).newest()
