"""Files of a lake: found by conditions (IMM's SimpleQuery), sorted, in pages, and aggregated.

Filters run over the Delta tables: datasets and buckets first, so that other files of a table are not opened, then
conditions while Parquet is decoded. A page reads the keys of the files that fit, keeping as many as it shows, then
those files whole. A condition on parts of lists, such as figures, is a hash join, which holds keys of at most the
datasets' files in memory; so is a field that is read from rows beside them (time zone, score, number of figures).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from catalog.file_edits import seen_files
from catalog.file_fields import (
    FEATURES,
    FIGURES,
    GONE,
    IS_THERE,
    PLACES,
    SAID,
    SAID_TEXTS,
    TOP_LEVEL,
    Field,
    Source,
    find_field,
)
from catalog.lake import Lake, Row, Scope, Within
from catalog.paging import ManySorting, Order, Page, Pager, check_among, check_max_results
from catalog.simple_query import Condition, fixed_fields, leaves, to_sql
from catalog.sql import all_of, among
from schemas.errors import LimitExceeded, UsageError

MOST_SORTS = 5
MOST_GROUPS = 2000
"""Groups of an aggregation, as in IMM."""
MOST_AGGREGATIONS = 100
EXACT_DISTINCT = 1_000_000
"""Of more files than these, different values are counted approximately (HyperLogLog), in bounded memory."""

AggregationOperation = Literal["min", "max", "average", "sum", "count", "distinct", "group"]
OPERATIONS: Mapping[str, tuple[AggregationOperation, ...]] = {
    "text": ("count", "distinct", "group"),
    "folded": ("count", "distinct", "group"),
    "time": ("count", "distinct", "group"),
    "number": ("min", "max", "average", "sum", "count", "distinct", "group"),
    "single": ("min", "max", "average", "sum", "count", "distinct", "group"),
    "point": ("count",),
    "map": ("count",),
}
"""What can be computed of a field, by how its values compare."""


@dataclass(frozen=True)
class FileQuery:
    """What files are asked for, in which order, how many a page, and which fields of them.

    No condition: all files. No field to sort by: by URI, ascending; else those without an order are ascending if
    others have one, and descending if none has. `fields` are top-level names of File; none stands for all.
    """

    scope: Scope
    where: Condition | None = None
    sort: tuple[str, ...] = ()
    order: tuple[Order, ...] = ()
    removed: bool = False
    fields: tuple[str, ...] = ()
    max_results: int = 100
    with_total: bool = False

    def __post_init__(self) -> None:
        """Raises UsageError naming what is accepted, LimitExceeded for too much."""
        check_max_results(self.max_results)
        check_among("field", self.fields, sorted(TOP_LEVEL))
        check_among("order", self.order, ("asc", "desc"))
        if len(self.sort) > MOST_SORTS:
            raise LimitExceeded(f"{len(self.sort)} fields to sort by; up to {MOST_SORTS} are accepted")
        if len(self.order) > max(len(self.sort), 1):
            raise UsageError(f"{len(self.order)} orders for {len(self.sort)} fields to sort by; as many are accepted")
        for name in self.sort:
            field = find_field(name)
            if field.is_list_part or field.kind in ("point", "map"):
                raise UsageError(f"{name} cannot be sorted by: a file may have many; single values are accepted")

    @property
    def sorted_by(self) -> list[tuple[Field, Order]]:
        """The fields that tell files that fit apart, of those sorted by, each with its order.

        One of which all have the same value sorts nothing, and DataFusion cannot always plan a sort by it.
        """
        names = self.sort or ("URI",)
        rest: Order = "asc" if self.order or not self.sort else "desc"
        orders = [*self.order, *[rest] * (len(names) - len(self.order))]
        fields = [(find_field(name), order) for name, order in zip(names, orders, strict=True)]
        fixed = fixed_fields(self.where)
        return [(field, order) for field, order in fields if field.sql is not None and field.name not in fixed]

    @property
    def sorting(self) -> ManySorting:
        """The order of the keys: ties by URI, then by id, which alone sets files of several datasets apart."""
        columns = [(f"sort_{number}", order) for number, (_, order) in enumerate(self.sorted_by)]
        return ManySorting((*columns, ("uri", "asc"), ("object_id", "asc")))

    @property
    def sources(self) -> set[Source]:
        """Where conditions and order take their values from, beside `files`."""
        fields = [leaf.field for leaf in leaves(self.where)] + [field for field, _ in self.sorted_by]
        return {field.source for field in fields if field.source}

    @property
    def shown_sources(self) -> list[Source]:
        """What is read beside `files` to show a file."""
        shown = {
            PLACES: ("Addresses", "Timezone"),
            FIGURES: ("Figures", "FigureCount"),
            FEATURES: ("ImageScore",),
            SAID: (*SAID_TEXTS, "OSSURI"),
        }
        return [source for source, names in shown.items() if not self.fields or set(names) & set(self.fields)]

    @property
    def _hiding(self) -> set[Source]:
        return set() if self.removed else {GONE}

    def tables(self, more: Iterable[Source] = ()) -> set[str]:
        """The tables that `hits` reads."""
        return {
            "files",
            "file_edits",
            *(table for source in {*self.sources, *more, *self._hiding} for table in source.tables),
        }

    def pager(self, lake: Lake) -> Pager:
        """How the answer is cut into pages, whose size and fields may change from one to the next."""
        sort = [field.name for field, _ in self.sorted_by]
        asked = {"kind": "files", "scope": self.scope, "where": self.where, "sort": sort, "removed": self.removed}
        return Pager(lake.token_key, asked, self.sorting, self.max_results)

    def hits(self, lake: Lake, more: Iterable[Source] = ()) -> str:
        """A FROM clause with its WHERE: the files that fit, beside them what single rows of sources have."""
        within = self.scope.within(lake)
        rows, _ = seen_files(lake, self.scope)
        beside = [source for source in {*self.sources, *more, *self._hiding} if not source.many]
        for source in sorted(beside, key=lambda each: each.name):
            rows += f" LEFT JOIN {source.select(within, source.columns)} AS {source.name} ON {source.joins('files')}"
        conditions = [
            self.scope.condition(lake, table="files"),
            "files.deleted_time IS NOT NULL AND files.moved_to IS NULL"
            if self.removed
            else f"files.deleted_time IS NULL AND ({IS_THERE})",
        ]
        if self.where is not None:
            conditions.append(to_sql(self.where, within))
        return f"{rows} WHERE {all_of(conditions)}"


@dataclass(frozen=True)
class Aggregation:
    """One number, or numbers by value, computed of a field of all files that fit."""

    field: str
    operation: AggregationOperation

    def __post_init__(self) -> None:
        """Raises UsageError where the field has no such aggregation."""
        accepted = OPERATIONS[find_field(self.field).kind]
        if self.operation not in accepted:
            raise UsageError(f"{self.operation!r} of field {self.field!r} is not one of {', '.join(accepted)}")


@dataclass(frozen=True)
class Aggregated:
    """The result of an aggregation: a value, None where no file has one; or groups of (value, count), largest first."""

    aggregation: Aggregation
    value: float | None = None
    groups: tuple[tuple[Any, int], ...] = ()


def query_files(lake: Lake, query: FileQuery, next_token: str | None = None) -> Page:
    """A page of the files that fit; with `removed`, of those removed.

    Rows have the columns of `files`, and, as far as the fields asked for need them, `place`, `feature` and `said` (rows
    of PLACES, FEATURES and SAID, or None) and `figures` (rows of FIGURES). All pages are read at the tables' versions
    of the first one: a token is refused once those are gone.
    """
    pager = query.pager(lake)
    position, versions = pager.position(next_token), pager.versions(next_token)
    lake = lake.pin(query.tables(query.shown_sources), versions)
    columns = ["files.dataset_name", "files.uri", "files.object_id"]
    columns += [f"{field.column} AS sort_{number}" for number, (field, _) in enumerate(query.sorted_by)]
    keys = f"SELECT {', '.join(columns)} FROM {query.hits(lake)}"
    statement = (
        f"SELECT * FROM ({keys}) WHERE {query.sorting.after(position)} "
        f"{query.sorting.clause} LIMIT {query.max_results + 1}"
    )
    page = pager.page(lake.read(statement, *query.tables()), lake.versions)
    total = count_files(lake, query) if query.with_total else None
    return Page(_whole(lake, query, page.rows), page.next_token, total)


def count_files(lake: Lake, query: FileQuery) -> int:
    """How many files fit, on all pages."""
    return lake.count(query.hits(lake), *query.tables())


def aggregate_files(
    lake: Lake, query: FileQuery, aggregations: Sequence[Aggregation], max_groups: int = 100
) -> list[Aggregated]:
    """Aggregations of all files that fit, in the order asked for, groups up to `max_groups` each.

    A part of a list counts once a file and value. Raises LimitExceeded for too many aggregations.
    """
    if len(aggregations) > MOST_AGGREGATIONS:
        raise LimitExceeded(f"{len(aggregations)} aggregations; up to {MOST_AGGREGATIONS} are accepted")
    check_max_results(max_groups, most=MOST_GROUPS)
    fields = {aggregation.field: find_field(aggregation.field) for aggregation in aggregations}
    sources = {field.source for field in fields.values() if field.source}
    lake = lake.pin(query.tables(sources))
    is_many = any(each.operation == "distinct" for each in aggregations) and count_files(lake, query) > EXACT_DISTINCT
    numbers = _numbers(lake, query, aggregations, fields, "approx_distinct" if is_many else "count(DISTINCT")
    return [
        Aggregated(each, groups=_groups(lake, query, fields[each.field], max_groups))
        if each.operation == "group"
        else Aggregated(each, numbers.get(each))
        for each in aggregations
    ]


def read_files(lake: Lake, scope: Scope, uris: Iterable[str], fields: tuple[str, ...] = ()) -> list[Row]:
    """The files of these URIs that are there, by URI: rows as `query_files` has them."""
    query = FileQuery(scope, fields=fields)
    lake = lake.pin(query.tables(query.shown_sources))
    hits = f"{query.hits(lake)} AND ({among('files.uri', uris)})"
    keys = f"SELECT files.dataset_name, files.uri FROM {hits} ORDER BY files.uri, files.dataset_name"
    return _whole(lake, query, lake.read(keys, *query.tables()))


def _numbers(
    lake: Lake, query: FileQuery, aggregations: Sequence[Aggregation], fields: Mapping[str, Field], distinct: str
) -> dict[Aggregation, float]:
    """The values of the aggregations that are numbers: those of single values in one scan, else one a field."""
    functions = {
        "min": "min({})",
        "max": "max({})",
        "average": "avg({})",
        "sum": "sum(CAST({} AS DOUBLE))",
        "count": "count({})",
        "distinct": f"{distinct} {{}})" if distinct.endswith("DISTINCT") else f"{distinct}({{}})",
    }
    found: dict[Aggregation, float] = {}
    asked: dict[str, list[Aggregation]] = {}
    for each in dict.fromkeys(aggregations):
        field = fields[each.field]
        if field.sql is None:
            found |= {each: 0.0} if each.operation in ("count", "distinct") else {}
        elif each.operation != "group":
            asked.setdefault(each.field if field.is_list_part else "", []).append(each)
    for listed, together in asked.items():
        used = [fields[each.field] for each in together]
        rows = _values(lake, query, used[0]) if listed else query.hits(lake, _sources(used))
        columns = ["value" if listed else field.column for field in used]
        computed = [
            f"CAST({functions[each.operation].format(column)} AS DOUBLE) AS value_{number}"
            for number, (each, column) in enumerate(zip(together, columns, strict=True))
        ]
        for row in lake.read(f"SELECT {', '.join(computed)} FROM {rows}", *query.tables(_sources(used))):
            values = {each: row[f"value_{number}"] for number, each in enumerate(together)}
            found |= {each: value for each, value in values.items() if value is not None}
    return found


def _groups(lake: Lake, query: FileQuery, field: Field, max_groups: int) -> tuple[tuple[Any, int], ...]:
    """The most frequent values of a field with how many files have each; ties by value."""
    if field.sql is None:
        return ()
    rows = _values(lake, query, field)
    statement = (
        f"SELECT value, count(*) AS files FROM {rows} WHERE value IS NOT NULL GROUP BY value "
        f"ORDER BY files DESC, value ASC LIMIT {max_groups}"
    )
    found = lake.read(statement, *query.tables(_sources([field])))
    return tuple((row["value"], row["files"]) for row in found)


def _values(lake: Lake, query: FileQuery, field: Field) -> str:
    """A FROM clause: the values of a field in the files that fit, `value`, once a file and value."""
    if not field.is_list_part or field.source is None:
        return f"(SELECT {field.column} AS value FROM {query.hits(lake, _sources([field]))})"
    elements = field.source.select(query.scope.within(lake), {str(field.sql)})
    hits = f"(SELECT files.dataset_name, files.uri FROM {query.hits(lake)}) AS hits"
    return (
        f"(SELECT DISTINCT {field.source.name}.dataset_name, {field.source.name}.uri, {field.column} AS value "
        f"FROM {elements} AS {field.source.name} JOIN {hits} ON {field.source.joins('hits')})"
    )


def _whole(lake: Lake, query: FileQuery, keys: Sequence[Row]) -> list[Row]:
    """The files of these keys, in their order, with what stands beside them."""
    if not keys:
        return []
    datasets = tuple({key["dataset_name"] for key in keys})
    uris = among("uri", (key["uri"] for key in keys))
    ours = Within(*(all_of([own, uris]) for own in Scope(query.scope.project, datasets).within(lake)))

    def by_key(statement: str, *tables: str) -> dict[tuple[str, str], list[Row]]:
        rows: dict[tuple[str, str], list[Row]] = {}
        for row in lake.read(statement, *tables):
            rows.setdefault((row["dataset_name"], row["uri"]), []).append(row)
        return rows

    seen, tables = seen_files(lake, Scope(query.scope.project, datasets))
    found = by_key(f"SELECT * FROM {seen} WHERE {ours.bucketed}", *tables)
    files = {key: rows[0] for key, rows in found.items()}
    for source in query.shown_sources:
        beside = by_key(f"SELECT * FROM {source.select(ours, source.columns)}", *source.tables)
        for key, row in files.items():
            if source.many:
                row[source.name] = sorted(beside.get(key, []), key=lambda element: str(element["figure_id"]))
            else:
                row[source.name] = beside.get(key, [None])[0]
    return [files[key["dataset_name"], key["uri"]] for key in keys]


def _sources(fields: Iterable[Field]) -> set[Source]:
    return {field.source for field in fields if field.source}
