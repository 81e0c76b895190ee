"""Whose each table is: the commands that write it, and when it is up to date. Printed by `schemas.docs`."""

from __future__ import annotations

from dataclasses import dataclass

TRIPS = "cluster location-date"
IMAGES = "cluster similar-images"
PEOPLE = "cluster figures"


@dataclass(frozen=True)
class Owner:
    """The verbs of `lakealbum` that write a table, and when its rows are up to date, in words."""

    verbs: tuple[str, ...]
    fresh: str


_AT_ONCE = "at once: what is written shows"
_BY_SOURCE = "as of the last `index` or `sync` of each source"

OWNERS: dict[str, Owner] = {
    "projects": Owner(("serve",), _AT_ONCE),
    "datasets": Owner(("index", "bind", "serve"), _AT_ONCE),
    "dataset_settings": Owner(("serve",), _AT_ONCE),
    "files": Owner(("index", "sync", "remove"), _BY_SOURCE),
    "file_notes": Owner(("serve",), _AT_ONCE),
    "file_places": Owner(
        ("index", "sync", "locate", "remove"), "with the files; after `boundaries` by the next `locate`"
    ),
    "file_features": Owner(("index", "sync"), _BY_SOURCE),
    "figures": Owner(("index --rows figures", "remove", "erase figure"), _BY_SOURCE),
    "face_scans": Owner(("index", "sync", "remove"), "with the faces: after each portion of pictures"),
    "areas": Owner(("boundaries",), "as of the last `boundaries` of each source"),
    "area_index": Owner(("boundaries",), "with the areas: the same run builds it"),
    "place_days": Owner((TRIPS,), f"as of the last `{TRIPS}` of any dataset of the project"),
    "location_date_segments": Owner((TRIPS,), f"as of the dataset's last `{TRIPS}`"),
    "location_date_clusters": Owner((TRIPS,), f"as of the dataset's last `{TRIPS}`"),
    "similar_image_pairs": Owner((IMAGES,), f"as of the last `{IMAGES}` of any dataset of the project"),
    "similar_image_clusters": Owner((IMAGES, "remove"), f"as of the dataset's last `{IMAGES}`; removals at once"),
    "similar_image_members": Owner((IMAGES, "remove"), f"as of the dataset's last `{IMAGES}`; removals at once"),
    "figure_clusters": Owner(
        (PEOPLE, "remove", "erase figure"), f"as of the dataset's last `{PEOPLE}`; removals at once"
    ),
    "figure_members": Owner(
        (PEOPLE, "remove", "erase figure"), f"as of the dataset's last `{PEOPLE}`; removals at once"
    ),
    "cluster_edits": Owner(("update", "delete", "undelete", "erase figure", "serve"), _AT_ONCE),
    "cluster_events": Owner((TRIPS, IMAGES, PEOPLE, "remove", "erase figure"), "with the clusters: the same run"),
    "file_edits": Owner(("files update", "serve"), _AT_ONCE),
    "bindings": Owner(("bind", "bindings", "sync", "serve"), _AT_ONCE),
    "binding_files": Owner(("sync",), "as of the last `sync` of the source"),
    "dataset_state": Owner((TRIPS, IMAGES, PEOPLE), "with the clusters: the last commit of the run"),
    "requests": Owner(("serve",), _AT_ONCE),
    "tasks": Owner(("every job", "maintain"), "every few seconds while a job runs"),
    "notifications": Owner(("every job", "serve", "notifications retry"), _AT_ONCE),
    "runs": Owner(("every job",), "when a run begins and when it ends"),
    "rejected": Owner(("index", "sync", "boundaries", "erase figure"), "with the run that refused the rows"),
}
