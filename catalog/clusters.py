"""What every kind of cluster shares: pages of clusters as people see them, and the edits that are laid over them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import ClassVar

from catalog.edits import Curated, append_edit, fold_edits, follow_merges, overlay, read_edits
from catalog.kept_rows import kept_page
from catalog.lake import Lake, Row, Scope
from catalog.paging import MOST_RESULTS, Order, Page, Pager, Position, Sorting, check_among, check_max_results, scan
from catalog.sql import all_of, equals, has_part, instant, microseconds, one_of, relation
from catalog.times import ANY_TIME, TimeRange
from schemas.cluster_kinds import ClusterKind
from schemas.contract import Contract
from schemas.errors import NotFound, UsageError

_SORT_VALUE = "sort_value"


@dataclass(frozen=True)
class ClusterQuery:
    """What clusters are asked for, in which order, and how many a page. What is left out does not matter.

    `title` is a part of the title that is seen, `given_title` of one that somebody gave. A kind of cluster adds its own
    filters, and says what clusters it is about.
    """

    kind_asked: ClassVar[ClusterKind]
    sorts: ClassVar[Mapping[str, str]]

    scope: Scope
    object_ids: tuple[str, ...] = ()
    title: str | None = None
    given_title: str | None = None
    created: TimeRange = ANY_TIME
    updated: TimeRange = ANY_TIME
    labels: Mapping[str, str] = field(default_factory=dict)
    sort: str = "UpdateTime"
    order: Order = "asc"
    max_results: int = 20
    with_total: bool = False

    def __post_init__(self) -> None:
        """Raises UsageError naming what is accepted."""
        check_max_results(self.max_results)
        if len(self.object_ids) > MOST_RESULTS:
            raise UsageError(f"{len(self.object_ids)} ids; up to {MOST_RESULTS} are accepted")
        check_among("sort", [self.sort], self.sorts)
        check_among("order", [self.order], ("asc", "desc"))

    @property
    def object_id(self) -> str | None:
        """The id of the cluster that is asked for, where it is one alone."""
        return self.object_ids[0] if len(self.object_ids) == 1 else None

    @property
    def sorting(self) -> Sorting:
        """The order of the clusters, ties by id. A text that they may be without sorts as an empty one."""
        required = {column.name for column in self.kind_asked.table.columns if not column.nullable}
        return Sorting(self.sort_column if self.sort_column in required else _SORT_VALUE, "object_id", self.order)

    @property
    def sort_column(self) -> str:
        """The column that is sorted by."""
        return self.sorts[self.sort]

    def pager(self, lake: Lake) -> Pager:
        """How the answer is cut into pages, whose size may change from one to the next."""
        asked = asdict(self)
        del asked["max_results"], asked["with_total"]
        return Pager(lake.token_key, {"kind": self.kind_asked.name, **asked}, self.sorting, self.max_results)

    def condition(self, lake: Lake) -> str:
        """The clusters that fit, labels aside, in SQL."""
        conditions = [self.scope.condition(lake), self.kind_asked.live, *self.own_conditions()]
        if self.object_ids:
            conditions.append(one_of("object_id", self.object_ids))
        conditions.append(self.created.condition("create_time"))
        conditions.append(self.updated.condition("update_time"))
        if self.title:
            conditions.append(has_part("title", self.title))
        if self.given_title:
            conditions.append(has_part("given_title", self.given_title))
        return all_of(conditions)

    def own_conditions(self) -> Iterable[str]:
        """The conditions that this kind of cluster alone has, in SQL."""
        return ()

    @property
    def is_of_all(self) -> bool:
        """Whether it asks for all clusters of its scope, none of which its table has as no longer there."""
        how = {name: getattr(self, name) for name in ("sort", "order", "max_results", "with_total")}
        return self.kind_asked.live == "TRUE" and self == type(self)(self.scope, **how)

    @property
    def regards_edits(self) -> bool:
        """Whether an edit that hides no cluster can change which clusters fit or in which order."""
        return bool(
            self.wants_edited or self.title or self.updated or self.sort in ("UpdateTime", "FilesCount", "GroupName")
        )

    @property
    def wants_edited(self) -> bool:
        """Whether only edited clusters can fit: others have no labels, nor a title if none is computed."""
        return bool(self.labels or self.given_title or (self.title and "title" not in self.kind_asked.table.names))

    def fits_labels(self, state: Curated) -> bool:
        """Whether a cluster of this state has the labels asked for."""
        labels = state.value("custom_labels") or {}
        return all(labels.get(key) == value for key, value in self.labels.items())


def query_clusters(
    lake: Lake, query: ClusterQuery, states: Mapping[str, Curated], next_token: str | None = None
) -> Page:
    """A page of the clusters that fit, as people see them: rows of the kind's table with `states` laid over them.

    The page is made of sort values and ids alone, of the many clusters never edited and of the few edited ones,
    each in order and merged; whole rows are read for what is on it. Of named datasets that nobody edited whole rows are
    read at once: there, a statement costs more than the rows.
    """
    pager = query.pager(lake)
    position = pager.position(next_token)
    total = _count(lake, query, states) if query.with_total else None
    if query.scope.datasets and not states:
        kept = _kept(lake, query, position)
        scanned = () if query.wants_edited else _scan(lake, query, position, query.kind_asked.table.name, columns="*")
        page = pager.page(scanned if kept is None else kept)
        plain = [{name: row[name] for name in query.kind_asked.table.names} for row in page.rows]
        return Page([overlay(row, None) for row in plain], page.next_token, total)
    unedited = _scan_unedited(lake, query, position, states)
    edited = _scan_edited(lake, query, position, states)
    keys = pager.page(query.sorting.merge(unedited, edited))
    ids = [key["object_id"] for key in keys.rows]
    return Page(read_clusters(lake, query.kind_asked, query.scope, ids, states), keys.next_token, total)


def _kept(lake: Lake, query: ClusterQuery, position: Position | None) -> list[Row] | None:
    """The rows of a page of all clusters of one dataset that are kept in memory; None where a statement must tell."""
    table, scope = query.kind_asked.table, query.scope
    if not query.is_of_all or len(scope.datasets) != 1 or query.sorting.column not in table.names:
        return None
    key = (scope.project, scope.datasets[0])
    return kept_page(lake, table, key, query.sorting, position, query.max_results + 1)


def resolve_states(lake: Lake, kind: ClusterKind, scope: Scope, edits: Iterable[Row]) -> dict[str, Curated]:
    """What is in force for each edited cluster of the scope, by its edits, merges followed."""
    states = fold_edits(edits)
    return follow_merges(states, _successors(lake, kind, scope, states))


def undelete(lake: Lake, kind: ClusterKind, scope: Scope, object_id: str) -> None:
    """Undoes a deletion, or lets an erased person's faces be taken in again. NotFound where none is in force."""
    state = fold_edits(read_edits(lake, scope, kind.name, object_id)).get(object_id)
    if state is None or not (state.deleted or state.erased):
        raise NotFound(f"no deletion of cluster {object_id} is in force in project {scope.project!r}")
    append_edit(lake, kind.name, vars(state), "undelete")


def is_known(lake: Lake, kind: ClusterKind, scope: Scope, object_id: str) -> bool:
    """Whether the lake has or had a cluster of this id."""
    where = all_of([scope.condition(lake), equals("object_id", object_id)])
    return bool(lake.read(f"SELECT 1 AS one FROM {kind.lineage.name} WHERE {where} LIMIT 1", kind.lineage.name))


def why_missing(lake: Lake, kind: ClusterKind, scope: Scope, object_id: str, unseen: str) -> str:
    """What became of a cluster that is not to be seen; `unseen` says why, where it is neither deleted nor gone."""
    state = fold_edits(read_edits(lake, scope, kind.name, object_id)).get(object_id)
    undo = f"`lakealbum undelete {kind.name} {object_id} --project {scope.project}`"
    if state and state.erased:
        return f"cluster {object_id} was erased; after {undo} its {kind.parts} can be indexed again"
    if state and state.deleted:
        return f"cluster {object_id} was deleted; {undo} brings it back"
    rows = lake.read(
        f"SELECT state, successor_id FROM {kind.lineage.name} "
        f"WHERE {scope.condition(lake)} AND {equals('object_id', object_id)}",
        kind.lineage.name,
    )
    scope.check(lake)
    if not rows:
        datasets = f", datasets {', '.join(scope.datasets)}" if scope.datasets else ""
        return f"there is no cluster {object_id} in project {scope.project!r}{datasets}"
    if rows[0]["successor_id"]:
        return f"cluster {object_id} is gone: {rows[0]['successor_id']} took over most of its {kind.parts}"
    if rows[0]["state"] == "live":
        return unseen
    return f"cluster {object_id} is gone; `lakealbum explain {object_id}` says why"


def _scan_unedited(
    lake: Lake, query: ClusterQuery, position: Position | None, states: Mapping[str, Curated]
) -> Iterable[Row]:
    """The keys of clusters that fit whose edits, if any, do not matter, in order from a position on."""
    if query.wants_edited:
        return ()
    # The others are dropped here: excluding ten thousand ids in SQL would cost more than the scan.
    others = _others(query, states)
    spare = min(len(others), query.max_results)
    keys = _scan(lake, query, position, query.kind_asked.table.name, spare)
    return (key for key in keys if key["object_id"] not in others)


def _scan_edited(
    lake: Lake, query: ClusterQuery, position: Position | None, states: Mapping[str, Curated]
) -> Iterable[Row]:
    """The keys of clusters that fit by their edits and are shown, in order from a position on."""
    fitting = _fitting(query, states)
    if not fitting:
        return ()
    return _scan(lake, query, position, _edited_clusters(query.kind_asked.table, fitting))


def _others(query: ClusterQuery, states: Mapping[str, Curated]) -> set[str]:
    """The clusters that are not shown as they were computed: hidden, or looked at with their edits."""
    return {object_id for object_id, state in states.items() if not state.is_shown or query.regards_edits}


def _fitting(query: ClusterQuery, states: Mapping[str, Curated]) -> list[Curated]:
    """The edited clusters that are looked at with their edits, and have the labels asked for."""
    if not query.regards_edits:
        return []
    return [state for state in states.values() if state.is_shown and query.fits_labels(state)]


def _count(lake: Lake, query: ClusterQuery, states: Mapping[str, Curated]) -> int:
    """How many clusters fit, on all pages."""
    table, where = query.kind_asked.table, query.condition(lake)
    counted = []
    if not query.wants_edited:
        clusters, others = table.name, _others(query, states)
        if others:
            ids = relation("others", ("other_id",), ([object_id] for object_id in sorted(others)))
            clusters = f"(SELECT * FROM {table.name} LEFT JOIN {ids} ON object_id = other_id WHERE other_id IS NULL)"
        counted.append(clusters)
    if fitting := _fitting(query, states):
        counted.append(_edited_clusters(table, fitting))
    return sum(lake.count(f"{clusters} WHERE {where}", table.name) for clusters in counted)


def _scan(
    lake: Lake, query: ClusterQuery, position: Position | None, clusters: str, spare: int = 0, columns: str = ""
) -> Iterator[Row]:
    """Rows of clusters that fit, in order from a position on: of these columns, else of those that order them."""
    where = query.condition(lake)
    if query.sorting.column == _SORT_VALUE:
        computed = clusters == query.kind_asked.table.name
        missing = computed and query.sort_column not in query.kind_asked.table.names  # people alone give it
        value = "''" if missing else f"coalesce({query.sort_column}, '')"
        clusters = f"(SELECT *, {value} AS {_SORT_VALUE} FROM {clusters})"

    def read(after: str, limit: int) -> list[Row]:
        condition = all_of([where, after])
        selected = columns or ", ".join(dict.fromkeys((query.sorting.column, "object_id")))
        statement = f"SELECT {selected} FROM {clusters} WHERE {condition} {query.sorting.clause} LIMIT {limit}"
        return lake.read(statement, query.kind_asked.table.name)

    return scan(read, query.sorting, position, query.max_results + 1 + spare)


def _edited_clusters(table: Contract, states: Iterable[Curated]) -> str:
    """The clusters of these states, with the titles, update times and counts that people see, as a subquery."""
    edits = [[state.object_id, state.value("title"), microseconds(state.edit_time), state.parted] for state in states]
    computed_title = "title" if "title" in table.names else "NULL"
    seen = {
        "title": f"coalesce(CAST(edited_title AS VARCHAR), {computed_title}) AS title",
        "given_title": "CAST(edited_title AS VARCHAR) AS given_title",
        "files": "files - parted AS files",
        "update_time": f"greatest(update_time, {instant('edit_time')}) AS update_time",
    }
    columns = ", ".join(seen.get(name, name) for name in dict.fromkeys((*table.names, "title", "given_title")))
    edited = relation("edited", ("edited_id", "edited_title", "edit_time", "parted"), edits)
    return f"(SELECT {columns} FROM {table.name} JOIN {edited} ON object_id = edited_id)"


def read_clusters(
    lake: Lake, kind: ClusterKind, scope: Scope, object_ids: Sequence[str], states: Mapping[str, Curated]
) -> list[Row]:
    """The clusters of these ids, in their order, as people see them; without those that a run has just removed."""
    if not object_ids:
        return []
    condition = all_of([scope.condition(lake), kind.live, one_of("object_id", object_ids)])
    rows = lake.read(f"SELECT * FROM {kind.table.name} WHERE {condition}", kind.table.name)
    found = {row["object_id"]: overlay(row, states.get(row["object_id"])) for row in rows}
    return [found[object_id] for object_id in object_ids if object_id in found]


def _successors(lake: Lake, kind: ClusterKind, scope: Scope, object_ids: Iterable[str]) -> dict[str, str]:
    """Who took over from those of the clusters that are gone, from their successors if gone, and so on."""
    handed_over = all_of([scope.condition(lake), "state = 'gone'", "successor_id IS NOT NULL"])
    found: dict[str, str] = {}
    pending = set(object_ids)
    while pending:
        wanted = relation("wanted", ("id",), ([object_id] for object_id in sorted(pending)))
        rows = lake.read(
            f"SELECT object_id, successor_id FROM {kind.lineage.name} JOIN {wanted} "
            f"ON object_id = id WHERE {handed_over}",
            kind.lineage.name,
        )
        found |= {row["object_id"]: row["successor_id"] for row in rows}
        pending = {row["successor_id"] for row in rows} - found.keys()
    return found
