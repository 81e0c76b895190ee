"""The structure of TIFF files, and of the EXIF blocks that have it: directories and the values in them.

Only what is asked for is read, by a function `at(offset, size)` that gives bytes of the file (fewer at its end), so
that a directory in a raw file of gigabytes costs as little as one in a block of kilobytes.

Sources: TIFF 6.0, section 2; BigTIFF (libtiff's design note); EXIF 2.32, 4.6.2 (types).
"""

import struct
from collections.abc import Callable, Collection
from typing import Any

ReadAt = Callable[[int, int], bytes]

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_NUMBERS = {3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 11: "f", 12: "d", 13: "I", 16: "Q", 17: "q", 18: "Q"}
_BYTES = frozenset({1, 2, 7})
_RATIONALS = {5: "I", 10: "i"}
_MOST_ENTRIES = 4096
_LARGEST_VALUE = 2**20
_LARGE_TAGS = {0x2BC: 2**24, 0x2E: 2**24}  # XMP packets, Panasonic's previews
_MOST_NUMBERS = 1024
_ORDERS = {b"II": "<", b"MM": ">"}
# TIFF, Olympus' and Panasonic's raw files, which differ in the number alone
_NUMBERS_OF_TIFF = frozenset({42, 0x4F52, 0x5352, 0x55})


class NotTiffError(ValueError):
    """Bytes that do not begin like a TIFF file."""


class Tiff:
    """A TIFF file, or a block of that structure. `first` is the offset of its first directory."""

    def __init__(self, at: ReadAt) -> None:
        head = at(0, 16)
        order = _ORDERS.get(head[:2])
        if order is None or len(head) < 8:
            raise NotTiffError("no TIFF header")
        self.at, self.order = at, order
        number = struct.unpack_from(order + "H", head, 2)[0]
        self.is_big = number == 43 and len(head) == 16
        if not (self.is_big or number in _NUMBERS_OF_TIFF):
            raise NotTiffError(f"no TIFF header: its number is {number}")
        self.first: int = struct.unpack_from(order + ("Q" if self.is_big else "I"), head, 8 if self.is_big else 4)[0]

    def directory(self, offset: int, wanted: Collection[int]) -> tuple[dict[int, Any], int]:
        """The wanted tags of the directory at an offset, and the offset of the next one, 0 where there is none.

            Text (ASCII) is str, one character a byte; BYTE and UNDEFINED are bytes; numbers are one int or float, or a
            tuple of them; rationals are a tuple of (numerator, denominator). Values that lie outside the file, or are
        larger than 1 MiB (of XMP 16), or have more than 1,024 numbers, are left out, as is all of a directory outside.
        """
        return read_directory(self.at, self.order, offset, wanted, is_big=self.is_big)


def read_directory(
    at: ReadAt, order: str, offset: int, wanted: Collection[int], *, is_big: bool = False
) -> tuple[dict[int, Any], int]:
    """`Tiff.directory`, for directories without a header (`order` is `<` or `>`)."""
    count_size, entry_size, inline, word = (8, 20, 8, "Q") if is_big else (2, 12, 4, "I")
    start = at(offset, count_size) if offset > 0 else b""
    if len(start) < count_size:
        return {}, 0
    count = min(struct.unpack(order + ("Q" if is_big else "H"), start)[0], _MOST_ENTRIES)
    table = at(offset + count_size, count * entry_size + inline)
    entry = struct.Struct(f"{order}HH{word}{inline}s")
    usable = min(count, len(table) // entry_size)
    found: dict[int, Any] = {}
    for tag, kind, length, data in entry.iter_unpack(table[: usable * entry_size]):
        if tag not in wanted or tag in found:
            continue
        size = length * _SIZES.get(kind, 0)
        if not 0 < size <= _LARGE_TAGS.get(tag, _LARGEST_VALUE) or (length > _MOST_NUMBERS and kind not in _BYTES):
            continue
        if size > inline:
            data = at(struct.unpack(order + word, data)[0], size)
            if len(data) < size:
                continue
        found[tag] = _value(order, kind, length, data[:size])
    end = count * entry_size
    following = struct.unpack(order + word, table[end : end + inline])[0] if len(table) >= end + inline else 0
    return found, following


def _value(order: str, kind: int, length: int, data: bytes) -> Any:
    if kind == 2:
        return data.decode("latin-1")
    if kind in _BYTES:
        return data
    if kind in _RATIONALS:
        numbers = struct.unpack(f"{order}{2 * length}{_RATIONALS[kind]}", data)
        return tuple(zip(numbers[::2], numbers[1::2], strict=True))
    numbers = struct.unpack(f"{order}{length}{_NUMBERS[kind]}", data)
    return numbers[0] if length == 1 else numbers


def block_reader(block: bytes) -> ReadAt:
    """A function that reads from bytes in memory."""
    return lambda offset, size: block[offset : offset + size]
