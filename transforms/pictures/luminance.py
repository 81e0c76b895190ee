"""Pictures as grey ones of moderate size: all that their hashes and their score look at."""

from __future__ import annotations

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
