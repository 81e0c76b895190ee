"""Job: boundaries. Loads administrative areas, and builds the index that points are looked up in.

source -> rejected, areas -> area_index
"""

from __future__ import annotations

import re
import sys
from functools import partial, reduce
from pathlib import PurePosixPath
from typing import Any, Literal

import click
from pydantic import Field
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from catalog.commands.arguments import pairs
from jobs.cli.main import run as run_command
from jobs.cli.options import JobConfig, Sources, build_config, job_options
from jobs.places.area_indexes import refresh_area_index
from jobs.places.area_sources import AreaFormat, detect_area_format, read_areas
from jobs.runtime.commits import Step, replace_rows, retry_conflicts
from jobs.runtime.kernels import apply_to_rows
from jobs.runtime.runs import Run, print_result, run_job
from jobs.runtime.session import use_geometry
from jobs.sources.intake import count_verdicts, put
from schemas.areas import AREAS
from schemas.errors import SourceError
from schemas.locations import absolute_uri
from schemas.rejected import REJECTED
from schemas.settings import LakeSettings
from transforms.places.areas import (
    AreaFields,
    finish_geometry,
    judge_areas,
    link_parents,
    map_areas,
    nest_levels,
    repair_geometry,
)
from transforms.sources.verdicts import REFUSAL, computed, refused

Expression = str | tuple[str, ...]
PARTS_PER_CORE = 4
"""Sources come in few, large pieces; areas differ much in size."""


class BuildAreas(JobConfig):
    """What `boundaries` can be asked. Fields of areas are Spark SQL expressions over the source's columns."""

    source: Sources = Field(min_length=1, description="files or folders to load")
    name: str | None = Field(default=None, pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$", description="name of the source")
    version: str | None = Field(default=None, description="release of the source")
    format: AreaFormat | None = Field(default=None, description="geoparquet, geojson or shapefile")
    datum: Literal["wgs84", "gcj02"] = Field(default="wgs84", description="datum of the coordinates")
    crs: str | None = Field(default=None, pattern=r"^[A-Za-z]+:[0-9]+$", description="their reference system")
    where: str | None = Field(default=None, description="which rows are areas")
    level: Expression = Field(description="level of an area: one for all, or an expression")
    code: Expression = Field(description="code of an area")
    local_name: Expression = Field(default="name", description="local name")
    names: dict[str, Expression] = Field(default={}, description="names by language")
    parent: Expression = Field(default="CAST(NULL AS STRING)", description="code of the area above")
    time_zone: Expression = Field(default="CAST(NULL AS STRING)", description="IANA time zone")
    nested_by: Expression | None = Field(default=None, description="number: who has more and lies within is deeper")
    buckets: int = Field(default=LakeSettings.buckets, ge=16, le=1024, description="partitions, in a lake made now")
    language: str = Field(default=LakeSettings.language, description="language of addresses, in a lake made now")
    time_zone_of_lake: str = Field(default=LakeSettings.time_zone, description="zone of instants, in a lake made now")
    nearest_limit_m: int = Field(default=LakeSettings.nearest_limit_m, description="limit, in a lake made now")

    @property
    def source_name(self) -> str:
        """Name of the source: given, else that of its first file."""
        if self.name is not None:
            return self.name
        stem = PurePosixPath(self.source[0].rstrip("/")).name.partition(".")[0]
        return re.sub(r"[^a-z0-9._-]", "-", stem.lower()) or "areas"

    @property
    def fields(self) -> AreaFields:
        """What of the source's columns is what."""
        return AreaFields(
            level=self.level,
            code=self.code,
            name=self.local_name,
            names=self.names,
            parent=self.parent,
            time_zone=self.time_zone,
            nested_by=self.nested_by,
            where=self.where,
        )

    @property
    def settings(self) -> LakeSettings:
        """The settings of a lake that is made now."""
        return LakeSettings(self.buckets, self.language, self.time_zone_of_lake, self.nearest_limit_m)


def build_areas(run: Run, config: BuildAreas) -> None:
    """Loads the sources in place of what the lake has of that name; then cuts again the tiles that changed."""
    formats = [config.format or detect_area_format(uri) for uri in config.source]
    use_geometry(run.lake.spark)
    run.progress.stage("reading and repairing areas", 5)
    raws = [read_areas(run.lake.spark, uri, format=kind) for uri, kind in zip(config.source, formats, strict=True)]
    judged = run.cache(_judge(run, config, raws))
    _store_refusals(run, config, judged)
    _refuse_nothing(run, config)
    run.progress.stage("finding the areas above", 40)
    retry_conflicts(lambda: _commit_areas(run, config, judged))
    run.progress.stage("cutting the index", 60)
    retry_conflicts(lambda: refresh_area_index(run))


def _judge(run: Run, config: BuildAreas, raws: list[DataFrame]) -> DataFrame:
    parts = PARTS_PER_CORE * run.lake.spark.sparkContext.defaultParallelism
    mapped = reduce(
        DataFrame.unionByName, (map_areas(raw, fields=config.fields, source=config.source_name) for raw in raws)
    )
    finished = (
        mapped.repartition(parts)
        .transform(repair_geometry, datum=config.datum, crs=config.crs)
        .transform(finish_geometry)
    )
    if config.nested_by is None:
        return judge_areas(finished)
    return judge_areas(nest_levels(run.cache(finished)))


def _store_refusals(run: Run, config: BuildAreas, judged: DataFrame) -> None:
    verdicts = count_verdicts(run, judged, sources=config.source)
    uri = ", ".join(absolute_uri(uri) for uri in config.source)
    among_equals = F.row_number().over(Window.partitionBy("reason", "row").orderBy("area_id"))
    about = {
        "project_name": F.lit(config.project),
        "dataset_name": F.lit(None).cast("string"),
        "source": F.lit(uri),
        "ordinal": among_equals - 1,
    }
    bad = judged.where("reason IS NOT NULL").withColumns(about).select(*REFUSAL)
    refusals = apply_to_rows(partial(refused, dataset=None, now=run.now), bad, schema=computed(REJECTED))
    put(run, REJECTED, refusals, count=verdicts.refused, compare=())


def _refuse_nothing(run: Run, config: BuildAreas) -> None:
    """Raises SourceError where no row was accepted, lest a broken file empty the lake, unless `where` left out all."""
    rows = run.ledger.row_counts
    if rows["accepted"] or (config.where is not None and not rows["input"]):
        return
    why = min(run.ledger.examples.values(), default="there are none")
    raise SourceError(
        f"{', '.join(config.source)}: of {rows['input']:,} rows none is an area ({why}); the lake keeps what it has of "
        f"source {config.source_name}"
    )


def _commit_areas(run: Run, config: BuildAreas, judged: DataFrame) -> None:
    """One commit: the source's areas replaced, and the parents of all areas found anew."""
    step = Step.pin(run.lake, AREAS, run.run_id, dry_run=run.dry_run)
    current = step.current()
    loaded = judged.where("reason IS NULL").withColumns(
        {"source_version": F.lit(config.version), "run_id": F.lit(run.run_id)}
    )
    names = [name for name in AREAS.names if name != "parent_id"]
    others = current.where(F.col("source") != config.source_name)
    wanted = run.cache(loaded.select(*names).unionByName(others.select(*names)).transform(link_parents))
    run.ledger.wrote(AREAS, replace_rows(step, wanted.select(*AREAS.names), current))


@click.command("boundaries")
@click.argument("source", nargs=-1)
@click.option(
    "--name", help="Name of the source. Loading it again replaces its areas.  [default: that of the first file]"
)
@click.option("--version", "version", help="Release of the source; the lake keeps it.")
@click.option("--format", help="geoparquet, geojson or shapefile.  [default: by the suffix]")
@click.option("--level", help="country, province, city, district or township; or an SQL expression.")
@click.option("--code", "--code-column", help="Column (or SQL expression) with an area's code.")
@click.option("--name-column", "local_name", help="Column with its local name.  [default: name]")
@click.option("--names", multiple=True, metavar="LANGUAGE=COLUMN", help="Column with names in a language; repeatable.")
@click.option("--parent", "--parent-column", help="Column with the code of the area above.  [default: by place]")
@click.option("--time-zone-column", "time_zone", help="Column with an IANA time zone.")
@click.option("--datum", type=click.Choice(["wgs84", "gcj02"]), help="Datum of the coordinates.  [default: wgs84]")
@click.option("--crs", help="Reference system of coordinates that are not degrees, such as EPSG:3857.")
@click.option("--where", help="SQL condition: which rows are areas.")
@click.option("--nested-by", help="Column with a number: an area inside one with a smaller number is a level deeper.")
@click.option("--buckets", type=int, help="Partitions, if the lake is made now: 16 to 1024.  [default: 16]")
@click.option("--language", help="Language of addresses, if the lake is made now.  [default: en]")
@click.option("--time-zone", "time_zone_of_lake", help="Zone of instants, if the lake is made now.  [default: UTC]")
@click.option("--nearest-limit-m", type=int, help="How far the nearest area may be, if the lake is made now.")
@job_options
def command(given: dict[str, Any], as_json: bool, names: tuple[str, ...], **own: Any) -> None:
    """Load administrative areas from SOURCE..., and build the index that locates files."""
    own["names"] = pairs("--names", names) or None
    config = build_config(BuildAreas, given, own)
    with run_job(config, job="build-areas", task_type="AreaBuilding", create=config.settings, geometry=True) as run:
        build_areas(run, config)
    print_result(run, as_json=as_json)


if __name__ == "__main__":
    sys.exit(run_command(command))
