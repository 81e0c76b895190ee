"""Similar images: the pairs that follow `file_features`, and the commits of clusters and members."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.clusters.member_clusters import Changed, MemberClusters
from jobs.runtime.commits import Step, replace_rows
from jobs.runtime.lake import Lake
from jobs.runtime.runs import Run
from schemas.cluster_kinds import GROUPS
from schemas.file_features import FILE_FEATURES
from schemas.files import FILES
from schemas.keys import DATASET_KEY, FILE_KEY, FINGERPRINT_KEY, GROUP_KEY
from schemas.similar_image_members import SIMILAR_IMAGE_MEMBERS
from schemas.similar_image_pairs import SIMILAR_IMAGE_PAIRS
from transforms.clusters.member_clusters import keep_names
from transforms.similar_images.hash_pairs import find_hash_pairs
from transforms.similar_images.similarity import (
    connected_looks,
    cropped_pairs,
    describe_groups,
    describe_members,
    embedded_pairs,
    ends_of,
    first_signals,
    whole_pairs,
)
from transforms.tables.changes import drop_keys, keep_keys
from transforms.tables.frames import union_by_name

GROUPED_WHOLE = 100_000
"""Pictures of a lake up to which a changed dataset is grouped whole."""
FEW_LOOKS = 200_000
"""Looks that changed up to which they and what is connected with them are grouped; for more, whole datasets."""
OF_A_FILE = ("content_hash", "camera_make", "camera_model", "produce_time", "image_width", "image_height")


def refresh_similar_image_pairs(run: Run) -> None:
    """Compares the pictures whose features changed with all of their datasets, and keeps the pairs that are similar."""
    lake = run.lake
    until = lake.version(FILE_FEATURES)
    step = Step.pin(lake, SIMILAR_IMAGE_PAIRS, run.run_id, consumes={FILE_FEATURES.name: until}, dry_run=run.dry_run)
    consumed = step.consumed(FILE_FEATURES)
    run.ledger.read(FILE_FEATURES, until)
    if consumed == until:
        return
    with nullcontext():
        changes = lake.read_changes(FILE_FEATURES, consumed, until) if consumed is not None else None
        touched, current = None, step.current()
        if changes is not None:
            looks = changes.where(F.col("fingerprint").isNotNull()).select(*FINGERPRINT_KEY).distinct()
            touched = run.cache_keys(looks, "fingerprints.touched")
            current = _pairs_of(step, touched)
        found = list(_find_pairs(run, until, touched))
    with nullcontext():
        pairs = first_signals(found)
        run.ledger.wrote(SIMILAR_IMAGE_PAIRS, replace_rows(step, run.stamp(pairs), current))


def _pairs_of(step: Step, looks: DataFrame) -> DataFrame:
    """The pairs as pinned of which one is among `looks` (FINGERPRINT_KEY)."""
    others = looks.withColumnRenamed("fingerprint", "other_fingerprint")
    one, other = (
        step.current().join(keys, keys.columns, how="left_semi").select(*step.contract.names)
        for keys in (looks, others)
    )
    return union_by_name(one, other.transform(drop_keys, keys=looks, on=FINGERPRINT_KEY))


def _find_pairs(run: Run, version: int, touched: DataFrame | None) -> Iterator[DataFrame]:
    """The pairs (PAIR_COLUMNS) of which one is among `touched` (FINGERPRINT_KEY; None: all), signal by signal."""
    lake = run.lake
    if touched is None:
        new = lake.read(FILE_FEATURES, version).where(F.col("fingerprint").isNotNull())
        near = run.cache(find_hash_pairs(new, key=DATASET_KEY))
    else:
        columns = (*FINGERPRINT_KEY, "crop_hashes", "turned_hashes", "embedding")
        new = run.cache(
            lake.read(FILE_FEATURES, version).join(touched, list(FINGERPRINT_KEY), how="left_semi").select(*columns)
        )
        near = _compare(run, version, new, touched)
    run.ledger.count("candidates", near.count())
    yield near.transform(whole_pairs)
    candidates = near.where("signal = 'crop'")
    if not candidates.isEmpty():
        wanted = (*FINGERPRINT_KEY, "crop_hashes", "thumbnail")
        thumbnails = (
            lake.read(FILE_FEATURES, version)
            .join(ends_of(candidates), list(FINGERPRINT_KEY), how="left_semi")
            .select(*wanted)
        )
        yield candidates.transform(cropped_pairs, thumbnails=thumbnails)
    if not new.where(F.col("embedding").isNotNull()).isEmpty():
        with nullcontext():
            known = None if touched is None else _others(lake, version, touched)
            alike = run.cache(new.transform(embedded_pairs, old=known, checkpoint=run.cache))
        yield alike


def _compare(run: Run, version: int, new: DataFrame, touched: DataFrame) -> DataFrame:
    """What find_hash_pairs finds of new pictures, those of `touched`."""
    return run.cache(find_hash_pairs(new, key=DATASET_KEY, old=_others(run.lake, version, touched)))


def _others(lake: Lake, version: int, touched: DataFrame) -> DataFrame:
    """The pictures of the same datasets that are not among `touched`."""
    datasets = F.broadcast(touched.select(*DATASET_KEY).distinct())
    images = lake.read(FILE_FEATURES, version).where(F.col("fingerprint").isNotNull())
    return images.transform(keep_keys, keys=datasets, on=DATASET_KEY).transform(
        drop_keys, keys=touched, on=FINGERPRINT_KEY
    )


def parts_of(changed: Changed) -> Iterator[Changed]:
    """What changed in two parts: datasets that are grouped whole, and the looks that changed of others, if few.

    Which looks of a dataset changed is not asked where lakes are so small that grouping all is no more work.
    """
    run = changed.run
    if run.lake.rows(FILE_FEATURES) <= GROUPED_WHOLE:
        yield changed
        return
    counts = {row.is_whole: row["count"] for row in changed.datasets.groupBy("is_whole").count().collect()}
    if not counts.get(False):
        yield changed
        return
    part = replace(changed, datasets=run.cache_keys(changed.datasets.where(~F.col("is_whole")), "datasets.in_part"))
    with nullcontext():
        looks = run.cache_keys(_touched_looks(part), "looks.touched")
        if run.ledger.row_counts["looks.touched"] > FEW_LOOKS:
            yield changed
            return
        pairs = part.read(SIMILAR_IMAGE_PAIRS)
        looks = looks.transform(connected_looks, pairs=pairs, checkpoint=run.cache, log=run.log_round)
        looks = run.cache_keys(looks, "looks.connected")
    yield replace(part, looks=looks)
    if counts.get(True):
        yield replace(changed, datasets=run.cache_keys(changed.datasets.where("is_whole"), "datasets.whole"))


def _touched_looks(changed: Changed) -> DataFrame:
    """The fingerprints (FINGERPRINT_KEY) of which a file, its features or a pair came, went or is another now."""
    feeds = changed.feeds
    found = []
    features = feeds.get(FILE_FEATURES.name)
    if features is not None:
        found.append(features.select(*FINGERPRINT_KEY))
    if FILES.name in feeds:
        files = feeds[FILES.name].select(*FILE_KEY).distinct()
        if features is not None:
            files = files.transform(drop_keys, keys=features, on=FILE_KEY)
        files = changed.run.cache_keys(files, "files.touched")
        if changed.run.ledger.row_counts["files.touched"]:
            found.append(changed.rows_of(FILE_FEATURES, files, on=FILE_KEY, columns=FINGERPRINT_KEY))
    if SIMILAR_IMAGE_PAIRS.name in feeds:
        found.append(feeds[SIMILAR_IMAGE_PAIRS.name].transform(ends_of))
    looks = union_by_name(*found).where(F.col("fingerprint").isNotNull()).distinct()
    return looks.join(changed.datasets, list(DATASET_KEY), how="left_semi")


def commit_similar_images(clusters: MemberClusters, groups: DataFrame, *, names: DataFrame) -> int:
    """Commits the clusters of `groups`, a row per file, and their members. Returns the clusters' version."""
    named = groups.join(names.select(*GROUP_KEY, "object_id"), list(GROUP_KEY), how="inner")
    kept = [name for name in SIMILAR_IMAGE_MEMBERS.names if name != "run_id"]
    members = clusters.run.cache(named.transform(describe_members).select(*kept, "produce_time"))
    return clusters.commit(members.drop("produce_time"), groups=members.transform(describe_groups), names=names)


def drop_removed_members(run: Run, *, project: str, datasets: tuple[str, ...]) -> None:
    """Takes removed files out of their clusters at once, and ends clusters of which fewer than two are left."""
    lake = run.lake
    ours = (F.col("project_name") == project) & F.col("dataset_name").isin(*datasets)
    files = lake.read(FILES, lake.version(FILES)).where(ours)
    removed = files.where(F.col("deleted_time").isNotNull()).select(*FILE_KEY)
    members = lake.read(SIMILAR_IMAGE_MEMBERS, lake.version(SIMILAR_IMAGE_MEMBERS)).where(ours)
    touched = members.join(removed, list(FILE_KEY), how="left_semi").select(*DATASET_KEY).distinct()
    touched = run.cache(touched)
    if touched.isEmpty():
        return
    clusters = MemberClusters.pin(run, GROUPS, touched)
    left = clusters.old_members.join(removed, list(FILE_KEY), how="left_anti").drop("run_id")
    names = run.cache(left.transform(keep_names, kind=GROUPS, old_clusters=clusters.old_clusters, least=2))
    there = left.join(names.select(*GROUP_KEY, "object_id"), [*DATASET_KEY, "object_id"], how="inner").drop("object_id")
    there = there.join(files.select(*FILE_KEY, *OF_A_FILE), list(FILE_KEY), how="inner")
    commit_similar_images(clusters, there, names=names)
