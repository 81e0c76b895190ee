"""The faces of a picture: found, turned upright, embedded, and judged."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from schemas.figures import BOUNDARY, HEAD_POSE
from transforms.pictures.face_alignment import align, head_pose
from transforms.pictures.face_detection import find_faces
from transforms.pictures.face_networks import Detector, Embedder, FaceRecipe
from transforms.pictures.face_quality import FaceSigns, face_quality, mouth_share, sharpness

FACE = pa.struct(
    [
        pa.field("boundary", BOUNDARY),
        pa.field("head_pose", HEAD_POSE),
        pa.field("face_quality", pa.float32()),
        pa.field("embedding", pa.list_(pa.float32())),
    ]
)
"""A face of a picture, as the columns of `figures` have it: box in pixels of the upright picture, unit embedding."""

MOST_FACES = 500
"""Of a picture, the best: a crowd beyond that is no album's people."""
LEAST_SIDE = 16.0
"""Pixels of the shorter side of a box from which a face is embedded; below, it says nothing of anybody."""


class FaceFinder:
    """Finds and embeds the faces of pictures: one for a task, as its networks are loaded once.

    Memory: some 200 MB for YuNet and SFace, and a few copies of the picture at the detector's scale.
    """

    def __init__(self, recipe: FaceRecipe) -> None:
        self.recipe = recipe
        self._detector = Detector(recipe.detector, threads=recipe.threads, device=recipe.device)
        self._embedder = Embedder(recipe.embedder, threads=recipe.threads, device=recipe.device)

    def find(self, picture: Image.Image, *, scale: float = 1.0) -> list[dict[str, Any]]:
        """The faces of a picture (RGB, upright), best first by the detector; rows of FACE.

        `scale` is how large the picture is, against the original of which it is a reduction: boxes and sizes are the
        original's.
        """
        boxes = find_faces(picture, self._detector)
        sides = (boxes.box[:, 2:] - boxes.box[:, :2]).min(axis=1)
        boxes = boxes[sides >= LEAST_SIDE][:MOST_FACES]
        return [self._describe(picture, boxes[n : n + 1], scale) for n in range(len(boxes.score))]

    def _describe(self, picture: Image.Image, one: Any, scale: float) -> dict[str, Any]:
        face = align(picture, one.landmarks[0])
        vector = self._embedder.embed(face)
        length = float(np.linalg.norm(vector))
        pose = head_pose(one.landmarks[0])
        left, top, right, bottom = one.box[0] / scale
        signs = FaceSigns(
            score=float(one.score[0]),
            length=length,
            side=float(min(right - left, bottom - top)),
            sharpness=sharpness(face),
            mouth=mouth_share(face),
            angle=max(abs(pose.yaw), abs(pose.pitch)),
        )
        return {
            "boundary": {
                "left": round(left),
                "top": round(top),
                "width": max(1, round(right - left)),
                "height": max(1, round(bottom - top)),
            },
            "head_pose": {"yaw": pose.yaw, "pitch": pose.pitch, "roll": pose.roll},
            "face_quality": face_quality(signs, length=self.recipe.length),
            "embedding": (vector / max(length, 1e-9)).tolist(),
        }
