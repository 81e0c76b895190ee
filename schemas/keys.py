"""The columns by which rows are told apart, in the order in which tables are sorted: one name for each."""

from __future__ import annotations

DATASET_KEY = ("bucket", "project_name", "dataset_name")
FILE_KEY = (*DATASET_KEY, "uri")
FACE_KEY = (*DATASET_KEY, "figure_id")
FINGERPRINT_KEY = (*DATASET_KEY, "fingerprint")
"""Files that look the same."""
PAIR_KEY = (*FINGERPRINT_KEY, "other_fingerprint")
DAY_KEY = (*DATASET_KEY, "place_key", "local_date")
"""A day at a full place, from country to township."""
PLACE_KEY = (*DATASET_KEY, "level", "place_key")
"""A place at one level."""
CLUSTER_KEY = (*DATASET_KEY, "object_id")
"""A cluster of any kind: a trip, a group of similar images, a person."""
GROUP_KEY = (*DATASET_KEY, "representative")
"""A group before it has an id: named by the member that represents it."""
