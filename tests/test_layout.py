"""What holds the packages together: which may import which, what a query loads, examples that run."""

from __future__ import annotations

import ast
import doctest
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from transforms.tables.machine import KERNELS

ROOT = Path(__file__).parents[1]
PACKAGES = {
    "serve": {"serve", "jobs", "catalog", "schemas"},
    "jobs": {"jobs", "transforms", "catalog", "schemas"},
    "transforms": {"transforms", "schemas"},
    "catalog": {"catalog", "schemas"},
    "schemas": {"schemas"},
}
"""Package -> packages of ours that it may import."""
NOT_FOR = {
    "catalog": {"pyspark", "delta", "pydantic", "pandas"},
    "serve": {"pyspark", "delta", "pandas"},
    "schemas": {"pyspark", "delta", "pydantic", "pandas", "deltalake"},
    "transforms": {"delta", "deltalake", "click"},
}
"""Package -> libraries that would make it heavy, or do what is not its part."""
SHARED = {"tables", "graphs", "clusters"}
"""Rooms of `transforms` that every domain may import; the domains themselves meet in `jobs` alone."""
ROOMS: dict[str, set[str]] = {"tables": set(), "graphs": {"tables"}, "clusters": {"tables"}, "demo": {"places"}}
"""Room of `transforms` -> rooms that it may import, where that is not SHARED. The demo makes up rows of real places."""
MODULES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def imported(path: Path) -> Iterator[str]:
    """The top-level packages that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield (node.module or "").partition(".")[0]


def rooms_imported(path: Path) -> set[str]:
    """The rooms of `transforms` that a file imports."""
    nodes = (node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.ImportFrom))
    parts = ((node.module or "").split(".") for node in nodes)
    return {room for package, room, *_ in (part for part in parts if len(part) > 2) if package == "transforms"}


def may_import(room: str) -> set[str]:
    """The rooms of `transforms` that one of them may import."""
    return {room} | ROOMS.get(room, SHARED)


@pytest.mark.parametrize("path", MODULES, ids=[str(path.relative_to(ROOT)) for path in MODULES])
def test_imports_point_one_way(path: Path) -> None:
    package = path.relative_to(ROOT).parts[0]
    found = set(imported(path))
    assert not found & (PACKAGES.keys() - PACKAGES[package])
    assert not found & NOT_FOR.get(package, set())


def test_the_door_imports_no_jobs_but_in_the_worker() -> None:
    doors = [path for path in (ROOT / "serve").rglob("*.py") if path.name != "worker.py" and path.parent.name != "work"]
    assert not [path for path in doors if "jobs" in imported(path)]


@pytest.mark.long
def test_the_client_of_lineage_is_imported_in_its_room_alone() -> None:
    room = ROOT / "jobs" / "runtime" / "lineage"
    assert {path.parent for path in MODULES if "openlineage" in imported(path)} == {room}


TRANSFORMS = [
    path for path in MODULES if path.relative_to(ROOT).parts[0] == "transforms" and path.name != "__init__.py"
]


@pytest.mark.parametrize("path", TRANSFORMS, ids=[str(path.relative_to(ROOT)) for path in TRANSFORMS])
def test_domains_do_not_import_each_other(path: Path) -> None:
    _, room, *inside = path.relative_to(ROOT).parts
    assert inside, "a module of transforms lies in a room: tables, graphs, clusters or a domain"
    assert rooms_imported(path) <= may_import(room)


@pytest.mark.long
def test_a_query_loads_neither_spark_nor_pandas_nor_pydantic() -> None:
    code = (
        "import sys, jobs.cli.main, click\n"
        "from jobs.cli.main import lakealbum\n"
        "verbs = 'bind bindings calibrate files query update delete undelete explain tasks views sql check'.split()\n"
        "for verb in verbs:\n"
        "    lakealbum.get_command(click.Context(lakealbum), verb)\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not {"pyspark", "py4j", "delta", "pandas", "pydantic"} & set(loaded.stdout.split())
    assert not {"duckdb", "polars"} & set(loaded.stdout.split())
    assert {"catalog", "deltalake"} <= set(loaded.stdout.split())


KIND_VERBS = ("cluster", "query", "update", "delete", "undelete")
HEAVY = {"pyspark", "py4j", "delta", "deltalake", "pyarrow", "numpy", "numba", "pandas", "pydantic", "rich", "yaml"}


@pytest.mark.parametrize(
    "arguments", [[], ["--help"], ["--version"], *([verb, "--help"] for verb in KIND_VERBS)], ids=" ".join
)
def test_help_and_version_load_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom jobs.cli.main import lakealbum, run\n"
        f"assert run(lakealbum, {arguments}, 'lakealbum') in (0, 2)\n"
        f"assert not {HEAVY} & set(sys.modules), {HEAVY} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


@pytest.mark.long
def test_help_of_files_loads_no_job_and_a_clustering_no_other() -> None:
    code = (
        "import sys\nfrom jobs.cli.main import lakealbum, run\n"
        "assert run(lakealbum, ['files', '--help'], 'lakealbum') == 0\n"
        "assert not {'pyspark', 'pydantic', 'jobs.remove_files'} & set(sys.modules)\n"
        "assert run(lakealbum, ['cluster', 'location-date', '--help'], 'lakealbum') == 0\n"
        "assert 'jobs.cluster_location_dates' in sys.modules\n"
        "assert not {'jobs.cluster_figures', 'jobs.cluster_similar_images'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


@pytest.mark.long
@pytest.mark.parametrize("job", ["index_files", "cluster_location_dates", "maintain"])
def test_a_job_loads_what_only_some_runs_need_when_they_need_it(job: str) -> None:
    code = f"import sys, jobs.{job}\nlate = {{'pandas', 'scipy.spatial'}} & set(sys.modules)\nassert not late, late"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


@pytest.mark.long
def test_a_sync_loads_spark_only_for_what_changed() -> None:
    code = "import sys, jobs.sync_bindings\nassert not {'pyspark', 'delta', 'PIL'} & set(sys.modules), sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


@pytest.mark.long
def test_every_verb_has_a_command_and_help_that_names_what_it_groups() -> None:
    code = (
        "import click\nfrom jobs.cli.main import VERBS, lakealbum\n"
        "for verb, (_, _, text) in VERBS.items():\n"
        "    command = lakealbum.get_command(click.Context(lakealbum), verb)\n"
        "    assert command is not None and command.help, verb\n"
        "    elsewhere = getattr(command, 'elsewhere', {})\n"
        "    names = {*elsewhere, *getattr(command, 'commands', ())}\n"
        "    assert all(name in text.lower() for name in names), verb\n"
        "    for name, (_, _, line) in elsewhere.items():\n"
        "        help = command.get_command(click.Context(command), name).help\n"
        "        assert help.startswith(line.removesuffix('.')), (verb, name)\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_examples_in_docstrings(spark: SparkSession) -> None:
    examples = 0
    failures = []
    for path in MODULES:
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        result = doctest.testmod(
            importlib.import_module(name), extraglobs={"spark": spark, "F": F}, optionflags=doctest.NORMALIZE_WHITESPACE
        )
        examples += result.attempted
        failures += [name] * bool(result.failed)
    assert not failures
    assert examples > 30


def test_the_kernels_cache_depends_on_every_module_with_kernels() -> None:
    found = {str(path.relative_to(ROOT / "transforms")) for path in TRANSFORMS if "\n@kernel" in path.read_text()}
    assert found == set(KERNELS)
