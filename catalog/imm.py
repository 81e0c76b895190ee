"""Rows as documents with IMM's field names and formats (the models of alibabacloud_imm20200930).

What IMM has no name for goes under its column's name in IMM's style. Fields without a value are left out.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Collection, Mapping
from datetime import date, datetime
from typing import Any

from catalog.explain import Explanation
from catalog.file_fields import SAID_TEXTS
from catalog.files import Aggregated
from catalog.lake import Row
from catalog.times import at_offset, day_end, day_start, utc
from schemas.cluster_kinds import GROUPS, PEOPLE
from schemas.contract import LEVELS
from schemas.lake import file_object_id

Document = dict[str, Any]

_ACRONYMS = {"uri": "URI"}
_HIDDEN = "bucket"
_TOLD_IN_PART = {"Labels": ("LabelName",), "Addresses": tuple(level.capitalize() for level in LEVELS)}
"""Lists of a File, and the parts of their items that the lake has columns for."""
_LINEAGE = ("state", "representative", "anchor", "generation", "origin_id", "successor_id", "run_id")


def location_date_cluster(row: Row, language: str) -> Document:
    """A LocationDateCluster: a row of `location_date_clusters` with its edits laid over it.

    As in IMM, Title is what somebody gave it; the name of the place is ProposedTitle.
    """
    return _given(
        ObjectId=row["object_id"],
        ProjectName=row["project_name"],
        DatasetName=row["dataset_name"],
        Title=row["given_title"],
        ProposedTitle=row["proposed_title"],
        LocationDateClusterLevel=row["level"],
        LocationDateClusterStartTime=day_start(row["first_day"], row["start_offset"]),
        LocationDateClusterEndTime=day_end(row["last_day"], row["end_offset"]),
        Addresses=[address(row, language)],
        Cover={"URI": row["cover_uri"]},
        CustomId=row["custom_id"],
        CustomLabels=row["custom_labels"],
        Days=row["days"],
        DaysWithFiles=row["days_with_files"],
        FilesCount=row["files"],
        ImagesCount=row["images"],
        VideosCount=row["videos"],
        CreateTime=utc(row["create_time"]),
        UpdateTime=utc(row["update_time"]),
    )


def similar_image_cluster(row: Row) -> Document:
    """A SimilarImageCluster: a row of `similar_image_clusters` with its edits laid over it and, if given, members."""
    return _given(
        ObjectId=row["object_id"],
        ProjectName=row["project_name"],
        DatasetName=row["dataset_name"],
        Title=row["title"],
        Kind=row["kind"],
        FilesCount=row["files"],
        FirstTime=utc(row["first_time"]),
        LastTime=utc(row["last_time"]),
        Cover={"URI": row["cover_uri"]},
        CustomId=row["custom_id"],
        CustomLabels=row["custom_labels"],
        CreateTime=utc(row["create_time"]),
        UpdateTime=utc(row["update_time"]),
        Files=[similar_image(member) for member in row.get("members", ())],
    )


def similar_image(member: Row) -> Document:
    """A SimilarImage: a row of `similar_image_members`, with `kept`."""
    return _given(
        URI=member["uri"],
        ImageScore=member["image_score"],
        Kind=member["kind"],
        Similarity=member["similarity"],
        Keep=member["kept"] or None,
    )


def similar_image_file(member: Row, language: str) -> Document:
    """A File that is a member of similar images: with its row of `files`, if it has one."""
    return (file(member["file"], language) if member["file"] else {}) | similar_image(member)


def figure_cluster(row: Row) -> Document:
    """A FigureCluster: a row of `figure_clusters` with its edits laid over it."""
    return _given(
        ObjectId=row["object_id"],
        ObjectType="figure-cluster",
        ProjectName=row["project_name"],
        DatasetName=row["dataset_name"],
        Name=row["title"],
        FaceCount=row["faces"],
        ImageCount=row["images"],
        VideoCount=row["videos"],
        MinAge=row["min_age"],
        MaxAge=row["max_age"],
        AverageAge=row["average_age"],
        Gender=row["gender"],
        MetaLockVersion=row["lock_version"],
        Cover={"URI": row["cover_uri"], "Figures": [{"FigureId": row["cover_figure_id"]}]},
        CustomId=row["custom_id"],
        CustomLabels=row["custom_labels"],
        CreateTime=utc(row["create_time"]),
        UpdateTime=utc(row["update_time"]),
    )


def nearest_person(row: Row) -> Document:
    """A Cluster of SearchImageFigureCluster: a person, how similar a face is, which of several, and its box."""
    boundary = {pascal(side): pixels for side, pixels in (row["boundary"] or {}).items() if pixels is not None}
    found = _given(Face=row["face"], Boundary=boundary, ClusterId=row["object_id"], Similarity=row["similarity"])
    return found | figure_cluster(row)


def cluster_match(row: Row) -> Document:
    """A ClusterMatch of SearchImageFigureCluster: a person, how similar a face is, and its box."""
    boundary = {pascal(side): pixels for side, pixels in (row["boundary"] or {}).items() if pixels is not None}
    return _given(ClusterId=row["object_id"], Similarity=row["similarity"], Boundary=boundary)


def person_file(row: Row, language: str) -> Document:
    """A File that shows a person, with the person's faces in it."""
    return file(row, language) | {"Figures": [{"FigureId": figure_id} for figure_id in row["figure_ids"]]}


def address(row: Mapping[str, str | None], language: str) -> Document:
    """An Address: the names of a place's levels, and all of them in one line, the smallest first."""
    names = {level.capitalize(): name for level in LEVELS if (name := row[level])}
    parts = list(dict.fromkeys(names.values()))  # a city-state is named once
    line = "".join(parts) if language.startswith("zh") else ", ".join(reversed(parts))
    return _given(Language=language, **names, AddressLine=line)


def file(row: Row, language: str) -> Document:
    """A File: a row of `files`, and what `query_files` found beside it; what else its source said comes last."""
    place, uri = row.get("place"), row["uri"]
    # A given address is the place's, too, once the run that stores it has come that far.
    told = [each for each in (row["address"], place) if each and any(each[level] for level in LEVELS)]
    located: Row = told[0] if told else {}
    video = row["media_type"] == "video"
    said = row.get("said") or {}
    document = _given(
        URI=uri,
        OSSURI=said.get("oss_uri") or (uri if uri.startswith("oss://") else None),
        Filename=uri.rpartition("/")[2],
        ObjectId=row["object_id"],
        ObjectType="file",
        ProjectName=row["project_name"],
        DatasetName=row["dataset_name"],
        MediaType=row["media_type"],
        ContentType=row["content_type"],
        Size=row["size"],
        FileHash=row["file_hash"],
        ContentHash=row["content_hash"],
        ProduceTime=_produce_time(row),
        TimeSource=row["time_source"],
        Timezone=place and place["time_zone"],
        LatLong=None if row["latitude"] is None else f"{row['latitude']},{row['longitude']}",
        LocationSource=row["location_source"],
        Addresses=[address(located, language)] if any(located.values()) else None,
        ImageWidth=row["image_width"],
        ImageHeight=row["image_height"],
        VideoWidth=row["image_width"] if video else None,
        VideoHeight=row["image_height"] if video else None,
        Orientation=row["orientation"],
        CameraMake=row["camera_make"],
        CameraModel=row["camera_model"],
        Duration=row["duration"],
        Title=row["title"],
        Description=row["description"],
        ShotId=row["shot_id"],
        Warning=row["warning"],
        **{name: said.get(column) for name, column in SAID_TEXTS.items()},
        CustomId=row["custom_id"],
        CustomLabels=row["custom_labels"],
        Labels=[{"LabelName": label} for label in row["labels"] or ()],
        Figures=[figure(each) for each in row.get("figures", ())],
        CreateTime=utc(row["create_time"]),
        UpdateTime=utc(row["update_time"]),
        DeletedTime=utc(row["deleted_time"]),
        MovedTo=row["moved_to"],
    )
    if "figures" in row:
        document["FigureCount"] = len(row["figures"])
    if (feature := row.get("feature")) and feature["image_score"] is not None:
        document["ImageScore"] = {"OverallQualityScore": feature["image_score"]}
    return _with_attributes(document, row["attributes"])


def figure(row: Row) -> Document:
    """A Figure: a row of `figures` with `person` and `confidence`; what else its source said of it comes last."""
    own = _given(
        FigureId=row["figure_id"],
        FigureType="face",
        FigureClusterId=row["person"],
        FigureClusterConfidence=row["confidence"],
        Boundary={pascal(side): pixels for side, pixels in (row["boundary"] or {}).items() if pixels is not None},
        HeadPose={pascal(angle): degrees for angle, degrees in (row["head_pose"] or {}).items() if degrees is not None},
        FaceQuality=row["face_quality"],
        Gender=row["gender"],
        Age=row["age"],
    )
    return _with_attributes(own, row["attributes"])


def only(document: Document, fields: Collection[str]) -> Document:
    """The fields of a document that were asked for (WithFields); none named, all."""
    return {name: value for name, value in document.items() if name in fields} if fields else document


def aggregation(found: Aggregated) -> Document:
    """An AggregationResult."""
    groups = [{"Value": _group_text(value), "Count": count} for value, count in found.groups]
    asked = {"Field": found.aggregation.field, "Operation": found.aggregation.operation}
    return asked | _given(Value=found.value, Groups=groups)


def _group_text(value: Any) -> str:
    return str(utc(value)) if isinstance(value, datetime) else str(value)


def located_file(row: Row, language: str) -> Document:
    """A File, as far as a row of `file_places` tells."""
    return _given(
        URI=row["uri"],
        ObjectId=file_object_id(row["project_name"], row["dataset_name"], row["uri"]),
        ProjectName=row["project_name"],
        DatasetName=row["dataset_name"],
        MediaType=row["media_type"],
        ProduceTime=at_offset(row["produce_time"], row["utc_offset"] or 0),
        Timezone=row["time_zone"],
        Addresses=[address(row, language)],
    )


def binding(row: Row) -> Document:
    """A Binding: a row of `bindings`."""
    return _given(
        BindingId=row["binding_id"],
        ProjectName=row["project_name"],
        DatasetName=row["dataset_name"],
        URI=row["source"],
        Options=json.loads(row["options"]),
        State=row["state"],
        Phase=row["phase"],
        Reason=row["reason"],
        FilesCount=row["files"],
        MissingCount=row["missing"] or None,
        RefusedCount=row["refused"] or None,
        RunId=row["run_id"],
        CreateTime=utc(row["create_time"]),
        UpdateTime=utc(row["update_time"]),
        SyncTime=utc(row["sync_time"]),
    )


def task(row: Row) -> Document:
    """A task, as GetTask and ListTasks return it: a row of `tasks`."""
    return _given(
        TaskId=row["task_id"],
        TaskType=row["task_type"],
        ProjectName=row["project_name"],
        DatasetNames=row["dataset_names"],
        EventId=row["event_id"],
        RunId=row["run_id"],
        Status=row["status"],
        Progress=row["progress"],
        Code=row["code"],
        Message=row["message"],
        Tags=row["tags"],
        UserData=row["user_data"],
        StartTime=utc(row["start_time"]),
        EndTime=utc(row["end_time"]),
    )


def notification(row: Row) -> Document:
    """A notification: a row of `notifications`, but for the message."""
    return _plain({name: value for name, value in row.items() if name not in ("message", "account")})


def explanation(found: Explanation, language: str) -> Document:
    """Why a cluster exists. For a trip that is none now, `Cluster` has what is known of its segment."""
    of_members = {GROUPS.name: similar_image_cluster, PEOPLE.name: figure_cluster}.get(found.kind)
    if of_members:
        lineage = {name: found.cluster[name] for name in _LINEAGE}
        cluster = {**of_members(found.cluster), **_plain(lineage)}
    elif "start_offset" in found.cluster:
        cluster = location_date_cluster(found.cluster, language)
    else:
        cluster = _plain(found.cluster)
    return {
        "Status": found.status,
        "Cluster": cluster,
        "Options": found.options,
        "Evidence": [_plain(row) for row in found.evidence],
        **({"Pairs": [_plain(row) for row in found.pairs]} if found.kind == GROUPS.name else {}),
        "Runs": [_plain(row | {"parameters": json.loads(row["parameters"])}) for row in found.runs],
        "Events": [_plain(row) for row in found.events],
        "Edits": [_plain(row) for row in found.edits],
    }


def answer(document: Document) -> Document:
    """A response: the document, and the RequestId that every response of IMM has."""
    return {**document, "RequestId": str(uuid.uuid4()).upper()}


def pascal(column: str) -> str:
    """The name of a column in IMM's style.

    >>> pascal("first_day"), pascal("cover_uri"), pascal("object_id")
    ('FirstDay', 'CoverURI', 'ObjectId')
    """
    return "".join(_ACRONYMS.get(word, word.capitalize()) for word in column.split("_"))


def _produce_time(row: Row) -> str | None:
    """When a file was taken, with the offset that is known of it: a wall clock's reading has none."""
    if row["produce_time"] is None:
        return None
    if row["time_is"] == "local":
        return at_offset(row["produce_time"], 0).removesuffix("Z")
    return at_offset(row["produce_time"], row["utc_offset"] or 0)


def _plain(row: Row) -> Document:
    """A row of any table: its columns that have a value, buckets aside."""
    return {pascal(name): _value(value) for name, value in row.items() if value is not None and name != _HIDDEN}


def _value(value: Any) -> Any:
    match value:
        case datetime():
            return utc(value)
        case date():
            return value.isoformat()
        case dict():
            return {key: _value(item) for key, item in value.items()}
        case _:
            return value


def _with_attributes(own: Document, attributes: str | None) -> Document:
    """A document with the fields that only its source knows; of a list that both tell alike the source tells more."""
    told: Document = json.loads(attributes or "{}")
    richer = {name for name, parts in _TOLD_IN_PART.items() if _parts(own, name, parts) <= _parts(told, name, parts)}
    return {**own, **{name: value for name, value in told.items() if name in richer or name not in own}}


def _parts(document: Document, name: str, parts: tuple[str, ...]) -> set[tuple[Any, ...]]:
    return {tuple(item.get(part) for part in parts) for item in document.get(name, ())}


def _given(**fields: Any) -> Document:
    return {name: value for name, value in fields.items() if value not in (None, [], {})}
