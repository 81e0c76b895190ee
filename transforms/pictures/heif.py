"""The header of HEIF pictures (HEIC, AVIF): displayed size and EXIF block, without libheif.

libheif's binding crashes the process on some damaged files (pi-heif 1.4.0, found by fuzzing), and one bad
picture must not take a Spark worker with it. What is needed of the container is little, and read here in
Python.

Sources: ISO/IEC 14496-12 (the `meta` box and its `pitm`, `iinf`, `iloc`, and `clap`), ISO/IEC 23008-12
(`ispe`, `irot`, and annex A.2.1 for EXIF items).
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

_STILL_TYPES = {
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"), "image/heic"),
    **dict.fromkeys((b"avif", b"avis"), "image/avif"),
    **dict.fromkeys((b"mif1", b"msf1"), "image/heif"),
}
_LARGEST_META = 2**24  # bytes; a panorama of a thousand tiles takes some 100 kB
_LARGEST_EXIF = 2**24


@dataclass(frozen=True)
class HeifHeader:
    """What the container says of its primary picture: pixels as displayed, EXIF block and XMP packet as stored."""

    content_type: str
    width: int
    height: int
    exif: bytes
    xmp: bytes


def is_heif(head: bytes) -> bool:
    """Whether a file that begins with these 12 bytes is a HEIF picture, by its major brand.

    >>> is_heif(b"\\0\\0\\0\\x18ftypheic"), is_heif(b"\\0\\0\\0\\x18ftypmp42")
    (True, False)
    """
    return head[4:8] == b"ftyp" and head[8:12] in _STILL_TYPES


def read_heif(file: BinaryIO) -> HeifHeader:
    """Read the header of a HEIF picture.

    Raises EOFError, LookupError, ArithmeticError or ValueError where it is cut short, broken, or lacks the
    size of its primary picture. Memory: the header and the EXIF block, up to 16 MiB each.
    """
    brands, meta = _read_top_boxes(file)
    parts = dict(_boxes(meta[4:]))
    width, height = _displayed_size(parts)
    exif, xmp = _read_item(file, parts, b"Exif"), _read_item(file, parts, b"mime")
    return HeifHeader(_content_type(brands), width, height, exif[4 + int.from_bytes(exif[:4], "big") :], xmp)


class _Cursor:
    """Big-endian unsigned numbers, read one after the other."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, size: int) -> bytes:
        piece = self._data[self._at : self._at + size]
        if len(piece) < size:
            raise EOFError("a HEIF box is cut short")
        self._at += size
        return piece

    def uint(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")


def _read_top_boxes(file: BinaryIO) -> tuple[bytes, bytes]:
    """The contents of `ftyp` and `meta`; media data between them is skipped."""
    end = file.seek(0, os.SEEK_END)
    found: dict[bytes, bytes] = {}
    start = 0
    while start < end and not {b"ftyp", b"meta"} <= found.keys():
        file.seek(start)
        head = _Cursor(file.read(16).ljust(16, b"\0"))
        size, kind, header = head.uint(4), head.take(4), 8
        if size == 1:
            size, header = head.uint(8), 16
        size = size or end - start
        if size < header:
            raise ValueError("a HEIF box is smaller than its header")
        if kind in (b"ftyp", b"meta"):
            if size > _LARGEST_META:
                raise ValueError(f"a HEIF header of {size} bytes; at most {_LARGEST_META} are read")
            file.seek(start + header)
            found[kind] = file.read(size - header)
        start += size
    if b"meta" not in found:
        raise EOFError("the HEIF file has no header")
    return found.get(b"ftyp", b""), found[b"meta"]


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and content of each box in a row of boxes."""
    start = 0
    while start + 8 <= len(data):
        size, kind = int.from_bytes(data[start : start + 4], "big"), data[start + 4 : start + 8]
        size = size or len(data) - start
        if size < 8:
            raise ValueError("a HEIF box is smaller than its header")
        yield kind, data[start + 8 : start + size]
        start += size


def _content_type(brands: bytes) -> str:
    """By the first brand, major or compatible, that names a codec: `mif1` alone says only HEIF."""
    types = [_STILL_TYPES.get(brands[at : at + 4]) for at in (0, *range(8, len(brands), 4))]
    return next((kind for kind in types if kind and kind != "image/heif"), "image/heif")


def _displayed_size(parts: dict[bytes, bytes]) -> tuple[int, int]:
    """The size of the primary item after cropping (`clap`) and turning (`irot`), in the order listed."""
    primary = _Cursor(parts[b"pitm"])
    primary_id = primary.uint(4 if primary.uint(4) >> 24 else 2)
    width = height = 0
    for kind, body in _properties(parts[b"iprp"], primary_id):
        values = _Cursor(body)
        if kind == b"ispe":
            values.take(4)
            width, height = values.uint(4), values.uint(4)
        elif kind == b"clap":
            width, height = values.uint(4) // values.uint(4), values.uint(4) // values.uint(4)
        elif kind == b"irot" and values.uint(1) % 2:
            width, height = height, width
    if not (width and height):
        raise ValueError("the HEIF file doesn't give its picture's size")
    return width, height


def _properties(iprp: bytes, item_id: int) -> Iterator[tuple[bytes, bytes]]:
    """The properties of an item, in order: `ipma` numbers those in `ipco` from 1."""
    boxes = list(_boxes(iprp))
    properties = [box for kind, body in boxes if kind == b"ipco" for box in _boxes(body)]
    for body in (body for kind, body in boxes if kind == b"ipma"):
        links = _Cursor(body)
        version_and_flags = links.uint(4)
        index_size = 2 if version_and_flags & 1 else 1
        for _ in range(links.uint(4)):
            owner = links.uint(4 if version_and_flags >> 24 else 2)
            for _ in range(links.uint(1)):
                index = links.uint(index_size) & (0x7FFF if index_size == 2 else 0x7F)  # without `essential`
                if owner == item_id and 0 < index <= len(properties):
                    yield properties[index - 1]


def _read_item(file: BinaryIO, parts: dict[bytes, bytes], kind: bytes) -> bytes:
    """The first item of a kind; empty where missing or broken: the picture is still good."""
    try:
        item_id = _find_item(parts[b"iinf"], kind)
        return b"".join(_item_data(file, parts, item_id)) if item_id is not None else b""
    except (EOFError, KeyError, ValueError):
        return b""


def _find_item(iinf: bytes, wanted: bytes) -> int | None:
    """The id of the first item of a kind; of `mime`, of the first that is XMP."""
    head = _Cursor(iinf)
    count_size = 4 if head.uint(4) >> 24 else 2
    for kind, body in _boxes(iinf[4 + count_size :]):
        entry = _Cursor(body)
        version = entry.uint(4) >> 24
        if kind == b"infe" and version >= 2:
            item_id = entry.uint(2 if version == 2 else 4)
            entry.take(2)
            if entry.take(4) == wanted and (wanted != b"mime" or b"application/rdf+xml\0" in body):
                return item_id
    return None


def _item_data(file: BinaryIO, parts: dict[bytes, bytes], item_id: int) -> Iterator[bytes]:
    """The pieces of an item, which `iloc` places in the file or in the `idat` box."""
    table = _Cursor(parts[b"iloc"])
    version = table.uint(4) >> 24
    sizes = table.uint(2)
    offset_size, length_size, base_size, index_size = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
    id_size = 4 if version == 2 else 2
    for _ in range(table.uint(id_size)):
        owner = table.uint(id_size)
        in_idat = version > 0 and table.uint(2) & 15 == 1
        table.take(2)
        base = table.uint(base_size)
        for _ in range(table.uint(2)):
            table.take(index_size if version > 0 else 0)
            offset, length = base + table.uint(offset_size), table.uint(length_size)
            if owner != item_id:
                continue
            if length > _LARGEST_EXIF:
                raise ValueError(f"an EXIF block of {length} bytes; at most {_LARGEST_EXIF} are read")
            if in_idat:
                yield parts[b"idat"][offset : offset + length]
            else:
                file.seek(offset)
                yield file.read(length)
