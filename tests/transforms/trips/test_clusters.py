"""Tests of transforms/trips/clusters.py: how segments are dressed as clusters, and which rows change."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tests.transforms.trips.tables import KEY, NO_DELETIONS, pick_columns, place_days
from transforms.tables.keyed import latest_rows, semi_join, with_columns
from transforms.trips.carrying import SEGMENTS, decide_segments
from transforms.trips.clusters import CLUSTERS, change_clusters, describe_clusters

TOULOUSE, ALBI = "fr/occitanie/toulouse//", "fr/occitanie/albi//"
NOW, LATER = datetime(2026, 4, 1, tzinfo=UTC), datetime(2026, 4, 2, tzinfo=UTC)
CLUSTER = (*KEY, "object_id")


def segments(*days: tuple[str, str], level: str = "city", **options: Any) -> pa.Table:
    """The segments of a lake that had none, of these (place key, day)."""
    chosen = {"levels": (level,), "gap_days": 1, "min_days": 1, "max_days": 15, **options}
    none = SEGMENTS.empty_table()
    changes = decide_segments(place_days(*days), segments=none, deletions=NO_DELETIONS, now=NOW, **chosen)
    return changes.select(SEGMENTS.names)


def test_a_cluster_is_named_by_its_level_and_lasts_from_midnight_to_midnight() -> None:
    (row,) = describe_clusters(segments((TOULOUSE, "2026-03-04"), (ALBI, "2026-03-05"), level="province")).to_pylist()
    assert (row["title"], row["country"], row["province"], row["city"]) == ("occitanie", "fr", "occitanie", None)
    assert row["start_time"] == datetime(2026, 3, 4, tzinfo=UTC)
    assert row["end_time"] == datetime(2026, 3, 5, 23, 59, 59, 999999, tzinfo=UTC)
    assert (row["files"], row["days"], row["cover_uri"], row["create_time"]) == (2, 2, "2026-03-04", NOW)


def test_its_ends_have_the_offsets_of_the_first_and_of_the_last_file() -> None:
    found = segments((TOULOUSE, "2026-03-04"))
    moments = {}
    for name, offset in (("first", 480), ("last", -210)):
        time, _ = found[name].combine_chunks().flatten()
        offsets = pa.array([offset], pa.int32())
        moments[name] = pa.StructArray.from_arrays([time, offsets], fields=list(found.schema.field(name).type))
    (row,) = describe_clusters(with_columns(found, moments)).to_pylist()
    assert (row["start_time"], row["start_offset"]) == (datetime(2026, 3, 3, 16, tzinfo=UTC), 480)
    assert (row["end_time"], row["end_offset"]) == (datetime(2026, 3, 5, 3, 29, 59, 999999, tzinfo=UTC), -210)


def test_the_first_and_the_last_day_of_the_calendar_have_a_midnight() -> None:
    found = describe_clusters(segments((TOULOUSE, "0001-01-02"), (TOULOUSE, "1582-10-15"), (TOULOUSE, "9999-12-31")))
    assert [row["start_time"].year for row in found.to_pylist()] == [1, 1582, 9999]
    assert found["end_time"].to_pylist()[2] == datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)


def test_only_segments_that_are_clusters_are_in_the_table_and_equal_rows_stay() -> None:
    two = segments((TOULOUSE, "2026-03-04"), (TOULOUSE, "2026-03-05"), (ALBI, "2026-03-04"))
    changes = change_clusters(two, clusters=CLUSTERS.empty_table(), now=NOW)
    assert pick_columns(changes, "title", "days", "_action") == {("toulouse", 2, "insert"), ("albi", 1, "insert")}
    clusters = changes.select(CLUSTERS.names)
    assert len(change_clusters(two, clusters=clusters, now=LATER)) == 0
    longer = segments((TOULOUSE, "2026-03-04"), (TOULOUSE, "2026-03-05"), (ALBI, "2026-03-04"), min_days=2)
    changes = change_clusters(longer, clusters=clusters, now=LATER)
    assert pick_columns(changes, "title", "_action") == {("albi", "delete")}
    grown = segments((TOULOUSE, "2026-03-04"), (TOULOUSE, "2026-03-05"), (TOULOUSE, "2026-03-06"), (ALBI, "2026-03-04"))
    (row,) = change_clusters(grown, clusters=clusters, now=LATER).to_pylist()
    assert (row["days"], row["update_time"], row["create_time"], row["_action"]) == (3, LATER, NOW, "update")


def test_of_a_feed_the_last_commit_holds() -> None:
    two = segments((TOULOUSE, "2026-03-04"), (ALBI, "2026-03-04"))
    clusters = change_clusters(two, clusters=CLUSTERS.empty_table(), now=NOW).select(CLUSTERS.names)
    albi = two.filter(pc.equal(two["city"], "albi"))
    out = with_columns(albi, {"is_cluster": pa.array([False])})
    kinds = (
        (out, "update_postimage", 3),
        (albi, "update_preimage", 3),
        (albi, "update_postimage", 2),
        (out, "insert", 1),
    )
    feed = pa.concat_tables(
        with_columns(
            rows.cast(SEGMENTS), {"_change_type": pa.scalar(kind), "_commit_version": pa.scalar(version, pa.int64())}
        )
        for rows, kind, version in kinds
    )
    latest = latest_rows(feed, key=CLUSTER)
    assert pick_columns(latest, "_commit_version", "is_cluster") == {(3, False)}
    changes = change_clusters(latest, clusters=semi_join(clusters, feed, on=CLUSTER), now=LATER)
    assert pick_columns(changes, "title", "_action") == {("albi", "delete")}
