"""Pictures as grey ones of moderate size, all that hashes and scores look at; and in colour, as faces need them."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

SHORTER_SIDE = 512
"""Pixels that the shorter side keeps, at least: reduced so far, a picture has the hash that it has in full size."""


def reduced_luminance(image: Image.Image) -> Image.Image:
    """A picture in mode `L`: ITU-R BT.601 luma (PDQ's, and JPEG's own), at most 1,023 pixels on the shorter side.

    JPEG is decoded at a half, a quarter or an eighth of its size; others whole, then averaged over squares. What is
    transparent becomes white. More than eight bits are cut to eight, whole numbers and floats stretched between their
    extremes. Raises what decoding raises. Memory: the whole picture (4 bytes a pixel) and up to 3 bytes a pixel more,
    for baseline JPEG a quarter to a sixty-fourth of that.
    """
    scale = SHORTER_SIDE / min(image.size)
    if scale < 1:
        image.draft("L", (int(image.width * scale), int(image.height * scale)))
    image.load()
    grey = _grey(image)
    return grey.reduce(factor) if (factor := min(grey.size) // SHORTER_SIDE) > 1 else grey


MAX_COLOUR_PIXELS = 2**25
"""Pixels of a picture in colour, at most: 96 MB."""


def draft_colours(image: Image.Image) -> None:
    """Asks a JPEG that is not decoded yet for a half, a quarter or an eighth of its size, where it is too large."""
    factor = 1
    while image.width * image.height > MAX_COLOUR_PIXELS * factor**2 and factor < 8:
        factor *= 2
    if factor > 1:
        image.draft("RGB", (image.width // factor, image.height // factor))


def reduced_colours(image: Image.Image) -> Image.Image:
    """A picture in mode `RGB`, of at most `MAX_COLOUR_PIXELS`: averaged over squares where it has more.

    What is transparent becomes white; modes that have more than eight bits, or none of the usual colours, become grey.
    Raises what decoding raises. Memory: the whole picture and up to 7 bytes a pixel more.
    """
    image.load()
    if (area := image.width * image.height) > MAX_COLOUR_PIXELS:
        image = _plain_colours(image) if image.mode in ("P", "PA", "1") else image
        image = image.reduce(math.ceil(math.sqrt(area / MAX_COLOUR_PIXELS)))
    return _plain_colours(image)


def _plain_colours(image: Image.Image) -> Image.Image:
    if image.mode == "LAB" or image.mode.startswith("I") or image.mode == "F":
        return _grey(image).convert("RGB")
    if not image.has_transparency_data:
        return image.convert("RGB")
    seen = image.convert("RGBA")
    white = Image.new("RGB", seen.size, (255, 255, 255))
    white.paste(seen, mask=seen.getchannel("A"))
    return white


def _grey(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode == "LAB":  # which Pillow can't convert
        return image.getchannel("L")
    if image.mode in ("I", "F"):
        values = np.nan_to_num(np.asarray(image, np.float64), posinf=0, neginf=0)
        low, high = float(values.min()), float(values.max())
        return Image.fromarray(((values - low) * (255 / max(high - low, 1e-9))).astype(np.uint8))
    if not image.has_transparency_data:
        return image.convert("L")
    if image.mode not in ("LA", "RGBA"):
        image = image.convert("RGBA")
    white = Image.new("L", image.size, 255)
    white.paste(image.convert("L"), mask=image.getchannel("A"))
    return white
