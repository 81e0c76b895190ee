"""Faces of people who were erased, taken out of what mentions them: frames of Spark's.

`erased` has one row per erased face (transforms.people.erased.ERASED).
"""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from schemas.keys import CLUSTER_KEY
from transforms.people.erased import ERASED

_VALUES = r'"[^"\\]*+(?:\\.[^"\\]*+)*+"|-?\d[\d.eE+-]*+'
"""The texts and numbers of a JSON document, keys among them."""


def face_digest(figure_id: str = "figure_id") -> Column:
    r"""What an erased face is known by: SHA-256 of 'project LF dataset LF figure_id', as the digests of ERASED are.

    >>> key = "project_name string, dataset_name string, figure_id string"
    >>> face = spark.createDataFrame([("demo", "ada", "f1")], key)
    >>> face.select(F.left(face_digest(), F.lit(8)).alias("digest")).first().digest
    '28cdc018'
    """
    return F.sha2(F.concat_ws("\n", "project_name", "dataset_name", figure_id), 256).alias("figure_digest")


def keep_erased(faces: DataFrame, *, erased: DataFrame) -> DataFrame:
    """The rows whose face (`figure_id`) was erased."""
    found = faces.withColumn("figure_digest", face_digest()).join(F.broadcast(erased), list(ERASED), how="left_semi")
    return found.select(*faces.columns)


def rows_about(refused: DataFrame, *, erased: DataFrame, dataset: str) -> DataFrame:
    """The rows of `rejected` in which an erased face of a dataset is named, whatever the source calls its figure_id.

    A text or whole number of the row that reads like the figure_id counts as one. Rows of no known dataset are looked
    at too.
    """
    ours = refused.where(F.col("dataset_name").isNull() | (F.col("dataset_name") == dataset))
    words = ours.select(
        "bucket", "project_name", "reject_id", F.explode(F.regexp_extract_all("row", F.lit(_VALUES), 0)).alias("_word")
    )
    said = F.get_json_object(F.concat(F.lit("["), "_word", F.lit("]")), "$[0]")
    named = words.withColumns({"dataset_name": F.lit(dataset), "_word": said}).withColumn(
        "figure_digest", face_digest("_word")
    )
    named = named.join(F.broadcast(erased), list(ERASED), how="left_semi")
    keys = ["bucket", "project_name", "reject_id"]
    return ours.join(named.select(*keys).distinct(), keys, how="left_semi")


def forget_faces(clusters: DataFrame, *, erased: DataFrame) -> DataFrame:
    """The people (rows of `figure_clusters`) whose rows name erased faces, without these.

    They stay out of `last_figures`; where the row cannot be without the face, its digest stands for it: as cover of a
    person who is gone, as representative, and as anchor, which with the generation says what the id was made of.
    """
    single = ("cover_figure_id", "representative", "anchor")
    named = F.array_union(F.coalesce("last_figures", F.array().cast("array<string>")), F.array(*single))
    faces = clusters.select(*CLUSTER_KEY, F.explode(named).alias("figure_id")).distinct()
    found = (
        faces.transform(keep_erased, erased=erased).groupBy(*CLUSTER_KEY).agg(F.collect_set("figure_id").alias("_gone"))
    )
    touched = clusters.join(found, list(CLUSTER_KEY), how="inner")
    without = {
        name: F.when(F.array_contains("_gone", F.col(name)), face_digest(name)).otherwise(F.col(name))
        for name in single
    }
    cover_uri = F.when(F.array_contains("_gone", F.col("cover_figure_id")), "").otherwise(F.col("cover_uri"))
    left = {"last_figures": F.array_except("last_figures", "_gone"), "cover_uri": cover_uri}
    return touched.withColumns({**without, **left}).select(*clusters.columns)
