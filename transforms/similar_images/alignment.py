"""Whether two pictures agree once one is laid over the other: what tells a crop, a border or a tilt from a stranger.

Thumbnails of 32 by 32 luminances are aligned by Gauss-Newton steps over an affine warp, with gain and offset of the
luminance solved for at the same time (Lucas and Kanade, 1981; Baker and Matthews, "Lucas-Kanade 20 Years On", 2004),
from the scale at which crops of the two matched. Then their gradients are correlated block by block, and the worst
quarter of the blocks left out: a caption covers some, but does not make another picture.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from schemas.file_features import THUMBNAIL_SIDE as SIDE
from transforms.similar_images.hamming import CROP_SCALES
from transforms.tables.machine import kernel

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

LEAST_AGREEMENT = 0.85
"""Of the pairs of edited copies measured, 99.9 % agree more; of the pairs of strangers whose crops match, few do."""

_BLOCKS = 4  # along each side
_LEFT_OUT = 4  # of 16 blocks
_MARGIN = 2
_ROUNDS = 10
_LEAST_OVERLAP = 0.4
_LEAST_GAIN = 0.2
_LONGEST_STEP = 2.0  # pixels; of the warp's matrix, _STEEPEST_STEP
_STEEPEST_STEP = 0.1


def align_pictures(
    left: NDArray[np.uint8], right: NDArray[np.uint8], scale: NDArray[np.float64]
) -> NDArray[np.float64]:
    """How well pairs of pictures agree: float64 (n,), -1 to 1.

    left, right: uint8 (n, 1024), luminances row by row. scale: float64 (n,), how many pixels of `right` one of `left`
    is, at the start. Time: some 60 microseconds a pair.
    """
    agreement = np.empty(len(left))
    align_all(left.astype(np.float32), right.astype(np.float32), scale, agreement)
    return agreement


def verify_crops(candidates: DataFrame) -> DataFrame:
    """The candidates that agree, with their `similarity`, in place of what tells: `crop`, `other_crop` (numbers in
    CROP_SCALES), `thumbnail` and `other_thumbnail`."""
    kept = [field for field in candidates.schema.fields if field.name not in _TELLING]
    schema = ", ".join(f"{field.name} {field.dataType.simpleString()}" for field in kept) + ", similarity double"
    return candidates.mapInArrow(_verify_batches, schema=schema)


_TELLING = ("crop", "other_crop", "thumbnail", "other_thumbnail")


def _verify_batches(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        yield from verify_candidates(pa.Table.from_batches([batch])).to_batches()


def verify_candidates(candidates: pa.Table) -> pa.Table:
    """verify_crops of a table."""
    scales = np.array(CROP_SCALES)
    left, right = (_pictures(candidates[name]) for name in ("thumbnail", "other_thumbnail"))
    crop, other_crop = (candidates[name].to_numpy() for name in ("crop", "other_crop"))
    agreement = align_pictures(left, right, scales[other_crop] / scales[crop])
    told = candidates.drop_columns(list(_TELLING)).append_column("similarity", pa.array(np.minimum(agreement, 1.0)))
    return told.filter(pa.array(agreement >= LEAST_AGREEMENT))


def _pictures(column: pa.ChunkedArray) -> NDArray[np.uint8]:
    return np.frombuffer(b"".join(column.to_pylist()), np.uint8).reshape(len(column), SIDE * SIDE)


@kernel(error_model="numpy")
def align_all(left, right, scale, agreement):
    """Fills `agreement` for each pair of float32 (n, 1024)."""
    warp = np.empty(6)
    warped = np.empty((SIDE, SIDE))
    for pair in range(len(left)):
        one, other = left[pair].reshape(SIDE, SIDE), right[pair].reshape(SIDE, SIDE)
        warp[:] = 0.0
        warp[2] = warp[5] = scale[pair]
        agreement[pair] = -1.0
        if fit_warp(one, other, warp) and warp_over(other, warp, warped):
            agreement[pair] = correlate_gradients(one, warped)


@kernel(error_model="numpy")
def luminance_at(picture, x, y):
    """Bilinear; a place outside takes the nearest inside."""
    x, y = min(max(x, 0.0), SIDE - 1.001), min(max(y, 0.0), SIDE - 1.001)
    column, row = int(x), int(y)
    right, down = x - column, y - row
    upper = picture[row, column] * (1 - right) + picture[row, column + 1] * right
    lower = picture[row + 1, column] * (1 - right) + picture[row + 1, column + 1] * right
    return upper * (1 - down) + lower * down


@kernel(error_model="numpy")
def fit_warp(one, other, warp):
    """Moves `warp` so that one(x) = gain * other(warp(x)) + offset as nearly as may be; False where they are no match.

    warp: shift x, shift y, then the matrix row by row, about the centre.
    """
    centre = (SIDE - 1) / 2
    normal, moment, slope = np.zeros((8, 8)), np.zeros(8), np.zeros(8)
    for _ in range(_ROUNDS):
        normal[:] = 0.0
        moment[:] = 0.0
        for row in range(_MARGIN, SIDE - _MARGIN):
            for column in range(_MARGIN, SIDE - _MARGIN):
                u, v = column - centre, row - centre
                x = centre + warp[0] + warp[2] * u + warp[3] * v
                y = centre + warp[1] + warp[4] * u + warp[5] * v
                if x < 1 or y < 1 or x > SIDE - 2 or y > SIDE - 2:
                    continue
                across = luminance_at(other, x + 0.5, y) - luminance_at(other, x - 0.5, y)
                down = luminance_at(other, x, y + 0.5) - luminance_at(other, x, y - 0.5)
                slope[0], slope[1], slope[2], slope[3] = across, down, across * u, across * v
                slope[4], slope[5], slope[6], slope[7] = down * u, down * v, luminance_at(other, x, y), 1.0
                for i in range(8):
                    moment[i] += slope[i] * one[row, column]
                    for j in range(i, 8):
                        normal[i, j] += slope[i] * slope[j]
        for i in range(8):
            for j in range(i):
                normal[i, j] = normal[j, i]
            normal[i, i] += 1e-3 * (normal[i, i] + 1)  # so that a flat picture can be solved too
        solved = np.linalg.solve(normal, moment)
        gain = solved[6]
        if not gain >= _LEAST_GAIN:
            return False
        moved = 0.0
        for i in range(6):
            most = _LONGEST_STEP if i < 2 else _STEEPEST_STEP
            step = min(max(solved[i] / gain, -most), most)
            warp[i] += step
            moved += abs(step) * (1 if i < 2 else SIDE / 2)
        if moved < 0.02:
            break
    return True


@kernel(error_model="numpy")
def warp_over(picture, warp, warped):
    """Fills `warped` with the picture as the other sees it, NaN outside it; False where they overlap too little."""
    centre = (SIDE - 1) / 2
    inside = 0
    for row in range(SIDE):
        for column in range(SIDE):
            u, v = column - centre, row - centre
            x = centre + warp[0] + warp[2] * u + warp[3] * v
            y = centre + warp[1] + warp[4] * u + warp[5] * v
            if 0.5 <= x <= SIDE - 1.5 and 0.5 <= y <= SIDE - 1.5:
                warped[row, column] = luminance_at(picture, x, y)
                inside += 1
            else:
                warped[row, column] = np.nan
    return inside >= _LEAST_OVERLAP * SIDE * SIDE


@kernel(error_model="numpy")
def correlate_gradients(one, other):
    """The correlation of the gradients of two pictures, of the blocks that agree best, weighted by their contrast."""
    side = SIDE // _BLOCKS
    agreement, weight = np.zeros(_BLOCKS * _BLOCKS), np.zeros(_BLOCKS * _BLOCKS)
    for block in range(_BLOCKS * _BLOCKS):
        top, left = block // _BLOCKS * side, block % _BLOCKS * side
        both = one_square = other_square = 0.0
        for row in range(max(1, top), min(SIDE - 1, top + side)):
            for column in range(max(1, left), min(SIDE - 1, left + side)):
                across = other[row, column + 1] - other[row, column - 1]
                down = other[row + 1, column] - other[row - 1, column]
                if np.isnan(across + down):
                    continue
                own_across = one[row, column + 1] - one[row, column - 1]
                own_down = one[row + 1, column] - one[row - 1, column]
                both += own_across * across + own_down * down
                one_square += own_across * own_across + own_down * own_down
                other_square += across * across + down * down
        weight[block] = np.sqrt(one_square * other_square)
        agreement[block] = both / (weight[block] + 1e-6)
    best = np.argsort(agreement)[_LEFT_OUT:]
    return (agreement[best] * weight[best]).sum() / (weight[best].sum() + 1e-6)
