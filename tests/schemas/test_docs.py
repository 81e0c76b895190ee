from __future__ import annotations

import ast
from pathlib import Path

from schemas.docs import tables_markdown
from schemas.lake import TABLES
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


def test_the_task_types_are_those_of_the_jobs_and_of_callers() -> None:
    found = set(CALLERS)
    for path in (ROOT / "jobs").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.keyword) and node.arg == "task_type" and isinstance(node.value, ast.Constant):
                found.add(node.value.value)
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "TASK_TYPE":
                found.add(ast.literal_eval(node.value))
    assert found == set(TASK_TYPES)
