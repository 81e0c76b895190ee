"""Location-date clusters: finding them and their files, and editing them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from catalog.edits import Curated, append_edit, check_fields, fold_edits, follow_merges, overlay, read_edits
from catalog.lake import Lake, Row, Scope
from catalog.paging import Order, Page, Pager, Position, Sorting, check_among, check_max_results, scan
from catalog.sql import all_of, equals, has_part, instant, microseconds, one_of, relation, same_text, under
from catalog.times import ANY_TIME, TimeRange
from schemas.contract import LEVELS
from schemas.errors import LakeError, NotFound, UsageError
from schemas.location_date_clusters import LOCATION_DATE_CLUSTERS

KIND = "location-date"
ID_PREFIX = "location-date-cluster-"
SORTS = {
    "LocationDateClusterStartTime": "start_time",
    "LocationDateClusterEndTime": "end_time",
    "CreateTime": "create_time",
    "UpdateTime": "update_time",
}

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True)
class LocationDateQuery:
    """What clusters are asked for, in which order, and how many a page. What is left out does not matter."""

    scope: Scope
    object_id: str | None = None
    title: str | None = None
    address: Mapping[str, str] = field(default_factory=dict)
    levels: tuple[str, ...] = ()
    start: TimeRange = ANY_TIME
    end: TimeRange = ANY_TIME
    created: TimeRange = ANY_TIME
    updated: TimeRange = ANY_TIME
    labels: Mapping[str, str] = field(default_factory=dict)
    sort: str = "LocationDateClusterStartTime"
    order: Order = "asc"
    max_results: int = 20

    def __post_init__(self) -> None:
        """Raises UsageError naming what is accepted."""
        check_max_results(self.max_results)
        check_among("level", self.levels, LEVELS)
        check_among("part of an address", self.address, LEVELS)
        check_among("sort", [self.sort], SORTS)
        check_among("order", [self.order], ("asc", "desc"))

    @property
    def sorting(self) -> Sorting:
        """The order of the clusters, ties by id."""
        return Sorting(SORTS[self.sort], "object_id", self.order)

    def pager(self, lake: Lake) -> Pager:
        """How the answer is cut into pages, whose size may change from one to the next."""
        asked = asdict(self)
        del asked["max_results"]
        return Pager(lake.token_key, {"kind": KIND, **asked}, self.sorting, self.max_results)

    def condition(self, lake: Lake) -> str:
        """The clusters that fit, labels aside, in SQL."""
        conditions = [self.scope.condition(lake)]
        if self.object_id is not None:
            conditions.append(equals("object_id", self.object_id))
        if self.levels:
            conditions.append(one_of("level", self.levels))
        conditions += [same_text(level, name) for level, name in self.address.items()]
        conditions.append(self.start.condition("start_time", "first_day"))
        conditions.append(self.end.condition("end_time", "last_day"))
        conditions.append(self.created.condition("create_time"))
        conditions.append(self.updated.condition("update_time"))
        if self.title:
            conditions.append(has_part("title", self.title))
        return all_of(conditions)

    @property
    def regards_edits(self) -> bool:
        """Whether an edit, other than a deletion, can change which clusters fit or in which order."""
        return bool(self.title or self.labels or self.updated or self.sort == "UpdateTime")

    def fits_labels(self, state: Curated) -> bool:
        """Whether a cluster of this state has the labels asked for."""
        labels = state.value("custom_labels") or {}
        return all(labels.get(key) == value for key, value in self.labels.items())


def query_location_dates(lake: Lake, query: LocationDateQuery, next_token: str | None = None) -> Page:
    """A page of the clusters that fit (IMM's QueryLocationDateClusters), as people see them.

    Titles, labels and covers are those that people gave; deleted clusters are left out. Rows have the columns of
    `location_date_clusters`, custom_id and custom_labels.

    The page is made of sort values and ids alone, of the many clusters never edited and of the few edited ones,
    each in order and merged; whole rows are read for what is on it.
    """
    pager = query.pager(lake)
    position = pager.position(next_token)
    states = curated_states(lake, query.scope, query.object_id)
    unedited = _scan_unedited(lake, query, position, states)
    edited = _scan_edited(lake, query, position, states)
    keys = pager.page(query.sorting.merge(unedited, edited))
    if not keys.rows:
        _check_clustered(lake)
    return Page(_read_clusters(lake, query.scope, keys.rows, states), keys.next_token)


def curated_states(lake: Lake, scope: Scope, object_id: str | None = None) -> dict[str, Curated]:
    """What is in force for each edited cluster of the scope, merges followed; `object_id` bounds it to one.

    Even for one cluster the edits of the scope are read, as those of a cluster merged into it count.
    """
    states = fold_edits(read_edits(lake, scope, KIND))
    states = follow_merges(states, _successors(lake, scope, states))
    return {key: state for key, state in states.items() if object_id in (None, key)}


def find_cluster(lake: Lake, scope: Scope, object_id: str) -> Row:
    """The cluster as people see it. Raises NotFound saying what became of it, as far as the lake knows."""
    rows = query_location_dates(lake, LocationDateQuery(scope, object_id=object_id)).rows
    if not rows:
        raise NotFound(_why_missing(lake, scope, object_id))
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
    append_edit(lake, KIND, cluster, "update", **fields)
    return cluster


def delete_cluster(lake: Lake, scope: Scope, object_id: str) -> Row:
    """Hides a cluster; the next run takes its days out of the evidence. Returns the cluster."""
    cluster = find_cluster(lake, scope, object_id)
    where = {name: cluster[name] for name in ("level", "place_key", "first_day", "last_day")}
    append_edit(lake, KIND, cluster, "delete", **where)
    return cluster


def undelete_cluster(lake: Lake, scope: Scope, object_id: str) -> bool:
    """Undoes a deletion. Returns whether the cluster is back at once; else the next run brings it back.

    Raises NotFound where no deletion of it is in force.
    """
    state = fold_edits(read_edits(lake, scope, KIND, object_id)).get(object_id)
    if state is None or not state.deleted:
        raise NotFound(f"no deletion of cluster {object_id} is in force in project {scope.project!r}")
    append_edit(lake, KIND, vars(state), "undelete")
    query = LocationDateQuery(scope, object_id=object_id)
    return bool(query_location_dates(lake, query).rows)


def files_of_cluster(
    lake: Lake, scope: Scope, object_id: str, max_results: int = 20, next_token: str | None = None
) -> Page:
    """A page of the files of a cluster that are still there, by the time they were taken, then by URI.

    Rows have the columns of `file_places`.
    """
    check_max_results(max_results)
    cluster = find_cluster(lake, scope, object_id)
    sorting = Sorting("produce_time", "uri")
    pager = Pager(lake.token_key, {"kind": "files of a cluster", "object_id": object_id}, sorting, max_results)
    position = pager.position(next_token)
    condition = all_of([_membership(lake, cluster), sorting.after(position)])
    statement = f"SELECT * FROM file_places WHERE {condition} {sorting.clause} LIMIT {max_results + 1}"
    return pager.page(lake.read(statement, "file_places"))


def full_id(text: str) -> str:
    """The id of a cluster, given whole or without its prefix. Raises UsageError for what cannot be one.

    >>> full_id("0b2f6d4e-9c3a-5f10-8e77-1d2c3b4a5968")
    'location-date-cluster-0b2f6d4e-9c3a-5f10-8e77-1d2c3b4a5968'
    """
    bare = text.removeprefix(ID_PREFIX)
    if not _UUID.fullmatch(bare):
        raise UsageError(f"{text!r} is not the id of a location-date cluster, which reads {ID_PREFIX}<uuid>")
    return ID_PREFIX + bare


def _scan_unedited(
    lake: Lake, query: LocationDateQuery, position: Position | None, states: Mapping[str, Curated]
) -> Iterable[Row]:
    """The keys of clusters that fit whose edits, if any, do not matter, in order from a position on."""
    if query.labels:
        return ()  # only edited clusters have some
    # The others are dropped here: excluding ten thousand ids in SQL would cost more than the scan.
    others = {object_id for object_id, state in states.items() if state.deleted or query.regards_edits}
    spare = min(len(others), query.max_results)
    keys = _scan(lake, query, position, "location_date_clusters", spare)
    return (key for key in keys if key["object_id"] not in others)


def _scan_edited(
    lake: Lake, query: LocationDateQuery, position: Position | None, states: Mapping[str, Curated]
) -> Iterable[Row]:
    """The keys of clusters that fit by their edits and are not deleted, in order from a position on."""
    if not query.regards_edits:
        return ()
    fitting = [state for state in states.values() if not state.deleted and query.fits_labels(state)]
    if not fitting:
        return ()
    return _scan(lake, query, position, _edited_clusters(fitting))


def _scan(
    lake: Lake, query: LocationDateQuery, position: Position | None, clusters: str, spare: int = 0
) -> Iterator[Row]:
    where = query.condition(lake)

    def read(after: str, limit: int) -> list[Row]:
        condition = all_of([where, after])
        statement = (
            f"SELECT {query.sorting.column}, object_id FROM {clusters} "
            f"WHERE {condition} {query.sorting.clause} LIMIT {limit}"
        )
        return lake.read(statement, "location_date_clusters")

    return scan(read, query.sorting, position, query.max_results + 1 + spare)


def _edited_clusters(states: Iterable[Curated]) -> str:
    """The clusters of these states, with the titles and update times that people see, as a subquery."""
    edits = [[state.object_id, state.value("title"), microseconds(state.edit_time)] for state in states]
    seen = {
        "title": "coalesce(edited_title, title) AS title",
        "update_time": f"greatest(update_time, {instant('edit_time')}) AS update_time",
    }
    columns = ", ".join(seen.get(name, name) for name in LOCATION_DATE_CLUSTERS.names)
    edited = relation("edited", ("edited_id", "edited_title", "edit_time"), edits)
    return f"(SELECT {columns} FROM location_date_clusters JOIN {edited} ON object_id = edited_id)"


def _read_clusters(lake: Lake, scope: Scope, keys: list[Row], states: Mapping[str, Curated]) -> list[Row]:
    """The clusters of these keys, in their order, as people see them; without those that a run has just removed."""
    if not keys:
        return []
    ids = [key["object_id"] for key in keys]
    condition = all_of([scope.condition(lake), one_of("object_id", ids)])
    rows = lake.read(f"SELECT * FROM location_date_clusters WHERE {condition}", "location_date_clusters")
    found = {row["object_id"]: overlay(row, states.get(row["object_id"])) for row in rows}
    return [found[object_id] for object_id in ids if object_id in found]


def _successors(lake: Lake, scope: Scope, object_ids: Iterable[str]) -> dict[str, str]:
    """Who took over from those of the clusters that are gone, from their successors if gone, and so on."""
    handed_over = all_of([scope.condition(lake), "state = 'gone'", "successor_id IS NOT NULL"])
    found: dict[str, str] = {}
    pending = set(object_ids)
    while pending:
        wanted = relation("wanted", ("id",), ([object_id] for object_id in sorted(pending)))
        rows = lake.read(
            f"SELECT object_id, successor_id FROM location_date_segments JOIN {wanted} "
            f"ON object_id = id WHERE {handed_over}",
            "location_date_segments",
        )
        found |= {row["object_id"]: row["successor_id"] for row in rows}
        pending = {row["successor_id"] for row in rows} - found.keys()
    return found


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


def _why_missing(lake: Lake, scope: Scope, object_id: str) -> str:
    state = fold_edits(read_edits(lake, scope, KIND, object_id)).get(object_id)
    if state and state.deleted:
        return f"cluster {object_id} was deleted; `lakealbum undelete {KIND} {object_id}` brings it back"
    segments = lake.read(
        "SELECT state, successor_id FROM location_date_segments "
        f"WHERE {scope.condition(lake)} AND {equals('object_id', object_id)}",
        "location_date_segments",
    )
    scope.check(lake)
    if not segments:
        datasets = f", datasets {', '.join(scope.datasets)}" if scope.datasets else ""
        return f"there is no cluster {object_id} in project {scope.project!r}{datasets}"
    if segments[0]["successor_id"]:
        return f"cluster {object_id} is gone: {segments[0]['successor_id']} took over most of its days"
    if segments[0]["state"] == "live":
        return f"cluster {object_id} is no longer one: its days are outside the MinDays and MaxDays in force"
    return f"cluster {object_id} is gone; `lakealbum explain {object_id}` says why"


def _check_clustered(lake: Lake) -> None:
    if not lake.has("location_date_clusters"):
        raise LakeError(
            f"lake {lake.root!r} has no location_date_clusters; `lakealbum cluster location-date` makes them"
        )
