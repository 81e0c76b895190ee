"""Job: index. Brings files, or figures, from sources into the lake, and locates them.

source -> rejected, datasets, files, file_features (-> figures, face_scans) -> file_places
source -> rejected, datasets, figures
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from functools import partial, reduce
from typing import Any, Literal
from urllib.parse import unquote

import click
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, model_validator
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from catalog.commands.arguments import pairs
from catalog.create import is_lake
from catalog.face_scans import pending_pictures, wanted_family
from catalog.lake import Lake as Catalog
from jobs.cli.main import run as run_command
from jobs.cli.options import JobConfig, Sources, build_config, job_options
from jobs.people.erasures import read_erased
from jobs.people.face_models import DEFAULT_FAMILY, check_installed, read_family
from jobs.people.finding import fetch_looks, portions, recipe, store_faces, switch_faces, with_known
from jobs.people.waiting import WAITING, count_waiting
from jobs.places.locating import refresh_file_places
from jobs.runtime.commits import retry_conflicts
from jobs.runtime.runs import Run, print_result, run_job
from jobs.runtime.session import planned_for_few_rows
from jobs.sources.intake import Settle, count_not_taken, count_verdicts, put
from jobs.sources.sources import (
    FACES,
    SMALL_SOURCE,
    Format,
    detect_format,
    list_photos,
    read_photos,
    read_source,
    source_bytes,
)
from schemas.contract import Contract
from schemas.datasets import DATASETS
from schemas.errors import UsageError
from schemas.figures import FIGURES
from schemas.file_features import FEATURES, FILE_FEATURES
from schemas.files import FILES
from schemas.locations import absolute_uri
from schemas.rejected import REJECTED
from schemas.settings import LakeSettings
from transforms.people.erasures import drop_erased, refuse_erased
from transforms.pictures.evidence import Prefer
from transforms.pictures.face_networks import Device
from transforms.pictures.files import BROKEN_PIXELS, Reading
from transforms.pictures.listings import LISTING_SCHEMA, Listing
from transforms.pictures.perceptual_hashes import settle_features
from transforms.sources.imm import figures_from_imm, from_imm
from transforms.sources.rows import accepted, judge_figures, judge_files, refused
from transforms.tables.frames import from_frame
from transforms.tables.source_columns import map_columns, untold_columns

FEW_PICTURES = 1_000
"""Files up to which reading them takes less time than planning for many."""
NO_CHANGE = frozenset({"object_id", "source", "create_time", "update_time", "run_id"})
"""Columns of a file in which a difference alone is no change."""
UNMATCHED = "sidecars.unmatched"
"""The stage that counts sidecars that fit no file."""
SHOWN_NAMES = 20


class IndexFiles(JobConfig):
    """What `index` can be asked."""

    source: Sources = Field(default=(), description="files, directories or tables to read")
    rows: Literal["files", "figures"] = Field(default="files", description="what a row of the source is")
    format: Format | None = Field(default=None, description="format of the source; detected where not given")
    map: dict[str, str] = Field(default={}, description="source column -> field of the lake, dots reach into structs")
    time_is: Literal["offset", "instant", "local"] | None = Field(default=None, description="what times mean")
    media_type: Literal["image", "video"] | None = Field(default=None, description="what files are that do not tell")
    hashes: bool = Field(default=True, description="read files whole: content hashes, thumbnails, image scores")
    turned: bool = Field(default=False, description="also hash the mirrored and rotated forms of photos")
    name_times: bool = Field(default=True, description="take dates from names of photos, where nothing else tells")
    prefer: Prefer = Field(default="embedded", description="whom to believe: the file, or Google Takeout's sidecar")
    faces: bool | None = Field(default=None, description="find faces; as the dataset has it where not given")
    face_models: str | None = Field(default=None, description="by which models; as the dataset has it")
    faces_device: Device = Field(default="cpu", description="where the models run: cpu or cuda")
    faces_threads: int = Field(default=1, ge=1, le=64, description="threads of a task that looks for faces")
    again: bool = Field(default=False, description="find faces in pictures that are there, where the models' are not")
    buckets: int = Field(default=16, ge=16, le=1024, description="partitions of a lake that is made now")
    language: str = Field(default="en", description="language of addresses in a lake that is made now")
    time_zone: str = Field(default="UTC", description="zone of instants that lie nowhere, in a lake made now")
    nearest_limit_m: int = Field(default=LakeSettings.nearest_limit_m, description="limit, in a lake made now")

    @model_validator(mode="after")
    def _turned_forms_need_pixels(self) -> IndexFiles:
        if self.turned and not self.hashes:
            raise ValueError("turned forms are hashed with the others: --turned without --no-hashes is accepted")
        return self

    @model_validator(mode="after")
    def _faces_need_pictures(self) -> IndexFiles:
        if not (self.source or self.again or self.faces is False):
            raise ValueError("a SOURCE must be given; --again and --no-faces may stand without one")
        if (self.faces or self.again) and not self.hashes:
            raise ValueError("faces need whole files: --faces and --again without --no-hashes are accepted")
        if (self.faces or self.again) and self.rows == "figures":
            raise ValueError("rows that are figures have no pictures: --faces and --again are for --rows files")
        if self.again and self.faces is False:
            raise ValueError("--again is about faces: it is not accepted with --no-faces")
        if self.face_models is not None:
            read_family(self.face_models)
        return self

    @property
    def only_dataset(self) -> str | None:
        """The dataset of rows that name none."""
        if len(self.dataset) > 1:
            raise UsageError(f"--dataset: one is accepted by index, not {len(self.dataset)}")
        return self.dataset[0] if self.dataset else None

    @property
    def reading(self) -> Reading:
        """How photos are read."""
        return Reading(self.hashes, self.turned, self.name_times, self.prefer)

    @property
    def settings(self) -> LakeSettings:
        """The settings of a lake that is made now."""
        return LakeSettings(self.buckets, self.language, self.time_zone, self.nearest_limit_m)


def index_files(run: Run, config: IndexFiles) -> list[str]:
    """Reads, judges and stores each source; then locates what changed. Gives the uris of sidecars that fit no file."""
    unmatched: list[str] = []
    family = choose_faces(run, config)
    for number, uri in enumerate(config.source):
        run.progress.stage(f"reading {uri}", 5 + 60 * number // len(config.source))
        kind = config.format or detect_format(run.lake.spark, uri)
        if kind == "photos":
            listed = partial(_note_listing, run, unmatched)
            take_in_pictures(run, config, list_photos(uri, listed), uri, family=family, stage=20)
            continue
        is_small = source_bytes(run.lake.spark, uri, format=kind) <= SMALL_SOURCE
        with planned_for_few_rows(run.lake.spark) if is_small else nullcontext():
            raw = read_rows(run, config, uri, kind)
            take_in(run, config, raw, uri, stage=20 + 60 * number // len(config.source))
    if config.again and family:
        catch_up(run, config, family)
    if config.rows == "files":
        run.progress.stage("finding places", 75)
        retry_conflicts(lambda: refresh_file_places(run))
    return unmatched


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
    few = planned_for_few_rows(spark) if pictures.num_rows <= FEW_PICTURES else nullcontext()
    with few:
        if family is None:
            take_in(
                run, config, _mapped(read_photos(spark, pictures, config.reading, root=uri), config), uri, stage=stage
            )
            return
        dataset = str(config.only_dataset)
        looks = recipe(spark, family, threads=config.faces_threads, device=config.faces_device)
        done = 0
        for portion in portions(pictures, parallelism=spark.sparkContext.defaultParallelism):
            run.progress.stage(f"{uri}: {done:,} of {pictures.num_rows:,} files", stage)
            known = with_known(run, portion, project=config.project, dataset=dataset, model=looks.model)
            raw = run.cache(read_photos(spark, known, replace(config.reading, faces=looks), root=uri))
            take_in(run, config, _mapped(raw.drop(*FACES), config), uri, stage=stage)
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
    with planned_for_few_rows(spark) if len(uris) <= FEW_PICTURES else nullcontext():
        done = 0
        for portion in portions(listing, parallelism=spark.sparkContext.defaultParallelism):
            run.progress.stage(f"faces: {done:,} of {len(uris):,} pictures", 70)
            raw = read_photos(spark, portion, replace(config.reading, faces=looks))
            store_faces(
                run, fetch_looks(raw), listed=portion, project=config.project, dataset=dataset, model=looks.model
            )
            done += portion.num_rows


def _mapped(raw: DataFrame, config: IndexFiles) -> DataFrame:
    return raw.transform(map_columns, config.map) if config.map else raw


def take_in(run: Run, config: IndexFiles, raw: DataFrame, uri: str, *, stage: int) -> DataFrame:
    """Judges the rows of the source at `uri`, and stores what they say; `stage` is how far the run is then, percent.

    Returns the accepted ones.
    """
    are_read_here = "content_identifier" in raw.columns  # photos and videos that we opened
    untold = untold_columns(raw)
    judged = run.cache(_judge(run, config, raw, uri))
    run.progress.stage(f"storing {uri}", stage)
    count = count_verdicts(run, judged, sources=(uri,), suffixes=are_read_here)
    if run.lake.is_few(FILE_FEATURES, count, FILE_FEATURES.names):
        judged = run.lake.frame(from_frame(judged))  # what follows is then computed without a Spark job
    refusals = refused(judged).withColumn("reject_time", run.clock())
    put(run, REJECTED, refusals.withColumn("dataset_name", _valid_dataset(config)), count=count, compare=())
    good = accepted(judged)
    names = good.select("project_name", "dataset_name").distinct()
    put(run, DATASETS, names.withColumns(_new_dataset(run)), count=count, compare=())
    if config.rows == "files":
        settle = _keep_hashes if are_read_here and not config.hashes else None
        _store_files(run, good, count=count, untold=untold, settle=settle)
    else:
        _store_figures(run, good, count=count, project=config.project, untold=untold)
        _count_waiting(run, good)
    return good


def read_rows(run: Run, config: IndexFiles, uri: str, kind: Format) -> DataFrame:
    """The rows of the source at `uri`, as they are, under the lake's names."""
    raw = read_source(run.lake.spark, uri, format=kind, reading=config.reading)
    if kind == "imm":
        raw = figures_from_imm(raw) if config.rows == "figures" else from_imm(raw, language=run.lake.settings.language)
    return _mapped(raw, config)


def _note_listing(run: Run, unmatched: list[str], listing: Listing) -> None:
    """Counts what a folder holds and is not taken in, and notes the sidecars that fit no file."""
    unmatched.extend(listing.unmatched)
    for suffix, files in sorted(listing.passed_over.items()):
        count_not_taken(run, suffix, files)
    if listing.unmatched:
        names = [unquote(uri.rpartition("/")[2]) for uri in listing.unmatched]
        more = f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else ""
        total = run.ledger.row_counts.get(UNMATCHED, 0) + len(names)
        run.ledger.count(UNMATCHED, total, example=", ".join(names[:SHOWN_NAMES]) + more)


def _judge(run: Run, config: IndexFiles, raw: DataFrame, uri: str) -> DataFrame:
    judge: Callable[..., DataFrame] = partial(judge_files, time_is=config.time_is, media_type=config.media_type)
    if config.rows == "figures":
        judge = partial(judge_figures, refuse=partial(refuse_erased, erased=read_erased(run, project=config.project)))
    return judge(raw, source=absolute_uri(uri), project=config.project, dataset=config.only_dataset)


def _store_files(run: Run, good: DataFrame, *, count: int, untold: frozenset[str], settle: Settle | None) -> None:
    keyed = good.withColumn("object_id", _object_id())
    files = keyed.withColumns(
        {
            "create_time": run.clock(),
            "update_time": run.clock(),
            "deleted_time": F.lit(None).cast("timestamp"),
            "moved_to": F.lit(None).cast("string"),
        }
    )
    compare = [name for name in FILES.names if name not in NO_CHANGE]
    rows, keep = files.select(*_columns(FILES)), ("create_time", "object_id")
    put(run, FILES, rows, count=count, compare=compare, keep=keep, untold=untold, settle=settle)
    has_features = reduce(Column.__or__, (F.col(name).isNotNull() for name in FEATURES))
    features = keyed.where(has_features & (F.col("media_type") == "image")).withColumn("update_time", run.clock())
    features = features.select(*_columns(FILE_FEATURES, but="fingerprint"), "content_hash")

    def settled_features(rows: DataFrame, current: DataFrame) -> DataFrame:
        settled = settle_features(rows, current, key=FILE_FEATURES.key, untold=untold)
        return settled.select(*FILE_FEATURES.names)

    put(run, FILE_FEATURES, features, count=count, compare=(*FEATURES, "fingerprint"), settle=settled_features)


def _keep_hashes(rows: DataFrame, current: DataFrame) -> DataFrame:
    """Rows of `files` read from headers alone, with what whole files of their size told: hashes, and broken pixels."""
    told = ("size", "content_hash", "warning")
    known = current.select(*FILES.key, *(F.col(name).alias(f"_{name}") for name in told))
    is_same = F.col("size") == F.col("_size")
    kept = {
        "content_hash": F.coalesce("content_hash", F.when(is_same, F.col("_content_hash"))),
        "warning": F.coalesce(
            "warning", F.when(is_same & F.contains("_warning", F.lit(BROKEN_PIXELS)), F.col("_warning"))
        ),
    }
    return rows.join(known, list(FILES.key), how="left").withColumns(kept).select(*FILES.names)


def _store_figures(run: Run, good: DataFrame, *, count: int, project: str, untold: frozenset[str]) -> None:
    figures = good.withColumns({"object_id": _object_id(), "update_time": run.clock()}).select(*_columns(FIGURES))

    def settle(rows: DataFrame, _: DataFrame) -> DataFrame:
        return rows.transform(drop_erased, erased=read_erased(run, project=project))

    compare = [name for name in FIGURES.names if name not in NO_CHANGE]
    put(run, FIGURES, figures, count=count, compare=compare, untold=untold, settle=settle)


def _columns(contract: Contract, *, but: str = "") -> list[str]:
    """The columns of a table but those that `put` fills in."""
    return [name for name in contract.names if name not in ("bucket", "run_id", but)]


def _count_waiting(run: Run, figures: DataFrame) -> None:
    key = ["project_name", "dataset_name", "uri"]
    files = run.lake.fetch(FILES, run.lake.version(FILES), (*key, "deleted_time"))
    there = run.lake.frame(files).where(F.col("deleted_time").isNull())
    waiting = figures.join(there, key, how="left_anti")
    count_waiting(run, waiting, before=run.ledger.row_counts.get(WAITING, 0))


def _object_id() -> Column:
    return F.sha2(F.concat_ws("\n", "project_name", "dataset_name", "uri"), 256)


def _valid_dataset(config: IndexFiles) -> Column:
    return F.coalesce("dataset_name", F.lit(config.only_dataset).cast("string"))


def _new_dataset(run: Run) -> dict[str, Column]:
    nothing = F.lit(None).cast("string")
    unsaid = ("template_id", "description", "faces", "faces_set_by", "faces_run_id")
    times = {"create_time": run.clock(), "update_time": run.clock()}
    return {**dict.fromkeys(unsaid, nothing), **times}


@click.command("index")
@click.argument("source", nargs=-1)
@click.option("--rows", type=click.Choice(["files", "figures"]), help="What a row is.  [default: files]")
@click.option("--format", help="parquet, delta, csv, json, imm or photos.  [default: detected]")
@click.option("--map", "mapping", multiple=True, metavar="COLUMN=FIELD", help="Take a column as a field; repeatable.")
@click.option("--time-is", help="What times mean: offset, instant or local.  [default: as each is written]")
@click.option(
    "--media-type", type=click.Choice(["image", "video"]), help="Media type of the files that do not tell it."
)
@click.option("--hashes/--no-hashes", default=None, help="Read files whole, or headers alone.  [default: hashes]")
@click.option(
    "--turned/--no-turned",
    default=None,
    help="Also hash the mirrored and rotated forms, so that clustering finds such copies.  [default: no-turned]",
)
@click.option(
    "--name-times/--no-name-times",
    default=None,
    help="Take dates from names of photos where nothing else tells, or not.  [default: name-times]",
)
@click.option(
    "--prefer",
    type=click.Choice(["embedded", "takeout"]),
    help="Whom to believe: the file itself, or Google Takeout's sidecar.  [default: embedded]",
)
@click.option(
    "--faces/--no-faces",
    default=None,
    help="Find the faces in photos, from now on, or no more (docs/privacy.md).  [default: as the dataset has it]",
)
@click.option("--face-models", help="By which models faces are found (see `models list`).  [default: yunet-sface]")
@click.option("--again", is_flag=True, default=None, help="Find faces in photos that are there, where models changed.")
@click.option("--buckets", type=int, help="Partitions, if the lake is made now: 16 to 1024.  [default: 16]")
@click.option("--language", help="Language of addresses, if the lake is made now.  [default: en]")
@click.option("--time-zone", help="Zone of instants that lie nowhere, if the lake is made now.  [default: UTC]")
@click.option("--nearest-limit-m", type=int, help="How far the nearest area may be, if the lake is made now.")
@job_options
def command(given: dict[str, Any], as_json: bool, mapping: tuple[str, ...], **own: Any) -> None:
    """Bring files or figures (faces) from SOURCE... into the lake, and locate the files."""
    own["map"] = pairs("--map", mapping) or None
    config = build_config(IndexFiles, given, own)
    with run_job(config, job="index-files", task_type="FileIndexing", create=config.settings) as run:
        unmatched = index_files(run, config)
    print_result(run, as_json=as_json, **({"UnmatchedSidecars": unmatched} if as_json and unmatched else {}))


if __name__ == "__main__":
    sys.exit(run_command(command))
