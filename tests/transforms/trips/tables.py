"""Small tables of trips, written out in the tests."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from typing import Any

import pyarrow as pa

from schemas.contract import LEVELS
from transforms.trips.days import DAYS

KEY = {"bucket": 0, "project_name": "p", "dataset_name": "d"}
DELETIONS = pa.schema(
    [
        *(field for field in DAYS if field.name in KEY),
        *((name, pa.string()) for name in ("object_id", "level", "place_key")),
        ("first_day", pa.date32()),
        ("last_day", pa.date32()),
    ]
)
NO_DELETIONS = DELETIONS.empty_table()


def place_days(*rows: tuple[str, str] | tuple[str, str, str]) -> pa.Table:
    """One picture at noon, UTC, on each (place key, day); of another dataset where a third text names it."""
    made = []
    for place, day, *dataset in rows:
        local = date.fromisoformat(day)
        noon = datetime.combine(local, time(12), UTC)
        made.append(
            {
                **KEY,
                **({"dataset_name": dataset[0]} if dataset else {}),
                **dict(zip(LEVELS, (part or None for part in place.split("/")), strict=True)),
                "place_key": place,
                "local_date": local,
                "files": 1,
                "images": 1,
                "videos": 0,
                **{key: {"time": noon, "utc_offset": 0} for key in ("first", "last")},
                "cover": {"rank": 0, "time": noon, "uri": day},
            }
        )
    return pa.Table.from_pylist(made, DAYS)


def pick_columns(rows: pa.Table, *names: str) -> set[tuple[Any, ...]]:
    """The rows as tuples of some columns, days as text."""
    return {
        tuple(str(row[name]) if isinstance(row[name], date) else row[name] for name in names)
        for row in rows.to_pylist()
    }
