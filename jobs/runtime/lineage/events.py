"""Events of OpenLineage from the record of a run. Needs the extra `lineage` (openlineage-python)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
from openlineage.client import event_v2 as ol
from openlineage.client.facet_v2 import (
    column_lineage_dataset,
    data_quality_assertions_dataset,
    dataset_type_dataset,
    dataset_version_dataset,
    documentation_dataset,
    documentation_job,
    error_message_run,
    input_statistics_input_dataset,
    job_type_job,
    nominal_time_run,
    output_statistics_output_dataset,
    parent_run,
    processing_engine_run,
    schema_dataset,
    set_producer,
    storage_dataset,
    tags_run,
)

from jobs.runtime.lineage.naming import name_dataset, run_uuid
from jobs.runtime.lineage.parents import JobRun, Parent
from jobs.runtime.lineage.states import RunState
from schemas.column_lineage import LINEAGE, SOURCE, Made, Origin
from schemas.contract import Contract
from schemas.docs import type_name
from schemas.lake import TABLES, table_uri
from schemas.reasons import REASONS
from schemas.tasks import TASK_TYPES
from schemas.version import VERSION, commit

STATES = {"Running": ol.RunState.START, "Succeeded": ol.RunState.COMPLETE, "Failed": ol.RunState.FAIL}
SUBTYPES = {"identity": "IDENTITY", "transformation": "TRANSFORMATION", "aggregation": "AGGREGATION"}
"""Changes of which the value is in the result; others decide which rows there are."""
ALL_ACCEPTED = "every_row_accepted"
"""The assertion that no row of a source was refused."""
_FIELDS = sorted(
    {name for table in ("files", "file_features", "figures") for name in TABLES[table].names}, key=len, reverse=True
)
"""Columns that reasons may begin with, the longest first."""


@dataclass(frozen=True)
class Teller:
    """Makes events of runs of the lake at `root`. `namespace` is that of the jobs; `parent` and `nominal_time` are of
    this process.
    """

    root: str
    namespace: str
    parent: Parent | None = None
    nominal_time: str | None = None

    def event(self, state: RunState) -> ol.RunEvent:
        """The event of a state: START, COMPLETE or FAIL, with what is known of inputs and outputs by then."""
        producer = ":".join(filter(None, ("urn:lakealbum", VERSION, commit())))
        set_producer(producer)
        run = state.run
        time = run["start_time"] if run["status"] == "Running" else run["end_time"]
        return ol.RunEvent(
            eventTime=_instant(time),
            producer=producer,
            eventType=STATES[run["status"]],
            run=ol.Run(run_uuid(self.root, run["run_id"]), dict(self._run_facets(state))),
            job=ol.Job(self.namespace, run["job"], dict(_job_facets(state))),
            inputs=[*self._sources(state), *self._inputs(state)],
            outputs=list(self._outputs(state)),
        )

    def _run_facets(self, state: RunState) -> Iterator[tuple[str, Any]]:
        run, task = state.run, state.task
        yield "processing_engine", processing_engine_run.ProcessingEngineRunFacet(run["code_version"], "LakeAlbum")
        ids = {name: str(run[name]) for name in ("run_id", "task_id", "project_name", "config_hash")}
        tags = {**ids, **({"code": state.code} if state.code else {})}
        fields = [tags_run.TagsRunFacetFields(f"lakealbum.{key}", value, "LAKEALBUM") for key, value in tags.items()]
        fields += [tags_run.TagsRunFacetFields(key, value, "USER") for key, value in dict(task["tags"] or {}).items()]
        yield "tags", tags_run.TagsRunFacet(fields)
        if self.parent is not None and state.is_own:
            yield "parent", _parent_facet(self.parent)
        if self.nominal_time is not None and state.is_own:
            yield "nominalTime", nominal_time_run.NominalTimeRunFacet(self.nominal_time)
        if run["status"] == "Failed":
            yield "errorMessage", error_message_run.ErrorMessageRunFacet(run["message"] or "", "PYTHON")

    def _sources(self, state: RunState) -> Iterator[ol.InputDataset]:
        for source, rows in state.sources.items():
            found: dict[str, Any] = {}
            if rows:
                found["inputStatistics"] = input_statistics_input_dataset.InputStatisticsInputDatasetFacet(
                    rowCount=sum(rows.values())
                )
                found["dataQualityAssertions"] = data_quality_assertions_dataset.DataQualityAssertionsDatasetFacet(
                    list(_assertions(rows, _source_columns(state)))
                )
            yield ol.InputDataset(*name_dataset(source), facets={}, inputFacets=found)

    def _inputs(self, state: RunState) -> Iterator[ol.InputDataset]:
        for table, version in _versions(state.run["inputs"]).items():
            yield ol.InputDataset(*self._name(table), facets=_table_facets(TABLES[table], version), inputFacets={})

    def _outputs(self, state: RunState) -> Iterator[ol.OutputDataset]:
        counts = _versions(state.run["row_counts"])
        for table, version in _versions(state.run["outputs"]).items():
            facets = _table_facets(TABLES[table], version)
            lineage = self._column_lineage(table, state)
            if lineage is not None:
                facets["columnLineage"] = lineage
            rows = sum(counts.get(f"{table}.{action}", 0) for action in ("inserted", "updated"))
            statistics = output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(rowCount=rows)
            yield ol.OutputDataset(*self._name(table), facets=facets, outputFacets={"outputStatistics": statistics})

    def _column_lineage(self, table: str, state: RunState) -> column_lineage_dataset.ColumnLineageDatasetFacet | None:
        """What the columns of a table come from; None where none comes from another."""
        lineage = LINEAGE[table]
        names = _source_columns(state)
        origins = {name: found for name, found in lineage.columns.items() if not isinstance(found, Made)}
        fields = {name: self._input_fields(found, state, names) for name, found in origins.items()}
        rows = self._input_fields(lineage.rows, state, names)
        if not any(fields.values()):
            return None
        told_fields = {name: column_lineage_dataset.Fields(found) for name, found in fields.items() if found}
        return column_lineage_dataset.ColumnLineageDatasetFacet(told_fields, rows)

    def _input_fields(
        self, origins: tuple[Origin, ...], state: RunState, names: Mapping[str, str]
    ) -> list[column_lineage_dataset.InputField]:
        changes: dict[tuple[str, str, str], list[column_lineage_dataset.Transformation]] = {}
        for origin in origins:
            is_source = origin.table == SOURCE
            datasets = [name_dataset(each) for each in state.sources] if is_source else [self._name(origin.table)]
            column = names.get(origin.column, origin.column) if is_source else origin.column
            for dataset in datasets:
                changes.setdefault((*dataset, column), []).append(_transformation(origin))
        return [column_lineage_dataset.InputField(*field, found) for field, found in changes.items()]

    def _name(self, table: str) -> tuple[str, str]:
        return name_dataset(table_uri(self.root, table))


def _job_facets(state: RunState) -> Iterator[tuple[str, Any]]:
    yield "jobType", job_type_job.JobTypeJobFacet("BATCH", "LAKEALBUM", "JOB")
    yield "documentation", documentation_job.DocumentationJobFacet(TASK_TYPES[state.task["task_type"]])


def _parent_facet(parent: Parent) -> parent_run.ParentRunFacet:
    run, root = parent.run, parent.root
    return parent_run.ParentRunFacet(
        parent_run.Run(run.run_id), parent_run.Job(run.namespace, run.name), None if root is None else _root(root)
    )


def _root(root: JobRun) -> parent_run.Root:
    return parent_run.Root(parent_run.RootRun(root.run_id), parent_run.RootJob(root.namespace, root.name))


def _table_facets(contract: Contract, version: int) -> dict[str, Any]:
    return {
        "schema": schema_dataset.SchemaDatasetFacet(
            [_field(column.name, column.type, column.comment) for column in contract.columns]
        ),
        "version": dataset_version_dataset.DatasetVersionDatasetFacet(str(version)),
        "storage": storage_dataset.StorageDatasetFacet("delta", "parquet"),
        "datasetType": dataset_type_dataset.DatasetTypeDatasetFacet("TABLE"),
        "documentation": documentation_dataset.DocumentationDatasetFacet(
            f"One row per {contract.row}. {contract.notes}".strip()
        ),
    }


def _field(name: str, kind: pa.DataType, comment: str | None = None) -> schema_dataset.SchemaDatasetFacetFields:
    nested = [_field(each.name, each.type) for each in kind] if pa.types.is_struct(kind) else []
    return schema_dataset.SchemaDatasetFacetFields(name, type_name(kind), comment, fields=nested)


def _transformation(origin: Origin) -> column_lineage_dataset.Transformation:
    if origin.change in SUBTYPES:
        return column_lineage_dataset.Transformation("DIRECT", SUBTYPES[origin.change])
    return column_lineage_dataset.Transformation("INDIRECT", origin.change.upper())


def _assertions(
    rows: Mapping[str | None, int], names: Mapping[str, str]
) -> Iterator[data_quality_assertions_dataset.Assertion]:
    """That every row was accepted; and each reason for which rows were refused."""
    total, accepted = sum(rows.values()), rows.get(None, 0)
    yield data_quality_assertions_dataset.Assertion(
        ALL_ACCEPTED, total == accepted, severity="warn", expected=str(total), actual=str(accepted)
    )
    for reason, refused in sorted((reason, number) for reason, number in rows.items() if reason and number):
        column = next((name for name in _FIELDS if reason.startswith(f"{name}_")), None)
        yield data_quality_assertions_dataset.Assertion(
            reason,
            False,
            column=None if column is None else names.get(column, column),
            severity="warn",
            description=f"Refused because {REASONS[reason]}",
            expected="0",
            actual=str(refused),
        )


def _source_columns(state: RunState) -> dict[str, str]:
    """Field of the lake -> the source's column, where --map says so."""
    mapped = json.loads(state.run["parameters"]).get("map") or {}
    return {field: column for column, field in mapped.items()}


def _versions(numbers: Any) -> dict[str, int]:
    """A map column of a row, as a job has it or as the lake gives it back."""
    return dict(numbers or {})


def _instant(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
