"""Job: cluster similar-images. Groups copies, edits and bursts.

file_features -> similar_image_pairs -> similar_image_clusters -> similar_image_members
                 -> cluster_events -> dataset_state
"""

from __future__ import annotations

import json
import sys
from contextlib import nullcontext
from functools import partial
from typing import Any

import click
from pydantic import Field
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.cli.main import run as run_command
from jobs.cli.options import JobConfig, build_config, job_options
from jobs.clusters.clustering import edits_of_kind
from jobs.clusters.member_clusters import Changed, MemberClusters, cluster_members
from jobs.runtime.commits import retry_conflicts
from jobs.runtime.runs import Run, print_result, run_job
from jobs.similar_images.pairs import OF_A_FILE, commit_similar_images, parts_of, refresh_similar_image_pairs
from schemas.cluster_kinds import GROUPS
from schemas.file_features import FILE_FEATURES
from schemas.files import FILES
from schemas.keys import DATASET_KEY, FILE_KEY
from schemas.similar_image_pairs import SIMILAR_IMAGE_PAIRS
from transforms.graphs.stars import group_stars
from transforms.similar_images.hash_pairs import HASH_DISTANCE
from transforms.similar_images.similarity import (
    MIN_SIMILARITY,
    gather_members,
    hash_look,
    link_images,
    link_nodes,
    linked_looks,
    part_images,
    within_thresholds,
)

TASK_TYPE = "SimilarImageClustering"
EVIDENCE = (SIMILAR_IMAGE_PAIRS, FILE_FEATURES, FILES)


class ClusterSimilarImages(JobConfig):
    """What `cluster similar-images` can be asked."""

    max_distance: int = Field(
        default=HASH_DISTANCE, ge=0, le=HASH_DISTANCE, description="bits in which perceptual hashes may differ, of 256"
    )
    min_similarity: float = Field(
        default=MIN_SIMILARITY, ge=MIN_SIMILARITY, le=1, description="least cosine similarity of embeddings"
    )
    crops: bool = Field(default=True, description="whether crops, borders, captions and tilts are found")
    full: bool = Field(default=False, description="recompute all clusters from the pairs")

    @property
    def options(self) -> str:
        """The options that shape clusters, as kept in dataset_state."""
        shaping = ("max_distance", "min_similarity", "crops")
        return json.dumps({name: getattr(self, name) for name in shaping}, sort_keys=True)


def cluster_similar_images(run: Run, config: ClusterSimilarImages) -> None:
    """Brings the clusters of the asked datasets up to date. Harmless to repeat; started over when it loses a race."""
    run.progress.stage("pairs: comparing pictures", 10)
    retry_conflicts(lambda: refresh_similar_image_pairs(run))
    commit = partial(_commit, config=config)
    with nullcontext():
        retry_conflicts(lambda: cluster_members(run, config, GROUPS, evidence=EVIDENCE, commit=commit))


def _commit(changed: Changed, *, config: ClusterSimilarImages) -> int:
    return [_commit_part(part, config) for part in parts_of(changed)][-1]


def _commit_part(changed: Changed, config: ClusterSimilarImages) -> int:
    changed.run.progress.stage("groups", 50)
    groups = _group(changed, config)
    changed.run.progress.stage("clusters", 70)
    clusters = MemberClusters.pin(changed.run, GROUPS, changed.datasets, looks=changed.looks)
    with nullcontext():
        return commit_similar_images(clusters, groups, names=clusters.name(groups))


def _group(changed: Changed, config: ClusterSimilarImages) -> DataFrame:
    """The files of groups of two or more: one row each, with what tells of a picture and of its representative."""
    run = changed.run
    counts = within_thresholds(
        max_distance=config.max_distance, min_similarity=config.min_similarity, crops=config.crops
    )
    with nullcontext():
        pairs = run.cache(changed.of_looks(SIMILAR_IMAGE_PAIRS, SIMILAR_IMAGE_PAIRS.names).where(counts))
        run.ledger.count("pairs.counted", pairs.count())
    with nullcontext():
        images = changed.of_looks(FILE_FEATURES, (*FILE_KEY, "fingerprint", "image_score"))
        images = images.where(F.col("fingerprint").isNotNull())
        looks = run.cache_keys(pairs.transform(linked_looks, images=images), "fingerprints.linked")
        images = images.withColumn("look", hash_look()).join(looks, "look", how="left_semi").drop("look")
        images = run.cache_keys(images, "images.linked")
        if changed.looks is None:
            files = changed.read(FILES)
        else:
            files = changed.rows_of(FILES, images, on=FILE_KEY, columns=(*FILE_KEY, *OF_A_FILE, "deleted_time"))
        files = files.where(F.col("deleted_time").isNull()).select(*FILE_KEY, *OF_A_FILE)
        images = run.cache(files.join(images, list(FILE_KEY), how="inner"))
    with nullcontext():
        parted = run.cache(_parted(changed, config))
        if parted.isEmpty():
            images = images.withColumn("node", F.col("fingerprint"))
            links = run.cache(pairs.transform(link_images, images=images))
        else:
            images = run.cache(images.transform(part_images, parted=parted, pairs=pairs))
            links = run.cache(pairs.transform(link_nodes, images=images))
        stars = group_stars(links, key=DATASET_KEY, checkpoint=run.cache, log=run.log_round)
        return run.cache(images.transform(gather_members, stars=stars))


def _parted(changed: Changed, config: ClusterSimilarImages) -> DataFrame:
    """The pictures that people parted from others: a dataset, `uri` and `apart` (fingerprints) a row."""
    edits = edits_of_kind(changed.run, config, kind=GROUPS.name, until=changed.scope.edits_version)
    edits = edits.where(F.col("action").isin("part", "rejoin"))
    rejoined = F.max(F.when(F.col("action") == "rejoin", F.col("sequence")))
    parts = F.collect_list(F.when(F.col("action") == "part", F.struct("sequence", "fingerprints")))
    since = F.filter("parts", lambda part: F.col("rejoined").isNull() | (part["sequence"] > F.col("rejoined")))
    apart = F.array_distinct(F.flatten(F.transform(since, lambda part: part["fingerprints"])))
    found = (
        edits.groupBy(*FILE_KEY)
        .agg(rejoined.alias("rejoined"), parts.alias("parts"))
        .select(*FILE_KEY, F.array_sort(apart).alias("apart"))
    )
    return found.where(F.size("apart") > 0)


@click.command("similar-images")
@click.option("--max-distance", type=int, help="Bits in which perceptual hashes may differ, 0 to 31.  [default: 31]")
@click.option("--min-similarity", type=float, help="Least cosine similarity of embeddings, 0.9 to 1.  [default: 0.9]")
@click.option("--crops/--no-crops", default=None, help="Find crops, borders, captions and tilts too.  [default: crops]")
@click.option("--full", is_flag=True, default=None, help="Recompute all clusters from the pairs.")
@job_options
def command(given: dict[str, Any], as_json: bool, **own: Any) -> None:
    """Group copies, edits and bursts."""
    config = build_config(ClusterSimilarImages, given, own)
    with run_job(config, job="cluster-similar-images", task_type=TASK_TYPE) as run:
        cluster_similar_images(run, config)
    print_result(run, as_json=as_json)


if __name__ == "__main__":
    sys.exit(run_command(command))
