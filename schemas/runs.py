"""Contract of `runs`."""

import pyarrow as pa

from schemas.contract import TIMESTAMP, Column, Contract

VERSIONS = pa.map_(pa.string(), pa.int64())

RUNS = Contract(
    name="runs",
    row="run of a job",
    notes="The permanent lineage record: every computed row's run_id leads here.",
    columns=(
        Column("run_id", pa.string(), "The run", nullable=False),
        Column("task_id", pa.string(), "The task that asked for it", nullable=False),
        Column("job", pa.string(), "Name of the job", nullable=False),
        Column("project_name", pa.string(), "Project", nullable=False),
        Column("parameters", pa.string(), "What the job was asked to do, JSON", nullable=False),
        Column("started_by", pa.string(), "Who started it: LAKEALBUM_USER, or the account's name"),
        Column("config_hash", pa.string(), "SHA-256 of the parameters", nullable=False),
        Column("code_version", pa.string(), "Version of LakeAlbum", nullable=False),
        Column("inputs", VERSIONS, "Tables read, and the version of each"),
        Column("outputs", VERSIONS, "Tables written, and the last version that the run committed to each"),
        Column("row_counts", pa.map_(pa.string(), pa.int64()), "Rows per stage"),
        Column("start_time", TIMESTAMP, "When it started", nullable=False),
        Column("end_time", TIMESTAMP, "When it ended"),
        Column("status", pa.string(), "Running, Succeeded or Failed", nullable=False),
        Column("message", pa.string(), "Why it failed"),
    ),
    key=("run_id",),
    checks={"status_known": "status IN ('Running', 'Succeeded', 'Failed')"},
    writer="catalog",
)
