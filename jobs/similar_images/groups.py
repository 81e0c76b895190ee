"""Similar images: the groups that pairs make of pictures, and the commits of clusters and members."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.clusters.members import Changed, MemberSteps
from jobs.clusters.scope import Evidence, Scope
from jobs.runtime.lake import Rows
from jobs.runtime.runs import Run
from schemas.cluster_kinds import GROUPS
from schemas.file_features import FILE_FEATURES
from schemas.files import FILES
from schemas.keys import CLUSTER_KEY, DATASET_KEY, FILE_KEY, FINGERPRINT_KEY
from schemas.similar_image_pairs import SIMILAR_IMAGE_PAIRS
from transforms.clusters.naming import keep_names
from transforms.graphs.stars import group_stars
from transforms.similar_images import grouping
from transforms.similar_images.grouping import connected_looks, decide_similar_images, dress_groups, touched_looks
from transforms.similar_images.similarity import (
    gather_members,
    hash_look,
    link_images,
    link_nodes,
    linked_looks,
    part_images,
    within_thresholds,
)
from transforms.tables.keyed import (
    anti_join,
    distinct,
    inner_join,
    semi_join,
)

EVIDENCE: Evidence = (
    (SIMILAR_IMAGE_PAIRS, SIMILAR_IMAGE_PAIRS.key),
    (FILE_FEATURES, (*FILE_KEY, "fingerprint")),
    (FILES, FILE_KEY),
)
"""The tables that groups are made of, and what of their change feeds tells which pictures changed."""
OF_A_FILE = ("content_hash", "shot_id", "camera_make", "camera_model", "produce_time", "image_width", "image_height")
OF_A_PICTURE = (*FILE_KEY, "fingerprint", "image_score")
GROUPED_WHOLE = 100_000
"""Pictures of a lake up to which a changed dataset is grouped whole."""
FEW_LOOKS = 200_000
"""Looks that changed up to which they and what is connected with them are grouped; for more, whole datasets."""


@dataclass(frozen=True)
class Thresholds:
    """Which pairs count: bits of hashes, cosine similarity of embeddings, and whether crops do."""

    max_distance: int
    min_similarity: float
    crops: bool


def parts_of(run: Run, scope: Scope, changed: Changed) -> Iterator[Changed]:
    """What changed in two parts: datasets that are grouped whole, and the looks that changed of others, if few.

    Which looks of a dataset changed is not asked where lakes are so small that grouping all is no more work.
    """
    is_partial = anti_join(changed.datasets, changed.is_whole, on=DATASET_KEY)
    looks = None
    if len(is_partial) and run.lake.rows(FILE_FEATURES) > GROUPED_WHOLE:
        looks = _touched_looks(run, scope, replace(changed, datasets=is_partial))
    if looks is None:
        yield changed
        return
    run.ledger.count("looks.connected", len(looks))
    yield replace(changed, datasets=is_partial, looks=looks)
    if len(changed.is_whole):
        yield replace(changed, datasets=changed.is_whole)


def _touched_looks(run: Run, scope: Scope, changed: Changed) -> pa.Table | None:
    """The looks (FINGERPRINT_KEY) of which a file, its features or a pair came, went or is another now, and those that
    pairs connect with them; None where they are many.
    """
    lake, versions, feeds = run.lake, scope.versions, changed.feeds
    features = feeds.get(FILE_FEATURES.name)
    found = [] if features is None else [features]
    if (files := feeds.get(FILES.name)) is not None:
        files = distinct(files.select(FILE_KEY), key=FILE_KEY)
        files = files if features is None else anti_join(files, features, on=FILE_KEY)
        others = lake.fetch_keys(
            FILE_FEATURES, versions[FILE_FEATURES.name], files, on=FILE_KEY, columns=FINGERPRINT_KEY
        )
        if isinstance(others, DataFrame):
            return None
        found.append(others)
    looks = touched_looks(*found, pairs=feeds.get(SIMILAR_IMAGE_PAIRS.name))
    looks = semi_join(looks, changed.datasets, on=DATASET_KEY)
    run.ledger.count("looks.touched", len(looks))
    if len(looks) > FEW_LOOKS:
        return None
    pairs = lake.fetch_keys(
        SIMILAR_IMAGE_PAIRS,
        versions[SIMILAR_IMAGE_PAIRS.name],
        changed.datasets,
        on=DATASET_KEY,
        columns=SIMILAR_IMAGE_PAIRS.key,
    )
    return None if isinstance(pairs, DataFrame) else connected_looks(looks, pairs=pairs)


def commit_similar_images(run: Run, scope: Scope, changed: Changed, thresholds: Thresholds, edits: pa.Table) -> int:
    """Commits the clusters of what changed, and their members. Returns the clusters' version."""
    steps = MemberSteps.pin(run, GROUPS)
    run.progress.stage("groups", 50)
    groups = _group(run, scope, changed, thresholds, parted=grouping.parted_images(edits))
    run.progress.stage("clusters", 70)
    return steps.commit(decide_similar_images, groups=groups, **steps.known(changed))


def _group(run: Run, scope: Scope, changed: Changed, thresholds: Thresholds, *, parted: pa.Table) -> Rows:
    """The files of groups of two or more: one row each, with what tells of a picture and of its representative."""
    keys, on = (changed.datasets, DATASET_KEY) if changed.looks is None else (changed.looks, FINGERPRINT_KEY)

    def rows_of(contract, columns, keys=keys, on=on):  # type: ignore[no-untyped-def]
        return run.lake.fetch_keys(contract, scope.versions[contract.name], keys, on=on, columns=columns)

    pairs, images = rows_of(SIMILAR_IMAGE_PAIRS, SIMILAR_IMAGE_PAIRS.names), rows_of(FILE_FEATURES, OF_A_PICTURE)
    if not isinstance(pairs, pa.Table) or not isinstance(images, pa.Table):
        return _group_by_spark(run, scope, changed, thresholds, parted=parted)
    pairs = grouping.is_within(pairs, **vars(thresholds))
    run.ledger.count("pairs.counted", len(pairs))
    images = grouping.linked_images(images.filter(pc.is_valid(images["fingerprint"])), pairs=pairs)
    files = rows_of(FILES, (*FILE_KEY, *OF_A_FILE, "deleted_time"), keys=images, on=FILE_KEY)
    if not isinstance(files, pa.Table):
        return _group_by_spark(run, scope, changed, thresholds, parted=parted)
    there = files.filter(pc.is_null(files["deleted_time"]))
    images = inner_join(images, there, on=FILE_KEY, columns=OF_A_FILE)
    return grouping.group_images(images, pairs=pairs, parted=parted)


def _group_by_spark(run: Run, scope: Scope, changed: Changed, thresholds: Thresholds, *, parted: pa.Table) -> DataFrame:
    """The same, of whole datasets that are many rows."""
    lake = run.lake
    datasets = F.broadcast(lake.frame(changed.datasets))

    def rows_of(contract, columns):  # type: ignore[no-untyped-def]
        rows = lake.read(contract, scope.versions[contract.name])
        return rows.join(datasets, list(DATASET_KEY), how="left_semi").select(*columns)

    pairs = run.cache(
        rows_of(SIMILAR_IMAGE_PAIRS, SIMILAR_IMAGE_PAIRS.names).where(within_thresholds(**vars(thresholds)))
    )
    run.ledger.count("pairs.counted", pairs.count())
    images = rows_of(FILE_FEATURES, OF_A_PICTURE).where(F.col("fingerprint").isNotNull())
    looks = run.cache_keys(pairs.transform(linked_looks, images=images), "fingerprints.linked")
    images = images.withColumn("look", hash_look()).join(looks, "look", how="left_semi").drop("look")
    files = rows_of(FILES, (*FILE_KEY, *OF_A_FILE, "deleted_time")).where(F.col("deleted_time").isNull())
    images = run.cache(files.drop("deleted_time").join(images, list(FILE_KEY), how="inner"))
    if len(parted):
        images = run.cache(images.transform(part_images, parted=lake.frame(parted), pairs=pairs))
        links = run.cache(pairs.transform(link_nodes, images=images))
    else:
        images = images.withColumn("node", F.col("fingerprint"))
        links = run.cache(pairs.transform(link_images, images=images))
    stars = group_stars(links, key=DATASET_KEY, checkpoint=run.cache, log=run.log_round)
    groups: DataFrame = images.transform(gather_members, stars=stars)
    return run.cache(groups.drop("apart"))


def drop_removed_members(run: Run, removed: pa.Table) -> None:
    """Takes removed files (FILE_KEY) out of their clusters; a cluster of which fewer than two are left ends."""
    lake = run.lake
    steps = MemberSteps.pin(run, GROUPS)
    before = steps.known_of(removed)
    if not before:
        return
    left = anti_join(before["old_members"], removed, on=FILE_KEY)
    names = keep_names(left, old_clusters=before["old_clusters"], least=2)
    files = lake.load_keys(FILES, lake.version(FILES), left, on=FILE_KEY, columns=(*FILE_KEY, *OF_A_FILE))
    groups = inner_join(left, names, on=CLUSTER_KEY, columns=["representative"]).drop_columns(["object_id"])
    groups = inner_join(groups, files, on=FILE_KEY, columns=OF_A_FILE)
    steps.commit(lambda **_: dress_groups(groups, names=names), **before)
