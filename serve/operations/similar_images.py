"""Similar-image clusters."""

from __future__ import annotations

from catalog import imm
from catalog.similar_images import SimilarImageQuery, query_similar_images
from serve.operations.parameters import NEXT_TOKEN, ORDER, choice, label_filter, max_results
from serve.operations.registry import Context, Fields, Params, operation

DEFAULT_RESULTS = 100


@operation(
    "QuerySimilarImageClusters",
    "dataset",
    label_filter("CustomLabels"),
    max_results(least=1),
    NEXT_TOKEN,
    ORDER,
    choice("Sort", "UpdateTime", "CreateTime"),
    differs="Of a cluster of more than 100 pictures the best 100 are told.",
)
def query_similar_image_clusters(context: Context, params: Params) -> Fields:
    """A page of the groups of similar images, each with its pictures, the best first."""
    query = SimilarImageQuery(
        context.scope,
        labels=params.get("CustomLabels", {}),
        sort=params.get("Sort", "UpdateTime"),
        order=params.get("Order", "desc"),
        max_results=params.get("MaxResults", DEFAULT_RESULTS),
    )
    page = query_similar_images(context.lake, query, params.get("NextToken"))
    clusters = [imm.similar_image_cluster(row) for row in page.rows]
    return {"SimilarImageClusters": clusters, "NextToken": page.next_token or ""}
