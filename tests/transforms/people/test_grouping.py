"""People from made-up faces: who is found, who joins, who stays out; the same whatever the order."""

import numpy as np
import pytest

from transforms.people.grouping import People, Profile, found, group_faces, normal_tail
from transforms.people.linkage import LIMITS, grid, linkage, neighbours

Rng = np.random.Generator
PROFILE = Profile()


def unit(rows: np.ndarray) -> np.ndarray:
    """Rows of length 1."""
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def faces_of(rng: Rng, centre: np.ndarray, count: int, quality: float) -> np.ndarray:
    """Faces around a direction, the further off the worse they are."""
    noise = (0.6 + 1.6 * (1 - quality)) / np.sqrt(len(centre))
    return unit(centre + noise * rng.standard_normal((count, len(centre))))


class Library:
    """Six people of ten good and five poor faces each, twenty strangers, poor faces drawn to one direction."""

    def __init__(self, seed: int = 1, dimension: int = 256) -> None:
        rng = np.random.default_rng(seed)
        centres = unit(rng.standard_normal((6, dimension)))
        drawn = unit(rng.standard_normal(dimension))
        good = [faces_of(rng, centre, 10, 0.95) for centre in centres]
        poor = [unit(faces_of(rng, centre, 5, 0.6) + 0.5 * drawn) for centre in centres]
        strangers = unit(unit(rng.standard_normal((20, dimension))) + 0.5 * drawn)
        self.embeddings = np.concatenate([*good, *poor, strangers]).astype(np.float32)
        self.person = np.concatenate([np.repeat(np.arange(6), 10), np.repeat(np.arange(6), 5), np.full(20, -1)])
        self.is_good = np.arange(len(self.person)) < 60
        self.quality = np.where(self.is_good, 0.95, 0.6)
        self.image = np.arange(len(self.person))

    def group(self, order: np.ndarray | None = None) -> People:
        """The people found, with the faces in some order."""
        order = np.arange(len(self.person)) if order is None else order
        return group_faces(
            self.embeddings[order],
            is_good=self.is_good[order],
            image=self.image[order],
            quality=self.quality[order],
            profile=PROFILE,
        )


def partition(person: np.ndarray) -> set[frozenset[int]]:
    """The rows of each person."""
    return {frozenset(np.flatnonzero(person == each).tolist()) for each in np.unique(person[person >= 0])}


def test_good_faces_found_poor_ones_join_strangers_stay_out() -> None:
    library = Library()
    people = library.group()
    assert partition(people.person[:60]) == partition(library.person[:60])
    assert people.is_founder[:60].all()
    assert not people.is_founder[60:].any()
    joined = np.flatnonzero(people.person[60:90] >= 0) + 60
    assert len(joined) >= 20
    whose = {int(people.person[row]): int(library.person[row]) for row in range(60)}
    assert all(whose[int(people.person[row])] == library.person[row] for row in joined)
    assert (people.person[90:] == -1).all()
    assert (people.confidence[people.person < 0] == 0).all()
    assert ((people.confidence[joined] > 0.3) & (people.confidence[joined] < 1)).any()
    assert people.person[people.representative].tolist() == list(range(6))


def test_the_order_of_faces_does_not_matter() -> None:
    library = Library(seed=2)
    first = library.group()
    order = np.random.default_rng(3).permutation(len(library.person))
    again = library.group(order)
    back = np.argsort(order)
    assert partition(again.person[back]) == partition(first.person)
    assert (again.confidence[back] == first.confidence).all()
    assert (again.is_founder[back] == first.is_founder).all()
    assert set(order[again.representative]) == set(first.representative)


def test_three_good_faces_in_three_images_found_a_person() -> None:
    rng = np.random.default_rng(4)
    rows = faces_of(rng, unit(rng.standard_normal(256)), 3, 0.95)

    def people(images: list[int], good: list[bool]) -> int:
        result = group_faces(
            rows, is_good=np.array(good), image=np.array(images), quality=np.full(3, 0.95), profile=PROFILE
        )
        return len(result.representative)

    assert people([1, 2, 3], [True] * 3) == 1
    assert people([1, 2, 2], [True] * 3) == 0
    assert people([1, 2, 3], [True, True, False]) == 0


@pytest.mark.parametrize("count", [0, 1, 2])
def test_too_few_faces_are_nobody(count: int) -> None:
    rows = np.random.default_rng(5).standard_normal((count, 8))
    people = group_faces(
        rows, is_good=np.ones(count, bool), image=np.arange(count), quality=np.ones(count), profile=PROFILE
    )
    assert people.person.tolist() == [-1] * count
    assert len(people.representative) == 0


def test_found_counts_images_not_faces() -> None:
    person = np.array([0, 0, 0, 1, 1, 1, 1])
    image = np.array([1, 2, 3, 7, 7, 8, 8])
    assert found(person, image, 3).tolist() == [0, 0, 0, -1, -1, -1, -1]


def test_neighbours_and_linkage_against_the_whole_matrix() -> None:
    rng = np.random.default_rng(6)
    rows = np.concatenate([faces_of(rng, centre, 8, 0.9) for centre in unit(rng.standard_normal((5, 64)))])
    x = grid(rows)
    left, right, _ = neighbours(x, 0.3, LIMITS)
    cosines = (x.astype(np.float64) @ x.T.astype(np.float64)) / 4000.0**2
    expected = {(i, j) for i in range(len(x)) for j in range(i + 1, len(x)) if cosines[i, j] >= 0.3}
    assert set(zip(left.tolist(), right.tolist(), strict=True)) == expected
    label = linkage(x, np.ones(len(x)), left, right, 0.4)
    assert partition(label) == partition(np.repeat(np.arange(5), 8))


def test_normal_tail() -> None:
    assert normal_tail(0.5) == pytest.approx(0, abs=1e-9)
    assert normal_tail(0.0227501319) == pytest.approx(2, abs=1e-6)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"look": 2.0}, "look is 2.0"),
        ({"join_from": 0.0}, "join_from"),
        ({"founders": 2}, "3 or more"),
        ({"stranger_sd": 0.0}, "stranger_sd"),
    ],
)
def test_a_profile_that_makes_no_sense_is_refused(value: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Profile(**value)  # type: ignore[arg-type]
