"""Erased faces taken out of the lake: which rows name one, and what is left of a row that does."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from jobs.runtime.lake import spark_schema
from schemas.contract import Contract
from schemas.figure_clusters import FIGURE_CLUSTERS
from schemas.lake import TABLES
from tests.schemas.test_contracts import good_row
from transforms.people.erasures import forget_faces, keep_erased, rows_about

ADA = {"project_name": "demo", "dataset_name": "ada"}


def digest(figure_id: str, dataset: str = "ada") -> str:
    """What an erased face is known by."""
    return hashlib.sha256(f"demo\n{dataset}\n{figure_id}".encode()).hexdigest()


def rows(spark: SparkSession, contract: Contract, *given: dict[str, Any]) -> DataFrame:
    """Rows of a table: ada's, with plain values where none are given."""
    whole = [{**dict.fromkeys(contract.names), **good_row(contract), **ADA, **row} for row in given]
    return spark.createDataFrame(whole, spark_schema(contract))


@pytest.fixture(scope="module")
def erased(spark: SparkSession) -> DataFrame:
    """Faces f1, `f"2` and 3 of ada."""
    told = [{**ADA, "figure_digest": digest(face)} for face in ("f1", 'f"2', "3")]
    return spark.createDataFrame(told, "project_name string, dataset_name string, figure_digest string")


def test_faces_are_erased_in_their_own_dataset(spark: SparkSession, erased: DataFrame) -> None:
    faces = spark.createDataFrame(
        [("demo", name, face) for name in ("ada", "ben") for face in ("f1", "f2")],
        "project_name string, dataset_name string, figure_id string",
    )
    assert [tuple(row) for row in faces.transform(keep_erased, erased=erased).collect()] == [("demo", "ada", "f1")]


@pytest.mark.parametrize(
    ("row", "is_about"),
    [
        ({"figure_id": "f1", "age": 5}, True),
        ({"URI": "s3://f", "Figure": {"FigureId": 'f"2'}}, True),
        ({"face": 3}, True),
        ({"face": [3]}, True),
        ({"figure_id": "f", "uri": "s3://f1"}, False),
        ({"quality": 3.5, "left": -3, "embedding": [0.3, 1e-3]}, False),
        ({"note": 'a \\"f1\\" b'}, False),
    ],
)
def test_refused_rows_are_known_by_what_they_name(
    spark: SparkSession, erased: DataFrame, row: dict[str, Any], is_about: bool
) -> None:
    texts = [json.dumps(row), json.dumps(row, separators=(",", ":")), "not JSON: " + json.dumps(row)]
    refused = [
        {"row": text, "reject_id": str(n), "dataset_name": name} for n, text in enumerate(texts) for name in ("ada",)
    ]
    refused += [{"row": texts[0], "reject_id": "nobody's", "dataset_name": None}]
    refused += [{"row": texts[0], "reject_id": "ben's", "dataset_name": "ben"}]
    found = rows(spark, TABLES["rejected"], *refused).transform(rows_about, erased=erased, dataset="ada")
    assert {each.reject_id for each in found.collect()} == ({"0", "1", "2", "nobody's"} if is_about else set())


def test_rows_of_other_people_forget_the_faces(spark: SparkSession, erased: DataFrame) -> None:
    names = {"cover_figure_id": "g", "representative": "g", "anchor": "g", "cover_uri": "s3://g"}
    people = rows(
        spark,
        FIGURE_CLUSTERS,
        {"object_id": "untouched", **names, "last_figures": ["g", "h"]},
        {"object_id": "anchored", **names, "anchor": "f1"},
        {"object_id": "gone", **names, "cover_figure_id": "3", "representative": "3", "last_figures": ["3", "g", "f1"]},
        {"object_id": "ben's", **names, "anchor": "f1", "dataset_name": "ben"},
    )
    found = {row.object_id: row for row in people.transform(forget_faces, erased=erased).collect()}
    assert set(found) == {"anchored", "gone"}
    told = ("cover_figure_id", "representative", "anchor", "cover_uri", "last_figures")
    assert [found["anchored"][name] for name in told] == ["g", "g", digest("f1"), "s3://g", None]
    assert [found["gone"][name] for name in told] == [digest("3"), digest("3"), "g", "", ["g"]]
    assert found["gone"].asDict().keys() == set(FIGURE_CLUSTERS.names)
