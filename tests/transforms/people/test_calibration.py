"""Profiles fitted to made-up faces of other geometries, judged on people who were not among the labelled."""

from dataclasses import replace

import numpy as np
import pytest

from transforms.people.calibration import (
    DEFAULTS,
    Library,
    bcubed,
    calibrate,
    count_strangers,
    cross_validate,
    group_pairs,
)
from transforms.people.grouping import Profile, group_faces

pytestmark = pytest.mark.long

DIMENSION = 128
COMMON = np.random.default_rng(0).standard_normal(DIMENSION) / np.sqrt(DIMENSION)
"""What all faces of a model have in common, whoever they show."""


def unit(rows: np.ndarray) -> np.ndarray:
    """Rows of length 1."""
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def library(seed: int, *, people: int = 24, common: float = 0.0, noise: float = 0.6) -> Library:
    """Twelve good and six poor faces each, of two looks, every two people relatives; and a stranger's face for each."""
    rng = np.random.default_rng(seed)
    group = np.concatenate([np.repeat(np.arange(people), 18), people + np.arange(people)])
    is_good = (np.arange(len(group)) % 18 < 12) & (group < people)
    quality = np.where(is_good, rng.uniform(0.82, 1.0, len(group)), rng.uniform(0.3, 0.8, len(group)))
    centres = unit(rng.standard_normal((2 * people, DIMENSION)))
    centres[1:people:2] = unit(0.72 * centres[0:people:2] + 0.7 * centres[1:people:2])
    looks = unit(rng.standard_normal((2 * people, 2, DIMENSION)))
    shown = unit(centres[group] + 0.6 * looks[group, np.arange(len(group)) % 2])
    blur = (noise + 1.6 * (1 - quality))[:, None] / np.sqrt(DIMENSION) * rng.standard_normal(shown.shape)
    rows = unit(unit(shown + blur) + common * COMMON)
    return Library(rows.astype(np.float32), is_good, np.arange(len(group)), quality, group)


def in_pairs(labelled: Library, seed: int = 1, each: int = 6) -> Library:
    """The same faces, labelled by pairs: each face with another of its person, and with strangers picked at random."""
    rng = np.random.default_rng(seed)
    n = len(labelled.group)
    following = np.flatnonzero(np.diff(labelled.group) == 0)
    left, right = np.repeat(np.arange(n), each), rng.integers(0, n, n * each)
    strangers = labelled.group[left] != labelled.group[right]
    left = np.concatenate([following, left[strangers]])
    right = np.concatenate([following + 1, right[strangers]])
    group, apart = group_pairs(n, left, right, np.arange(len(left)) < len(following))
    return replace(labelled, group=group, apart=apart)


def f_measure(faces: Library, profile: Profile) -> float:
    """BCubed F of the people that a profile finds."""
    person = group_faces(
        faces.embeddings, is_good=faces.is_good, image=faces.image, quality=faces.quality, profile=profile
    ).person
    precision, recall = bcubed(faces, person).mean(axis=1)
    return float(2 * precision * recall / (precision + recall))


GEOMETRIES = {
    "strangers alike": ({"common": 0.5}, 0.95),
    "faces of one person little alike": ({"noise": 1.1}, 0.93),
    "both": ({"common": 0.5, "noise": 0.9}, 0.85),
}
"""Other geometries, and BCubed F that is reached there."""


@pytest.mark.parametrize(("geometry", "reached"), GEOMETRIES.values(), ids=GEOMETRIES)
@pytest.mark.parametrize("labels", ["people", "pairs"])
def test_people_who_were_not_labelled_are_found_better(geometry: dict[str, float], reached: float, labels: str) -> None:
    labelled, others = library(1, **geometry), library(2, **geometry)
    profile = calibrate([in_pairs(labelled) if labels == "pairs" else labelled])
    before, after = f_measure(others, DEFAULTS), f_measure(others, profile)
    assert before < 0.75
    assert after > reached


def test_defaults_that_fit_do_no_worse() -> None:
    labelled, others = library(3), library(4)
    assert f_measure(others, calibrate([labelled])) >= f_measure(others, DEFAULTS) - 0.005


def test_people_are_left_out_in_turn() -> None:
    labelled = library(5, common=0.5)
    before, after = cross_validate([labelled])
    assert before == pytest.approx(f_measure(labelled, DEFAULTS))
    assert after > 0.9
    assert before < 0.75


def test_strangers_of_one_person_alone_are_enough() -> None:
    labelled = library(5, people=12, common=0.5)
    others = np.setdiff1d(np.unique(labelled.group), [0])
    of_one = replace(labelled, apart=np.stack([np.zeros_like(others), others], axis=1))
    _, after = cross_validate([of_one])  # once, that person is left out, and no strangers are known
    assert 0.8 < after <= 1


def test_libraries_are_not_compared_with_each_other() -> None:
    one = library(6, people=12, common=0.5)
    same_people_elsewhere = replace(one, image=one.image + 1000)
    both, alone = (vars(calibrate(libraries)) for libraries in ([one, same_people_elsewhere], [one]))
    assert both == pytest.approx(alone, abs=1e-3)


def test_the_order_of_faces_does_not_matter() -> None:
    labelled = library(7, people=12, common=0.5)
    order = np.random.default_rng(8).permutation(len(labelled.group))
    assert calibrate([labelled.take(order)]) == calibrate([labelled])


def test_what_no_label_tells_stays_as_it_is() -> None:
    labelled = library(9, people=12)
    profile = calibrate([labelled.take(labelled.is_good)])
    chosen = ("strangers_admitted", "margin", "join_from", "good_quality", "founders")
    assert {name: getattr(profile, name) for name in chosen} == {name: getattr(DEFAULTS, name) for name in chosen}
    # no face joins, so nothing tells how relatives are to be judged
    assert (profile.kin, profile.kin_slope) == (DEFAULTS.kin, DEFAULTS.kin_slope)


@pytest.mark.parametrize("seed", range(5))
def test_bcubed_against_its_definition(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = 40
    person, group = rng.integers(-1, 6, n), rng.integers(0, 8, n)
    apart = np.array([pair for pair in np.ndindex(8, 8) if pair[0] < pair[1] and rng.random() < 0.6])
    for known in (None, apart):
        faces = Library(np.zeros((n, 2)), np.ones(n, bool), np.arange(n), np.ones(n), group, known)
        pairs = {tuple(pair) for pair in apart.tolist()}
        precision, recall = [], []
        for i in range(n):
            with_i = [j for j in range(n) if j == i or (person[j] == person[i] >= 0)]
            right = [j for j in with_i if group[j] == group[i]]
            wrong = [
                j
                for j in with_i
                if group[j] != group[i] and (known is None or tuple(sorted((int(group[i]), int(group[j])))) in pairs)
            ]
            precision.append(len(right) / (len(right) + len(wrong)))
            recall.append(len(right) / int((group == group[i]).sum()))
        assert np.allclose(bcubed(faces, person), [precision, recall])


def test_pairs_make_groups_and_say_which_are_apart() -> None:
    left, right = np.array([0, 1, 3, 0, 2]), np.array([1, 2, 4, 3, 0])
    group, apart = group_pairs(6, left, right, np.array([True, True, True, False, False]))
    assert group[0] == group[1] == group[2]
    assert group[3] == group[4]
    assert len({group[0], group[3], group[5]}) == 3
    assert apart.tolist() == [[group[0], group[3]], [group[0], group[0]]]


def test_only_pairs_that_were_told_are_strangers() -> None:
    group = np.repeat([0, 1, 2], 3)
    faces = Library(np.eye(9), np.ones(9, bool), np.arange(9), np.ones(9), group, np.array([[1, 0], [1, 7]]))
    assert count_strangers(faces) == 9
    assert count_strangers(replace(faces, apart=None)) == 27
    assert faces.are_apart(np.array([0, 0, 1]), np.array([1, 2, 2])).tolist() == [True, False, False]


def test_founders_are_good_faces_in_several_images() -> None:
    group, image = np.repeat([0, 1, 2], 3), np.array([1, 2, 3, 4, 4, 5, 6, 7, 8])
    faces = Library(np.eye(9), np.arange(9) != 8, image, np.ones(9), group)
    assert faces.founded(3) == 1
