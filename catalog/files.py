"""Files of a lake: what the sources say of photos and videos."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

from catalog.file_edits import seen_files
from catalog.lake import Lake, Scope
from catalog.paging import Order, Page, Pager, Sorting, check_among, check_max_results
from catalog.sql import all_of, equals
from catalog.times import ANY_TIME, TimeRange

SORTS = {"URI": "uri", "CreateTime": "create_time", "UpdateTime": "update_time"}
MEDIA_TYPES = ("image", "video")


@dataclass(frozen=True)
class FileQuery:
    """What files are asked for, in which order, and how many a page. What is left out does not matter."""

    scope: Scope
    uri: str | None = None
    media_type: str | None = None
    produced: TimeRange = ANY_TIME
    removed: bool = False
    sort: str = "URI"
    order: Order = "asc"
    max_results: int = 20
    with_total: bool = False

    def __post_init__(self) -> None:
        """Raises UsageError naming what is accepted."""
        check_max_results(self.max_results)
        check_among("media type", [self.media_type or "image"], MEDIA_TYPES)
        check_among("sort", [self.sort], SORTS)
        check_among("order", [self.order], ("asc", "desc"))

    def condition(self, lake: Lake) -> str:
        """The files that fit, in SQL."""
        conditions = [
            self.scope.condition(lake),
            self.produced.condition("produce_time"),
            "deleted_time IS NOT NULL AND moved_to IS NULL" if self.removed else "deleted_time IS NULL",
        ]
        if self.uri is not None:
            conditions.append(equals("uri", self.uri))
        if self.media_type is not None:
            conditions.append(equals("media_type", self.media_type))
        return all_of(conditions)


def query_files(lake: Lake, query: FileQuery, next_token: str | None = None) -> Page:
    """A page of the files that fit; with `removed`, of those removed.

    Rows have the columns of `files`, with what people said of them laid over.
    """
    asked = asdict(query)
    del asked["max_results"], asked["with_total"]
    sorting = Sorting(SORTS[query.sort], "object_id", query.order)
    pager = Pager(lake.token_key, {"kind": "files", **asked}, sorting, query.max_results)
    condition = all_of([query.condition(lake), sorting.after(pager.position(next_token))])
    files, tables = seen_files(lake, query.scope)
    statement = f"SELECT * FROM {files} WHERE {condition} {sorting.clause} LIMIT {query.max_results + 1}"
    page = pager.page(lake.read(statement, *tables))
    if not query.with_total:
        return page
    return replace(page, total=lake.count(f"{files} WHERE {query.condition(lake)}", *tables))
