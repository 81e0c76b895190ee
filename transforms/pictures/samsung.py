"""The trailer of Samsung's JPEG files: its phones of before 2019 write the instant there, and no offset in EXIF.

Source: ExifTool's documentation of Samsung tags (`TimeStamp` of the trailer); the layout is not published: blocks, then
a directory `SEFH` of them with offsets counted back from itself, its length, and `SEFT` at the end of the file.
"""

import re
import struct
from datetime import datetime, timedelta

from transforms.pictures.tiff import ReadAt

_UTC_DATA = 0x0A01
_LARGEST_DIRECTORY = 2**16
_MILLISECONDS = re.compile(rb"(?:Image_UTC_Data)?(\d{13})")
_EPOCH = datetime(1970, 1, 1)


def read_samsung_instant(at: ReadAt, size: int) -> datetime | None:
    """The instant (UTC, without a zone) in the trailer of a file of `size` bytes; None where there is none."""
    end = at(max(size - 8, 0), 8)
    if end[4:] != b"SEFT":
        return None
    length = int.from_bytes(end[:4], "little")
    start = size - 8 - length
    directory = at(start, length) if 12 <= length <= _LARGEST_DIRECTORY and start > 0 else b""
    if directory[:4] != b"SEFH":
        return None
    entries = directory[12 : 12 + (length - 12) // 12 * 12]
    for _, kind, back, block_size in struct.iter_unpack("<HHII", entries):
        if kind == _UTC_DATA and 8 < block_size <= 256 and back <= start:
            match = _MILLISECONDS.search(at(start - back + 8, block_size - 8))
            return _EPOCH + timedelta(milliseconds=int(match[1])) if match else None
    return None
