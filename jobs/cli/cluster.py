"""The verb `cluster`: one command per kind of clustering."""

from __future__ import annotations

from jobs.cli.lazy import LazyGroup

cluster = LazyGroup(
    "cluster",
    help="Group files into clusters.",
    elsewhere={
        "figures": ("jobs.cluster_figures", "command", "Group faces into people."),
        "location-date": (
            "jobs.cluster_location_dates",
            "command",
            "Cut the days of every place into trips and stays.",
        ),
        "similar-images": ("jobs.cluster_similar_images", "command", "Group copies, edits and bursts."),
    },
)
