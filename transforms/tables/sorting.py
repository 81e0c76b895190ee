"""Rows in the order of codes, by counting."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from transforms.tables.machine import kernel

Ints = NDArray[np.int64]

SPARSE = 8
"""Codes per row from which on counting them takes longer than sorting the rows."""


def order_of(*codes: Ints) -> Ints:
    """The rows' positions, ascending by their codes, the first array first; equal ones as they are. int64 (n,).

    Codes are from 0. They are counted, unless there are many times as many as rows: then it is plain sorting.
    """
    order = np.arange(len(codes[0]))
    for each in reversed(codes):
        distinct = int(each.max(initial=-1)) + 1
        if distinct > SPARSE * len(each):
            order = order[np.argsort(each[order], kind="stable")]
        else:
            order = _order_by(each, order, distinct)
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
