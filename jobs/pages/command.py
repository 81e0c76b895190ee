"""The verb `report`: one HTML file on which people review clusters of a kind. No JVM is started."""

from __future__ import annotations

import click

from jobs.people.report import figures
from jobs.similar_images.report import similar_images


@click.group()
def report() -> None:
    """Write a page to review clusters on."""


report.add_command(figures)
report.add_command(similar_images)
