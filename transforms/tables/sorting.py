"""Rows in the order of codes: by counting, in time that grows with their number alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from transforms.tables.machine import kernel

Ints = NDArray[np.int64]


def order_of(*codes: Ints) -> Ints:
    """The rows' positions, ascending by their codes, the first array first; equal ones as they are. int64 (n,).

    Codes are from 0, and not many times as many as rows: each of them takes 8 bytes while its array is sorted.
    """
    order = np.arange(len(codes[0]))
    for each in reversed(codes):
        order = _order_by(each, order, int(each.max(initial=-1)) + 1)
    return order


@kernel
def _order_by(codes, before, distinct):
    """The positions `before` in the order of their codes: a stable counting sort. int64 (n,), int64 (n,) to (n,)."""
    ends = np.zeros(distinct + 1, np.int64)
    for code in codes:
        ends[code + 1] += 1
    ends = np.cumsum(ends)
    order = np.empty_like(before)
    for position in before:
        code = codes[position]
        order[ends[code]] = position
        ends[code] += 1
    return order
