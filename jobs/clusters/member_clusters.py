"""What clusterings of members share: a run from changed datasets to state, and the commits of clusters and members."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

from pyspark.sql import DataFrame

from jobs.clusters.clustering import ClusteringConfig, Scope, changed_datasets, end_clustering, pin_scope
from jobs.clusters.evidence import derive_cluster_events
from jobs.runtime.commits import Step, apply_changes, replace_rows
from jobs.runtime.runs import Run
from schemas.cluster_kinds import MemberKind
from schemas.contract import Contract
from schemas.keys import DATASET_KEY
from transforms.clusters.member_clusters import (
    change_clusters,
    clusters_of_looks,
    clusters_within_looks,
    live_clusters,
    name_groups,
)


@dataclass(frozen=True)
class Changed:
    """The datasets that a run clusters (their keys), what changed of them, and the tables as it pinned them.

    `looks` are those (dataset and the kind's column `look`) of which alone anything can have changed; None: all.
    """

    run: Run
    scope: Scope
    datasets: DataFrame
    feeds: Mapping[str, DataFrame]
    looks: DataFrame | None = None

    def read(self, contract: Contract) -> DataFrame:
        """The rows of the datasets in a table of the evidence."""
        rows = self.run.lake.read(contract, self.scope.versions[contract.name])
        return rows.join(self.datasets, list(DATASET_KEY), how="left_semi")

    def rows_of(self, contract: Contract, keys: DataFrame, *, on: Sequence[str], columns: Sequence[str]) -> DataFrame:
        """Columns of the rows of a table of the evidence whose `on` columns are among `keys` (Lake.rows_of)."""
        rows = self.run.lake.read(contract, self.scope.versions[contract.name])
        return rows.join(keys, list(on), how="left_semi").select(*columns)

    def of_looks(self, contract: Contract, columns: Sequence[str]) -> DataFrame:
        """Columns of the rows of a table of the evidence that are of `looks`, or else of the datasets."""
        if self.looks is None:
            return self.read(contract).select(*columns)
        return self.rows_of(contract, self.looks, on=self.looks.columns, columns=columns)


def cluster_members(
    run: Run,
    config: ClusteringConfig,
    kind: MemberKind,
    *,
    evidence: tuple[Contract, ...],
    commit: Callable[[Changed], int],
) -> None:
    """Clusters the datasets whose evidence, edits or options changed; then events and state.

    `commit` commits what becomes of them, and returns the version of the kind's table.
    """
    scope = pin_scope(run, config, kind=kind.name, evidence=evidence)
    changes = changed_datasets(run, config, scope, kind=kind.name, evidence=evidence)
    version = run.lake.version(kind.table)
    if changes is not None:
        version = commit(Changed(run, scope, changes.datasets, changes.feeds))
    run.progress.stage("events", 85)
    with nullcontext():
        derive_cluster_events(run, kind)
    run.progress.stage("state", 95)
    with nullcontext():
        end_clustering(run, config, scope, kind=kind.name, result=kind.table, result_version=version)


@dataclass(frozen=True)
class MemberClusters:
    """Clusters and members of some datasets: the steps that change them, and their rows as pinned.

    `known_clusters` are `old_clusters` and those others of the datasets that names of new ones depend on.
    """

    run: Run
    kind: MemberKind
    clusters: Step
    members: Step
    old_clusters: DataFrame
    old_members: DataFrame
    known_clusters: DataFrame

    @classmethod
    def pin(cls, run: Run, kind: MemberKind, datasets: DataFrame, *, looks: DataFrame | None = None) -> MemberClusters:
        """Pins both tables, and keeps the rows of `datasets` (their keys); of `looks` alone, where they are given.

        `looks` must have all looks of a cluster, or none.
        """
        clusters, members = (
            Step.pin(run.lake, contract, run.run_id, dry_run=run.dry_run) for contract in (kind.table, kind.members)
        )
        with nullcontext():
            known = old = run.cache(clusters.current().join(datasets, list(DATASET_KEY), how="left_semi"))
            if looks is None:
                old_members = members.current().join(datasets, list(DATASET_KEY), how="left_semi")
            else:
                by_look = (*DATASET_KEY, kind.look)
                old_members = members.current().join(looks, list(by_look), how="left_semi")
                known = run.cache(known.transform(clusters_of_looks, kind=kind, looks=looks))
                old = run.cache(known.transform(clusters_within_looks, kind=kind, looks=looks))
            old_members = run.cache(old_members)
        return cls(run, kind, clusters, members, old, old_members, known)

    def rows_with(self, members: DataFrame) -> int:
        """How many rows naming and committing has to do with: members now, and before."""
        return members.count() + self.old_members.count()

    def name(self, groups: DataFrame, *, several: DataFrame | None = None) -> DataFrame:
        """The ids of groups (transforms.clusters.member_clusters.name_groups)."""
        return name_groups(
            groups,
            kind=self.kind,
            old_members=self.old_members,
            old_clusters=self.known_clusters,
            checkpoint=self.run.cache,
            several=several,
        )

    def commit(self, members: DataFrame, *, groups: DataFrame, names: DataFrame) -> int:
        """Commits clusters, then members, and returns the clusters' version.

        `members` has the columns of the kind's members but run_id; `groups` a row per cluster with the columns that
        the kind alone has; `names` those of name_groups. Killed between the two, the next run finds clusters without
        members, and knows them by their representatives.
        """
        changes = change_clusters(
            live_clusters(groups, kind=self.kind, names=names, now=self.run.now),
            kind=self.kind,
            members=members,
            old_members=self.old_members,
            old_clusters=self.old_clusters,
            now=self.run.now,
        )
        done = apply_changes(self.clusters, self.run.stamp(changes))
        self.run.ledger.wrote(self.kind.table, done)
        self.run.ledger.wrote(self.kind.members, replace_rows(self.members, self.run.stamp(members), self.old_members))
        return done.version
