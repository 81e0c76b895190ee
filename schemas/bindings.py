"""Contract of `bindings`."""

import pyarrow as pa

from schemas.contract import DATASET, PROJECT, TIMESTAMP, Column, Contract

STATES = ("Ready", "Running", "Stopped")
PHASES = ("FullScanning", "IncrementalScanning")

BINDINGS = Contract(
    name="bindings",
    row="source that a dataset follows",
    notes="`lakealbum bind` makes it, `lakealbum sync` keeps the dataset in step with it.",
    columns=(
        Column("binding_id", pa.string(), "Binding-<uuid>, of project, dataset and source", nullable=False),
        PROJECT,
        DATASET,
        Column("source", pa.string(), "The folder, prefix of an object store, or table", nullable=False),
        Column("options", pa.string(), "How it is read, canonical JSON: format, include, exclude, ...", nullable=False),
        Column("state", pa.string(), "Ready, Running (a sync is under way) or Stopped", nullable=False),
        Column(
            "phase",
            pa.string(),
            "FullScanning until all of it has been read once, then IncrementalScanning",
            nullable=False,
        ),
        Column("reason", pa.string(), "Why the last sync failed, in a sentence; null where it did not"),
        Column("files", pa.int64(), "Files, or rows, that it listed when it was last read whole", nullable=False),
        Column("missing", pa.int64(), "Those of them that have vanished and wait for their grace", nullable=False),
        Column("refused", pa.int64(), "Those of them that could not be read", nullable=False),
        Column("source_version", pa.string(), "What the source was when it was last read whole; tables only"),
        Column("run_id", pa.string(), "The run that last changed anything for it"),
        Column("create_time", TIMESTAMP, "When it was bound", nullable=False),
        Column("update_time", TIMESTAMP, "When this row last changed", nullable=False),
        Column("sync_time", TIMESTAMP, "When it was last read whole"),
    ),
    key=("binding_id",),
    checks={
        "binding_state_known": "state IN ('Ready', 'Running', 'Stopped')",
        "phase_known": "phase IN ('FullScanning', 'IncrementalScanning')",
    },
    writer="catalog",
    retention="until the binding is deleted",
)
