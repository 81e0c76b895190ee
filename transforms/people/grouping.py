"""The people of a library: good faces found them, the others join whom they are surely of.

1. *Looks*: good faces into tight groups, by average linkage. Large libraries are first cut into cells around pivots
   (the faces of the smallest content hashes), and grouped inside each.
2. *People*: looks into people, by average linkage of their means. Noise shortens a mean by what the look's own pairs
   tell; without that correction small looks would seem further away than they are.
3. A person needs as many good faces, in as many images, as `Profile.founders` says.
4. Every other face joins its nearest person if that is sure enough: against the second nearest, against a stranger who
   comes as near by chance, and against a relative, who shows half of what the person would at that quality. What poor
   faces have in common whoever they show (directions in which they vary more than good ones) is taken away first: it
   is what makes plain methods chain strangers together.

A function of the set of faces alone: neither order nor blocks nor threads matter.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import erfc, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

from transforms.people.linkage import (
    GRID,
    LIMITS,
    Limits,
    add_up,
    compact,
    cut,
    distinct,
    grid,
    linkage,
    neighbours,
    row_hash,
)
from transforms.tables.machine import kernel


@dataclass(frozen=True)
class Profile:
    """What the embedding model decides: cosines, and rates. Calibrated on labelled faces for another model."""

    look: float = 0.50
    """Mean cosine from which good faces are one person in one look."""
    person: float = 0.58
    """Cosine, noise taken out, from which two looks are one person."""
    same_look: float = 0.85
    """Cosine, noise taken out, from which two groups are one look."""
    self_similarity: float = 0.60
    """Typical cosine of two good faces of one look."""
    stranger_mean: float = 0.0
    """Cosine of two strangers: its mean."""
    stranger_sd: float = 0.0625
    """... and its standard deviation."""
    strangers_admitted: float = 0.01
    """Share of strangers who may enter some person by chance."""
    margin: float = 0.5
    """How far the nearest person is before the second, in standard deviations of strangers."""
    clear_from: float = 0.38
    """Cosine with the mean of its own look of a face of quality 0."""
    clear_to: float = 0.80
    """... and of quality 1; in between in a straight line."""
    kin: float = 0.645
    """Share of what its quality promises at which a face is as likely a relative's."""
    kin_slope: float = 0.035
    """... and the change of that share that makes it e times as likely."""
    join_from: float = 0.30
    """Least confidence with which a face joins."""
    good_quality: float = 0.87
    """Typical quality of a good face."""
    good_angle: float = 30.0
    """Degrees of yaw, pitch and roll under which a face is good. IMM's rule; networks may bear more."""
    founders: int = 3
    """Good faces, and images, that found a person. IMM's rule; more are stricter."""

    def __post_init__(self) -> None:
        """Raises ValueError naming what is accepted."""
        for name in ("look", "person", "same_look", "stranger_mean"):
            if not -1 < getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; a cosine between -1 and 1 is accepted")
        for name in ("self_similarity", "strangers_admitted", "clear_from", "clear_to", "kin", "join_from"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; between 0 and 1 is accepted")
        for name in ("stranger_sd", "kin_slope"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}; more than 0 is accepted")
        if not 0 < self.good_angle <= 90:
            raise ValueError(f"good_angle is {self.good_angle}; more than 0 and up to 90 degrees are accepted")
        if self.founders < 3:
            raise ValueError(f"founders is {self.founders}; 3 or more are accepted")


@dataclass(frozen=True)
class People:
    """What was found of n faces and p people."""

    person: NDArray[np.int32]
    """(n,): the person, -1 for nobody's face."""
    confidence: NDArray[np.float32]
    """(n,): how sure it is, 0 to 1; 1 for founders."""
    is_founder: NDArray[np.bool_]
    """(n,)"""
    representative: NDArray[np.int64]
    """(p,): the row of the founder nearest to the person's mean."""

    @classmethod
    def nobody(cls, faces: int) -> People:
        """No people."""
        none = np.full(faces, -1, np.int32)
        return cls(none, np.zeros(faces, np.float32), np.zeros(faces, np.bool_), np.empty(0, np.int64))


def group_faces(
    embeddings: NDArray[Any],
    *,
    is_good: NDArray[Any],
    image: NDArray[Any],
    quality: NDArray[Any],
    profile: Profile,
    limits: Limits = LIMITS,
) -> People:
    """The people of a library.

    embeddings: (n, d) numbers. is_good: bool (n,). image: int (n,), which file shows the face. quality: (n,), 0 to 1;
    NaN where it is not known. Rows of one content are told apart by image only.

    Memory: some 4 (d + 100) bytes a good face thrice. Time: grows with less than n ** 1.5.
    """
    image = np.unique(image, return_inverse=True)[1].reshape(-1)
    rows = grid(embeddings)
    order = np.lexsort((image, is_good, row_hash(rows)))
    rows, good, image = rows[order], is_good[order], image[order]
    good_rows = rows[good]
    if len(good_rows) < profile.founders:
        return People.nobody(len(rows))
    look = group_looks(good_rows, profile, limits)
    of_good = found(group_people(good_rows, look, profile, limits), image[good], profile.founders)
    founds = of_good >= 0
    if not founds.any():
        return People.nobody(len(rows))
    founders, of_founder = np.flatnonzero(good)[founds], compact(of_good[founds])
    people = references(rows[founders], look[founds], of_founder, drift(rows, good), profile)

    person, confidence = np.full(len(rows), -1, np.int32), np.zeros(len(rows), np.float32)
    person[founders], confidence[founders] = of_founder, 1.0
    rest = np.flatnonzero(person < 0)
    person[rest], confidence[rest] = join(rows[rest], good[rest], quality[order][rest], people, profile, limits)

    back = np.empty(len(rows), np.int64)
    back[order] = np.arange(len(rows))
    central = order[founders[most_central(rows[founders], of_founder)]]
    is_founder = np.zeros(len(rows), np.bool_)
    is_founder[founders] = True
    return People(person[back], confidence[back], is_founder[back], central)


def most_central(rows: NDArray[Any], label: NDArray[Any]) -> NDArray[np.int64]:
    """The row of each label that is nearest to the label's mean, the first of several."""
    sums, _ = add_up(rows, label)
    by_label = np.lexsort((np.arange(len(rows)), -centrality(rows, sums[label]), label))
    first: NDArray[np.int64] = by_label[np.searchsorted(label[by_label], np.arange(len(sums)))]
    return first


def centrality(rows: NDArray[Any], sums: NDArray[Any]) -> NDArray[np.float64]:
    """How near each grid row is to the sum of its label's: to compare rows of one label by."""
    near: NDArray[np.float64] = (rows * sums).sum(axis=1, dtype=np.float64)
    return near


def cells(x: NDArray[Any], low: float, limits: Limits) -> NDArray[Any]:
    """Each face's nearest pivot at `low` or above, -1 for none.

    Rows come in the order of their hashes, so the pivots, the first rows of those without one, are a sample that
    depends on the set alone.
    """
    out = np.full(len(x), -1, np.int64)
    for every in limits.pivot_every:
        left = np.flatnonzero(out < 0)
        pivots = left[: max(1, len(left) // every)]
        for a in range(0, len(left), limits.block):
            rows = left[a : a + limits.block]
            near = nearest_pivot(x[rows], x[pivots], low)
            out[rows] = np.where(near >= 0, pivots[near], -1)
    return out


def nearest_pivot(x: NDArray[Any], pivots: NDArray[Any], low: float) -> NDArray[np.int64]:
    """Which of the pivots (grid rows) is nearest to each face at `low` or above, the first of several; -1 for none."""
    best, at = np.full(len(x), -np.inf, np.float32), np.zeros(len(x), np.int64)
    for b in range(0, len(pivots), 4096):
        s = x @ pivots[b : b + 4096].T
        c = s.argmax(1)
        v = s[np.arange(len(s)), c]
        at = np.where(v > best, b + c, at)
        best = np.maximum(v, best)
    pivot: NDArray[np.int64] = np.where(best >= low * GRID**2, at, -1)
    return pivot


def candidate(look: float, limits: Limits) -> float:
    """Cosine under which a pair of faces is not looked at: lower for a model whose faces of one look are less alike."""
    return min(limits.candidate, look - 0.2)


def group_looks(x: NDArray[Any], profile: Profile, limits: Limits) -> NDArray[Any]:
    """The look of each good face, by number: grid rows in the order of their hashes to int (n,)."""
    first = np.arange(len(x))
    if len(x) > limits.cells_from:
        cell = cells(x, profile.look, limits)
        order = np.argsort(cell, kind="stable")
        order = order[cell[order] >= 0]
        cuts = np.flatnonzero(np.diff(cell[order])) + 1
        for part in np.split(order, cuts):
            for a in range(0, len(part), limits.cell_max):
                rows = part[a : a + limits.cell_max]
                first[rows] = rows[group_cell(x[rows], profile, limits)]
    label = compact(first)
    sums, count = add_up(x, label)
    i, j, _ = neighbours(grid(sums), candidate(profile.look, limits), limits)
    look: NDArray[Any] = linkage(sums, count, i, j, profile.look)[label]
    return look


def group_cell(x: NDArray[Any], profile: Profile, limits: Limits) -> NDArray[Any]:
    """The first row of the group that each face of a cell, or of a part of one, is in."""
    if len(x) < 2:
        return np.zeros(len(x), np.int64)
    i, j, _ = neighbours(x, candidate(profile.look, limits), limits)
    label = linkage(x, np.ones(len(x)), i, j, profile.look)
    start = np.full(label.max() + 1, len(x), np.int64)
    np.minimum.at(start, label, np.arange(len(x)))
    first: NDArray[Any] = start[label]
    return first


def noise_free(sums: NDArray[Any], count: NDArray[Any], profile: Profile) -> NDArray[Any]:
    """Length by which a look's mean must be divided so that its noise-free part is a unit vector.

    It is the root of the mean cosine of its pairs, drawn to the typical one while pairs are few.
    """
    pairs = count * (count - 1.0)
    total = (sums * sums).sum(1) / GRID**2 - count
    length: NDArray[Any] = np.sqrt(np.maximum(total + 3.0 * profile.self_similarity, 1e-3) / (pairs + 3.0))
    return length


def vectors(sums: NDArray[Any], count: NDArray[Any], profile: Profile) -> tuple[NDArray[Any], NDArray[Any]]:
    """The weighted noise-free vector of every look, and its weight."""
    weight = count / (count + 2.0)  # a large look says hardly more of the person than a middling one
    return np.rint(sums * (weight / (count * noise_free(sums, count, profile)))[:, None]), weight


@dataclass(frozen=True)
class Groups:
    """Looks, or what they have been put together to."""

    vectors: NDArray[Any]
    """(m, d): the weighted noise-free sums, integers."""
    weight: NDArray[Any]
    """(m,)"""

    @classmethod
    def of_looks(cls, sums: NDArray[Any], count: NDArray[Any], profile: Profile) -> Groups:
        """Each look by itself: the sums of their faces' grid rows, and how many these are."""
        return cls(*vectors(sums, count, profile))

    def near(
        self, profile: Profile, limits: Limits, only: NDArray[Any] | None = None
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """The pairs of groups that may be one person's (linkage.neighbours)."""
        return neighbours(grid(self.vectors), near_people(profile, limits), limits, scale=self.scale(), only=only)

    def scale(self) -> NDArray[Any]:
        """(m,): by how much cosines of the vectors are longer for the noise taken out of them."""
        length: NDArray[Any] = np.sqrt((self.vectors * self.vectors).sum(1)) / (self.weight * GRID)
        return length


@dataclass(frozen=True)
class Merged:
    """What groups have become."""

    label: NDArray[Any]
    """Of each group before, by number: the group that it is in now."""
    groups: Groups
    asks: NDArray[Any]
    """The groups that may be near to others than those looked at; none at the end."""


def near_people(profile: Profile, limits: Limits) -> float:
    """Cosine, noise taken out, under which a pair of looks is not looked at."""
    return max(candidate(profile.look, limits), profile.person - 0.18)


def group_people(x: NDArray[Any], look: NDArray[Any], profile: Profile, limits: Limits) -> NDArray[Any]:
    """The person of each good face, by number, from its look."""
    sums, count = add_up(x, look)
    merged = merge_looks(sums, count, *Groups.of_looks(sums, count, profile).near(profile, limits), profile=profile)
    label = merged.label
    while len(merged.asks):
        groups = merged.groups
        merged = merge_people(groups, *groups.near(profile, limits, only=merged.asks), profile=profile)
        label = merged.label[label]
    person: NDArray[Any] = label[look]
    return person


def merge_looks(
    sums: NDArray[Any],
    count: NDArray[Any],
    i: NDArray[Any],
    j: NDArray[Any],
    full: NDArray[Any],
    *,
    profile: Profile,
) -> Merged:
    """Puts looks together, by the pairs that are near; `full` are those that may be near to more.

    Pieces of one look, each chosen for being alike, overstate how alike its faces are. So they are put together first,
    and the noise is looked at again before it is judged what is one person.
    """
    label = np.arange(len(sums))
    for _ in range(3):
        groups = Groups.of_looks(sums, count, profile)
        step = linkage(groups.vectors, groups.weight, i, j, profile.same_look)
        if int(step.max()) + 1 == len(count):
            break
        i, j, full, label = step[i], step[j], np.unique(step[full]), step[label]
        i, j = i[i != j], j[i != j]
        sums, count = add_up(sums, step)[0], np.bincount(step, weights=count)
    merged = merge_people(Groups.of_looks(sums, count, profile), i, j, full, profile=profile)
    if len(sums) < len(label) and not len(merged.asks):
        merged = replace(merged, asks=np.unique(merged.label[full]))
    return replace(merged, label=merged.label[label])


def merge_people(groups: Groups, i: NDArray[Any], j: NDArray[Any], full: NDArray[Any], *, profile: Profile) -> Merged:
    """Puts groups together that are one person, by the pairs that are near; `full` are those that may be near to more.

    A large person's groups have more neighbours than a list holds: those lists have to be made anew from what the
    groups have become, until no list is full or nothing merges any more.
    """
    step = linkage(groups.vectors, groups.weight, i, j, profile.person)
    if int(step.max()) + 1 == len(groups.weight):
        return Merged(step, groups, asks=np.empty(0, np.int64))
    after = Groups(add_up(groups.vectors, step)[0], np.bincount(step, weights=groups.weight))
    return Merged(step, after, asks=np.unique(step[full]))


def found(person: NDArray[Any], image: NDArray[Any], founders: int) -> NDArray[Any]:
    """The person of each good face, -1 where that one has good faces in fewer than `founders` images."""
    if not len(person):
        return person
    pair = distinct(person.astype(np.int64) * (int(image.max()) + 1) + image)
    images = np.bincount(pair // (int(image.max()) + 1), minlength=int(person.max()) + 1)
    return np.where(images[person] >= founders, person, -1)


def drift(x: NDArray[Any], good: NDArray[Any]) -> NDArray[Any]:
    """Directions (d, m) that poor faces share whoever they show."""
    return Spread.of(x, good).drift()


@dataclass(frozen=True)
class Spread:
    """How poor faces and good ones vary: exact sums, so that those of parts add up to that of the whole."""

    poor: NDArray[np.float64]
    """(d, d): the sum of their grid rows' outer products."""
    good: NDArray[np.float64]
    """(d, d)"""
    poor_faces: int
    good_faces: int

    @classmethod
    def of(cls, x: NDArray[Any], good: NDArray[Any]) -> Spread:
        """Of grid rows (n, d), and which of them are good ones, bool (n,)."""
        d = x.shape[1]
        poor_sum, good_sum = np.zeros((d, d)), np.zeros((d, d))
        for at in range(0, len(x), 65536):
            part, is_good = x[at : at + 65536], good[at : at + 65536]
            y, z = part[~is_good].astype(np.float64), part[is_good].astype(np.float64)
            poor_sum += y.T @ y  # of one array with itself: half the work
            good_sum += z.T @ z
        return cls(poor_sum, good_sum, int((~good).sum()), int(good.sum()))

    def drift(self) -> NDArray[Any]:
        """Directions (d, m) in which poor faces vary more than good ones, by 1 % of length and clear of chance."""
        d = len(self.poor)
        if self.poor_faces < 20 or not self.good_faces:
            return np.zeros((d, 0))
        more = self.poor / self.poor_faces - self.good / self.good_faces
        chance = max(0.01, 4.0 / sqrt(d * self.poor_faces))
        shared: NDArray[Any] = eigh(more / GRID**2, subset_by_value=(chance, np.inf))[1]
        return shared


def without(rows: NDArray[Any], directions: NDArray[Any]) -> NDArray[Any]:
    """Grid rows without what they have in these directions."""
    rows = rows.astype(np.float32)
    if directions.shape[1]:
        v = directions.astype(np.float32)
        rows = rows - (rows @ v) @ v.T
    return grid(rows)


def normal_tail(p: float) -> float:
    """How many standard deviations a normal variable exceeds with probability p, by bisection."""
    lo, hi = 0.0, 12.0
    for _ in range(60):
        z = (lo + hi) / 2
        lo, hi = (z, hi) if erfc(z / sqrt(2)) / 2 > p else (lo, z)
    return (lo + hi) / 2


@kernel
def _two(s, owner, first, second, who):
    """Best and second-best person of every row, from its similarities with references by owner."""
    rows, cols = s.shape
    for r in range(rows):
        b1 = np.float32(-9e9)
        b2 = np.float32(-9e9)
        w = -1
        for c in range(cols):
            v = s[r, c]
            if v > b2:
                o = owner[c]
                if o == w:
                    if v > b1:
                        b1 = v
                elif v > b1:
                    b2 = b1
                    b1 = v
                    w = o
                else:
                    b2 = v
        first[r] = b1
        second[r] = b2
        who[r] = w


@kernel
def _two_short(y, near, refs, start, first, second, who):
    """The same over the references of a shortlist of people (refs of person p: start[p]..start[p+1])."""
    for r in range(len(y)):
        b1 = -9e9
        b2 = -9e9
        w = -1
        for q in range(near.shape[1]):
            p = near[r, q]
            if p < 0:
                break
            best = -9e9
            for e in range(start[p], start[p + 1]):
                s = 0.0
                for c in range(y.shape[1]):
                    s += y[r, c] * refs[e, c]
                if s > best:
                    best = s
            if best > b1 or (best == b1 and p < w):
                b2 = b1
                b1 = best
                w = p
            elif best > b2:
                b2 = best
        first[r] = b1
        second[r] = b2
        who[r] = w


@dataclass(frozen=True)
class References:
    """What joining needs of the people: small enough to send to every task."""

    rows: NDArray[Any]  # (m, d) grid rows, by person: every look's centroid, then the person's own
    owner: NDArray[Any]  # (m,) person, ascending
    clarity: NDArray[Any]  # (p,) share of its clearest look's centroid that is not noise
    directions: NDArray[Any]  # (d, q) common drift, removed from rows already
    threshold: float

    def limit(self, profile: Profile) -> float:
        """Cosine that so few strangers reach with any of the references as the profile admits."""
        z = normal_tail(min(0.4, profile.strangers_admitted / len(self.rows)))
        return profile.stranger_mean + z * profile.stranger_sd


def references(
    x: NDArray[Any], look: NDArray[Any], person: NDArray[Any], directions: NDArray[Any], profile: Profile
) -> References:
    """The references of people, from the founders' grid rows, looks and people (0 to p - 1)."""
    lk = compact(look)
    sums, count = add_up(x, lk)
    owner = np.zeros(len(sums), np.int64)
    owner[lk] = person
    return references_of_looks(sums, count, owner, directions, profile)


def references_of_looks(
    sums: NDArray[Any], count: NDArray[Any], owner: NDArray[Any], directions: NDArray[Any], profile: Profile
) -> References:
    """The references of people, from the sums of their looks' grid rows, their counts, and whose each look is."""
    p = int(owner.max()) + 1
    length = noise_free(sums, count, profile)
    own, _ = add_up(vectors(sums, count, profile)[0], owner)
    clarity = np.zeros(p)
    np.maximum.at(clarity, owner, np.minimum(1.0, length * count * GRID / np.sqrt((sums * sums).sum(1))))
    rows = np.concatenate([sums, own])
    owner = np.concatenate([owner, np.arange(p)])
    order = np.argsort(owner, kind="stable")
    people = References(without(rows[order], directions), owner[order], clarity, directions, threshold=0.0)
    return replace(people, threshold=people.limit(profile))


def join(
    x: NDArray[Any],
    is_good: NDArray[Any],
    quality: NDArray[Any],
    people: References,
    profile: Profile,
    limits: Limits,
) -> tuple[NDArray[Any], NDArray[Any]]:
    """The person whom each face (a grid row) joins, -1 for none, and how sure that is, 0 for none."""
    who, first, second = nearest(x, people, limits)
    clear = np.where(np.isnan(quality), np.where(is_good, profile.good_quality, 0.0), quality)
    joins, sure = judge(who, first, second, clear, people, profile)
    return np.where(joins, who, -1), np.where(joins, sure, np.float32(0))


def nearest(x: NDArray[Any], refs: References, limits: Limits) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Each face's nearest person (-1: none is near), its cosine, and the second nearest person's."""
    n = len(x)
    first, second = np.empty(n, np.float32), np.empty(n, np.float32)
    who = np.empty(n, np.int64)
    start = np.searchsorted(refs.owner, np.arange(refs.owner[-1] + 2))
    short = len(start) - 1 > limits.shortlist_from
    centre = refs.rows[start[1:] - 1] if short else refs.rows
    for a in range(0, n, limits.block):
        y = without(x[a : a + limits.block], refs.directions)
        s = y @ centre.T
        b = a + len(y)
        if short:
            near = np.empty((len(y), limits.shortlist), np.int64)
            _shortlist(s, limits.shortlist, np.float32(0.3 * refs.threshold * GRID**2), near)
            _two_short(y, near, refs.rows, start, first[a:b], second[a:b], who[a:b])
        else:
            _two(s, refs.owner, first[a:b], second[a:b], who[a:b])
    return who, first / np.float32(GRID**2), np.maximum(second / np.float32(GRID**2), -1.0)


def judge(
    who: NDArray[Any],
    first: NDArray[Any],
    second: NDArray[Any],
    quality: NDArray[Any],
    refs: References,
    profile: Profile,
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Does each face join its nearest person; and how sure that is, 0..1.

    Confidence is the share of the likelihood on the nearest person, against the second person,
    against a stranger that comes as near by chance, and against a relative, who shows about half
    of what the person would at that quality. With gaussian strangers, z deviations are exp(z^2/2)
    times as likely from that person as by chance."""
    sd, mean = profile.stranger_sd, profile.stranger_mean
    promised = profile.clear_from + (profile.clear_to - profile.clear_from) * np.clip(quality, 0, 1)
    shown = first / (promised * refs.clarity[who])
    z1, z2, zt = ((np.maximum(v - mean, 0.0) / sd) for v in (first, second, refs.threshold))
    other = np.exp(np.clip((z2 * z2 - z1 * z1) / 2, -60, 60))
    stranger = np.exp(np.clip((zt * zt - z1 * z1) / 2, -60, 60))
    kin = np.exp(np.clip((profile.kin - shown) / profile.kin_slope, -60, 60))
    sure = (1.0 / (1.0 + other + stranger + kin)).astype(np.float32)
    return (sure >= profile.join_from) & (first - second >= profile.margin * sd), sure


@kernel
def _shortlist(s, k, low, out):
    """The k columns of the largest s in every row (at least `low`), -1 for none."""
    val = np.empty(2 * k, np.float32)
    idx = np.empty(2 * k, np.int64)
    for r in range(len(s)):
        m = 0
        t = low
        for c in range(s.shape[1]):
            v = s[r, c]
            if v >= t:
                if m == 2 * k:
                    t = max(t, cut(val, idx, k))
                    m = k
                    if v < t:
                        continue
                val[m] = v
                idx[m] = c
                m += 1
        if m > k:
            val[m:] = -np.inf
            cut(val, idx, k)
            m = k
        out[r, :m] = idx[:m]
        out[r, m:] = -1
