"""What still needs a table as it was: tasks under way, and later steps that have not consumed its changes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from catalog import upkeep
from catalog.lake import Lake as Catalog
from jobs.runtime.commits import Mark
from jobs.runtime.lake import Lake
from schemas.contract import Contract
from schemas.dataset_state import DATASET_STATE
from schemas.followers import CLUSTERED, FOLLOWERS


@dataclass(frozen=True)
class Need:
    """Something that still needs what a table held at a time, in words."""

    since: datetime
    whose: str


def need_of(
    lake: Lake, catalog: Catalog, contract: Contract, running: list[Any], *, followers: bool = True
) -> Need | None:
    """The oldest need of what a table held: a task under way or, of its `followers`, changes not yet consumed."""
    needs = [Need(state["start_time"], f"task {state['task_id']} is running") for state in running]
    if not followers:
        return min(needs, key=lambda need: need.since, default=None)
    for source, follower in FOLLOWERS:
        if source is contract:
            consumed = Mark.of(lake.log(follower)).consumed.get(source.name)
            needs += _unconsumed(lake, contract, consumed, f"table {follower.name}")
    if contract in (source for source, _ in CLUSTERED):
        version = f"evidence_versions['{contract.name}']"
        oldest = catalog.read(
            f"SELECT project_name, dataset_name, kind, {version} AS consumed FROM dataset_state "
            f"WHERE {version} IS NOT NULL ORDER BY consumed LIMIT 1",
            DATASET_STATE.name,
        )
        for row in oldest:
            whose = f"clustering {row['kind']} of dataset {row['dataset_name']} of project {row['project_name']}"
            needs += _unconsumed(lake, contract, row["consumed"], whose)
    return min(needs, key=lambda need: need.since, default=None)


def _unconsumed(lake: Lake, contract: Contract, consumed: int | None, whose: str) -> list[Need]:
    """The need of a follower that has consumed a version. None if nothing came after it, or it can't be read anyhow."""
    settled = None if consumed is None else lake.settled_version(contract, consumed)
    if settled is None or settled == lake.version(contract):
        return []
    first = list(upkeep.commits_after(lake.log(contract), settled))[-1]
    return [Need(upkeep.committed_at(first), f"{whose} has not consumed version {settled + 1} of {contract.name} yet")]
