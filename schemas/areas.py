"""Contract of `areas`."""

import pyarrow as pa

from schemas.contract import LEVELS, RUN_ID, Column, Contract

AREAS = Contract(
    name="areas",
    row="administrative area",
    notes="What `lakealbum boundaries` loaded, of all sources. An area's address is its own name and code and those of "
    "its parents. Loading a source again replaces that source's areas; parents are found anew among all.",
    columns=(
        Column("area_id", pa.string(), "source:code, unique in the lake; of areas that tie the smaller wins", False),
        Column("level", pa.string(), "Level of the place: " + ", ".join(LEVELS), nullable=False),
        Column("code", pa.string(), "Code in the source: ISO 3166 or its own. It goes into place keys", nullable=False),
        Column("name", pa.string(), "Local name", nullable=False),
        Column("names", pa.map_(pa.string(), pa.string()), "Names by language (BCP 47)", nullable=False),
        Column("parent_code", pa.string(), "Code of the area above, as the source has it"),
        Column("parent_id", pa.string(), "The area above: by parent_code, else the one that contains an inner point"),
        Column("time_zone", pa.string(), "IANA time zone, where the source says one for all of the area"),
        Column(
            "geometry",
            pa.binary(),
            "WKB polygon or multipolygon, valid, in degrees of WGS-84 within -180..180 and -90..90",
            nullable=False,
        ),
        Column("tiles", pa.list_(pa.int32()), "The tiles of `area_index` that it touches", nullable=False),
        Column("source", pa.string(), "Name of the source", nullable=False),
        Column("source_version", pa.string(), "What release of the source it is, as told when it was loaded"),
        RUN_ID,
    ),
    key=("area_id",),
    checks={"level_known": f"level IN ({', '.join(repr(level) for level in LEVELS)})"},
    sort_by=("source", "level"),
    writer="jobs",
    merged=True,
    wide=True,
)
