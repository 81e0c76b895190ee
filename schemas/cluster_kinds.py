"""The kinds of clusters: what the command line and the ids call them, and where their tables are."""

from __future__ import annotations

import re
from dataclasses import dataclass

from schemas.contract import Contract
from schemas.errors import UsageError
from schemas.figure_clusters import FIGURE_CLUSTERS
from schemas.figure_members import FIGURE_MEMBERS
from schemas.location_date_clusters import LOCATION_DATE_CLUSTERS
from schemas.location_date_segments import LOCATION_DATE_SEGMENTS
from schemas.similar_image_clusters import SIMILAR_IMAGE_CLUSTERS
from schemas.similar_image_members import SIMILAR_IMAGE_MEMBERS

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True)
class ClusterKind:
    """What sets one kind of cluster apart from the others.

    `name` is that of the command line and of `cluster_edits`. The rows of `table` that satisfy `live` are the clusters;
    `lineage` is the table that says which are gone and who took over most of their `parts`.
    """

    name: str
    prefix: str
    table: Contract
    lineage: Contract
    parts: str
    live: str = "TRUE"

    def full_id(self, text: str) -> str:
        """The id of a cluster, given whole or without its prefix. Raises UsageError for what cannot be one."""
        bare = text.removeprefix(self.prefix)
        if not is_uuid(bare):
            noun = self.name.removesuffix("s")
            raise UsageError(f"{text!r} is not the id of a {noun} cluster, which reads {self.prefix}<uuid>")
        return self.prefix + bare


@dataclass(frozen=True, kw_only=True)
class MemberKind(ClusterKind):
    """A kind whose clusters have `members`, each named by the column `member`.

    A cluster that went is known again by what its members had in the column `look`, which its column `last` keeps.
    """

    members: Contract
    member: str
    look: str
    last: str


def is_uuid(text: str) -> bool:
    """Whether `text` is a UUID in lower case.

    >>> is_uuid("0b2f6d4e-9c3a-5f10-8e77-1d2c3b4a5968"), is_uuid("0B2F6D4E")
    (True, False)
    """
    return _UUID.fullmatch(text) is not None


TRIPS = ClusterKind(
    "location-date", "location-date-cluster-", LOCATION_DATE_CLUSTERS, LOCATION_DATE_SEGMENTS, parts="days"
)
GROUPS = MemberKind(
    "similar-images",
    "SimilarImageCluster-",
    SIMILAR_IMAGE_CLUSTERS,
    SIMILAR_IMAGE_CLUSTERS,
    parts="pictures",
    live="state = 'live'",
    members=SIMILAR_IMAGE_MEMBERS,
    member="uri",
    look="fingerprint",
    last="last_fingerprints",
)
PEOPLE = MemberKind(
    "figures",
    "Cluster-",
    FIGURE_CLUSTERS,
    FIGURE_CLUSTERS,
    parts="faces",
    live="state = 'live'",
    members=FIGURE_MEMBERS,
    member="figure_id",
    look="figure_id",
    last="last_figures",
)
