"""Location-date clusters: finding them and their files, and editing them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from catalog.clusters import ClusterQuery, query_clusters, resolve_states, undelete, why_missing
from catalog.edits import Curated, append_edit, check_fields, read_edits
from catalog.lake import Lake, Row, Scope
from catalog.paging import Page, Pager, Sorting, check_among, check_max_results
from catalog.sql import all_of, equals, one_of, same_text, under
from catalog.times import ANY_TIME, TimeRange
from schemas.cluster_kinds import TRIPS, ClusterKind
from schemas.contract import LEVELS
from schemas.errors import NotFound

SORTS = {
    "LocationDateClusterStartTime": "start_time",
    "LocationDateClusterEndTime": "end_time",
    "CreateTime": "create_time",
    "UpdateTime": "update_time",
}


@dataclass(frozen=True)
class LocationDateQuery(ClusterQuery):
    """What clusters are asked for, in which order, and how many a page. What is left out does not matter."""

    kind_asked: ClassVar[ClusterKind] = TRIPS
    sorts: ClassVar[Mapping[str, str]] = SORTS

    sort: str = "LocationDateClusterStartTime"
    address: Mapping[str, str] = field(default_factory=dict)
    levels: tuple[str, ...] = ()
    start: TimeRange = ANY_TIME
    end: TimeRange = ANY_TIME

    def __post_init__(self) -> None:
        """Raises UsageError naming what is accepted."""
        super().__post_init__()
        check_among("level", self.levels, LEVELS)
        check_among("part of an address", self.address, LEVELS)

    def own_conditions(self) -> Iterable[str]:
        """Level, place and days."""
        if self.levels:
            yield one_of("level", self.levels)
        yield from (same_text(level, name) for level, name in self.address.items())
        yield self.start.condition("start_time", "first_day")
        yield self.end.condition("end_time", "last_day")


def query_location_dates(lake: Lake, query: LocationDateQuery, next_token: str | None = None) -> Page:
    """A page of the clusters that fit (IMM's QueryLocationDateClusters), as people see them.

    Titles, labels and covers are those that people gave; deleted clusters are left out. Rows have the columns of
    `location_date_clusters`, custom_id and custom_labels.
    """
    return query_clusters(lake, query, curated_states(lake, query.scope, query.object_id), next_token)


def curated_states(lake: Lake, scope: Scope, object_id: str | None = None) -> dict[str, Curated]:
    """What is in force for each edited cluster of the scope, merges followed; `object_id` bounds it to one.

    Even for one cluster the edits of the scope are read, as those of a cluster merged into it count.
    """
    states = resolve_states(lake, TRIPS, scope, read_edits(lake, scope, TRIPS.name))
    return {key: state for key, state in states.items() if object_id in (None, key)}


def find_cluster(lake: Lake, scope: Scope, object_id: str) -> Row:
    """The cluster as people see it. Raises NotFound saying what became of it, as far as the lake knows."""
    rows = query_location_dates(lake, LocationDateQuery(scope, object_ids=(object_id,))).rows
    if not rows:
        unseen = f"cluster {object_id} is no longer one: its days are outside the MinDays and MaxDays in force"
        raise NotFound(why_missing(lake, TRIPS, scope, object_id, unseen))
    return rows[0]


def update_cluster(lake: Lake, scope: Scope, object_id: str, fields: Mapping[str, Any]) -> Row:
    """Replaces those given of title, custom_id, custom_labels and cover_uri; '' and {} clear.

    Returns the cluster as it was. Raises UsageError where a value exceeds its limit, NotFound where the
    cluster is not there, or the cover not one of its files.
    """
    check_fields(fields)
    cluster = find_cluster(lake, scope, object_id)
    cover = fields.get("cover_uri")
    if cover and not lake.read(
        f"SELECT uri FROM file_places WHERE {_membership(lake, cluster)} AND {equals('uri', cover)} LIMIT 1",
        "file_places",
    ):
        raise NotFound(
            f"cover {cover!r} is not a file of cluster {object_id}; those that are: "
            f"`lakealbum query files --cluster {object_id}`"
        )
    append_edit(lake, TRIPS.name, cluster, "update", **fields)
    return cluster


def delete_cluster(lake: Lake, scope: Scope, object_id: str) -> Row:
    """Hides a cluster; the next run takes its days out of the evidence. Returns the cluster."""
    cluster = find_cluster(lake, scope, object_id)
    where = {name: cluster[name] for name in ("level", "place_key", "first_day", "last_day")}
    append_edit(lake, TRIPS.name, cluster, "delete", **where)
    return cluster


def undelete_cluster(lake: Lake, scope: Scope, object_id: str) -> bool:
    """Undoes a deletion. Returns whether the cluster is back at once; else the next run brings it back.

    Raises NotFound where no deletion of it is in force.
    """
    undelete(lake, TRIPS, scope, object_id)
    query = LocationDateQuery(scope, object_ids=(object_id,))
    return bool(query_location_dates(lake, query).rows)


def files_of_cluster(
    lake: Lake,
    scope: Scope,
    object_id: str,
    max_results: int = 20,
    next_token: str | None = None,
    *,
    with_total: bool = False,
) -> Page:
    """A page of the files of a cluster that are still there, by the time they were taken, then by URI.

    Rows have the columns of `file_places`.
    """
    check_max_results(max_results)
    cluster = find_cluster(lake, scope, object_id)
    sorting = Sorting("produce_time", "uri")
    pager = Pager(lake.token_key, {"kind": "files of a cluster", "object_id": object_id}, sorting, max_results)
    position = pager.position(next_token)
    members = _membership(lake, cluster)
    condition = all_of([members, sorting.after(position)])
    statement = f"SELECT * FROM file_places WHERE {condition} {sorting.clause} LIMIT {max_results + 1}"
    page = pager.page(lake.read(statement, "file_places"))
    return replace(page, total=lake.count(f"file_places WHERE {members}", "file_places")) if with_total else page


def _membership(lake: Lake, cluster: Row) -> str:
    """The files of a cluster, in SQL: its dataset, its place down to its level, its days, and not removed."""
    scope = Scope(cluster["project_name"], (cluster["dataset_name"],))
    return all_of(
        [
            scope.condition(lake),
            under("place_key", cluster["place_key"]),
            TimeRange(cluster["first_day"], cluster["last_day"]).condition("produce_time", "local_date"),
            "deleted_time IS NULL",
        ]
    )
