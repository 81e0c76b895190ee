"""Reading photo and video files: which there are under a root, what each says of itself, and what photos look like.

Nothing is invented: a value that the file doesn't state, or states wrongly, is null. Nothing crashes: a file that
can't be read becomes a row with an error code.

`photos` and `videos` read the headers of the two kinds and name their sources; `pixels` decodes photos, for
`perceptual_hashes` and `image_score`.
"""

import hashlib
import io
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import pyarrow as pa
from PIL import UnidentifiedImageError
from pyarrow import fs
from pyspark.sql import DataFrame
from pyspark.sql.pandas.types import from_arrow_schema

from transforms.pictures.formats import MEDIA_SUFFIXES
from transforms.pictures.image_score import image_score
from transforms.pictures.locations import is_hidden, is_local, local_path, resolve
from transforms.pictures.perceptual_hashes import hash_picture
from transforms.pictures.photos import DECODE_ERRORS, PhotoTags, TooManyPixelsError, read_photo
from transforms.pictures.pixels import PixelReader
from transforms.pictures.videos import is_video, read_video

PICTURE_SCHEMA = pa.schema(
    [
        pa.field("uri", pa.string()),
        pa.field("media_type", pa.string()),
        pa.field("content_type", pa.string()),
        pa.field("size", pa.int64()),
        pa.field("content_hash", pa.string()),
        pa.field("produce_time", pa.string()),
        pa.field("time_is", pa.string()),
        pa.field("latitude", pa.float64()),
        pa.field("longitude", pa.float64()),
        pa.field("image_width", pa.int32()),
        pa.field("image_height", pa.int32()),
        pa.field("orientation", pa.int32()),
        pa.field("camera_make", pa.string()),
        pa.field("camera_model", pa.string()),
        pa.field("duration", pa.float64()),
        pa.field("title", pa.string()),
        pa.field("perceptual_hash", pa.string()),
        pa.field("perceptual_hash_quality", pa.int32()),
        pa.field("crop_hashes", pa.binary()),
        pa.field("turned_hashes", pa.binary()),
        pa.field("thumbnail", pa.binary()),
        pa.field("image_score", pa.float64()),
        pa.field("error_code", pa.string()),
        pa.field("error_message", pa.string()),
    ]
)
"""One row per path read; `read_picture` documents the columns."""

MAX_WEBP_BYTES = 2**29
"""Pillow holds a WebP file whole while it reads the header; larger ones are refused."""

_BUFFER_BYTES = 2**18  # one request to an object store serves most headers
_HELD_BYTES = 2**26  # files up to this are read once; larger ones once for their hash and again for what they show
_ROWS_PER_BATCH = 256
_LONGEST_TEXT = 255
_LONGEST_MESSAGE = 500
_LARGEST_SIDE = 2**31 - 1


class _RefusedError(Exception):
    """A file that gives no metadata, with the code to report."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def list_pictures(root: str) -> tuple[pa.Table, dict[str, int]]:
    """List the photos and videos under a folder, by suffix.

    `root` is a local path, a `file://` URI, or any URI that `pyarrow.fs.FileSystem.from_uri` understands.

    Returns a table of one column, `uri` (one row per file, sorted; percent-encoded, `file:///...` for local
    files), and how many files of other suffixes there were. Hidden entries, whose names begin with `.`
    (`._IMG_1.JPG` of macOS, `.thumbnails`), and Synology's `@eaDir` are neither listed nor counted; names
    with `_` are listed. Links to files are followed, links to folders aren't, so loops can't hang.

    Raises FileNotFoundError or NotADirectoryError for such a root, and OSError for a folder that can't be
    listed: a list with a part missing would read as deletions. Memory: the uris, on the driver.
    """
    uris: list[str] = []
    skipped: Counter[str] = Counter()
    for uri in _walk_local(local_path(root)) if is_local(root) else _walk_remote(root):
        suffix = PurePosixPath(unquote(urlsplit(uri).path)).suffix.lower().removeprefix(".")
        if suffix in MEDIA_SUFFIXES:
            uris.append(uri)
        else:
            skipped[suffix] += 1
    return pa.table({"uri": pa.array(sorted(uris), pa.string())}), dict(skipped)


def read_pictures(df: DataFrame, *, hashes: bool = True, turned: bool = False) -> DataFrame:
    """Read the files named by the column `uri`; one row of `PICTURE_SCHEMA` per row.

    Without `hashes`, only headers are read and `PIXEL_FEATURES` are null; without `turned`, `turned_hashes` is.

    The workers open the files, so no picture passes through the JVM. `uri` is a local path, a `file://` URI
    or any URI that `pyarrow.fs.FileSystem.from_uri` understands. Memory per worker: 256 rows, and one header, or one
    picture (see `transforms.pictures.pixels`). Time: 30 ms for a JPEG of 12 megapixels.
    """
    read = partial(read_batches, hashes=hashes, turned=turned)
    return df.select("uri").mapInArrow(read, schema=from_arrow_schema(PICTURE_SCHEMA))


def read_batches(
    batches: Iterable[pa.RecordBatch], *, hashes: bool = True, turned: bool = False
) -> Iterator[pa.RecordBatch]:
    """The Arrow kernel of `read_pictures`: batches with a `uri` in, batches of at most 256 results out."""
    with PixelReader() as pixels:
        read = partial(_read_uri, pixels=pixels if hashes else None, turned=turned)
        for batch in batches:
            for start in range(0, batch.num_rows, _ROWS_PER_BATCH):
                uris = batch.column("uri").slice(start, _ROWS_PER_BATCH).to_pylist()
                yield pa.RecordBatch.from_pylist([read(uri) for uri in uris], schema=PICTURE_SCHEMA)


def read_picture(
    filesystem: fs.FileSystem, path: str, uri: str, *, pixels: PixelReader | None = None, turned: bool = False
) -> dict[str, Any]:
    """Read one photo or video into the columns of `PICTURE_SCHEMA`.

    - `media_type` (`image`, `video`) and `content_type` come from the content, whatever the suffix; `size` is
      bytes, `content_hash` the SHA-256 of the bytes in hex.
    - `produce_time` is ISO 8601 text with the fraction as written, and `time_is` says how to read it:
      `offset` (it ends in one), `local` (wall clock) or `instant` (`Z`). EXIF's DateTimeOriginal, then
      DateTimeDigitized, never DateTime; a GPS time isn't used, as a stale fix would shift the picture.
    - `latitude`, `longitude`: degrees, WGS 84. (0, 0), out of range or without hemisphere is no place.
    - `image_width`, `image_height`: pixels as displayed, that is after orientation is applied. `orientation`
      is EXIF's 1 to 8, for information: HEIF readers have applied it already.
    - `duration`: seconds, videos only. `title`: Windows' XPTitle; ImageDescription is too often a default.
    - `PIXEL_FEATURES`, photos only, if `pixels` is given: see `hash_picture` and `image_score`. Null where the picture
      is sound as far as can be told, but can't be decoded here (see `PixelReader.read`).

    Never raises for anything in the file: `error_code` is `file_unreadable` (it can't be opened or read),
    `picture_unreadable` (no picture or video, empty, header or pixels broken) or `picture_too_large` (over
    `MAX_PIXELS` or `MAX_WEBP_BYTES`). Broken EXIF in a good picture is a good row with nulls.

    Memory: the header, and up to `MAX_WEBP_BYTES` for WebP; with `pixels` the file, up to 64 MiB, and what
    `PixelReader` needs. The file is read in pieces for its hash.
    """
    row: dict[str, Any] = dict.fromkeys(PICTURE_SCHEMA.names)
    row["uri"] = uri
    try:
        info = filesystem.get_file_info(path)
        if info.type != fs.FileType.File:  # a named pipe would block for ever
            raise FileNotFoundError(f"no such file: {path}")
        with _open(filesystem, path, held=pixels is not None and (info.size or 0) <= _HELD_BYTES) as file:
            row["size"], row["content_hash"] = _hash_content(file)
            row |= _read_content(file, row["size"], pixels, turned)
    except _RefusedError as refused:
        row |= {"error_code": refused.code, "error_message": _message(refused)}
    except (OSError, UnicodeError, pa.ArrowException) as error:
        row |= {"error_code": "file_unreadable", "error_message": _message(error)}
    return row


def _open(filesystem: fs.FileSystem, path: str, *, held: bool) -> io.BufferedReader:
    """A file to be read in pieces, or from memory."""
    opened = filesystem.open_input_file(path)
    if not held:
        return io.BufferedReader(opened, _BUFFER_BYTES)
    with opened:
        return io.BufferedReader(io.BytesIO(opened.read()))


def _read_uri(uri: str | None, *, pixels: PixelReader | None, turned: bool) -> dict[str, Any]:
    try:
        if uri is None:
            raise FileNotFoundError("uri is null")
        filesystem, path = resolve(uri)
    except (OSError, ValueError, pa.ArrowException) as error:
        row: dict[str, Any] = dict.fromkeys(PICTURE_SCHEMA.names)
        return row | {"uri": uri, "error_code": "file_unreadable", "error_message": _message(error)}
    return read_picture(filesystem, path, uri, pixels=pixels, turned=turned)


def _message(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text.encode("utf-8", "backslashreplace").decode()[:_LONGEST_MESSAGE]


# ---------------------------------------------------------------- where files are


def _walk_local(root: str) -> Iterator[str]:
    # Not pyarrow's recursive listing: it follows links round a loop and stops at a name that isn't UTF-8.
    if not Path(root).exists():
        raise FileNotFoundError(f"no such folder: {root}")
    if not Path(root).is_dir():
        raise NotADirectoryError(f"not a folder: {root}")

    def refuse(error: OSError) -> None:
        raise error

    for folder, folders, names in os.walk(root, onerror=refuse):
        folders[:] = [name for name in folders if not is_hidden(name)]
        for name in names:
            path = Path(folder, name)
            if not is_hidden(name) and path.is_file():
                yield path.as_uri()


def _walk_remote(root: str) -> Iterator[str]:
    filesystem, base = resolve(root)
    match filesystem.get_file_info(base).type:
        case fs.FileType.NotFound:
            raise FileNotFoundError(f"no such folder: {root}")
        case fs.FileType.File:
            raise NotADirectoryError(f"not a folder: {root}")
    prefix, _, query = root.partition("?")
    for info in filesystem.get_file_info(fs.FileSelector(base, recursive=True)):
        inside = info.path.removeprefix(base).strip("/")
        if info.type == fs.FileType.File and not any(map(is_hidden, inside.split("/"))):
            yield f"{prefix.rstrip('/')}/{quote(inside)}" + (f"?{query}" if query else "")


# ---------------------------------------------------------------- what a file is


def _hash_content(file: io.BufferedReader) -> tuple[int, str]:
    """Size in bytes and SHA-256 in hex, read in pieces; leaves the file at its start."""
    digest, size = hashlib.sha256(), 0
    while piece := file.read(2**20):
        digest.update(piece)
        size += len(piece)
    file.seek(0)
    return size, digest.hexdigest()


def _read_content(file: io.BufferedReader, size: int, pixels: PixelReader | None, turned: bool) -> dict[str, Any]:
    """The columns that the content gives, checked. It decides what the file is, whatever the suffix."""
    if size == 0:
        raise _RefusedError("picture_unreadable", "the file is empty")
    head = file.read(12)
    file.seek(0)
    try:
        if is_video(head):
            return _video_columns(file, head)
        tags = _read_photo(file, head, size)
    except TooManyPixelsError as error:
        raise _RefusedError("picture_too_large", _message(error)) from error
    except UnidentifiedImageError as error:
        raise _RefusedError("picture_unreadable", "no picture or video, or its header is broken") from error
    except DECODE_ERRORS as error:
        raise _RefusedError("picture_unreadable", _message(error)) from error
    columns = _check_columns({"media_type": "image", **asdict(tags)})
    return columns | _pixel_columns(file, size, tags, pixels, turned) if pixels else columns


def _video_columns(file: io.BufferedReader, head: bytes) -> dict[str, Any]:
    tags = read_video(file, head)
    if tags is None:
        raise _RefusedError("picture_unreadable", "no video track found")
    return _check_columns({"media_type": "video", **asdict(tags)})


def _read_photo(file: io.BufferedReader, head: bytes, size: int) -> PhotoTags:
    if size > MAX_WEBP_BYTES and (head[4:8] == b"ftyp" or head[:4] == b"RIFF"):
        raise _RefusedError("picture_too_large", f"{size} bytes; this format is read whole, up to {MAX_WEBP_BYTES}")
    return read_photo(file, head)


def _pixel_columns(
    file: io.BufferedReader, size: int, tags: PhotoTags, reader: PixelReader, turned: bool
) -> dict[str, Any]:
    """`PIXEL_FEATURES`; none where the pixels can't be decoded here."""
    try:
        pixels = reader.read(file, tags.content_type, size=size, pixels=tags.image_width * tags.image_height)
        if pixels is None:
            return {}
        score = image_score(
            pixels.luminance,
            width=tags.image_width,
            height=tags.image_height,
            jpeg_quality=pixels.jpeg_quality,
            has_camera=bool(tags.camera_model),
            has_time=bool(tags.produce_time),
        )
        return {**asdict(hash_picture(pixels.luminance, turned=turned)), "image_score": score}
    except DECODE_ERRORS as error:
        raise _RefusedError("picture_unreadable", f"the pixels can't be decoded: {_message(error)}") from error


def _check_columns(columns: dict[str, Any]) -> dict[str, Any]:
    """Null what can't be: a place off the globe, a side that is no positive int32, text that isn't plain."""
    latitude, longitude = columns["latitude"], columns["longitude"]
    if not _is_place(latitude, longitude):
        columns |= {"latitude": None, "longitude": None}
    if not all(_is_side(columns[side]) for side in ("image_width", "image_height")):
        columns |= {"image_width": None, "image_height": None}
    texts = {"camera_make", "camera_model", "title"} & columns.keys()
    return columns | {name: _plain_text(columns[name]) for name in texts}


def _is_place(latitude: float | None, longitude: float | None) -> bool:
    """Whether both are there and on the globe. (0, 0) is what an unset receiver writes."""
    if latitude is None or longitude is None or (latitude, longitude) == (0, 0):
        return False
    return -90 <= latitude <= 90 and -180 <= longitude <= 180


def _is_side(pixels: int | None) -> bool:
    return pixels is not None and 0 < pixels <= _LARGEST_SIDE


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
