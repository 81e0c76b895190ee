"""The evidence of trips: what the files of a day at a place come to, counted, added up, and kept up to date."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.contract import LEVELS
from schemas.keys import DAY_KEY
from schemas.place_days import COVER, MOMENT, PLACE_DAYS
from transforms.tables.actions import BEFORE
from transforms.tables.columns import Ints, Texts, ints, struct_of, texts
from transforms.tables.keyed import (
    anti_join,
    diff_rows,
    distinct,
    key_codes,
    semi_join,
    union_by_name,
    with_columns,
)
from transforms.tables.machine import kernel

NAMES = (*LEVELS, *(f"{level}_code" for level in LEVELS))
COUNTS = ("files", "images", "videos")
FILE_COLUMNS = (*DAY_KEY, *NAMES, "uri", "shot_id", "media_type", "produce_time", "utc_offset", "cover_rank")
"""The columns of `file_places` that days are counted from."""
DAYS = PLACE_DAYS.computed_schema
"""The columns of `place_days` but run_id."""


class Evidence(NamedTuple):
    """What each row counts, whether a file or a day: counts, its first and last moment, and its best cover.

    Times are in microseconds, offsets in minutes; all int64 (n,) but `uri`.
    """

    files: Ints
    images: Ints
    videos: Ints
    first_time: Ints
    first_offset: Ints
    last_time: Ints
    last_offset: Ints
    cover_rank: Ints
    cover_time: Ints
    uri: Texts


class Totals(NamedTuple):
    """What groups of rows count together, int64 (g,): counts, and which row has the first moment, last, best cover."""

    files: Ints
    images: Ints
    videos: Ints
    first: Ints
    last: Ints
    best: Ints


def count_days(places: pa.Table) -> pa.Table:
    """One row per dataset, place and local date with a dated file: the columns of `place_days` but run_id.

    `places` has FILE_COLUMNS of a row per located file. A day's names are those of its best cover, so that a place
    that is spelt in two ways has one name a day. Of the files of one shot, the one that
    stands for it counts. Memory: some 150 bytes a file beside the file's own columns.
    """
    counted = places.filter(pc.invert(is_companion(places)))
    return _total_days(counted, _evidence_of_files(counted))


def is_companion(places: pa.Table) -> pa.ChunkedArray:
    """Which files are of a shot that another file stands for: its `shot_id` is that one's uri."""
    return pc.fill_null(pc.not_equal(places["shot_id"], places["uri"]), False)


def add_days(days: pa.Table) -> pa.Table:
    """The rows of `place_days` that such rows, which count different files, come to: one a day."""
    return _total_days(days, evidence_of_days(days))


def evidence_of_days(days: pa.Table) -> Evidence:
    """What each row of `place_days` counts."""
    return Evidence(
        files=ints(days, "files"),
        images=ints(days, "images"),
        videos=ints(days, "videos"),
        first_time=ints(days, "first.time"),
        first_offset=ints(days, "first.utc_offset"),
        last_time=ints(days, "last.time"),
        last_offset=ints(days, "last.utc_offset"),
        cover_rank=ints(days, "cover.rank"),
        cover_time=ints(days, "cover.time"),
        uri=texts(days, "cover.uri"),
    )


def _evidence_of_files(places: pa.Table) -> Evidence:
    videos = pc.equal(places["media_type"], "video").to_numpy().astype(np.int64)
    time, offset = ints(places, "produce_time"), ints(places, "utc_offset")
    rank, uri = ints(places, "cover_rank"), texts(places, "uri")
    return Evidence(np.ones_like(videos), 1 - videos, videos, time, offset, time, offset, rank, time, uri)


def _total_days(rows: pa.Table, evidence: Evidence) -> pa.Table:
    (codes,) = key_codes(rows, key=DAY_KEY)
    dated = np.flatnonzero(rows["local_date"].is_valid().to_numpy())
    totals = total(evidence, codes[dated], dated, int(codes.max(initial=-1)) + 1)
    if len(dated) < len(codes):
        totals = Totals(*(each[totals.files > 0] for each in totals))
    days = rows.select([*DAY_KEY, *NAMES]).take(pa.array(totals.best))
    return with_columns(days, columns_of(totals, evidence)).select(DAYS.names).cast(DAYS)


def columns_of(totals: Totals, evidence: Evidence) -> dict[str, pa.Array]:
    """The counts, `first`, `last` and `cover` of groups, as `place_days` has them."""
    first = {"time": evidence.first_time[totals.first], "utc_offset": evidence.first_offset[totals.first]}
    last = {"time": evidence.last_time[totals.last], "utc_offset": evidence.last_offset[totals.last]}
    best = totals.best
    cover = {"rank": evidence.cover_rank[best], "time": evidence.cover_time[best], "uri": _uris(evidence.uri, best)}
    return {
        **{name: pa.array(getattr(totals, name)) for name in COUNTS},
        "first": struct_of(MOMENT, first),
        "last": struct_of(MOMENT, last),
        "cover": struct_of(COVER, cover),
    }


def _uris(uri: Texts, rows: Ints) -> pa.Array:
    buffers = [None, pa.py_buffer(uri.offsets), pa.py_buffer(uri.octets)]
    return pa.Array.from_buffers(pa.large_string(), len(uri.offsets) - 1, buffers).take(pa.array(rows))


def total(evidence: Evidence, groups: Ints, rows: Ints, count: int) -> Totals:
    """What `count` groups of rows come to: pair by pair, a group and the row that is in it, int64 (m,) both.

    The first moment is the least by time, then offset, the last the greatest; the best cover has the least rank, then
    time, then URI by its octets. Of equal ones the first pair's counts.
    """
    counts = np.zeros((3, count), np.int64)
    chosen = np.full((3, count), -1, np.int64)
    _total(evidence, groups, rows, counts, chosen)
    return Totals(*counts, *chosen)


@kernel
def _total(evidence, groups, rows, counts, chosen):
    """Adds up the rows' counts, int64 (3, g), and chooses among them (first, last, best cover; -1: none yet)."""
    offsets, octets = evidence.uri
    for pair in range(len(groups)):
        group, row = groups[pair], rows[pair]
        counts[0, group] += evidence.files[row]
        counts[1, group] += evidence.images[row]
        counts[2, group] += evidence.videos[row]
        first, last, best = chosen[0, group], chosen[1, group], chosen[2, group]
        if first < 0:
            chosen[0, group] = chosen[1, group] = chosen[2, group] = row
            continue
        if evidence.first_time[row] < evidence.first_time[first] or (
            evidence.first_time[row] == evidence.first_time[first]
            and evidence.first_offset[row] < evidence.first_offset[first]
        ):
            chosen[0, group] = row
        if evidence.last_time[row] > evidence.last_time[last] or (
            evidence.last_time[row] == evidence.last_time[last]
            and evidence.last_offset[row] > evidence.last_offset[last]
        ):
            chosen[1, group] = row
        if evidence.cover_rank[row] != evidence.cover_rank[best]:
            is_better = evidence.cover_rank[row] < evidence.cover_rank[best]
        elif evidence.cover_time[row] != evidence.cover_time[best]:
            is_better = evidence.cover_time[row] < evidence.cover_time[best]
        else:
            is_better = _is_before(octets, offsets[row], offsets[row + 1], offsets[best], offsets[best + 1])
        if is_better:
            chosen[2, group] = row


@kernel
def _is_before(octets, start, end, other, other_end):
    """Whether the text from `start` to `end` comes before the one from `other` to `other_end`, octet by octet."""
    for at in range(min(end - start, other_end - other)):
        if octets[start + at] != octets[other + at]:
            return octets[start + at] < octets[other + at]
    return end - start < other_end - other


def touched_days(feed: pa.Table) -> pa.Table:
    """The days (DAY_KEY) that a change feed of `file_places` tells of: those whose evidence changes."""
    return distinct(_dated(feed).select(list(DAY_KEY)), key=DAY_KEY)


def days_to_recount(feed: pa.Table) -> pa.Table:
    """The days (DAY_KEY) that a file left, or changed on, as a change feed of `file_places` tells."""
    dated = _dated(feed)
    return touched_days(dated.filter(_was_before(dated)))


def change_days(feed: pa.Table, *, places: pa.Table, days: pa.Table) -> pa.Table:
    """The rows of `place_days` that must change, with `_action`: all columns but run_id.

    `feed` are all changes of `file_places` since the days were last brought up to date (FILE_COLUMNS and
    `_change_type`); `places` the files that are there now on the days of days_to_recount; `days` the rows of
    `place_days` of touched_days. Files are added to a day that has only gained some: as a commit consumes its source
    once, that comes to the same as counting all again, which is done for the days to recount.
    """
    recounted = days_to_recount(feed)
    added = count_days(feed.filter(pc.invert(_was_before(feed))))
    grown = anti_join(union_by_name(added, days), recounted, on=DAY_KEY)
    wanted = union_by_name(add_days(grown), count_days(semi_join(places, recounted, on=DAY_KEY)))
    return replace_days(wanted, days=days)


def replace_days(wanted: pa.Table, *, days: pa.Table) -> pa.Table:
    """The rows of `place_days` that must change, with `_action`, so that `wanted` is there in place of `days`."""
    return diff_rows(wanted, current=days, key=DAY_KEY, compare=DAYS.names)


def _dated(feed: pa.Table) -> pa.Table:
    return feed.filter(pc.is_valid(feed["local_date"]))


def _was_before(feed: pa.Table) -> pa.ChunkedArray:
    return pc.is_in(feed["_change_type"], value_set=pa.array(BEFORE))
