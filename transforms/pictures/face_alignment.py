"""Five landmarks of a face: how the head is held, and the face turned upright, as embedders want it.

Landmarks are the eyes, the nose's tip and the corners of the mouth, those on the picture's left first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE = 112
"""Pixels of a side of an aligned face."""
TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
"""Where an aligned face has its landmarks. Source: ArcFace; SFace and InsightFace's networks want the same."""

# The nose's tip stands out by 0.43 of the distance of the pupils (27 mm of 63); the others lie in one plane.
_DEPTHS = np.array([0.0, 0.0, 0.43, 0.0, 0.0]) * (TEMPLATE[1, 0] - TEMPLATE[0, 0])
_MODEL = np.column_stack([TEMPLATE, _DEPTHS])
_FIT = np.linalg.pinv(_MODEL - _MODEL.mean(axis=0))  # (3, 5): of a picture of the model, its projection


@dataclass(frozen=True)
class HeadPose:
    """Degrees; 0 faces the camera. Yaw: to the picture's right; pitch: downwards; roll: clockwise."""

    yaw: float
    pitch: float
    roll: float


def head_pose(landmarks: NDArray[np.floating]) -> HeadPose:
    """The pose by which a mean face, seen from afar, comes nearest to the landmarks (5, 2).

    The line of the eyes is the roll; what is left is fitted by least squares.
    """
    eyes = landmarks[1] - landmarks[0]
    roll = float(np.arctan2(eyes[1], eyes[0]))
    cos, sin = np.cos(roll), np.sin(roll)
    upright = (landmarks - landmarks.mean(axis=0)) @ np.array([[cos, -sin], [sin, cos]])
    across, down = (_FIT @ upright).T
    yaw, pitch = np.arctan2(across[2], across[0]), np.arctan2(down[2], down[1])
    return HeadPose(*(float(np.degrees(angle)) for angle in (yaw, pitch, roll)))


def similarity(landmarks: NDArray[np.floating]) -> NDArray[np.float64]:
    """The shift, turn and scale (2, 3) that bring landmarks nearest to the template's. Source: Umeyama, 1991."""
    points = np.asarray(landmarks, np.float64)
    from_, to = points.mean(axis=0), TEMPLATE.mean(axis=0)
    a, b = points - from_, TEMPLATE - to
    # In the plane, least squares over (p, q) of the matrix [[p, -q], [q, p]] has this closed form; no mirroring.
    norm = max(float((a * a).sum()), 1e-9)
    p = float((a * b).sum()) / norm
    q = float((a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum()) / norm
    turn = np.array([[p, -q], [q, p]])
    return np.column_stack([turn, to - turn @ from_])


def align(picture: Image.Image, landmarks: NDArray[np.floating]) -> NDArray[np.uint8]:
    """The face of a picture (RGB) with its landmarks where the template has them: (112, 112, 3).

    Sampled bilinearly, as the networks' makers do; of faces over twice as large each pixel is averaged first. What
    lies outside of the picture is black.
    """
    matrix = similarity(landmarks)
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    factor = int(1 / scale) if scale > 0 else 1
    inverse = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))[:2]
    if factor >= 2:  # of the part that is needed
        corners = inverse @ np.array([[0, SIDE, 0, SIDE], [0, 0, SIDE, SIDE], [1, 1, 1, 1]])
        low = np.clip(np.floor(corners.min(axis=1)) - factor, 0, None).astype(int)
        high = np.minimum(np.ceil(corners.max(axis=1)).astype(int) + factor, picture.size)
        if (high - low < factor).any():
            return np.zeros((SIDE, SIDE, 3), np.uint8)
        picture = picture.crop((*low, *high)).reduce(factor)
        inverse[:, 2] = (inverse[:, 2] - low + 0.5) / factor - 0.5
        inverse[:, :2] /= factor
    # Pillow counts from the corners of pixels, the matrix from their middles.
    inverse[:, 2] += 0.5 - 0.5 * inverse[:, :2].sum(axis=1)
    coefficients = tuple(float(value) for value in inverse.ravel())
    face = picture.transform((SIDE, SIDE), Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR)
    return np.asarray(face)
