"""What follows what is declared once, and docs/architecture.md says the same."""

from __future__ import annotations

from pathlib import Path

from schemas.followers import CLUSTERED, FOLLOWERS, follows
from schemas.lake import TABLES

PAGE = Path(__file__).parents[2] / "docs" / "architecture.md"


def test_the_page_says_what_is_declared() -> None:
    text = PAGE.read_text(encoding="utf-8")
    told = text.partition("<!-- followers:")[2].partition("<!-- end -->")[0]
    rows = [line for line in told.splitlines() if line.startswith("| `")]
    assert rows == [f"| `{source.name}` | `{target.name}` |" for source, target in (*FOLLOWERS, *CLUSTERED)]


def test_sources_tell_their_changes() -> None:
    for source, target in (*FOLLOWERS, *CLUSTERED):
        assert {source.name, target.name} <= TABLES.keys()
        assert source.change_feed or source.name in ("areas", "file_edits"), source.name
    assert follows(TABLES["files"], TABLES["file_places"])
    assert not follows(TABLES["file_places"], TABLES["files"])
