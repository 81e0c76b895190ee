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

SEGMENTS = LOCATION_DATE_SEGMENTS.computed_schema
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
    """Spans of days at places: code of the place, first and last day, and generation (0: none yet). int64 (n,) each."""

    place: Ints
    first: Ints
    last: Ints
    generation: Ints


class Match(NamedTuple):
    """What became of segments.

    `follows` has per new one the row of the old one that it follows, else -1, and `is_same` whether that has the same
    span; `left` the old rows that were present and that nothing follows; `pairs` those of both sides that share days,
    of what is not the same.
    """

    follows: Ints
    is_same: Bools
    left: Ints
    pairs: Overlaps


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
    spans, old_spans = _spans_of(new, old)
    is_deleted = is_among(old, deleted, on=["object_id"])
    was_deleted, was_gone = (pc.equal(old["state"], state).to_numpy() for state in ("deleted", "gone"))
    match = _match(spans, old_spans, present=~is_deleted & ~was_gone, gone=~is_deleted & was_gone)
    is_cluster = _is_within(new, min_days, max_days)

    moved = np.flatnonzero((match.follows >= 0) & ~_is_settled(new, old, match, is_cluster))
    kept = _remember(new.take(pa.array(moved)), old.take(pa.array(match.follows[moved])))
    updated = _live(kept, is_cluster[moved], now=now)
    fresh = np.flatnonzero(match.follows < 0)
    named = _name_fresh(new.take(pa.array(fresh)), Spans(*(each[fresh] for each in spans)), old_spans=old_spans)
    origins = pc.take(old["object_id"], indices_or_null(_origins(fresh, match.pairs, old)))
    inserted = _live(
        with_columns(named, {"origin_id": origins, "create_time": _instant(now)}), is_cluster[fresh], now=now
    )

    ids = pa.concat_tables([updated, inserted])["object_id"]
    id_of = np.full(len(new) + 1, -1, np.int64)  # the last stands for no row
    id_of[np.concatenate([moved, fresh])] = np.arange(len(ids))
    successors = pc.take(ids, indices_or_null(id_of[_heirs(match.left, match.pairs, spans)]))
    went = _leave(old.take(pa.array(match.left)), "gone", successor=successors, now=now)
    nobody = pa.scalar(None, pa.string())
    struck = _leave(old.filter(pa.array(is_deleted & ~was_deleted)), "deleted", successor=nobody, now=now)
    updates = pa.concat_tables([updated, went, struck])
    return pa.concat_tables([with_action(updates, "update"), with_action(inserted, "insert")])


def _spans_of(new: pa.Table, old: pa.Table) -> tuple[Spans, Spans]:
    places = key_codes(new, old, key=PLACE_KEY)
    generations = (np.zeros(len(new), np.int64), ints(old, "generation"))
    one, other = (
        Spans(place, ints(rows, "first_day"), ints(rows, "last_day"), generation)
        for rows, place, generation in zip((new, old), places, generations, strict=True)
    )
    return one, other


def _match(spans: Spans, old_spans: Spans, *, present: Bools, gone: Bools) -> Match:
    """Which old segment each new one follows: of those present, then of those that are gone."""
    follows = _same_spans(spans, old_spans, np.flatnonzero(present))
    is_same = follows >= 0
    rest_old = _without_follower(np.flatnonzero(present), follows)
    pairs = _overlaps(spans, old_spans, new=np.flatnonzero(~is_same), old=rest_old)
    follows = _follow(follows, pairs, spans=spans, old_spans=old_spans)
    left = _without_follower(rest_old, follows)
    unfollowed = np.flatnonzero(follows < 0)
    revivals = _overlaps(spans, old_spans, new=unfollowed, old=np.flatnonzero(gone))
    return Match(_follow(follows, revivals, spans=spans, old_spans=old_spans), is_same, left, pairs)


def _is_within(segments: pa.Table, min_days: int, max_days: int) -> Bools:
    days = ints(segments, "days")
    return (days >= min_days) & (days <= max_days)


def _same_spans(new: Spans, old: Spans, present: Ints) -> Ints:
    """Per new span the row of the old one, among those present, of the same place and days, else -1."""
    tables = (
        pa.table([each[rows] for each in spans[:3]], names=list("pfl"))
        for spans, rows in ((new, slice(None)), (old, present))
    )
    codes, others = key_codes(*tables, key="pfl")
    found = look_up(codes, others)
    return np.where(found >= 0, np.append(present, -1)[found], -1)


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


def _follow(follows: Ints, pairs: Overlaps, *, spans: Spans, old_spans: Spans) -> Ints:
    """`follows` with the pairs that share most days, each of either side once.

    Ties go to the oldest (the smallest generation), then to the earlier new span.
    """
    order = (-pairs.shared, old_spans.generation[pairs.old], spans.first[pairs.new])
    taken = match_greedily(pairs.new, pairs.old, order=order)
    follows = follows.copy()
    follows[pairs.new[taken]] = pairs.old[taken]
    return follows


def _is_settled(new: pa.Table, old: pa.Table, match: Match, is_cluster: Bools) -> Bools:
    """Which new segments are what the old ones that they follow say already: bool (n,)."""
    settled = match.is_same.copy()
    rows = np.flatnonzero(settled)
    others = match.follows[rows]
    was_cluster, was_live = bools(old, "is_cluster")[others], pc.equal(old["state"], "live").to_numpy()[others]
    settled[rows] = (is_cluster[rows] == was_cluster) & was_live
    for name in MEASURED:
        rows = np.flatnonzero(settled)
        others = match.follows[rows]
        settled[rows] = same_values(new[name].take(pa.array(rows)), old[name].take(pa.array(others)))
    return settled


def _remember(segments: pa.Table, old: pa.Table) -> pa.Table:
    """The segments with what the old ones, row by row, are known by."""
    return with_columns(segments, {name: old[name] for name in REMEMBERED})


def _name_fresh(fresh: pa.Table, spans: Spans, *, old_spans: Spans) -> pa.Table:
    """Adds `generation`, counted on by first day from the greatest that the place ever had, and the id made of it."""
    greatest = np.zeros(max(spans.place.max(initial=-1), old_spans.place.max(initial=-1)) + 1, np.int64)
    np.maximum.at(greatest, old_spans.place, old_spans.generation)
    order = np.lexsort((spans.first, spans.place))
    place = spans.place[order]
    number = np.empty_like(place)
    number[order] = np.arange(len(place)) - np.searchsorted(place, place) + 1
    generation = pa.array(greatest[spans.place] + number)
    ids = uuid5(CLUSTER_NAMESPACE, *(fresh[name] for name in PLACE_KEY[1:]), generation)
    object_id = pc.binary_join_element_wise(pa.scalar(TRIPS.prefix), ids, "")
    nothing = pa.scalar(None, TIMESTAMP)
    return with_columns(fresh, {"generation": generation, "object_id": object_id, "cluster_since": nothing})


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
