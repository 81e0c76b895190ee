from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import yaml

from jobs.cli.main import VERBS
from schemas.docs import tables_markdown
from schemas.followers import CLUSTERED, FOLLOWERS
from schemas.lake import TABLES
from schemas.owners import OWNERS
from schemas.reasons import REASONS
from schemas.tasks import TASK_TYPES
from serve.operations.tasks import TASK_TYPES as CALLERS

ROOT = Path(__file__).parents[2]


def test_the_tables_are_as_the_contracts_say() -> None:
    assert (ROOT / "docs/tables.md").read_text(encoding="utf-8") == tables_markdown(), (
        "docs/tables.md is behind the contracts: python -m schemas.docs > docs/tables.md"
    )


def test_every_table_column_reason_and_task_is_told() -> None:
    text = tables_markdown()
    for contract in TABLES.values():
        section = text.split(f"\n## {contract.name}\n")[1].split("\n## ")[0]
        assert all(f"| `{name}` |" in section for name in contract.names)
    assert all(f"| `{code}` | {why}" in text for code, why in REASONS.items())


def test_every_table_has_an_owner_that_is_a_verb() -> None:
    assert OWNERS.keys() == TABLES.keys()
    verbs = {verb.partition(" ")[0] for owner in OWNERS.values() for verb in owner.verbs}
    assert verbs - {"every"} <= VERBS.keys()
    assert all(contract.writer == "catalog" for name, contract in TABLES.items() if OWNERS[name].verbs == ("serve",))


def test_what_is_made_of_what_is_told_on_both_sides() -> None:
    sections = {part.partition("\n")[0]: part for part in tables_markdown().split("\n## ")}
    for source, target in (*FOLLOWERS, *CLUSTERED):
        assert f"[{target.name}](#{target.name})" in sections[source.name].split("**Made of it**: ")[1].split("\n")[0]
        assert f"[{source.name}](#{source.name})" in sections[target.name].split("**Made of** ")[1].split("\n")[0]


def test_dbt_knows_every_column_and_its_meaning() -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "schemas.docs", "--dbt"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    document = yaml.safe_load(printed.stdout)
    assert document["version"] == 2
    (source,) = document["sources"]
    tables = {table["name"]: table for table in source["tables"]}
    assert list(tables) == list(TABLES)
    for name, contract in TABLES.items():
        columns = tables[name]["columns"]
        assert [(c["name"], c["description"]) for c in columns] == [(c.name, c.comment) for c in contract.columns]
        assert [c.get("data_tests") for c in columns] == [
            None if c.nullable else ["not_null"] for c in contract.columns
        ]
        assert tables[name]["meta"]["key"] == list(contract.key)
    assert tables["files"]["columns"][1]["data_type"] == "string"


def test_the_task_types_are_those_of_the_jobs_and_of_callers() -> None:
    found = set(CALLERS)
    for path in (ROOT / "jobs").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.keyword) and node.arg == "task_type" and isinstance(node.value, ast.Constant):
                found.add(node.value.value)
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "TASK_TYPE":
                found.add(ast.literal_eval(node.value))
    assert found == set(TASK_TYPES)
