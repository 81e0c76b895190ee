"""Hatchling's hook: notes in the wheel which commit it is built from."""

from __future__ import annotations

import os
import runpy
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class NoteCommit(BuildHookInterface):
    """The commit is LAKEALBUM_COMMIT, for builds without git; else what git says; nothing where neither tells it."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Adds `schemas/commit.txt` (see schemas.version.commit)."""
        told = runpy.run_path(str(Path(self.root, "schemas", "version.py")))["commit"]
        if commit := os.environ.get("LAKEALBUM_COMMIT") or told():
            self.folder = tempfile.TemporaryDirectory()
            note = Path(self.folder.name, "commit.txt")
            note.write_text(f"{commit}\n", encoding="utf-8")
            build_data["force_include"][str(note)] = "lakealbum/schemas/commit.txt"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Takes the note away."""
        if hasattr(self, "folder"):
            self.folder.cleanup()
