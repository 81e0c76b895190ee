"""What photo files say about themselves: headers are read, no pixels.

JPEG, HEIF, JPEG XL, TIFF and raw files are read here, by modules of their own; PNG, WebP, GIF and BMP by Pillow.
"""

import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, BinaryIO

from PIL import Image, ImageFile

from transforms.pictures.evidence import Said
from transforms.pictures.exif import ExifTags, read_exif_block
from transforms.pictures.heif import is_heif, read_heif
from transforms.pictures.jpeg import is_jpeg, read_jpeg
from transforms.pictures.jxl import is_jxl, read_jxl
from transforms.pictures.raw import RawHeader, is_cr3, is_raf, is_tiff_like, read_cr3, read_raf, read_tiff
from transforms.pictures.tiff import ReadAt
from transforms.pictures.xmp import NotXmpError, read_xmp, says_something

MAX_PIXELS = 2**29
"""A header that announces more pixels is refused: 512 Mi, over twice the largest phone sensor."""

# Parsers index, unpack, divide and recurse on what the file says, and guard only part of it.
DECODE_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
)
"""What reading the header of a hostile file may raise."""

_PILLOW_TYPES = {"PNG": "image/png", "WEBP": "image/webp", "GIF": "image/gif", "BMP": "image/bmp"}
_LARGEST_CHUNK = 2**24


@dataclass(frozen=True, slots=True)
class PhotoTags:
    """What one photo says of itself.

    `image_width` and `image_height` are pixels as displayed, None where the file breaks off before it says so.
    `orientation` is EXIF's 1 to 8, else None; HEIF and JPEG XL readers have applied it already. Camera names are as
    stored. `warning` says what of it could not be read.
    """

    content_type: str
    said: tuple[Said, ...]
    image_width: int | None
    image_height: int | None
    orientation: int | None = None
    camera_make: Any = None
    camera_model: Any = None
    content_identifier: str | None = None
    warning: str | None = None


class TooManyPixelsError(Exception):
    """A header announces more than `MAX_PIXELS`."""


def read_photo(file: BinaryIO, head: bytes, *, suffix: str = "") -> PhotoTags:
    """Read the tags of one photo, given its first 12 bytes. Broken EXIF gives None for what it breaks.

    `suffix` tells which raw format a TIFF is that does not tell itself. Raises TooManyPixelsError for a header over
    `MAX_PIXELS`, and one of `DECODE_ERRORS` for what is no picture, or says nothing of itself. Memory: the header, but
    WebP files are held whole.
    """

    def at(offset: int, size: int) -> bytes:
        file.seek(offset)
        return file.read(size)

    tags = _read_photo(file, at, head, suffix)
    if tags.image_width is None or tags.image_height is None:
        if not (any(said.times or said.place for said in tags.said) or tags.camera_make):
            raise ValueError("the header breaks off before it says anything")
    elif tags.image_width * tags.image_height > MAX_PIXELS:
        raise TooManyPixelsError(f"{tags.image_width} x {tags.image_height} pixels; at most {MAX_PIXELS} in all")
    return tags


def _read_photo(file: BinaryIO, at: ReadAt, head: bytes, suffix: str) -> PhotoTags:
    if is_jpeg(head):
        jpeg = read_jpeg(at)
        return _tags("image/jpeg", read_exif_block(jpeg.exif), jpeg.size, jpeg.xmp)
    if is_heif(head):
        heif = read_heif(file)
        return _tags(heif.content_type, read_exif_block(heif.exif), (heif.width, heif.height), heif.xmp, turned=True)
    if is_jxl(head):
        jxl = read_jxl(at)
        return _tags("image/jxl", read_exif_block(jxl.exif), (jxl.width, jxl.height), jxl.xmp, turned=True)
    if is_cr3(head):
        return _raw_tags(read_cr3(at))
    if is_raf(head):
        return _raw_tags(read_raf(at))
    if is_tiff_like(head):
        return _raw_tags(read_tiff(at, head, suffix))
    return _read_pillow_photo(file)


def _raw_tags(header: RawHeader) -> PhotoTags:
    return _tags(header.content_type, header.tags, header.size, header.xmp)


def _tags(
    content_type: str, exif: ExifTags, size: tuple[int, int] | None, packet: bytes, *, turned: bool = False
) -> PhotoTags:
    """The tags of a picture of a size as stored, or as displayed if it is `turned` already."""
    warning = None if size else "the header breaks off before the size of the picture"
    said = [exif.said]
    if packet and says_something(packet):
        try:
            said.append(read_xmp(packet, source="xmp"))
        except NotXmpError as error:
            warning = warning or f"the XMP packet can't be read: {error}"
    width, height = size or (None, None)
    if not turned and (exif.orientation or 1) >= 5:
        width, height = height, width
    return PhotoTags(
        content_type=content_type,
        said=tuple(said),
        image_width=width,
        image_height=height,
        orientation=exif.orientation,
        camera_make=exif.make,
        camera_model=exif.model,
        content_identifier=exif.content_identifier,
        warning=warning,
    )


def _read_pillow_photo(file: BinaryIO) -> PhotoTags:
    file.seek(0)
    try:
        with quiet_pillow(), Image.open(file, formats=tuple(_PILLOW_TYPES)) as image:
            block = image.info.get("exif") or (_exif_behind_pixels(image) if image.format == "PNG" else None) or b""
            packet = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or b""
            if isinstance(packet, str):
                packet = packet.encode()
            exif = read_exif_block(block.removeprefix(b"Exif\0\0")) if isinstance(block, bytes) else ExifTags()
            content_type = _PILLOW_TYPES[str(image.format)]
            return _tags(content_type, exif, image.size, packet if isinstance(packet, bytes) else b"")
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise TooManyPixelsError(f"at most {MAX_PIXELS} pixels: {error}") from error


@contextmanager
def quiet_pillow() -> Iterator[None]:
    """Silence Pillow's warnings, but raise the one for a picture over `MAX_PIXELS`.

    Both settings are the process's own, and are put back: whoever decodes pixels keeps a stricter limit.
    """
    before = Image.MAX_IMAGE_PIXELS
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        Image.MAX_IMAGE_PIXELS = MAX_PIXELS
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before


def _exif_behind_pixels(image: Image.Image) -> bytes | None:
    """The `eXIf` chunk of a PNG, which may follow the pixels; chunks are skipped by their length."""
    if not isinstance(image, ImageFile.ImageFile) or image.fp is None:
        return None
    image.fp.seek(len(b"\x89PNG\r\n\x1a\n"))
    with suppress(struct.error):
        while len(header := image.fp.read(8)) == 8:
            length, kind = struct.unpack(">I4s", header)
            if kind == b"eXIf":
                return image.fp.read(min(length, _LARGEST_CHUNK))
            image.fp.seek(length + 4, 1)  # the data and its checksum
    return None
