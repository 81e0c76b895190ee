"""Files found by conditions, and aggregations of them."""

from __future__ import annotations

from typing import Any, get_args

from catalog import imm
from catalog.files import (
    MOST_AGGREGATIONS,
    MOST_GROUPS,
    Aggregation,
    AggregationOperation,
    FileQuery,
    aggregate_files,
    count_files,
    query_files,
)
from catalog.paging import MOST_RESULTS
from catalog.simple_query import read_query
from serve.errors import invalid
from serve.operations.parameters import (
    NEXT_TOKEN,
    choice,
    document,
    flag,
    max_results,
    records,
    text,
    texts,
)
from serve.operations.registry import Context, Fields, Params, operation

DEFAULT_RESULTS = 100


@operation(
    "SimpleQuery",
    "dataset",
    document("Query"),
    records(
        "Aggregations",
        text("Field").must,
        choice("Operation", *get_args(AggregationOperation)).must,
        most=MOST_AGGREGATIONS,
    ),
    max_results(MOST_GROUPS),
    NEXT_TOKEN,
    text("Sort"),
    text("Order"),
    texts("WithFields"),
    flag("WithoutTotalHits"),
    differs="See queries.md for the fields that a lake has, and for what was not published of the operators.",
)
def simple_query(context: Context, params: Params) -> Fields:
    """A page of the files that satisfy conditions, or aggregations of all that do."""
    aggregations = [Aggregation(each["Field"], each["Operation"]) for each in params.get("Aggregations", ())]
    most = params.get("MaxResults") or DEFAULT_RESULTS
    if most > MOST_RESULTS and not aggregations:
        raise invalid(f"MaxResults {most} is out of range: 0 to {MOST_RESULTS} are accepted without Aggregations")
    orders: list[Any] = [order.lower() for order in _parts(params.get("Order"))]
    query = FileQuery(
        context.scope,
        read_query(params.get("Query", {})),
        sort=tuple(_parts(params.get("Sort"))),
        order=tuple(orders),
        fields=tuple(params.get("WithFields", ())),
        max_results=min(most, MOST_RESULTS),
        with_total=not (params.get("WithoutTotalHits") or aggregations),
    )
    if aggregations:
        found = aggregate_files(context.lake, query, aggregations, most)
        total = {} if params.get("WithoutTotalHits") else {"TotalHits": count_files(context.lake, query)}
        return {"Aggregations": [imm.aggregation(each) for each in found], "Files": [], "NextToken": "", **total}
    page = query_files(context.lake, query, params.get("NextToken"))
    files = [imm.only(imm.file(row, context.language), query.fields) for row in page.rows]
    total = {} if page.total is None else {"TotalHits": page.total}
    return {"Files": files, "NextToken": page.next_token or "", **total}


def _parts(given: str | None) -> list[str]:
    return [part.strip() for part in given.split(",")] if given else []
