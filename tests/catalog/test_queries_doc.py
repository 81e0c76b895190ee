"""docs/queries.md says what is so: its examples run, its table has the fields that a lake has, and their types."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from catalog.file_fields import FIELDS, find_field
from catalog.files import FileQuery, query_files
from catalog.lake import Scope
from catalog.simple_query import parse_query
from jobs.cli.main import lakealbum, run
from schemas.errors import UsageError
from tests.catalog.conftest import LakeMaker

DOCUMENT = (Path(__file__).parents[2] / "docs" / "queries.md").read_text(encoding="utf-8")
CONDITIONS = re.findall(r"```json\n(.*?)```", DOCUMENT, re.DOTALL)
COMMANDS = [line for block in re.findall(r"```bash\n(.*?)```", DOCUMENT, re.DOTALL) for line in block.splitlines()]


@pytest.mark.parametrize("condition", CONDITIONS)
def test_conditions_run(maker: LakeMaker, condition: str) -> None:
    assert query_files(maker.lake, FileQuery(maker.scope, parse_query(condition))).rows == []


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_run(maker: LakeMaker, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("families.json").write_text(CONDITIONS[0], encoding="utf-8")
    words = shlex.split(command)
    assert words[:1] == ["lakealbum"]
    assert run(lakealbum, [*words[1:], "--lake", maker.root, "--project", "demo"]) == 0


def test_the_table_of_fields() -> None:
    kinds = {"single": "number", "folded": "text, in any case"}
    told = {}
    for fields, kind, sorts, _ in re.findall(
        r"^\| (`[^|]*) \| ([^|]*) \| (yes|no) \| ([^|]*) \|$", DOCUMENT, re.MULTILINE
    ):
        told |= dict.fromkeys(re.findall(r"`([^`]*)`", fields), (kind, sorts == "yes"))
    there = {name: field for name, field in FIELDS.items() if field.sql is not None}
    there["CustomLabels.<key>"] = find_field("CustomLabels.<key>")
    assert told.keys() == there.keys()
    for name, field in there.items():
        assert told[name] == (kinds.get(field.kind, field.kind), _sorts(name)), name


def _sorts(name: str) -> bool:
    try:
        FileQuery(Scope("demo"), sort=(name,))
    except UsageError:
        return False
    return True
