"""Which places a run of `cluster location-date` looks at, and people's deletions of trips."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.clusters.clustering import ClusteringConfig, Scope, edits_of_kind, pin_scope
from jobs.runtime.runs import Run
from schemas.keys import DATASET_KEY, PLACE_KEY
from schemas.place_days import PLACE_DAYS
from transforms.tables.frames import union_by_name
from transforms.trips.location_dates import explode_levels


class TripConfig(ClusteringConfig, Protocol):
    """A clustering's configuration, with the levels of places."""

    @property
    def levels(self) -> tuple[str, ...]: ...


@dataclass(frozen=True)
class PlaceScope(Scope):
    """What one run looks at: the evidence as pinned, and the places whose clusters may change.

    `stale` are the datasets of which every place is looked at (new ones, and those whose options change); `places`
    the places of the others that changed. Both are None when every place of every dataset asked for is.
    """

    days: DataFrame
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
        return union_by_name(whole, rows.join(self.places, list(PLACE_KEY), how="left_semi"))


@dataclass(frozen=True)
class Edits:
    """People's decisions that clustering obeys: `deletions` in force, a row per deleted cluster, with its days."""

    deletions: DataFrame


def find_places(run: Run, config: TripConfig, *, kind: str) -> PlaceScope:
    """Pins evidence and edits, and finds what changed in them since each dataset was last clustered."""
    lake = run.lake
    pinned = pin_scope(run, config, kind=kind, evidence=(PLACE_DAYS,))
    states, until = pinned.datasets, pinned.versions[PLACE_DAYS.name]
    days = lake.read(PLACE_DAYS, until).where(F.col("project_name") == config.project)
    scope = PlaceScope(**vars(pinned), days=days)
    fresh = states.where("NOT is_stale").withColumn("evidence_version", F.col("evidence_versions")[PLACE_DAYS.name])
    seen = fresh.agg(F.count("*").alias("datasets"), F.min("evidence_version").alias("evidence")).first()
    assert seen is not None
    changes = lake.read_changes(PLACE_DAYS, seen.evidence, until) if seen.datasets and seen.evidence < until else None
    if not seen.datasets or (changes is None and seen.evidence < until):
        return scope
    places = _edited_places(run, config, kind=kind, fresh=fresh, until=scope.edits_version)
    if changes is not None:
        places = union_by_name(places, _changed_places(changes, fresh=fresh, levels=config.levels))
    places = run.cache_keys(places.distinct(), "places.changed")
    stale = states.where("is_stale").select(*DATASET_KEY)
    changed = run.ledger.row_counts["places.changed"] > 0 or not stale.isEmpty()
    return PlaceScope(**vars(pinned), days=days, stale=F.broadcast(stale), places=places, changed=changed)


def _changed_places(changes: DataFrame, *, fresh: DataFrame, levels: tuple[str, ...]) -> DataFrame:
    """The places, at each level, of evidence that changed after its dataset was last clustered."""
    since = F.broadcast(fresh.select(*DATASET_KEY, "evidence_version"))
    newer = changes.join(since, list(DATASET_KEY), how="inner").where("_commit_version > evidence_version")
    finest = newer.select(*DATASET_KEY, "place_key").distinct()
    return finest.transform(explode_levels, levels=levels).select(*PLACE_KEY)


def _deletions(run: Run, config: TripConfig, *, kind: str, until: int) -> DataFrame:
    return edits_of_kind(run, config, kind=kind, until=until).where(F.col("action").isin("delete", "undelete"))


def _edited_places(run: Run, config: TripConfig, *, kind: str, fresh: DataFrame, until: int) -> DataFrame:
    """The places of clusters that were deleted or undeleted after their dataset was last clustered."""
    edits = _deletions(run, config, kind=kind, until=until)
    since = F.broadcast(fresh.select(*DATASET_KEY, "edits_version"))
    touched = (
        edits.join(since, list(DATASET_KEY), how="inner")
        .where("sequence > edits_version")
        .select(*DATASET_KEY, "object_id")
    )
    places = edits.where("action = 'delete'").select(*PLACE_KEY, "object_id")
    return places.join(touched, [*DATASET_KEY, "object_id"], how="left_semi").select(*PLACE_KEY)


def edits_of(run: Run, config: TripConfig, *, kind: str, until: int) -> Edits:
    """People's edits up to the table version `until`; per cluster the last commit wins."""
    edits = _deletions(run, config, kind=kind, until=until)
    last = edits.groupBy(*DATASET_KEY, "object_id").agg(
        F.max_by("action", "sequence").alias("action"),
        F.max_by(F.struct("level", "place_key", "first_day", "last_day"), "sequence").alias("span"),
    )
    return Edits(run.cache(last.where("action = 'delete'").select(*DATASET_KEY, "object_id", "span.*")))
