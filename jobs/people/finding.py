"""Faces straight from pictures: whether a dataset wants them, which pictures are to be looked at, and what is stored.

figures -> face_scans. A picture is written down as looked at after its faces: killed between the two, it is looked at
again, and its faces have the ids that they had.
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from catalog.erasures import erased_places
from catalog.lake import Lake as Catalog
from catalog.lake import Scope
from catalog.sql import all_of, equals
from jobs.people.face_models import installed, read_family
from jobs.runtime.commits import Step, apply_changes, put_rows, retry_conflicts
from jobs.runtime.lake import Rows
from jobs.runtime.runs import Run, user_name
from schemas.contract import TIMESTAMP
from schemas.datasets import DATASETS
from schemas.face_scans import FACE_SCANS
from schemas.figures import FIGURES, FOUND_ID
from schemas.files import FILES
from schemas.keys import FILE_KEY
from schemas.lake import bucket_of
from transforms.people.found_faces import LOOKED_AT, flatten_faces, is_erased, name_faces
from transforms.pictures.face_networks import DetectorRecipe, Device, EmbedderRecipe, FaceRecipe
from transforms.pictures.files import KNOWN
from transforms.pictures.listings import cut_listing
from transforms.tables.frames import from_frame
from transforms.tables.keyed import diff_rows, inner_join, left_join, semi_join, with_columns
from transforms.tables.source_columns import REASON

PICTURES_PER_TASK = 500
"""Some minutes' work, so that a task that is lost costs little."""
MOST_PICTURES = 20_000
"""Pictures that are looked at between two commits; their faces come to this process: some 50 MB."""
LOOKED, FOUND, ERASED = "faces.pictures", "faces.found", "faces.erased"
"""Stages: pictures that were looked at, faces that were found, and those of them that stay out."""

LOOKS = ("uri", "content_hash", "perceptual_hash", "perceptual_hash_quality", "faces")
"""Columns of pictures that were looked at."""


def send_models(spark: SparkSession, looks: FaceRecipe) -> None:
    """Sends workers that do not see this machine's files the models by which they look for faces, each once."""
    for part in (looks.detector, looks.embedder):
        spark.sparkContext.addFile(part.path)


def recipe(family: str, *, threads: int = 1, device: Device = "cpu") -> FaceRecipe:
    """How this machine looks for faces by a family. Raises UsageError where its files are missing, or were altered."""
    model = read_family(family)
    detector, embedder = model.detector, model.embedder
    paths = [str(installed(family, file)) for file in model.files.both]
    digests = [file.sha256 for file in model.files.both]
    return FaceRecipe(
        model=model.model,
        detector=DetectorRecipe(
            paths[0], digests[0], detector.kind, detector.side, detector.least_score, detector.overlap
        ),
        embedder=EmbedderRecipe(paths[1], digests[1], embedder.colours, embedder.mean, embedder.deviation),
        length=embedder.length,
        threads=threads,
        device=device,
    )


def switch_faces(run: Run, *, project: str, dataset: str, family: str | None) -> None:
    """Makes a dataset want faces, or not; who did, and by which run, is kept if that is new."""
    row = dict.fromkeys(DATASETS.names) | {
        "project_name": project,
        "dataset_name": dataset,
        "faces": family,
        "faces_set_by": user_name(),
        "faces_run_id": run.run_id,
        "create_time": run.now,
        "update_time": run.now,
    }
    wanted = pa.Table.from_pylist([row], schema=pa.schema([(c.name, c.type) for c in DATASETS.columns]))

    def commit() -> None:
        step = Step.pin(run.lake, DATASETS, run.run_id, dry_run=run.dry_run)
        where = all_of([equals("project_name", project), equals("dataset_name", dataset)])
        current = run.lake.load(DATASETS, step.base, condition=where)
        keep = ("create_time", "template_id", "description")
        run.ledger.wrote(DATASETS, put_rows(step, wanted, current, compare=("faces",), keep=keep))

    retry_conflicts(commit)


def portions(pictures: pa.Table, *, parallelism: int) -> Iterator[pa.Table]:
    """Pictures (LISTING_SCHEMA) in portions, each committed before the next; files of a shot stay together."""
    return cut_listing(pictures, size=min(MOST_PICTURES, PICTURES_PER_TASK * parallelism))


def with_known(run: Run, pictures: pa.Table, *, project: str, dataset: str, model: str) -> pa.Table:
    """Pictures (`uri`) with KNOWN: the content of which a model's faces are there."""
    keys = _keys(run, pictures["uri"], project, dataset)
    columns = ("uri", "content_hash", "model")
    scans = run.lake.load_keys(FACE_SCANS, run.lake.version(FACE_SCANS), keys, on=FILE_KEY, columns=columns)
    scans = scans.filter(pc.equal(scans["model"], model))
    known = dict(zip(scans["uri"].to_pylist(), scans["content_hash"].to_pylist(), strict=True))
    values = [known.get(uri) for uri in pictures["uri"].to_pylist()]
    return with_columns(pictures, {KNOWN: pa.array(values, pa.string())})


def fetch_looks(pictures: Rows) -> pa.Table:
    """What `store_faces` wants of pictures (rows of read_photos), those that could be read."""
    if not isinstance(pictures, DataFrame):
        readable = pc.and_(pc.is_null(pictures[REASON]), pc.equal(pictures["media_type"], "image"))
        return pictures.filter(readable).select(LOOKS)
    readable = pictures.where(F.col(REASON).isNull() & (F.col("media_type") == "image"))
    return from_frame(readable.select(*LOOKS))


def store_faces(run: Run, rows: pa.Table, *, listed: pa.Table, project: str, dataset: str, model: str) -> None:
    """Stores the faces of pictures that were looked at (LOOKS, read for `listed`), and that they were.

    What was found in them before by another model, or in another content, goes; a face that is where one was keeps its
    id. Faces that were erased stay out.
    """
    if KNOWN in listed.column_names:
        known_of = left_join(rows.select(["uri"]), listed, on=("uri",), columns=(KNOWN,))[KNOWN]
        rows = rows.filter(pc.invert(pc.fill_null(pc.equal(rows["content_hash"], known_of), False)))
    files = _files_of(run, rows["uri"], project, dataset)
    seen = inner_join(rows, files, on=("uri",), columns=(*FILE_KEY[:3], "object_id", "image_width", "image_height"))
    seen = with_columns(seen, {"model": pa.scalar(model)}).select(LOOKED_AT.names).cast(LOOKED_AT)
    counts = {"faces": 0, "erased": 0}

    def commit() -> None:
        step = Step.pin(run.lake, FIGURES, run.run_id, dry_run=run.dry_run)
        known = run.lake.load_keys(FIGURES, step.base, seen, on=FILE_KEY, columns=FIGURES.names)
        known = known.filter(pc.starts_with(known["figure_id"], FOUND_ID))
        faces = flatten_faces(seen)
        erased = is_erased(faces, erased_places(Catalog(run.lake.root), Scope(project, (dataset,))))
        counts.update(faces=len(faces) - int(erased.sum()), erased=int(erased.sum()))
        named = name_faces(faces.filter(pa.array(~erased)), known=known)
        wanted = run.stamp(_rows(named, run))
        compare = [name for name in FIGURES.names if name not in ("update_time", "run_id")]
        changes = diff_rows(wanted, current=known, key=FIGURES.key, compare=compare)
        run.ledger.wrote(FIGURES, apply_changes(step, changes))
        _note_scans(run, seen, named)

    retry_conflicts(commit)
    for stage, number in ((LOOKED, len(seen)), (FOUND, counts["faces"]), (ERASED, counts["erased"])):
        if number or stage is LOOKED:
            run.ledger.count(stage, run.ledger.row_counts.get(stage, 0) + number)


def _rows(named: pa.Table, run: Run) -> pa.Table:
    """Faces as rows of `figures`, without run_id."""
    schema = FIGURES.computed_schema
    given = with_columns(named, {"update_time": pa.scalar(run.now, TIMESTAMP)})
    absent = {
        name: pa.nulls(len(given), schema.field(name).type) for name in schema.names if name not in given.column_names
    }
    return with_columns(given, absent).select(schema.names).cast(schema)


def _note_scans(run: Run, seen: pa.Table, named: pa.Table) -> None:
    """Writes down which pictures were looked at."""
    found = named.group_by(["uri"]).aggregate([("figure_id", "count")])
    number = dict(zip(found["uri"].to_pylist(), found["figure_id_count"].to_pylist(), strict=True))
    faces = pa.array([number.get(uri, 0) for uri in seen["uri"].to_pylist()], pa.int32())
    rows = with_columns(seen.drop_columns(["faces"]), {"faces": faces, "update_time": pa.scalar(run.now, TIMESTAMP)})
    rows = run.stamp(rows.select(FACE_SCANS.computed_schema.names).cast(FACE_SCANS.computed_schema))

    def commit() -> None:
        step = Step.pin(run.lake, FACE_SCANS, run.run_id, dry_run=run.dry_run)
        current = run.lake.load_keys(FACE_SCANS, step.base, rows, on=FILE_KEY, columns=FACE_SCANS.names)
        compare = ("object_id", "content_hash", "model", "faces")
        run.ledger.wrote(FACE_SCANS, put_rows(step, rows, current, compare=compare, keep=()))

    retry_conflicts(commit)


def _files_of(run: Run, uris: pa.ChunkedArray, project: str, dataset: str) -> pa.Table:
    """The files of uris that are there, and stand for their shots."""
    columns = (*FILE_KEY, "object_id", "image_width", "image_height", "shot_id", "deleted_time")
    keys = _keys(run, uris, project, dataset)
    files = run.lake.load_keys(FILES, run.lake.version(FILES), keys, on=FILE_KEY, columns=columns)
    stands = pc.or_(pc.is_null(files["shot_id"]), pc.fill_null(pc.equal(files["shot_id"], files["uri"]), False))
    return semi_join(files.filter(pc.and_(stands, pc.is_null(files["deleted_time"]))), keys, on=FILE_KEY)


def _keys(run: Run, uris: pa.ChunkedArray, project: str, dataset: str) -> pa.Table:
    bucket = pa.scalar(bucket_of(project, dataset, run.lake.settings.buckets), pa.int32())
    same = {"bucket": bucket, "project_name": pa.scalar(project), "dataset_name": pa.scalar(dataset)}
    return with_columns(pa.table({"uri": uris}), same).select(FILE_KEY)
