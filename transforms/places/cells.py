"""The plane of longitude and latitude cut into cells, and what of an area's boundary lies in one.

A cell is a square of a quadtree over -180..180 by -90..90 degrees; its points have consecutive Morton codes, so
cells that do not overlap are disjoint intervals of codes. What a cell holds of an area's boundary is *chains*: x and
y of consecutive vertices, float64, with NaN between one chain and the next. Edges keep the vertices that the area
gives them: nothing is cut at a cell's sides, so nothing is rounded. What of the boundary lies left of the cell is
told by edges at x = OUTSIDE, so that the crossings of a ray to the left have the right parity for every point of the
cell, and for those points alone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from transforms.tables.machine import kernel

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

DEPTH = 24
"""Depth of the quadtree's smallest cells: 2.1e-5 by 1.1e-5 degrees, 2.4 by 1.2 m at the equator."""

OUTSIDE = 1000.0
"""A coordinate beyond the plane on every side."""

MARGIN = 1e-9
"""Degrees by which a cell is taken larger than it is: which cell a point falls in is rounded, whether a boundary
touches a cell too. A boundary within the margin counts as the cell's; an edge too many changes no answer."""

_ORIENT_ERROR = 3.3306690738754716e-16
"""(3 + 16 u) u, with u = 2**-53: above this part of the sum of its two products the sign of a determinant is certain.
Source: J. R. Shewchuk, Adaptive Precision Floating-Point Arithmetic and Fast Robust Geometric Predicates, 1997."""
_SPLITTER = 134217729.0
"""2**27 + 1, which splits a double's 53 bits in two halves (Dekker 1971)."""


@kernel(inline="always")
def spread_bits(value):
    """The 24 bits of `value` at the even places of an int64."""
    value = (value | (value << 16)) & 0x0000FFFF0000FFFF
    value = (value | (value << 8)) & 0x00FF00FF00FF00FF
    value = (value | (value << 4)) & 0x0F0F0F0F0F0F0F0F
    value = (value | (value << 2)) & 0x3333333333333333
    return (value | (value << 1)) & 0x5555555555555555


@kernel(inline="always")
def gather_bits(code):
    """The bits at the even places of an int64: what spread_bits spread."""
    code &= 0x5555555555555555
    code = (code | (code >> 1)) & 0x3333333333333333
    code = (code | (code >> 2)) & 0x0F0F0F0F0F0F0F0F
    code = (code | (code >> 4)) & 0x00FF00FF00FF00FF
    code = (code | (code >> 8)) & 0x0000FFFF0000FFFF
    return (code | (code >> 16)) & 0x00000000FFFFFFFF


@kernel(inline="always")
def morton_code(x, y):
    """The Morton code, 0 to 4**DEPTH - 1, of a point of the plane: bits of longitude and latitude by turns."""
    side = 1 << DEPTH
    column = min(np.int64((x + 180.0) * (side / 360.0)), side - 1)
    row = min(np.int64((y + 90.0) * (side / 180.0)), side - 1)
    return spread_bits(column) | (spread_bits(row) << 1)


@kernel()
def cell_box(code, depth):
    """The sides of a cell, MARGIN added: least and greatest x, then y."""
    columns = 1 << depth
    column, row = gather_bits(code) >> (DEPTH - depth), gather_bits(code >> 1) >> (DEPTH - depth)
    width, height = 360.0 / columns, 180.0 / columns
    left, bottom = column * width - 180.0, row * height - 90.0
    return left - MARGIN, left + width + MARGIN, bottom - MARGIN, bottom + height + MARGIN


@kernel(inline="always")
def orientation(ax, ay, bx, by, px, py):
    """Above 0 where p lies left of the line from a to b, below where right, 0 only where exactly on it."""
    one, other = (ax - px) * (by - py), (ay - py) * (bx - px)
    determinant = one - other
    if abs(determinant) >= _ORIENT_ERROR * (abs(one) + abs(other)):
        return determinant
    return _exact_orientation(ax, ay, bx, by, px, py)


@kernel()
def _exact_orientation(ax, ay, bx, by, px, py):
    """`orientation`, as the sum without rounding of six products without rounding."""
    terms = np.empty(12)
    count = 0
    for one, other in ((ax, by), (-ax, py), (-px, by), (-ay, bx), (ay, px), (py, bx)):
        product = one * other
        scaled = _SPLITTER * one
        one_high = scaled - (scaled - one)
        one_low = one - one_high
        scaled = _SPLITTER * other
        other_high = scaled - (scaled - other)
        other_low = other - other_high
        rest = one_low * other_low - (((product - one_high * other_high) - one_low * other_high) - one_high * other_low)
        for term in (rest, product):  # grows the expansion: terms that do not overlap, least first
            total = term
            for i in range(count):
                added = total + terms[i]
                virtual = added - total
                terms[i] = (total - (added - virtual)) + (terms[i] - virtual)
                total = added
            terms[count] = total
            count += 1
    for i in range(count - 1, -1, -1):
        if terms[i] != 0.0:
            return terms[i]
    return 0.0


OUT, IN, ON = 0, 1, 2
"""Where a point lies: outside an area, inside, on its boundary."""


@kernel(inline="always")
def where_in(xs, ys, begin, end, px, py):
    """OUT, IN or ON: where a point lies, by the chains between begin and end, as exact arithmetic says.

    A ray from the point to the left crosses the boundary an odd number of times where the point is inside. Of an
    edge's ends the lower belongs to it, the upper to the next one.
    """
    inside = OUT
    ax, ay = xs[begin], ys[begin]
    a_above = ay > py
    for i in range(begin + 1, end):
        bx, by = xs[i], ys[i]
        b_above = by > py
        if a_above != b_above:
            if ay == ay and by == by:  # neither is NaN: an edge, and no gap between chains
                if ax < px and bx < px:
                    inside ^= IN
                elif ax <= px or bx <= px:
                    side = orientation(ax, ay, bx, by, px, py)
                    if side == 0.0:
                        return ON
                    if (side < 0.0) == b_above:
                        inside ^= IN
        elif by == py and (bx == px or (ay == py and (ax < px) != (bx < px))):
            return ON
        ax, ay, a_above = bx, by, b_above
    if ys[begin] == py and xs[begin] == px:
        return ON
    return inside
