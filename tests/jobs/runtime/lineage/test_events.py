"""Events of runs: what they say, and that OpenLineage's schemas accept it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from openlineage.client.serde import Serde

from jobs.runtime.lineage.events import SUBTYPES, Teller
from jobs.runtime.lineage.parents import JobRun, Parent
from jobs.runtime.lineage.states import RunState
from schemas.column_lineage import LINEAGE, SOURCE, Made
from schemas.lake import TABLES
from schemas.version import VERSION, commit
from tests.jobs.runtime.lineage.conftest import Event

ONE, TWO = "0b2f6d4e-9c3a-5f10-8e77-1d2c3b4a5968", "0b2f6d4e-9c3a-5f10-8e77-1d2c3b4a5969"
TELLER = Teller(
    "s3://albums/family",
    "photos",
    Parent(JobRun("airflow", "n.t", ONE), JobRun("airflow", "n", TWO)),
    "2026-11-28T02:00:00+00:00",
)
START, END = datetime(2026, 11, 28, 2, 3, tzinfo=UTC), datetime(2026, 11, 28, 2, 4, 5, 600, tzinfo=UTC)


def state(status: str, **told: Any) -> RunState:
    """A state of a run of `index`."""
    run = {
        "run_id": "nightly.index.1",
        "task_id": "FileIndexing-1",
        "job": "index-files",
        "project_name": "demo",
        "parameters": json.dumps({"source": ["/in/photos.csv"], "map": {"path": "uri", "lat": "latitude"}}),
        "config_hash": "aa",
        "code_version": "0.2",
        "inputs": {},
        "outputs": {},
        "row_counts": {},
        "start_time": START,
        "end_time": None if status == "Running" else END,
        "status": status,
        "message": None,
    }
    kept = {name: told.pop(name) for name in ("sources", "code", "is_own") if name in told}
    task = {"task_type": "FileIndexing", "tags": {"team": "photos"}}
    return RunState(run | told, task, **{"sources": {}, **kept})


def tell(*states: RunState, teller: Teller = TELLER) -> list[Event]:
    return [json.loads(Serde.to_json(teller.event(each))) for each in states]


SOURCES = {"/in/photos.csv": {None: 7, "latitude_out_of_range": 2, "bad_time": 1}}
INDEXED = state(
    "Succeeded",
    inputs={"areas": 3},
    outputs={"files": 4, "file_places": 9, "rejected": 2},
    row_counts={"files.inserted": 5, "files.updated": 2, "files.deleted": 1},
    sources=SOURCES,
)


@pytest.mark.long
def test_every_event_is_valid(validate: Callable[[list[Event]], None]) -> None:
    everything = {name: number for number, name in enumerate(TABLES, start=1)}
    failed = state("Failed", inputs=everything, outputs=everything, sources=SOURCES, message="no", code="Conflict")
    validate(tell(state("Running"), INDEXED, failed, teller=replace(TELLER, root="/lakes/family")))
    validate(tell(state("Running"), failed, teller=Teller("/lakes/family", "photos")))


def test_a_start_says_who_runs_for_whom() -> None:
    [event] = tell(state("Running"))
    assert (event["eventType"], event["eventTime"]) == ("START", "2026-11-28T02:03:00.000000Z")
    assert (event["job"]["namespace"], event["job"]["name"]) == ("photos", "index-files")
    known = commit()
    assert event["producer"] == f"urn:lakealbum:{VERSION}" + (f":{known}" if known else "")
    job, run = event["job"]["facets"], event["run"]["facets"]
    assert (job["jobType"]["processingType"], job["jobType"]["integration"]) == ("BATCH", "LAKEALBUM")
    assert run["parent"]["run"]["runId"] == ONE
    assert run["parent"]["root"]["job"]["name"] == "n"
    assert run["nominalTime"]["nominalStartTime"] == "2026-11-28T02:00:00+00:00"
    tags = {tag["key"]: tag["value"] for tag in run["tags"]["tags"]}
    assert (tags["lakealbum.run_id"], tags["team"]) == ("nightly.index.1", "photos")


def test_a_failure_says_why_and_belongs_to_the_same_run() -> None:
    started, failed = tell(state("Running"), state("Failed", message="disk full", code="LakeError"))
    assert (failed["eventType"], failed["run"]["runId"]) == ("FAIL", started["run"]["runId"])
    assert failed["run"]["facets"]["errorMessage"]["message"] == "disk full"
    assert {"key": "lakealbum.code", "value": "LakeError", "source": "LAKEALBUM"} in failed["run"]["facets"]["tags"][
        "tags"
    ]


def test_a_run_of_another_process_has_not_our_parent() -> None:
    [lost] = tell(state("Failed", message="lost", is_own=False))
    assert not {"parent", "nominalTime"} & lost["run"]["facets"].keys()


def test_tables_are_named_with_schema_version_and_rows() -> None:
    [event] = tell(INDEXED)
    outputs = {each["name"]: each for each in event["outputs"]}
    assert set(outputs) == {"family/files", "family/file_places", "family/rejected"}
    files = outputs["family/files"]
    assert files["namespace"] == "s3://albums"
    assert files["facets"]["version"]["datasetVersion"] == "4"
    assert files["outputFacets"]["outputStatistics"]["rowCount"] == 7
    fields = {field["name"]: field for field in files["facets"]["schema"]["fields"]}
    assert list(fields) == TABLES["files"].names
    assert fields["uri"]["description"] == "Where the file is; unique in its dataset"
    assert fields["address"]["fields"][0] == {"name": "country", "type": "string", "fields": []}
    [source, areas] = event["inputs"]
    assert (source["namespace"], source["name"]) == ("file", "/in/photos.csv")
    assert (areas["name"], areas["facets"]["version"]["datasetVersion"]) == ("family/areas", "3")


def test_refused_rows_are_assertions_of_their_source() -> None:
    [event] = tell(INDEXED)
    facets = event["inputs"][0]["inputFacets"]
    assert facets["inputStatistics"]["rowCount"] == 10
    told = {each["assertion"]: each for each in facets["dataQualityAssertions"]["assertions"]}
    assert set(told) == {"every_row_accepted", "latitude_out_of_range", "bad_time"}
    assert (told["every_row_accepted"]["success"], told["every_row_accepted"]["actual"]) == (False, "7")
    assert (told["latitude_out_of_range"]["column"], told["latitude_out_of_range"]["actual"]) == ("lat", "2")
    assert "column" not in told["bad_time"]
    [clean] = tell(replace(INDEXED, sources={"/in/photos.csv": {None: 7}}))
    assertions = clean["inputs"][0]["inputFacets"]["dataQualityAssertions"]["assertions"]
    assert [(each["assertion"], each["success"]) for each in assertions] == [("every_row_accepted", True)]


def test_columns_of_files_come_from_the_mapped_columns_of_their_source() -> None:
    [event] = tell(INDEXED)
    facet = event["outputs"][0]["facets"]["columnLineage"]
    [latitude] = facet["fields"]["latitude"]["inputFields"]
    assert (latitude["name"], latitude["field"]) == ("/in/photos.csv", "lat")
    assert latitude["transformations"][0]["subtype"] == "TRANSFORMATION"
    assert "run_id" not in facet["fields"]
    assert [(each["field"], each["transformations"][0]["type"]) for each in facet["dataset"]] == [
        ("update_time", "INDIRECT")
    ]


@pytest.mark.parametrize("table", [name for name, lineage in LINEAGE.items() if lineage.maker is None])
def test_every_declared_origin_is_told(table: str) -> None:
    [event] = tell(state("Succeeded", outputs={table: 1}, sources={"/in/a": {}, "/in/b": {}}, parameters="{}"))
    [output] = event["outputs"]
    told = {
        (name, each["name"].rpartition("/")[2], each["field"], way.get("subtype"))
        for name, field in output["facets"]["columnLineage"]["fields"].items()
        for each in field["inputFields"]
        for way in each["transformations"]
    }
    declared = {
        (name, source, origin.column, SUBTYPES.get(origin.change, origin.change.upper()))
        for name, origins in LINEAGE[table].columns.items()
        if not isinstance(origins, Made)
        for origin in origins
        for source in (("a", "b") if origin.table == SOURCE else (origin.table,))
    }
    assert told == declared


def test_a_table_that_a_run_did_not_read_from_a_source_names_none() -> None:
    [event] = tell(state("Succeeded", outputs={"files": 1, "figures": 2}))
    files, figures = event["outputs"]
    assert "columnLineage" not in files["facets"]
    assert "columnLineage" not in figures["facets"]
