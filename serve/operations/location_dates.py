"""Location-date clusters: trips and stays."""

from __future__ import annotations

from typing import Any

from catalog import imm
from catalog.location_dates import (
    SORTS,
    LocationDateQuery,
    delete_cluster,
    find_cluster,
    query_location_dates,
    update_cluster,
)
from catalog.times import ANY_TIME
from schemas.contract import LEVELS
from schemas.errors import NotFound
from serve.errors import not_found, unsupported
from serve.operations.parameters import (
    MAX_TEXT_BYTES,
    NEXT_TOKEN,
    ORDER,
    choice,
    label_filter,
    mapping,
    max_results,
    record,
    text,
    texts,
    time_range,
)
from serve.operations.registry import Context, Fields, Params, operation

DEFAULT_RESULTS = 20
OBJECT_ID = text("ObjectId")
_LEVEL_NAMES = {level: level.capitalize() for level in LEVELS}
_EDITABLE = {"Title": "title", "CustomId": "custom_id", "CustomLabels": "custom_labels"}


@operation(
    "QueryLocationDateClusters",
    "dataset",
    record("Address", *(text(name) for name in (*_LEVEL_NAMES.values(), "AddressLine", "Language"))),
    time_range("CreateTimeRange"),
    label_filter("CustomLabels"),
    time_range("LocationDateClusterEndTimeRange"),
    texts("LocationDateClusterLevels"),
    time_range("LocationDateClusterStartTimeRange"),
    max_results(least=1),
    NEXT_TOKEN,
    OBJECT_ID,
    ORDER,
    choice("Sort", *SORTS),
    text("Title"),
    time_range("UpdateTimeRange"),
    differs="The name of the place comes as ProposedTitle, as Title is what a caller gave. Address.AddressLine is "
    "no filter.",
)
def query_location_date_clusters(context: Context, params: Params) -> Fields:
    """A page of the trips that fit."""
    address = params.get("Address", {})
    if "AddressLine" in address:
        raise unsupported("A filter by Address.AddressLine", "Country, Province, City, District and Township are.")
    query = LocationDateQuery(
        context.scope,
        object_ids=(params["ObjectId"],) if "ObjectId" in params else (),
        given_title=params.get("Title"),
        address={level: address[name] for level, name in _LEVEL_NAMES.items() if name in address},
        levels=tuple(params.get("LocationDateClusterLevels", ())),
        start=params.get("LocationDateClusterStartTimeRange", ANY_TIME),
        end=params.get("LocationDateClusterEndTimeRange", ANY_TIME),
        created=params.get("CreateTimeRange", ANY_TIME),
        updated=params.get("UpdateTimeRange", ANY_TIME),
        labels=params.get("CustomLabels", {}),
        sort=params.get("Sort", "LocationDateClusterStartTime"),
        order=params.get("Order", "asc"),
        max_results=params.get("MaxResults", DEFAULT_RESULTS),
    )
    page = query_location_dates(context.lake, query, params.get("NextToken"))
    clusters = [imm.location_date_cluster(row, context.language) for row in page.rows]
    return {"LocationDateClusters": clusters, "NextToken": page.next_token or ""}


@operation(
    "UpdateLocationDateCluster",
    "dataset",
    text("CustomId", most_bytes=MAX_TEXT_BYTES),
    mapping("CustomLabels"),
    OBJECT_ID.must,
    text("Title", most_bytes=MAX_TEXT_BYTES),
)
def update_location_date_cluster(context: Context, params: Params) -> Fields:
    """Changes what is given of a trip, and leaves the rest."""
    fields: dict[str, Any] = {column: params[name] for name, column in _EDITABLE.items() if name in params}
    try:
        if fields:
            update_cluster(context.lake, context.scope, params["ObjectId"], fields)
        else:
            find_cluster(context.lake, context.scope, params["ObjectId"])
    except NotFound:
        raise not_found("LocationDateCluster", params["ObjectId"][:200]) from None
    return {}


@operation("DeleteLocationDateCluster", "dataset", OBJECT_ID.must)
def delete_location_date_cluster(context: Context, params: Params) -> Fields:
    """Deletes a trip; its files stay. One that is not there is as good."""
    try:
        delete_cluster(context.lake, context.scope, params["ObjectId"])
    except NotFound:
        return {}
    return {}
