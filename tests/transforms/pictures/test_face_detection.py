"""Tiles, scales and doubles, without a network; how landmarks are read."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from transforms.pictures.face_alignment import SIDE, TEMPLATE, align, head_pose, similarity
from transforms.pictures.face_detection import OVERLAP, _starts, scales, without_doubles
from transforms.pictures.face_networks import Boxes


@pytest.mark.parametrize("length", [1, 639, 640, 641, 1184, 1185, 5000])
def test_tiles_cover_a_side_and_overlap(length: int) -> None:
    starts = _starts(length, 640)
    assert starts[0] == 0
    assert starts[-1] == max(0, length - 640)
    assert all(0 < later - earlier <= 640 - OVERLAP for earlier, later in pairwise(starts))


@pytest.mark.parametrize("size", [(40_000, 500), (20_000, 5_000), (1, 9), (640, 640), (641, 2), (1080, 30_000)])
def test_scales_bound_the_work(size: tuple[int, int]) -> None:
    found = scales(size, 640)
    assert found[-1] * max(size) <= 640 * 1.001
    assert max(found) <= 1
    tiles = sum(len(_starts(round(size[0] * s), 640)) * len(_starts(round(size[1] * s), 640)) for s in found)
    assert tiles <= 40


def test_of_boxes_on_one_face_the_best_stays() -> None:
    box = np.array([[0, 0, 100, 100], [5, 5, 105, 105], [20, 20, 60, 60], [300, 0, 400, 100]], np.float32)
    boxes = Boxes(box, np.zeros((4, 5, 2), np.float32), np.array([0.9, 0.95, 0.8, 0.85], np.float32))
    assert without_doubles(boxes, overlap=0.3).box[:, 0].tolist() == [5, 300]


def turned(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """The landmarks of a mean head, turned by angles in degrees, seen from afar."""
    points = np.column_stack([TEMPLATE, [0, 0, 0.43 * 35.2, 0, 0]]) - [*TEMPLATE.mean(axis=0), 0.086 * 35.2]
    y, p, r = np.radians([yaw, pitch, roll])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(p), np.sin(p)], [0, -np.sin(p), np.cos(p)]])
    about_z = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    return 3 * (points @ (about_z @ about_x @ about_y).T)[:, :2] + [200, 300]


@pytest.mark.parametrize(
    "angles", [(0, 0, 0), (25, 0, 0), (-40, 0, 0), (0, 20, 0), (0, -20, 0), (0, 0, 30), (20, 5, -15)]
)
def test_pose_is_read_from_landmarks(angles: tuple[float, float, float]) -> None:
    pose = head_pose(turned(*angles))
    assert (pose.yaw, pose.pitch, pose.roll) == pytest.approx(angles, abs=4)


def test_a_face_is_aligned_to_the_template() -> None:
    landmarks = turned(0, 0, 25)
    matrix = similarity(landmarks)
    assert landmarks @ matrix[:, :2].T + matrix[:, 2] == pytest.approx(TEMPLATE, abs=0.5)
    picture = Image.new("RGB", (400, 500))
    for x, y in landmarks:
        picture.paste((255, 255, 255), (round(x) - 4, round(y) - 4, round(x) + 5, round(y) + 5))
    face = align(picture, landmarks)
    assert face.shape == (SIDE, SIDE, 3)
    assert all(face[round(y), round(x), 0] > 200 for x, y in TEMPLATE)
    assert (face[:, :, 0] > 100).mean() < 0.02
