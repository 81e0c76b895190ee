"""The header of JPEG XL files: size, EXIF block and XMP packet. No decoder of a fitting licence is kept for the pixels.

Sources: ISO/IEC 18181-1, annex D.2 (the size header), 18181-2 (the container and its boxes).
"""

from dataclasses import dataclass

from transforms.pictures.tiff import ReadAt

_CONTAINER = b"\0\0\0\x0cJXL \r\n\x87\n"
_CODESTREAM = b"\xff\x0a"
_LARGEST_BOX = 2**24
_MOST_BOXES = 1000
_RATIOS = {1: (1, 1), 2: (12, 10), 3: (4, 3), 4: (3, 2), 5: (16, 9), 6: (5, 4), 7: (2, 1)}


@dataclass(frozen=True, slots=True)
class JxlHeader:
    """What a JPEG XL file says: pixels as displayed, EXIF block and XMP packet as stored, empty where there is none."""

    width: int
    height: int
    exif: bytes
    xmp: bytes


def is_jxl(head: bytes) -> bool:
    """Whether a file that begins with these 12 bytes is JPEG XL, bare or in its container."""
    return head.startswith((_CODESTREAM, _CONTAINER))


def read_jxl(at: ReadAt) -> JxlHeader:
    """Reads the header. Raises ValueError where it is broken or has no size. Brotli's boxes are not read."""
    if at(0, 2) == _CODESTREAM:
        return JxlHeader(*_displayed_size(at(2, 32)), b"", b"")
    size: tuple[int, int] | None = None
    exif = xmp = b""
    offset = 0
    for _ in range(_MOST_BOXES):
        head = at(offset, 16)
        if len(head) < 8:
            break
        length, kind, header = int.from_bytes(head[:4], "big"), head[4:8], 8
        if length == 1:
            length, header = int.from_bytes(head[8:16], "big"), 16
        body = (length or _LARGEST_BOX + header) - header
        if body < 0:
            raise ValueError("a JPEG XL box is smaller than its header")
        start = offset + header
        if kind in (b"jxlc", b"jxlp") and size is None:
            stream = at(start + (4 if kind == b"jxlp" else 0), 34)
            if not stream.startswith(_CODESTREAM):
                raise ValueError("no JPEG XL codestream in its box")
            size = _displayed_size(stream[2:])
        elif kind == b"Exif" and not exif and body <= _LARGEST_BOX:
            block = at(start, body)
            exif = block[4 + int.from_bytes(block[:4], "big") :]
        elif kind == b"xml " and not xmp and body <= _LARGEST_BOX:
            xmp = at(start, body)
        if not length:
            break
        offset += length
    if size is None:
        raise ValueError("the JPEG XL file gives no size")
    return JxlHeader(*size, exif, xmp)


class _Bits:
    """Numbers of so many bits, the lowest bit first."""

    def __init__(self, data: bytes) -> None:
        self._left, self._value = 8 * len(data), int.from_bytes(data, "little")

    def take(self, count: int) -> int:
        if count > self._left:
            raise ValueError("a JPEG XL header is cut short")
        taken = self._value & ((1 << count) - 1)
        self._value >>= count
        self._left -= count
        return taken


def _displayed_size(stream: bytes) -> tuple[int, int]:
    """Width and height after the orientation in the image metadata that follows is applied."""
    bits = _Bits(stream)
    is_small = bits.take(1)

    def side() -> int:
        if is_small:
            return (bits.take(5) + 1) * 8
        return bits.take((9, 13, 18, 30)[bits.take(2)]) + 1

    height = side()
    ratio = bits.take(3)
    if ratio:
        across, down = _RATIOS[ratio]
        width = height * across // down
    else:
        width = side()
    is_default = bits.take(1)
    if not is_default and bits.take(1) and bits.take(3) >= 4:  # extra fields begin with the orientation, less one
        width, height = height, width
    return width, height
