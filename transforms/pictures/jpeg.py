"""The header of JPEG files: size, EXIF block and XMP packet, without Pillow, whose parser takes three times as long.

Sources: ITU-T T.81 (JPEG), annex B; EXIF 2.32, 4.5.4 (APP1); XMP part 3, 1.1.3 (its APP1).
"""

from dataclasses import dataclass

from transforms.pictures.tiff import ReadAt

_EXIF, _XMP = b"Exif\0", b"http://ns.adobe.com/xap/1.0/\0"
# start of frame, of any coding; C4 (tables), C8 (reserved) and CC (conditioning) are none
_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})  # markers without a length
_MOST_SEGMENTS = 10_000


@dataclass(frozen=True, slots=True)
class JpegHeader:
    """What the segments before the pixels say. `size` is as stored, None where the file ends before it."""

    size: tuple[int, int] | None
    exif: bytes
    xmp: bytes


def is_jpeg(head: bytes) -> bool:
    """Whether a file that begins with these bytes is JPEG."""
    return head[:3] == b"\xff\xd8\xff"


def read_jpeg(at: ReadAt, start: int = 0) -> JpegHeader:
    """Reads the segments from a start of image up to the first scan, or to where the file ends or is broken."""
    size: tuple[int, int] | None = None
    exif = xmp = b""
    offset = start + 2
    for _ in range(_MOST_SEGMENTS):
        head = at(offset, 4)
        if len(head) < 4 or head[0] != 0xFF:
            break
        marker = head[1]
        if marker == 0xFF:  # fill byte
            offset += 1
            continue
        if marker in (0xDA, 0xD9):
            break
        if marker in _ALONE:
            offset += 2
            continue
        length = head[2] << 8 | head[3]
        if length < 2:
            break
        if marker == 0xE1 and not (exif and xmp):
            body = at(offset + 4, length - 2)
            if body.startswith(_EXIF) and not exif:
                exif = body[6:]
            elif body.startswith(_XMP) and not xmp:
                xmp = body[len(_XMP) :]
        elif marker in _FRAMES:
            frame = at(offset + 5, 4)
            if len(frame) == 4:
                size = (frame[2] << 8 | frame[3], frame[0] << 8 | frame[1])
        offset += 2 + length
    return JpegHeader(size, exif, xmp)
