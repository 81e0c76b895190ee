"""A folder of pictures that is followed: moves, new and changed files, files that went."""

from __future__ import annotations

import json
from collections import Counter

import pyarrow as pa
import pyarrow.compute as pc

from catalog.lake import Lake, Row
from catalog.moves import carry_marks
from catalog.sql import all_of, equals
from jobs.bindings.moves import find_moves, follow_moves, live_files, move_files
from jobs.bindings.planning import UNREADABLE
from jobs.bindings.storing import index_config, remove_live
from jobs.bindings.work import Seen, Work, listing_after, scope_of, whole, without
from jobs.indexing.pictures import catch_up, choose_faces, take_in_pictures
from jobs.places.locating import refresh_file_places
from jobs.runtime.commits import retry_conflicts
from jobs.runtime.lake import select_rows
from jobs.runtime.runs import Run
from schemas.rejected import REJECTED
from transforms.pictures.listings import list_touched


def sync_folder(run: Run, work: Work) -> Seen:
    """Moves, reads and removes files. Returns what the listing is then."""
    plan, binding = work.plan, work.binding
    whose = {"project": binding["project_name"], "dataset": binding["dataset_name"]}
    run.progress.stage(f"{binding['source']}: files that were moved", 10)
    moves = find_moves(run, plan, **whose)
    if moves.num_rows:
        if not run.dry_run:
            carry_marks(Lake(run.lake.root), scope_of(binding), dict(zip(*moves.to_pydict().values(), strict=True)))
        move_files(run, moves, **whose)
    follow_moves(run, **whose)
    gone = without(plan.expired, moves["uri"])
    changed = plan.to_read["uri"].to_pylist()
    pictures = list_touched(work.uris, changed=changed, gone=plan.expired["uri"].to_pylist())
    pictures = _without_moved(pictures, moves["moved_to"])
    index = index_config(run, binding)
    family = choose_faces(run, index)
    if pictures.num_rows:
        run.progress.stage(f"{binding['source']}: reading {pictures.num_rows:,} files", 20)
        take_in_pictures(run, index, pictures, binding["source"], family=family, stage=60)
    if family and work.faces:
        catch_up(run, index, family, among=work.uris)
    work.done.removed = remove_live(run, binding, gone["uri"])
    run.progress.stage(f"{binding['source']}: finding places", 90)
    retry_conflicts(lambda: refresh_file_places(run))
    refusals = {} if run.dry_run else _refusals(run, binding, pictures["uri"])
    work.done.new, work.done.moved = plan.new.num_rows - moves.num_rows, moves.num_rows
    work.done.missing = without(plan.missing, moves["uri"]).num_rows - gone.num_rows
    return listing_after(plan, moved=moves["uri"], refusals=refusals)


def _refusals(run: Run, binding: Row, uris: pa.ChunkedArray) -> dict[str, str]:
    """Why files that were read are not there: reasons of `rejected`, by uri."""
    whose = {"project": binding["project_name"], "dataset": binding["dataset_name"]}
    lacking = without(pa.table({"uri": uris}), live_files(run, uris, **whose)["uri"])["uri"].to_pylist()
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


def _without_moved(pictures: pa.Table, moved: pa.ChunkedArray) -> pa.Table:
    """The files but those that were only moved; what has a sidecar, or may be of a shot, is read even so."""
    sizes = Counter(pictures["shot_group"].to_pylist())
    is_alone = pa.array([sizes[group] == 1 for group in pictures["shot_group"].to_pylist()], pa.bool_())
    has_sidecar = pc.or_(pc.is_valid(pictures["takeout_uri"]), pc.is_valid(pictures["xmp_uri"]))
    is_moved = pc.is_in(pictures["uri"], value_set=whole(moved))
    return pictures.filter(pc.invert(pc.and_(is_moved, pc.and_(is_alone, pc.invert(has_sidecar)))))
