"""What files hold: what is kept of files that are read by their headers alone."""

from __future__ import annotations

import pyarrow as pa
import pytest

from schemas.files import FILES
from schemas.keys import FILE_KEY
from transforms.pictures.contents import keep_hashes
from transforms.pictures.files import BROKEN_PIXELS

COLUMNS = (*FILE_KEY, "size", "content_hash", "warning")
SCHEMA = pa.schema([(name, FILES.arrow_schema.field(name).type) for name in COLUMNS])
KEY = (1, "demo", "ada")
BROKEN = f"{BROKEN_PIXELS}: truncated"


def files(*rows: tuple[str, int | None, str | None, str | None]) -> pa.Table:
    """Files of ada's: uri, size, content hash and warning."""
    return pa.Table.from_pylist([dict(zip(SCHEMA.names, (*KEY, *row), strict=True)) for row in rows], SCHEMA)


@pytest.mark.parametrize(
    ("row", "known", "expected"),
    [
        ((5, None, None), (5, "old", BROKEN), ("old", BROKEN)),
        ((5, None, None), (5, "old", "no time"), ("old", None)),
        ((5, "new", "no time"), (5, "old", BROKEN), ("new", "no time")),
        ((6, None, None), (5, "old", BROKEN), (None, None)),
        ((None, None, None), (None, "old", BROKEN), (None, None)),
        ((5, None, None), None, (None, None)),
    ],
)
def test_hashes_stay_while_the_size_is_the_same(
    row: tuple[int | None, str | None, str | None],
    known: tuple[int | None, str | None, str | None] | None,
    expected: tuple[str | None, str | None],
) -> None:
    others = [("b", 5, "b's", BROKEN), ("c", 5, "c's", None)]
    current = files(*others, *([("a", *known)] if known else []))
    found = keep_hashes(files(("c", 5, None, None), ("a", *row)), current)
    assert [tuple(each.values())[-2:] for each in found.to_pylist()] == [("c's", None), expected]
    assert found.schema == SCHEMA
