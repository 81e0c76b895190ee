"""Contract of `area_index`."""

import pyarrow as pa

from schemas.contract import RUN_ID, Column, Contract

AREA_INDEX = Contract(
    name="area_index",
    row="tile of the plane with areas",
    notes="What reverse geocoding looks points up in, derived from `areas`: the cells of a tile (2.8 by 1.4 degrees), "
    "each with one answer or with pieces of boundaries to test in turn (transforms/places/area_cells.py). "
    "Lists are flat: the n-th cell's pieces follow those of the cells before, and so do the pieces' vertices.",
    columns=(
        Column("tile", pa.int32(), "Morton code of the tile among 128 by 128", nullable=False),
        Column("areas", pa.list_(pa.string()), "area_id of the areas here, the one that wins first", nullable=False),
        Column("starts", pa.list_(pa.int64()), "Per cell: the Morton code where it begins, ascending", nullable=False),
        Column(
            "covers",
            pa.list_(pa.int32()),
            "Per cell: the area (place in `areas`, from 0) of the points that are in none of its pieces; -1 for none",
            nullable=False,
        ),
        Column("counts", pa.list_(pa.int32()), "Per cell: how many pieces it has", nullable=False),
        Column("piece_areas", pa.list_(pa.int32()), "Per piece: its area (place in `areas`, from 0)", nullable=False),
        Column("piece_sizes", pa.list_(pa.int32()), "Per piece: how many vertices it has", nullable=False),
        Column(
            "xs",
            pa.list_(pa.float64()),
            "Per vertex: longitude. NaN ends a chain; -1000 stands for all that lies left of the cell",
            nullable=False,
        ),
        Column("ys", pa.list_(pa.float64()), "Per vertex: latitude", nullable=False),
        Column("digest", pa.string(), "SHA-256 of what the tile is made from: its areas and addresses", nullable=False),
        Column("generation", pa.int64(), "The build that made it, counted from 1 in each lake", nullable=False),
        RUN_ID,
    ),
    key=("tile",),
    sort_by=("tile",),
    writer="jobs",
    merged=True,
    wide=True,
)
