"""Judged rows: parted, counted, and as the lake's tables have them."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

import pytest

from schemas.datasets import DATASETS
from schemas.figures import FIGURES
from schemas.file_features import FILE_FEATURES
from schemas.files import FILES
from schemas.lake import file_object_id
from schemas.rejected import REJECTED
from tests.transforms.sources.judged import judged_figures, judged_files
from transforms.sources.verdicts import (
    FEATURE_ROWS,
    accepted,
    computed,
    dataset_rows,
    feature_rows,
    figure_rows,
    file_rows,
    refused,
    summarize,
)

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def bad(reason: str, message: str = "m", **row: Any) -> dict[str, Any]:
    """A refused row."""
    return {"reason": reason, "message": message, **row}


def test_rows_are_parted_by_verdict() -> None:
    rows = judged_files({"uri": "a"}, bad("bad_time", uri="b"), {"uri": "c"})
    assert accepted(rows)["uri"].to_pylist() == ["a", "c"]
    assert set(rows.column_names) - set(accepted(rows).column_names) == {"reason", "message", "row", "ordinal"}
    assert accepted(rows.slice(0, 1))["uri"].to_pylist() == ["a"]
    assert accepted(rows.slice(0, 0)).num_rows == 0
    assert refused(rows, dataset=None, now=NOW)["message"].to_pylist() == ["m"]


def test_a_refused_row_is_known_by_source_reason_number_and_text() -> None:
    rows = [bad("bad_time", row="{1}", ordinal=0), bad("bad_time", row="{1}", ordinal=1), bad("bad_time", row="{2}")]
    found = refused(judged_files(*rows, bad("dataset_missing", dataset_name=None, row=None)), dataset="own", now=NOW)
    told = ["s\nbad_time\n0\n{1}", "s\nbad_time\n1\n{1}", "s\nbad_time\n0\n{2}", "s\ndataset_missing\n0"]
    assert found["reject_id"].to_pylist() == [hashlib.sha256(text.encode()).hexdigest() for text in told]
    assert found["dataset_name"].to_pylist() == ["ada", "ada", "ada", "own"]
    assert found["reject_time"].to_pylist() == [NOW] * 4
    assert found.schema == computed(REJECTED)
    assert set(computed(REJECTED).names) == set(REJECTED.names) - {"bucket", "run_id"}


@pytest.mark.parametrize("suffixes", [False, True])
def test_verdicts_are_counted_by_reason_and_suffix(suffixes: bool) -> None:
    rows = judged_files(
        *({"uri": "a.jpg"}, {"uri": "b.jpg", "dataset_name": "ben"}, {"uri": "c.jpg"}),
        *(bad("bad_time", "m2", uri="x.JPG"), bad("bad_time", "m1", uri="y.jpg?v=1.2"), bad("bad_time", uri="z.d/y")),
        *(bad("uri_missing", uri=None), bad("bad_time", "é", uri="no.suffixthatisaslongasthat")),
    )
    found = sorted(map(str, (tuple(row.values()) for row in summarize(rows, suffixes=suffixes).to_pylist())))
    expected: list[tuple[str | None, str | None, int, str | None, int]] = [(None, None, 3, None, 2)]
    if suffixes:
        expected += [("bad_time", "jpg", 2, "m1", 0), ("bad_time", None, 2, "m", 0), ("uri_missing", None, 1, "m", 0)]
    else:
        expected += [("bad_time", "", 4, "m", 0), ("uri_missing", "", 1, "m", 0)]
    assert found == sorted(map(str, expected))
    areas = rows.select(["reason", "message"])
    assert [row["rows"] for row in summarize(areas).to_pylist()] == [3, 4, 1]
    assert summarize(rows.slice(0, 0)).to_pylist() == [
        {"reason": None, "suffix": None, "rows": 0, "example": None, "datasets": 0},
    ]


def test_files_have_an_id_and_the_time_of_the_run() -> None:
    rows = judged_files({"uri": "ü.jpg", "size": 3}, bad("bad_time"), {"uri": "b.jpg", "dataset_name": "ben"})
    found = file_rows(rows, now=NOW).to_pylist()
    assert [row["object_id"] for row in found] == [
        file_object_id("demo", "ada", "ü.jpg"),
        file_object_id("demo", "ben", "b.jpg"),
    ]
    for row in found:
        told = {name: row[name] for name in ("create_time", "update_time", "deleted_time", "moved_to", "source")}
        assert told == {"create_time": NOW, "update_time": NOW, "deleted_time": None, "moved_to": None, "source": "s"}
    assert [row["size"] for row in found] == [3, None]
    assert set(found[0]) == set(FILES.names) - {"bucket", "run_id"}


def test_pictures_with_any_feature_have_features() -> None:
    rows = judged_files(
        *({"uri": "a", "embedding": []}, {"uri": "b"}, {"uri": "c", "image_score": 0.0, "content_hash": "h"}),
        *({"uri": "d", "media_type": "video", "image_score": 0.5}, bad("bad_time", uri="e", image_score=0.5)),
        {"uri": "f", "media_type": None, "image_score": 0.5},
    )
    found = feature_rows(rows, now=NOW)
    assert found["uri"].to_pylist() == ["a", "c"]
    assert found["content_hash"].to_pylist() == [None, "h"]
    assert found["object_id"].to_pylist() == [file_object_id("demo", "ada", uri) for uri in "ac"]
    assert found.column_names == FEATURE_ROWS.names
    assert {*found.column_names, "bucket", "run_id", "fingerprint"} == {*FILE_FEATURES.names, "content_hash"}


def test_figures_have_the_id_of_their_file() -> None:
    rows = judged_figures({"figure_id": "f", "uri": "a"}, bad("figure_erased", figure_id="g"))
    (row,) = figure_rows(rows, now=NOW).to_pylist()
    assert (row["figure_id"], row["object_id"], row["update_time"]) == ("f", file_object_id("demo", "ada", "a"), NOW)
    assert set(row) == set(FIGURES.names) - {"bucket", "run_id"}


def test_datasets_are_those_of_accepted_rows() -> None:
    rows = judged_files({}, {"dataset_name": "ben"}, bad("bad_time", dataset_name="cy"), {})
    found = dataset_rows(rows, now=NOW).to_pylist()
    assert [row["dataset_name"] for row in found] == ["ada", "ben"]
    nothing = dict.fromkeys(DATASETS.names)
    assert found[0] == {
        **nothing,
        "project_name": "demo",
        "dataset_name": "ada",
        "create_time": NOW,
        "update_time": NOW,
    }
