"""The formats of photos and videos that are read: their suffixes and content types."""

import re
from collections.abc import Mapping

RAW_TYPES: Mapping[str, str] = {
    "dng": "image/x-adobe-dng",
    "cr2": "image/x-canon-cr2",
    "cr3": "image/x-canon-cr3",
    "nef": "image/x-nikon-nef",
    "nrw": "image/x-nikon-nrw",
    "arw": "image/x-sony-arw",
    "srf": "image/x-sony-srf",
    "sr2": "image/x-sony-sr2",
    "raf": "image/x-fuji-raf",
    "orf": "image/x-olympus-orf",
    "rw2": "image/x-panasonic-rw2",
    "pef": "image/x-pentax-pef",
    "srw": "image/x-samsung-srw",
}
"""Raw formats: suffix -> content type."""

MEDIA_TYPES: Mapping[str, str] = {
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "jpe": "image/jpeg",
    "heic": "image/heic",
    "heif": "image/heif",
    "hif": "image/heif",
    "avif": "image/avif",
    "jxl": "image/jxl",
    "png": "image/png",
    "tif": "image/tiff",
    "tiff": "image/tiff",
    "webp": "image/webp",
    "gif": "image/gif",
    "bmp": "image/bmp",
    **RAW_TYPES,
    "mp4": "video/mp4",
    "mp": "video/mp4",
    "mov": "video/quicktime",
    "m4v": "video/x-m4v",
    "3gp": "video/3gpp",
}
"""The content type that a file's suffix (lower case, no dot) promises. `mp` is the video of a Pixel's motion photo."""

MEDIA_SUFFIXES = frozenset(MEDIA_TYPES)
"""The suffixes that are taken for photos and videos."""

RAW_CONTENT = frozenset(RAW_TYPES.values())
"""The content types of raw pictures."""


def suffix_of(name: str) -> str:
    """The suffix of a file's name, in lower case and without its dot; empty where it has none.

    >>> suffix_of("IMG_1.JPG"), suffix_of(".hidden"), suffix_of("README")
    ('jpg', '', '')
    """
    stem, dot, suffix = name.rpartition(".")
    return suffix.lower() if dot and stem else ""


_MOTION = re.compile(r"(?:\.raw-\d+)?(?:\.mp)?(?:\.(?:cover|original))?(?:~\d)?\Z")


def motion_stem(stem: str) -> str:
    """The stem, in lower case, of which a phone makes those of all files of one shot.

    >>> motion_stem("pxl_1.mp"), motion_stem("pxl_1.raw-02.original"), motion_stem("img_1")
    ('pxl_1', 'pxl_1', 'img_1')
    """
    return _MOTION.sub("", stem, count=1)
