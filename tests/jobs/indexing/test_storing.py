"""What is stored of judged rows: by this process alone where they are a table, and alike by Spark."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from catalog.commits import append
from jobs.indexing.options import IndexFiles
from jobs.indexing.storing import store_rows
from jobs.runtime import by_bucket, commits
from jobs.runtime.lake import Lake
from jobs.runtime.progress import Progress
from jobs.runtime.runs import Run
from schemas.cluster_edits import CLUSTER_EDITS
from schemas.contract import Contract
from schemas.datasets import DATASETS
from schemas.figures import FIGURES
from schemas.file_features import FEATURES, FILE_FEATURES
from schemas.files import FILES
from schemas.lake import TABLES, bucket_of
from schemas.rejected import REJECTED
from schemas.settings import LakeSettings
from tests.jobs.albums import BY_SPARK, HERE, Row
from tests.jobs.deliveries import no_spark
from tests.transforms.sources.judged import judged_figures, judged_files
from transforms.pictures.files import BROKEN_PIXELS

pytestmark = pytest.mark.long

NOTHING: frozenset[str] = frozenset()
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
BY_BUCKET: Row = {"few": 1}
SPARK = pytest.param(BY_SPARK, marks=pytest.mark.slow)
WAYS = pytest.mark.parametrize("way", [HERE, BY_BUCKET, SPARK], ids=["here", "by bucket", "by Spark"])


class Store:
    """A new lake, and what runs, an hour after each other, store there of judged rows."""

    def __init__(self, root: Path, start_spark: Callable[[], SparkSession], way: Row) -> None:
        self.root, self.start_spark = str(root / "lake"), start_spark
        self.limits = {name: value for name, value in way.items() if name != "few"}
        self.runs = 0
        Lake.open(self.root, start_spark=start_spark, create=LakeSettings())

    def put(self, judged: pa.Table, *, untold: frozenset[str] = NOTHING, pictures: bool = False, **options: Any) -> Run:
        """Stores judged rows."""
        lake = Lake.open(self.root, start_spark=self.start_spark, **self.limits)
        config = IndexFiles(lake=self.root, project="demo", source=("s",), **options)
        name, now = f"run-{self.runs}", self.now
        self.runs += 1
        with Progress("test") as progress:
            run = Run(lake, name, name, name, name, now, False, progress)
            rows = judged if lake.driver_rows else lake.frame(judged)
            stored = store_rows(run, config, rows, "s3://s", untold=untold, are_pictures=pictures)
            assert isinstance(stored, pa.Table) == bool(lake.driver_rows)
            found = stored if isinstance(stored, pa.Table) else stored.toArrow()
        taken = [row["uri"] for row in judged.to_pylist() if row["reason"] is None]
        assert sorted(found["uri"].to_pylist()) == sorted(taken)
        return run

    @property
    def now(self) -> datetime:
        """When the next run begins."""
        return BEGAN + timedelta(hours=self.runs)

    def rows(self, contract: Contract) -> dict[str, Row]:
        """The rows of a table, by what tells them apart here."""
        by = {DATASETS: "dataset_name", REJECTED: "reason", FIGURES: "figure_id"}.get(contract, "uri")
        lake = Lake.open(self.root, start_spark=no_spark)
        rows = lake.load(contract, lake.version(contract)).to_pylist(maps_as_pydicts="strict")
        assert len({row[by] for row in rows}) == len(rows)
        for row in rows:
            if "bucket" in row:
                assert row["bucket"] == bucket_of("demo", row["dataset_name"], lake.settings.buckets)
        return {row[by]: row for row in rows}


@pytest.fixture
def store(way: Row, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store in which few rows are stored without Spark, in whole or by bucket, or all rows by Spark."""
    if "few" in way:
        monkeypatch.setattr(by_bucket, "FEW", way["few"])
    monkeypatch.setattr(commits, "MERGED_BYTES", 1)  # as if tables were large: for one of them no Spark is started
    session = request.getfixturevalue("spark") if way == BY_SPARK else None
    return Store(tmp_path, no_spark if session is None else lambda: session, way)


def bad(reason: str, **row: Any) -> Row:
    """A refused row."""
    return {"reason": reason, "message": f"{reason}; x is accepted", **row}


@WAYS
def test_files_are_stored_where_they_are_new_or_changed(store: Store) -> None:
    first = [
        {"uri": "a", "size": 1, "title": "A", "labels": ["x", None], "custom_labels": [("k", "v"), ("l", None)]},
        {"uri": "b", "size": 2, "title": "B", "dataset_name": "ben", "image_score": 0.5},
        {"uri": "c", "size": 3, "perceptual_hash": "c" * 64, "embedding": [0.5, -0.0], "thumbnail": b"t"},
    ]
    refused = [bad("bad_time", uri="x"), bad("dataset_missing", dataset_name=None, row='{"a": 1}')]
    run = store.put(judged_files(*first, *refused), dataset=("own",))
    told = {"input": 5, "accepted": 3, "rejected.bad_time": 1, "rejected.dataset_missing": 1, "datasets.inserted": 2}
    stored = {"rejected.inserted": 2, "files.inserted": 3, "file_features.inserted": 2}
    assert run.ledger.row_counts == {**told, **stored}
    assert run.ledger.examples["rejected.bad_time"] == "bad_time; x is accepted"
    assert run.ledger.sources == {"s3://s": {None: 3, "bad_time": 1, "dataset_missing": 1}}
    rejected = store.rows(REJECTED)
    assert {reason: row["dataset_name"] for reason, row in rejected.items()} == {
        "bad_time": "ada",
        "dataset_missing": "own",
    }
    assert set(store.rows(DATASETS)) == {"ada", "ben"}
    files, features = store.rows(FILES), store.rows(FILE_FEATURES)
    assert files["a"]["custom_labels"] == {"k": "v", "l": None}
    assert features["c"]["fingerprint"].startswith("c" * 64 + "/")

    assert store.put(judged_files(*first, *refused), dataset=("own",)).ledger.outputs == {}

    changed = [{**first[0], "size": 9, "title": None, "source": "t"}, {**first[1], "source": "t"}, {"uri": "d"}]
    run = store.put(judged_files(*changed), untold=frozenset({"title", *FEATURES}))
    assert run.ledger.row_counts == {"input": 3, "accepted": 3, "files.inserted": 1, "files.updated": 1}
    after = store.rows(FILES)
    assert after["a"] == {
        **files["a"],
        "size": 9,
        "source": "t",
        "update_time": store.now - timedelta(hours=1),
        "run_id": "run-2",
    }
    assert (after["b"], after["c"], store.rows(FILE_FEATURES)) == (files["b"], files["c"], features)
    assert (files["a"]["create_time"], after["d"]["create_time"]) == (BEGAN, BEGAN + timedelta(hours=2))


@WAYS
def test_features_that_a_source_does_not_tell_stay(store: Store) -> None:
    alike, other = {"uri": "a", "perceptual_hash": "a" * 64}, {"uri": "b", "perceptual_hash": "b" * 64}
    store.put(
        judged_files({**alike, "embedding": [0.5]}, {**other, "embedding": [0.5]}, {"uri": "c", "embedding": [1.0]})
    )
    looks = [{**alike, "image_score": 0.5}, {**other, "perceptual_hash": "d" * 64}]
    run = store.put(judged_files(*looks), untold=frozenset({"embedding"}))
    assert run.ledger.row_counts["file_features.updated"] == 2
    found = {uri: (row["fingerprint"], row["embedding"]) for uri, row in store.rows(FILE_FEATURES).items()}
    digest = "/17ad2af110d8d75a"
    assert (found["a"], found["b"]) == (("a" * 64 + digest, [0.5]), ("d" * 64, None))


@WAYS
def test_files_read_by_their_headers_keep_what_is_known_of_their_content(store: Store) -> None:
    whole = [
        {"uri": "a", "size": 1, "content_hash": "h", "warning": f"{BROKEN_PIXELS}: x"},
        {"uri": "b", "size": 1, "content_hash": "h"},
    ]
    store.put(judged_files(*whole), pictures=True)
    known = store.rows(FILES)
    headers = judged_files({"uri": "a", "size": 1}, {"uri": "b", "size": 2}, bad("unreadable", uri="c.PNG"))
    run = store.put(headers, pictures=True, hashes=False)
    assert run.ledger.row_counts["not_taken.png"] == 1
    after = store.rows(FILES)
    assert after["a"] == known["a"]
    assert (after["b"]["content_hash"], after["b"]["size"]) == (None, 2)


@WAYS
def test_figures_of_erased_people_stay_out_and_those_without_files_are_counted(store: Store) -> None:
    store.put(judged_files({"uri": "a"}, {"uri": "b"}))
    digest = hashlib.sha256(b"demo\nada\nf2").hexdigest()
    erasure = {"sequence": 1, "project_name": "demo", "dataset_name": "ada", "kind": "figures", "object_id": "o"}
    erasure |= {"action": "erase", "figure_digests": [digest], "edit_time": BEGAN}
    append(store.root, TABLES["cluster_edits"], [{**dict.fromkeys(CLUSTER_EDITS.names), **erasure}])
    faces = [
        {"figure_id": "f1", "uri": "a", "age": 3, "boundary": {"left": 1, "top": 2, "width": 3, "height": 4}},
        {"figure_id": "f2", "uri": "b"},
        {"figure_id": "f3", "uri": "missing", "embedding": [0.5]},
        {"figure_id": "f4", "uri": "a", "dataset_name": "ben"},
    ]
    run = store.put(judged_figures(*faces, bad("figure_erased", figure_id="f9")), rows="figures")
    counts = run.ledger.row_counts
    assert (counts["figures.inserted"], counts["figures.waiting_for_files"]) == (3, 2)
    assert run.ledger.examples["figures.waiting_for_files"] == "a is not among the files"
    known = store.rows(FIGURES)
    assert set(known) == {"f1", "f3", "f4"}

    again = [{**faces[0], "age": None}, {**faces[2], "uri": "b"}]
    run = store.put(judged_figures(*again), rows="figures", untold=frozenset({"age"}))
    assert run.ledger.row_counts == {"input": 2, "accepted": 2, "figures.updated": 1}
    assert store.rows(FIGURES)["f1"] == known["f1"]
    assert store.rows(FIGURES)["f3"]["uri"] == "b"


@WAYS
def test_of_refused_rows_alone_nothing_else_is_stored(store: Store) -> None:
    run = store.put(judged_files(bad("bad_time")))
    assert run.ledger.row_counts == {"input": 1, "accepted": 0, "rejected.bad_time": 1, "rejected.inserted": 1}
    assert set(run.ledger.outputs) == {"rejected"}
