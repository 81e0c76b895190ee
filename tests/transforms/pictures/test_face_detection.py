"""Tiles, scales and doubles, without a network; how landmarks are read."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from transforms.pictures.face_alignment import SIDE, TEMPLATE, align, head_pose, similarity
from transforms.pictures.face_detection import OVERLAP, _starts, scales, without_doubles
from transforms.pictures.face_networks import Boxes, _read_scrfd


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


def test_answers_of_scrfd_are_read() -> None:
    """A face of 40 x 64 about (96, 200), a cell of the level of 8: distances and landmarks are in strides."""
    side, least = 640, 0.5
    answers = [
        np.zeros((2 * (side // stride) ** 2, width), np.float32) for width in (1, 4, 10) for stride in (8, 16, 32)
    ]
    row = 2 * (25 * (side // 8) + 12) + 1
    answers[0][row] = 0.9
    answers[3][row] = np.array([16, 28, 24, 36]) / 8
    answers[6][row] = np.array([[-8, -8], [8, -8], [0, 0], [-6, 12], [6, 12]]).ravel() / 8
    found = _read_scrfd(answers, 0, 8, side, least)
    assert found.box.tolist() == [[80, 172, 120, 236]]
    assert found.landmarks[0].tolist() == [[88, 192], [104, 192], [96, 200], [90, 212], [102, 212]]
    assert found.score.tolist() == [np.float32(0.9)]
    assert len(_read_scrfd(answers, 1, 16, side, least).score) == 0
