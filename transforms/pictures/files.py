"""Reading photo and video files: which there are under a root, what each says of itself, and what photos look like.

Nothing is invented: a value that neither the file, nor its sidecars, nor its name states, or that they state wrongly,
is null, and where it came from stands beside it. Nothing crashes: a file that can't be read becomes a row with an error
code, one that is damaged a row with a warning.

`photos` and `videos` read the headers of the two kinds and name their sources, `takeout`, `xmp` and `names` what else
tells, `evidence` whom to believe; `shots` joins the files of one shot; `pixels` decodes photos, for `perceptual_hashes`
and `image_score`.
"""

import hashlib
import io
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, BinaryIO
from urllib.parse import quote, quote_from_bytes, unquote

import pyarrow as pa
from PIL import UnidentifiedImageError
from pyarrow import fs
from pyspark.sql import DataFrame
from pyspark.sql.pandas.types import from_arrow_schema

from transforms.pictures.evidence import Prefer, Said, settle
from transforms.pictures.face_networks import FaceRecipe
from transforms.pictures.faces import FACE, FaceFinder
from transforms.pictures.formats import suffix_of
from transforms.pictures.image_score import image_score
from transforms.pictures.listings import LISTING_SCHEMA, Folder, Listing, list_folders
from transforms.pictures.locations import check_within_reach, is_file, is_hidden, is_local, local_path, resolve
from transforms.pictures.names import read_name
from transforms.pictures.perceptual_hashes import hash_picture
from transforms.pictures.photos import DECODE_ERRORS, PhotoTags, TooManyPixelsError, read_photo
from transforms.pictures.pixels import PixelReader
from transforms.pictures.shots import join_shots
from transforms.pictures.takeout import MAX_TAKEOUT_BYTES, NotTakeoutError, read_takeout
from transforms.pictures.videos import VideoTags, is_video, read_video
from transforms.pictures.xmp import MAX_XMP_BYTES, NotXmpError, read_xmp

PICTURE_SCHEMA = pa.schema(
    [
        pa.field("uri", pa.string()),
        pa.field("media_type", pa.string()),
        pa.field("content_type", pa.string()),
        pa.field("size", pa.int64()),
        pa.field("content_hash", pa.string()),
        pa.field("produce_time", pa.string()),
        pa.field("time_is", pa.string()),
        pa.field("time_source", pa.string()),
        pa.field("latitude", pa.float64()),
        pa.field("longitude", pa.float64()),
        pa.field("location_source", pa.string()),
        pa.field("image_width", pa.int32()),
        pa.field("image_height", pa.int32()),
        pa.field("orientation", pa.int32()),
        pa.field("camera_make", pa.string()),
        pa.field("camera_model", pa.string()),
        pa.field("duration", pa.float64()),
        pa.field("title", pa.string()),
        pa.field("description", pa.string()),
        pa.field("labels", pa.list_(pa.string())),
        pa.field("shot_id", pa.string()),
        pa.field("content_identifier", pa.string()),
        pa.field("warning", pa.string()),
        pa.field("perceptual_hash", pa.string()),
        pa.field("perceptual_hash_quality", pa.int32()),
        pa.field("crop_hashes", pa.binary()),
        pa.field("turned_hashes", pa.binary()),
        pa.field("thumbnail", pa.binary()),
        pa.field("image_score", pa.float64()),
        pa.field("faces", pa.list_(FACE)),
        pa.field("faces_model", pa.string()),
        pa.field("error_code", pa.string()),
        pa.field("error_message", pa.string()),
    ]
)
"""One row per path read; `read_picture` documents the columns."""

KNOWN = "faces_known_of"
"""Column of a listing: the content hash of which the faces are known. Such a picture is not looked at for faces."""

BROKEN_PIXELS = "the pixels can't be decoded"
"""The warning of a photo whose header is sound, and the rest is not."""

MAX_WEBP_BYTES = 2**29
"""Pillow holds a WebP file whole while it reads the header; larger ones are refused."""

_BUFFER_BYTES = 2**18  # one request to an object store serves most headers
_LOCAL_BUFFER_BYTES = 2**16
_HELD_BYTES = 2**26  # files up to this are read once; larger ones once for their hash and again for what they show
_ROWS_PER_BATCH = 256
_LONGEST_TEXT = 255
_MOST_LABEL_CHARACTERS = 16_000  # 64 kB at most
_LONGEST_MESSAGE = 500
_LARGEST_SIDE = 2**31 - 1


class _RefusedError(Exception):
    """A file that gives no metadata, with the code to report."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Reading:
    """How files are read: which columns are wanted, and whom to believe.

    Without `hashes`, headers alone are read, and `content_hash` and `PIXEL_FEATURES` are null; `turned_hashes` is null
    without `turned`. Without `name_times`, dates in names are not taken. `faces` says by which models faces are looked
    for; they need `hashes`.
    """

    hashes: bool = True
    turned: bool = False
    name_times: bool = True
    prefer: Prefer = "embedded"
    faces: FaceRecipe | None = None


def list_pictures(root: str) -> Listing:
    """List the photos and videos under a folder, by suffix, and match their sidecars, by name.

    `root` is a local path, a `file://` URI, or any URI that `pyarrow.fs.FileSystem.from_uri` understands. Uris are
    percent-encoded, `file:///...` for local files.

    Hidden entries, whose names begin with `.` (`._IMG_1.JPG` of macOS, `.thumbnails`), and Synology's `@eaDir` are
    neither listed nor counted; names with `_` are listed. Links to files are followed, links to folders aren't, so
    loops can't hang.

    Raises FileNotFoundError or NotADirectoryError for such a root, and OSError for a folder that can't be
    listed: a list with a part missing would read as deletions. Memory: the uris, on the driver.
    """
    return list_folders(_walk_local(local_path(root)) if is_local(root) else _walk_remote(root))


def read_pictures(df: DataFrame, reading: Reading = Reading(), *, root: str | None = None) -> DataFrame:
    """Read the files named by the column `uri`; one row of `PICTURE_SCHEMA` per row.

    `root` is the folder or prefix that they were listed under: where a worker can't read a file, and does not see that
    either, it raises SourceError; else, and without `root`, the row says what is wrong with the file.

    `df` has the columns of `LISTING_SCHEMA`, or `uri` alone; `KNOWN` may be there. Rows of one `shot_group` must be in
    one partition, one after the other: then the files of a shot are joined (`transforms.pictures.shots`).

    The workers open the files, so no picture passes through the JVM. `uri` is a local path, a `file://` URI
    or any URI that `pyarrow.fs.FileSystem.from_uri` understands. Memory per worker: 256 rows, and one header, or one
    picture (see `transforms.pictures.pixels`). Time: 30 ms for a JPEG of 12 megapixels, 0.2 ms for its header alone.
    """
    columns = [name for name in (*LISTING_SCHEMA.names, KNOWN) if name in df.columns]
    return df.select(*columns).mapInArrow(
        partial(read_batches, reading=reading, root=root), schema=from_arrow_schema(PICTURE_SCHEMA)
    )


def read_batches(
    batches: Iterable[pa.RecordBatch],
    reading: Reading = Reading(),
    root: str | None = None,
) -> Iterator[pa.RecordBatch]:
    """The Arrow kernel of `read_pictures`: batches with a `uri` in, batches of about 256 results out."""
    with PixelReader() as reader:
        pixels = reader if reading.hashes else None
        finder = FaceFinder(reading.faces) if reading.faces else None
        done: list[dict[str, Any]] = []
        group: list[dict[str, Any]] = []
        group_name: str | None = None
        for batch in batches:
            for asked in batch.to_pylist():
                name = asked.get("shot_group")
                if group and (name is None or name != group_name):
                    done += join_shots(group) if len(group) > 1 else group
                    group = []
                    if len(done) >= _ROWS_PER_BATCH:
                        yield pa.RecordBatch.from_pylist(done, schema=PICTURE_SCHEMA)
                        done = []
                group.append(_read_uri(asked, pixels=pixels, finder=finder, reading=reading, root=root))
                group_name = name
        done += join_shots(group) if len(group) > 1 else group
        if done:
            yield pa.RecordBatch.from_pylist(done, schema=PICTURE_SCHEMA)


def read_picture(
    filesystem: fs.FileSystem,
    path: str,
    uri: str,
    *,
    pixels: PixelReader | None = None,
    finder: FaceFinder | None = None,
    reading: Reading = Reading(),
    takeout_uri: str | None = None,
    xmp_uri: str | None = None,
    root: str | None = None,
    faces_known_of: str | None = None,
) -> dict[str, Any]:
    """Read one photo or video, with its sidecars, into the columns of `PICTURE_SCHEMA`.

    - `media_type` (`image`, `video`) and `content_type` come from the content, whatever the suffix; `size` is
      bytes, `content_hash` the SHA-256 of the bytes in hex (null without `reading.hashes`).
    - `produce_time` is ISO 8601 text with the fraction as written, and `time_is` says how to read it:
      `offset` (it ends in one), `local` (wall clock) or `instant` (`Z`); `time_source` says who says so.
    - `latitude`, `longitude`: degrees, WGS 84. (0, 0), out of range or without hemisphere is no place.
      `location_source` says who says so. Sources and their order: `transforms.pictures.evidence`.
    - `image_width`, `image_height`: pixels as displayed, that is after orientation is applied. `orientation`
      is EXIF's 1 to 8, for information: HEIF readers have applied it already.
    - `duration`: seconds, videos only. `title`: XMP's, or Windows' XPTitle; ImageDescription is too often a default.
      `labels`: keywords, `person:NAME`, `favorite`.
    - `PIXEL_FEATURES`, photos only, if `pixels` is given: see `hash_picture` and `image_score`. Null where the picture
      is sound as far as can be told, but can't be decoded here (see `PixelReader.read`), and where it is broken.
    - `faces`, `faces_model`: those that `finder` found, and its model; null where it did not look: the content is the
      one of `faces_known_of`, or its pixels can't be had.
    - `shot_id`: null; `join_shots` sets it. `content_identifier`: Apple's, of Live Photos.
    - `warning`: what of the file, or of its sidecars, could not be read.

    Raises SourceError where the file, or a sidecar, can't be read and `root` is out of reach, too
    (`check_within_reach`). Never raises for anything in the file: `error_code` is `file_unreadable` (it can't be opened
    or read), `picture_unreadable` (no picture or video, empty, or broken before it says anything) or
    `picture_too_large` (over `MAX_PIXELS` or `MAX_WEBP_BYTES`). Broken EXIF in a good picture is a good row with nulls.

    Memory: the header, and up to `MAX_WEBP_BYTES` for WebP; with `pixels` the file, up to 64 MiB, and what
    `PixelReader` needs. The file is read in pieces for its hash.
    """
    row: dict[str, Any] = dict.fromkeys(PICTURE_SCHEMA.names)
    row["uri"] = uri
    name = path.rpartition("/")[2]
    try:
        file, row["size"] = _open(filesystem, path, may_hold=pixels is not None)
        with file:
            if reading.hashes:
                row["size"], row["content_hash"] = _hash_content(file)
            tags = _read_tags(file, row["size"], suffix_of(name))
            columns, warnings = _describe(tags, [tags.warning] if isinstance(tags, PhotoTags) else [])
            said, sidecar_warnings = _read_sidecars(takeout_uri, xmp_uri, root)
            row |= columns | _settled(said, tags, name if reading.name_times else None, reading.prefer)
            if pixels is not None and isinstance(tags, PhotoTags):
                looks = finder if row["content_hash"] is None or row["content_hash"] != faces_known_of else None
                features, warning = _pixel_columns(file, row, tags, pixels, reading.turned, looks)
                row |= features
                warnings.append(warning)
            row["warning"] = _message("; ".join(filter(None, [*warnings, *sidecar_warnings]))) or None
    except _RefusedError as refused:
        _blame(refused.__cause__, root)
        row |= {"error_code": refused.code, "error_message": _message(refused)}
    except (OSError, UnicodeError, pa.ArrowException) as error:
        _blame(error, root)
        row |= {"error_code": "file_unreadable", "error_message": _message(error)}
    return row


def _blame(error: BaseException | None, root: str | None) -> None:
    """Raises SourceError where an error is not the file's own: it came of reading, and `root` is out of reach."""
    if root is not None and isinstance(error, OSError):
        check_within_reach(root)


def _open(filesystem: fs.FileSystem, path: str, *, may_hold: bool) -> tuple[BinaryIO, int]:
    """A file to be read in pieces, or, if it is small and may be held, from memory; and its size."""
    if isinstance(filesystem, fs.LocalFileSystem):
        info = os.stat(path)
        if not stat.S_ISREG(info.st_mode):  # a named pipe would block for ever
            raise FileNotFoundError(f"no such file: {path}")
        if may_hold and info.st_size <= _HELD_BYTES:
            with open(path, "rb", buffering=0) as opened:
                return io.BufferedReader(io.BytesIO(opened.readall())), info.st_size
        return open(path, "rb", buffering=_LOCAL_BUFFER_BYTES), info.st_size
    found = filesystem.get_file_info(path)
    if found.type != fs.FileType.File:
        raise FileNotFoundError(f"no such file: {path}")
    remote = filesystem.open_input_file(path)
    size = found.size or 0
    if not (may_hold and size <= _HELD_BYTES):
        return io.BufferedReader(remote, _BUFFER_BYTES), size
    with remote:
        return io.BufferedReader(io.BytesIO(remote.read())), size


def _read_uri(
    asked: dict[str, str | None],
    *,
    pixels: PixelReader | None,
    finder: FaceFinder | None,
    reading: Reading,
    root: str | None,
) -> dict[str, Any]:
    uri = asked["uri"]
    try:
        if uri is None:
            raise FileNotFoundError("uri is null")
        filesystem, path = resolve(uri)
    except (OSError, ValueError, pa.ArrowException) as error:
        _blame(error, root)
        row: dict[str, Any] = dict.fromkeys(PICTURE_SCHEMA.names)
        return row | {"uri": uri, "error_code": "file_unreadable", "error_message": _message(error)}
    known = {name: asked.get(name) for name in ("takeout_uri", "xmp_uri", KNOWN)}
    return read_picture(filesystem, path, uri, pixels=pixels, finder=finder, reading=reading, root=root, **known)


def _message(error: BaseException | str) -> str:
    text = " ".join(str(error).split()) or (error if isinstance(error, str) else type(error).__name__)
    return text.encode("utf-8", "backslashreplace").decode().replace("\ufffd", "?")[:_LONGEST_MESSAGE]


# ---------------------------------------------------------------- where files are


def _walk_local(root: str) -> Iterator[Folder]:
    # Not pyarrow's recursive listing: it follows links round a loop and stops at a name that isn't UTF-8.
    if not os.path.exists(root):
        raise FileNotFoundError(f"no such folder: {root}")
    if not os.path.isdir(root):
        raise NotADirectoryError(f"not a folder: {root}")
    waiting = [root]
    while waiting:
        folder, names = waiting.pop(), []
        with os.scandir(folder) as entries:
            for entry in entries:
                if is_hidden(entry.name):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                elif is_file(entry):
                    names.append(entry.name)
        yield Folder("file://" + quote_from_bytes(os.fsencode(folder)).rstrip("/"), names)


def _walk_remote(root: str) -> Iterator[Folder]:
    filesystem, base = resolve(root)
    match filesystem.get_file_info(base).type:
        case fs.FileType.NotFound:
            raise FileNotFoundError(f"no such folder: {root}")
        case fs.FileType.File:
            raise NotADirectoryError(f"not a folder: {root}")
    prefix, _, query = root.partition("?")
    folders: dict[str, list[str]] = {}
    for info in filesystem.get_file_info(fs.FileSelector(base, recursive=True)):
        inside = info.path.removeprefix(base).strip("/")
        if info.type == fs.FileType.File and not any(map(is_hidden, inside.split("/"))):
            folder, _, name = inside.rpartition("/")
            folders.setdefault(folder, []).append(name)
    for folder, names in folders.items():
        yield Folder(f"{prefix.rstrip('/')}/{quote(folder)}".rstrip("/"), names, f"?{query}" if query else "")


# ---------------------------------------------------------------- what a file is


def _hash_content(file: BinaryIO) -> tuple[int, str]:
    """Size in bytes and SHA-256 in hex, read in pieces; leaves the file at its start."""
    digest, size = hashlib.sha256(), 0
    while piece := file.read(2**20):
        digest.update(piece)
        size += len(piece)
    file.seek(0)
    return size, digest.hexdigest()


def _read_tags(file: BinaryIO, size: int, suffix: str) -> PhotoTags | VideoTags:
    """What the content says. It decides what the file is, whatever the suffix."""
    if size == 0:
        raise _RefusedError("picture_unreadable", "the file is empty")
    file.seek(0)
    head = file.read(12)
    try:
        if is_video(head):
            file.seek(0)
            video = read_video(file, head)
            if video is None:
                raise _RefusedError("picture_unreadable", "no video track found")
            return video
        if size > MAX_WEBP_BYTES and head[:4] == b"RIFF":
            message = f"{size} bytes; this format is read whole, up to {MAX_WEBP_BYTES}"
            raise _RefusedError("picture_too_large", message)
        return read_photo(file, head, suffix=suffix)
    except TooManyPixelsError as error:
        raise _RefusedError("picture_too_large", _message(error)) from error
    except UnidentifiedImageError as error:
        raise _RefusedError("picture_unreadable", "no picture or video, or its header is broken") from error
    except DECODE_ERRORS as error:
        raise _RefusedError("picture_unreadable", _message(error)) from error


def _describe(tags: PhotoTags | VideoTags, warnings: list[str | None]) -> tuple[dict[str, Any], list[str | None]]:
    """The columns that are the file's alone, checked, and what is wrong with it."""
    has_sides = all(side is not None and 0 < side <= _LARGEST_SIDE for side in (tags.image_width, tags.image_height))
    columns = {
        "media_type": "image" if isinstance(tags, PhotoTags) else "video",
        "content_type": tags.content_type,
        "image_width": tags.image_width if has_sides else None,
        "image_height": tags.image_height if has_sides else None,
        "orientation": tags.orientation if isinstance(tags, PhotoTags) else None,
        "duration": tags.duration if isinstance(tags, VideoTags) else None,
        "camera_make": _plain_text(tags.camera_make),
        "camera_model": _plain_text(tags.camera_model),
        "content_identifier": _plain_text(tags.content_identifier),
    }
    return columns, warnings


def _settled(sidecars: list[Said], tags: PhotoTags | VideoTags, name: str | None, prefer: Prefer) -> dict[str, Any]:
    """The columns that more than the file tells: time, place, and words."""
    said = [*sidecars, *tags.said]
    if name is not None and not any(one.times for one in said):
        said.append(read_name(name))
    settled = settle(said, prefer=prefer)
    taken, place = settled.taken, settled.place
    return {
        "produce_time": taken.text if taken else None,
        "time_is": taken.time_is if taken else None,
        "time_source": taken.source if taken else None,
        "latitude": place.latitude if place else None,
        "longitude": place.longitude if place else None,
        "location_source": place.source if place else None,
        "title": _plain_text(settled.title),
        "description": _clean_text(settled.description),
        "labels": _bounded(settled.labels) or None,
    }


def _read_sidecars(takeout_uri: str | None, xmp_uri: str | None, root: str | None) -> tuple[list[Said], list[str]]:
    """What the sidecars say, XMP first, and which of them can't be read."""
    said: list[Said] = []
    warnings: list[str] = []
    for uri, limit in ((xmp_uri, MAX_XMP_BYTES), (takeout_uri, MAX_TAKEOUT_BYTES)):
        if uri is None:
            continue
        try:
            filesystem, path = resolve(uri)
            file, size = _open(filesystem, path, may_hold=False)
            with file:
                if size > limit:
                    raise NotXmpError(f"{size} bytes; up to {limit} are read")
                content = file.read(limit + 1)
            said.append(read_xmp(content, source="xmp_sidecar") if uri == xmp_uri else read_takeout(content))
        except (OSError, ValueError, pa.ArrowException, NotXmpError, NotTakeoutError) as error:
            _blame(error, root)
            warnings.append(f"the sidecar {unquote(uri.rpartition('/')[2], errors='replace')}: {error}")
    return said, warnings


def _pixel_columns(
    file: BinaryIO,
    row: dict[str, Any],
    tags: PhotoTags,
    reader: PixelReader,
    turned: bool,
    finder: FaceFinder | None,
) -> tuple[dict[str, Any], str | None]:
    """`PIXEL_FEATURES` and faces, none where the pixels can't be decoded here, and what is wrong with them."""
    if tags.image_width is None or tags.image_height is None:
        return {}, None
    size, area = row["size"], tags.image_width * tags.image_height
    try:
        asked = {"size": size, "pixels": area, "orientation": tags.orientation}
        pixels = reader.read(file, tags.content_type, **asked, colours=finder is not None)
        if pixels is None:
            return {}, None
        score = image_score(
            pixels.luminance,
            width=tags.image_width,
            height=tags.image_height,
            jpeg_quality=pixels.jpeg_quality,
            has_camera=bool(tags.camera_model),
            has_time=any(taken.source.startswith("exif_") for said in tags.said for taken in said.times),
        )
        features = {**asdict(hash_picture(pixels.luminance, turned=turned)), "image_score": score}
        if finder is not None and pixels.colours is not None:
            scale = pixels.colours.width / tags.image_width
            features |= {"faces": finder.find(pixels.colours, scale=scale), "faces_model": finder.recipe.model}
        return features, None
    except DECODE_ERRORS as error:
        return {}, f"{BROKEN_PIXELS}: {_message(error)}"


def _clean_text(text: str | None) -> str | None:
    """Text of any length, None with a mark of characters that were lost."""
    return text if text and "\ufffd" not in text else None


def _bounded(labels: Iterable[str]) -> list[str]:
    """The first labels, of some ten thousand characters together."""
    kept, left = [], _MOST_LABEL_CHARACTERS
    for label in labels:
        left -= len(label) + 1
        if left < 0:
            break
        kept.append(label)
    return kept


def _plain_text(value: Any) -> str | None:
    """Text up to its NUL, trimmed; None if blank, over 255 characters or not printable.

    EXIF says ASCII; cameras write UTF-8 too, which Pillow hands over as Latin-1.

    >>> _plain_text("Canon\\0\\0"), _plain_text("MÃ¼ller "), _plain_text("  "), _plain_text("\\x01\\x02")
    ('Canon', 'Müller', None, None)
    """
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    if not isinstance(value, str):
        return None
    text = value.partition("\0")[0].strip()
    with suppress(UnicodeError):  # else it is Latin-1, or was Unicode all along
        text = text.encode("latin-1").decode("utf-8")
    is_plain = text.isprintable() and "\ufffd" not in text and len(text) <= _LONGEST_TEXT
    return text if text and is_plain else None
