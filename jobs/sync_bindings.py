"""Job: sync. Reads again what changed in the sources that datasets follow.

source -> listing -> files that were moved; files that are new or changed (as index does); files that went (as remove
does) -> bindings, binding_files

A source in which nothing changed is listed, and no more: no file is opened, and neither Spark nor a JVM is started.
What was listed is written down last: killed anywhere, the next sync finds the same differences, and what of them was
stored already changes nothing.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from catalog.bindings import (
    INCREMENTAL,
    LISTING_SCHEMA,
    change_binding,
    get_binding,
    list_bindings,
    read_listing,
    record_listing,
)
from catalog.face_scans import pending_pictures, wanted_family
from catalog.imm import pascal
from catalog.lake import Lake, Row, Scope
from catalog.moves import carry_marks
from catalog.sql import all_of, equals
from jobs.bindings.planning import UNREADABLE, Plan, plan_sync
from jobs.bindings.scanning import FILTERS, Scan, scan_folder, table_version
from jobs.cli.main import run as run_command
from jobs.cli.options import JobConfig, build_config, job_options
from schemas.errors import LakeAlbumError, SourceError
from transforms.pictures.listings import list_touched

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from jobs.index_files import IndexFiles
    from jobs.runtime.runs import Run

STOPPED = "it is stopped"
_NO_URIS = pa.chunked_array([], pa.string())
_DURATION = re.compile(r"(\d+)\s*([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class SyncBindings(JobConfig):
    """What `sync` can be asked."""

    binding: tuple[str, ...] = Field(default=(), description="ids or sources; none means all of the project")
    grace: str = Field(
        default="7d", pattern=r"^\d+\s*[smhdw]$", description="how long what is missing stays: 7d, 12h, 0d"
    )
    allow_mass_removal: bool = Field(default=False, description="take it for true that most of a source is gone")

    @property
    def patience(self) -> timedelta:
        """The grace."""
        number, unit = _DURATION.fullmatch(self.grace).groups()  # type: ignore[union-attr]
        return timedelta(**{_UNITS[unit]: int(number)})


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
class _Work:
    """A source with something to do, from its listing to what came of it."""

    binding: Row
    plan: Plan
    done: Synced
    version: str | None = None
    """What the source is now, where it is a table."""
    uris: pa.ChunkedArray = field(default_factory=lambda: _NO_URIS)
    """The files that a folder holds now."""
    faces: bool = False
    """Whether pictures that are there are still to be looked at for faces."""

    @property
    def needs_run(self) -> bool:
        """Whether there is more to do than to write down what was listed."""
        return self.plan.needs_run or self.faces or self.version != self.binding["source_version"]


@dataclass(frozen=True)
class _Seen:
    """What is to be written down of a source: rows of its listing, and uris that leave it."""

    rows: pa.Table
    gone: list[str]


def sync_bindings(config: SyncBindings) -> tuple[list[Synced], Run | None]:
    """Brings datasets in step with the sources that they follow. Returns what was done of each, and the run, if any.

    A source that cannot be read is left as it is, and so are its files: the others are done, `Synced.reason` says why.
    """
    lake = Lake(config.lake)
    scope = Scope(config.project, config.dataset)
    names = dict.fromkeys(config.binding)
    bindings = [get_binding(lake, scope, name) for name in names] if names else list_bindings(lake, scope)
    now = datetime.now(UTC)
    done: dict[str, Synced] = {}
    work: list[_Work] = []
    for binding in bindings:
        done[binding["binding_id"]] = _outcome(binding)
        if binding["state"] == "Stopped":
            done[binding["binding_id"]].reason = STOPPED
            continue
        with _failing(lake, binding, done, config.dry_run):
            found = _look(lake, config, binding, now)
            done[binding["binding_id"]] = found.done
            if found.needs_run:
                work.append(found)
            elif not config.dry_run:
                _record(lake, found, _seen(found.plan), now)
    run = _do(lake, config, work, done, now) if work else None
    return list(done.values()), run


def _look(lake: Lake, config: SyncBindings, binding: Row, now: datetime) -> _Work:
    """What there is to do for a source, by its listing alone."""
    options, source = json.loads(binding["options"]), binding["source"]
    known = read_listing(lake, binding)
    if options["format"] != "photos":
        plan = plan_sync(Scan(LISTING_SCHEMA.empty_table()), known, source=source, now=now, grace=config.patience)
        counts = {"listed": binding["files"], "missing": plan.waiting, "removed": plan.expired.num_rows}
        return _Work(binding, plan, _outcome(binding, **counts), table_version(source, options["format"]))
    scan = scan_folder(source, include=tuple(options.get("include", ())), exclude=tuple(options.get("exclude", ())))
    allowed = config.allow_mass_removal
    plan = plan_sync(scan, known, source=source, now=now, grace=config.patience, allow_mass_removal=allowed)
    counts = {"new": plan.new.num_rows, "changed": plan.changed.num_rows, "missing": plan.waiting}
    done = _outcome(binding, listed=plan.listed, removed=plan.expired.num_rows, **counts)
    uris = scan.files["uri"]
    return _Work(binding, plan, done, uris=uris, faces=_lacks_faces(lake, binding, options, uris))


def _lacks_faces(lake: Lake, binding: Row, options: Mapping[str, Any], uris: pa.ChunkedArray) -> bool:
    """Whether a dataset wants faces, and files of a folder that are there were not looked at by its models."""
    from jobs.people.face_models import DEFAULT_FAMILY, read_family

    project, dataset = binding["project_name"], binding["dataset_name"]
    kept = wanted_family(lake, project, dataset)
    if not options.get("faces", kept is not None):
        return False
    family = options.get("face_models") or kept or DEFAULT_FAMILY
    pending = pending_pictures(lake, project, dataset, read_family(family).model)
    return bool(pc.any(pc.is_in(pending, value_set=uris.combine_chunks())).as_py())


def _do(lake: Lake, config: SyncBindings, work: list[_Work], done: dict[str, Synced], now: datetime) -> Run:
    """Does what there is to do, in one run."""
    from jobs.runtime.runs import run_job

    with run_job(config, job="sync-bindings", task_type="BindingSync") as run:
        for each in work:
            with _failing(lake, each.binding, done, config.dry_run):
                if not config.dry_run:
                    each.binding = change_binding(lake, each.binding, state="Running")
                seen = _sync_folder(run, each) if each.version is None else _sync_table(run, config, each, now)
                if not config.dry_run:
                    _record(lake, each, seen, now, run_id=run.run_id)
    return run


def _sync_folder(run: Run, work: _Work) -> _Seen:
    """Moves, reads and removes files."""
    from jobs.bindings.moves import find_moves, follow_moves, move_files
    from jobs.index_files import catch_up, choose_faces, take_in_pictures
    from jobs.places.locating import refresh_file_places
    from jobs.runtime.commits import retry_conflicts

    plan, binding = work.plan, work.binding
    whose = {"project": binding["project_name"], "dataset": binding["dataset_name"]}
    run.progress.stage(f"{binding['source']}: files that were moved", 10)
    moves = find_moves(run, plan, **whose)
    if moves.num_rows:
        if not run.dry_run:
            carry_marks(Lake(run.lake.root), _scope(binding), dict(zip(*moves.to_pydict().values(), strict=True)))
        move_files(run, moves, **whose)
    follow_moves(run, **whose)
    gone = _without(plan.expired, moves["uri"])
    changed = plan.to_read["uri"].to_pylist()
    pictures = list_touched(work.uris, changed=changed, gone=plan.expired["uri"].to_pylist())
    pictures = _without_moved(pictures, moves["moved_to"])
    index = _index_config(run, binding)
    family = choose_faces(run, index)
    if pictures.num_rows:
        run.progress.stage(f"{binding['source']}: reading {pictures.num_rows:,} files", 20)
        take_in_pictures(run, index, pictures, binding["source"], family=family, stage=60)
    if family and work.faces:
        catch_up(run, index, family, among=work.uris)
    work.done.removed = _remove(run, binding, gone["uri"])
    run.progress.stage(f"{binding['source']}: finding places", 90)
    retry_conflicts(lambda: refresh_file_places(run))
    refusals = {} if run.dry_run else _refusals(run, binding, pictures["uri"])
    work.done.new, work.done.moved = plan.new.num_rows - moves.num_rows, moves.num_rows
    work.done.missing = _without(plan.missing, moves["uri"]).num_rows - gone.num_rows
    return _seen(plan, moved=moves["uri"], refusals=refusals)


def _sync_table(run: Run, config: SyncBindings, work: _Work, now: datetime) -> _Seen:
    """Reads a table anew where it changed, and removes the files of rows that have been missing for long enough."""
    from jobs.index_files import read_rows, take_in
    from jobs.places.locating import refresh_file_places
    from jobs.runtime.commits import retry_conflicts

    plan, binding = work.plan, work.binding
    missing, back = plan.missing, plan.missing.slice(0, 0)
    if work.version != binding["source_version"]:
        run.progress.stage(f"reading {binding['source']}", 10)
        index = _index_config(run, binding)
        kind = index.format or "delta"
        raw = read_rows(run, index, binding["source"], kind)
        good = take_in(run, index, raw, binding["source"], stage=60)
        listed, lacking = _rows_gone(run, good, binding)
        if len(lacking) > listed and not config.allow_mass_removal:
            raise SourceError(
                f"{binding['source']} has {listed:,} rows, and lacks {len(lacking):,} that it had: more than half are "
                "gone. None was removed; --allow-mass-removal takes it for true"
            )
        known = pc.is_in(missing["uri"], value_set=lacking)
        back, missing = missing.filter(pc.invert(known)), missing.filter(known)
        fresh = lacking.filter(pc.invert(pc.is_in(lacking, value_set=missing["uri"].combine_chunks())))
        since = pa.repeat(pa.scalar(now, missing.schema.field("missing_since").type), len(fresh))
        added = pa.table({"uri": fresh, "missing_since": since})
        missing = pa.concat_tables([missing, added], promote_options="default").cast(LISTING_SCHEMA)
        work.done.listed = listed
    expired = missing.filter(pc.less_equal(missing["missing_since"], pa.scalar(now - config.patience)))
    work.done.removed = _remove(run, binding, expired["uri"])
    run.progress.stage(f"{binding['source']}: finding places", 90)
    retry_conflicts(lambda: refresh_file_places(run))
    work.done.missing = missing.num_rows - expired.num_rows
    return _Seen(_without(missing, expired["uri"]), [*expired["uri"].to_pylist(), *back["uri"].to_pylist()])


def _seen(plan: Plan, *, moved: pa.ChunkedArray | None = None, refusals: Mapping[str, str] | None = None) -> _Seen:
    """What a folder's listing becomes, once what was planned is done."""
    moved = _NO_URIS if moved is None else moved
    refused = pa.array([(refusals or {}).get(uri) for uri in plan.to_read["uri"].to_pylist()], pa.string())
    read = plan.to_read.set_column(plan.to_read.schema.get_field_index("refusal"), "refusal", refused)
    waiting = _without(_without(plan.vanished, plan.expired["uri"]), moved)
    left = plan.missing.filter(pc.is_in(plan.missing["uri"], value_set=_whole(moved)))
    gone = {*plan.expired["uri"].to_pylist(), *left["uri"].to_pylist()}
    return _Seen(pa.concat_tables([read, plan.back, waiting]), sorted(gone))


def _record(lake: Lake, work: _Work, seen: _Seen, now: datetime, *, run_id: str | None = None) -> None:
    """Writes down what was listed, and that all of it was read."""
    binding = get_binding(lake, _scope(work.binding), work.binding["binding_id"])  # it may have been stopped meanwhile
    record_listing(lake, binding, seen.rows, seen.gone)
    listing = read_listing(lake, binding)
    work.done.refused = listing.num_rows - listing["refusal"].null_count
    change_binding(
        lake,
        binding,
        state="Stopped" if binding["state"] == "Stopped" else "Ready",
        phase=INCREMENTAL,
        reason=None,
        files=work.done.listed,
        missing=listing.num_rows - listing["missing_since"].null_count,
        refused=work.done.refused,
        source_version=work.version,
        run_id=run_id or binding["run_id"],
        sync_time=now,
    )


def _remove(run: Run, binding: Row, uris: pa.ChunkedArray) -> int:
    """Removes those of the files that are there. Returns how many they are."""
    from jobs.bindings.moves import live_files
    from jobs.remove_files import RemoveFiles, remove_files

    whose = {"project": binding["project_name"], "dataset": binding["dataset_name"]}
    there = live_files(run, uris, **whose)["uri"].to_pylist() if len(uris) else []
    if there:
        run.progress.stage(f"{binding['source']}: removing {len(there):,} files", 70)
        asked = {"lake": run.lake.root, "project": whose["project"], "dataset": (whose["dataset"],), "uri": there}
        remove_files(run, RemoveFiles.model_validate(asked))
    return len(there)


def _refusals(run: Run, binding: Row, uris: pa.ChunkedArray) -> dict[str, str]:
    """Why files that were read are not there: reasons of `rejected`, by uri."""
    from jobs.bindings.moves import live_files
    from jobs.runtime.lake import select_rows
    from schemas.rejected import REJECTED

    whose = {"project": binding["project_name"], "dataset": binding["dataset_name"]}
    lacking = _without(pa.table({"uri": uris}), live_files(run, uris, **whose)["uri"])["uri"].to_pylist()
    if not lacking:
        return {}
    where = all_of(
        [
            equals("project_name", whose["project"]),
            equals("dataset_name", whose["dataset"]),
            equals("source", binding["source"]),
        ]
    )
    reasons = {
        json.loads(row["row"]).get("uri"): row["reason"]
        for row in select_rows(run.lake.log(REJECTED), ("reason", '"row"'), where)
    }
    return {uri: reasons.get(uri, UNREADABLE) for uri in lacking}


def _rows_gone(run: Run, good: DataFrame, binding: Row) -> tuple[int, pa.Array]:
    """How many rows a table has, and the files that came of rows that it has no more."""
    from pyspark.sql import functions as F

    from schemas.files import FILES

    whose = (F.col("project_name") == binding["project_name"]) & (F.col("dataset_name") == binding["dataset_name"])
    files = run.lake.read(FILES, run.lake.version(FILES)).where(whose & F.col("deleted_time").isNull())
    came = files.where(F.col("source") == binding["source"]).select("uri")
    rows = good.where(whose).select("uri")
    return rows.count(), _whole(came.join(rows, "uri", how="left_anti").toArrow()["uri"])


def _index_config(run: Run, binding: Row) -> IndexFiles:
    """How the source is read."""
    from jobs.index_files import IndexFiles

    options = {name: value for name, value in json.loads(binding["options"]).items() if name not in FILTERS}
    where = {"lake": run.lake.root, "project": binding["project_name"], "dataset": (binding["dataset_name"],)}
    return IndexFiles.model_validate({**where, "source": (binding["source"],), **options})


@contextmanager
def _failing(lake: Lake, binding: Row, done: dict[str, Synced], dry_run: bool) -> Iterator[None]:
    """Notes why a source could not be followed, where that is; after errors that people can act on the next follows."""
    try:
        yield
    except Exception as error:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        done[binding["binding_id"]] = _outcome(binding, reason=reason)
        if not dry_run:
            change_binding(lake, binding, reason=reason, state="Ready")
        if not isinstance(error, LakeAlbumError):
            raise


def _outcome(binding: Row, **found: Any) -> Synced:
    return Synced(binding["binding_id"], binding["source"], **found)


def _scope(binding: Row) -> Scope:
    return Scope(binding["project_name"], (binding["dataset_name"],))


def _without_moved(pictures: pa.Table, moved: pa.ChunkedArray) -> pa.Table:
    """The files but those that were only moved; what has a sidecar, or may be of a shot, is read even so."""
    sizes = Counter(pictures["shot_group"].to_pylist())
    is_alone = pa.array([sizes[group] == 1 for group in pictures["shot_group"].to_pylist()], pa.bool_())
    has_sidecar = pc.or_(pc.is_valid(pictures["takeout_uri"]), pc.is_valid(pictures["xmp_uri"]))
    is_moved = pc.is_in(pictures["uri"], value_set=_whole(moved))
    return pictures.filter(pc.invert(pc.and_(is_moved, pc.and_(is_alone, pc.invert(has_sidecar)))))


def _without(rows: pa.Table, uris: pa.ChunkedArray) -> pa.Table:
    return rows.filter(pc.invert(pc.is_in(rows["uri"], value_set=_whole(uris))))


def _whole(uris: pa.ChunkedArray) -> pa.Array:
    return uris.combine_chunks() if isinstance(uris, pa.ChunkedArray) else uris


@click.command("sync")
@click.option("--binding", multiple=True, help="Id or source of a binding; repeatable.  [default: all of the project]")
@click.option("--grace", help="How long files stay that vanished: 7d, 12h, 0d.  [default: 7d]")
@click.option(
    "--allow-mass-removal", is_flag=True, default=None, help="Take it for true that more than half of a source is gone."
)
@job_options
def command(given: dict[str, Any], as_json: bool, **own: Any) -> None:
    """Read again what changed in the sources that datasets follow (see `bind`)."""
    config = build_config(SyncBindings, given, own)
    done, run = sync_bindings(config)
    if as_json:
        ids = {"TaskId": run.task_id, "RunId": run.run_id} if run else {}
        counts = {"RowCounts": run.ledger.row_counts} if run else {}
        print(
            json.dumps({**ids, "Bindings": [_document(each) for each in done], **counts}, ensure_ascii=False, indent=2)
        )
    else:
        print("\n".join(map(_line, done)) or f"Project {config.project} follows no source: `lakealbum bind` lets it.")
    failed = [f"{each.source}: {each.reason}" for each in done if each.reason not in (None, STOPPED)]
    if failed:
        raise SourceError("\n".join(failed))


def _document(done: Synced) -> dict[str, Any]:
    return {pascal(name): value for name, value in asdict(done).items() if value is not None}


def _line(done: Synced) -> str:
    if done.reason:
        return f"{done.source}: {done.reason}"
    counts = {
        name: value for name, value in asdict(done).items() if isinstance(value, int) and value and name != "listed"
    }
    changes = ", ".join(f"{value:,} {name}" for name, value in counts.items()) or "nothing changed"
    return f"{done.source}: {done.listed:,} listed; {changes}"


if __name__ == "__main__":
    sys.exit(run_command(command))
