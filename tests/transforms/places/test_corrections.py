"""What people say of when and where files were taken, over what sources say."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from schemas.file_edits import FILE_EDITS
from transforms.places.corrections import CORRECTED, EDIT_COLUMNS, correct_files, fold_corrections

EDITS = pa.schema([(name, FILE_EDITS.arrow_schema.field(name).type) for name in EDIT_COLUMNS])
FILES = pa.schema([field for field in EDITS if field.name not in ("sequence", "taken_back")])
THEN, LATER = datetime(2020, 5, 1, 12, tzinfo=UTC), datetime(2021, 6, 2, 9, tzinfo=UTC)
FILE = {"project_name": "demo", "dataset_name": "ada", "object_id": "a"}


def edit(sequence: int, file: str, *, back: tuple[str, ...] = (), **said: Any) -> dict[str, Any]:
    return {**FILE, "sequence": sequence, "object_id": file, "taken_back": list(back), **said}


def corrected(*edits: dict[str, Any]) -> dict[str, Any]:
    """What becomes of a file `a` taken THEN in Rome at 41.9, 12.5, by its address."""
    rome = {"country": "Italy", "city": "Rome"}
    said = {"produce_time": THEN, "time_is": "offset", "utc_offset": 60}
    files = pa.Table.from_pylist([FILE | said | {"latitude": 41.9, "longitude": 12.5, "address": rome}], schema=FILES)
    corrections = fold_corrections(pa.Table.from_pylist(list(edits), schema=EDITS))
    table = correct_files(files, corrections=corrections)
    assert table.column_names == [*FILES.names, CORRECTED]
    (row,) = table.to_pylist()
    return row | {"city": (row["address"] or {}).get("city")}


def test_the_last_word_on_time_and_on_place_holds() -> None:
    file = corrected(
        edit(3, "a", produce_time=LATER, time_is="local"),
        edit(2, "a", produce_time=THEN, time_is="instant", latitude=1.0, longitude=2.0),
        edit(4, "b", latitude=5.0, longitude=6.0),
    )
    assert (file["produce_time"], file["time_is"], file["utc_offset"]) == (LATER, "local", None)
    assert (file["latitude"], file["longitude"], file["city"], file[CORRECTED]) == (1.0, 2.0, None, True)


def test_what_is_taken_back_is_the_sources_again() -> None:
    file = corrected(
        edit(1, "a", produce_time=LATER, time_is="local", address={"city": "Kyoto"}),
        edit(2, "a", back=("time",)),
    )
    assert (file["produce_time"], file["time_is"], file["utc_offset"]) == (THEN, "offset", 60)
    assert (file["latitude"], file["city"], file[CORRECTED]) == (None, "Kyoto", True)


def test_edits_of_other_things_change_nothing() -> None:
    file = corrected(edit(1, "a", back=("custom_id",)), edit(2, "b", produce_time=LATER, time_is="local"))
    assert (file["produce_time"], file["latitude"], file["city"], file[CORRECTED]) == (THEN, 41.9, "Rome", False)


def test_no_edits_change_nothing() -> None:
    file = corrected()
    assert (file["produce_time"], file["latitude"], file["city"], file[CORRECTED]) == (THEN, 41.9, "Rome", False)


def test_one_edit_may_say_a_time_and_take_back_a_place() -> None:
    said = {"produce_time": LATER, "time_is": "instant"}
    file = corrected(edit(1, "a", latitude=1.0, longitude=2.0), edit(2, "a", back=("place",), **said))
    assert (file["produce_time"], file["latitude"], file["city"], file[CORRECTED]) == (LATER, 41.9, "Rome", False)
