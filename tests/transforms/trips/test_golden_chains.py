"""The same histories by the Spark chains, table by table beside the kernels; goes when the chains go.

With LAKEALBUM_RECORD in the environment it writes golden.json, of what the chains give.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime

import pyarrow as pa
import pytest
from jobs.trips.scope import _changed_places
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from schemas.keys import CLUSTER_KEY, DATASET_KEY, DAY_KEY, PLACE_KEY
from tests.transforms.trips.histories import KEYS, Histories, Row, Turn, canonical, digest, play
from tests.transforms.trips.test_golden import DATASETS, GOLDEN, Kernels, told
from transforms.clusters.lineage import changes_since_events, derive_events
from transforms.tables.actions import ACTION, BEFORE
from transforms.tables.changes import diff_rows, drop_keys, keep_keys, keys_before, latest_rows
from transforms.trips.days import DAYS
from transforms.trips.location_dates import (
    combine_days,
    count_days,
    day_of_each,
    describe_clusters,
    drop_deleted_days,
    explode_levels,
    segment_days,
    within_span,
)
from transforms.trips.segments import begin_segments, carry_segments


def keep(rows: DataFrame) -> DataFrame:
    """The rows, computed once."""
    return rows.localCheckpoint()


class Chains:
    """The chains of Spark joins, as the jobs put them together."""

    def __init__(self, spark: SparkSession) -> None:
        self.spark = spark

    def frame(self, rows: pa.Table) -> DataFrame:
        """Rows as a frame."""
        from pyspark.sql.pandas.types import from_arrow_schema

        whole = rows.combine_chunks() if len(rows) else rows.schema.empty_table()
        return keep(self.spark.createDataFrame(whole, from_arrow_schema(rows.schema, prefer_timestamp_ntz=True)))

    def difference(
        self, wanted: DataFrame, current: DataFrame, *, key: tuple[str, ...], ignore: tuple[str, ...] = ()
    ) -> pa.Table:
        """What replace_rows would commit."""
        compare = [name for name in wanted.columns if name not in ignore]
        return diff_rows(wanted, current=current, key=key, compare=compare).toArrow()

    def change_days(self, turn: Turn, *, files: pa.Table, days: pa.Table) -> pa.Table:
        places, current, changes = self.frame(files), self.frame(days), self.frame(turn.feed)
        if turn.feeds_are_gone:
            found = places.transform(count_days)
        else:
            dated = changes.where(F.col("local_date").isNotNull())
            touched = keep(dated.select(*DAY_KEY).distinct())
            uncertain = keep(dated.transform(keys_before, key=DAY_KEY))
            current = keep(current.transform(keep_keys, keys=touched, on=DAY_KEY))
            added = dated.where(~F.col("_change_type").isin(*BEFORE)).transform(day_of_each)
            grown = added.unionByName(current).transform(drop_keys, keys=uncertain, on=DAY_KEY)
            recounted = places.transform(keep_keys, keys=uncertain, on=DAY_KEY).transform(count_days)
            found = grown.transform(combine_days).unionByName(recounted)
        return self.difference(keep(found.select(*DAYS.names)), current, key=DAY_KEY)

    def change_segments(
        self, turn: Turn, *, days: pa.Table, feed: pa.Table, segments: pa.Table, edits: pa.Table, states: pa.Table
    ) -> pa.Table:
        options = turn.options
        all_states, all_edits = self.frame(states), self.frame(edits)
        deletions = all_edits.where(F.col("action").isin("delete", "undelete"))
        fresh, stale = all_states.where("NOT is_stale"), all_states.where("is_stale").select(*DATASET_KEY)
        places: DataFrame | None = None
        if not turn.feeds_are_gone:
            since = fresh.select(*DATASET_KEY, "edits_version")
            touched = deletions.join(since, list(DATASET_KEY), how="inner").where("sequence > edits_version")
            edited = deletions.where("action = 'delete'").select(*PLACE_KEY, "object_id")
            edited = edited.join(
                touched.select(*DATASET_KEY, "object_id"), [*DATASET_KEY, "object_id"], how="left_semi"
            )
            changed = _changed_places(self.frame(feed), fresh=fresh, levels=options["levels"])
            places = keep(edited.select(*PLACE_KEY).unionByName(changed).distinct())

        def in_scope(rows: DataFrame) -> DataFrame:
            rows = rows.join(all_states.select(*DATASET_KEY), list(DATASET_KEY), how="left_semi")
            if places is None:
                return rows
            whole = rows.join(stale, list(DATASET_KEY), how="left_semi")
            return whole.unionByName(rows.join(places, list(PLACE_KEY), how="left_semi"))

        last = deletions.groupBy(*DATASET_KEY, "object_id").agg(
            F.max_by("action", "sequence").alias("action"),
            F.max_by(F.struct("level", "place_key", "first_day", "last_day"), "sequence").alias("span"),
        )
        in_force = keep(last.where("action = 'delete'").select(*DATASET_KEY, "object_id", "span.*"))
        new = keep(
            self.frame(days)
            .transform(explode_levels, levels=options["levels"])
            .transform(in_scope)
            .transform(drop_deleted_days, deletions=in_force)
            .transform(segment_days, gap_days=options["gap_days"])
        )
        is_cluster: Column = within_span(options["min_days"], options["max_days"])
        if not len(segments):
            begun = begin_segments(new, is_cluster=is_cluster, now=turn.now)
            return begun.withColumn(ACTION, F.lit("insert")).toArrow()
        changes = carry_segments(
            new,
            old=keep(in_scope(self.frame(segments))),
            deleted=in_force,
            is_cluster=is_cluster,
            now=turn.now,
            checkpoint=keep,
        )
        return changes.toArrow()

    def change_clusters(self, turn: Turn, *, feed: pa.Table, segments: pa.Table, clusters: pa.Table) -> pa.Table:
        rows, current = self.frame(segments), self.frame(clusters)
        if not turn.feeds_are_gone:
            changes = self.frame(feed)
            rows = changes.transform(latest_rows, key=CLUSTER_KEY, columns=segments.column_names)
            keys = changes.transform(keys_before, key=CLUSTER_KEY)
            current = current.transform(keep_keys, keys=keys, on=CLUSTER_KEY)
        wanted = rows.where("is_cluster").transform(describe_clusters).withColumn("update_time", F.lit(turn.now))
        return self.difference(keep(wanted), current, key=CLUSTER_KEY, ignore=("update_time",))

    def derive_events(
        self, turn: Turn, *, feed: pa.Table, segments: pa.Table, clusters: pa.Table, events: pa.Table
    ) -> pa.Table:
        known = self.frame(events)
        changes = self.frame(feed)
        if turn.feeds_are_gone:
            changes = changes_since_events(self.frame(clusters), events=known, version=turn.version, now=turn.now)
        return derive_events(changes, segments=self.frame(segments), known=known, kind="location-date").toArrow()


class Both:
    """Chains and kernels, which must agree."""

    def __init__(self, *engines: Chains | Kernels) -> None:
        self.engines = engines

    def __getattr__(self, name: str):  # the methods of an engine
        table = {
            "change_days": "days",
            "change_segments": "segments",
            "change_clusters": "clusters",
            "derive_events": "events",
        }

        def compute(turn: Turn, **tables: pa.Table) -> pa.Table:
            chains, kernels = (getattr(engine, name)(turn, **tables) for engine in self.engines)
            differences(kernels, chains, key=KEYS[table[name]], where=f"step {turn.step}, {name}")
            return chains.select(kernels.column_names).cast(kernels.schema)

        return compute


def differences(found: pa.Table, expected: pa.Table, *, key: tuple[str, ...], where: str) -> None:
    """Fails with some of the rows that differ."""
    one, other = (canonical(rows, key=key) for rows in (found, expected.select(found.column_names)))
    if one.equals(other.cast(one.schema)):
        return
    rows, others = ({tuple(row[k] for k in key): row for row in table.to_pylist()} for table in (one, other))
    assert len(one) == len(rows), f"{where}: keys are not unique"
    keys = sorted(map(str, rows.keys() ^ others.keys()))
    told = [f"{len(rows)} rows, {len(others)} expected; keys of one side alone: {len(keys)}: {keys[:4]}"]
    for each in rows.keys() & others.keys():
        if rows[each] != others[each] and len(told) < 6:
            told.append(
                str({n: (v, others[each][n]) for n, v in rows[each].items() if v != others[each][n]} | {"key": each})
            )
    pytest.fail("\n".join([where, *told]))


@pytest.mark.slow
def test_kernels_come_to_what_the_chains_come_to(spark: SparkSession) -> None:
    count = int(os.environ.get("LAKEALBUM_GOLDEN_DATASETS", DATASETS))
    digests: list[Row] = []
    events: list[str] = []
    for turn, changes in play(Histories.begin(count), Both(Chains(spark), Kernels())):
        digests.append({name: digest(changes[name], key=KEYS[name]) for name in KEYS})
        events += told(turn, changes)
        print(
            f"{datetime.now(UTC):%H:%M:%S} step {turn.step}:", {n: len(rows) for n, rows in changes.items()}, flush=True
        )
    if os.environ.get("LAKEALBUM_RECORD"):
        GOLDEN.write_text(json.dumps({"digests": digests, "events": events}, ensure_ascii=False, indent=0) + "\n")
