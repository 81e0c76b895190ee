"""Areas cut to cells: the kernels that the index of areas is built with.

`cut_area` cuts one area to the tiles it touches, `cut_tile` all areas of a tile to cells. A cell ends up either with
one answer for all its points, or with *pieces*: chains (see transforms.places.cells) of the areas whose boundary
touches it, the area that wins where several contain a point first, and the answer where none of them does. Cells are
halved until what they hold is quickly tested.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from transforms.places.cells import DEPTH, IN, ON, OUTSIDE, Floats, cell_box, where_in
from transforms.tables.machine import kernel

TILE_DEPTH = 7
"""Depth of the tiles, 2.8 by 1.4 degrees: what is built again when an area changes, and the least of the plane that a
part of the index holds."""

TILES = 4**TILE_DEPTH

NO_AREA = -1

EDGES = 20
"""Edges that a cell may hold without being halved."""

MAX_DEPTH = 21
"""Cells this deep, 19 by 10 m at the equator, are not halved any more."""

CODES_PER_TILE = 1 << 2 * (DEPTH - TILE_DEPTH)
_PLACE_X, _PLACE_Y = 0.37482391, 0.61928374
"""Where in a cell the point is that tells whether areas cover it together: any but a corner, the middle or a side."""


def tiles_of(longitude: Floats, latitude: Floats) -> NDArray[np.int32]:
    """The tile that each point of the plane falls in: int32 (n,).

    >>> tiles_of(np.array([-180.0, 180.0, 2.35]), np.array([-90.0, 90.0, 48.85])).tolist()
    [0, 16383, 14344]
    """
    cells, down = 1 << DEPTH, DEPTH - TILE_DEPTH
    columns = np.minimum(((longitude + 180.0) * (cells / 360.0)).astype(np.int64), cells - 1) >> down
    rows = np.minimum(((latitude + 90.0) * (cells / 180.0)).astype(np.int64), cells - 1) >> down
    tiles = np.zeros(len(longitude), np.int64)
    for bit in range(TILE_DEPTH):
        tiles |= ((columns >> bit) & 1) << 2 * bit | ((rows >> bit) & 1) << 2 * bit + 1
    return tiles.astype(np.int32)


@kernel(inline="always")
def _mix(value):
    value = value * -4658895280553007687
    value ^= value >> 29
    value = value * -7723592293110705685
    return value ^ (value >> 32)


@kernel(inline="always")
def _grown(array, size):
    """The array, or a longer copy of it, with room for so many values."""
    if size <= array.size:
        return array
    longer = np.empty(max(size, 2 * array.size), array.dtype)
    longer[: array.size] = array
    return longer


@kernel()
def _clip(xs, ys, begin, end, box, out_x, out_y, at):
    """Writes what of the chains between begin and end matters to a cell, from `at` on.

    Returns where it ends, how many edges touch the cell, and a hash of those edges which is the exclusive or of
    theirs, whatever their order and direction. There must be room for 4 (end - begin) + 4 values.
    """
    left, right, bottom, top = box
    bits_x, bits_y = xs.view(np.int64), ys.view(np.int64)
    flips = np.empty(2 * (end - begin) + 2)
    flip_count, touching, digest = 0, 0, np.int64(0)
    in_chain, in_run, run_y = False, False, 0.0
    for i in range(begin, end - 1):
        ax, ay, bx, by = xs[i], ys[i], xs[i + 1], ys[i + 1]
        is_edge = ay == ay and by == by
        touches, is_left = False, False
        if is_edge and min(ay, by) <= top and max(ay, by) >= bottom:
            if min(ax, bx) > right:
                pass
            elif max(ax, bx) < left:
                is_left = True
            else:
                # The same sums whichever end comes first, so that neighbours agree on what touches.
                swap = ay > by or (ay == by and ax > bx)
                lx, ly, ux, uy = (bx, by, ax, ay) if swap else (ax, ay, bx, by)
                dx, dy = ux - lx, uy - ly
                one = dx * (bottom - ly) - dy * (left - lx)
                two = dx * (bottom - ly) - dy * (right - lx)
                three = dx * (top - ly) - dy * (left - lx)
                four = dx * (top - ly) - dy * (right - lx)
                if min(min(one, two), min(three, four)) > 0.0:
                    pass  # the cell lies left of the edge that goes up
                elif max(max(one, two), max(three, four)) < 0.0:
                    is_left = True
                else:
                    touches = True
        if in_run and not is_left:
            flips[flip_count], flips[flip_count + 1] = run_y, ay
            flip_count += 2
            in_run = False
        elif is_left and not in_run:
            run_y, in_run = ay, True
        if touches:
            if not in_chain:
                out_x[at], out_y[at] = ax, ay
                at += 1
                in_chain = True
            out_x[at], out_y[at] = bx, by
            at += 1
            touching += 1
            digest ^= _mix(_mix(bits_x[i] + _mix(bits_y[i])) + _mix(bits_x[i + 1] + _mix(bits_y[i + 1])))
        elif in_chain:
            out_x[at], out_y[at] = np.nan, np.nan
            at += 1
            in_chain = False
    if in_run:
        flips[flip_count], flips[flip_count + 1] = run_y, ys[end - 1]
        flip_count += 2
    if in_chain:
        out_x[at], out_y[at] = np.nan, np.nan
        at += 1
    return _close_left(flips[:flip_count], bottom, top, out_x, out_y, at), touching, digest


@kernel()
def _close_left(flips, bottom, top, out_x, out_y, at):
    """Writes the edges at x = -OUTSIDE that stand for all that lies left of the cell.

    flips: the y from which on a ray to the left meets one edge more, or one fewer.
    """
    for i in range(flips.size):
        if flips[i] <= bottom:
            flips[i] = -OUTSIDE
        elif flips[i] > top:
            flips[i] = OUTSIDE
    flips.sort()
    i, lower, is_open = 0, 0.0, False
    while i < flips.size and flips[i] < OUTSIDE:
        if i + 1 < flips.size and flips[i] == flips[i + 1]:
            i += 2
            continue
        if is_open:
            at = _write_left(lower, flips[i], out_x, out_y, at)
        lower, is_open = flips[i], not is_open
        i += 1
    return _write_left(lower, OUTSIDE, out_x, out_y, at) if is_open else at


@kernel(inline="always")
def _write_left(lower, upper, out_x, out_y, at):
    out_x[at], out_y[at] = -OUTSIDE, lower
    out_x[at + 1], out_y[at + 1] = -OUTSIDE, upper
    out_x[at + 2], out_y[at + 2] = np.nan, np.nan
    return at + 3


@kernel(inline="always")
def _probe(xs, ys, begin, end, box):
    """Where the cell's point that stands for all lies: OUT, IN or ON."""
    left, right, bottom, top = box
    return where_in(xs, ys, begin, end, left + (right - left) * _PLACE_X, bottom + (top - bottom) * _PLACE_Y)


@kernel()
def cut_area(xs, ys, wanted):
    """What of an area lies in each tile.

    xs, ys: the rings' vertices, each ring closed and followed by NaN. wanted: bool (TILES,), the tiles asked for.
    Returns the tiles (int32, ascending), how many values each has, and the values' x and y; a tile that the area
    covers has one edge left of it. O(vertices x TILE_DEPTH) time; memory some 6 times the area's.
    """
    work_x, work_y = _grown(xs, 8 * xs.size + 64), _grown(ys, 8 * ys.size + 64)
    frame_code, frame_next = np.zeros(TILE_DEPTH + 1, np.int64), np.zeros(TILE_DEPTH + 1, np.int64)
    frame_begin, frame_end = np.zeros(TILE_DEPTH + 1, np.int64), np.zeros(TILE_DEPTH + 1, np.int64)
    frame_end[0] = xs.size
    tiles, sizes = np.empty(64, np.int32), np.empty(64, np.int64)
    out_x, out_y = np.empty(xs.size + 64), np.empty(xs.size + 64)
    count, at, depth = 0, 0, 0
    while depth >= 0:
        if frame_next[depth] == 4:
            depth -= 1
            continue
        code = frame_code[depth] + (frame_next[depth] << 2 * (DEPTH - depth - 1))
        frame_next[depth] += 1
        first_tile, tile_count = code // CODES_PER_TILE, 1 << 2 * (TILE_DEPTH - depth - 1)
        if not wanted[first_tile : first_tile + tile_count].any():
            continue
        begin, end = frame_begin[depth], frame_end[depth]
        work_x, work_y = _grown(work_x, end + 4 * (end - begin) + 4), _grown(work_y, end + 4 * (end - begin) + 4)
        box = cell_box(code, depth + 1)
        stop, touching, _ = _clip(work_x, work_y, begin, end, box, work_x, work_y, end)
        if touching and depth + 1 < TILE_DEPTH:
            depth += 1
            frame_code[depth], frame_next[depth], frame_begin[depth], frame_end[depth] = code, 0, end, stop
        elif touching or _probe(work_x, work_y, end, stop, box) == IN:
            size = stop - end
            for tile in range(first_tile, first_tile + tile_count):
                if wanted[tile]:
                    tiles, sizes = _grown(tiles, count + 1), _grown(sizes, count + 1)
                    out_x, out_y = _grown(out_x, at + size), _grown(out_y, at + size)
                    tiles[count], sizes[count] = tile, size
                    out_x[at : at + size], out_y[at : at + size] = work_x[end:stop], work_y[end:stop]
                    count, at = count + 1, at + size
    return tiles[:count], sizes[:count], out_x[:at], out_y[:at]


@kernel()
def cut_tile(tile, xs, ys, sizes, max_edges, max_depth):
    """The cells of a tile.

    xs, ys: what of each area lies in the tile, one after another, the one that wins first; sizes: how many values
    each has. Returns, int64 (cells,) the code where each cell begins, ascending; int32 (cells,) the area (by its place
    in `sizes`) that has the points in none of the pieces, or NO_AREA; int32 (cells,) how many pieces; int32 (pieces,)
    the area of each; int32 (pieces,) how many values; float64 x and y.

    Pieces that can decide nothing are left out. Where an area covers the cell, what comes after it is. Where the
    edges of an area are those of the pieces kept so far (the exclusive or of them, by hash), two neighbours' common
    border say, then either these cover the cell together, and the area has what the others have not; or the area has
    only points that another has already.
    """
    work_x, work_y = _grown(xs, 4 * xs.size + 1024), _grown(ys, 4 * ys.size + 1024)
    frames = max_depth + 2
    frame_code, frame_next, frame_last = np.zeros(frames, np.int64), np.zeros(frames, np.int64), np.full(frames, 4)
    frame_entries, frame_cover = np.zeros((frames, 2), np.int64), np.full(frames, NO_AREA)
    frame_top = np.zeros(frames, np.int64)
    entry_area, entry_begin = np.empty(2 * sizes.size + 64, np.int64), np.empty(2 * sizes.size + 64, np.int64)
    entry_end = np.empty(2 * sizes.size + 64, np.int64)
    at = 0
    for area in range(sizes.size):
        entry_area[area], entry_begin[area], entry_end[area] = area, at, at + sizes[area]
        at += sizes[area]

    starts, covers, counts = np.empty(64, np.int64), np.empty(64, np.int32), np.empty(64, np.int32)
    piece_areas, piece_sizes = np.empty(64, np.int32), np.empty(64, np.int32)
    out_x, out_y = np.empty(xs.size + 64), np.empty(xs.size + 64)
    cells, pieces, out_at = 0, 0, 0

    # The first frame is the tile's parent, with the tile as its only child.
    code = np.int64(tile) * CODES_PER_TILE
    depth = TILE_DEPTH - 1
    quarter = (code >> 2 * (DEPTH - TILE_DEPTH)) & 3
    frame_code[depth], frame_next[depth], frame_last[depth] = code - quarter * CODES_PER_TILE, quarter, quarter + 1
    frame_entries[depth, 1], frame_top[depth] = sizes.size, at
    while depth >= TILE_DEPTH - 1:
        if frame_next[depth] == frame_last[depth]:
            depth -= 1
            continue
        code = frame_code[depth] + (frame_next[depth] << 2 * (DEPTH - depth - 1))
        frame_next[depth] += 1
        box = cell_box(code, depth + 1)
        first, last = frame_entries[depth]
        top, kept, cover = frame_top[depth], last, frame_cover[depth]
        edges, digest, parity, is_told = 0, np.int64(0), 0, True
        for entry in range(first, last):
            begin, end, area = entry_begin[entry], entry_end[entry], entry_area[entry]
            need = top + 4 * (end - begin) + 4
            work_x, work_y = _grown(work_x, need), _grown(work_y, need)
            stop, touching, its_digest = _clip(work_x, work_y, begin, end, box, work_x, work_y, top)
            place = _probe(work_x, work_y, top, stop, box)
            if touching == 0:
                if place == IN:
                    cover = area
                    break
                continue
            is_told = is_told and place != ON
            if is_told and its_digest == digest:
                if parity ^ place:
                    cover = area
                    break
                continue
            digest ^= its_digest
            parity ^= place
            entry_area, entry_begin = _grown(entry_area, kept + 1), _grown(entry_begin, kept + 1)
            entry_end = _grown(entry_end, kept + 1)
            entry_area[kept], entry_begin[kept], entry_end[kept] = area, top, stop
            kept, top, edges = kept + 1, stop, edges + touching
        if kept > last and edges > max_edges and depth + 1 < max_depth:
            depth += 1
            frame_code[depth], frame_next[depth], frame_last[depth] = code, 0, 4
            frame_entries[depth, 0], frame_entries[depth, 1] = last, kept
            frame_cover[depth], frame_top[depth] = cover, top
            continue
        if kept == last and cells and counts[cells - 1] == 0 and covers[cells - 1] == cover:
            continue  # the cell before goes on
        starts, covers, counts = _grown(starts, cells + 1), _grown(covers, cells + 1), _grown(counts, cells + 1)
        starts[cells], covers[cells], counts[cells] = code, cover, kept - last
        cells += 1
        for entry in range(last, kept):
            begin, size = entry_begin[entry], entry_end[entry] - entry_begin[entry]
            piece_areas, piece_sizes = _grown(piece_areas, pieces + 1), _grown(piece_sizes, pieces + 1)
            piece_areas[pieces], piece_sizes[pieces] = entry_area[entry], size
            out_x, out_y = _grown(out_x, out_at + size), _grown(out_y, out_at + size)
            out_x[out_at : out_at + size] = work_x[begin : begin + size]
            out_y[out_at : out_at + size] = work_y[begin : begin + size]
            pieces, out_at = pieces + 1, out_at + size
    return (
        starts[:cells],
        covers[:cells],
        counts[:cells],
        piece_areas[:pieces],
        piece_sizes[:pieces],
        out_x[:out_at],
        out_y[:out_at],
    )


def ring_chains(coordinates: Floats, ring_ends: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """The chains of closed rings: float64 (n, 2) and where each ring ends, to x and y with NaN after each ring."""
    with_gaps = np.insert(coordinates, ring_ends, np.nan, axis=0)
    return np.ascontiguousarray(with_gaps[:, 0]), np.ascontiguousarray(with_gaps[:, 1])
