"""Photos and videos: what they say is stored, and their faces, portion by portion."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, SparkSession

from catalog.create import is_lake
from catalog.face_scans import pending_pictures, wanted_family
from catalog.lake import Lake as Catalog
from jobs.indexing.options import IndexFiles
from jobs.indexing.rows import take_in, take_in_frame
from jobs.people.face_models import DEFAULT_FAMILY, check_installed
from jobs.people.finding import fetch_looks, portions, recipe, send_models, store_faces, switch_faces, with_known
from jobs.runtime.by_bucket import column_names
from jobs.runtime.lake import Rows
from jobs.runtime.runs import Run
from jobs.runtime.session import has_executors, planned_for
from jobs.sources.sources import FACES, load_photos, read_photos
from schemas.errors import UsageError
from transforms.pictures.face_networks import FaceRecipe
from transforms.pictures.files import Reading
from transforms.pictures.listings import LISTING_SCHEMA

FEW_PICTURES = 1_000
"""Files up to which this machine reads them before Spark has started, and up to which Spark's plans are for few."""


def choose_faces(run: Run, config: IndexFiles) -> str | None:
    """The family of models by which faces are looked for; None where they are not. What is asked for is kept.

    Raises UsageError where faces are asked for and no dataset is, or the models are not installed.
    """
    dataset = config.only_dataset
    has_lake = dataset is not None and is_lake(run.lake.root)
    kept = wanted_family(Catalog(run.lake.root), config.project, str(dataset)) if has_lake else None
    is_wanted = kept is not None if config.faces is None else config.faces
    family = (config.face_models or kept or DEFAULT_FAMILY) if is_wanted else None
    if config.again and family is None:
        raise UsageError(f"--again: faces are not looked for in dataset {dataset!r}; --faces asks for it")
    if family is None and kept is None:
        return None
    if dataset is None:
        raise UsageError("--faces: exactly one --dataset is accepted, which then has its faces looked for")
    if family is not None:
        check_installed(family)
    if family != kept:
        switch_faces(run, project=config.project, dataset=dataset, family=family)
    return family if config.hashes and config.rows == "files" else None


def take_in_pictures(
    run: Run, config: IndexFiles, pictures: pa.Table, uri: str, *, family: str | None, stage: int
) -> None:
    """Reads photos and videos (LISTING_SCHEMA), and stores what they say, and their faces by a `family` of models.

    With faces, a portion of the pictures after the other is read and committed.
    """
    with _readers(run, pictures) as readers:
        if family is None:
            raw = readers.read(pictures, config.reading, root=uri)
            _take_in(run, config, raw, uri, rows=pictures.num_rows, stage=stage)
            return
        dataset, looks = str(config.only_dataset), _looks(config, family, readers)
        done = 0
        for portion in portions(pictures, parallelism=readers.parallelism):
            run.progress.stage(f"{uri}: {done:,} of {pictures.num_rows:,} files", stage)
            known = with_known(run, portion, project=config.project, dataset=dataset, model=looks.model)
            raw = run.cache(readers.read(known, replace(config.reading, faces=looks), root=uri))
            _take_in(run, config, raw, uri, rows=portion.num_rows, stage=stage)
            store_faces(run, fetch_looks(raw), listed=known, project=config.project, dataset=dataset, model=looks.model)
            done += portion.num_rows


def catch_up(run: Run, config: IndexFiles, family: str, *, among: pa.ChunkedArray | None = None) -> None:
    """Finds faces in the pictures of a dataset (`among` some, or all) that its models have not looked at."""
    dataset, model = str(config.only_dataset), recipe(family).model
    uris = pending_pictures(Catalog(run.lake.root), config.project, dataset, model)
    if among is not None:
        uris = uris.filter(pc.is_in(uris, value_set=among.combine_chunks()))
    listing = pa.table({"uri": uris, **{name: pa.nulls(len(uris), pa.string()) for name in LISTING_SCHEMA.names[1:]}})
    with _readers(run, listing) as readers:
        looks = _looks(config, family, readers)
        done = 0
        for portion in portions(listing, parallelism=readers.parallelism):
            run.progress.stage(f"faces: {done:,} of {len(uris):,} pictures", 70)
            raw = readers.read(portion, replace(config.reading, faces=looks), root=None)
            store_faces(run, fetch_looks(raw), listed=portion, project=config.project, dataset=dataset, model=model)
            done += portion.num_rows


@dataclass(frozen=True)
class _Readers:
    """What reads pictures: processes of this machine, or Spark's tasks where a session is given."""

    spark: SparkSession | None

    @property
    def parallelism(self) -> int:
        """How many pictures are read at the same time."""
        return self.spark.sparkContext.defaultParallelism if self.spark else os.cpu_count() or 1

    def read(self, pictures: pa.Table, reading: Reading, *, root: str | None) -> Rows:
        """The rows of pictures."""
        if self.spark is None:
            return load_photos(pictures, reading, root=root)
        return read_photos(self.spark, pictures, reading, root=root)


@contextmanager
def _readers(run: Run, pictures: pa.Table) -> Iterator[_Readers]:
    """Few pictures are read by this machine, unless tasks are of others: they may be the ones that see the pictures."""
    lake, rows = run.lake, pictures.num_rows
    if rows < min(FEW_PICTURES, lake.driver_rows) and not has_executors(lambda: lake.spark):
        yield _Readers(None)
        return
    with planned_for(lake.spark, rows=rows, few=FEW_PICTURES):
        yield _Readers(lake.spark)


def _looks(config: IndexFiles, family: str, readers: _Readers) -> FaceRecipe:
    """How faces are looked for, known to the readers."""
    looks = recipe(family, threads=config.faces_threads, device=config.faces_device)
    if readers.spark is not None:
        send_models(readers.spark, looks)
    return looks


def _take_in(run: Run, config: IndexFiles, raw: Rows, uri: str, *, rows: int, stage: int) -> None:
    """Stores what pictures say, but for their faces."""
    raw = raw.select([name for name in column_names(raw) if name not in FACES])
    if isinstance(raw, DataFrame):
        take_in_frame(run, config, raw, uri, rows=rows, stage=stage)
    else:
        take_in(run, config, raw, uri, stage=stage)
