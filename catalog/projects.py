"""Projects and datasets as the endpoint's callers see them: making, changing, listing and deleting them, without a JVM.

A dataset is there if `datasets` has a row of it, whoever made it; `dataset_settings` has what callers said of it. A
project is there if `projects` has a row of it, or if it has a dataset.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from catalog.commits import remove, replace
from catalog.lake import Lake, Row, Scope
from catalog.sql import all_of, equals
from schemas.datasets import DATASETS
from schemas.file_notes import FILE_NOTES
from schemas.files import FILES
from schemas.projects import DATASET_LIMITS, DATASET_SETTINGS, LIMITS, PROJECTS

FRESH_SECONDS = 1.0
"""How long what another process changed may go unnoticed, where a name was found."""

Versions = tuple[int, ...]


@dataclass(frozen=True)
class Statistics:
    """How many files a project or dataset has, and their bytes as far as they are known."""

    files: int
    bytes: int


@dataclass
class _Seen:
    """Projects by name and datasets by project and name, as of versions of the tables."""

    versions: Versions = ()
    projects: dict[str, Row] = field(default_factory=dict)
    datasets: dict[str, dict[str, Row]] = field(default_factory=dict)
    at: float = float("-inf")


class Namespaces:
    """The projects and datasets of a lake, kept in memory and read anew when their tables changed."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._seen = _Seen()
        self._lock = threading.Lock()
        self.changing = threading.Lock()
        """Held by whoever looks whether a name is free, and takes it."""

    def project(self, name: str) -> Row | None:
        """A project, None where it is not there."""
        found = self._look().projects.get(name)
        return found or self._look(at_once=True).projects.get(name)

    def dataset(self, project: str, name: str) -> Row | None:
        """A dataset, None where it is not there."""
        found = self._look().datasets.get(project, {}).get(name)
        return found or self._look(at_once=True).datasets.get(project, {}).get(name)

    def knows(self, project: str, dataset: str) -> bool:
        """Whether a dataset is there by what was just read: no look into the lake is needed to tell."""
        seen = self._seen
        return time.monotonic() - seen.at < FRESH_SECONDS and dataset in seen.datasets.get(project, {})

    def projects(self) -> list[Row]:
        """All projects, by name."""
        return [row for _, row in sorted(self._look(at_once=True).projects.items())]

    def datasets(self, project: str) -> list[Row]:
        """The datasets of a project, by name."""
        return [row for _, row in sorted(self._look(at_once=True).datasets.get(project, {}).items())]

    def check(self) -> None:
        """Raises LakeError where the lake cannot be read."""
        self._look(at_once=True)

    def refresh(self) -> None:
        """Makes the next look read the tables, if they changed."""
        with self._lock:
            self._seen.at = float("-inf")

    def _look(self, *, at_once: bool = False) -> _Seen:
        with self._lock:
            if not at_once and time.monotonic() - self._seen.at < FRESH_SECONDS:
                return self._seen
            now = time.monotonic()
            versions = tuple(self._lake.table(each).version() for each in (PROJECTS, DATASETS, DATASET_SETTINGS))
            if versions != self._seen.versions:
                self._seen = _Seen(versions, *_read(self._lake))
            self._seen.at = now
            return self._seen


def put_project(lake: Lake, row: Row) -> None:
    """Makes a project, or takes the place of what was said of it: a row of `projects`."""
    replace(lake.root, PROJECTS, [{name: row.get(name) for name in PROJECTS.names}])


def delete_project(lake: Lake, name: str) -> None:
    """Deletes a project, which has no dataset."""
    remove(lake.root, PROJECTS, equals("project_name", name))


def put_dataset(lake: Lake, row: Row) -> None:
    """Makes a dataset, or takes the place of what was said of it. `row` has the columns of `dataset_settings`."""
    replace(lake.root, DATASET_SETTINGS, [{name: row.get(name) for name in DATASET_SETTINGS.names}])
    if not lake.count(f"datasets WHERE {_is(row['project_name'], row['dataset_name'])}", DATASETS.name):
        replace(lake.root, DATASETS, [{name: row.get(name) for name in DATASETS.names}])


def delete_dataset(lake: Lake, project: str, name: str) -> None:
    """Deletes a dataset, which has no files."""
    remove(lake.root, DATASETS, _is(project, name))
    remove(lake.root, DATASET_SETTINGS, _is(project, name))


def count_files(lake: Lake, scope: Scope) -> Statistics:
    """The files of a scope that are there: neither removed, nor about to be."""
    there = all_of([scope.condition(lake), "deleted_time IS NULL"])
    noted = all_of([scope.condition(lake, bucketed=False), "removed_time IS NOT NULL"])
    (row,) = lake.read(
        f"""
        SELECT count(*) AS files, coalesce(sum(size), 0) AS bytes
        FROM (SELECT uri, dataset_name, size, update_time FROM files WHERE {there}) AS file
        LEFT JOIN (SELECT uri, dataset_name, removed_time FROM file_notes WHERE {noted}) AS edit
          ON file.uri = edit.uri AND file.dataset_name = edit.dataset_name
        WHERE edit.removed_time IS NULL OR edit.removed_time < file.update_time
        """,
        FILES.name,
        FILE_NOTES.name,
    )
    return Statistics(int(row["files"]), int(row["bytes"]))


def limits_of(row: Mapping[str, int | None], project: Mapping[str, int | None] | None = None) -> dict[str, int]:
    """The limits in force: a dataset's own, else its project's, else IMM's."""
    names = LIMITS if project is None else DATASET_LIMITS
    inherited = project or {}
    return {name: row.get(name) or inherited.get(name) or LIMITS[name][2] for name in names}


def _read(lake: Lake) -> tuple[dict[str, Row], dict[str, dict[str, Row]]]:
    projects = {row["project_name"]: row for row in lake.read("SELECT * FROM projects", PROJECTS.name)}
    settings = {
        (row["project_name"], row["dataset_name"]): row
        for row in lake.read("SELECT * FROM dataset_settings", DATASET_SETTINGS.name)
    }
    datasets: dict[str, dict[str, Row]] = {}
    unsaid = dict.fromkeys(DATASET_SETTINGS.names)
    for row in lake.read("SELECT * FROM datasets", DATASETS.name):
        project, name = row["project_name"], row["dataset_name"]
        datasets.setdefault(project, {})[name] = settings.get((project, name), {**unsaid, **row})
    for project in datasets.keys() - projects.keys():
        projects[project] = {
            **dict.fromkeys(PROJECTS.names),
            "project_name": project,
            "create_time": min(row["create_time"] for row in datasets[project].values()),
            "update_time": max(row["update_time"] for row in datasets[project].values()),
        }
    return projects, datasets


def _is(project: str, dataset: str) -> str:
    return all_of([equals("project_name", project), equals("dataset_name", dataset)])
