"""The verb `cluster`: one command per kind of clustering."""

from __future__ import annotations

import click

from jobs.cluster_location_dates import command as location_date


@click.group("cluster")
def cluster() -> None:
    """Group files into clusters."""


cluster.add_command(location_date)
