"""Formats of photos and videos: by which suffixes they are known, and what these promise."""

from collections.abc import Mapping

MEDIA_TYPES: Mapping[str, str] = {
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "jpe": "image/jpeg",
    "heic": "image/heic",
    "heif": "image/heif",
    "avif": "image/avif",
    "png": "image/png",
    "tif": "image/tiff",
    "tiff": "image/tiff",
    "webp": "image/webp",
    "gif": "image/gif",
    "bmp": "image/bmp",
    "mp4": "video/mp4",
    "mov": "video/quicktime",
    "m4v": "video/x-m4v",
}
"""The content type that a file's suffix (lower case, no dot) promises."""

MEDIA_SUFFIXES = frozenset(MEDIA_TYPES)
"""The suffixes that `list_pictures` takes for photos and videos."""
