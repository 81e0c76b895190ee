"""The verb `cluster`: one command per kind of clustering."""

from __future__ import annotations

import click

from jobs.cluster_figures import command as figures
from jobs.cluster_location_dates import command as location_date
from jobs.cluster_similar_images import command as similar_images


@click.group("cluster")
def cluster() -> None:
    """Group files into clusters."""


cluster.add_command(figures)
cluster.add_command(location_date)
cluster.add_command(similar_images)
