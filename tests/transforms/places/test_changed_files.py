"""Which files are to be located."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from schemas.file_edits import FILE_EDITS
from schemas.file_places import FILE_PLACES
from schemas.files import FILES
from transforms.places.area_cells import TILES, tiles_of
from transforms.places.changed_files import (
    COLUMNS,
    KEY,
    LOCATED_COLUMNS,
    changed_files,
    keep_seen,
    locate_files,
    outdated_keys,
    removed_keys,
    replaced_keys,
)
from transforms.places.corrections import EDIT_COLUMNS, fold_corrections
from transforms.places.geocoding import GazetteerLocator

NOW = datetime(2024, 5, 1, tzinfo=UTC)
SCHEMA = pa.schema([(name, FILES.arrow_schema.field(name).type) for name in COLUMNS])
FEED = pa.schema([*SCHEMA, ("_change_type", pa.string()), ("_commit_version", pa.int64())])
PLACES = pa.schema([(name, FILE_PLACES.arrow_schema.field(name).type) for name in LOCATED_COLUMNS])
DATASET = {"bucket": 1, "project_name": "p", "dataset_name": "d"}
ZURICH = {"longitude": 8.54, "latitude": 47.37}
SYDNEY = {"longitude": 151.2, "latitude": -33.87}


def file(uri: str, **more: Any) -> dict[str, Any]:
    return {**DATASET, "uri": uri, "object_id": f"id-{uri}", "media_type": "image", **more}


def files(*rows: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=SCHEMA)


def feed(*changes: tuple[str, int, dict[str, Any]]) -> pa.Table:
    rows = [{"_change_type": kind, "_commit_version": version, **row} for kind, version, row in changes]
    return pa.Table.from_pylist(rows, schema=FEED)


def uris(table: pa.Table) -> list[str]:
    return sorted(table["uri"].to_pylist())


def corrections(*edits: dict[str, Any]) -> pa.Table:
    schema = pa.schema([(name, FILE_EDITS.arrow_schema.field(name).type) for name in EDIT_COLUMNS])
    rows = [{"taken_back": [], **DATASET, **edit} for edit in edits]
    return fold_corrections(pa.Table.from_pylist(rows, schema=schema))


def test_files_are_as_their_last_change_left_them_and_those_that_edits_touched() -> None:
    changes = feed(
        ("insert", 3, file("new")),
        ("update_preimage", 4, file("moved", **ZURICH)),
        ("update_postimage", 4, file("moved", **SYDNEY)),
        ("delete", 4, file("gone")),
    )
    touched = files(file("moved", **ZURICH), file("edited"))
    found = changed_files(changes, touched)
    assert uris(found) == ["edited", "moved", "new"]
    assert {row["uri"]: row["longitude"] for row in found.to_pylist()}["moved"] == SYDNEY["longitude"]
    assert set(uris(replaced_keys(changes, touched))) == {"moved", "gone", "edited"}


def test_removed_files_stay_where_they_were_seen() -> None:
    table = files(file("there"), file("seen", deleted_time=NOW), file("unseen", deleted_time=NOW))
    assert uris(removed_keys(table)) == ["seen", "unseen"]
    assert uris(keep_seen(table, files(file("seen"), file("there")).select(KEY))) == ["seen", "there"]


@pytest.mark.parametrize(("keeps_removed", "expected"), [(True, ["removed", "there"]), (False, ["there"])])
def test_files_that_were_only_moved_have_no_place_and_removed_ones_if_kept(
    keeps_removed: bool, expected: list[str]
) -> None:
    table = files(
        file("there", **ZURICH),
        file("removed", deleted_time=NOW, **ZURICH),
        file("moved", deleted_time=NOW, moved_to="there", **ZURICH),
    )
    said = corrections({"sequence": 1, "object_id": "id-there", "address": {"city": "Kyoto"}})
    how = {"default_zone": "UTC", "locator": GazetteerLocator(), "run_id": "r", "keeps_removed": keeps_removed}
    assert uris(locate_files(table, corrections=None, **how)) == expected
    rows = {row["uri"]: row for row in locate_files(table, corrections=said, **how).to_pylist()}
    assert sorted(rows) == expected
    assert (rows["there"]["city"], rows["there"]["location_source"]) == ("Kyoto", "edited")


def outdated(table: pa.Table, places: list[tuple[str, str, str]], **how: Any) -> list[str]:
    rows = [{**DATASET, "uri": uri, "address_method": how, "index_version": by} for uri, how, by in places]
    how = {"corrections": None, "newest": None, "version": "now"} | how
    return uris(outdated_keys(table, pa.Table.from_pylist(rows, schema=PLACES), **how))


def test_what_another_version_located_and_what_none_did_is_looked_up_again() -> None:
    names = ("current", "older", "given", "nowhere", "unlocated", "removed")
    table = files(*(file(name, **({} if name == "nowhere" else ZURICH)) for name in names[:-1]))
    table = pa.concat_tables([table, files(file("removed", deleted_time=NOW, **ZURICH))])
    places = [("current", "nearest", "now"), ("older", "nearest", "then"), ("given", "supplied", "supplied")]
    assert outdated(table, places) == ["older", "unlocated"]


def test_of_what_areas_located_only_what_lies_about_tiles_that_were_cut_since() -> None:
    newest = np.zeros(TILES, np.int64)
    newest[tiles_of(np.array([ZURICH["longitude"]]), np.array([ZURICH["latitude"]]))] = 4
    table = files(
        *(file(f"{name} {build}", **at) for name, at in (("z", ZURICH), ("s", SYDNEY)) for build in (3, 4, 5)),
        file("gazetteer", **SYDNEY),
    )
    places = [(f"{name} {build}", "inside", f"areas-{build}/5000m") for name in "zs" for build in (3, 4, 5)]
    places += [("gazetteer", "nearest", "reverse_geocode-1/100000m"), ("not there", "inside", "areas-1/5000m")]
    how: dict[str, Any] = {"newest": newest, "version": "areas-5/5000m"}
    assert outdated(table, places, **how) == ["gazetteer", "z 3"]
    moved = corrections({"sequence": 1, "object_id": "id-s 3", **ZURICH})
    assert outdated(table, places, corrections=moved, **how) == ["gazetteer", "s 3", "z 3"]
