"""A source that is followed, from its listing to what came of it. No file is opened here, and Spark is not needed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from catalog.bindings import LISTING_SCHEMA
from catalog.face_scans import pending_pictures, wanted_family
from catalog.lake import Lake, Row, Scope
from jobs.bindings.planning import Plan, plan_sync
from jobs.bindings.scanning import Scan, scan_folder, table_version

NO_URIS = pa.chunked_array([], pa.string())


@dataclass
class Synced:
    """What a sync found in a source, and did. `reason` says why it did nothing."""

    binding_id: str
    source: str
    listed: int = 0
    new: int = 0
    changed: int = 0
    moved: int = 0
    missing: int = 0
    removed: int = 0
    refused: int = 0
    reason: str | None = field(default=None)


@dataclass
class Work:
    """A source with something to do, from its listing to what came of it."""

    binding: Row
    plan: Plan
    done: Synced
    version: str | None = None
    """What the source is now, where it is a table."""
    uris: pa.ChunkedArray = field(default_factory=lambda: NO_URIS)
    """The files that a folder holds now."""
    faces: bool = False
    """Whether pictures that are there are still to be looked at for faces."""

    @property
    def needs_run(self) -> bool:
        """Whether there is more to do than to write down what was listed."""
        return self.plan.needs_run or self.faces or self.version != self.binding["source_version"]


@dataclass(frozen=True)
class Seen:
    """What is to be written down of a source: rows of its listing, and uris that leave it."""

    rows: pa.Table
    gone: list[str]


def look_at_folder(
    lake: Lake, binding: Row, known: pa.Table, *, now: datetime, grace: timedelta, allow_mass_removal: bool
) -> Work:
    """What there is to do for a folder, by its listing alone; `known` is what it listed before (LISTING_SCHEMA)."""
    options, source = json.loads(binding["options"]), binding["source"]
    scan = scan_folder(source, include=tuple(options.get("include", ())), exclude=tuple(options.get("exclude", ())))
    plan = plan_sync(scan, known, source=source, now=now, grace=grace, allow_mass_removal=allow_mass_removal)
    counts = {"new": plan.new.num_rows, "changed": plan.changed.num_rows, "missing": plan.waiting}
    done = outcome(binding, listed=plan.listed, removed=plan.expired.num_rows, **counts)
    uris = scan.files["uri"]
    return Work(binding, plan, done, uris=uris, faces=lacks_faces(lake, binding, uris))


def lacks_faces(lake: Lake, binding: Row, uris: pa.ChunkedArray) -> bool:
    """Whether a dataset wants faces, and files of a folder that are there were not looked at by its models."""
    project, dataset, options = binding["project_name"], binding["dataset_name"], json.loads(binding["options"])
    kept = wanted_family(lake, project, dataset)
    if not options.get("faces", kept is not None) or not options.get("hashes", True):
        return False
    from jobs.people.face_models import DEFAULT_FAMILY, read_family  # they load numba, which few syncs need

    family = options.get("face_models") or kept or DEFAULT_FAMILY
    pending = pending_pictures(lake, project, dataset, read_family(family).model)
    return bool(pc.any(pc.is_in(pending, value_set=whole(uris))).as_py())


def look_at_table(binding: Row, known: pa.Table, *, now: datetime, grace: timedelta) -> Work:
    """What there is to do for a table, by its version alone; `known` are the rows that it lacks (LISTING_SCHEMA)."""
    source, kind = binding["source"], json.loads(binding["options"])["format"]
    plan = plan_sync(Scan(LISTING_SCHEMA.empty_table()), known, source=source, now=now, grace=grace)
    counts = {"listed": binding["files"], "missing": plan.waiting, "removed": plan.expired.num_rows}
    return Work(binding, plan, outcome(binding, **counts), table_version(source, kind))


def listing_after(
    plan: Plan, *, moved: pa.ChunkedArray | None = None, refusals: Mapping[str, str] | None = None
) -> Seen:
    """What a folder's listing becomes, once what was planned is done."""
    moved = NO_URIS if moved is None else moved
    refused = pa.array([(refusals or {}).get(uri) for uri in plan.to_read["uri"].to_pylist()], pa.string())
    read = plan.to_read.set_column(plan.to_read.schema.get_field_index("refusal"), "refusal", refused)
    waiting = without(without(plan.vanished, plan.expired["uri"]), moved)
    left = plan.missing.filter(pc.is_in(plan.missing["uri"], value_set=whole(moved)))
    gone = {*plan.expired["uri"].to_pylist(), *left["uri"].to_pylist()}
    return Seen(pa.concat_tables([read, plan.back, waiting]), sorted(gone))


def outcome(binding: Row, **found: Any) -> Synced:
    """What was found so far."""
    return Synced(binding["binding_id"], binding["source"], **found)


def scope_of(binding: Row) -> Scope:
    """The dataset that follows the source."""
    return Scope(binding["project_name"], (binding["dataset_name"],))


def without(rows: pa.Table, uris: pa.ChunkedArray) -> pa.Table:
    """The rows of other files than these."""
    return rows.filter(pc.invert(pc.is_in(rows["uri"], value_set=whole(uris))))


def whole(uris: pa.ChunkedArray) -> pa.Array:
    """A column in one piece, as `pyarrow.compute` wants a set of values."""
    return uris.combine_chunks() if isinstance(uris, pa.ChunkedArray) else uris
