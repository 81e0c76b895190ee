"""Which embedding model the faces of a dataset are of."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.runtime.lake import Rows
from schemas.errors import UsageError
from schemas.keys import DATASET_KEY


def models_of(faces: Rows) -> list[str | None]:
    """The models that made the embeddings of faces (DATASET_KEY, `model`). None stands for one that is not named.

    Raises UsageError naming a dataset that has faces of several.
    """
    if isinstance(faces, DataFrame):
        counts = faces.groupBy(*DATASET_KEY, "model").count()
        several = counts.groupBy(*DATASET_KEY).agg(F.count("*").alias("models")).where("models > 1")
        one = several.sort(*DATASET_KEY).limit(1).select(*DATASET_KEY)
        mixed = counts.join(F.broadcast(one), list(DATASET_KEY), how="left_semi").toArrow()
        _refuse_several(mixed)
        return [row.model for row in counts.select("model").distinct().collect()]
    found = faces.group_by([*DATASET_KEY, "model"]).aggregate([([], "count_all")])
    found = found.rename_columns([*DATASET_KEY, "model", "count"])
    models = found.group_by(list(DATASET_KEY)).aggregate([([], "count_all")])
    several = models.filter(pc.greater(models["count_all"], 1)).sort_by([(name, "ascending") for name in DATASET_KEY])
    if len(several):
        _refuse_several(found.join(several.slice(0, 1), list(DATASET_KEY), join_type="left semi"))
    named: list[str | None] = pc.unique(found["model"]).to_pylist()
    return named


def _refuse_several(counts: pa.Table) -> None:
    """Raises UsageError if there are any models (`dataset_name`, `model`, `count`), which are those of one dataset."""
    if not len(counts):
        return
    dataset = counts["dataset_name"][0].as_py()
    rows = sorted(counts.to_pylist(), key=lambda row: (-row["count"], row["model"] or ""))
    told = ", ".join(f"{row['count']:,} of {row['model'] or 'no model that is named'}" for row in rows)
    raise UsageError(
        f"dataset {dataset!r} has faces of {len(rows)} models, whose embeddings cannot be compared: {told}. "
        f"Faces of one model are accepted: find them anew by `lakealbum index --faces --again --dataset {dataset}`, "
        f"and bring faces of your own again with the model that made them (`model`)"
    )
