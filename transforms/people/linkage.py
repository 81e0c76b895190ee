"""Average linkage over nearest neighbours: what is alike, merged in rounds, the same whatever the order.

Rows of unit length are put on a grid of integers, of length GRID. Their products are then exact in 32-bit floats (every
partial sum is below 2**24), so no answer depends on blocks, threads, the machine or the order of the rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transforms.tables.machine import kernel

GRID = 4000.0


@dataclass(frozen=True)
class Limits:
    """Sizes: they move time and memory, hardly the answer."""

    neighbours: int = 48
    """Candidates kept of a row."""
    candidate: float = 0.30
    """Cosine under which a pair is not looked at, at most."""
    block: int = 1024
    """Rows of a block of the matrix of similarities."""
    cells_from: int = 30_000
    """Rows from which cells are used."""
    pivot_every: tuple[int, ...] = (64, 8)
    """One pivot for so many rows; then for so many of those left."""
    cell_max: int = 2_000
    """Rows of a cell that are grouped at once."""
    shortlist_from: int = 1_500
    """People from which joining goes by a shortlist."""
    shortlist: int = 24
    """People on it."""
    faces_per_task: int = 250_000
    """Faces of a library up to which one task groups them; some 1.5 GB of 256 numbers each."""
    faces_per_share: int = 25_000
    """Of a larger one, the faces that a task compares with all that is sent to it."""
    groups_per_share: int = 10_000
    """Of it, the groups of faces whose neighbours a task seeks among all groups."""


LIMITS = Limits()


def grid(rows: NDArray[Any]) -> NDArray[Any]:
    """Rows scaled to length GRID and rounded: float32 holding integers."""
    rows = np.asarray(rows, np.float32)
    out = np.empty(rows.shape, np.float32)
    for a in range(0, len(rows), 65536):
        x = rows[a : a + 65536].astype(np.float64)
        norm = np.sqrt((x * x).sum(1, keepdims=True))
        out[a : a + 65536] = np.rint(x * (GRID / np.maximum(norm, 1e-12)))
    return out


@kernel
def row_hash(x: NDArray[Any]) -> NDArray[Any]:
    """64-bit content hash of each grid row: the order that does not depend on the order."""
    n, d = x.shape
    out = np.empty(n, np.uint64)
    for i in range(n):
        h = np.uint64(14695981039346656037)
        for c in range(d):
            h = (h ^ np.uint64(np.int64(x[i, c]) + 8192)) * np.uint64(1099511628211)
            h ^= h >> np.uint64(29)
        out[i] = h
    return out


@kernel
def cut(val, idx, k):
    """Keeps the k best of a full buffer (of equal ones at the edge, the earlier): the k-th value."""
    t = np.sort(val)[len(val) - k]
    m = 0
    for above in (True, False):
        for q in range(len(val)):
            v = val[q]
            if (v > t if above else v == t) and m < k and q >= m:
                # positions below m are settled, so this swap loses nothing
                val[q], val[m] = val[m], v
                idx[q], idx[m] = idx[m], idx[q]
                m += 1
    return t


@kernel
def _put(v, j, me, k, val, idx, cnt, thr):
    if cnt[me] == val.shape[1]:
        thr[me] = max(thr[me], cut(val[me], idx[me], k))
        cnt[me] = k
    if v >= thr[me]:
        val[me, cnt[me]] = v
        idx[me, cnt[me]] = j
        cnt[me] += 1


@kernel
def _scan(s, a, b, scale, unit, k, val, idx, cnt, thr):
    """Puts what passes in block s (rows a.., columns b..) into both sides' buffers of 2k candidates."""
    rows, cols = s.shape
    for r in range(rows):
        me = a + r
        sa = scale[me] * unit
        for c in range(max(0, me + 1 - b), cols):
            v = s[r, c] * (sa * scale[b + c])
            if v >= thr[me]:
                _put(v, b + c, me, k, val, idx, cnt, thr)
            if v >= thr[b + c]:
                _put(v, me, b + c, k, val, idx, cnt, thr)


@kernel
def _scan_rows(s, rows, b, scale, unit, k, val, idx, cnt, thr):
    """The same for some rows only: row r of s is face rows[r], buffer r."""
    for r in range(len(rows)):
        sa = scale[rows[r]] * unit
        for c in range(s.shape[1]):
            v = s[r, c] * (sa * scale[b + c])
            if v >= thr[r] and b + c != rows[r]:
                _put(v, b + c, r, k, val, idx, cnt, thr)


def neighbours(
    x: NDArray[Any],
    low: float,
    limits: Limits,
    scale: NDArray[Any] | None = None,
    only: NDArray[Any] | None = None,
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Pairs i < j of grid rows of which one is among the other's nearest, int (m,) each; and the rows with full lists.

    How near two are is their cosine times the `scale` of both, `low` at least. A row with as many near ones as
    `limits.neighbours` may have more. `only` are the rows whose nearest are looked for; None for all.

    Memory: some 16 bytes a row and neighbour, and a block of similarities. Time: quadratic in rows.
    """
    return nearest_pairs(*near_pairs(x, low, limits, scale, only), len(x), limits, only)


def near_pairs(
    x: NDArray[Any],
    low: float,
    limits: Limits,
    scale: NDArray[Any] | None = None,
    only: NDArray[Any] | None = None,
    share: int = 0,
    shares: int = 1,
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Pairs i < j of grid rows that are near, and how near: of one share of all blocks of pairs.

    All that nearest_pairs may keep when it has those of all shares: where a row has more than `limits.neighbours` near
    ones in this share, the nearest of them.
    """
    n = len(x)
    k = _list_length(n, limits)
    scale = np.ones(n, np.float32) if scale is None else scale.astype(np.float32)
    unit = np.float32(1.0 / GRID**2)
    m = n if only is None else len(only)
    val = np.full((m, 2 * k), -9.0, np.float32)
    idx = np.zeros((m, 2 * k), np.int32)
    cnt = np.zeros(m, np.int64)
    thr = np.full(m, low, np.float32)
    blocks = ((a, b) for a in range(0, m, limits.block) for b in range(a if only is None else 0, n, limits.block))
    for a, b in islice(blocks, share, None, shares):
        e = min(m, a + limits.block)
        rows = np.arange(a, e) if only is None else only[a:e]
        s = x[rows] @ x[b : b + limits.block].T
        if only is None:
            _scan(s, a, b, scale, unit, k, val, idx, cnt, thr)
        else:
            _scan_rows(s, rows, b, scale, unit, k, val[a:e], idx[a:e], cnt[a:e], thr[a:e])
    keys, near = [], []
    for a in range(0, m, 16384):
        v = val[a : a + 16384]
        v[np.arange(2 * k) >= cnt[a : a + 16384, None]] = -9.0
        kth = np.sort(v, axis=1)[:, k]
        r, c = np.nonzero(v >= np.maximum(kth, np.float32(low))[:, None])
        i, j = a + r, idx[a + r, c].astype(np.int64)
        i = i if only is None else only[i]
        keys.append(np.minimum(i, j) * n + np.maximum(i, j))
        near.append(v[r, c])
    key, nearness = (np.concatenate(each) if each else np.zeros(0) for each in (keys, near))
    key, nearness = _strongest(key.astype(np.int64), nearness)
    return key // max(n, 1), key % max(n, 1), nearness


def nearest_pairs(
    i: NDArray[Any],
    j: NDArray[Any],
    near: NDArray[Any],
    n: int,
    limits: Limits,
    only: NDArray[Any] | None = None,
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Of pairs i < j of n rows, those of which one is among the other's nearest; and the rows with full lists.

    The arguments are what near_pairs has found, of all shares; the result is that of neighbours.
    """
    k = _list_length(n, limits)
    key, near = _strongest(i * n + j, near)
    i, j = key // max(n, 1), key % max(n, 1)
    ends, both = np.concatenate([i, j]), np.concatenate([near, near])
    order = np.lexsort((-both, ends))
    count = np.bincount(ends, minlength=n)
    start = np.cumsum(count) - count
    has_list = np.full(n, only is None)
    has_list[only if only is not None else []] = True
    full = has_list & (count >= k) & (k < n - 1)
    kth = np.where(has_list, np.float32(-9.0), np.float32(np.inf))
    kth[full] = both[order[start[full] + k - 1]]
    kept = (near >= kth[i]) | (near >= kth[j])
    return i[kept], j[kept], np.flatnonzero(full)


def _list_length(n: int, limits: Limits) -> int:
    return min(limits.neighbours, max(n - 1, 1))


def _strongest(key: NDArray[Any], near: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Each key once, in their order, with the greatest of its values."""
    order = np.lexsort((-near, key))
    first = order[np.append(True, np.diff(key[order]) != 0)] if len(key) else order
    return key[first], near[first]


@kernel
def _dots(u, i, j, todo, out):
    d = u.shape[1]
    for e in range(len(i)):
        if todo[e]:
            a = i[e]
            b = j[e]
            s = 0.0
            for c in range(d):
                s += np.float64(u[a, c]) * np.float64(u[b, c])
            out[e] = s


@kernel
def _best(n, i, j, s, low):
    """Each unit's most similar neighbour (-1: none at low or above); equal ones: the smaller number."""
    bs = np.full(n, -2.0)
    bn = np.full(n, -1, np.int64)
    for e in range(len(i)):
        v = s[e]
        if v < low:
            continue
        a = i[e]
        b = j[e]
        if v > bs[a] or (v == bs[a] and b < bn[a]):
            bs[a] = v
            bn[a] = b
        if v > bs[b] or (v == bs[b] and a < bn[b]):
            bs[b] = v
            bn[b] = a
    return bn, bs


@kernel
def _absorb(u, w, to):
    """Adds every unit's sums to those of the unit it goes to; says which changed."""
    changed = np.zeros(len(to), np.bool_)
    for a in range(len(to)):
        b = to[a]
        if b != a:
            changed[b] = True
            w[b] += w[a]
            for c in range(u.shape[1]):
                u[b, c] += u[a, c]
    return changed


def linkage(
    sums: NDArray[Any], weight: NDArray[Any], i: NDArray[Any], j: NDArray[Any], low: float, slack: float = 0.02
) -> NDArray[Any]:
    """Average linkage to `low` over candidate pairs: labels 0..m-1.

    The similarity of two clusters is the exact weighted mean over all their pairs (from sums:
    U_a.U_b / (W_a W_b) / GRID^2); the candidates only say which clusters are looked at. A round merges every two
    clusters that are each other's best, with what prefers one of the two almost (`slack`) as much.
    """
    n = len(sums)
    label = np.arange(n)
    # int32 sums: exact, and half the memory of float64
    u = np.rint(sums).astype(np.int32)
    w = weight.astype(np.float64).copy()
    ident = np.arange(n)
    i, j = np.asarray(i, np.int64), np.asarray(j, np.int64)
    key = distinct(np.minimum(i, j) * n + np.maximum(i, j))
    i, j, dots, todo = key // max(n, 1), key % max(n, 1), np.zeros(len(key)), np.ones(len(key), bool)
    while len(i):
        _dots(u, i, j, todo, dots)
        s = dots / (w[i] * w[j] * GRID**2)
        bn, bs = _best(n, i, j, s, low)
        has = bn >= 0
        if not has.any():
            break
        c = np.where(has, bn, ident)
        mutual = has & (c[c] == ident)
        to = np.where(mutual, np.minimum(c, ident), ident)
        star = has & ~mutual & mutual[c] & (bs >= bs[c] - slack)
        to[star] = to[c[star]]
        changed = _absorb(u, w, to)
        label = to[label]
        i, j = to[i], to[j]
        keep = i != j
        lo, hi = np.minimum(i, j)[keep], np.maximum(i, j)[keep]
        key, first = np.unique(lo * n + hi, return_index=True)
        dots = dots[keep][first]
        i, j = key // n, key % n
        todo = changed[i] | changed[j]
    return compact(label)


def distinct(keys: NDArray[Any]) -> NDArray[Any]:
    """Whole numbers in their order, each once. By sorting, for which np.unique's hash table takes 20 times as long."""
    keys = np.sort(keys)
    return keys[np.append(True, keys[1:] != keys[:-1])] if len(keys) else keys


def compact(label: NDArray[Any]) -> NDArray[Any]:
    """Labels numbered from 0, in their order."""
    return np.unique(label, return_inverse=True)[1].reshape(-1)


def add_up(rows: NDArray[Any], label: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Sum of the grid rows of every label (exact: integers in float64), and how many."""
    m = int(label.max()) + 1 if len(label) else 0
    out = np.zeros((m, rows.shape[1]))
    _add(rows, label, out)
    return out, np.bincount(label, minlength=m).astype(np.float64)


@kernel
def _add(rows, label, out):
    for r in range(len(rows)):
        g = label[r]
        for c in range(rows.shape[1]):
            out[g, c] += rows[r, c]
