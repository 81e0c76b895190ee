"""docs/analysts.md says what is so: each query gives the result that is printed below it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from catalog.views import HANDOVERS, VIEWS
from jobs.cli.main import VERBS, lakealbum, run
from tests.jobs.albums import Album

PAGE = (Path(__file__).parents[2] / "docs" / "analysts.md").read_text(encoding="utf-8")
QUERIES = re.findall(r"```sql\n(.*?)```(?:\n\n```text\n(.*?)```)?", PAGE, re.DOTALL)


@pytest.mark.long
@pytest.mark.parametrize(
    ("query", "result"), QUERIES, ids=[query.split("FROM")[0][7:40].strip() for query, _ in QUERIES]
)
def test_each_query_gives_what_is_told(
    query: str, result: str, library: Album, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert run(lakealbum, ["sql", query, "--lake", library.lake]) == 0
    printed = [line.rstrip() for line in capfdbinary.readouterr().out.decode().splitlines()]
    assert len(printed) > 1
    if result:
        assert printed == result.splitlines()


def test_every_view_is_told() -> None:
    told = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", PAGE, re.MULTILINE))
    assert told == {name: view.row for name, view in VIEWS.items()}
    assert {4: "four"}[HANDOVERS] in PAGE


def test_every_command_is_a_verb() -> None:
    verbs = re.findall(r"^lakealbum (\w+)", PAGE, re.MULTILINE)
    assert set(verbs) == {"sql", "views", "check"} <= VERBS.keys()
