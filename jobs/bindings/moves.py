"""Files that were moved: known by their content, and followed in every table that names them by uri.

files (the row under its new uri; a tombstone that names it under the old one) -> file_features, figures,
face_scans, and the members of clusters. `file_places` follows `files` as ever.
"""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import PurePosixPath

import pyarrow as pa
import pyarrow.compute as pc

from catalog.sql import all_of, equals
from jobs.bindings.planning import Plan
from jobs.runtime.commits import Step, apply_changes, retry_conflicts
from jobs.runtime.runs import Run
from schemas.contract import TIMESTAMP, Contract
from schemas.face_scans import FACE_SCANS
from schemas.figure_members import FIGURE_MEMBERS
from schemas.figures import FIGURES
from schemas.file_features import FILE_FEATURES
from schemas.files import FILES
from schemas.keys import FILE_KEY
from schemas.lake import bucket_of
from schemas.similar_image_members import SIMILAR_IMAGE_MEMBERS
from transforms.pictures.contents import CONTENT_SCHEMA, hash_batches, hash_contents
from transforms.tables.actions import ACTION
from transforms.tables.keyed import anti_join, inner_join, is_among, union_by_name, with_action, with_columns

FOLLOWING = (FILE_FEATURES, FIGURES, FACE_SCANS, SIMILAR_IMAGE_MEMBERS, FIGURE_MEMBERS)
"""Tables that name files by uri and are not computed anew from `files`."""
MOVES_SCHEMA = pa.schema([("uri", pa.string()), ("moved_to", pa.string())])
HASHED_HERE = 256 << 20
"""Bytes of new files that this process reads sooner than Spark starts to."""
_HASHED_PER_TASK = 200


def find_moves(run: Run, plan: Plan, *, project: str, dataset: str) -> pa.Table:
    """The files of a dataset that are gone, or are others by now, and are new under another uri: MOVES_SCHEMA.

    The content decides, read of those new files alone that are of the size of one that is gone. Of files with the same
    content those of the same name are paired first, each once.
    """
    left = pa.chunked_array([*plan.missing["uri"].chunks, *plan.changed["uri"].chunks], pa.string())
    if not len(left) or not plan.new.num_rows:
        return MOVES_SCHEMA.empty_table()
    gone = live_files(run, left, project=project, dataset=dataset)
    likely = plan.new.filter(pc.is_in(plan.new["size"], value_set=pc.unique(gone["size"])))
    run.ledger.count("moves.compared", run.ledger.row_counts.get("moves.compared", 0) + likely.num_rows)
    return pair_moves(gone, _hash(run, likely))


def _hash(run: Run, files: pa.Table) -> pa.Table:
    """uri and content_hash of listed files: read by this process where they are small, else by Spark's workers."""
    uris = files.select(["uri"])
    if (pc.sum(files["size"]).as_py() or 0) <= HASHED_HERE:
        return pa.Table.from_batches(hash_batches(uris.to_batches()), CONTENT_SCHEMA)
    spark = run.lake.spark
    tasks = max(spark.sparkContext.defaultParallelism, uris.num_rows // _HASHED_PER_TASK)
    return run.lake.frame(uris).repartition(tasks).transform(hash_contents).toArrow()


def pair_moves(gone: pa.Table, new: pa.Table) -> pa.Table:
    """MOVES_SCHEMA of files that are gone and new ones (both uri, content_hash) of the same content."""
    there, here = _by_content(gone), _by_content(new)
    moves: list[tuple[str, str]] = []
    for content in sorted(there.keys() & here.keys()):
        old, fresh = there[content], here[content]
        names = {PurePosixPath(uri).name: uri for uri in reversed(old)}
        paired = {names[name]: uri for uri in reversed(fresh) if (name := PurePosixPath(uri).name) in names}
        rest = [uri for uri in fresh if uri not in paired.values()]
        moves += [*paired.items(), *zip([uri for uri in old if uri not in paired], rest, strict=False)]
    columns = [[move[side] for move in sorted(moves)] for side in (0, 1)]
    return pa.table([pa.array(column, pa.string()) for column in columns], schema=MOVES_SCHEMA)


def _by_content(files: pa.Table) -> dict[str, list[str]]:
    """The uris of files by their content, in order; those whose content is not known are left out."""
    found: dict[str, list[str]] = {}
    for uri, content in sorted(zip(*files.select(["uri", "content_hash"]).to_pydict().values(), strict=True)):
        if content is not None:
            found.setdefault(content, []).append(uri)
    return found


def live_files(run: Run, uris: pa.ChunkedArray, *, project: str, dataset: str) -> pa.Table:
    """FILE_KEY, size and content_hash of those files of a dataset that are there, among some uris."""
    keys = keys_of(run, uris, project=project, dataset=dataset)
    columns = (*FILE_KEY, "size", "content_hash", "deleted_time")
    found = run.lake.load_keys(FILES, run.lake.version(FILES), keys, on=FILE_KEY, columns=columns)
    return found.filter(pc.is_null(found["deleted_time"])).drop_columns(["deleted_time"])


def keys_of(run: Run, uris: pa.ChunkedArray, *, project: str, dataset: str) -> pa.Table:
    """FILE_KEY of uris of a dataset."""
    bucket = pa.scalar(bucket_of(project, dataset, run.lake.settings.buckets), pa.int32())
    same = {"bucket": bucket, "project_name": pa.scalar(project), "dataset_name": pa.scalar(dataset)}
    return with_columns(pa.table({"uri": uris}), same).select(FILE_KEY)


def move_files(run: Run, moves: pa.Table, *, project: str, dataset: str) -> None:
    """Gives files their new uris: each keeps its row, and with it its id, custom fields and what people said of it."""
    old = keys_of(run, moves["uri"], project=project, dataset=dataset)
    new = keys_of(run, moves["moved_to"], project=project, dataset=dataset)

    def commit() -> None:
        step = Step.pin(run.lake, FILES, run.run_id, dry_run=run.dry_run)
        there = run.lake.load_keys(FILES, step.base, old, on=FILE_KEY, columns=FILES.names)
        taken = run.lake.load_keys(FILES, step.base, new, on=FILE_KEY, columns=FILE_KEY)
        targets = pa.table({**{name: old[name] for name in FILE_KEY}, "_to": moves["moved_to"]})
        there = inner_join(there.filter(pc.is_null(there["deleted_time"])), targets, on=FILE_KEY, columns=("_to",))
        run.ledger.wrote(FILES, apply_changes(step, _moved(run, there, taken)))

    retry_conflicts(commit)
    run.ledger.count("files.moved", run.ledger.row_counts.get("files.moved", 0) + moves.num_rows)


def _moved(run: Run, files: pa.Table, taken: pa.Table) -> pa.Table:
    """What becomes of rows of `files` that go to the uri `_to`: with ACTION, an update where that is `taken`."""
    now = pa.scalar(run.now, TIMESTAMP)
    moved = with_columns(files, {"uri": files["_to"], "update_time": now})
    is_taken = pa.array(is_among(moved, taken, on=FILE_KEY))
    moved = with_columns(moved, {ACTION: pc.if_else(is_taken, "update", "insert")})
    ids = zip(files["object_id"].to_pylist(), files["_to"].to_pylist(), strict=True)
    left = {
        "object_id": pa.array([hashlib.sha256("\n".join(each).encode()).hexdigest() for each in ids], pa.string()),
        "deleted_time": now,
        "update_time": now,
        "moved_to": files["_to"],
        ACTION: pa.scalar("update"),
    }
    return run.stamp(union_by_name(moved, with_columns(files, left)).drop_columns(["_to"]))


def follow_moves(run: Run, *, project: str, dataset: str) -> None:
    """Brings the tables of FOLLOWING in step with files that were moved, by this run or one that was killed."""
    bucket = bucket_of(project, dataset, run.lake.settings.buckets)
    whose = (equals("bucket", bucket), equals("project_name", project), equals("dataset_name", dataset))
    ours = all_of([*whose, "moved_to IS NOT NULL"])
    moved = run.lake.load(FILES, run.lake.version(FILES), (*FILE_KEY, "moved_to"), condition=ours)
    for contract in FOLLOWING if len(moved) else ():
        retry_conflicts(partial(_follow, run, contract, moved))


def _follow(run: Run, contract: Contract, moved: pa.Table) -> None:
    step = Step.pin(run.lake, contract, run.run_id, dry_run=run.dry_run)
    old = run.lake.load_keys(contract, step.base, moved, on=FILE_KEY, columns=contract.names)
    targets = inner_join(old.select(FILE_KEY), moved, on=FILE_KEY, columns=("moved_to",))["moved_to"]
    new = run.stamp(with_columns(old, {"uri": targets}))
    if "uri" not in contract.key:
        changes = with_action(new, "update")
    else:
        there = run.lake.load_keys(contract, step.base, new, on=contract.key, columns=contract.key)
        fresh = anti_join(new, there, on=contract.key)
        changes = union_by_name(with_action(fresh, "insert"), with_action(old, "delete"))
    run.ledger.wrote(contract, apply_changes(step, changes))
