"""Segments through time: the ids of new ones, what became of old ones, and which are clusters."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.cluster_kinds import TRIPS
from schemas.contract import TIMESTAMP
from schemas.keys import PLACE_KEY
from schemas.lake import CLUSTER_NAMESPACE
from schemas.location_date_segments import LOCATION_DATE_SEGMENTS
from transforms.clusters.ids import match_greedily, uuid5
from transforms.tables.columns import Ints, bools, ints
from transforms.tables.keyed import (
    Bools,
    indices_or_null,
    is_among,
    key_codes,
    look_up,
    same_values,
    with_action,
    with_columns,
)
from transforms.trips.days import NAMES
from transforms.trips.segmenting import CALENDAR, is_in_scope, segment_days

SEGMENTS = pa.schema([field for field in LOCATION_DATE_SEGMENTS.arrow_schema if field.name != "run_id"])
"""The columns of `location_date_segments` but run_id."""
MEASURED = ("days", "days_with_files", "files", "images", "videos", "first", "last", "cover", *NAMES)
REMEMBERED = ("object_id", "generation", "origin_id", "cluster_since", "create_time")


class Overlaps(NamedTuple):
    """Pairs of a new and an old span of one place that share days: row numbers, and how many days. int64 (p,) each."""

    new: Ints
    old: Ints
    shared: Ints

    def of(self, chosen: Bools) -> Overlaps:
        """The pairs that are chosen."""
        return Overlaps(*(each[chosen] for each in self))


class Spans(NamedTuple):
    """Spans of days at places: the code of the place, first and last day. int64 (n,) each."""

    place: Ints
    first: Ints
    last: Ints


def decide_segments(
    days: pa.Table,
    *,
    segments: pa.Table,
    deletions: pa.Table,
    levels: Sequence[str],
    gap_days: int,
    min_days: int,
    max_days: int,
    now: datetime,
    places: pa.Table | None = None,
    datasets: pa.Table | None = None,
) -> pa.Table:
    """The rows of `location_date_segments` that must change, with `_action`: all columns but run_id.

    `days` are rows of `place_days`, `segments` those that the table has, `deletions` those in force (object_id,
    PLACE_KEY, first_day, last_day). Where `places` (PLACE_KEY) or `datasets` (DATASET_KEY) are given, only these places
    and all of these datasets are looked at; `days` and `segments` have all rows of theirs, and may have others.
    """
    scope = {"places": places, "datasets": datasets}
    new = segment_days(days, levels=levels, gap_days=gap_days, deletions=deletions, **scope)
    old = segments.filter(pa.array(is_in_scope(segments, **scope)))
    return carry_segments(new, old=old, deleted=deletions, min_days=min_days, max_days=max_days, now=now)


def carry_segments(
    new: pa.Table, *, old: pa.Table, deleted: pa.Table, min_days: int, max_days: int, now: datetime
) -> pa.Table:
    """The segments that change, one row each: the columns of `location_date_segments` but run_id, and `_action`.

    `new` are the segments of the places in scope as cut now (segment_days); `old` all rows of the same places as last
    committed; `deleted` the object_ids of clusters that are deleted now. A cluster is a segment of `min_days` to
    `max_days`, first and last day counted.

    What is the same span on both sides keeps its id. An old segment of the rest is followed by the new one that shares
    most days with it, one to one: live ones and those whose deletion was undone first, then those that went. What no
    old segment answers for is new. A live one that nothing follows goes, and names as successor the new segment that
    took most of its days. Ties: see match_greedily. Time grows with the segments, and with the pairs that overlap.
    """
    old = old.select(SEGMENTS.names)
    new_place, old_place = key_codes(new, old, key=PLACE_KEY)
    spans, old_spans = _spans_of(new, new_place), _spans_of(old, old_place)
    state = old["state"]
    is_deleted = is_among(old, deleted, on=["object_id"])
    was_deleted, was_gone = (pc.equal(state, name).to_numpy() for name in ("deleted", "gone"))
    present = np.flatnonzero(~is_deleted & ~was_gone)
    gone = np.flatnonzero(~is_deleted & was_gone)
    is_cluster = _is_within(new, min_days, max_days)

    follows = _same_spans(spans, old_spans, present)  # per new segment the old one that it follows; -1: none
    same, rest = np.flatnonzero(follows >= 0), np.flatnonzero(follows < 0)
    rest_old = _without_follower(present, follows)
    generation = ints(old, "generation")
    pairs = _overlaps(spans, old_spans, new=rest, old=rest_old)
    _follow(follows, pairs, spans=spans, generation=generation)
    left = _without_follower(rest_old, follows)
    unfollowed = rest[follows[rest] < 0]
    _follow(follows, _overlaps(spans, old_spans, new=unfollowed, old=gone), spans=spans, generation=generation)

    fresh = np.flatnonzero(follows < 0)
    moved = np.concatenate([same[~_are_settled(new, old, same, follows, is_cluster)], rest[follows[rest] >= 0]])
    named = _name_fresh(new.take(pa.array(fresh)), place=new_place[fresh], spans=old_spans, generation=generation)
    origins = pc.take(old["object_id"], indices_or_null(_origins(fresh, pairs, old)))
    named = with_columns(named, {"origin_id": origins, "create_time": _instant(now)})
    inserted = _live(named, is_cluster[fresh], now=now)
    remembered = old.select(REMEMBERED).take(pa.array(follows[moved]))
    kept = with_columns(new.take(pa.array(moved)), dict(zip(REMEMBERED, remembered.columns, strict=True)))
    updated = _live(kept, is_cluster[moved], now=now)

    ids = pa.concat_tables([updated, inserted])["object_id"]
    id_of = np.full(len(new) + 1, -1, np.int64)  # the last stands for no row
    id_of[np.concatenate([moved, fresh])] = np.arange(len(ids))
    successors = pc.take(ids, indices_or_null(id_of[_heirs(left, pairs, spans)]))
    went = _leave(old.take(pa.array(left)), "gone", successor=successors, now=now)
    nobody = pa.scalar(None, pa.string())
    struck = _leave(old.filter(pa.array(is_deleted & ~was_deleted)), "deleted", successor=nobody, now=now)
    updates = pa.concat_tables([updated, went, struck])
    return pa.concat_tables([with_action(updates, "update"), with_action(inserted, "insert")])


def _spans_of(segments: pa.Table, place: Ints) -> Spans:
    return Spans(place, ints(segments, "first_day"), ints(segments, "last_day"))


def _is_within(segments: pa.Table, min_days: int, max_days: int) -> Bools:
    days = ints(segments, "days")
    return (days >= min_days) & (days <= max_days)


def _same_spans(new: Spans, old: Spans, present: Ints) -> Ints:
    """Per new span the row of the old one, among those present, of the same place and days, else -1."""
    codes, others = key_codes(
        *(_span_table(spans) for spans in (new, Spans(*(each[present] for each in old)))), key=Spans._fields
    )
    found = look_up(codes, others)
    return np.where(found >= 0, np.append(present, -1)[found], -1)


def _span_table(spans: Spans) -> pa.Table:
    return pa.table(dict(zip(Spans._fields, spans, strict=True)))


def _without_follower(rows: Ints, follows: Ints) -> Ints:
    """Those of the old rows that no new segment follows."""
    is_followed = np.zeros(max(rows.max(initial=-1), follows.max(initial=-1)) + 2, np.bool_)  # the last: by nothing
    is_followed[follows] = True
    return rows[~is_followed[rows]]


def _overlaps(spans: Spans, old_spans: Spans, *, new: Ints, old: Ints) -> Overlaps:
    """The pairs of rows `new` and `old` that share a day. The new spans of a place share none with each other.

    So those that an old span meets lie side by side: from the first that ends no earlier than it begins to the last
    that begins no later than it ends.
    """
    order = new[np.lexsort((spans.first[new], spans.place[new]))]
    firsts, lasts = (spans.place[order] * CALENDAR + day[order] for day in (spans.first, spans.last))
    place = old_spans.place[old] * CALENDAR
    begin = np.searchsorted(lasts, place + old_spans.first[old], "left")
    end = np.searchsorted(firsts, place + old_spans.last[old], "right")
    counts = np.maximum(end - begin, 0)
    which = np.repeat(old, counts)
    within = np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts, counts)
    met = order[np.repeat(begin, counts) + within]
    first = np.maximum(spans.first[met], old_spans.first[which])
    last = np.minimum(spans.last[met], old_spans.last[which])
    return Overlaps(met, which, last - first + 1)


def _follow(follows: Ints, pairs: Overlaps, *, spans: Spans, generation: Ints) -> None:
    """Notes in `follows` the pairs that share most days, each of either side once.

    Ties go to the oldest (the smallest generation), then to the earlier new span.
    """
    order = (-pairs.shared, generation[pairs.old], spans.first[pairs.new])
    taken = match_greedily(pairs.new, pairs.old, order=order)
    follows[pairs.new[taken]] = pairs.old[taken]


def _are_settled(new: pa.Table, old: pa.Table, rows: Ints, follows: Ints, is_cluster: Bools) -> Bools:
    """Which new segments (rows) are what the old ones that they follow say already: bool (r,)."""
    others = follows[rows]
    was_cluster, was_live = bools(old, "is_cluster")[others], pc.equal(old["state"], "live").to_numpy()[others]
    settled: Bools = (is_cluster[rows] == was_cluster) & was_live
    for name in MEASURED:
        at = np.flatnonzero(settled)
        same = same_values(new[name].take(pa.array(rows[at])), old[name].take(pa.array(others[at])))
        settled[at[~same]] = False
    return settled


def _name_fresh(fresh: pa.Table, *, place: Ints, spans: Spans, generation: Ints) -> pa.Table:
    """Adds `generation`, counted on by first day from the greatest that the place ever had, and the id made of it."""
    greatest = np.zeros(max(place.max(initial=-1), spans.place.max(initial=-1)) + 1, np.int64)
    np.maximum.at(greatest, spans.place, generation)
    order = np.lexsort((ints(fresh, "first_day"), place))
    in_order = place[order]
    begins = np.diff(in_order, prepend=-1) != 0
    start = np.flatnonzero(begins)
    number = np.empty_like(place)
    number[order] = np.arange(len(place)) - start[np.cumsum(begins) - 1] + 1 if len(place) else number
    numbers = pa.array(greatest[place] + number)
    ids = uuid5(CLUSTER_NAMESPACE, *(fresh[name] for name in PLACE_KEY[1:]), numbers)
    object_id = pc.binary_join_element_wise(pa.scalar(TRIPS.prefix), ids, "")
    nothing = pa.scalar(None, TIMESTAMP)
    return with_columns(fresh, {"generation": numbers, "object_id": object_id, "cluster_since": nothing})


def _origins(fresh: Ints, pairs: Overlaps, old: pa.Table) -> Ints:
    """Per fresh segment the old row that shares most days with it, ties to the smaller object_id; -1 if none does."""
    is_fresh = np.zeros(max(fresh.max(initial=-1), pairs.new.max(initial=-1)) + 1, np.bool_)
    is_fresh[fresh] = True
    pairs = pairs.of(is_fresh[pairs.new])
    by_id = pc.rank(old["object_id"].take(pa.array(pairs.old)), tiebreaker="dense").to_numpy()
    return _most_shared(fresh, of=pairs.new, other=pairs.old, order=(-pairs.shared, by_id))


def _heirs(left: Ints, pairs: Overlaps, spans: Spans) -> Ints:
    """Per old row the new one that shares most days with it, ties to the earlier; -1 if none does."""
    return _most_shared(left, of=pairs.old, other=pairs.new, order=(-pairs.shared, spans.first[pairs.new]))


def _most_shared(rows: Ints, *, of: Ints, other: Ints, order: tuple[Ints, Ints]) -> Ints:
    """Per row the first of its pairs by `order`, of whose two sides `of` is the row and `other` is told; else -1."""
    ranked = np.lexsort(tuple(reversed(order)))[::-1]  # look_up finds the last
    found = look_up(rows, of[ranked])
    return np.where(found >= 0, np.append(other[ranked], -1)[found], -1)


def _live(segments: pa.Table, is_cluster: Bools, *, now: datetime) -> pa.Table:
    """The segments that are there, as rows of the table."""
    since = segments["cluster_since"]
    begun = pc.if_else(pa.array(is_cluster), _instant(now), pa.scalar(None, TIMESTAMP))
    columns = {
        "is_cluster": pa.array(is_cluster),
        "cluster_since": pc.coalesce(since, begun),
        "state": pa.scalar("live"),
        "successor_id": pa.scalar(None, pa.string()),
        "update_time": _instant(now),
    }
    return with_columns(segments, columns).select(SEGMENTS.names).cast(SEGMENTS)


def _leave(segments: pa.Table, state: str, *, successor: pa.Scalar | pa.ChunkedArray, now: datetime) -> pa.Table:
    """The segments that are there no more."""
    columns = {
        "state": pa.scalar(state),
        "is_cluster": pa.scalar(False),
        "successor_id": successor,
        "update_time": _instant(now),
    }
    return with_columns(segments, columns).select(SEGMENTS.names).cast(SEGMENTS)


def _instant(now: datetime) -> pa.Scalar:
    return pa.scalar(now, TIMESTAMP)
