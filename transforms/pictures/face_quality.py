"""How far a face can be trusted to tell its person, 0 to 1, from what was measured of it.

The product of what six signs say, each 1 where nothing is wanting and 0 where it tells nothing, in a straight line
between the two bounds of `SIGNS`:

- `score`: the detector's score; falls for what is covered, cut off, or hardly a face.
- `length`: length of the embedding before it is made a unit vector. Networks that learn to tell people apart by angles
  give clear faces long vectors (Meng et al., MagFace, 2021); falls for what is blurred, covered, averted, or no face.
- `side`: pixels of the shorter side of the box, on a logarithmic scale.
- `sharpness`: share of the aligned face's gradients that a further blur takes away (Crete et al., 2007).
- `mouth`: gradients about the mouth as a share of those about the eyes; next to none behind a mask.
- `angle`: the larger of yaw and pitch, degrees.

What is left, at most a tenth, goes by size, so that of two clear faces the larger is the better cover. Bounds were set
on degraded copies of real faces (blur, size, JPEG, covering), so that a face over 0.8 keeps a cosine of some 0.75 or
more with its clear original.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

SIGNS: dict[str, tuple[float, float]] = {
    "score": (0.78, 0.90),
    "length": (6.0, 10.0),
    "side": (10.0, 50.0),
    "sharpness": (0.10, 0.38),
    "mouth": (-0.25, 0.35),
    "angle": (80.0, 40.0),
}
"""Sign -> where it says 0, and where 1. Of `length` by SFace; others have bounds of their own (`QualityForm`)."""

_BLUR = 9
_FACE = (slice(30, 106), slice(22, 90))
_EYES = (slice(42, 60), slice(26, 86))
_MOUTH = (slice(82, 102), slice(38, 74))
"""Rows and columns of an aligned face."""
_HALF_GRADE = 100.0


@dataclass(frozen=True)
class FaceSigns:
    """What was measured of a face."""

    score: float
    length: float
    side: float
    sharpness: float
    mouth: float
    angle: float


def face_quality(signs: FaceSigns, *, length: tuple[float, float] = SIGNS["length"]) -> float:
    """The quality of a face, 0 to 1.

    >>> clear = FaceSigns(score=0.94, length=12.0, side=100.0, sharpness=0.6, mouth=0.7, angle=5.0)
    >>> round(face_quality(clear), 2)
    0.95
    >>> from dataclasses import replace
    >>> round(face_quality(replace(clear, sharpness=0.25)), 2), round(face_quality(replace(clear, angle=60.0)), 2)
    (0.51, 0.48)
    """
    product = 1.0
    for name, (none, full) in (SIGNS | {"length": length}).items():
        value = getattr(signs, name)
        if name == "side":
            value, none, full = np.log2(max(value, 1.0)), np.log2(none), np.log2(full)
        product *= min(1.0, max(0.0, (value - none) / (full - none)))
    return float(product * (0.9 + 0.1 * signs.side / (signs.side + _HALF_GRADE)))


def sharpness(face: NDArray[np.uint8]) -> float:
    """Of an aligned face (112, 112, 3): the share of its gradients that a blur takes away; the worse direction's."""
    grey = _grey(face)[_FACE]
    return min(_sharpness_along(grey), _sharpness_along(grey.T))


def _sharpness_along(grey: NDArray[np.float64]) -> float:
    """... of the gradients along columns."""
    sums = np.cumsum(np.pad(grey, ((_BLUR // 2 + 1, _BLUR // 2), (0, 0)), mode="edge"), axis=0)
    blurred = (sums[_BLUR:] - sums[:-_BLUR]) / _BLUR
    before, after = (np.abs(np.diff(each, axis=0)) for each in (grey, blurred))
    return float(np.maximum(0, before - after).sum() / max(before.sum(), 1e-9))


def mouth_share(face: NDArray[np.uint8]) -> float:
    """Of an aligned face: what its mouth has of vertical gradients, as a share of what its eyes have."""
    smooth = np.asarray(Image.fromarray(face).convert("L").filter(ImageFilter.GaussianBlur(1.5)), np.float64)
    gradients = np.abs(smooth[2:] - smooth[:-2])
    return float(gradients[_MOUTH].mean() / max(gradients[_EYES].mean(), 1e-6))


def _grey(face: NDArray[np.uint8]) -> NDArray[np.float64]:
    return np.asarray(Image.fromarray(face).convert("L"), np.float64)
