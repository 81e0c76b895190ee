"""Similar images: the pairs that follow `file_features`, and the commits of clusters and members."""

from __future__ import annotations

from dataclasses import dataclass

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.commits import Step, apply_changes, replace_rows
from jobs.runs import Run
from schemas.file_features import FILE_FEATURES
from schemas.files import FILES
from schemas.similar_image_clusters import SIMILAR_IMAGE_CLUSTERS
from schemas.similar_image_members import SIMILAR_IMAGE_MEMBERS
from schemas.similar_image_pairs import SIMILAR_IMAGE_PAIRS
from transforms.changes import drop_keys, keep_keys
from transforms.location_dates import DATASET_KEY
from transforms.similar_clusters import GROUP, change_clusters, describe_clusters, keep_names, name_groups
from transforms.similarity import IMAGE_KEY, describe_members, find_similar_pairs

FILE_KEY = (*DATASET_KEY, "uri")
OF_A_FILE = ("content_hash", "camera_make", "camera_model", "produce_time", "image_width", "image_height")
_OF_A_MEMBER = ("uri", "object_id", "fingerprint", "kind", "similarity", "image_score", "rank")


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


@dataclass(frozen=True)
class Clusters:
    """Clusters and members of some datasets: the steps that change them, and their rows as pinned."""

    run: Run
    clusters: Step
    members: Step
    old_clusters: DataFrame
    old_members: DataFrame

    @classmethod
    def pin(cls, run: Run, datasets: DataFrame) -> Clusters:
        """Pins both tables, and keeps the rows of `datasets` (their keys)."""
        clusters, members = (
            Step.pin(run.lake, contract, run.run_id, dry_run=run.dry_run)
            for contract in (SIMILAR_IMAGE_CLUSTERS, SIMILAR_IMAGE_MEMBERS)
        )
        old_clusters, old_members = (
            run.cache(step.current().join(datasets, list(DATASET_KEY), how="left_semi")) for step in (clusters, members)
        )
        return cls(run, clusters, members, old_clusters, old_members)

    def name(self, groups: DataFrame) -> DataFrame:
        """The ids of groups (transforms.similar_clusters.name_groups)."""
        return name_groups(
            groups, old_members=self.old_members, old_clusters=self.old_clusters, checkpoint=self.run.cache
        )

    def commit(self, groups: DataFrame, *, names: DataFrame) -> int:
        """Commits clusters, then members: those of `groups`, a row per file. Returns the clusters' version.

        Killed between the two, the next run finds clusters without members, and knows them by their representatives.
        """
        named = groups.join(names.select(*GROUP, "object_id"), list(GROUP), how="inner")
        kept = (*DATASET_KEY, *_OF_A_MEMBER, "produce_time")
        members = self.run.cache(named.transform(describe_members).select(*kept))
        changes = change_clusters(
            members.transform(describe_clusters, names=names, now=self.run.now),
            members=members,
            old_members=self.old_members,
            old_clusters=self.old_clusters,
            now=self.run.now,
        )
        done = apply_changes(self.clusters, self.run.stamp(changes))
        self.run.ledger.wrote(SIMILAR_IMAGE_CLUSTERS, done)
        wanted = self.run.stamp(members.drop("produce_time"))
        self.run.ledger.wrote(SIMILAR_IMAGE_MEMBERS, replace_rows(self.members, wanted, self.old_members))
        return done.version


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
    now = Clusters.pin(run, touched)
    left = now.old_members.join(removed, list(FILE_KEY), how="left_anti").drop("run_id")
    names = run.cache(left.transform(keep_names, old_clusters=now.old_clusters))
    there = left.join(names.select(*GROUP, "object_id"), [*DATASET_KEY, "object_id"], how="inner").drop("object_id")
    there = there.join(files.select(*FILE_KEY, *OF_A_FILE), list(FILE_KEY), how="inner")
    now.commit(there, names=names)
