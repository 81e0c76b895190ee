"""What folders and tables that are followed share when files are stored and removed: as `index` and `remove` do it."""

from __future__ import annotations

import json

import pyarrow as pa

from catalog.lake import Row
from jobs.bindings.moves import live_files
from jobs.bindings.scanning import FILTERS
from jobs.indexing.options import IndexFiles
from jobs.remove_files import RemoveFiles, remove_files
from jobs.runtime.runs import Run


def index_config(run: Run, binding: Row) -> IndexFiles:
    """How the source is read."""
    options = {name: value for name, value in json.loads(binding["options"]).items() if name not in FILTERS}
    where = {"lake": run.lake.root, "project": binding["project_name"], "dataset": (binding["dataset_name"],)}
    return IndexFiles.model_validate({**where, "source": (binding["source"],), **options})


def remove_live(run: Run, binding: Row, uris: pa.ChunkedArray) -> int:
    """Removes those of the files that are there. Returns how many they are."""
    whose = {"project": binding["project_name"], "dataset": binding["dataset_name"]}
    there = live_files(run, uris, **whose)["uri"].to_pylist() if len(uris) else []
    if there:
        run.progress.stage(f"{binding['source']}: removing {len(there):,} files", 70)
        asked = {"lake": run.lake.root, "project": whose["project"], "dataset": (whose["dataset"],), "uri": there}
        remove_files(run, RemoveFiles.model_validate(asked))
    return len(there)
