"""Which files are to be located, and locating them: kernels over `files`, their change feed, and `file_places`."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from schemas.files import FILES
from transforms.places.corrections import correct_files, fold_corrections
from transforms.places.file_places import FILE_COLUMNS, SUPPLIED, place_files
from transforms.places.geocoding import Locator, is_place
from transforms.tables.keyed import anti_join, key_codes, latest_rows, look_up, rows_before, semi_join, union_by_name

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

KEY = FILES.key
COLUMNS = (*FILE_COLUMNS, "object_id", "moved_to")
"""The columns of `files` that locating reads."""
LOCATED_COLUMNS = (*KEY, "address_method", "index_version")
"""The columns of `file_places` that tell what located a file."""
INDEX_VERSION = r"^areas-(?P<build>[0-9]+)/"
"""What the `index_version` of file_places begins with where areas located a file, and the build in it."""


def changed_files(changes: pa.Table, touched: pa.Table) -> pa.Table:
    """The files that are to be located: as a change feed of `files` left them, and those that edits touched."""
    changed = latest_rows(changes, key=KEY).select(COLUMNS)
    return union_by_name(changed, anti_join(touched, changed, on=KEY))


def replaced_keys(changes: pa.Table, touched: pa.Table) -> pa.Table:
    """The keys of these files that `file_places` may have."""
    return union_by_name(rows_before(changes).select(KEY), touched.select(KEY))


def removed_keys(files: pa.Table) -> pa.Table:
    """The keys of the files that were removed."""
    return files.filter(files["deleted_time"].is_valid()).select(KEY)


def keep_seen(files: pa.Table, seen: pa.Table) -> pa.Table:
    """The files without the removed ones whose key is not among `seen`."""
    is_removed = files["deleted_time"].is_valid()
    return union_by_name(files.filter(pc.invert(is_removed)), semi_join(files.filter(is_removed), seen, on=KEY))


def locate_files(
    files: pa.Table,
    *,
    corrections: pa.Table | None,
    keeps_removed: bool,
    default_zone: str,
    locator: Locator,
    run_id: str,
) -> pa.Table:
    """The rows of `file_places` of files: of those that are still there, unless removed ones are kept."""
    if not keeps_removed:
        files = files.filter(files["deleted_time"].is_null())
    there = correct_there(files, corrections)
    return place_files(there, default_zone=default_zone, locator=locator, run_id=run_id)


def correct_there(files: pa.Table, corrections: pa.Table | None) -> pa.Table:
    """Files with what people said of when and where they were taken, if corrections are given; without those that were
    only moved.
    """
    there = files.filter(files["moved_to"].is_null())
    return correct_files(there, corrections=corrections) if corrections is not None and len(corrections) else there


def correct_by_edits(files: pa.Table, edits: pa.Table) -> pa.Table:
    """The same, of rows of `file_edits`."""
    return correct_files(files.filter(files["moved_to"].is_null()), corrections=fold_corrections(edits))


def outdated_keys(
    files: pa.Table, places: pa.Table, *, corrections: pa.Table | None, version: str, newest: Ints | None
) -> pa.Table:
    """The keys of the files that are to be looked up again by the locator of a version: those that another located,
    where the answer may have changed since, and those that lie somewhere and that none could locate.

    newest: where areas locate, per tile the last build that cut it, or one around it, again: nearest areas lie no
    farther off. places: LOCATED_COLUMNS.
    """
    files = correct_there(files, corrections)
    longitude, latitude = (files[name].cast(pa.float64()).to_numpy() for name in ("longitude", "latitude"))
    lies = is_place(longitude, latitude)
    among_files, among_places = key_codes(files, places, key=KEY)
    is_outdated = pc.and_(
        pc.not_equal(places["address_method"], SUPPLIED), pc.not_equal(places["index_version"], version)
    ).to_numpy()
    if newest is not None:
        file_of_place = look_up(among_places, among_files)
        tile_of_file = np.append(_tiles(longitude, latitude, lies), -1)
        tiles = tile_of_file[file_of_place]
        build = pc.struct_field(pc.extract_regex(places["index_version"], INDEX_VERSION), "build")
        built = pc.fill_null(build.cast(pa.int64()), -1).to_numpy()
        is_newer = np.where(tiles >= 0, newest[tiles], 0) > built
        is_outdated &= (file_of_place >= 0) & ((built < 0) | is_newer)
    is_unlocated = lies & files["deleted_time"].is_null().to_numpy() & (look_up(among_files, among_places) < 0)
    outdated = places.filter(pa.array(is_outdated)).select(KEY)
    return union_by_name(outdated, files.filter(pa.array(is_unlocated)).select(KEY))


def _tiles(longitude: NDArray[np.float64], latitude: NDArray[np.float64], lies: Bools) -> Ints:
    """The tile of each point, -1 where it is no place."""
    from transforms.places.area_cells import tiles_of  # it loads numba, which no run without areas needs

    tiles = np.full(len(lies), -1, np.int64)
    tiles[lies] = tiles_of(longitude[lies], latitude[lies])
    return tiles
