"""How alike people are who were found."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from transforms.people.grouping import Groups, Profile
from transforms.people.linkage import GRID

_BLOCK = 1024


def alike_people(
    sums: NDArray[Any], count: NDArray[Any], *, profile: Profile, least: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Pairs i < j of people who are alike by `least` or more, the most alike first, and how alike they are.

    sums: (p, d), of the grid rows of the faces that found each person; count: (p,), how many. How alike two are is the
    cosine of their means, noise taken out, as `Profile.person` compares it.

    Memory: 8 bytes times _BLOCK a person. Time: quadratic in people.
    """
    groups = Groups.of_looks(sums, count, profile)
    means = groups.vectors / (groups.weight * GRID)[:, None]
    found: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]] = []
    for start in range(0, len(means), _BLOCK):
        alike = means[start : start + _BLOCK] @ means.T
        alike[np.arange(len(alike))[:, None] + start >= np.arange(len(means))] = -1.0
        rows, others = np.nonzero(alike >= least)
        found.append((rows + start, others, alike[rows, others]))
    if not found:
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)
    i, j, likeness = (np.concatenate(each) for each in zip(*found, strict=True))
    order = np.lexsort((j, i, -likeness))
    return i[order], j[order], likeness[order]
