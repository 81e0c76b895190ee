"""What changed between two listings of a source: plain Arrow, as listings are long and changes are few."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from catalog.bindings import LISTING_SCHEMA
from jobs.bindings.scanning import Scan
from schemas.errors import SourceError

UNREADABLE = "file_unreadable"
"""The refusal of a file that could not be opened: whether it can be now, no listing tells."""
_SEEN = ("size", "modified_time", "etag")
"""What tells that a file is as it was."""


@dataclass(frozen=True)
class Plan:
    """What a sync has to do for a source; tables have LISTING_SCHEMA.

    `new` and `changed` are to be read. `missing` are gone from the source: those of `vanished` since this sync, those
    of `expired` for so long that they are removed. `back` were missing and are as they were.
    """

    new: pa.Table
    changed: pa.Table
    missing: pa.Table
    vanished: pa.Table
    expired: pa.Table
    back: pa.Table
    listed: int

    @property
    def to_read(self) -> pa.Table:
        """The files to be read."""
        return pa.concat_tables([self.new, self.changed])

    @property
    def needs_run(self) -> bool:
        """Whether files must be read, moved or removed."""
        return bool(self.new.num_rows or self.changed.num_rows or self.expired.num_rows)

    @property
    def waiting(self) -> int:
        """How many files are missing and stay for the time being."""
        return int(self.missing.num_rows - self.expired.num_rows)


def plan_sync(
    scan: Scan, known: pa.Table, *, source: str, now: datetime, grace: timedelta, allow_mass_removal: bool = False
) -> Plan:
    """What brings a dataset in step with what a source lists now; `known` is what it listed before (LISTING_SCHEMA).

    A file is as it was if its size, its time of modification and its ETag are. What lies in a folder that may not be
    listed is taken to be there. Raises SourceError where less than half of the files that were there are listed.
    """
    listed = scan.files
    there = known.filter(pc.is_null(known["missing_since"]))
    if listed.num_rows * 2 < there.num_rows - _in_folders(there, scan.unreadable) and not allow_mass_removal:
        raise SourceError(
            f"{source} lists {listed.num_rows:,} files, and listed {there.num_rows:,} before: more than half are gone. "
            "Nothing was changed; --allow-mass-removal takes it for true"
        )
    before = known.rename_columns({name: f"old_{name}" for name in known.column_names if name != "uri"})
    both = listed.join(before.append_column("is_known", pa.repeat(True, known.num_rows)), "uri", join_type="left outer")
    is_known = pc.fill_null(both["is_known"], False)
    same = is_known
    for name in _SEEN:
        same = pc.and_(same, _equal(both[name], both[f"old_{name}"]))
    again = pc.fill_null(pc.equal(both["old_refusal"], UNREADABLE), False)
    returned = pc.and_(pc.and_(same, pc.invert(again)), pc.is_valid(both["old_missing_since"]))
    missing = known.join(listed.select(["uri"]), "uri", join_type="left anti").select(LISTING_SCHEMA.names)
    missing = missing.filter(pc.invert(_below(missing["uri"], scan.unreadable)))
    is_new = pc.is_null(missing["missing_since"])
    since = pc.fill_null(missing["missing_since"], pa.scalar(now, missing["missing_since"].type))
    missing = missing.set_column(missing.schema.get_field_index("missing_since"), "missing_since", since)
    expired = missing.filter(pc.less_equal(since, pa.scalar(now - grace, since.type)))
    return Plan(
        new=_rows(both, pc.invert(is_known)),
        changed=_rows(both, pc.and_(is_known, pc.or_(pc.invert(same), again))),
        missing=missing,
        vanished=missing.filter(is_new),
        expired=expired,
        back=_rows(both, returned),
        listed=listed.num_rows,
    )


def _rows(table: pa.Table, mask: pa.ChunkedArray) -> pa.Table:
    return table.filter(mask).select(LISTING_SCHEMA.names).sort_by("uri").cast(LISTING_SCHEMA)


def _equal(left: pa.ChunkedArray, right: pa.ChunkedArray) -> pa.ChunkedArray:
    """Whether values are equal, two that are missing too."""
    return pc.or_(pc.fill_null(pc.equal(left, right), False), pc.and_(pc.is_null(left), pc.is_null(right)))


def _below(uris: pa.ChunkedArray, folders: tuple[str, ...]) -> pa.ChunkedArray:
    """Whether files lie in one of the folders."""
    inside = pa.chunked_array([pa.repeat(False, len(uris))]) if len(uris) else pa.chunked_array([], pa.bool_())
    for folder in folders:
        inside = pc.or_(inside, pc.starts_with(uris, f"{folder}/"))
    return inside


def _in_folders(known: pa.Table, folders: tuple[str, ...]) -> int:
    return int(pc.sum(_below(known["uri"], folders)).as_py() or 0)
