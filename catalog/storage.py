"""Where object-store credentials and options come from: the environment, for every engine alike."""

from __future__ import annotations

import os

PREFIX = "LAKEALBUM_STORAGE_"


def storage_options(root: str) -> dict[str, str] | None:
    """delta-rs options for a lake: LAKEALBUM_STORAGE_<NAME> gives option <name>; none for a local directory.

    delta-rs reads the usual variables (AWS_*, AZURE_*, GOOGLE_*) from the environment by itself.
    """
    if "://" not in root:
        return None
    return {key[len(PREFIX) :].lower(): value for key, value in os.environ.items() if key.startswith(PREFIX)}
