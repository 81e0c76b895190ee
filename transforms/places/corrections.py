"""When and where files were taken, as people corrected it: edits folded to what is in force, and laid over files."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

TIME = ("produce_time", "time_is", "utc_offset")
PLACE = ("latitude", "longitude", "address")
CORRECTED = "is_place_corrected"
"""A column of corrected files: whether people said where it was."""
_FILE = ("project_name", "dataset_name", "object_id")


def fold_corrections(edits: DataFrame) -> DataFrame:
    """One row per edited file, of rows of `file_edits`: `time` and `place`, structs, as the last edits have them.

    Each is null where no edit says anything of it, or the last one that does takes it back.
    """
    said_time, said_place = F.col("produce_time").isNotNull(), _is_place()
    return edits.groupBy(*_FILE).agg(
        _last(TIME, said_time, taken_back="time").alias("time"),
        _last(PLACE, said_place, taken_back="place").alias("place"),
    )


def correct_files(files: DataFrame, *, corrections: DataFrame) -> DataFrame:
    """Rows of `files` with the times and places of `corrections` (see fold_corrections), and CORRECTED."""
    corrected = files.join(corrections, list(_FILE), how="left")
    says_where = F.col("place").isNotNull()
    new = {name: F.when(F.col("time").isNotNull(), F.col(f"time.{name}")).otherwise(F.col(name)) for name in TIME}
    new |= {name: F.when(says_where, F.col(f"place.{name}")).otherwise(F.col(name)) for name in PLACE}
    return corrected.withColumns({**new, CORRECTED: says_where}).select(*files.columns, CORRECTED)


def _is_place() -> Column:
    return F.col("latitude").isNotNull() | F.col("address").isNotNull()


def _last(names: tuple[str, ...], said: Column, *, taken_back: str) -> Column:
    """The columns of the last edit that says anything of them; null if it takes them back."""
    is_about = said | F.array_contains("taken_back", taken_back)
    return F.max_by(F.when(said, F.struct(*names)), F.when(is_about, F.col("sequence")))
