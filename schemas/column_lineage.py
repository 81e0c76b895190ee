"""Which column comes from which, and by what kind of change: declared once, for docs, `explain` and OpenLineage.

A column comes from columns of other tables, of a row of a source, or is made by the job, by people or by callers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from schemas.area_index import AREA_INDEX
from schemas.areas import AREAS
from schemas.binding_files import BINDING_FILES
from schemas.bindings import BINDINGS
from schemas.cluster_edits import CLUSTER_EDITS
from schemas.cluster_events import CLUSTER_EVENTS
from schemas.contract import LEVELS, Contract
from schemas.dataset_state import DATASET_STATE
from schemas.datasets import DATASETS
from schemas.errors import UsageError
from schemas.face_scans import FACE_SCANS
from schemas.figure_clusters import FIGURE_CLUSTERS
from schemas.figure_members import FIGURE_MEMBERS
from schemas.figures import FIGURES
from schemas.file_edits import FILE_EDITS
from schemas.file_features import FILE_FEATURES
from schemas.file_notes import FILE_NOTES
from schemas.file_places import FILE_PLACES
from schemas.files import FILES
from schemas.keys import DATASET_KEY, FACE_KEY, FILE_KEY
from schemas.location_date_clusters import LOCATION_DATE_CLUSTERS
from schemas.location_date_segments import LOCATION_DATE_SEGMENTS
from schemas.notifications import NOTIFICATIONS
from schemas.place_days import PLACE_DAYS
from schemas.projects import DATASET_SETTINGS, PROJECTS
from schemas.rejected import REJECTED
from schemas.requests import REQUESTS
from schemas.runs import RUNS
from schemas.similar_image_clusters import SIMILAR_IMAGE_CLUSTERS
from schemas.similar_image_members import SIMILAR_IMAGE_MEMBERS
from schemas.similar_image_pairs import SIMILAR_IMAGE_PAIRS
from schemas.tasks import TASKS

Change = Literal["identity", "transformation", "aggregation", "filter", "join"]
"""How a column becomes another, as OpenLineage names it. A filter or join decides which rows there are, or which of
them counts; the value itself is not in the result."""

SOURCE = "source"
"""Stands for the source of a job in place of a table: its columns are the fields of a file, a face or an area."""


@dataclass(frozen=True)
class Origin:
    """A column that another comes from: of a table, or a field of the source (table SOURCE)."""

    table: str
    column: str
    change: Change

    def __str__(self) -> str:
        return f"{self.table}.{self.column}"


@dataclass(frozen=True)
class Made:
    """A column that comes from no other column: what it is made of, in a few words."""

    of: str


Origins: TypeAlias = tuple[Origin, ...]
Lineage: TypeAlias = "Origins | Made"


@dataclass(frozen=True)
class TableLineage:
    """Where the columns of a table come from; `rows` are the columns that decide which rows it has."""

    columns: Mapping[str, Lineage]
    rows: Origins = ()

    @property
    def sources(self) -> set[str]:
        """The tables that it is made of; SOURCE is one of them where it is made of a source."""
        found = [lineage for lineage in self.columns.values() if not isinstance(lineage, Made)]
        return {origin.table for origins in (*found, self.rows) for origin in origins}

    @property
    def maker(self) -> str | None:
        """Who makes all of it, if one does."""
        makers = {lineage.of if isinstance(lineage, Made) else None for lineage in self.columns.values()}
        return makers.pop() if len(makers) == 1 else None


def _from(change: Change, table: Contract | str, columns: tuple[str, ...]) -> Origins:
    name = table if isinstance(table, str) else table.name
    return tuple(Origin(name, column, change) for column in columns)


def identity(table: Contract | str, *columns: str) -> Origins:
    """The value as it is."""
    return _from("identity", table, columns)


def transformation(table: Contract | str, *columns: str) -> Origins:
    """A value computed of values of one row."""
    return _from("transformation", table, columns)


def aggregation(table: Contract | str, *columns: str) -> Origins:
    """A value computed of many rows: a count, a least, a best."""
    return _from("aggregation", table, columns)


def by_filter(table: Contract | str, *columns: str) -> Origins:
    """What decides whether a row is there."""
    return _from("filter", table, columns)


def by_join(table: Contract | str, *columns: str) -> Origins:
    """What decides which row of the table counts."""
    return _from("join", table, columns)


def same(table: Contract | str, *columns: str) -> dict[str, Lineage]:
    """Columns that are taken as they are from columns of the same name."""
    return {column: identity(table, column) for column in columns}


def read(*columns: str) -> dict[str, Lineage]:
    """Columns that are read from fields of the source of the same name: text becomes a number, a time, a list."""
    return {column: transformation(SOURCE, column) for column in columns}


def made(of: str, *columns: str) -> dict[str, Lineage]:
    """Columns that come from no other."""
    return dict.fromkeys(columns, Made(of))


CLOCK = "the run's clock"
RUN: dict[str, Lineage] = made("the run's id", "run_id")
NAMES = (*LEVELS, *(f"{level}_code" for level in LEVELS))

_DATASET_OF_SOURCE: dict[str, Lineage] = {
    "bucket": transformation(SOURCE, "dataset_name"),
    **made("the option --project", "project_name"),
    **same(SOURCE, "dataset_name"),
}
_TEXTS = ("content_type", "title", "description", "camera_make", "camera_model", "shot_id", "warning", "custom_id")
_FEATURES = ("perceptual_hash", "perceptual_hash_quality", "crop_hashes", "turned_hashes", "thumbnail", "image_score")
_FILES = TableLineage(
    {
        **_DATASET_OF_SOURCE,
        **same(SOURCE, "uri", "file_hash", *_TEXTS),
        "object_id": transformation(SOURCE, "dataset_name", "uri"),
        "media_type": transformation(SOURCE, "media_type", "content_type", "uri"),
        **read("size", "content_hash", "time_source", "location_source", "address", "latitude", "longitude"),
        **read("image_width", "image_height", "orientation", "duration", "labels", "custom_labels", "attributes"),
        "produce_time": transformation(SOURCE, "produce_time", "utc_offset", "time_is"),
        "produce_time_raw": transformation(SOURCE, "produce_time_raw", "produce_time"),
        "time_is": transformation(SOURCE, "time_is", "produce_time"),
        "utc_offset": transformation(SOURCE, "utc_offset", "produce_time"),
        **made("where the source is", "source"),
        **made("all columns of the source, and how `index` was asked to read them", "source_digest"),
        **made(CLOCK, "create_time", "update_time"),
        **made(f"{CLOCK}, when the file is removed or moved", "deleted_time"),
        **made("where `sync` finds the content again", "moved_to"),
        **RUN,
    },
    rows=by_filter(SOURCE, "update_time"),
)
_FILE_FEATURES = TableLineage(
    {
        **_DATASET_OF_SOURCE,
        **same(SOURCE, "uri"),
        "object_id": transformation(SOURCE, "dataset_name", "uri"),
        **read(*_FEATURES, "embedding"),
        "fingerprint": transformation(
            SOURCE, "perceptual_hash", "perceptual_hash_quality", "content_hash", "embedding"
        ),
        **made(CLOCK, "update_time"),
        **RUN,
    },
    rows=by_filter(SOURCE, "media_type", "content_type", "uri"),
)
_FIGURES = TableLineage(
    {
        **_DATASET_OF_SOURCE,
        **same(SOURCE, "figure_id"),
        "uri": identity(SOURCE, "uri", "file_uri"),
        "object_id": transformation(SOURCE, "dataset_name", "uri", "file_uri"),
        "boundary": transformation(SOURCE, "boundary", "left", "top", "width", "height"),
        "head_pose": transformation(SOURCE, "head_pose", "yaw", "pitch", "roll"),
        **read("face_quality", "gender", "age", "embedding", "model", "attributes"),
        **made(CLOCK, "update_time"),
        **RUN,
    },
    rows=by_filter(SOURCE, "update_time") + by_filter(CLUSTER_EDITS, "action", "figure_digests", "figure_places"),
)
_FACE_SCANS = TableLineage(
    {
        **_DATASET_OF_SOURCE,
        **same(SOURCE, "uri"),
        "object_id": transformation(SOURCE, "dataset_name", "uri"),
        **read("content_hash"),
        **made("the family of models and its version", "model"),
        "faces": aggregation(FIGURES, "figure_id", "model"),
        **made(CLOCK, "update_time"),
        **RUN,
    },
    rows=by_filter(SOURCE, "media_type", "content_type", "uri") + by_filter(DATASETS, "faces"),
)
_DATASETS = TableLineage(
    {
        **made("the option --project", "project_name"),
        "dataset_name": aggregation(SOURCE, "dataset_name"),
        **made("empty: see dataset_settings", "template_id", "description"),
        **made("the options --faces and --face-models", "faces"),
        **made("LAKEALBUM_USER, or the account's name", "faces_set_by"),
        **made("the run's id", "faces_run_id"),
        **made(CLOCK, "create_time", "update_time"),
    }
)
_REJECTED = TableLineage(
    {
        **_DATASET_OF_SOURCE,
        **made("the whole row of the source", "reject_id", "reason", "message", "row"),
        **made("where the source is", "source"),
        **made(CLOCK, "reject_time"),
        **RUN,
    }
)
_AREAS = TableLineage(
    {
        "area_id": transformation(SOURCE, "code"),
        **read("level", "code", "name", "names", "time_zone", "geometry"),
        "parent_code": transformation(SOURCE, "parent"),
        "parent_id": transformation(SOURCE, "parent", "geometry") + by_join(AREAS, "code", "level", "geometry"),
        "tiles": transformation(SOURCE, "geometry"),
        **made("the option --name", "source"),
        **made("the option --version", "source_version"),
        **RUN,
    },
)
_AREA_INDEX = TableLineage(
    {
        "tile": aggregation(AREAS, "tiles"),
        "areas": aggregation(AREAS, "area_id", "level"),
        **dict.fromkeys(
            ("starts", "covers", "counts", "piece_areas", "piece_sizes", "xs", "ys"), aggregation(AREAS, "geometry")
        ),
        "digest": aggregation(AREAS, "area_id", "geometry", "name", "names", "code", "parent_id", "time_zone"),
        **made("the number of the build", "generation"),
        **RUN,
    }
)

_LOOKED_UP = (
    transformation(FILES, "latitude", "longitude")
    + transformation(FILE_EDITS, "latitude", "longitude")
    + by_join(AREA_INDEX, "tile", "starts", "covers", "xs", "ys")
)
"""What a look-up in the areas depends on."""
_TOLD_ADDRESS = transformation(FILES, "address") + transformation(FILE_EDITS, "address")
_ZONE = transformation(AREAS, "time_zone") + _LOOKED_UP
_TIME = transformation(FILES, "produce_time", "time_is", "utc_offset") + transformation(
    FILE_EDITS, "produce_time", "time_is", "utc_offset"
)
_FILE_PLACES = TableLineage(
    {
        **same(FILES, *FILE_KEY, "media_type", "shot_id", "deleted_time"),
        "produce_time": _TIME + _ZONE,
        "utc_offset": _TIME + _ZONE,
        "local_date": _TIME + _ZONE,
        "time_zone": _ZONE,
        **dict.fromkeys(LEVELS, _TOLD_ADDRESS + transformation(AREAS, "name", "names") + _LOOKED_UP),
        **dict.fromkeys((f"{level}_code" for level in LEVELS), transformation(AREAS, "code") + _LOOKED_UP),
        "place_key": _TOLD_ADDRESS + transformation(AREAS, "code", "name", "names") + _LOOKED_UP,
        "address_method": _TOLD_ADDRESS + _LOOKED_UP,
        "address_distance": _LOOKED_UP,
        "location_source": transformation(FILE_EDITS, "latitude", "address", "taken_back"),
        "index_version": transformation(AREA_INDEX, "generation") + _TOLD_ADDRESS,
        "cover_rank": transformation(FILES, "media_type", "image_width", "image_height", "deleted_time"),
        **RUN,
    },
    rows=by_filter(FILES, "latitude", "longitude", "address", "moved_to")
    + by_join(FILE_EDITS, "object_id", "sequence"),
)
_BEST = aggregation(FILE_PLACES, "cover_rank", "produce_time", "uri")
_PLACE_DAYS = TableLineage(
    {
        **same(FILE_PLACES, *DATASET_KEY, "place_key", "local_date"),
        **{name: aggregation(FILE_PLACES, name) + by_join(FILE_PLACES, "cover_rank") for name in NAMES},
        "files": aggregation(FILE_PLACES, "uri"),
        "images": aggregation(FILE_PLACES, "media_type"),
        "videos": aggregation(FILE_PLACES, "media_type"),
        "first": aggregation(FILE_PLACES, "produce_time", "utc_offset"),
        "last": aggregation(FILE_PLACES, "produce_time", "utc_offset"),
        "cover": _BEST,
        **RUN,
    },
    rows=by_filter(FILE_PLACES, "local_date", "shot_id"),
)
_SPAN = aggregation(PLACE_DAYS, "local_date")
_CUT = (*_SPAN, *by_join(PLACE_DAYS, "place_key"))
_LOCATION_DATE_SEGMENTS = TableLineage(
    {
        **same(PLACE_DAYS, *DATASET_KEY),
        "object_id": transformation(PLACE_DAYS, "project_name", "dataset_name", "place_key"),
        **made("the option --levels", "level"),
        "place_key": transformation(PLACE_DAYS, "place_key"),
        **made("the segments that the place has had", "generation"),
        "state": _CUT + by_join(CLUSTER_EDITS, "action", "object_id"),
        "is_cluster": _SPAN,
        "successor_id": _CUT,
        "origin_id": _CUT,
        **dict.fromkeys(("first_day", "last_day", "days", "days_with_files"), _SPAN),
        **{name: aggregation(PLACE_DAYS, name) for name in ("files", "images", "videos", "first", "last", "cover")},
        **{name: aggregation(PLACE_DAYS, name) + by_join(PLACE_DAYS, "cover") for name in NAMES},
        **made(CLOCK, "cluster_since", "create_time", "update_time"),
        **RUN,
    },
    rows=by_filter(PLACE_DAYS, "local_date", "place_key")
    + by_filter(CLUSTER_EDITS, "action", "level", "place_key", "first_day", "last_day", "sequence"),
)
_COUNTS = ("files", "images", "videos")
_LOCATION_DATE_CLUSTERS = TableLineage(
    {
        **same(LOCATION_DATE_SEGMENTS, *DATASET_KEY, "object_id", "level", "place_key", *NAMES),
        "title": transformation(LOCATION_DATE_SEGMENTS, *LEVELS),
        **same(LOCATION_DATE_SEGMENTS, "first_day", "last_day", "days", "days_with_files", *_COUNTS),
        "start_time": transformation(LOCATION_DATE_SEGMENTS, "first_day", "first"),
        "start_offset": transformation(LOCATION_DATE_SEGMENTS, "first"),
        "end_time": transformation(LOCATION_DATE_SEGMENTS, "last_day", "last"),
        "end_offset": transformation(LOCATION_DATE_SEGMENTS, "last"),
        "cover_uri": transformation(LOCATION_DATE_SEGMENTS, "cover"),
        "create_time": identity(LOCATION_DATE_SEGMENTS, "cluster_since"),
        **made(CLOCK, "update_time"),
        **RUN,
    },
    rows=by_filter(LOCATION_DATE_SEGMENTS, "is_cluster"),
)
_LOOKS = ("perceptual_hash", "perceptual_hash_quality", "crop_hashes", "turned_hashes", "thumbnail", "embedding")
_SIMILAR_IMAGE_PAIRS = TableLineage(
    {
        **same(FILE_FEATURES, *DATASET_KEY, "fingerprint"),
        "other_fingerprint": identity(FILE_FEATURES, "fingerprint"),
        "signal": transformation(FILE_FEATURES, *_LOOKS),
        "distance": transformation(FILE_FEATURES, "perceptual_hash", "crop_hashes", "turned_hashes"),
        "similarity": transformation(FILE_FEATURES, *_LOOKS),
        **RUN,
    },
    rows=by_filter(FILE_FEATURES, *_LOOKS),
)
_GROUPED = (
    by_join(SIMILAR_IMAGE_PAIRS, "fingerprint", "other_fingerprint", "signal", "distance", "similarity")
    + by_join(FILE_FEATURES, "fingerprint")
    + by_join(CLUSTER_EDITS, "action", "uri", "fingerprints", "sequence")
)
"""What decides who is in a group of similar images."""
_SHOT_BY = ("shot_id", "content_hash", "camera_make", "camera_model", "produce_time", "image_width", "image_height")
_SIMILAR_IMAGE_CLUSTERS = TableLineage(
    {
        **same(FILE_FEATURES, *DATASET_KEY),
        "object_id": transformation(FILE_FEATURES, "project_name", "dataset_name", "fingerprint") + _GROUPED,
        "state": _GROUPED + by_join(FILES, "deleted_time"),
        "kind": aggregation(FILES, *_SHOT_BY) + aggregation(FILE_FEATURES, "fingerprint"),
        "files": aggregation(FILE_FEATURES, "uri"),
        "cover_uri": aggregation(FILE_FEATURES, "uri", "image_score"),
        "representative": aggregation(FILE_FEATURES, "fingerprint") + _GROUPED,
        "first_time": aggregation(FILES, "produce_time"),
        "last_time": aggregation(FILES, "produce_time"),
        **made("the clusters that began at the anchor", "generation"),
        "anchor": aggregation(FILE_FEATURES, "fingerprint") + _GROUPED,
        "origin_id": _GROUPED,
        "successor_id": _GROUPED,
        "last_fingerprints": aggregation(FILE_FEATURES, "fingerprint"),
        **made(CLOCK, "create_time", "update_time"),
        **RUN,
    },
    rows=_GROUPED + by_filter(FILES, "deleted_time"),
)
_SIMILAR_IMAGE_MEMBERS = TableLineage(
    {
        **same(FILE_FEATURES, *FILE_KEY, "fingerprint", "image_score"),
        "object_id": identity(SIMILAR_IMAGE_CLUSTERS, "object_id"),
        "kind": transformation(FILES, *_SHOT_BY),
        "similarity": identity(SIMILAR_IMAGE_PAIRS, "similarity"),
        "rank": aggregation(FILE_FEATURES, "image_score", "uri"),
        **RUN,
    },
    rows=_GROUPED + by_filter(FILES, "deleted_time"),
)
_FACES = (
    by_join(FIGURES, "embedding", "model", "boundary", "head_pose", "face_quality")
    + by_join(FILES, "uri", "deleted_time")
    + by_join(CLUSTER_EDITS, "action", "object_id", "other_id", "figure_id", "figure_digests", "sequence")
)
"""What decides whose a face is."""
_FIGURE_CLUSTERS = TableLineage(
    {
        **same(FIGURES, *DATASET_KEY),
        "object_id": transformation(FIGURES, "project_name", "dataset_name", "figure_id") + _FACES,
        "state": _FACES,
        "faces": aggregation(FIGURES, "figure_id"),
        "founders": aggregation(FIGURES, "boundary", "head_pose", "face_quality"),
        "files": aggregation(FIGURES, "uri"),
        "images": aggregation(FILES, "media_type"),
        "videos": aggregation(FILES, "media_type"),
        **dict.fromkeys(("min_age", "max_age", "average_age"), aggregation(FIGURES, "age")),
        "gender": aggregation(FIGURES, "gender"),
        "cover_figure_id": aggregation(FIGURES, "figure_id", "face_quality"),
        "cover_uri": aggregation(FIGURES, "uri", "face_quality"),
        "representative": aggregation(FIGURES, "figure_id", "embedding"),
        **made("the people who began at the anchor", "generation"),
        "anchor": aggregation(FIGURES, "figure_id", "embedding"),
        "origin_id": _FACES,
        "successor_id": _FACES,
        "last_figures": aggregation(FIGURES, "figure_id"),
        **made(CLOCK, "create_time", "update_time"),
        **RUN,
    },
    rows=_FACES,
)
_FIGURE_MEMBERS = TableLineage(
    {
        **same(FIGURES, *FACE_KEY, "uri"),
        "object_id": identity(FIGURE_CLUSTERS, "object_id"),
        "confidence": transformation(FIGURES, "embedding", "model"),
        "role": transformation(FIGURES, "boundary", "head_pose", "face_quality") + by_join(CLUSTER_EDITS, "action"),
        **RUN,
    },
    rows=_FACES,
)
_CLUSTERS = (LOCATION_DATE_CLUSTERS, SIMILAR_IMAGE_CLUSTERS, FIGURE_CLUSTERS)
_MEMBERED = (SIMILAR_IMAGE_CLUSTERS, FIGURE_CLUSTERS)
_CHANGED = (
    transformation(LOCATION_DATE_CLUSTERS, "first_day", "last_day")
    + transformation(LOCATION_DATE_SEGMENTS, "state", "successor_id", "origin_id")
    + sum((transformation(table, "state", "files", "successor_id", "origin_id") for table in _MEMBERED), ())
)
"""What an event is told by: the rows of a cluster before and after a version."""
_CLUSTER_EVENTS = TableLineage(
    {
        **{name: sum((identity(table, name) for table in _CLUSTERS), ()) for name in (*DATASET_KEY, "object_id")},
        **made("the kind of clustering", "kind"),
        "event": _CHANGED,
        "other_id": sum(
            (identity(table, "successor_id", "origin_id") for table in (LOCATION_DATE_SEGMENTS, *_MEMBERED)), ()
        ),
        "reason": _CHANGED,
        "first_day_before": identity(LOCATION_DATE_CLUSTERS, "first_day"),
        "last_day_before": identity(LOCATION_DATE_CLUSTERS, "last_day"),
        **same(LOCATION_DATE_CLUSTERS, "first_day", "last_day"),
        "files_before": sum((identity(table, "files") for table in _MEMBERED), ()),
        "files": sum((identity(table, "files") for table in _MEMBERED), ()),
        **made("the version of the table of clusters", "cluster_version"),
        **made("the commit of that version", "event_time"),
        **RUN,
    }
)
_DATASET_STATE = TableLineage(
    {
        **same(DATASETS, "project_name", "dataset_name"),
        "bucket": transformation(DATASETS, "project_name", "dataset_name"),
        **made("the kind of clustering", "kind"),
        **made("the job's options", "options"),
        **made("the versions of the tables that were clustered", "evidence_versions"),
        "edits_version": aggregation(CLUSTER_EDITS, "sequence"),
        **made(CLOCK, "update_time"),
        **RUN,
    }
)


def _all_made(contract: Contract, of: str) -> TableLineage:
    return TableLineage(made(of, *contract.names))


LINEAGE: dict[str, TableLineage] = {
    PROJECTS.name: _all_made(PROJECTS, "callers of the endpoint"),
    DATASETS.name: _DATASETS,
    DATASET_SETTINGS.name: _all_made(DATASET_SETTINGS, "callers of the endpoint"),
    FILES.name: _FILES,
    FILE_NOTES.name: _all_made(FILE_NOTES, "callers of the endpoint"),
    FILE_PLACES.name: _FILE_PLACES,
    FILE_FEATURES.name: _FILE_FEATURES,
    FIGURES.name: _FIGURES,
    FACE_SCANS.name: _FACE_SCANS,
    AREAS.name: _AREAS,
    AREA_INDEX.name: _AREA_INDEX,
    PLACE_DAYS.name: _PLACE_DAYS,
    LOCATION_DATE_SEGMENTS.name: _LOCATION_DATE_SEGMENTS,
    LOCATION_DATE_CLUSTERS.name: _LOCATION_DATE_CLUSTERS,
    SIMILAR_IMAGE_PAIRS.name: _SIMILAR_IMAGE_PAIRS,
    SIMILAR_IMAGE_CLUSTERS.name: _SIMILAR_IMAGE_CLUSTERS,
    SIMILAR_IMAGE_MEMBERS.name: _SIMILAR_IMAGE_MEMBERS,
    FIGURE_CLUSTERS.name: _FIGURE_CLUSTERS,
    FIGURE_MEMBERS.name: _FIGURE_MEMBERS,
    CLUSTER_EDITS.name: _all_made(CLUSTER_EDITS, "people: update, delete, undelete, erase"),
    CLUSTER_EVENTS.name: _CLUSTER_EVENTS,
    FILE_EDITS.name: _all_made(FILE_EDITS, "people: files update"),
    BINDINGS.name: _all_made(BINDINGS, "`bind`, and what each sync came to"),
    BINDING_FILES.name: _all_made(BINDING_FILES, "the listing of the bound source"),
    DATASET_STATE.name: _DATASET_STATE,
    REQUESTS.name: _all_made(REQUESTS, "callers of the endpoint"),
    TASKS.name: _all_made(TASKS, "the job's own record"),
    NOTIFICATIONS.name: _all_made(NOTIFICATIONS, "the outbox's own record"),
    RUNS.name: _all_made(RUNS, "the job's own record"),
    REJECTED.name: _REJECTED,
}
"""Table -> where its columns come from."""


def lineage_of(table: str) -> TableLineage:
    """Where the columns of a table come from. UsageError lists the tables where there is none of that name."""
    if table not in LINEAGE:
        raise UsageError(f"there is no table {table!r}; tables are {', '.join(sorted(LINEAGE))}")
    return LINEAGE[table]


def in_words(lineage: Lineage) -> str:
    """Where a column comes from, by kind of change.

    >>> in_words(identity(FILES, "uri") + by_join(AREAS, "code", "level"))
    'identity: files.uri; join: areas.code, areas.level'
    >>> in_words(Made("the run's clock"))
    "made: the run's clock"
    """
    if isinstance(lineage, Made):
        return f"made: {lineage.of}"
    by_change: dict[str, list[str]] = {}
    for origin in dict.fromkeys(lineage):
        by_change.setdefault(origin.change, []).append(str(origin))
    return "; ".join(f"{change}: {', '.join(origins)}" for change, origins in by_change.items())
