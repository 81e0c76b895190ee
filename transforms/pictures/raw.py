"""Raw files of cameras: their tags, the size of their picture, and the previews that stand in for their pixels.

Nearly all are TIFF in structure (DNG, CR2, NEF, ARW, PEF, SRW; ORF and RW2 but for a number); CR3 is ISO media, RAF has
a header of its own before a JPEG. Which kind a TIFF is, a file does not always tell: then its suffix does.

Sources: DNG specification 1.7 (SubIFDs, previews); the layouts of CR2, CR3, RAF and RW2 are not published, and known
from the documentation of ExifTool's and LibRaw's authors.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from transforms.pictures.exif import (
    EXIF_IFD,
    EXIF_TAGS,
    GPS_TAGS,
    HEIGHT,
    MAIN_TAGS,
    WIDTH,
    XMP,
    ExifTags,
    exif_tags,
    read_exif,
    read_exif_block,
)
from transforms.pictures.formats import RAW_TYPES
from transforms.pictures.jpeg import is_jpeg, read_jpeg
from transforms.pictures.tiff import NotTiffError, ReadAt, Tiff, block_reader

_RAF = b"FUJIFILMCCD-RAW "
_CANON = bytes.fromhex("85c0b687820f11e08111f4ce462b6a48")
_CANON_PREVIEW = bytes.fromhex("eaf42b5e1c984b88b9fbb7dc406e4d16")
_XMP_BOX = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_SUBTYPE, _COMPRESSION, _PHOTOMETRIC, _STRIPS, _STRIP_SIZES = 0xFE, 0x103, 0x106, 0x111, 0x117
_SUB_IFDS, _JPEG, _JPEG_SIZE, _DNG_VERSION = 0x14A, 0x201, 0x202, 0xC612
_PANASONIC_TOP, _PANASONIC_JPEG = 4, 0x2E
_PICTURE = frozenset(
    {WIDTH, HEIGHT, _SUBTYPE, _COMPRESSION, _PHOTOMETRIC, _STRIPS, _STRIP_SIZES, _SUB_IFDS, _JPEG, _JPEG_SIZE}
)
_MAIN = MAIN_TAGS | _PICTURE | {XMP, _DNG_VERSION, EXIF_IFD}
_SENSOR = frozenset({32803, 34892})  # colour filter array, linear raw: no preview
_MOST_DIRECTORIES = 20
_LARGEST_PREVIEW = 2**26
_MOST_PREVIEWS = 4
_SEARCHED = 2**22
_SOI = b"\xff\xd8\xff"
_MOST_BOXES = 1000


@dataclass(frozen=True, slots=True)
class RawHeader:
    """What a raw file, or a TIFF, says. `size` is as stored, before it is turned; `xmp` may be empty."""

    content_type: str
    tags: ExifTags
    size: tuple[int, int] | None
    xmp: bytes


def is_tiff_like(head: bytes) -> bool:
    """Whether a file that begins with these 12 bytes has TIFF's structure, raw or not."""
    return head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"IIRO", b"IIRS", b"MMOR", b"IIU\0")


def is_raf(head: bytes) -> bool:
    """Whether a file that begins with these 12 bytes is Fujifilm's raw format."""
    return _RAF.startswith(head[:12]) and len(head) >= 12


def is_cr3(head: bytes) -> bool:
    """Whether a file that begins with these 12 bytes is Canon's raw format of 2018 and later."""
    return head[4:12] == b"ftypcrx "


def read_tiff(at: ReadAt, head: bytes, suffix: str) -> RawHeader:
    """Reads a file of TIFF's structure. Raises NotTiffError where it has none after all."""
    tiff = Tiff(at)
    directories = list(_directories(tiff))
    main: Mapping[int, Any] = directories[0] if directories else {}
    content_type = _content_type(head, main, suffix)
    tags = read_exif(tiff, main)
    if content_type == RAW_TYPES["rw2"]:
        sensor, _ = tiff.directory(tiff.first, (4, 5, 6, 7, _PANASONIC_JPEG))
        if not tags.said.times and isinstance(sensor.get(_PANASONIC_JPEG), bytes):
            tags = read_exif_block(read_jpeg(block_reader(sensor[_PANASONIC_JPEG])).exif)
        size = _panasonic_size(sensor)
    elif content_type == "image/tiff":
        size = _size(main)
    else:
        size = tags.size or max(filter(None, map(_size, directories)), key=lambda one: one[0] * one[1], default=None)
    xmp = main.get(XMP)
    return RawHeader(content_type, tags, size, xmp if isinstance(xmp, bytes) else b"")


def read_raf(at: ReadAt) -> RawHeader:
    """Reads a RAF file: what the JPEG in it says."""
    start, _ = _raf_preview(at)
    jpeg = read_jpeg(at, start)
    tags = read_exif_block(jpeg.exif)
    return RawHeader(RAW_TYPES["raf"], tags, tags.size or jpeg.size, jpeg.xmp)


def read_cr3(at: ReadAt) -> RawHeader:
    """Reads a CR3 file: Canon keeps each of EXIF's directories in a box of its own."""
    blocks: dict[bytes, bytes] = {}
    xmp = b""
    for kind, start, size in _boxes(at, 0, None):
        if kind == b"uuid" and at(start, 16) == _XMP_BOX:
            xmp = at(start + 16, min(size - 16, 2**24))
        if kind == b"moov":
            for inner, inside, length in _boxes(at, start, start + size):
                if inner == b"uuid" and at(inside, 16) == _CANON:
                    blocks = {
                        name: at(begin, min(count, 2**20))
                        for name, begin, count in _boxes(at, inside + 16, inside + length)
                        if name.startswith(b"CMT")
                    }
    main = _block_tags(blocks.get(b"CMT1", b""), MAIN_TAGS | {WIDTH, HEIGHT})
    tags = exif_tags(
        main, _block_tags(blocks.get(b"CMT2", b""), EXIF_TAGS), _block_tags(blocks.get(b"CMT4", b""), GPS_TAGS)
    )
    return RawHeader(RAW_TYPES["cr3"], tags, _size(main) or tags.size, xmp)


def find_previews(at: ReadAt, head: bytes) -> Iterator[bytes]:
    """The JPEG pictures in a raw file, the largest first, at most four, none over 64 MiB, read one by one."""
    places = sorted(_preview_places(at, head), key=lambda place: -place[1])
    fitting = [(start, size) for start, size in places if 0 < size <= _LARGEST_PREVIEW and is_jpeg(at(start, 3))]
    for start, size in fitting[:_MOST_PREVIEWS]:
        yield at(start, size)
    if not fitting:
        yield from _search_previews(at)


def _preview_places(at: ReadAt, head: bytes) -> Iterator[tuple[int, int]]:
    if is_raf(head):
        yield _raf_preview(at)
    elif is_cr3(head):
        for kind, start, size in _boxes(at, 0, None):
            if kind == b"uuid" and at(start, 16) == _CANON_PREVIEW:
                begin = at(start, 128).find(_SOI)
                if begin > 0:
                    yield start + begin, size - begin
    else:
        tiff = Tiff(at)
        for directory in _directories(tiff):
            yield from _jpegs(directory)


def _jpegs(directory: Mapping[int, Any]) -> Iterator[tuple[int, int]]:
    for offset_tag, size_tag in ((_JPEG, _JPEG_SIZE), (_STRIPS, _STRIP_SIZES)):
        offset, size = directory.get(offset_tag), directory.get(size_tag)
        is_strip = offset_tag == _STRIPS
        if is_strip and (directory.get(_COMPRESSION) not in (6, 7) or directory.get(_PHOTOMETRIC) in _SENSOR):
            continue
        if isinstance(offset, int) and isinstance(size, int):
            yield offset, size


def _search_previews(at: ReadAt) -> Iterator[bytes]:
    """JPEG pictures in the first 4 MiB, where no tag tells of any: Olympus keeps them in the maker's note."""
    window = at(0, _SEARCHED)
    start = window.find(_SOI)
    for _ in range(_MOST_PREVIEWS):
        if start < 0:
            return
        yield window[start:]
        start = window.find(_SOI, start + 3)


def _directories(tiff: Tiff) -> Iterator[Mapping[int, Any]]:
    """The directories of the file and those inside them, the main one first; at most 20."""
    waiting: list[Any] = [tiff.first]
    seen: set[int] = set()
    while waiting and len(seen) < _MOST_DIRECTORIES:
        offset = waiting.pop(0)
        if not isinstance(offset, int) or offset <= 0 or offset in seen:
            continue
        wanted = _PICTURE if seen else _MAIN
        seen.add(offset)
        directory, following = tiff.directory(offset, wanted)
        if directory:
            yield directory
        inside = directory.get(_SUB_IFDS, ())
        waiting += [following, *(inside if isinstance(inside, tuple) else (inside,))]


def _content_type(head: bytes, main: Mapping[int, Any], suffix: str) -> str:
    if head[:4] in (b"IIRO", b"IIRS", b"MMOR"):
        return RAW_TYPES["orf"]
    if head[:4] == b"IIU\0":
        return RAW_TYPES["rw2"]
    if head[8:10] == b"CR":
        return RAW_TYPES["cr2"]
    return RAW_TYPES["dng"] if _DNG_VERSION in main else RAW_TYPES.get(suffix, "image/tiff")


def _size(directory: Mapping[int, Any]) -> tuple[int, int] | None:
    width, height = directory.get(WIDTH), directory.get(HEIGHT)
    return (width, height) if isinstance(width, int) and isinstance(height, int) and width and height else None


def _panasonic_size(sensor: Mapping[int, Any]) -> tuple[int, int] | None:
    """By the borders of the picture on the sensor: top, left, bottom, right."""
    borders = [sensor.get(tag) for tag in range(_PANASONIC_TOP, _PANASONIC_TOP + 4)]
    if not all(isinstance(border, int) for border in borders):
        return None
    top, left, bottom, right = (int(border or 0) for border in borders)
    return (right - left, bottom - top) if right > left and bottom > top else None


def _raf_preview(at: ReadAt) -> tuple[int, int]:
    place = at(84, 8)
    return int.from_bytes(place[:4], "big"), int.from_bytes(place[4:], "big")


def _boxes(at: ReadAt, start: int, end: int | None) -> Iterator[tuple[bytes, int, int]]:
    """Kind, start of the content and its size, of each box in a row of boxes."""
    for _ in range(_MOST_BOXES):
        head = at(start, 16)
        if len(head) < 8 or (end is not None and start + 8 > end):
            return
        size, header = int.from_bytes(head[:4], "big"), 8
        if size == 1:
            size, header = int.from_bytes(head[8:16], "big"), 16
        if size < header:
            return
        yield head[4:8], start + header, size - header
        start += size


def _block_tags(block: bytes, wanted: frozenset[int]) -> Mapping[int, Any]:
    try:
        tiff = Tiff(block_reader(block))
    except NotTiffError:
        return {}
    return tiff.directory(tiff.first, wanted)[0]
