"""How good a picture is by itself, from 0 to 1: which of several alike to keep, and which to show first.

No reference and no trained model: four measures that the copies of one picture differ in, each from 0 to 1.

- Resolution: the logarithm of the pixels, 0 at 64 x 64, 1 from 12 megapixels on; an eye tells ratios apart, and larger
  ones mostly hold no more detail.
- Sharpness: the mean gradient at a fixed working size over that at half that size. Photographs have about the same
  energy in every octave (Field, "Relations between the statistics of natural images and the response properties of
  cortical cells", 1987), whatever their contrast, so the ratio falls below where the finest octave is missing: blurred,
  shaken, scaled up. 0 at 0.4, 1 from 1.2 on.
- Exposure: the share of pixels that are black or white (luminance below 4 or above 251), 0 from a quarter on; and the
  spread, 1 from a standard deviation of 80 on. Their mean.
- Original over edit: the quality that a JPEG's quantisation table stands for (libjpeg's scale, undone), 0 at 20, 1 from
  95 on, makes half; that the camera and the time of taking are stated, which apps and web sites strip, a quarter each.

Measured on 88 real pictures, 20 of which state no camera or no time: the original is ahead of smaller, blurred,
recompressed and enlarged copies in 93 to 99 of a hundred; of darker, brighter, flatter and harder ones in 86 to 90
(which of those is the better exposed can't be told but by what the files state).
"""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

WEIGHTS = {"resolution": 0.4, "sharpness": 0.25, "exposure": 0.15, "originality": 0.2}

_WORKING_SIDE = 512  # pixels of the shorter side
_SMALLEST, _LARGEST = 64 * 64, 12_000_000
_BLACK, _WHITE = 4, 252
# The sum of the luminance table in ITU-T T.81, annex K.1, which libjpeg scales by (200 - 2 q) % or (5000 / q) %.
_STANDARD_TABLE = 3688


def image_score(
    luminance: Image.Image,
    *,
    width: int,
    height: int,
    jpeg_quality: float | None,
    has_camera: bool,
    has_time: bool,
) -> float:
    """The score of a picture of `width` x `height` pixels, given its luminance (mode `L`, perhaps reduced).

    `jpeg_quality` is as of the function, None for other formats, which counts as the best; `has_camera` and `has_time`
    are whether the file states them. Time: 6 ms. Memory: 10 bytes a pixel at the working size, 5 MB for usual shapes.
    """
    scale = _WORKING_SIDE / min(luminance.size)
    if scale < 1:
        size = round(luminance.width * scale), round(luminance.height * scale)
        luminance = luminance.resize(size, Image.Resampling.BOX)
    detail = math.log(width * height / _SMALLEST) / math.log(_LARGEST / _SMALLEST)
    compression = 1.0 if jpeg_quality is None else _unit((jpeg_quality - 20) / 75)
    parts = {
        "resolution": _unit(detail),
        "sharpness": _sharpness(luminance),
        "exposure": _exposure(luminance),
        "originality": compression / 2 + has_camera / 4 + has_time / 4,
    }
    return sum(WEIGHTS[name] * part for name, part in parts.items())


def jpeg_quality(luminance_table: list[int]) -> float:
    """The quality, up to 100, with which libjpeg would have made a quantisation table; its order doesn't matter.

    >>> jpeg_quality([16] * 64), round(jpeg_quality([96] * 64))
    (86.11713665943601, 30)
    """
    percent = 100 * sum(luminance_table) / _STANDARD_TABLE
    return 5000 / percent if percent > 100 else (200 - percent) / 2


def _sharpness(luminance: Image.Image) -> float:
    if min(luminance.size) < 4:
        return 0.0
    coarse = _mean_gradient(luminance.reduce(2))
    return _unit((_mean_gradient(luminance) / coarse - 0.4) / 0.8) if coarse else 0.0


def _mean_gradient(luminance: Image.Image) -> float:
    values = np.asarray(luminance, np.int16)
    return float(sum(np.abs(np.diff(values, axis=axis)).mean() for axis in (0, 1)))


def _exposure(luminance: Image.Image) -> float:
    shares = np.bincount(np.asarray(luminance).ravel(), minlength=256) / (luminance.width * luminance.height)
    clipped = float(shares[:_BLACK].sum() + shares[_WHITE:].sum())
    levels = np.arange(256)
    spread = math.sqrt(max(0.0, float(shares @ levels**2 - (shares @ levels) ** 2)))
    return (_unit(1 - clipped / 0.25) + _unit(spread / 80)) / 2


def _unit(value: float) -> float:
    return min(1.0, max(0.0, value))
