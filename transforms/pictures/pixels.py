"""The pixels of photos, as far as hashes and scores need them; decoding is bounded, and crashes stay outside."""

from __future__ import annotations

import io
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from types import TracebackType
from typing import BinaryIO

from PIL import ExifTags, Image, JpegImagePlugin, features

from transforms.pictures.formats import RAW_CONTENT
from transforms.pictures.heif_decoder import HeifDecoder
from transforms.pictures.image_score import jpeg_quality
from transforms.pictures.luminance import draft_colours, reduced_colours, reduced_luminance
from transforms.pictures.photos import DECODE_ERRORS, quiet_pillow
from transforms.pictures.raw import find_previews

MAX_DECODED_PIXELS = 2**27
"""Larger pictures aren't decoded: 128 Mi take 1 GB. Phones of 200 megapixels write JPEG, see below."""
MAX_REDUCED_PIXELS = 2**28
"""The same for what is decoded at a reduced size, baseline JPEG: 30 MB, or 1.6 GB if made to hurt, in several scans."""
MAX_DECODED_BYTES = 2**29
"""Decoders of most formats hold a file whole; larger ones aren't decoded."""

_FORMATS = {
    "image/jpeg": "JPEG",
    "image/png": "PNG",
    "image/tiff": "TIFF",
    "image/webp": "WEBP",
    "image/gif": "GIF",
    "image/bmp": "BMP",
    "image/avif": "AVIF",
}
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # EXIF orientation -> how it is displayed (EXIF 2.32, 4.6.4 A)


@dataclass(frozen=True)
class Pixels:
    """A picture's reduced luminance (see `luminance`), turned as displayed; of animations the first frame.

    `jpeg_quality` is what its compression stands for; None for other formats. `colours` is the picture itself, turned
    too, if it was asked for (see `reduced_colours`).
    """

    luminance: Image.Image
    jpeg_quality: float | None
    colours: Image.Image | None = None


class PixelReader(AbstractContextManager["PixelReader"]):
    """Reads pixels. HEIC is decoded in a child process, which is ended on leaving the context."""

    def __init__(self) -> None:
        self._heif = HeifDecoder()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._heif.close()

    def read(
        self,
        file: BinaryIO,
        content_type: str,
        *,
        size: int,
        pixels: int,
        orientation: int | None = None,
        colours: bool = False,
    ) -> Pixels | None:
        """The pixels of a photo of `size` bytes whose header, which is sound, announces `pixels` pixels.

        Of a raw file, those of its largest preview, turned by the file's `orientation` unless it has one itself.
        With `colours`, a picture is decoded once for both; luminances then differ by a unit or two, as they are
        reduced from the whole picture, and a hash by a bit or two.

        None for what can't be decoded here although it may be right: no decoder, no preview, or too large for one.
        Raises one of `DECODE_ERRORS` for broken pixels. Memory: see `reduced_luminance`; up to 1 GB, for a baseline
        JPEG a 64th; with `colours` half a GB for one, and 96 MB are kept.
        """
        if content_type in RAW_CONTENT:
            return _read_preview(file, orientation, colours)
        if size > MAX_DECODED_BYTES or content_type == "image/jxl":
            return None
        if content_type in ("image/heic", "image/heif"):
            decoded = self._heif.decode_with(file, size, colours=colours) if pixels <= MAX_DECODED_PIXELS else None
            return Pixels(decoded[0], None, decoded[1]) if decoded else None
        if content_type == "image/avif" and not features.check("avif"):
            return None
        file.seek(0)
        return _decode(file, _FORMATS[content_type], pixels, colours=colours)


def _decode(
    file: BinaryIO, kind: str, pixels: int, orientation: int | None = None, *, colours: bool = False
) -> Pixels | None:
    with quiet_pillow(), Image.open(file, formats=(kind,)) as image:
        tables = list(image.quantization.values()) if isinstance(image, JpegImagePlugin.JpegImageFile) else []
        is_reduced = bool(tables) and "progressive" not in image.info
        if pixels > (MAX_REDUCED_PIXELS if is_reduced else MAX_DECODED_PIXELS):
            return None
        quality = jpeg_quality(tables[0]) if tables else None
        whole = None
        if colours:
            draft_colours(image)
            whole = reduced_colours(image)
        luminance = reduced_luminance(image)
        turn = _TURNS.get(_orientation(image) or orientation or 1)
        if turn is not None:
            luminance, whole = luminance.transpose(turn), whole and whole.transpose(turn)
        return Pixels(luminance, quality, whole)


def _read_preview(file: BinaryIO, orientation: int | None, colours: bool) -> Pixels | None:
    """The pixels of the largest preview in a raw file that can be decoded; of a plain TIFF, its own."""

    def at(offset: int, size: int) -> bytes:
        file.seek(offset)
        return file.read(size)

    head = at(0, 12)
    for preview in find_previews(at, head):
        with suppress(*DECODE_ERRORS):
            if pixels := _decode_any(io.BytesIO(preview), "JPEG", orientation, colours=colours):
                return pixels
    if head[:4] in (b"II*\0", b"MM\0*"):
        with suppress(*DECODE_ERRORS):
            return _decode_any(file, "TIFF", colours=colours)
    return None


def _decode_any(file: BinaryIO, kind: str, orientation: int | None = None, *, colours: bool = False) -> Pixels | None:
    """The pixels of a picture of any size; its compression tells nothing of the file's quality."""
    width, height = _size(file, kind)
    pixels = _decode(file, kind, width * height, orientation, colours=colours)
    return replace(pixels, jpeg_quality=None) if pixels else None


def _size(file: BinaryIO, kind: str) -> tuple[int, int]:
    file.seek(0)
    with quiet_pillow():
        size = Image.open(file, formats=(kind,)).size
    file.seek(0)
    return size


def _orientation(image: Image.Image) -> int | None:
    """How the pixels, now loaded, are still to be turned; Pillow turns a TIFF's as it loads them."""
    if image.format == "TIFF":
        return 1
    try:
        orientation = Image.Image.getexif(image).get(ExifTags.Base.Orientation)
        return None if orientation is None else int(orientation)
    except DECODE_ERRORS:
        return None
