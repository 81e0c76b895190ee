"""Finding faces in pictures of any size: a pyramid of tiles, so that time and memory are bounded.

A picture is looked at whole, and again at twice the size and so on, up to `DETAIL` pixels of its shorter side. What is
larger than the detector's input is cut into tiles that overlap; a face that a tile cuts is left to the next tile, or to
the coarser level.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from transforms.pictures.face_networks import Boxes, Detector

DETAIL = 888
"""Pixels of the shorter side, at most, at which faces are looked for: two tiles of 640. Of a picture of 12 megapixels,
faces of 75 pixels have 22 there, of which the detectors find most."""
LONGEST = 4736
"""... and of the longer side: long screenshots and panoramas."""
OVERLAP = 96
"""Pixels that neighbouring tiles share."""
_CUT = 2.0
_INSIDE = 0.7


def find_faces(picture: Image.Image, detector: Detector) -> Boxes:
    """The faces of a picture (RGB), each once, best first, in its pixels.

    Memory: some copies of the picture at `DETAIL`. Time: one call of the detector a tile; up to five for most pictures.
    """
    found = [_find_in(picture, scale, detector) for scale in scales(picture.size, detector.recipe.side)]
    return without_doubles(Boxes.join(found), overlap=detector.recipe.overlap)


def scales(size: tuple[int, int], side: int) -> list[float]:
    """The scales at which a picture is looked at, the finest first, none over 1; the last fits the detector's input.

    >>> [round(scale, 3) for scale in scales((4000, 3000), 640)]
    [0.296, 0.148]
    >>> scales((250, 250), 640)
    [1.0]
    """
    short, long = min(size), max(size)
    finest = min(1.0, DETAIL / short, LONGEST / long)
    halvings = max(0, math.ceil(math.log2(finest * long / side)))
    return [finest / 2**n for n in range(halvings + 1)]


def _find_in(picture: Image.Image, scale: float, detector: Detector) -> Boxes:
    side = detector.recipe.side
    level = picture
    if scale < 1:
        size = tuple(max(1, round(length * scale)) for length in picture.size)
        level = picture.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)  # type: ignore[arg-type]
    pixels = np.asarray(level)
    height, width = pixels.shape[:2]
    found = [_NOTHING]
    for top, left in _tiles(height, width, side):
        tile = np.zeros((side, side, 3), np.uint8)
        part = pixels[top : top + side, left : left + side]
        tile[: part.shape[0], : part.shape[1]] = part
        boxes = detector.find(tile)
        edges = np.array([left > 0, top > 0, left + side < width, top + side < height])
        found.append(boxes[~_cut(boxes.box, side, edges)].moved(scale, left, top))
    return Boxes.join(found)


def _tiles(height: int, width: int, side: int) -> Iterator[tuple[int, int]]:
    """Top and left of tiles that cover a picture and overlap."""
    for top in _starts(height, side):
        for left in _starts(width, side):
            yield top, left


def _starts(length: int, side: int) -> list[int]:
    """Where tiles begin along a side.

    >>> _starts(640, 640), _starts(1184, 640), _starts(1185, 640)
    ([0], [0, 544], [0, 272, 545])
    """
    count = 1 + max(0, math.ceil((length - side) / (side - OVERLAP)))
    return [round(n * (length - side) / (count - 1)) for n in range(count)] if count > 1 else [0]


def _cut(box: NDArray[np.float32], side: int, edges: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which boxes reach an edge (left, top, right, bottom) of a tile behind which the picture goes on."""
    beyond = np.concatenate([box[:, :2] < _CUT, box[:, 2:] > side - _CUT], axis=1)
    return np.asarray((beyond & edges).any(axis=1))


def without_doubles(boxes: Boxes, *, overlap: float) -> Boxes:
    """The faces that no better one covers: by `overlap`, or by most of the smaller one's area; best first."""
    boxes = boxes[np.lexsort((boxes.box[:, 0], boxes.box[:, 1], -boxes.score))]
    area = np.prod(boxes.box[:, 2:] - boxes.box[:, :2], axis=1)
    kept: list[int] = []
    for n in range(len(area)):  # some tens
        if kept:
            low = np.maximum(boxes.box[kept, :2], boxes.box[n, :2])
            high = np.minimum(boxes.box[kept, 2:], boxes.box[n, 2:])
            common = np.prod(np.clip(high - low, 0, None), axis=1)
            is_same = common / (area[kept] + area[n] - common) > overlap
            if (is_same | (common / np.minimum(area[kept], area[n]) > _INSIDE)).any():
                continue
        kept.append(n)
    return boxes[kept]


_NOTHING = Boxes(np.empty((0, 4), np.float32), np.empty((0, 5, 2), np.float32), np.empty(0, np.float32))
