"""The index of areas: kept in step with `areas` in the lake, and copied once to each machine that looks points up."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable
from numpy.typing import NDArray
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import from_arrow_schema

from catalog.selecting import select
from catalog.storage import storage_options
from jobs.runtime.commits import Mark, Step, apply_changes
from jobs.runtime.lake import Lake, sum_of_files
from jobs.runtime.runs import Run
from jobs.runtime.session import WIDE_ROWS, session_settings
from schemas.area_index import AREA_INDEX
from schemas.areas import AREAS
from schemas.contract import Contract
from schemas.lake import table_uri
from transforms.places.area_cells import TILES
from transforms.places.area_geocoding import AreaLocator
from transforms.places.area_index import AreaIndex
from transforms.places.area_tiles import CELLS_SCHEMA, cut_tiles, digest_tiles, join_tiles, with_neighbours
from transforms.places.areas import ADDRESSES_SCHEMA, address_areas, order_areas
from transforms.tables.actions import ACTION
from transforms.tables.machine import cache_folder

PART_BYTES = 4 << 30
"""An index larger than this is looked up in parts, each about so large: what a machine's workers map at a time."""

MOST_COMPRESSED = 10
"""How many times smaller than in memory an index is on disk, at most; real ones are four times."""

UNUSED_SECONDS = 30 * 86_400
"""Copies of lakes that nobody has asked for so long are deleted when another is made."""

KEPT_COPIES = 4
"""Copies of earlier versions of a lake's index, or of their parts, that a machine keeps."""


def refresh_area_index(run: Run) -> None:
    """Cuts the tiles again whose areas, or their addresses, are not those that they were cut from."""
    lake = run.lake
    log = lake.log(AREAS)
    until = log.version()
    step = Step.pin(lake, AREA_INDEX, run.run_id, consumes={AREAS.name: until}, dry_run=run.dry_run)
    consumed = step.consumed(AREAS)
    if not log.file_uris() if consumed is None else lake.settled_version(AREAS, consumed) == until:
        return
    run.ledger.read(AREAS, until)
    with session_settings(lake.spark, WIDE_ROWS):
        _cut_changed_tiles(run, step, until)


def _cut_changed_tiles(run: Run, step: Step, version: int) -> None:
    lake = run.lake
    areas = lake.read(AREAS, version)
    addresses = lake.spark.createDataFrame(
        read_addresses(lake, version).to_pandas(), from_arrow_schema(ADDRESSES_SCHEMA)
    )
    wanted = digest_tiles(areas, addresses)
    known = step.current().select("tile", F.col("digest").alias("known"), F.size("starts").alias("cells"))
    differs = ~F.col("digest").eqNullSafe(F.col("known")) & ~(F.col("digest").isNull() & (F.col("cells") == 0))
    changed = run.cache(wanted.join(known, "tile", how="full").where(differs))
    tiles = np.array([row.tile for row in changed.select("tile").collect()], np.int32)  # 16,384 at most
    run.ledger.count("area_index.tiles_to_cut", len(tiles))
    lists = {f.name: f.dataType for f in from_arrow_schema(CELLS_SCHEMA) if f.name != "tile"}
    rows = (
        changed.join(areas.transform(cut_tiles, tiles=tiles), "tile", how="left")
        .withColumns({name: F.coalesce(name, F.array().cast(kind)) for name, kind in lists.items()})
        .withColumns(
            {
                ACTION: F.when(F.col("known").isNull(), "insert").otherwise("update"),
                "digest": F.coalesce("digest", F.lit("")),
                "generation": F.lit(last_generation(lake, step.base) + 1).cast("long"),
                "run_id": F.lit(run.run_id),
            }
        )
    )
    run.ledger.wrote(AREA_INDEX, apply_changes(step, rows.select(*AREA_INDEX.names, ACTION)))


@dataclass(frozen=True)
class IndexCopies:
    """Opens the parts of one version of a lake's index. Small and picklable: workers are sent it."""

    root: str
    areas_version: int
    index_version: int
    commit: str
    """Tells the index's last commit from any other of any lake: one that was copied, or restored from a backup."""
    first_tiles: tuple[int, ...]

    def __call__(self, part: int) -> AreaIndex:
        """The part's index, copied from the lake first if this machine has no copy yet.

        A part holds the tiles around its own too, so that what is nearest is found across its edge.
        """
        first, end = (*self.first_tiles, TILES)[part : part + 2]
        lake = cache_folder(f"area-index-{hashlib.sha256(self.root.encode()).hexdigest()[:16]}")
        copy = lake / f"{self.commit}-{first}-{end}"
        if not copy.exists():
            with (lake / "lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if not copy.exists():
                    self._make(copy, first, end)
        os.utime(lake)
        return AreaIndex.load(copy)

    def _make(self, copy: Path, first: int, end: int) -> None:
        tiles = with_neighbours(np.arange(first, end, dtype=np.int32))
        others = (path for path in copy.parent.glob("*-*") if not path.name.startswith(self.commit))
        for path in sorted(others, key=lambda path: path.stat().st_mtime)[:-KEPT_COPIES]:
            shutil.rmtree(path, ignore_errors=True)  # who has it mapped keeps it
        for lake in copy.parent.parent.glob("area-index-*"):
            if time.time() - lake.stat().st_mtime > UNUSED_SECONDS:
                shutil.rmtree(lake, ignore_errors=True)
        with tempfile.TemporaryDirectory(dir=copy.parent, prefix="new-") as folder:
            made = Path(folder) / "index"
            made.mkdir()
            self._read(tiles).save(made)
            made.rename(copy)

    def _read(self, tiles: NDArray[np.int32]) -> AreaIndex:
        where = f"tile >= {tiles[0]} AND tile <= {tiles[-1]}"
        names = ", ".join(CELLS_SCHEMA.names)
        rows = read_table(
            self.root, AREA_INDEX, self.index_version, f"SELECT {names} FROM area_index WHERE {where} ORDER BY tile"
        )
        areas = read_table(self.root, AREAS, self.areas_version, "SELECT area_id, level FROM areas")
        return join_tiles(rows.filter(pc.field("tile").isin(tiles)), areas["area_id"].take(order_areas(areas)))


def locator_over(lake: Lake) -> AreaLocator | None:
    """What locates with the areas that the lake's index was last cut from; None where there are none."""
    log = lake.log(AREA_INDEX)
    consumed = Mark.of(log).consumed.get(AREAS.name)
    areas_version = None if consumed is None else lake.settled_version(AREAS, consumed)
    if areas_version is None:
        return None
    addresses = read_addresses(lake, areas_version)
    if not addresses.num_rows:
        return None
    commit = hashlib.sha256(f"{log.metadata().id} {log.version()} {log.history(1)}".encode()).hexdigest()[:16]
    copies = IndexCopies(lake.root, areas_version, log.version(), commit, _first_tiles(lake, log))
    return AreaLocator(
        version=f"areas-{last_generation(lake, log.version())}/{lake.settings.nearest_limit_m}m",
        open_index=copies,
        addresses=addresses.combine_chunks(),
        limit_m=lake.settings.nearest_limit_m,
        first_tiles=copies.first_tiles,
    )


def newest_builds(lake: Lake) -> NDArray[np.int64]:
    """Per tile the last build that cut it, or one around it, again: nearest areas lie no farther off.

    int64 (TILES,).
    """
    rows = read_table(lake.root, AREA_INDEX, lake.version(AREA_INDEX), "SELECT tile, generation FROM area_index")
    tiles, built = rows["tile"].to_numpy(), rows["generation"].to_numpy()
    newest = np.zeros(TILES, np.int64)
    for generation in np.unique(built):
        newest[with_neighbours(tiles[built == generation])] = generation
    return newest


def last_generation(lake: Lake, version: int) -> int:
    """The last build of a version of the index; 0 before the first."""
    rows = read_table(lake.root, AREA_INDEX, version, "SELECT max(generation) AS last FROM area_index")
    return int(rows["last"][0].as_py() or 0)


def read_addresses(lake: Lake, areas_version: int) -> pa.Table:
    """transforms.places.areas.ADDRESSES_SCHEMA of every area, in the lake's language; the n-th row is area n."""
    columns = "area_id, level, code, name, names, parent_id, time_zone"
    rows = read_table(lake.root, AREAS, areas_version, f"SELECT {columns} FROM areas")
    return address_areas(rows, language=lake.settings.language)


def read_table(root: str, contract: Contract, version: int, statement: str) -> pa.Table:
    """What a statement selects from a version of a table, without Spark."""
    table = DeltaTable(table_uri(root, contract.name), version=version, storage_options=storage_options(root))
    found = select(statement, {contract.name: table}).read_all()
    return found.cast(pa.schema([field.with_type(_without_views(field.type)) for field in found.schema]))


def _without_views(kind: pa.DataType) -> pa.DataType:
    """The type with texts and bytes where delta-rs gives views of them, which Arrow's `take` refuses."""
    if pa.types.is_list(kind):
        return pa.list_(_without_views(kind.value_type))
    if pa.types.is_map(kind):
        return pa.map_(_without_views(kind.key_type), _without_views(kind.item_type))
    if pa.types.is_binary_view(kind):
        return pa.binary()
    return pa.string() if pa.types.is_string_view(kind) else kind


def _first_tiles(lake: Lake, log: DeltaTable) -> tuple[int, ...]:
    """The tiles that the parts of the index begin with: one part, unless it is larger than PART_BYTES."""
    on_disk = sum_of_files(log, "size_bytes")
    if on_disk * MOST_COMPRESSED < PART_BYTES:
        return (0,)
    statement = "SELECT tile, 16 * cardinality(xs) + 16 * cardinality(starts) AS bytes FROM area_index ORDER BY tile"
    sizes = read_table(lake.root, AREA_INDEX, log.version(), statement)
    before = np.concatenate(([0], np.cumsum(sizes["bytes"].to_numpy())))[:-1]
    return (0, *sizes["tile"].to_numpy()[1:][np.diff(before // PART_BYTES) > 0].tolist())
