"""Files that were moved: known by their content, and followed in every table that names them by uri.

files (the row under its new uri; a tombstone that names it under the old one) -> file_features, figures, and the
members of clusters. `file_places` follows `files` as ever.
"""

from __future__ import annotations

from pathlib import PurePosixPath

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from catalog.sql import all_of, equals
from jobs.bindings.planning import Plan
from jobs.runtime.commits import Committed, Step, apply_changes, retry_conflicts
from jobs.runtime.runs import EMBEDDED, Run
from schemas.contract import Contract
from schemas.figure_members import FIGURE_MEMBERS
from schemas.figures import FIGURES
from schemas.file_features import FILE_FEATURES
from schemas.files import FILES
from schemas.keys import DATASET_KEY
from schemas.lake import bucket_of
from schemas.similar_image_members import SIMILAR_IMAGE_MEMBERS
from transforms.pictures.contents import hash_contents
from transforms.tables.changes import ACTION

FOLLOWING = (FILE_FEATURES, FIGURES, SIMILAR_IMAGE_MEMBERS, FIGURE_MEMBERS)
"""Tables that name files by uri and are not computed anew from `files`."""
MOVES_SCHEMA = pa.schema([("uri", pa.string()), ("moved_to", pa.string())])
_HASHED_PER_TASK = 200


def find_moves(run: Run, plan: Plan, *, project: str, dataset: str) -> pa.Table:
    """The files of a dataset that are gone, or are others by now, and are new under another uri: MOVES_SCHEMA.

    The content decides, read of those new files alone that are of the size of one that is gone. Of files with the same
    content those of the same name are paired first, each once.
    """
    left = pa.concat_arrays([*plan.missing["uri"].chunks, *plan.changed["uri"].chunks, pa.array([], pa.string())])
    if not len(left) or not plan.new.num_rows:
        return MOVES_SCHEMA.empty_table()
    gone = live_files(run, project=project, dataset=dataset, uris=left)
    likely = plan.new.filter(pc.is_in(plan.new["size"], value_set=gone["size"].combine_chunks()))
    if not likely.num_rows:
        return MOVES_SCHEMA.empty_table()
    tasks = max(run.lake.spark.sparkContext.defaultParallelism, likely.num_rows // _HASHED_PER_TASK)
    uris = run.lake.spark.createDataFrame(likely.select(["uri"])).repartition(tasks)
    run.ledger.count("moves.compared", likely.num_rows)
    return pair_moves(gone, uris.transform(hash_contents).toArrow())


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


def live_files(run: Run, *, project: str, dataset: str, uris: pa.Array) -> pa.Table:
    """uri, size and content_hash of the files of a dataset that are there, and among some uris."""
    conditions = [
        equals("bucket", bucket_of(project, dataset, run.lake.settings.buckets)),
        equals("project_name", project),
        equals("dataset_name", dataset),
        "deleted_time IS NULL",
    ]
    names = ("uri", "size", "content_hash")
    batches = run.lake.scan(FILES, run.lake.version(FILES), names, condition=all_of(conditions))
    found = [batch.filter(pc.is_in(batch["uri"], value_set=uris)) for batch in batches]
    return pa.Table.from_batches(found, pa.schema([FILES.arrow_schema.field(name) for name in names]))


def move_files(run: Run, moves: pa.Table, *, project: str, dataset: str) -> None:
    """Gives files their new uris: each keeps its row, and with it its id, custom fields and what people said of it."""
    with run.few_or_many(run.lake.rows(FILES)):
        retry_conflicts(lambda: run.ledger.wrote(FILES, _move(run, moves, project, dataset)))
    run.ledger.count("files.moved", moves.num_rows)


def follow_moves(run: Run, *, project: str, dataset: str) -> None:
    """Brings the tables of FOLLOWING in step with files that were moved, by this run or one that was killed."""
    files = run.lake.read(FILES, run.lake.version(FILES)).where(_ours(project, dataset) & F.col("moved_to").isNotNull())
    moved = run.cache(files.select(*DATASET_KEY, "uri", "moved_to"))
    if moved.isEmpty():
        return
    for contract in FOLLOWING:
        weight = EMBEDDED if contract is FIGURES else 1
        with run.few_or_many(weight * run.lake.rows(contract)):
            retry_conflicts(lambda contract=contract: run.ledger.wrote(contract, _follow(run, contract, moved)))  # type: ignore[misc]


def _ours(project: str, dataset: str) -> Column:
    return (F.col("project_name") == project) & (F.col("dataset_name") == dataset)


def _move(run: Run, moves: pa.Table, project: str, dataset: str) -> Committed:
    step = Step.pin(run.lake, FILES, run.run_id, dry_run=run.dry_run)
    current = step.current().where(_ours(project, dataset))
    asked = run.lake.spark.createDataFrame(moves).withColumnRenamed("moved_to", "_to")
    old = current.where(F.col("deleted_time").isNull()).join(asked, "uri", how="inner")
    there = current.select(F.col("uri").alias("_to"), F.lit("update").alias(ACTION))
    moved = (
        old.join(there, "_to", how="left")
        .withColumn(ACTION, F.coalesce(ACTION, F.lit("insert")))
        .withColumns({"uri": F.col("_to"), "update_time": run.clock()})
    )
    left = old.withColumns(
        {
            "object_id": F.sha2(F.concat_ws("\n", "object_id", "_to"), 256),
            "deleted_time": run.clock(),
            "update_time": run.clock(),
            "moved_to": F.col("_to"),
            ACTION: F.lit("update"),
        }
    )
    columns = (*FILES.names, ACTION)
    return apply_changes(step, run.stamp(moved.unionByName(left)).select(*columns))


def _follow(run: Run, contract: Contract, moved: DataFrame) -> Committed:
    step = Step.pin(run.lake, contract, run.run_id, dry_run=run.dry_run)
    current = step.current()
    old = current.join(moved, [*DATASET_KEY, "uri"], how="inner")
    new = run.stamp(old.withColumn("uri", F.col("moved_to")))
    if "uri" not in contract.key:
        return apply_changes(step, new.withColumn(ACTION, F.lit("update")).select(*contract.names, ACTION))
    fresh = new.join(current.select(*contract.key), list(contract.key), how="left_anti")
    rows = fresh.withColumn(ACTION, F.lit("insert")).select(*contract.names, ACTION)
    return apply_changes(
        step, rows.unionByName(old.withColumn(ACTION, F.lit("delete")).select(*contract.names, ACTION))
    )
