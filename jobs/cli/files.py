"""The verb `files`: what is known of files, looked at and changed by the catalog, removed by a job."""

from __future__ import annotations

from catalog.commands.files import files as of_catalog
from jobs.cli.lazy import LazyGroup

files = LazyGroup(
    "files",
    commands=of_catalog.commands,
    help=of_catalog.help,
    elsewhere={
        "delete": (
            "jobs.remove_files",
            "command",
            "Delete the metadata of the files URI... of one dataset, and their faces.",
        )
    },
)
