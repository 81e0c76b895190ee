"""Which table follows which: the one place that jobs, maintenance and the documentation read.

A follower holds what its sources say, and a watermark of each: the version that it has consumed. Maintenance keeps what
is not consumed yet.
"""

from __future__ import annotations

from schemas.area_index import AREA_INDEX
from schemas.areas import AREAS
from schemas.cluster_events import CLUSTER_EVENTS
from schemas.contract import Contract
from schemas.figure_clusters import FIGURE_CLUSTERS
from schemas.figures import FIGURES
from schemas.file_edits import FILE_EDITS
from schemas.file_features import FILE_FEATURES
from schemas.file_places import FILE_PLACES
from schemas.files import FILES
from schemas.location_date_clusters import LOCATION_DATE_CLUSTERS
from schemas.location_date_segments import LOCATION_DATE_SEGMENTS
from schemas.place_days import PLACE_DAYS
from schemas.similar_image_clusters import SIMILAR_IMAGE_CLUSTERS
from schemas.similar_image_pairs import SIMILAR_IMAGE_PAIRS

FOLLOWERS: tuple[tuple[Contract, Contract], ...] = (
    (AREAS, AREA_INDEX),
    (FILES, FILE_PLACES),
    (FILE_EDITS, FILE_PLACES),
    (FILE_PLACES, PLACE_DAYS),
    (LOCATION_DATE_SEGMENTS, LOCATION_DATE_CLUSTERS),
    (LOCATION_DATE_CLUSTERS, CLUSTER_EVENTS),
    (FILE_FEATURES, SIMILAR_IMAGE_PAIRS),
    (SIMILAR_IMAGE_CLUSTERS, CLUSTER_EVENTS),
    (FIGURE_CLUSTERS, CLUSTER_EVENTS),
)
"""Sources, and the tables that follow their changes by a watermark of their own."""

CLUSTERED: tuple[tuple[Contract, Contract], ...] = (
    (PLACE_DAYS, LOCATION_DATE_SEGMENTS),
    (SIMILAR_IMAGE_PAIRS, SIMILAR_IMAGE_CLUSTERS),
    (FILE_FEATURES, SIMILAR_IMAGE_CLUSTERS),
    (FILES, SIMILAR_IMAGE_CLUSTERS),
    (FIGURES, FIGURE_CLUSTERS),
    (FILES, FIGURE_CLUSTERS),
)
"""Sources, and the tables that clusterings make of them: their watermarks are in `dataset_state`, one a dataset."""


def follows(source: Contract, target: Contract) -> bool:
    """Whether a table follows another's changes by a watermark of its own."""
    return any((source.name, target.name) == (one.name, other.name) for one, other in FOLLOWERS)
