"""A profile for another embedding model, fitted to labelled faces.

What is fitted, in this order:

1. `look`, `person`: of all steps between strangers and faces of one look, those whose groups of good faces agree best
   with the labels, by BCubed F; of steps that do about as well, the ones nearest to where the defaults lie.
   `self_similarity` is read off the looks that come of it, and `same_look` keeps its place between `person` and 1.
2. `stranger_mean`, `stranger_sd`: of faces with people whom they do not show. Middle and quartiles: relatives, who are
   no strangers, lie far out.
3. `clear_from`, `clear_to`: the line of what faces show of their person, over their quality.
4. `kin`, `kin_slope`: what makes the confidences of joining faces likeliest, given which of them joined rightly; of
   values that the labels cannot tell apart, the nearest to the defaults.

The other values of a profile are choices, not the model's. Labels may name people, or pairs: of pairs only what they
say counts. A group that joins two faces of whom nothing is said is neither right nor wrong; strangers (2) and wrong
joins (4) are the pairs said to be different people, and all pairs of faces of two people of whom one such pair is said.
So pairs that were picked because they look alike make strangers seem alike: pairs picked at random fit better.

Nothing is clustered across datasets, and so nothing is compared across them here: each is a library of its own.

BCubed: Amigó et al., A comparison of extrinsic clustering evaluation metrics, Information Retrieval 12, 2009.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from transforms.people.grouping import (
    Profile,
    References,
    drift,
    found,
    group_faces,
    group_looks,
    group_people,
    judge,
    nearest,
    references,
    without,
)
from transforms.people.linkage import GRID, LIMITS, add_up, compact, grid, row_hash

DEFAULTS = Profile()
FOLDS = 5
"""Parts of the people, of which each is left out once to see how well a profile does."""

_LOOKS = np.linspace(0.55, 1.04, 8)
_PEOPLE = np.linspace(0.38, 0.82, 12)
"""Steps that are tried: shares of the way from strangers to faces of one look, or to one look's noise-free 1."""
_DEFAULT_STEP = (0.72, 0.58)
"""Where the defaults lie, on the libraries that they were made for."""
_AS_WELL = 0.003
"""BCubed F that is about as good: some two faces in a thousand."""
_AS_LIKELY = 2.0
"""Logarithm of a likelihood ratio that tells nothing: 95 % of what chance brings for one value."""
_KINS = DEFAULTS.kin + 0.02 * np.arange(-12, 17)
_KIN_SLOPES = (0.02, 0.035, 0.05, 0.075, 0.11)
_SAMPLE = 2000
"""Faces of a library whose cosines with all others are looked at: the first by the hashes of their embeddings."""
_LEAST_JOINS, _LEAST_SPREAD = 30, 0.1
"""Faces beside the founders, and standard deviation of their quality, from which a line is fitted to them."""


@dataclass(frozen=True)
class Library:
    """Labelled faces of one dataset, n of them.

    `group` numbers from 0 who is shown: faces of one group show one person. `apart`, int (m, 2), has the groups that
    are known to be different people; None: all are.
    """

    embeddings: NDArray[Any]
    is_good: NDArray[np.bool_]
    image: NDArray[Any]
    quality: NDArray[Any]
    group: NDArray[Any]
    apart: NDArray[Any] | None = None

    def take(self, rows: NDArray[Any]) -> Library:
        """Some of the faces."""
        columns = ("embeddings", "is_good", "image", "quality", "group")
        return replace(self, **{name: getattr(self, name)[rows] for name in columns})

    def are_apart(self, left: NDArray[Any], right: NDArray[Any]) -> NDArray[np.bool_]:
        """Whether two groups each are known to be different people."""
        if self.apart is None:
            return np.asarray(left != right)
        groups = max(int(self.group.max(initial=0)), int(self.apart.max(initial=0))) + 1
        known = self.apart.min(axis=1) * groups + self.apart.max(axis=1)
        return np.isin(np.minimum(left, right) * groups + np.maximum(left, right), known)

    def founded(self, founders: int) -> int:
        """How many groups have as many good faces, in as many images, as found a person."""
        who = found(self.group[self.is_good], self.image[self.is_good], founders)
        return len(np.unique(who[who >= 0]))


def group_pairs(count: int, left: NDArray[Any], right: NDArray[Any], same: NDArray[Any]) -> tuple[Any, Any]:
    """`group` and `apart` of `count` faces, from pairs of them (rows) that show one person, or do not.

    Connected pairs of one person are one group. Different people who are one group are told by a pair of equal groups.
    """
    ones = np.ones(int(same.sum()))
    group = connected_components(csr_array((ones, (left[same], right[same])), shape=(count, count)), directed=False)[1]
    different = ~same
    return group, np.stack([group[left[different]], group[right[different]]], axis=1)


def calibrate(libraries: Sequence[Library]) -> Profile:
    """The profile that fits labelled faces, values to four digits.

    Time: some hundred times what grouping the good faces takes, a second for two thousand of them.
    """
    ordered = [_in_order(library) for library in libraries if library.is_good.any()]
    profile = _fit_joining(ordered, _fit_founding(ordered))
    fitted = {name: round(value, 4) for name, value in vars(profile).items() if value != getattr(DEFAULTS, name)}
    return replace(DEFAULTS, **fitted)


def cross_validate(libraries: Sequence[Library]) -> tuple[float, float]:
    """BCubed F of people left out of the fitting: with the defaults, and with profiles fitted to the others.

    The people are left out by FOLDS in turn, nobody's faces with them. Faces are grouped with all others of their
    library, and those of the people left out are looked at.
    """
    before, after = [], []
    plain = [bcubed(library, _group(library, DEFAULTS)) for library in libraries]
    turns = [_turns(library, number) for number, library in enumerate(libraries)]
    for fold in range(FOLDS):
        left_out = [turn == fold for turn in turns]
        profile = calibrate([library.take(~rows) for library, rows in zip(libraries, left_out, strict=True)])
        for library, rows, agreement in zip(libraries, left_out, plain, strict=True):
            before.append(agreement[:, rows])
            after.append(bcubed(library, _group(library, profile))[:, rows])
    return _f_measure(before), _f_measure(after)


def _turns(library: Library, number: int) -> NDArray[Any]:
    """When each face of a library is left out: groups take turns, the largest first; each library begins elsewhere."""
    rank = np.argsort(np.argsort(-np.bincount(library.group), kind="stable"))
    return np.asarray((rank[library.group] + number) % FOLDS)


def count_strangers(library: Library) -> int:
    """How many pairs of good faces are known to show different people, of as many faces as are looked at."""
    return len(_cosines_of_strangers(library))


def _group(library: Library, profile: Profile) -> NDArray[Any]:
    return group_faces(
        library.embeddings, is_good=library.is_good, image=library.image, quality=library.quality, profile=profile
    ).person


def _in_order(library: Library) -> Library:
    """The library as grid rows in the order of their hashes, every quality known."""
    unknown = np.where(library.is_good, DEFAULTS.good_quality, 0.0)
    rows = grid(library.embeddings)
    image = compact(library.image)
    order = np.lexsort((image, library.is_good, row_hash(rows)))
    quality = np.where(np.isnan(library.quality), unknown, library.quality)
    return Library(rows, library.is_good, image, quality, library.group, library.apart).take(order)


def bcubed(library: Library, person: NDArray[Any]) -> NDArray[Any]:
    """BCubed precision and recall of each face, (2, n), as far as the labels tell. Faces of -1 are alone."""
    group, n = library.group, len(person)
    cluster = compact(np.where(person >= 0, person, n + np.arange(n)))
    shape = (int(cluster.max(initial=-1)) + 1, int(group.max(initial=-1)) + 1)
    together = csr_array((np.ones(n), (cluster, group)), shape=shape)
    right = np.asarray(together[cluster, group]).reshape(-1)
    if library.apart is None:
        wrong = np.bincount(cluster)[cluster] - right
    else:
        pairs = np.unique(np.concatenate([library.apart, library.apart[:, ::-1]]), axis=0)
        pairs = pairs[(pairs < shape[1]).all(axis=1)]
        apart = csr_array((np.ones(len(pairs)), tuple(pairs.T)), shape=(shape[1], shape[1]))
        wrong = np.asarray((together @ apart)[cluster, group]).reshape(-1)
    return np.stack([right / (right + wrong), right / np.bincount(group)[group]])


def _f_measure(agreements: Sequence[NDArray[Any]]) -> float:
    precision, recall = np.concatenate(agreements, axis=1).mean(axis=1)
    return float(2 * precision * recall / (precision + recall))


def _cosines_of_strangers(library: Library) -> NDArray[Any]:
    """Cosines of good faces of people known to be different."""
    rows = np.flatnonzero(library.is_good)[:_SAMPLE]
    i, j = np.triu_indices(len(rows), 1)
    apart = library.are_apart(library.group[rows[i]], library.group[rows[j]])
    x = library.embeddings[rows]
    cosines: NDArray[Any] = (x @ x.T / GRID**2)[i[apart], j[apart]]
    return cosines


def _cosines_of_one_look(library: Library) -> NDArray[Any]:
    """The cosine of each good face with the second nearest of its group: of one look, where there are enough faces."""
    order = np.flatnonzero(library.is_good)
    order = order[np.argsort(library.group[order], kind="stable")]
    found = [np.zeros(0)]
    for rows in np.split(order, np.flatnonzero(np.diff(library.group[order])) + 1):
        x = library.embeddings[rows[:_SAMPLE]]
        if len(x) > 2:
            cosines = x @ x.T / GRID**2
            np.fill_diagonal(cosines, -1)
            found.append(np.partition(cosines, -2, axis=1)[:, -2])
    return np.concatenate(found)


def _middle_and_spread(cosines: NDArray[Any]) -> tuple[float, float]:
    """Mean and standard deviation of a normal variable of these quartiles; the defaults' of no cosines."""
    if not len(cosines):
        return DEFAULTS.stranger_mean, DEFAULTS.stranger_sd
    low, middle, high = np.quantile(cosines, [0.25, 0.5, 0.75])
    return float(middle), max(float(high - low) / 1.349, 1e-3)


def _fit_founding(libraries: Sequence[Library]) -> Profile:
    """The defaults, with what decides which good faces are one person."""
    good = [library.take(library.is_good) for library in libraries]
    mean, sd = _middle_and_spread(np.concatenate([_cosines_of_strangers(library) for library in good]))
    # not the middle: people of few faces have no two of one look
    one_look = float(np.quantile(np.concatenate([_cosines_of_one_look(library) for library in good]), 0.75))
    same_look = (DEFAULTS.same_look - DEFAULTS.person) / (1 - DEFAULTS.person)
    trials = []
    for step in _LOOKS.tolist():
        profile = replace(DEFAULTS, look=min(mean + step * (one_look - mean), 0.99), stranger_mean=mean, stranger_sd=sd)
        looks = [group_looks(library.embeddings, profile, LIMITS) for library in good]
        profile = replace(profile, self_similarity=_self_similarity(good, looks))
        strangers = min(mean / profile.self_similarity, 0.95)
        for share in _PEOPLE.tolist():
            person = strangers + share * (1 - strangers)
            trial = replace(profile, person=person, same_look=person + same_look * (1 - person))
            people = [_founders(library, look, trial) for library, look in zip(good, looks, strict=True)]
            score = _f_measure([bcubed(library, who) for library, who in zip(good, people, strict=True)])
            off = abs(step - _DEFAULT_STEP[0]) / np.ptp(_LOOKS) + abs(share - _DEFAULT_STEP[1]) / np.ptp(_PEOPLE)
            trials.append((score, off, trial))
    best = max(score for score, _, _ in trials)
    return min((each for each in trials if each[0] >= best - _AS_WELL), key=lambda each: each[1])[2]


def _founders(good: Library, look: NDArray[Any], profile: Profile) -> NDArray[Any]:
    people: NDArray[Any] = found(group_people(good.embeddings, look, profile, LIMITS), good.image, profile.founders)
    return people


def _self_similarity(libraries: Sequence[Library], looks: Sequence[NDArray[Any]]) -> float:
    """Mean cosine of the pairs of one look, looks counting by their faces; the default's where all are of one face."""
    total = faces = 0.0
    for library, look in zip(libraries, looks, strict=True):
        sums, count = add_up(library.embeddings, look)
        sums, count = sums[count > 1], count[count > 1]
        total += float((((sums * sums).sum(axis=1) / GRID**2 - count) / (count - 1)).sum())
        faces += float(count.sum())
    return min(max(total / faces, 0.01), 0.99) if faces else DEFAULTS.self_similarity


@dataclass(frozen=True)
class _Joining:
    """The faces of a library that found nobody and of whom the labels tell whether their nearest person is theirs."""

    who: NDArray[Any]
    first: NDArray[Any]
    second: NDArray[Any]
    quality: NDArray[Any]
    is_right: NDArray[Any]
    people: References
    strangers: NDArray[Any]
    """Cosines of faces with the references of people known to be others."""

    @property
    def shown(self) -> NDArray[Any]:
        """What each face shows of its nearest person."""
        shown: NDArray[Any] = self.first / self.people.clarity[self.who]
        return shown


def _read_joining(library: Library, profile: Profile) -> _Joining | None:
    """What joining meets in a library; None if nobody is founded there."""
    good = np.flatnonzero(library.is_good)
    look = group_looks(library.embeddings[good], profile, LIMITS)
    of_good = _founders(library.take(good), look, profile)
    founds = of_good >= 0
    if not founds.any():
        return None
    founders, person = good[founds], compact(of_good[founds])
    name = _most_frequent(person, library.group[founders])
    shared = drift(library.embeddings, library.is_good)
    people = references(library.embeddings[founders], look[founds], person, shared, profile)
    sample = library.take(np.arange(min(len(library.group), _SAMPLE)))
    cosines = without(sample.embeddings, shared) @ people.rows.T / GRID**2
    strangers = cosines[library.are_apart(sample.group[:, None], name[people.owner][None, :])]
    rest = np.setdiff1d(np.arange(len(library.group)), founders)
    who, first, second = nearest(library.embeddings[rest], people, LIMITS)
    is_right = library.group[rest] == name[who]
    told = is_right | library.are_apart(library.group[rest], name[who])
    quality = library.quality[rest]
    return _Joining(who[told], first[told], second[told], quality[told], is_right[told], people, strangers)


def _most_frequent(label: NDArray[Any], value: NDArray[Any]) -> NDArray[Any]:
    """The most frequent value of each label, the smallest of several."""
    (labels, values), count = np.unique(np.stack([label, value]), axis=1, return_counts=True)
    order = np.lexsort((values, -count, labels))
    return np.asarray(values[order][np.searchsorted(labels[order], np.arange(int(label.max()) + 1))])


def _fit_joining(libraries: Sequence[Library], profile: Profile) -> Profile:
    """The profile with what decides who joins the people whom it founds."""
    seen = [joining for library in libraries if (joining := _read_joining(library, profile))]
    if not seen:
        return profile
    mean, sd = _middle_and_spread(np.concatenate([joining.strangers for joining in seen]))
    profile = replace(profile, stranger_mean=mean, stranger_sd=sd)
    seen = [replace(each, people=replace(each.people, threshold=each.people.limit(profile))) for each in seen]
    return _fit_kin(seen, _fit_clear(seen, profile))


def _fit_clear(seen: Sequence[_Joining], profile: Profile) -> Profile:
    """... `clear_from` and `clear_to`. The default line at another height, where faces are too few or too alike."""
    right = [joining.is_right for joining in seen]
    shown = np.concatenate([joining.shown[rows] for joining, rows in zip(seen, right, strict=True)])
    quality = np.concatenate([joining.quality[rows] for joining, rows in zip(seen, right, strict=True)])
    if not len(shown):
        return profile
    rise = profile.clear_to - profile.clear_from
    if len(shown) >= _LEAST_JOINS and quality.std() >= _LEAST_SPREAD:
        rise, start = np.polyfit(quality, shown, 1)
    else:
        height = float(np.mean(shown) / np.mean(profile.clear_from + rise * quality))
        rise, start = rise * height, profile.clear_from * height
    clear_from, clear_to = np.clip([start, start + rise], 0.01, 0.99).tolist()
    return replace(profile, clear_from=clear_from, clear_to=clear_to)


def _fit_kin(seen: Sequence[_Joining], profile: Profile) -> Profile:
    """... `kin` and `kin_slope`."""
    trials = []
    for kin in _KINS.tolist():
        for slope in _KIN_SLOPES:
            trial = replace(profile, kin=kin, kin_slope=slope)
            likelihood = sum(_log_likelihood(joining, trial) for joining in seen)
            off = abs(kin - DEFAULTS.kin) / DEFAULTS.kin + abs(np.log(slope / DEFAULTS.kin_slope))
            trials.append((likelihood, off, trial))
    best = max(likelihood for likelihood, _, _ in trials)
    return min((each for each in trials if each[0] >= best - _AS_LIKELY), key=lambda each: each[1])[2]


def _log_likelihood(joining: _Joining, profile: Profile) -> float:
    """Of what the labels say about the faces, by their confidences; none is trusted beyond one in a thousand."""
    _, sure = judge(joining.who, joining.first, joining.second, joining.quality, joining.people, profile)
    sure = np.clip(sure.astype(np.float64), 1e-3, 1 - 1e-3)
    return float(np.log(np.where(joining.is_right, sure, 1 - sure)).sum())
