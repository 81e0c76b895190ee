"""Job: cluster similar-images. Groups copies, edits and bursts.

file_features -> similar_image_pairs -> similar_image_clusters -> similar_image_members
                 -> cluster_events -> dataset_state
"""

from __future__ import annotations

import json
import sys
from typing import Any

import click
from pydantic import Field

from jobs.cli.main import run as run_command
from jobs.cli.options import JobConfig, build_config, job_options
from jobs.clusters.members import derive_cluster_events, find_changed
from jobs.clusters.scope import end_clustering, load_edits, pin_scope
from jobs.runtime.commits import retry_conflicts
from jobs.runtime.runs import Run, print_result, run_job
from jobs.similar_images.groups import EVIDENCE, Thresholds, commit_similar_images, parts_of
from jobs.similar_images.pairs import refresh_similar_image_pairs
from schemas.cluster_kinds import GROUPS
from transforms.similar_images.hamming import HASH_DISTANCE
from transforms.similar_images.pairing import MIN_SIMILARITY

TASK_TYPE = "SimilarImageClustering"


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
    def thresholds(self) -> Thresholds:
        """Which pairs count."""
        return Thresholds(self.max_distance, self.min_similarity, self.crops)

    @property
    def options(self) -> str:
        """The options that shape clusters, as kept in dataset_state."""
        shaping = ("max_distance", "min_similarity", "crops")
        return json.dumps({name: getattr(self, name) for name in shaping}, sort_keys=True)


def cluster_similar_images(run: Run, config: ClusterSimilarImages) -> None:
    """Brings the clusters of the asked datasets up to date. Harmless to repeat; started over when it loses a race."""
    run.progress.stage("pairs: comparing pictures", 10)
    retry_conflicts(lambda: refresh_similar_image_pairs(run))
    retry_conflicts(lambda: _cluster(run, config))


def _cluster(run: Run, config: ClusterSimilarImages) -> None:
    scope = pin_scope(run, config, kind=GROUPS.name, evidence=EVIDENCE)
    changed = find_changed(run, config, scope, kind=GROUPS.name, evidence=EVIDENCE)
    version = run.lake.version(GROUPS.table)
    if changed is not None:
        edits = load_edits(run, config, kind=GROUPS.name, until=scope.edits_version)
        for part in parts_of(run, scope, changed):
            version = commit_similar_images(run, scope, part, config.thresholds, edits)
    run.progress.stage("events", 85)
    derive_cluster_events(run, GROUPS)
    run.progress.stage("state", 95)
    end_clustering(run, config, scope, kind=GROUPS.name, result=GROUPS.table, result_version=version)


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
