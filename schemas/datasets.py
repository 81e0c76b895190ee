"""Contract of `datasets`."""

import pyarrow as pa

from schemas.contract import DATASET, PROJECT, TIMESTAMP, Column, Contract

DATASETS = Contract(
    name="datasets",
    row="dataset",
    notes="Made when its first file or figure arrives. The lake's settings (bucket count, language, default time zone) "
    "are properties of this table, which is made last: once it is there, the lake is complete.",
    columns=(
        PROJECT,
        DATASET,
        Column("template_id", pa.string(), "Workflow template, as in IMM"),
        Column("description", pa.string(), "What the dataset is, in its owner's words"),
        Column(
            "faces", pa.string(), "Family of models by which faces are looked for in its pictures; null: they are not"
        ),
        Column("faces_set_by", pa.string(), "Who last switched that on or off: LAKEALBUM_USER, or the account's name"),
        Column("faces_run_id", pa.string(), "The run that did (see runs)"),
        Column("create_time", TIMESTAMP, "When the dataset was first used", nullable=False),
        Column("update_time", TIMESTAMP, "When this row last changed", nullable=False),
    ),
    key=("project_name", "dataset_name"),
    writer="jobs",
)
