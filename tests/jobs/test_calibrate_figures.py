"""`calibrate figures` as typed, at a lake of made-up faces; and what makes a face good, in both engines."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import yaml
from pyspark.sql import SparkSession

from catalog.lake import Row
from jobs.calibrate_figures import EXAMPLE
from jobs.cli.main import lakealbum, run
from jobs.cli.options import build_config
from jobs.cluster_figures import ClusterFigures
from jobs.people.labels import read_libraries
from schemas.figures import MAX_ANGLE, is_good_sql
from tests.catalog.conftest import LakeMaker
from tests.transforms.people.test_calibration import Library, library
from transforms.people.calibration import DEFAULTS, calibrate
from transforms.people.figures import is_good
from transforms.people.grouping import Profile

pytestmark = pytest.mark.long

PEOPLE = 12
LABELLED = library(1, people=PEOPLE, common=0.5)


def figures(maker: LakeMaker, faces: Library, dataset: str = "ada") -> list[Row]:
    """Rows of `figures`: face n is `<n>`."""
    return [
        maker.figure(
            str(n),
            faces.embeddings[n].tolist(),
            dataset,
            face_quality=float(faces.quality[n]),
            boundary={"left": 1, "top": 2, "width": 120 if faces.is_good[n] else 60, "height": 140},
        )
        for n in range(len(faces.group))
    ]


def people_table(faces: Library = LABELLED) -> pa.Table:
    """Labels that name people; the faces of one are nobody's."""
    group = faces.group.tolist()
    return pa.table(
        {
            "figure_id": [str(n) for n in range(len(group))],
            "person": [f"person {each}" if each < PEOPLE else "" for each in group],
        }
    )


def pairs_table(faces: Library = LABELLED) -> pa.Table:
    """Labels of pairs: neighbours in the order of faces, and faces some way from each other."""
    n = len(faces.group)
    left, right = (
        np.concatenate([np.arange(n - 1), np.arange(n - 40)]),
        np.concatenate([np.arange(1, n), np.arange(40, n)]),
    )
    same = faces.group[left] == faces.group[right]
    texts = [[str(each) for each in side.tolist()] for side in (left, right)]
    return pa.table({"figure_id": texts[0], "other_figure_id": texts[1], "same": same})


def write(path: Path, table: pa.Table) -> Path:
    """A file of labels, in the format that its name tells."""
    if path.suffix == ".parquet":
        pq.write_table(table, path)
    else:
        pyarrow.csv.write_csv(table, path)
    return path


Typed = Callable[..., str]


@pytest.fixture
def maker(tmp_path: Path) -> LakeMaker:
    """A lake of one dataset with the labelled faces."""
    maker = LakeMaker(tmp_path / "lake")
    maker.datasets("ada", "ben")
    maker.insert("figures", figures(maker, LABELLED))
    return maker


@pytest.fixture
def typed(maker: LakeMaker, capsys: pytest.CaptureFixture[str]) -> Typed:
    """Runs `calibrate figures`: what it prints, on stderr where it is to fail."""

    def call(labels: Path, *options: str, code: int = 0) -> str:
        arguments = ["calibrate", "figures", str(labels), "--lake", maker.root, "--project", "demo", *options]
        found = run(lakealbum, arguments, "lakealbum")
        printed = capsys.readouterr()
        assert found == code, printed
        return printed.err if code else printed.out

    return call


def config_of(path: Path) -> ClusterFigures:
    """What `cluster figures --config` makes of a file."""
    names = ("lake", "project", "dataset", "run_id", "dry_run", "user_data", "notify")
    given: dict[str, Any] = {**dict.fromkeys(names), "lake": "x", "config": path, "set": (), "tag": ()}
    return build_config(ClusterFigures, given, {})


def test_a_profile_that_cluster_figures_takes(typed: Typed, tmp_path: Path) -> None:
    out = tmp_path / "profile.yaml"
    printed = typed(write(tmp_path / "labels.csv", people_table()), "--out", str(out))
    profile = config_of(out).profile
    assert profile == calibrate([LABELLED])
    assert f"look                 0.5 -> {profile.look}\n" in printed
    assert "margin" not in printed
    assert f"Calibrated on {len(LABELLED.group):,} faces, 12 people who could be founded" in printed
    assert "BCubed F of people left out of the fitting: 0." in printed
    assert printed.endswith(f"Wrote {out}.\n")
    # commented like the example
    comments = [line for line in EXAMPLE.read_text().partition("profile:")[2].splitlines() if "#" in line]
    assert [line for line in out.read_text().partition("profile:")[2].splitlines() if "#" in line] == comments
    assert "# BCubed F of people left out" in out.read_text()


def test_the_same_of_parquet_and_as_json(typed: Typed, tmp_path: Path) -> None:
    labels = write(tmp_path / "labels.parquet", people_table())
    answer = json.loads(typed(labels, "--out", str(tmp_path / "p.yaml"), "--json"))
    assert Profile(**answer["Profile"]) == calibrate([LABELLED])
    assert answer["Changed"]["look"] == {"From": DEFAULTS.look, "To": answer["Profile"]["look"]}
    assert answer["BCubedAfter"] > answer["BCubedBefore"]
    assert (answer["FacesCount"], answer["PeopleCount"]) == (len(LABELLED.group), PEOPLE)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_pairs(typed: Typed, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / "profile.yaml"
    printed = typed(write(tmp_path / f"pairs.{suffix}", pairs_table()), "--out", str(out))
    assert "12 people who could be founded" in printed
    assert config_of(out).profile.stranger_mean > 0.1


def test_the_example_has_what_is_fitted() -> None:
    values = yaml.safe_load(EXAMPLE.read_text())["profile"]
    assert values == {name: getattr(DEFAULTS, name) for name in values}
    fitted = vars(calibrate([LABELLED]))
    assert {name for name in fitted if fitted[name] != getattr(DEFAULTS, name)} <= values.keys()


def test_faces_of_several_datasets(maker: LakeMaker, typed: Typed, tmp_path: Path) -> None:
    maker.insert("figures", figures(maker, LABELLED, "ben"))
    labels = people_table()
    assert "label it with a column dataset_name" in typed(write(tmp_path / "labels.csv", labels), code=2)
    out = ("--out", str(tmp_path / "p.yaml"))
    assert "12 people" in typed(tmp_path / "labels.csv", "--dataset", "ben", *out)
    both = pa.concat_tables(
        labels.append_column("dataset_name", pa.array([name] * len(labels))) for name in ("ada", "ben")
    )
    found = read_libraries(maker.lake, maker.scope, write(tmp_path / "both.csv", both))
    assert [library.founded(3) for library in found] == [PEOPLE, PEOPLE]
    assert all(library.apart is None for library in found)


def test_faces_without_embeddings_say_whose_others_are(maker: LakeMaker, tmp_path: Path) -> None:
    maker.insert("figures", [maker.figure("blank", None)])
    pairs = {"figure_id": ["0", "blank"], "other_figure_id": ["blank", "1"], "same": [True, True]}
    [found] = read_libraries(maker.lake, maker.scope, write(tmp_path / "pairs.csv", pa.table(pairs)))
    assert len(found.embeddings) == 2
    assert found.group[0] == found.group[1]


BAD: dict[str, tuple[dict[str, list[Any]], str, int]] = {
    "columns": ({"figure": ["1"], "person": ["a"]}, "has the columns figure, person; figure_id and person, or", 2),
    "both": ({"figure_id": ["1"], "person": ["a"], "other_figure_id": ["2"], "same": [True]}, "are accepted", 2),
    "few": ({"figure_id": ["1", "2"], "person": ["a", "b"]}, "the labels have 0 people with 3 good faces in 3", 2),
    "two people": ({"figure_id": ["1", "1"], "person": ["a", "b"]}, "'1' is said to be two people", 2),
    "not there": (
        {"figure_id": ["1", "x", "y"], "person": ["a", "b", ""]},
        "2 labelled faces are not in the lake, the first 'x'",
        1,
    ),
    "no face": ({"figure_id": ["1", ""], "person": ["a", "b"]}, "figure_id is empty in 1 of 2 rows", 2),
    "truth": ({"figure_id": ["1"], "other_figure_id": ["2"], "same": ["maybe"]}, "same is true or false", 2),
    "half": ({"figure_id": ["1"], "other_figure_id": ["2"], "same": [""]}, "same is empty in 1 of 1 rows", 2),
    "contradiction": (
        {"figure_id": ["1", "2", "1"], "other_figure_id": ["2", "3", "3"], "same": [True, True, False]},
        "'1' and '3' are said to be different people, and by other pairs to be one",
        2,
    ),
    "none": ({"figure_id": [], "person": []}, "has no rows", 2),
    "many": ({"figure_id": [str(n) for n in range(20_001)], "person": ["a"] * 20_001}, "20,001 faces; up to 20,000", 2),
}


@pytest.mark.parametrize(("columns", "message", "code"), BAD.values(), ids=BAD)
def test_labels_that_say_nothing_are_refused(
    typed: Typed, tmp_path: Path, columns: dict[str, list[Any]], message: str, code: int
) -> None:
    out = tmp_path / "profile.yaml"
    assert message in typed(write(tmp_path / "labels.csv", pa.table(columns)), "--out", str(out), code=code)
    assert not out.exists()


def test_files_that_are_none_are_refused(maker: LakeMaker, typed: Typed, tmp_path: Path) -> None:
    assert "labels.txt ends in '.txt'; .csv and .parquet" in typed(tmp_path / "labels.txt", code=2)
    assert "cannot be read" in typed(tmp_path / "labels.csv", code=2)
    (tmp_path / "labels.parquet").write_text("figure_id,person\n")
    assert "cannot be read" in typed(tmp_path / "labels.parquet", code=2)
    labels = write(tmp_path / "labels.csv", people_table())
    assert "is a directory" in typed(labels, "--out", str(tmp_path), code=2)
    assert "there is no directory" in typed(labels, "--out", str(tmp_path / "nowhere" / "p.yaml"), code=2)
    assert "no dataset 'cleo'" in typed(labels, "--dataset", "cleo", code=1)
    assert "228 labelled faces are not in the lake" in typed(labels, "--dataset", "ben", code=1)
    maker.insert("figures", [maker.figure("short", [1.0, 2.0])])
    mixed = pa.table({"figure_id": ["1", "short"], "person": ["a", "b"]})
    assert "have 2 and 128 numbers" in typed(write(tmp_path / "mixed.csv", mixed), code=2)


def test_both_engines_agree_on_good_faces(maker: LakeMaker, spark: SparkSession) -> None:
    pose = {"yaw": 0.0, "pitch": 0.0, "roll": 0.0}
    box = {"left": 0, "top": 0, "width": 76, "height": 76}
    faces: dict[str, Row] = {
        "good": {"boundary": box},
        "narrow": {"boundary": box | {"width": 75}},
        "low": {"boundary": box | {"height": 75}},
        "turned": {"head_pose": pose | {"yaw": -30.0}},
        "bent": {"head_pose": pose | {"pitch": 30.5}},
        "tilted": {"head_pose": pose | {"roll": 29.9}},
        "fair": {"face_quality": 0.8},
        "fine": {"face_quality": 0.81},
        "no box": {"boundary": None},
        "no pose": {"head_pose": None},
        "no quality": {"face_quality": None},
        "no embedding": {"embedding": None},
    }
    maker.remove("figures", "TRUE")
    maker.insert("figures", [maker.figure(name, [1.0, 0.0]) | given for name, given in faces.items()])
    rows = maker.lake.read(f"SELECT figure_id FROM figures WHERE {is_good_sql()} ORDER BY figure_id", "figures")
    by_spark = (
        spark.read.format("delta")
        .load(f"{maker.root}/figures")
        .where(is_good(MAX_ANGLE))
        .orderBy("figure_id")
        .collect()
    )
    assert [row["figure_id"] for row in rows] == [row["figure_id"] for row in by_spark] == ["fine", "good", "tilted"]
