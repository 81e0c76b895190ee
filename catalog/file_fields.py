"""The fields of a File that queries can name: their types, and where a lake keeps them.

Names and types are those of IMM's File; fields that only a lake has are marked. A field that IMM has and a lake does
not is known, and no file has a value of it. Any other name is refused.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from catalog.lake import Within
from catalog.sql import literal
from schemas.contract import LEVELS
from schemas.errors import UsageError

Kind = Literal["text", "folded", "number", "single", "time", "point", "map"]
"""How values compare: `folded` text in any case, `single` as numbers of 32 bits, `point` by latitude and longitude,
`map` not at all."""

UNCLUSTERED = "figure-cluster-id-unavailable"
INDEPENDENT = "figure-cluster-id-independent"
"""The FigureClusterId of a face that no clustering has seen, and of one that is nobody's."""


@dataclass(frozen=True, eq=False)
class Source:
    """Rows of other tables that belong to a file.

    `columns` (name -> SQL) are read from `rows`, a FROM clause over `tables`. Of `many` a file has any number, the
    elements of a list; else one or none. `always` is a column that no row lacks.
    """

    name: str
    rows: str
    columns: Mapping[str, str]
    tables: tuple[str, ...]
    many: bool = True
    grouped: bool = False
    bucketed: bool = True
    always: str = "uri"

    def select(self, within: Within, names: Collection[str]) -> str:
        """The rows that satisfy a condition on project and dataset: a subquery of the file's key and these columns."""
        listed = "".join(f", {self.columns[name]} AS {name}" for name in self.columns if name in names)
        grouping = " GROUP BY dataset_name, uri" if self.grouped else ""
        scope = within.bucketed if self.bucketed else within.plain
        rows = self.rows.format(scope=scope)
        return f"(SELECT dataset_name, uri{listed} FROM {rows} WHERE {scope}{grouping})"

    def joins(self, other: str) -> str:
        """The condition that a row of the source belongs to a row of `other`, in SQL."""
        return f"{self.name}.dataset_name = {other}.dataset_name AND {self.name}.uri = {other}.uri"


@dataclass(frozen=True)
class Field:
    """A field: IMM's path of it, how its values compare, and where they are.

    `sql` is an expression over `files` and a source that has one row a file, or the column of a list's elements; None
    where no file of a lake has the field.
    """

    name: str
    kind: Kind
    sql: str | None = None
    source: Source | None = None

    @property
    def column(self) -> str:
        """The value in SQL. Raises UsageError for a field that no file has."""
        if self.sql is None:
            raise UsageError(f"no file of a lake has a {self.name}")
        return f"{self.source.name}.{self.sql}" if self.source and self.source.many else self.sql

    @property
    def is_list_part(self) -> bool:
        """Whether a file may have many of it."""
        return self.source is not None and self.source.many


SAID_TEXTS = {
    "Album": "album",
    "AlbumArtist": "album_artist",
    "Artist": "artist",
    "Composer": "composer",
    "Performer": "performer",
}
SAID = Source(
    "said",
    "file_notes",
    {name: name for name in (*SAID_TEXTS.values(), "oss_uri")},
    ("file_notes",),
    many=False,
    bucketed=False,
)
"""What callers said of a file beyond its source."""
GONE = Source(
    "gone",
    "(SELECT * FROM file_notes WHERE removed_time IS NOT NULL) AS removals",
    {"removed_time": "removed_time"},
    ("file_notes",),
    many=False,
    bucketed=False,
)
"""Files that callers deleted, and the removing job has not removed yet."""
IS_THERE = "gone.removed_time IS NULL OR gone.removed_time < files.update_time"
"""Whether a file is there, beside GONE."""
LABELS = Source("label", "files", {"label": "unnest(labels)"}, ("files",), always="label")
ADDRESSES = Source("address", "file_places", {level: level for level in LEVELS}, ("file_places",))
PLACES = Source("place", "file_places", {name: name for name in (*LEVELS, "time_zone")}, ("file_places",), many=False)
FEATURES = Source("feature", "file_features", {"image_score": "image_score"}, ("file_features",), many=False)
FACES = Source("faces", "figures", {"faces": "count(*)"}, ("figures",), many=False, grouped=True)
FIGURES = Source(
    "figures",
    "figures LEFT JOIN (SELECT dataset_name AS whose_dataset, figure_id AS whose_figure, object_id AS whose, "
    "confidence FROM figure_members WHERE {scope}) AS members "
    "ON dataset_name = whose_dataset AND figure_id = whose_figure",
    {
        "figure_id": "figure_id",
        "person": f"CASE WHEN whose_figure IS NULL THEN {literal(UNCLUSTERED)} "
        f"ELSE coalesce(whose, {literal(INDEPENDENT)}) END",
        "confidence": "confidence",
        "figure_type": "'face'",
        "age": "age",
        "gender": "gender",
        "face_quality": "face_quality",
        "boundary": "boundary",
        "head_pose": "head_pose",
        "attributes": "attributes",
        **{f"box_{side}": f"boundary['{side}']" for side in ("left", "top", "width", "height")},
        **{angle: f"head_pose['{angle}']" for angle in ("yaw", "pitch", "roll")},
    },
    ("figures", "figure_members"),
)
GROUPS = Source("alike", "similar_image_members", {"cluster": "object_id"}, ("similar_image_members",))

_APART = "chr(31)"
"""What keys of labels are joined by: a character that no text has."""
_FILENAME = "split_part(files.uri, '/', -1)"
_IS_VIDEO = "files.media_type = 'video'"
_STORED = [
    Field("URI", "text", "files.uri"),
    Field(
        "OSSURI", "text", "coalesce(said.oss_uri, CASE WHEN starts_with(files.uri, 'oss://') THEN files.uri END)", SAID
    ),
    Field("Filename", "text", _FILENAME),
    Field("ObjectId", "text", "files.object_id"),
    Field("ObjectType", "text", "'file'"),
    Field("ProjectName", "text", "files.project_name"),
    Field("DatasetName", "text", "files.dataset_name"),
    Field("MediaType", "text", "files.media_type"),
    Field("ContentType", "text", "files.content_type"),
    Field("Size", "number", "files.size"),
    Field("CustomId", "text", "files.custom_id"),
    Field("FileHash", "text", "files.file_hash"),
    Field("Title", "text", "files.title"),
    Field("ProduceTime", "time", "files.produce_time"),
    Field("CreateTime", "time", "files.create_time"),
    Field("UpdateTime", "time", "files.update_time"),
    Field("LatLong", "point", "files.latitude"),
    Field("ImageWidth", "number", "files.image_width"),
    Field("ImageHeight", "number", "files.image_height"),
    Field("VideoWidth", "number", f"CASE WHEN {_IS_VIDEO} THEN files.image_width END"),
    Field("VideoHeight", "number", f"CASE WHEN {_IS_VIDEO} THEN files.image_height END"),
    Field("Orientation", "number", "files.orientation"),
    Field("Duration", "number", "files.duration"),
    Field("Timezone", "text", "place.time_zone", PLACES),
    Field("FigureCount", "number", "coalesce(faces.faces, 0)", FACES),
    Field("ImageScore.OverallQualityScore", "number", "feature.image_score", FEATURES),
    *(Field(name, "text", f"said.{column}", SAID) for name, column in SAID_TEXTS.items()),
    Field("Labels.LabelName", "text", "label", LABELS),
    *(Field(f"Addresses.{level.capitalize()}", "text", level, ADDRESSES) for level in LEVELS),
    Field("Figures.FigureId", "text", "figure_id", FIGURES),
    Field("Figures.FigureType", "text", "figure_type", FIGURES),
    Field("Figures.FigureClusterId", "text", "person", FIGURES),
    Field("Figures.FigureClusterConfidence", "number", "confidence", FIGURES),
    Field("Figures.Age", "number", "age", FIGURES),
    Field("Figures.Gender", "text", "gender", FIGURES),
    Field("Figures.FaceQuality", "single", "face_quality", FIGURES),
    *(
        Field(f"Figures.Boundary.{side.capitalize()}", "number", f"box_{side}", FIGURES)
        for side in ("left", "top", "width", "height")
    ),
    *(Field(f"Figures.HeadPose.{angle.capitalize()}", "single", angle, FIGURES) for angle in ("yaw", "pitch", "roll")),
]
_OF_LAKES = [
    Field("ContentHash", "text", "files.content_hash"),
    Field("CameraMake", "text", "files.camera_make"),
    Field("CameraModel", "text", "files.camera_model"),
    Field("SimilarImageClusterId", "text", "cluster", GROUPS),
]
"""Fields that IMM does not have."""
_ABSENT: dict[Kind, str] = {
    "text": "AccessControlAllowOrigin AccessControlRequestMethod CacheControl "
    "ContentDisposition ContentEncoding ContentLanguage ContentMd5 ETag EXIF FormatLongName FormatName "
    "Language OCRTexts OSSCRC64 OSSDeleteMarker OSSExpiration OSSObjectType OSSStorageClass OSSVersionId ObjectACL "
    "ObjectStatus OwnerId Reason SemanticTypes ServerSideDataEncryption ServerSideEncryption "
    "ServerSideEncryptionCustomerAlgorithm ServerSideEncryptionKeyId TravelClusterId "
    "Addresses.AddressLine Addresses.Language Labels.LabelAlias Labels.Language Labels.ParentLabelName "
    "Figures.Beard Figures.Emotion Figures.Glasses Figures.Hat Figures.Mask Figures.Mouth "
    "OCRContents.Contents OCRContents.Language CroppingSuggestions.AspectRatio",
    "number": "Bitrate OSSTaggingCount PageCount ProgramCount StartTime StreamCount "
    "Labels.CentricScore Labels.LabelConfidence Labels.LabelLevel Figures.AgeSD Figures.Attractive "
    "Figures.BeardConfidence Figures.EmotionConfidence Figures.FigureConfidence Figures.GenderConfidence "
    "Figures.GlassesConfidence Figures.HatConfidence Figures.MaskConfidence Figures.MouthConfidence Figures.Sharpness "
    "OCRContents.Confidence CroppingSuggestions.Confidence",
    "time": "FileAccessTime FileCreateTime FileModifiedTime",
}
"""Fields of IMM's File that a lake does not keep."""
_MAPS = ("CustomLabels", "OSSTagging", "OSSUserMeta")
"""Fields named by a key of one's own: `CustomLabels.season`."""
_STREAMS = ("AudioCovers", "AudioStreams", "Elements", "Insights", "SceneElements", "Subtitles", "VideoStreams")
"""Structures of which a lake keeps nothing."""

FIELDS: dict[str, Field] = {field.name: field for field in (*_STORED, *_OF_LAKES)}
FIELDS |= {name: Field(name, kind) for kind, names in _ABSENT.items() for name in names.split()}
LISTS: dict[str, Source | None] = {
    "Labels": LABELS,
    "Figures": FIGURES,
    "Addresses": ADDRESSES,
    "OCRContents": None,
    "CroppingSuggestions": None,
    **dict.fromkeys(_STREAMS),
}
"""The lists of a File, and where their elements are."""
TOP_LEVEL = {name.partition(".")[0] for name in FIELDS} | LISTS.keys() | {*_MAPS}
"""What WithFields can name."""


def find_field(name: str) -> Field:
    """The field of a name. Raises UsageError where a File has none of it."""
    if name in FIELDS:
        return FIELDS[name]
    first, _, rest = name.partition(".")
    if name == "CustomLabels":
        return Field(name, "map", "files.custom_labels")
    if name in ("OSSTagging", "OSSUserMeta"):
        return Field(name, "map")
    if rest and first == "CustomLabels":
        return Field(name, "folded", _label(rest))
    if rest and first in _MAPS:
        return Field(name, "text")
    if rest and first in _STREAMS:
        return Field(name, "text")
    parts = [each for each in FIELDS if each.startswith(f"{name}.")]
    if parts:
        raise UsageError(f"field {name!r} has parts; name one of {', '.join(sorted(parts))}")
    if first in _STREAMS:
        raise UsageError(f"field {name!r} lacks what follows the dot: {first}.<name> is accepted")
    raise UsageError(f"field {name!r} is not one of a File; docs/queries.md lists those accepted")


def whole_list(name: str) -> Field:
    """A list itself, of which can be asked whether it has an element."""
    source = LISTS[name]
    return Field(name, "text", source.always if source else None, source)


def find_list(name: str) -> str:
    """The list that a field is a part of, '' for none."""
    first = name.partition(".")[0]
    return first if first in LISTS and first != name else ""


def _label(key: str) -> str:
    """The custom label of a key in any case, in SQL."""
    keys = f"string_to_array(upper(array_to_string(map_keys(files.custom_labels), {_APART})), {_APART})"
    place = f"CAST(array_position({keys}, upper({literal(key)})) AS BIGINT)"
    return f"array_element(map_values(files.custom_labels), {place})"
