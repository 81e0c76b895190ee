from __future__ import annotations

import uuid

import pytest

from jobs.runtime.lineage.naming import name_dataset, run_uuid


@pytest.mark.parametrize(
    ("location", "name"),
    [
        ("/", ("file", "/")),
        ("file:///lakes/my%20album/", ("file", "/lakes/my album")),
        ("s3://albums/family/files", ("s3://albums", "family/files")),
        ("s3n://albums", ("s3://albums", "/")),
        ("gs://albums/lake/areas", ("gs://albums", "lake/areas")),
        ("abfss://box@store.dfs.core.windows.net/lake", ("abfss://box@store.dfs.core.windows.net", "lake")),
        ("hdfs://name:8020/lake", ("hdfs://name:8020", "/lake")),
    ],
)
def test_data_sets_are_named_by_the_convention(location: str, name: tuple[str, str]) -> None:
    assert name_dataset(location) == name


def test_a_run_has_one_uuid_a_lake() -> None:
    ids = {run_uuid(root, run_id) for root in ("/a", "/b") for run_id in ("nightly.1", "nightly.2", "nightly.2")}
    assert len(ids) == 4
    assert all(uuid.UUID(each).version == 5 for each in ids)
