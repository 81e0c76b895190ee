"""What every clustering shares: which datasets a run looks at, people's edits, and the state that it leaves."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from catalog.sql import all_of, equals
from jobs.runtime.commits import Step, apply_changes
from jobs.runtime.lake import check_datasets, dataset_names
from jobs.runtime.runs import Run
from schemas.cluster_edits import CLUSTER_EDITS
from schemas.contract import TIMESTAMP, Contract
from schemas.dataset_state import DATASET_STATE
from schemas.errors import Conflict
from schemas.keys import DATASET_KEY
from schemas.lake import bucket_of
from transforms.tables.digests import with_bucket
from transforms.tables.keyed import diff_rows, left_join, with_columns

STATE = ("options", "evidence_versions", "edits_version")
"""The columns of `dataset_state` that say what a dataset was last clustered from."""
_KEYS = pa.schema([DATASET_STATE.arrow_schema.field(name) for name in DATASET_KEY])


Evidence = tuple[tuple[Contract, tuple[str, ...]], ...]
"""The tables that clusters are made of, and what of each one's change feed tells what changed."""


class ClusteringConfig(Protocol):
    """What the shared steps need to know of a clustering job's configuration."""

    @property
    def project(self) -> str: ...
    @property
    def dataset(self) -> tuple[str, ...]: ...
    @property
    def full(self) -> bool: ...
    @property
    def options(self) -> str: ...


@dataclass(frozen=True)
class Scope:
    """What one clustering run looks at: the datasets asked for, and the versions pinned of what it reads.

    `datasets` has a row per dataset: DATASET_KEY, and the state that its last clustering left (STATE), null before the
    first time; and `is_stale`: whether all of it is clustered again, as it never was, its options change, or --full
    asks for it. `known` are the rows of `dataset_state` of this kind of clustering, at its version `known_at`.
    """

    datasets: pa.Table
    versions: dict[str, int]
    edits_version: int
    known: pa.Table
    known_at: int

    @property
    def stale(self) -> pa.Table:
        """The keys of the datasets of which all is clustered again."""
        return self.datasets.filter(self.datasets["is_stale"]).select(DATASET_KEY)

    def seen(self, contract: Contract) -> pa.Table:
        """The other datasets: DATASET_KEY, and what they were clustered from: `evidence_version`, `edits_version`."""
        fresh = self.datasets.filter(pc.invert(self.datasets["is_stale"]))
        version = pc.map_lookup(fresh["evidence_versions"], pa.scalar(contract.name), "first")
        seen = fresh.select([*DATASET_KEY, "edits_version"])
        return with_columns(seen, {"evidence_version": version})


def pin_scope(run: Run, config: ClusteringConfig, *, kind: str, evidence: Evidence) -> Scope:
    """Pins the tables that clusters are made of, and people's edits. UsageError for a dataset that there is not."""
    lake = run.lake
    check_datasets(lake, config.project, config.dataset)
    versions = {contract.name: lake.version(contract) for contract, _ in evidence}
    edits_until = lake.version(CLUSTER_EDITS)
    for contract, _ in evidence:
        run.ledger.read(contract, versions[contract.name])
    run.ledger.read(CLUSTER_EDITS, edits_until)
    names = sorted(set(config.dataset)) or dataset_names(lake, config.project)
    buckets = [bucket_of(config.project, name, lake.settings.buckets) for name in names]
    projects = pa.repeat(pa.scalar(config.project), len(names))
    keys = pa.table([pa.array(buckets, pa.int32()), projects, pa.array(names, pa.string())], _KEYS)
    known_at = lake.version(DATASET_STATE)
    known = _states(run, known_at, project=config.project, kind=kind)
    states = left_join(keys, known, on=DATASET_KEY, columns=STATE)
    is_same = pc.fill_null(pc.equal(states["options"], config.options), False)
    is_stale = pc.or_(pc.invert(is_same), pa.scalar(config.full))
    return Scope(with_columns(states, {"is_stale": is_stale}), versions, edits_until, known, known_at)


def _states(run: Run, version: int, *, project: str, kind: str) -> pa.Table:
    """The rows of `dataset_state` of a kind of clustering, at a version."""
    ours = all_of([equals("project_name", project), equals("kind", kind)])
    return run.lake.load(DATASET_STATE, version, condition=ours)


def load_edits(run: Run, config: ClusteringConfig, *, kind: str, until: int) -> pa.Table:
    """People's edits of one kind of cluster, up to the table version `until`, with their bucket."""
    ours = all_of([equals("project_name", config.project), equals("kind", kind)])
    edits = run.lake.load(CLUSTER_EDITS, until, condition=ours)
    return with_bucket(edits, run.lake.settings.buckets)


def end_clustering(
    run: Run, config: ClusteringConfig, scope: Scope, *, kind: str, result: Contract, result_version: int
) -> None:
    """Writes the options in force and the versions consumed, last of all.

    Raises Conflict when another run has changed the table `result` since this one wrote it as `result_version`:
    then state and result would not belong together, and the clustering is done again.
    """
    lake = run.lake
    wanted = _wanted_states(run, config, scope, kind=kind)
    differ = partial(diff_rows, wanted, key=DATASET_STATE.key, compare=STATE, absent="leave")
    _check_unmoved(run, result, result_version)
    if not len(differ(current=scope.known)) and lake.version(DATASET_STATE) == scope.known_at:
        return
    step = Step.pin(lake, DATASET_STATE, run.run_id, dry_run=run.dry_run)
    is_known = step.base == scope.known_at
    changes = differ(current=scope.known if is_known else _states(run, step.base, project=config.project, kind=kind))
    if len(changes):
        run.ledger.wrote(DATASET_STATE, apply_changes(step, changes))
        _check_unmoved(run, result, result_version)


def _wanted_states(run: Run, config: ClusteringConfig, scope: Scope, *, kind: str) -> pa.Table:
    """What `dataset_state` is to say of the datasets that were clustered."""
    evidence = DATASET_STATE.arrow_schema.field("evidence_versions").type
    state = {
        "kind": pa.scalar(kind),
        "options": pa.scalar(config.options),
        "evidence_versions": pa.scalar(list(scope.versions.items()), evidence),
        "edits_version": pa.scalar(scope.edits_version, pa.int64()),
        "update_time": pa.scalar(run.now, TIMESTAMP),
    }
    return run.stamp(with_columns(scope.datasets.select(DATASET_KEY), state)).select(DATASET_STATE.names)


def _check_unmoved(run: Run, result: Contract, version: int) -> None:
    if not run.dry_run and run.lake.last_job_version(result, after=version) is not None:
        raise Conflict(f"another run changed table {result.name} meanwhile")
