"""What can be told of integrations/airflow without Airflow; .ci/airflow.sh runs it in one."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "integrations" / "airflow"
DOCS = [*sorted((FOLDER.parents[1] / "docs").glob("*.md")), FOLDER.parents[1] / "README.md"]


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-spark.txt"])
def test_the_locks_are_pinned_by_hashes_and_name_no_address(name: str) -> None:
    text = (FOLDER / name).read_text(encoding="utf-8")
    blocks = re.split(r"\n(?=\S)", text)
    pins = [block for block in blocks if not block.startswith("#")]
    assert pins
    assert all(re.match(r"[a-z0-9.-]+==\S+", pin) and "--hash=sha256:" in pin for pin in pins)
    assert "://" not in text
    assert not [pin for pin in pins if pin.startswith(("pyspark", "lakealbum"))]


def test_the_operator_needs_nothing_of_lakealbum() -> None:
    tree = ast.parse((FOLDER / "lakealbum_airflow.py").read_text(encoding="utf-8"))
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
    others = {name for name in imported if name.partition(".")[0] in {"airflow", "jobs", "catalog", "schemas"}}
    assert others == {"airflow.sdk", "airflow.sdk.exceptions"}


@pytest.mark.parametrize("path", DOCS, ids=[path.name for path in DOCS])
def test_no_recipe_names_a_run_by_what_runs_may_lack_or_share(path: Path) -> None:
    assert not re.search(
        r"\{\{[^}]*\b(ts|ts_nodash|ds|run_id|logical_date)\b[^}]*\}\}", path.read_text(encoding="utf-8")
    )
