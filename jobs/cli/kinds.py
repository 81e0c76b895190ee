"""The verbs that have a command for each kind of clustering: help of a verb loads none of them."""

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
query = LazyGroup(
    "query",
    help="Show clusters or files. Times are dates (2026-03-04) or RFC 3339 (2026-03-04T18:30:00+08:00).",
    elsewhere={
        "figures": ("catalog.commands.query", "query_figures_command", "Show people: all, or those nearest to a face."),
        "files": (
            "catalog.commands.query",
            "query_files_command",
            "Show files that satisfy conditions, or those of a cluster; or aggregate them.",
        ),
        "location-date": ("catalog.commands.query", "query_location_date", "Show trips and stays."),
        "similar-images": (
            "catalog.commands.query",
            "query_similar_images_command",
            "Show duplicates, edits and bursts, each with its pictures, the best first.",
        ),
    },
)
update = LazyGroup(
    "update",
    help="Change what a cluster is called, how it is labelled, or its cover.",
    elsewhere={
        "figures": (
            "catalog.commands.update",
            "update_figures",
            "Name a person, merge people, say which faces are the person's.",
        ),
        "location-date": ("catalog.commands.update", "update_location_date", "Change a trip or stay."),
        "similar-images": (
            "catalog.commands.update",
            "update_similar_images",
            "Change similar images, or say which of them to keep and which are not similar.",
        ),
    },
)
delete = LazyGroup(
    "delete",
    help="Delete a cluster. Its files stay.",
    elsewhere={
        "figures": ("catalog.commands.delete", "delete_figures", "Ignore a person for good."),
        "location-date": ("catalog.commands.delete", "delete_location_date", "Delete a trip or stay."),
        "similar-images": ("catalog.commands.delete", "delete_similar_images", "Hide similar images."),
    },
)
undelete = LazyGroup(
    "undelete",
    help="Undo a deletion.",
    elsewhere={
        "figures": (
            "catalog.commands.delete",
            "undelete_figures",
            "Bring an ignored person back, or let the faces of an erased one be indexed again.",
        ),
        "location-date": ("catalog.commands.delete", "undelete_location_date", "Bring a deleted trip or stay back."),
        "similar-images": (
            "catalog.commands.delete",
            "undelete_similar_images",
            "Bring deleted similar images back.",
        ),
    },
)
