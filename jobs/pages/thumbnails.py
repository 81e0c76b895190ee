"""Small JPEGs of pictures, or of places in them, as data URIs, for pages that need nothing else.

Nothing a file holds makes this fail.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from threading import Lock
from types import TracebackType
from typing import TypeVar

import pyarrow as pa
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError, features
from pyarrow import fs

from schemas.file_features import THUMBNAIL_SIDE
from transforms.pictures.heif import is_heif
from transforms.pictures.heif_decoder import HeifDecoder
from transforms.pictures.locations import resolve as resolve_uri
from transforms.pictures.luminance import reduced_luminance
from transforms.pictures.photos import DECODE_ERRORS, quiet_pillow
from transforms.pictures.pixels import MAX_DECODED_BYTES, MAX_DECODED_PIXELS, MAX_REDUCED_PIXELS

EDGE = 360
"""Pixels of a thumbnail's longer side."""
CROP_EDGE = 160
"""Pixels of a crop's side."""
CROP_MARGIN = 0.3
"""How much more than its box a crop shows on each side, as a share of the box's longer side."""
WORKERS = 4
"""Pictures that are decoded at once."""

_Made = TypeVar("_Made")
_FORMATS = ("JPEG", "PNG", "TIFF", "WEBP", "GIF", "BMP", *(("AVIF",) if features.check("avif") else ()))
_LARGEST_PROFILE = 2**13  # a colour profile of a camera's is half a kilobyte; printers' are hundreds
_LONGEST_REASON = 160
_ORIENTATION = ExifTags.Base.Orientation
_BLANK = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="240" height="180" viewBox="0 0 240 180">'
    '<rect width="240" height="180" fill="#8888" fill-opacity=".25"/>'
    '<path d="M84 62h72v56H84zM84 106l22-22 16 14 14-12 20 18" fill="none" stroke="#888" stroke-width="4"/>'
    '<path d="M76 54l88 72" stroke="#888" stroke-width="4"/></svg>'
)


@dataclass(frozen=True)
class Thumbnail:
    """A picture made small: `source` is a data URI, `note` says what is amiss with it, if anything."""

    source: str
    width: int
    height: int
    note: str | None = None


@dataclass(frozen=True)
class Unreadable:
    """Why there is no thumbnail of a file."""

    reason: str


@dataclass(frozen=True)
class Box:
    """A place in a picture: pixels of the picture as it is displayed."""

    left: int
    top: int
    width: int
    height: int

    @property
    def side(self) -> int:
        """The longer side."""
        return max(self.width, self.height, 1)


@dataclass(frozen=True)
class Crops:
    """What is wanted of a picture: the places, and its pixels as displayed, where that is known."""

    uri: str
    boxes: Sequence[Box]
    size: tuple[int, int] | None = None


class ThumbnailReader(AbstractContextManager["ThumbnailReader"]):
    """Makes thumbnails, `WORKERS` at a time. HEIC is decoded in a child process, which ends with the context.

    Memory: up to 4 bytes a pixel, of at most `MAX_DECODED_PIXELS`, for each picture that is decoded; of JPEG, which is
    decoded small, a fraction of that.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="thumbnail")
        self._heif = HeifDecoder()
        self._heif_lock = Lock()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)
        self._heif.close()

    def read(self, uris: Sequence[str]) -> Iterator[Thumbnail | Unreadable]:
        """A thumbnail, or why there is none, for each uri, in their order. Held in memory until taken."""
        with quiet_pillow():  # once, around all workers: it changes what is the process's own
            yield from list(self._pool.map(lambda uri: self._read(uri, self._thumbnail), uris))

    def read_crops(self, wanted: Sequence[Crops]) -> Iterator[list[Thumbnail | Unreadable]]:
        """The crops of each picture, or why there are none, in their order. A picture is decoded once."""
        with quiet_pillow():
            yield from list(self._pool.map(self._read_crops, wanted))

    def _read_crops(self, wanted: Crops) -> list[Thumbnail | Unreadable]:
        found = self._read(wanted.uri, lambda file, size: self._crops(file, size, wanted))
        return [found] * len(wanted.boxes) if isinstance(found, Unreadable) else found

    def _read(self, uri: str, decode: Callable[[io.BufferedReader, int], _Made]) -> _Made | Unreadable:
        try:
            filesystem, path = resolve_uri(uri)
            info = filesystem.get_file_info(path)
            if info.type != fs.FileType.File:  # a named pipe would block for ever
                return Unreadable("no such file")
            if (info.size or 0) > MAX_DECODED_BYTES:
                return Unreadable(f"{info.size:,} bytes; pictures of up to {MAX_DECODED_BYTES:,} are opened")
            with io.BufferedReader(filesystem.open_input_file(path), 2**18) as file:
                return decode(file, info.size or 0)
        except UnidentifiedImageError:
            return Unreadable("no picture of a format that can be opened here")
        except (
            _NotOpenedError,
            *DECODE_ERRORS,
            Image.DecompressionBombWarning,
            Image.DecompressionBombError,
            pa.ArrowException,
        ) as error:
            text = " ".join(str(error).split()) or type(error).__name__
            return Unreadable(text[:_LONGEST_REASON])

    def _thumbnail(self, file: io.BufferedReader, size: int) -> Thumbnail:
        image = self._open(file, size, lambda image: (EDGE, EDGE))
        image.pixels.thumbnail((EDGE, EDGE))  # HEIC is larger
        return _encoded(image.pixels, profile=image.profile, note=image.note)

    def _crops(self, file: io.BufferedReader, size: int, wanted: Crops) -> list[Thumbnail | Unreadable]:
        least = min(box.side for box in wanted.boxes)

        def needed(image: Image.Image) -> tuple[int, int]:
            scale = min(1.0, CROP_EDGE / least)
            return max(1, int(image.width * scale)), max(1, int(image.height * scale))

        image = self._open(file, size, needed)
        full = image.size or wanted.size
        if full is None:
            return [Unreadable("a picture whose size is not known")] * len(wanted.boxes)
        return [_cropped(image, box, image.pixels.width / full[0]) for box in wanted.boxes]

    def _open(self, file: io.BufferedReader, size: int, needed: Callable[[Image.Image], tuple[int, int]]) -> _Picture:
        """A picture as it is displayed, within the width and height that are needed of it."""
        head = file.peek(12)[:12]
        try:
            with Image.open(file, formats=_FORMATS) as image:
                return _of_picture(image, needed(image))
        except UnidentifiedImageError:
            if not is_heif(head):
                raise
        with self._heif_lock:
            grey = self._heif.decode(file, size)
        if grey is None:
            raise _NotOpenedError("HEIC, and no decoder for it is installed here")
        return _Picture(grey, None, note="HEIC: shown in grey")


def _cropped(image: _Picture, box: Box, scale: float) -> Thumbnail | Unreadable:
    """A square around a box, as far as the picture goes; `scale`: its pixels to those that the box counts."""
    half = (0.5 + CROP_MARGIN) * box.side * scale
    x, y = (box.left + box.width / 2) * scale, (box.top + box.height / 2) * scale
    left, top = max(0, round(x - half)), max(0, round(y - half))
    right, bottom = min(image.pixels.width, round(x + half)), min(image.pixels.height, round(y + half))
    if left >= right or top >= bottom:
        return Unreadable("the face's box lies outside the picture")
    crop = image.pixels.crop((left, top, right, bottom))
    crop.thumbnail((CROP_EDGE, CROP_EDGE), Image.Resampling.LANCZOS)
    return _encoded(crop, profile=image.profile, note=image.note)


def stored_thumbnail(luminances: bytes, width: int, height: int, reason: str) -> Thumbnail:
    """The 32 x 32 luminances of `file_features.thumbnail`, in the shape of a picture of so many pixels."""
    grey = Image.frombytes("L", (THUMBNAIL_SIDE, THUMBNAIL_SIDE), luminances)
    scale = EDGE / 2 / max(width, height, 1)
    shape = (max(1, round(width * scale)), max(1, round(height * scale)))
    return _encoded(
        grey.resize(shape, Image.Resampling.BICUBIC), note=f"coarse preview; the file cannot be shown: {reason}"
    )


def placeholder(reason: str) -> Thumbnail:
    """What stands for a picture of which there is nothing to show."""
    source = "data:image/svg+xml;base64," + base64.b64encode(_BLANK.encode()).decode()
    return Thumbnail(source, 240, 180, f"cannot be shown: {reason}")


@dataclass(frozen=True)
class _Picture:
    """A picture as it is displayed: its pixels, maybe fewer than the file's; and how many (width, height) that has."""

    pixels: Image.Image
    size: tuple[int, int] | None
    profile: bytes | None = None
    note: str | None = None


class _NotOpenedError(Exception):
    """A picture that is not opened, and why."""


def _of_picture(image: Image.Image, needed: tuple[int, int]) -> _Picture:
    """An opened file, made small to fit what is needed; of animations the first frame."""
    pixels = image.width * image.height
    is_reduced = image.format in ("JPEG", "MPO") and "progressive" not in image.info
    most = MAX_REDUCED_PIXELS if is_reduced else MAX_DECODED_PIXELS
    if pixels > most:
        raise _NotOpenedError(f"{image.width:,} x {image.height:,} pixels; up to {most:,} in all are opened")
    profile = image.info.get("icc_profile") if image.mode == "RGB" else None
    size = image.size
    image.draft("RGB", (2 * needed[0], 2 * needed[1]))
    small = _flat(image)
    small.thumbnail(needed, Image.Resampling.LANCZOS, reducing_gap=2.0)
    turned = _turned(small, image)
    return _Picture(turned, size if turned.size == small.size else size[::-1], profile)


def _flat(image: Image.Image) -> Image.Image:
    """A picture in colour, or in grey if it has more than eight bits; what is transparent is white."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return reduced_luminance(image)
    if not image.has_transparency_data:
        return image.convert("RGB")
    layer = image.convert("RGBA")
    white = Image.new("RGB", layer.size, "white")
    white.paste(layer, mask=layer.getchannel("A"))
    return white


def _turned(small: Image.Image, image: Image.Image) -> Image.Image:
    """A picture as it is displayed, by the EXIF of the one that it was made from."""
    if image.format == "TIFF":  # Pillow turns those as it loads them
        return small
    try:
        exif = Image.Exif()
        exif[_ORIENTATION] = int(Image.Image.getexif(image).get(_ORIENTATION, 1))
        small.info["exif"] = exif.tobytes()
        return ImageOps.exif_transpose(small)
    except DECODE_ERRORS:
        return small


def _encoded(image: Image.Image, *, profile: bytes | None = None, note: str | None = None) -> Thumbnail:
    out = io.BytesIO()
    kept = profile if profile and len(profile) <= _LARGEST_PROFILE else None
    image.save(out, "JPEG", quality=78, optimize=True, icc_profile=kept, exif=b"")
    return Thumbnail("data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode(), *image.size, note)
