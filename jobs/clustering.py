"""What every clustering job shares: which datasets a run looks at, and the state that it leaves."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import Protocol

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.commits import Step, replace_rows
from jobs.lake import bucket, check_datasets
from jobs.runs import Run
from schemas.cluster_edits import CLUSTER_EDITS
from schemas.contract import Contract
from schemas.dataset_state import DATASET_STATE
from schemas.datasets import DATASETS
from schemas.errors import Conflict
from transforms.location_dates import DATASET_KEY


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
    map), `edits_version`, all null before the first time.
    """

    datasets: DataFrame
    versions: dict[str, int]
    edits_version: int


def pin_scope(run: Run, config: ClusteringConfig, *, kind: str, evidence: tuple[Contract, ...]) -> Scope:
    """Pins the tables that clusters are made of, and people's edits. UsageError for a dataset that there is not."""
    lake = run.lake
    check_datasets(lake, config.project, config.dataset)
    versions = {contract.name: lake.version(contract) for contract in evidence}
    edits_until = lake.version(CLUSTER_EDITS)
    for contract in evidence:
        run.ledger.read(contract, versions[contract.name])
    run.ledger.read(CLUSTER_EDITS, edits_until)
    return Scope(run.cache(_states(run, config, kind=kind)), versions, edits_until)


def is_stale(config: ClusteringConfig) -> Column:
    """Whether all of a dataset is clustered again: it never was, or its options change, or --full asks for it."""
    return F.lit(config.full) | ~F.col("options").eqNullSafe(F.lit(config.options))


def changed_datasets(
    run: Run, config: ClusteringConfig, scope: Scope, *, kind: str, evidence: tuple[Contract, ...]
) -> DataFrame:
    """The keys of the datasets whose evidence, edits or options changed since each was last clustered."""
    states, lake = scope.datasets, run.lake
    fresh = states.where(~is_stale(config))
    since = {contract.name: F.col("evidence_versions")[contract.name] for contract in evidence}
    earliest = fresh.agg(*(F.min(version).alias(name) for name, version in since.items())).first()
    assert earliest is not None
    changed = [states.where(is_stale(config)).select(*DATASET_KEY)]
    for contract in evidence:
        after, until = earliest[contract.name], scope.versions[contract.name]
        if after is None or after == until:
            continue
        changes = lake.changes(contract, after, until)
        if changes is None:
            return run.cache_keys(states.select(*DATASET_KEY), "datasets.changed")
        seen = F.broadcast(fresh.select(*DATASET_KEY, since[contract.name].alias("_seen")))
        newer = changes.join(seen, list(DATASET_KEY), how="inner").where("_commit_version > _seen")
        changed.append(newer.select(*DATASET_KEY))
    edits = edits_of_kind(run, config, kind=kind, until=scope.edits_version)
    seen = F.broadcast(fresh.select(*DATASET_KEY, "edits_version"))
    edited = edits.join(seen, list(DATASET_KEY), how="inner").where("sequence > edits_version")
    keys = reduce(DataFrame.unionByName, [*changed, edited.select(*DATASET_KEY)])
    return run.cache_keys(keys.distinct(), "datasets.changed")


def edits_of_kind(run: Run, config: ClusteringConfig, *, kind: str, until: int) -> DataFrame:
    """People's edits of one kind of cluster, up to the table version `until`, with their bucket."""
    edits = run.lake.read(CLUSTER_EDITS, until)
    edits = edits.where((F.col("project_name") == config.project) & (F.col("kind") == kind))
    return edits.withColumn("bucket", bucket(run.lake.settings.buckets))


def _states(run: Run, config: ClusteringConfig, *, kind: str) -> DataFrame:
    """One row per dataset asked for, with the state of its clustering (nulls before the first time)."""
    lake = run.lake
    known = lake.read(DATASETS, lake.version(DATASETS)).where(F.col("project_name") == config.project)
    if config.dataset:
        known = known.where(F.col("dataset_name").isin(*config.dataset))
    known = known.select("project_name", "dataset_name", bucket(lake.settings.buckets).alias("bucket"))
    state = lake.read(DATASET_STATE, lake.version(DATASET_STATE)).where(F.col("kind") == kind)
    state = state.select(*DATASET_KEY, "options", "evidence_versions", "edits_version")
    return known.join(state, list(DATASET_KEY), how="left")


def end_clustering(
    run: Run, config: ClusteringConfig, scope: Scope, *, kind: str, result: Contract, result_version: int
) -> None:
    """Writes the options in force and the versions consumed, last of all.

    Raises Conflict when another run has changed the table `result` since this one wrote it as `result_version`:
    then state and result would not belong together, and the clustering is done again.
    """
    step = Step.pin(run.lake, DATASET_STATE, run.run_id, dry_run=run.dry_run)
    wanted = scope.datasets.select(
        *DATASET_KEY,
        F.lit(kind).alias("kind"),
        F.lit(config.options).alias("options"),
        F.create_map(*(F.lit(each) for pair in sorted(scope.versions.items()) for each in pair))
        .cast("map<string,bigint>")
        .alias("evidence_versions"),
        F.lit(scope.edits_version).cast("bigint").alias("edits_version"),
        run.clock().alias("update_time"),
    )
    current = step.current().where(F.col("kind") == kind)
    current = current.join(F.broadcast(scope.datasets.select(*DATASET_KEY)), list(DATASET_KEY), how="left_semi")
    _check_unmoved(run, result, result_version)
    done = replace_rows(step, run.stamp(wanted), current, ignore=("run_id", "update_time"))
    run.ledger.wrote(DATASET_STATE, done)
    _check_unmoved(run, result, result_version)


def _check_unmoved(run: Run, result: Contract, version: int) -> None:
    if not run.dry_run and run.lake.last_job_version(result, after=version) is not None:
        raise Conflict(f"another run changed table {result.name} meanwhile")
