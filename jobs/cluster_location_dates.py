"""Job: cluster location-date. Cuts the days of every place into trips and stays.

file_places -> place_days -> location_date_segments -> location_date_clusters -> cluster_events -> dataset_state
"""

from __future__ import annotations

import json
import sys
from typing import Any

import click
from pydantic import Field, field_validator, model_validator

from jobs.cli.main import run as run_command
from jobs.cli.options import JobConfig, build_config, job_options
from jobs.clusters.scope import end_clustering, pin_scope
from jobs.places.locating import refresh_file_places
from jobs.runtime.commits import retry_conflicts
from jobs.runtime.runs import Run, print_result, run_job
from jobs.trips.evidence import drop_removed_places, refresh_place_days
from jobs.trips.segments import commit_segments, derive_trip_events, refresh_clusters
from schemas.cluster_kinds import TRIPS
from schemas.contract import LEVELS
from schemas.location_date_segments import LOCATION_DATE_SEGMENTS
from schemas.place_days import PLACE_DAYS

TASK_TYPE = "LocationDateClustering"


class ClusterLocationDates(JobConfig):
    """What `cluster location-date` can be asked."""

    gap_days: int = Field(ge=0, le=99999, description="days without a file that do not end a trip")
    min_days: int = Field(ge=1, le=99999, description="shortest trip, in days")
    max_days: int = Field(ge=1, le=99999, description="longest trip, in days")
    levels: tuple[str, ...] = Field(min_length=1, description="place levels: " + ", ".join(LEVELS))
    full: bool = Field(default=False, description="recompute all clusters from the evidence")
    rebuild: bool = Field(default=False, description="drop the evidence of removed files, then recompute")

    @field_validator("levels", mode="before")
    @classmethod
    def _split_levels(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else value

    @field_validator("levels")
    @classmethod
    def _levels_are_known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := [level for level in value if level not in LEVELS]:
            raise ValueError(f"holds {', '.join(map(repr, unknown))}; accepted are {', '.join(LEVELS)}")
        return tuple(level for level in LEVELS if level in value)

    @model_validator(mode="after")
    def _min_is_not_above_max(self) -> ClusterLocationDates:
        if self.min_days > self.max_days:
            raise ValueError(f"min_days {self.min_days} is greater than max_days {self.max_days}")
        return self

    @property
    def options(self) -> str:
        """The options that shape clusters, as kept in dataset_state."""
        shaping = ("gap_days", "min_days", "max_days", "levels")
        return json.dumps({name: getattr(self, name) for name in shaping}, sort_keys=True)


def cluster_location_dates(run: Run, config: ClusterLocationDates) -> None:
    """Brings the clusters of the asked datasets up to date. Harmless to repeat; started over when it loses a race."""
    run.progress.stage("files that people corrected", 5)
    retry_conflicts(lambda: refresh_file_places(run))
    if config.rebuild:
        retry_conflicts(lambda: drop_removed_places(run, project=config.project, datasets=config.dataset))
    run.progress.stage("evidence: days with files", 10)
    retry_conflicts(lambda: refresh_place_days(run))
    retry_conflicts(lambda: _cluster(run, config))


def _cluster(run: Run, config: ClusterLocationDates) -> None:
    scope = pin_scope(run, config, kind=TRIPS.name, evidence=((PLACE_DAYS, PLACE_DAYS.key),))
    run.progress.stage("segments: cutting the days", 40)
    version = commit_segments(run, config, scope)
    run.progress.stage("clusters", 70)
    refresh_clusters(run)
    run.progress.stage("events", 85)
    derive_trip_events(run)
    run.progress.stage("state", 95)
    end_clustering(run, config, scope, kind=TRIPS.name, result=LOCATION_DATE_SEGMENTS, result_version=version)


@click.command("location-date")
@click.option("--gap-days", type=int, help="Days without a file that do not end a trip, 0 to 99999.")
@click.option("--min-days", type=int, help="Shortest trip, in days, 1 to 99999.")
@click.option("--max-days", type=int, help="Longest trip, in days, 1 to 99999.")
@click.option("--levels", help="Place levels, by comma: country, province, city, district, township.")
@click.option("--full", is_flag=True, default=None, help="Recompute all clusters from the evidence.")
@click.option("--rebuild", is_flag=True, default=None, help="Drop the evidence of removed files, then recompute.")
@job_options
def command(given: dict[str, Any], as_json: bool, **own: Any) -> None:
    """Cut the days of every place into trips and stays."""
    config = build_config(ClusterLocationDates, given, own)
    with run_job(config, job="cluster-location-dates", task_type=TASK_TYPE) as run:
        cluster_location_dates(run, config)
    print_result(run, as_json=as_json)


if __name__ == "__main__":
    sys.exit(run_command(command))
