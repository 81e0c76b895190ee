"""Similar images: the pairs that follow `file_features`, and the commits of clusters and members."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.commits import Step, replace_rows
from jobs.member_clusters import Changed, MemberClusters
from jobs.runs import FEW_ROWS, Run
from schemas.cluster_kinds import GROUPS
from schemas.file_features import FILE_FEATURES
from schemas.files import FILES
from schemas.similar_image_members import SIMILAR_IMAGE_MEMBERS
from schemas.similar_image_pairs import SIMILAR_IMAGE_PAIRS
from transforms.changes import drop_keys, keep_keys
from transforms.location_dates import DATASET_KEY
from transforms.member_clusters import GROUP, keep_names
from transforms.similarity import IMAGE_KEY, connected_looks, describe_groups, describe_members, find_similar_pairs

FILE_KEY = (*DATASET_KEY, "uri")
GROUPED_WHOLE = FEW_ROWS
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
    features, current = lake.read(FILE_FEATURES, until), step.current()
    changes = lake.changes(FILE_FEATURES, consumed, until) if consumed is not None else None
    touched = None
    if changes is not None:
        looks = changes.where(F.col("fingerprint").isNotNull()).select(*IMAGE_KEY).distinct()
        touched = run.cache_keys(looks, "fingerprints.touched")
        others = touched.withColumnRenamed("fingerprint", "other_fingerprint")
        one = current.transform(keep_keys, keys=touched, on=IMAGE_KEY)
        rest = current.transform(drop_keys, keys=touched, on=IMAGE_KEY)
        current = one.unionByName(rest.transform(keep_keys, keys=others, on=(*DATASET_KEY, "other_fingerprint")))
    pairs = features.transform(find_similar_pairs, touched=touched, checkpoint=run.cache)
    run.ledger.wrote(SIMILAR_IMAGE_PAIRS, replace_rows(step, run.stamp(pairs), current))


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
    with run.few_or_many(run.lake.rows(SIMILAR_IMAGE_PAIRS)):
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
    """The fingerprints (IMAGE_KEY) of which a file, its features or a pair came, went or is another now."""
    feeds = changed.feeds
    nothing = changed.read(FILE_FEATURES).select(*FILE_KEY, "fingerprint").limit(0)
    features = feeds[FILE_FEATURES.name].select(*nothing.columns) if FILE_FEATURES.name in feeds else nothing
    found = [features.select(*IMAGE_KEY)]
    if FILES.name in feeds:
        files = feeds[FILES.name].select(*FILE_KEY).distinct()
        files = changed.run.cache_keys(files.join(features, list(FILE_KEY), how="left_anti"), "files.touched")
        if changed.run.ledger.row_counts["files.touched"]:
            found.append(changed.read(FILE_FEATURES).join(files, list(FILE_KEY), how="left_semi").select(*IMAGE_KEY))
    if SIMILAR_IMAGE_PAIRS.name in feeds:
        either = F.explode(F.array("fingerprint", "other_fingerprint")).alias("fingerprint")
        found.append(feeds[SIMILAR_IMAGE_PAIRS.name].select(*DATASET_KEY, either))
    looks = reduce(DataFrame.unionByName, found).where(F.col("fingerprint").isNotNull()).distinct()
    return looks.join(changed.datasets, list(DATASET_KEY), how="left_semi")


def commit_similar_images(clusters: MemberClusters, groups: DataFrame, *, names: DataFrame) -> int:
    """Commits the clusters of `groups`, a row per file, and their members. Returns the clusters' version."""
    named = groups.join(names.select(*GROUP, "object_id"), list(GROUP), how="inner")
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
    there = left.join(names.select(*GROUP, "object_id"), [*DATASET_KEY, "object_id"], how="inner").drop("object_id")
    there = there.join(files.select(*FILE_KEY, *OF_A_FILE), list(FILE_KEY), how="inner")
    commit_similar_images(clusters, there, names=names)
