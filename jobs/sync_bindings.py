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
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click
from pydantic import Field

from catalog.bindings import INCREMENTAL, change_binding, get_binding, list_bindings, read_listing, record_listing
from catalog.commands.output import print_document
from catalog.imm import pascal
from catalog.lake import Lake, Row, Scope
from jobs.bindings.work import Seen, Synced, Work, listing_after, look_at_folder, look_at_table, outcome, scope_of
from jobs.cli.main import run as run_command
from jobs.cli.options import JobConfig, build_config, job_options
from schemas.errors import LakeAlbumError, NotFound, SourceError, UsageError

if TYPE_CHECKING:
    from jobs.runtime.runs import Run

STOPPED = "it is stopped"
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


def sync_bindings(config: SyncBindings) -> tuple[list[Synced], Run | None]:
    """Brings datasets in step with the sources that they follow. Returns what was done of each, and the run, if any.

    A source that cannot be read is left as it is, and so are its files: the others are done, `Synced.reason` says why.
    """
    lake = Lake(config.lake)
    scope = Scope(config.project, config.dataset)
    names = dict.fromkeys(config.binding)
    bindings = [get_binding(lake, scope, name) for name in names] if names else list_bindings(lake, scope)
    if config.dataset and not bindings:
        following = sorted({binding["dataset_name"] for binding in list_bindings(lake, Scope(config.project, ()))})
        raise UsageError(
            f"no dataset of {', '.join(config.dataset)} follows a source; of project {config.project!r} "
            f"{', '.join(following) or 'none'} does"
        )
    now = datetime.now(UTC)
    done: dict[str, Synced] = {}
    work: list[Work] = []
    for binding in bindings:
        done[binding["binding_id"]] = outcome(binding)
        if binding["state"] == "Stopped":
            done[binding["binding_id"]].reason = STOPPED
            continue
        with _failing(lake, binding, done, config.dry_run):
            found = _look(lake, config, binding, now)
            done[binding["binding_id"]] = found.done
            if found.needs_run:
                work.append(found)
            elif not config.dry_run:
                _record(lake, found, listing_after(found.plan), now)
    run = _do(lake, config, work, done, now) if work else None
    return list(done.values()), run


def _look(lake: Lake, config: SyncBindings, binding: Row, now: datetime) -> Work:
    """What there is to do for a source."""
    known = read_listing(lake, binding)
    if json.loads(binding["options"])["format"] == "photos":
        allowed = config.allow_mass_removal
        return look_at_folder(lake, binding, known, now=now, grace=config.patience, allow_mass_removal=allowed)
    return look_at_table(binding, known, now=now, grace=config.patience)


def _do(lake: Lake, config: SyncBindings, work: list[Work], done: dict[str, Synced], now: datetime) -> Run:
    """Does what there is to do, in one run."""
    from jobs.bindings.folders import sync_folder  # they import Spark, which few syncs need
    from jobs.bindings.tables import sync_table
    from jobs.runtime.runs import run_job

    allowed = config.allow_mass_removal
    with run_job(config, job="sync-bindings", task_type="BindingSync") as run:
        for each in work:
            with _failing(lake, each.binding, done, config.dry_run):
                if not config.dry_run:
                    each.binding = change_binding(lake, each.binding, state="Running")
                if each.version is None:
                    seen = sync_folder(run, each)
                else:
                    seen = sync_table(run, each, now=now, grace=config.patience, allow_mass_removal=allowed)
                if not config.dry_run:
                    _record(lake, each, seen, now, run_id=run.run_id)
    return run


def _record(lake: Lake, work: Work, seen: Seen, now: datetime, *, run_id: str | None = None) -> None:
    """Writes down what was listed, and that all of it was read."""
    binding = get_binding(
        lake, scope_of(work.binding), work.binding["binding_id"]
    )  # it may have been stopped meanwhile
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


@contextmanager
def _failing(lake: Lake, binding: Row, done: dict[str, Synced], dry_run: bool) -> Iterator[None]:
    """Notes why a source could not be followed, where that is; after errors that people can act on the next follows."""
    try:
        yield
    except Exception as error:
        from jobs.runtime.failures import as_ours, reason_of  # it imports Spark, as `_do` does

        ours = as_ours(error) or error  # a worker's is wrapped by Spark
        reason = reason_of(ours)
        done[binding["binding_id"]] = outcome(binding, reason=reason)
        if not dry_run:
            with suppress(NotFound):  # it was deleted meanwhile
                change_binding(lake, binding, reason=reason, state="Ready")
        if not isinstance(ours, LakeAlbumError):
            raise


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
        print_document({**ids, "Bindings": [_document(each) for each in done], **(run.told() if run else {})})
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
