"""What every clustering job shares: which datasets a run looks at, and the state that it leaves."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any, Protocol

import pyarrow as pa
from deltalake import DeltaTable
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from catalog.sql import all_of, equals
from jobs.runtime.commits import Step, apply_changes
from jobs.runtime.lake import bucket, check_datasets, dataset_names, select_rows
from jobs.runtime.runs import Run
from schemas.cluster_edits import CLUSTER_EDITS
from schemas.contract import Contract
from schemas.dataset_state import DATASET_STATE
from schemas.errors import Conflict
from schemas.keys import DATASET_KEY
from schemas.lake import bucket_of
from transforms.tables.actions import ACTION
from transforms.tables.frames import union_by_name

_NO_STATE = dict.fromkeys(("options", "evidence_versions", "edits_version"))
_STATE = DATASET_STATE.arrow_schema
_STATES = pa.schema(
    [*(_STATE.field(name) for name in DATASET_KEY), *(_STATE.field(name).with_nullable(True) for name in _NO_STATE)]
).append(pa.field("is_stale", pa.bool_()))


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

    `datasets` has a row per dataset, with the state that its last clustering left: `options`, `evidence_versions` (a
    map), `edits_version`, all null before the first time; and `is_stale`: whether all of it is clustered again, as it
    never was, its options change, or --full asks for it. `states` are the same rows.
    """

    datasets: DataFrame
    states: list[dict[str, Any]]
    versions: dict[str, int]
    edits_version: int


@dataclass(frozen=True)
class Changes:
    """What became of datasets since each was last clustered.

    `datasets` has the keys of those that changed, and `is_whole`: whether not evidence alone did, but all of it is
    asked for, or edited, or a change feed is gone. `feeds` are the rows of the change feeds of the evidence that are
    new to the dataset that they are of, by table; without tables that did not move.
    """

    datasets: DataFrame
    feeds: Mapping[str, DataFrame]


def pin_scope(run: Run, config: ClusteringConfig, *, kind: str, evidence: tuple[Contract, ...]) -> Scope:
    """Pins the tables that clusters are made of, and people's edits. UsageError for a dataset that there is not."""
    lake = run.lake
    check_datasets(lake, config.project, config.dataset)
    versions = {contract.name: lake.version(contract) for contract in evidence}
    edits_until = lake.version(CLUSTER_EDITS)
    for contract in evidence:
        run.ledger.read(contract, versions[contract.name])
    run.ledger.read(CLUSTER_EDITS, edits_until)
    states = _states(run, config, kind=kind)
    return Scope(_frame(run, states, _STATES), states, versions, edits_until)


def changed_datasets(
    run: Run, config: ClusteringConfig, scope: Scope, *, kind: str, evidence: tuple[Contract, ...]
) -> Changes | None:
    """The datasets whose evidence, edits or options changed since each was last clustered; None if none."""
    states = [state for state in scope.states if not state["is_stale"]]
    moved = [
        (contract, after, until)
        for contract in evidence
        if (after := _earliest(states, contract)) is not None and after < (until := scope.versions[contract.name])
    ]
    is_edited = any(state["edits_version"] < scope.edits_version for state in states)
    if len(states) == len(scope.states) and not moved and not is_edited:
        run.ledger.count("datasets.changed", 0)
        return None
    with nullcontext():
        feeds = {contract.name: run.lake.read_changes(contract, *span) for contract, *span in moved}
        edits = edits_of_kind(run, config, kind=kind, until=scope.edits_version) if is_edited else None
        changes = _changes(scope.datasets, feeds=feeds, edits=edits)
        datasets = run.cache_keys(changes.datasets, "datasets.changed")
    return replace(changes, datasets=datasets) if run.ledger.row_counts["datasets.changed"] else None


def _changes(states: DataFrame, *, feeds: Mapping[str, DataFrame | None], edits: DataFrame | None) -> Changes:
    """The datasets that are stale, or that change feeds or edits tell of; all where a feed is gone."""
    fresh, whole = states.where("NOT is_stale"), states.where("is_stale").select(*DATASET_KEY)
    newer = {}
    for name, changes in feeds.items():
        if changes is None:
            return Changes(states.select(*DATASET_KEY, F.lit(True).alias("is_whole")), {})
        seen = F.broadcast(fresh.select(*DATASET_KEY, F.col("evidence_versions")[name].alias("_seen")))
        newer[name] = changes.join(seen, list(DATASET_KEY), how="inner").where("_commit_version > _seen")
    if edits is not None:
        seen = F.broadcast(fresh.select(*DATASET_KEY, "edits_version"))
        edited = edits.join(seen, list(DATASET_KEY), how="inner").where("sequence > edits_version")
        whole = union_by_name(whole, edited.select(*DATASET_KEY))
    found = [whole.withColumn("is_whole", F.lit(True))]
    found += [each.select(*DATASET_KEY, F.lit(False).alias("is_whole")) for each in newer.values()]
    datasets = union_by_name(*found).groupBy(*DATASET_KEY).agg(F.bool_or("is_whole").alias("is_whole"))
    return Changes(datasets, newer)


def _earliest(states: list[dict[str, Any]], contract: Contract) -> int | None:
    """The earliest version of a table that one of the datasets was last clustered from."""
    return min(
        (seen[contract.name] for state in states if contract.name in (seen := state["evidence_versions"])), default=None
    )


def edits_of_kind(run: Run, config: ClusteringConfig, *, kind: str, until: int) -> DataFrame:
    """People's edits of one kind of cluster, up to the table version `until`, with their bucket."""
    edits = run.lake.read(CLUSTER_EDITS, until)
    edits = edits.where((F.col("project_name") == config.project) & (F.col("kind") == kind))
    return edits.withColumn("bucket", bucket(run.lake.settings.buckets))


def _states(run: Run, config: ClusteringConfig, *, kind: str) -> list[dict[str, Any]]:
    """One row per dataset asked for, with the state of its clustering (nulls before the first time)."""
    lake, project = run.lake, config.project
    known = _states_of_kind(lake.log(DATASET_STATE), project=project, kind=kind)
    names = sorted(set(config.dataset)) or dataset_names(lake, project)
    keys = {name: (bucket_of(project, name, lake.settings.buckets), project, name) for name in names}
    return [
        {
            **dict(zip(DATASET_KEY, key, strict=True)),
            **(state := known.get(name, _NO_STATE)),
            "is_stale": config.full or state["options"] != config.options,
        }
        for name, key in keys.items()
    ]


def _states_of_kind(table: DeltaTable, *, project: str, kind: str) -> dict[str, dict[str, Any]]:
    """What `dataset_state` says of a kind of clustering, by dataset."""
    ours = all_of([equals("project_name", project), equals("kind", kind)])
    rows = select_rows(table, ("dataset_name", *_NO_STATE), ours)
    return {row.pop("dataset_name"): row for row in rows}


def _frame(run: Run, rows: list[dict[str, Any]], schema: pa.Schema) -> DataFrame:
    return run.lake.frame(pa.Table.from_pylist(rows, schema))


def end_clustering(
    run: Run, config: ClusteringConfig, scope: Scope, *, kind: str, result: Contract, result_version: int
) -> None:
    """Writes the options in force and the versions consumed, last of all.

    Raises Conflict when another run has changed the table `result` since this one wrote it as `result_version`:
    then state and result would not belong together, and the clustering is done again.
    """
    step = Step.pin(run.lake, DATASET_STATE, run.run_id, dry_run=run.dry_run)
    known = _states_of_kind(step.log, project=config.project, kind=kind)
    state = dict(zip(_NO_STATE, (config.options, scope.versions, scope.edits_version), strict=True))
    own = {"kind": kind, **state, "update_time": run.now, "run_id": run.run_id}
    changes = [
        {
            **{name: each[name] for name in DATASET_KEY},
            **own,
            ACTION: "update" if each["dataset_name"] in known else "insert",
        }
        for each in scope.states
        if known.get(each["dataset_name"]) != state
    ]
    _check_unmoved(run, result, result_version)
    if changes:
        rows = _frame(run, changes, _STATE.append(pa.field(ACTION, pa.string())))
        run.ledger.wrote(DATASET_STATE, apply_changes(step, rows))
        _check_unmoved(run, result, result_version)


def _check_unmoved(run: Run, result: Contract, version: int) -> None:
    if not run.dry_run and run.lake.last_job_version(result, after=version) is not None:
        raise Conflict(f"another run changed table {result.name} meanwhile")
