from __future__ import annotations

import runpy
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from schemas import version

GIT = ["git", "-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"]


@pytest.fixture
def module(tmp_path: Path) -> Path:
    """A copy of the module, in a checkout of its own that has no commit yet."""
    (tmp_path / "schemas").mkdir()
    return Path(shutil.copy(version.__file__, tmp_path / "schemas" / "version.py"))


def told(module: Path) -> str:
    full_version: Callable[[], str] = runpy.run_path(str(module))["full_version"]
    return full_version()


def test_without_git_and_without_a_note_the_version_stands_alone(module: Path) -> None:
    assert told(module) == version.VERSION


def test_the_note_of_the_build_is_the_commit(module: Path) -> None:
    module.with_name("commit.txt").write_text("0123456789ab\n", encoding="utf-8")
    assert told(module) == f"{version.VERSION} (0123456789ab)"


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_a_checkout_tells_its_commit_and_whether_files_differ_from_it(module: Path) -> None:
    root = module.parents[1]
    for command in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "--message", "first"], ["tag", "v1"]):
        subprocess.run([*GIT, *command], cwd=root, check=True)
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=True).stdout
    assert told(module) == f"{version.VERSION} ({head[:12]})"
    with module.open("a", encoding="utf-8") as file:
        file.write("\n")
    assert told(module) == f"{version.VERSION} ({head[:12]}-dirty)"
