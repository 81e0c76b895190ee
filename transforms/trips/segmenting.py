"""The days of places at levels, cut into segments where nothing was taken for more than GapDays days."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.contract import LEVELS
from schemas.keys import DATASET_KEY, PLACE_KEY
from schemas.lake import LEVEL_DEPTH
from transforms.tables.columns import Ints, days_of, ints
from transforms.tables.keyed import Bools, first_rows, is_among, key_codes, with_columns
from transforms.tables.sorting import order_of
from transforms.trips.days import NAMES, columns_of, evidence_of_days, total

CALENDAR = 1 << 23
"""More than the days from year 0 to year 9999 and back: numbers of places times this plus a day order both."""


def explode_levels(places: pa.Table, *, levels: Sequence[str]) -> pa.Table:
    """One row per row of `places` and level that exists there: `level` is added, `place_key` becomes the level's.

    The key at a level is the first parts of the full key; the level does not exist where its part is empty.
    """
    keys = pc.dictionary_encode(places["place_key"]).combine_chunks()
    exploded = []
    for level in levels:
        at_level = pc.struct_field(pc.extract_regex(keys.dictionary, _first_parts(LEVEL_DEPTH[level])), "key")
        rows = with_columns(places, {"place_key": at_level.take(keys.indices), "level": pa.scalar(level)})
        exploded.append(rows.filter(pc.is_valid(rows["place_key"])))
    return pa.concat_tables(exploded)


def _first_parts(depth: int) -> str:
    return f"^(?P<key>(?:[^/]*/){{{depth - 1}}}[^/]+)"


def segment_days(
    days: pa.Table,
    *,
    levels: Sequence[str],
    gap_days: int,
    deletions: pa.Table | None = None,
    places: pa.Table | None = None,
    datasets: pa.Table | None = None,
) -> pa.Table:
    """One row per run of days at a place of a level: cut where more than `gap_days` days without a file lie between.

    `days` are rows of `place_days`: all of the places to be cut. `deletions` (PLACE_KEY, first_day, last_day) take days
    out. With `places` (PLACE_KEY) or `datasets` (DATASET_KEY), only these places, and all of these datasets, are cut.

    Columns: PLACE_KEY, first_day, last_day, `days` from one to the other, days_with_files, counts, first, last, cover,
    and the names down to the level. The segments of a place lie together, in the order of their days. Memory: some 40
    bytes a day and level. Time grows with their number alone.
    """
    row, unit, units = _level_days(days, levels)
    day = ints(days, "local_date")
    kept = is_in_scope(units, places=places, datasets=datasets)[unit]
    if deletions is not None and len(deletions):
        kept &= ~_is_deleted(unit, day[row], units=units, deletions=deletions)
    if not kept.all():
        row, unit = row[kept], unit[kept]
    by_day = order_of(unit, day[row] - day.min(initial=0))
    row, unit = row[by_day], unit[by_day]
    day = day[row]

    step = np.diff(day, prepend=0)
    other_place = np.diff(unit, prepend=-1) != 0
    begins = other_place | (step > gap_days + 1)
    segment = np.cumsum(begins) - 1
    start = np.flatnonzero(begins)
    count = len(start)
    ends = np.append(start[1:], len(day)) - 1 if count else start
    evidence = evidence_of_days(days)
    totals = total(evidence, segment, row, count)
    first_day, last_day = day[start], day[ends]
    segments = units.take(pa.array(unit[start]))
    return with_columns(
        segments,
        {
            "first_day": days_of(first_day),
            "last_day": days_of(last_day),
            "days": pa.array((last_day - first_day + 1).astype(np.int32)),
            "days_with_files": pa.array(_count_days(segment, other_place | (step > 0), count)),
            **columns_of(totals, evidence),
            **_names(days, totals.best, level=segments["level"]),
        },
    )


def days_in_scope(
    days: pa.Table, *, levels: Sequence[str], places: pa.Table | None, datasets: pa.Table | None
) -> pa.Table:
    """The days (rows of `place_days`) of the places in scope (is_in_scope), and of places around and within them."""
    (codes,) = key_codes(days, key=(*DATASET_KEY, "place_key"))
    full = days.select([*DATASET_KEY, "place_key"]).take(pa.array(first_rows(codes)))
    at_levels = explode_levels(with_columns(full, {"_full": pa.array(np.arange(len(full)))}), levels=levels)
    near = np.zeros(len(full), np.bool_)
    near[ints(at_levels.filter(pa.array(is_in_scope(at_levels, places=places, datasets=datasets))), "_full")] = True
    return days.filter(pa.array(near[codes]))


def is_in_scope(rows: pa.Table, *, places: pa.Table | None, datasets: pa.Table | None) -> Bools:
    """Which rows (PLACE_KEY) are of one of `places`, or of one of `datasets`; all where both are None. bool (n,)."""
    if places is None and datasets is None:
        return np.ones(len(rows), np.bool_)
    found = np.zeros(len(rows), np.bool_)
    if places is not None:
        found |= is_among(rows, places, on=PLACE_KEY)
    if datasets is not None:
        found |= is_among(rows, datasets, on=DATASET_KEY)
    return found


def _level_days(days: pa.Table, levels: Sequence[str]) -> tuple[Ints, Ints, pa.Table]:
    """Per day and level that exists there: its row, and its place at that level, a row of the table returned last."""
    (full,) = key_codes(days, key=(*DATASET_KEY, "place_key"))
    places = days.select([*DATASET_KEY, "place_key"]).take(pa.array(first_rows(full)))
    at_levels = explode_levels(with_columns(places, {"_full": pa.array(np.arange(len(places)))}), levels=levels)
    (codes,) = key_codes(at_levels, key=PLACE_KEY)
    units = at_levels.select(list(PLACE_KEY)).take(pa.array(first_rows(codes)))
    level_of = ints(at_levels, "_full")
    rows, of_units = [], []
    for level in levels:
        at = pc.equal(at_levels["level"], level).to_numpy()
        unit_of = np.full(len(places), -1, np.int64)
        unit_of[level_of[at]] = codes[at]
        unit = unit_of[full]
        row = np.flatnonzero(unit >= 0)
        rows.append(row)
        of_units.append(unit[row])
    return np.concatenate(rows), np.concatenate(of_units), units


def _is_deleted(unit: Ints, day: Ints, *, units: pa.Table, deletions: pa.Table) -> Bools:
    """Which days at places (rows of `units`) lie in a span that was deleted there: bool (n,)."""
    _, of_spans = key_codes(units, deletions, key=PLACE_KEY)  # the codes of units are their rows
    first, last = (of_spans * CALENDAR + ints(deletions, name) for name in ("first_day", "last_day"))
    order = np.argsort(first, kind="stable")
    covered_until = np.maximum.accumulate(last[order])
    at = unit * CALENDAR + day
    before = np.searchsorted(first[order], at, "right") - 1
    return (before >= 0) & (covered_until[before] >= at)


def _count_days(segment: Ints, is_new: Bools, count: int) -> np.ndarray:
    return np.bincount(segment[is_new], minlength=count).astype(np.int32)


def _names(days: pa.Table, rows: Ints, *, level: pa.ChunkedArray) -> dict[str, pa.ChunkedArray]:
    """The names and codes of places, down to their level."""
    found = days.select(list(NAMES)).take(pa.array(rows))
    names = {}
    for name in NAMES:
        depth = LEVEL_DEPTH[name.removesuffix("_code")]
        deep_enough = pa.array([level for level in LEVELS if LEVEL_DEPTH[level] >= depth])
        names[name] = pc.if_else(pc.is_in(level, value_set=deep_enough), found[name], pa.scalar(None, pa.string()))
    return names
