"""Large libraries, by many tasks: the people that one task finds."""

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from tests.transforms.people.test_grouping import PROFILE, faces_of, partition, unit
from transforms.people.figures import group_figures, large_libraries
from transforms.people.grouping import People, group_faces
from transforms.people.linkage import Limits
from transforms.tables.arrow_tables import from_matrix, to_matrix

SMALL = Limits(
    neighbours=4,
    cells_from=120,
    pivot_every=(16, 4),
    cell_max=20,
    faces_per_task=150,
    faces_per_share=60,
    groups_per_share=40,
    block=32,
)
"""All that large libraries have: cells, their parts, full lists of neighbours, shares."""


class Faces:
    """Faces of one library: people of many good faces and some poor ones, in two looks each; strangers."""

    def __init__(self, seed: int, people: int, dimension: int) -> None:
        rng = np.random.default_rng(seed)
        drawn = unit(rng.standard_normal(dimension))
        rows, good = [], []
        for centre in unit(rng.standard_normal((people, dimension))):
            for look in unit(centre + 0.7 * unit(rng.standard_normal((2, dimension)))):
                rows.append(faces_of(rng, look, 12, 0.95))
                rows.append(unit(faces_of(rng, look, 3, 0.6) + 0.5 * drawn))
                good += [True] * 12 + [False] * 3
        rows.append(unit(unit(rng.standard_normal((30, dimension))) + 0.5 * drawn))
        good += [False] * 20 + [True] * 10
        order = rng.permutation(len(good))
        self.embeddings = np.concatenate(rows).astype(np.float32)[order]
        self.is_good = np.array(good)[order]
        self.quality = np.where(self.is_good, 0.95, 0.6).astype(np.float32)
        self.image = np.arange(len(good)) // 2

    def group(self, limits: Limits) -> People:
        """The people that one task finds."""
        quality = self.quality.astype(np.float64)
        return group_faces(
            self.embeddings,
            is_good=self.is_good,
            image=self.image,
            quality=quality,
            profile=PROFILE,
            limits=limits,
        )

    def frame(self, spark: SparkSession, dataset: str) -> DataFrame:
        """The rows that are grouped."""
        rows = {
            "bucket": pa.array([1] * len(self.image), pa.int32()),
            "project_name": ["p"] * len(self.image),
            "dataset_name": [dataset] * len(self.image),
            "figure_id": [f"f{number:04}" for number in range(len(self.image))],
            "uri": [f"file:///{image:04}.jpg" for image in self.image],
            "embedding": pa.array(list(self.embeddings), pa.list_(pa.float32())),
            "is_good": self.is_good,
            "face_quality": self.quality,
        }
        return spark.createDataFrame(pa.table(rows))


class Session:
    """What keeps frames, as a run does: it cannot be sent to tasks."""

    def __init__(self, spark: SparkSession) -> None:
        self.spark = spark
        self.rounds: list[int] = []

    def keep(self, rows: DataFrame) -> DataFrame:
        """Computes rows now."""
        return rows.localCheckpoint(eager=True)

    def log(self, what: str, number: int, rows: int) -> None:
        """Takes a round down."""
        self.rounds.append(number)


def test_many_tasks_find_the_people_that_one_does(spark: SparkSession) -> None:
    libraries = {"celled": Faces(1, 9, 128), "other-length": Faces(2, 6, 96), "small": Faces(3, 4, 128)}
    faces = libraries["celled"].frame(spark, "celled")
    for name in ("other-length", "small"):
        faces = faces.unionByName(libraries[name].frame(spark, name))
    # another model's face, and one without an embedding: nobody's
    faces = faces.unionByName(faces.limit(1).withColumns({"figure_id": F.lit("g"), "embedding": F.lit([1.0, 2.0])}))
    faces = faces.unionByName(faces.limit(1).withColumns({"figure_id": F.lit("h"), "embedding": F.lit(None)}))
    session = Session(spark)
    large = large_libraries(faces, limits=SMALL)
    found = group_figures(
        faces,
        large=large,
        profile=PROFILE,
        checkpoint=session.keep,
        log=session.log,
        limits=SMALL,
    ).toArrow()
    assert {row.dataset_name for row in large.collect()} == {"celled", "other-length"}
    assert session.rounds == [0]  # lists were full once, and not again
    for name, library in libraries.items():
        expected = library.group(SMALL)
        rows = found.filter(pa.compute.equal(found["dataset_name"], name)).sort_by("figure_id")
        member = np.flatnonzero(expected.person >= 0)
        assert rows["figure_id"].to_pylist() == [f"f{number:04}" for number in member]
        central = expected.representative[expected.person[member]]
        assert rows["representative"].to_pylist() == [f"f{number:04}" for number in central]
        assert rows["confidence"].to_pylist() == expected.confidence[member].tolist()
        is_founder = expected.is_founder[member]
        assert rows["role"].to_pylist() == np.where(is_founder, "founder", "joined").tolist()
        assert len(partition(expected.person)) >= 4
        assert 0 < is_founder.sum() < len(member)


@pytest.mark.parametrize("shape", [(0, 3), (5, 3), (4000, 2), (3, 0)])
def test_matrices_as_binary_values(shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transforms.tables.arrow_tables.CHUNK_BYTES", 1000)
    rows = np.random.default_rng(1).integers(-9, 9, shape).astype(np.int16)
    column = from_matrix(rows)
    assert len(column) == len(rows)
    assert to_matrix(column, np.int16).tolist() == rows.tolist()
    assert to_matrix(column[1:], np.int16).tolist() == rows[1:].tolist()


def test_matrices_with_gaps() -> None:
    rows = np.array([[1.5, 2.0], [3.0, 4.0]])
    column = from_matrix(rows, at=np.array([False, True, False, False, True]))
    assert [value is None for value in column.to_pylist()] == [True, False, True, True, False]
    assert to_matrix(column.drop_null(), np.float64).tolist() == rows.tolist()
