"""A table that is followed: which files came of rows that it has no more."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from jobs.bindings.tables import _rows_gone
from jobs.indexing.storing import OBJECT
from jobs.runtime.lake import Lake
from jobs.runtime.progress import Progress
from jobs.runtime.runs import Run
from tests.jobs.deliveries import deliver, no_spark

BINDING = {"project_name": "demo", "dataset_name": "ada", "source": "delivery"}


def test_files_of_the_source_and_dataset_alone_are_gone(tmp_path: Path) -> None:
    def row(uri: str, dataset: str = "ada") -> dict[str, str]:
        return {"project_name": "demo", "dataset_name": dataset, "uri": uri}

    files = [{**row(uri), "media_type": "image"} for uri in "abc"] + [{**row("d", "ben"), "media_type": "image"}]
    deliver(str(tmp_path / "lake"), files, project="demo")
    good = pa.Table.from_pylist([row("a"), row("f"), row("d", "ben"), row("c", "ben")], OBJECT)
    lake = Lake.open(str(tmp_path / "lake"), start_spark=no_spark)
    with Progress("test") as progress:
        run = Run(lake, "r", "t", "e", "q", datetime.now(UTC), False, progress)
        count, gone = _rows_gone(run, good, BINDING)
        assert (count, sorted(gone.to_pylist())) == (2, ["b", "c"])
        count, gone = _rows_gone(run, good, {**BINDING, "source": "s3://other"})
        assert (count, len(gone)) == (2, 0)
