"""Contracts of `projects` and `dataset_settings`: what the endpoint's callers made, and how they want it."""

import pyarrow as pa

from schemas.contract import DATASET, LABELS, PROJECT, TIMESTAMP, Column, Contract

LIMITS: dict[str, tuple[int, int, int]] = {
    "project_max_dataset_count": (1, 1_000_000_000, 1_000_000_000),
    "dataset_max_bind_count": (1, 10, 10),
    "dataset_max_file_count": (1, 100_000_000, 100_000_000),
    "dataset_max_entity_count": (1, 10_000_000_000, 10_000_000_000),
    "dataset_max_relation_count": (1, 100_000_000_000, 100_000_000_000),
    "dataset_max_total_file_size": (1, 90_000_000_000_000_000, 90_000_000_000_000_000),
}
"""Limit -> least, most and default, as IMM has them. A dataset inherits its project's."""
DATASET_LIMITS = tuple(name for name in LIMITS if name.startswith("dataset_"))

_MADE = (
    Column("create_time", TIMESTAMP, "When it was made", nullable=False),
    Column("update_time", TIMESTAMP, "When this row last changed", nullable=False),
)


def _limits(names: tuple[str, ...]) -> tuple[Column, ...]:
    return tuple(Column(name, pa.int64(), "Limit, where one was given") for name in names)


PROJECTS = Contract(
    name="projects",
    row="project that a caller of the endpoint made or changed",
    notes="A project that only has datasets, from the command line, needs no row here.",
    columns=(
        PROJECT,
        Column("description", pa.string(), "What the project is, in its owner's words"),
        Column("service_role", pa.string(), "ServiceRole, as given; nothing depends on it"),
        Column("template_id", pa.string(), "Workflow template of its datasets, as in IMM"),
        Column("tags", LABELS, "Tags"),
        *_limits(tuple(LIMITS)),
        *_MADE,
    ),
    key=("project_name",),
    writer="catalog",
)

DATASET_SETTINGS = Contract(
    name="dataset_settings",
    row="dataset that a caller of the endpoint made or changed",
    notes="Laid over `datasets`, which has a row for each dataset that is there.",
    columns=(
        PROJECT,
        DATASET,
        Column("description", pa.string(), "What the dataset is, in its owner's words"),
        Column("template_id", pa.string(), "Workflow template, as in IMM; goes before the project's"),
        Column("workflow_parameters", LABELS, "Parameters of the template"),
        *_limits(DATASET_LIMITS),
        *_MADE,
    ),
    key=("project_name", "dataset_name"),
    writer="catalog",
)
