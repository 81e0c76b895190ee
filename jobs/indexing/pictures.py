"""Photos and videos: what they say is stored, and their faces, portion by portion."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from catalog.create import is_lake
from catalog.face_scans import pending_pictures, wanted_family
from catalog.lake import Lake as Catalog
from jobs.indexing.options import IndexFiles
from jobs.indexing.rows import take_in_frame
from jobs.people.face_models import DEFAULT_FAMILY, check_installed
from jobs.people.finding import fetch_looks, portions, recipe, store_faces, switch_faces, with_known
from jobs.runtime.runs import Run
from jobs.runtime.session import planned_for
from jobs.sources.sources import FACES, read_photos
from schemas.errors import UsageError
from transforms.pictures.listings import LISTING_SCHEMA

FEW_PICTURES = 1_000
"""Files up to which reading them takes less time than planning for many."""


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
    spark = run.lake.spark
    with planned_for(spark, rows=pictures.num_rows, few=FEW_PICTURES):
        if family is None:
            raw = read_photos(spark, pictures, config.reading, root=uri)
            take_in_frame(run, config, raw, uri, rows=pictures.num_rows, stage=stage)
            return
        dataset = str(config.only_dataset)
        looks = recipe(spark, family, threads=config.faces_threads, device=config.faces_device)
        done = 0
        for portion in portions(pictures, parallelism=spark.sparkContext.defaultParallelism):
            run.progress.stage(f"{uri}: {done:,} of {pictures.num_rows:,} files", stage)
            known = with_known(run, portion, project=config.project, dataset=dataset, model=looks.model)
            raw = run.cache(read_photos(spark, known, replace(config.reading, faces=looks), root=uri))
            take_in_frame(run, config, raw.drop(*FACES), uri, rows=portion.num_rows, stage=stage)
            store_faces(run, fetch_looks(raw), listed=known, project=config.project, dataset=dataset, model=looks.model)
            done += portion.num_rows


def catch_up(run: Run, config: IndexFiles, family: str, *, among: pa.ChunkedArray | None = None) -> None:
    """Finds faces in the pictures of a dataset (`among` some, or all) that its models have not looked at."""
    spark, dataset = run.lake.spark, str(config.only_dataset)
    looks = recipe(spark, family, threads=config.faces_threads, device=config.faces_device)
    uris = pending_pictures(Catalog(run.lake.root), config.project, dataset, looks.model)
    if among is not None:
        uris = uris.filter(pc.is_in(uris, value_set=among.combine_chunks()))
    listing = pa.table({"uri": uris, **{name: pa.nulls(len(uris), pa.string()) for name in LISTING_SCHEMA.names[1:]}})
    with planned_for(spark, rows=len(uris), few=FEW_PICTURES):
        done = 0
        for portion in portions(listing, parallelism=spark.sparkContext.defaultParallelism):
            run.progress.stage(f"faces: {done:,} of {len(uris):,} pictures", 70)
            raw = read_photos(spark, portion, replace(config.reading, faces=looks))
            store_faces(
                run, fetch_looks(raw), listed=portion, project=config.project, dataset=dataset, model=looks.model
            )
            done += portion.num_rows
