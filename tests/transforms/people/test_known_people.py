"""How well people are found whom somebody knows: real faces with SFace's profile, made and spoiled ones by defaults."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from jobs.people.face_models import DEFAULT_FAMILY, read_family
from schemas.figures import MAX_ANGLE, MIN_QUALITY, MIN_SIDE
from transforms.people.calibration import Library, bcubed
from transforms.people.grouping import Profile, group_faces

SHARED = Path(__file__).parents[4] / "shared"
REAL, MAKER = SHARED / "data/faces/real_faces.parquet", SHARED / "bench/make_faces.py"


def scores(library: Library, profile: Profile) -> tuple[float, float, float]:
    """BCubed F of people of three faces or more, and of all; precision of the pairs of faces of the former."""
    person = group_faces(
        library.embeddings, is_good=library.is_good, image=library.image, quality=library.quality, profile=profile
    ).person
    shares = bcubed(library, person)
    several = np.bincount(library.group)[library.group] >= 3
    (p3, r3), (p, r) = shares[:, several].mean(axis=1), shares.mean(axis=1)
    at = np.flatnonzero(several & (person >= 0))
    together = (person[at][:, None] == person[at]) & ~np.eye(len(at), dtype=bool)
    right = (library.group[at][:, None] == library.group[at])[together].mean()
    return float(2 * p3 * r3 / (p3 + r3)), float(2 * p * r / (p + r)), float(right)


@pytest.mark.long
@pytest.mark.skipif(not REAL.exists(), reason=f"no {REAL}: faces whose people are known")
def test_real_faces_by_the_profile_of_their_model() -> None:
    faces = pq.read_table(REAL)
    column = {name: faces[name].to_numpy() for name in ("width", "height", "yaw", "pitch", "roll", "detector_score")}
    good = (column["width"] > MIN_SIDE) & (column["height"] > MIN_SIDE) & (column["detector_score"] > MIN_QUALITY)
    good &= np.all([np.abs(column[angle]) < MAX_ANGLE for angle in ("yaw", "pitch", "roll")], axis=0)
    group = np.unique(faces["person"].to_numpy(), return_inverse=True)[1]
    vectors = np.stack(faces["embedding"].to_numpy()).astype(np.float32)
    library = Library(vectors, good, np.arange(len(group)), column["detector_score"].astype(float), group)
    profile = read_family(DEFAULT_FAMILY).profile
    of_people, of_all, right = scores(library, profile)
    assert of_people > 0.979  # by the rule for good faces, 0.987 at most
    assert of_all > 0.980
    assert right > 0.997
    every_good = Library(vectors, np.ones_like(good), library.image, library.quality, group)
    of_people, of_all, right = scores(every_good, profile)
    assert of_people > 0.992
    assert of_all > 0.988
    assert right > 0.998
    assert scores(every_good, Profile())[0] < of_people


@pytest.mark.skipif(not MAKER.exists(), reason=f"no {MAKER}: it makes faces whose people are known")
def test_spoiled_faces_by_the_defaults() -> None:
    made = runpy.run_path(str(MAKER))["make"](2000, 40, 256, 101 * 1_000_003)
    quality, pose = made["face_quality"], np.stack([made[angle] for angle in ("yaw", "pitch", "roll")])
    good = (made["side"] > MIN_SIDE) & (quality > MIN_QUALITY) & (np.abs(pose) < MAX_ANGLE).all(axis=0)
    person = made["person"]
    group = np.unique(np.where(person >= 0, person, -1 - np.arange(len(person))), return_inverse=True)[1]
    of_people, of_all, right = scores(Library(made["embedding"], good, np.arange(len(good)), quality, group), Profile())
    assert of_people > 0.984
    assert of_all > 0.986
    assert right == 1.0
