"""Lakes of the same rows are equal, whoever wrote them; a row more, or another, is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster.compare import main
from tests.jobs.albums import Album, photo


@pytest.mark.long
def test_a_row_that_differs_is_told_and_runs_are_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, other = Album(tmp_path / "one"), Album(tmp_path / "other")
    first, second = (photo(day, "Italy/Lazio/Rome") for day in ("2026-03-04", "2026-03-05"))
    one.deliver([first, second])
    other.deliver([second])
    assert main(one.lake, other.lake) > 0
    assert "2026-03-04" in capsys.readouterr().out
    other.deliver([first])
    assert main(one.lake, other.lake) == 0
    assert "files" in capsys.readouterr().out
