"""What clusterings of members share: which datasets changed, and the commits of clusters, members and events."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.clusters.events import follow_clusters
from jobs.clusters.scope import ClusteringConfig, Evidence, Scope, load_edits
from jobs.runtime.commits import Step, apply_changes
from jobs.runtime.kernels import apply_kernel
from jobs.runtime.lake import Rows
from jobs.runtime.runs import Run
from schemas.cluster_kinds import MemberKind
from schemas.dataset_state import DATASET_STATE
from schemas.keys import CLUSTER_KEY, DATASET_KEY, FILE_KEY
from transforms.clusters.changing import Clustering
from transforms.clusters.events import derive_member_events, member_changes_since_events
from transforms.clusters.naming import clusters_of_looks, clusters_within_looks
from transforms.clusters.scope import changed_datasets
from transforms.tables.actions import ACTION

TOLD = ("state", "files", "origin_id", "successor_id")
"""The columns of a table of clusters that events are derived from."""


@dataclass(frozen=True)
class Changed:
    """What a run clusters: `datasets` (DATASET_KEY), and of these alone the `looks` (dataset and the kind's column
    `look`) of which anything can have changed; None: all.

    `is_whole` are the datasets of which all is clustered, as not their evidence alone changed, or nobody can tell what.
    `feeds` are the rows of change feeds that are new to their dataset, by table: those of few changes.
    """

    datasets: pa.Table
    is_whole: pa.Table
    feeds: Mapping[str, pa.Table]
    looks: pa.Table | None = None


def find_changed(run: Run, config: ClusteringConfig, scope: Scope, *, kind: str, evidence: Evidence) -> Changed | None:
    """The datasets whose evidence, edits or options changed since each was last clustered; None if none."""
    feeds: dict[str, pa.Table | None] = {}
    is_told = True  # whether all feeds say row by row what changed
    for contract, columns in evidence:
        after, until = pc.min(scope.seen(contract)["evidence_version"]).as_py(), scope.versions[contract.name]
        if after is not None and after < until:
            feed = run.lake.fetch_changes(contract, after, until, columns)
            if isinstance(feed, DataFrame):
                feed, is_told = _last_changes(feed), False
            feeds[contract.name] = feed
    fresh = scope.datasets.filter(pc.invert(scope.datasets["is_stale"]))
    edited_after = pc.min(fresh["edits_version"]).as_py()
    is_edited = edited_after is not None and edited_after < scope.edits_version
    edits = load_edits(run, config, kind=kind, until=scope.edits_version) if is_edited else None
    changes = changed_datasets(scope.datasets, feeds=feeds, edits=edits)
    run.ledger.count("datasets.changed", len(changes.datasets))
    if not len(changes.datasets):
        return None
    whole = changes.datasets.filter(changes.datasets["is_whole"]) if is_told else changes.datasets
    return Changed(changes.datasets.select(DATASET_KEY), whole.select(DATASET_KEY), changes.feeds)


def _last_changes(feed: DataFrame) -> pa.Table:
    """Of many changes the version of each dataset's last."""
    last = feed.groupBy(*DATASET_KEY).agg(F.max("_commit_version").alias("_commit_version"))
    schema = pa.schema(
        [*(DATASET_STATE.arrow_schema.field(name) for name in DATASET_KEY), ("_commit_version", pa.int64())]
    )
    return last.toArrow().cast(schema)


@dataclass(frozen=True)
class MemberSteps:
    """The commits of clusters and members, pinned; and the rows of the datasets, or looks, that a run clusters."""

    run: Run
    kind: MemberKind
    clusters: Step
    members: Step

    @classmethod
    def pin(cls, run: Run, kind: MemberKind) -> MemberSteps:
        """Pins both tables."""
        pinned = (
            Step.pin(run.lake, contract, run.run_id, dry_run=run.dry_run) for contract in (kind.table, kind.members)
        )
        return cls(run, kind, *pinned)

    def known(self, changed: Changed) -> dict[str, Rows]:
        """What a kernel is told of before: `old_clusters` and `old_members`, rows of the datasets or looks.

        Of looks also `known_clusters`: those others of the datasets that names of new ones depend on. `looks` must have
        all looks of a cluster, or none.
        """
        lake = self.run.lake
        clusters, members = self.kind.table.computed_schema.names, self.kind.members.computed_schema.names
        of_datasets = partial(lake.fetch_keys, on=DATASET_KEY)
        found = of_datasets(self.kind.table, self.clusters.base, changed.datasets, columns=clusters)
        if changed.looks is None or isinstance(found, DataFrame):
            old = of_datasets(self.kind.members, self.members.base, changed.datasets, columns=members)
            return {"old_clusters": found, "old_members": old}
        known = clusters_of_looks(found, kind=self.kind, looks=changed.looks)
        by_look = (*DATASET_KEY, self.kind.look)
        return {
            "known_clusters": known,
            "old_clusters": clusters_within_looks(known, kind=self.kind, looks=changed.looks),
            "old_members": lake.fetch_keys(
                self.kind.members, self.members.base, changed.looks, on=by_look, columns=members
            ),
        }

    def known_of(self, removed: pa.Table) -> dict[str, pa.Table]:
        """`old_clusters` and `old_members` of the clusters with members in removed files (FILE_KEY); {} if none has."""
        load = self.run.lake.load_keys
        table, members = self.kind.table, self.kind.members
        gone = load(members, self.members.base, removed, on=FILE_KEY, columns=CLUSTER_KEY)
        gone = gone.filter(pc.is_valid(gone["object_id"]))
        if not len(gone):
            return {}
        clusters, of_clusters = table.computed_schema.names, members.computed_schema.names
        return {
            "old_clusters": load(table, self.clusters.base, gone, on=CLUSTER_KEY, columns=clusters),
            "old_members": load(members, self.members.base, gone, on=CLUSTER_KEY, columns=of_clusters),
        }

    def commit(self, decide: Callable[..., Clustering], **inputs: Rows) -> int:
        """Commits clusters, then members, as the kernel `decide` has them. Returns the clusters' version.

        Killed between the two, the next run finds clusters without members, and knows them by their representatives.
        """
        done = [
            apply_changes(step, self.run.stamp(self._changes(step, kernel, inputs)))
            for step, kernel in (
                (self.clusters, partial(_change_clusters, decide, now=self.run.now)),
                (self.members, partial(_change_members, decide)),
            )
        ]
        for step, committed in zip((self.clusters, self.members), done, strict=True):
            self.run.ledger.wrote(step.contract, committed)
        return done[0].version

    def _changes(self, step: Step, kernel: Callable[..., pa.Table], inputs: dict[str, Any]) -> Rows:
        schema = step.contract.computed_schema.append(pa.field(ACTION, pa.string()))
        return apply_kernel(self.run.lake, kernel, schema=schema, **inputs)


def _change_clusters(decide: Callable[..., Clustering], *, now: Any, **inputs: pa.Table) -> pa.Table:
    before = {name: inputs[name] for name in ("old_clusters", "old_members")}
    return decide(**inputs).change_clusters(**before, now=now)


def _change_members(decide: Callable[..., Clustering], **inputs: pa.Table) -> pa.Table:
    return decide(**inputs).change_members(old_members=inputs["old_members"])


def derive_cluster_events(run: Run, kind: MemberKind) -> None:
    """Writes the events of every version of a kind's table of clusters that has none yet."""
    version = run.lake.version(kind.table)
    follow_clusters(
        run,
        kind.table,
        kind=kind.name,
        columns=(*CLUSTER_KEY, *TOLD),
        derive=partial(derive_member_events, kind=kind.name),
        compare=partial(member_changes_since_events, version=version, now=run.now),
    )
