"""What every clustering job shares: which datasets and places a run looks at, people's edits, and the state kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.commits import Step, replace_rows
from jobs.lake import bucket, check_datasets
from jobs.runs import Run
from schemas.cluster_edits import CLUSTER_EDITS
from schemas.contract import Contract
from schemas.dataset_state import DATASET_STATE
from schemas.datasets import DATASETS
from schemas.errors import Conflict
from schemas.place_days import PLACE_DAYS
from transforms.location_dates import DATASET_KEY, PLACE_KEY, explode_levels


class ClusteringConfig(Protocol):
    """What the shared steps need to know of a clustering job's configuration."""

    @property
    def project(self) -> str: ...
    @property
    def dataset(self) -> tuple[str, ...]: ...
    @property
    def levels(self) -> tuple[str, ...]: ...
    @property
    def full(self) -> bool: ...
    @property
    def options(self) -> str: ...


@dataclass(frozen=True)
class Scope:
    """What one clustering run looks at: the evidence as pinned, and the places whose clusters may change.

    `stale` are the datasets of which every place is looked at (new ones, and those whose options change); `places`
    the places of the others that changed. Both are None when every place of every dataset asked for is.
    """

    days: DataFrame
    datasets: DataFrame
    evidence_version: int
    edits_version: int
    stale: DataFrame | None = None
    places: DataFrame | None = None
    changed: bool = True
    """Whether there is anything to look at."""

    def keep(self, rows: DataFrame) -> DataFrame:
        """The rows (with the columns of PLACE_KEY) that lie in the scope."""
        rows = rows.join(F.broadcast(self.datasets.select(*DATASET_KEY)), list(DATASET_KEY), how="left_semi")
        if self.stale is None or self.places is None:
            return rows
        whole = rows.join(self.stale, list(DATASET_KEY), how="left_semi")
        return whole.unionByName(rows.join(self.places, list(PLACE_KEY), how="left_semi"))


@dataclass(frozen=True)
class Edits:
    """People's decisions that clustering obeys: `deletions` in force, a row per deleted cluster, with its days."""

    deletions: DataFrame


def find_scope(run: Run, config: ClusteringConfig, *, kind: str) -> Scope:
    """Pins evidence and edits, and finds what changed in them since each dataset was last clustered."""
    lake = run.lake
    check_datasets(lake, config.project, config.dataset)
    until, edits_until = lake.version(PLACE_DAYS), lake.version(CLUSTER_EDITS)
    run.ledger.read(PLACE_DAYS, until)
    run.ledger.read(CLUSTER_EDITS, edits_until)
    states = run.cache(_states(run, config, kind=kind))
    days = lake.read(PLACE_DAYS, until).where(F.col("project_name") == config.project)
    scope = Scope(days, states, until, edits_until)
    is_stale = F.lit(config.full) | ~F.col("options").eqNullSafe(F.lit(config.options))
    fresh = states.where(~is_stale)
    seen = fresh.agg(F.count("*").alias("datasets"), F.min("evidence_version").alias("evidence")).first()
    assert seen is not None
    changes = lake.changes(PLACE_DAYS, seen.evidence, until) if seen.datasets and seen.evidence < until else None
    if not seen.datasets or (changes is None and seen.evidence < until):
        return scope
    places = _edited_places(run, config, kind=kind, fresh=fresh, until=edits_until)
    if changes is not None:
        places = places.unionByName(_changed_places(changes, fresh=fresh, levels=config.levels))
    places = run.cache_keys(places.distinct(), "places.changed")
    stale = states.where(is_stale).select(*DATASET_KEY)
    changed = run.ledger.row_counts["places.changed"] > 0 or not stale.isEmpty()
    return Scope(days, states, until, edits_until, F.broadcast(stale), places, changed)


def _states(run: Run, config: ClusteringConfig, *, kind: str) -> DataFrame:
    """One row per dataset asked for, with the state of its clustering (nulls before the first time)."""
    lake = run.lake
    known = lake.read(DATASETS, lake.version(DATASETS)).where(F.col("project_name") == config.project)
    if config.dataset:
        known = known.where(F.col("dataset_name").isin(*config.dataset))
    known = known.select("project_name", "dataset_name", bucket(lake.settings.buckets).alias("bucket"))
    state = lake.read(DATASET_STATE, lake.version(DATASET_STATE)).where(F.col("kind") == kind)
    state = state.select(*DATASET_KEY, "options", "evidence_version", "edits_version")
    return known.join(state, list(DATASET_KEY), how="left")


def _changed_places(changes: DataFrame, *, fresh: DataFrame, levels: tuple[str, ...]) -> DataFrame:
    """The places, at each level, of evidence that changed after its dataset was last clustered."""
    since = F.broadcast(fresh.select(*DATASET_KEY, "evidence_version"))
    newer = changes.join(since, list(DATASET_KEY), how="inner").where("_commit_version > evidence_version")
    finest = newer.select(*DATASET_KEY, "place_key").distinct()
    return finest.transform(explode_levels, levels=levels).select(*PLACE_KEY)


def _edits(run: Run, config: ClusteringConfig, *, kind: str, until: int) -> DataFrame:
    edits = run.lake.read(CLUSTER_EDITS, until).where(
        (F.col("project_name") == config.project) & (F.col("kind") == kind) & F.col("action").isin("delete", "undelete")
    )
    return edits.withColumn("bucket", bucket(run.lake.settings.buckets))


def _edited_places(run: Run, config: ClusteringConfig, *, kind: str, fresh: DataFrame, until: int) -> DataFrame:
    """The places of clusters that were deleted or undeleted after their dataset was last clustered."""
    edits = _edits(run, config, kind=kind, until=until)
    since = F.broadcast(fresh.select(*DATASET_KEY, "edits_version"))
    touched = (
        edits.join(since, list(DATASET_KEY), how="inner")
        .where("sequence > edits_version")
        .select(*DATASET_KEY, "object_id")
    )
    places = edits.where("action = 'delete'").select(*PLACE_KEY, "object_id")
    return places.join(touched, [*DATASET_KEY, "object_id"], how="left_semi").select(*PLACE_KEY)


def edits_of(run: Run, config: ClusteringConfig, *, kind: str, until: int) -> Edits:
    """People's edits up to the table version `until`; per cluster the last commit wins."""
    edits = _edits(run, config, kind=kind, until=until)
    last = edits.groupBy(*DATASET_KEY, "object_id").agg(
        F.max_by("action", "sequence").alias("action"),
        F.max_by(F.struct("level", "place_key", "first_day", "last_day"), "sequence").alias("span"),
    )
    return Edits(run.cache(last.where("action = 'delete'").select(*DATASET_KEY, "object_id", "span.*")))


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
        F.lit(scope.evidence_version).cast("bigint").alias("evidence_version"),
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
