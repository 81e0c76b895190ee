"""A source is stored alike in memory and bit by bit."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake

from jobs.index_files import index_files
from jobs.indexing import judging
from jobs.indexing.judging import Rules
from jobs.indexing.options import IndexFiles
from jobs.remove_files import RemoveFiles, remove_files
from jobs.runtime import by_bucket
from jobs.runtime.lake import Lake
from jobs.runtime.runs import run_job
from schemas.datasets import DATASETS
from schemas.errors import LakeError, UsageError
from schemas.figures import FIGURES
from schemas.file_features import FILE_FEATURES
from schemas.file_places import FILE_PLACES
from schemas.files import FILES
from schemas.rejected import REJECTED
from tests.jobs.albums import PROJECT, Album, photo
from tests.jobs.deliveries import no_spark

pytestmark = pytest.mark.long

OF_RUN = {"run_id", "create_time", "update_time", "reject_time"}
FILES_OF = 3
"""Datasets, in buckets of their own."""


def delivery(first: int, last: int, *, title: str) -> pa.Table:
    numbers = range(first, last)
    return pa.table(
        {
            "dataset_name": [f"d{number % FILES_OF}" for number in numbers],
            "uri": [f"s3://b/{number - number % 5 % 2 * 3}.jpg" for number in numbers],  # some twice
            "produce_time": ["2020-01-01T10:00:00+02:00" if number % 7 else "no time" for number in numbers],
            "latitude": [48.8 + number / 1e4 for number in numbers],
            "longitude": [2.3 for _ in numbers],
            "perceptual_hash": [f"{number:064x}" for number in numbers],
            "title": [title for _ in numbers],
        }
    )


def write(table: pa.Table, target: Path, format: str) -> None:
    if format == "delta":
        write_deltalake(str(target), table, mode="overwrite")
        return
    target.mkdir(exist_ok=True)
    half = table.num_rows // 2
    for name, part in {"a": table.slice(0, half), "b": table.slice(half)}.items():
        (csv.write_csv if format == "csv" else pq.write_table)(part, target / f"{name}.{format}")


def index(lake: Path, source: Path, **options: Any) -> dict[str, list[dict[str, Any]]]:
    config = IndexFiles(lake=str(lake), project="p", source=(str(source),), **options)
    with run_job(config, job="index-files", task_type="FileIndexing", create=config.settings) as run:
        index_files(run, config)
    opened = Lake.open(str(lake), start_spark=no_spark)
    found = {}
    for contract in (FILES, FILE_PLACES, FILE_FEATURES, FIGURES, REJECTED, DATASETS):
        kept = [name for name in contract.names if name not in OF_RUN]
        found[contract.name] = sorted(map(str, opened.load(contract, opened.version(contract), kept).to_pylist()))
    return found


@pytest.mark.parametrize("format", ["parquet", "csv", "delta"])
def test_sources_are_stored_alike_in_memory_and_bit_by_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str
) -> None:
    """Made, then delivered again with changes; the second lake as one of many rows is treated."""
    source = tmp_path / "source"
    for table in (delivery(0, 300, title="old"), delivery(100, 400, title="new")):
        write(table, source, format)
        in_memory = index(tmp_path / "lake", source)
        with monkeypatch.context() as patched:
            patched.setattr(judging, "JUDGED_AT_ONCE", 37)
            patched.setattr(by_bucket, "FEW", 1)
            assert index(tmp_path / "large", source) == in_memory
        assert all(rows for name, rows in in_memory.items() if name != "figures")


def test_figures_are_stored_alike_in_memory_and_bit_by_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, few = tmp_path / "source.parquet", by_bucket.FEW
    faces = pa.table(
        {
            "dataset_name": [f"d{number % FILES_OF}" for number in range(60)],
            "figure_id": [f"f{number % 50}" for number in range(60)],
            "uri": [f"{number}.jpg" for number in range(60)],
            "face_quality": [number / 50 for number in range(60)],
            "embedding": [[number / 7, 1.0] for number in range(60)],
        }
    )
    for table in (faces, faces.slice(7)):
        pq.write_table(table, source)
        lakes = []
        for name, limit in (("lake", few), ("large", 1)):
            monkeypatch.setattr(by_bucket, "FEW", limit)
            lakes.append(index(tmp_path / name, source, rows="figures"))
        assert lakes[0] == lakes[1]
        assert lakes[0]["figures"]
        assert lakes[0]["rejected"]


GIVEN = pa.schema([(name, pa.string()) for name in ("uri", "produce_time", "title", "perceptual_hash")])


class Deliveries:
    """A lake that takes sources bit by bit; `judged` has the uris of the rows that the last one had judged."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.judged = folder, [""]
        apply = Rules.apply

        def noting(rules: Rules, raw: pa.Table, *, threads: int | None = None) -> pa.Table:
            self.judged += raw["uri"].to_pylist()
            return apply(rules, raw, threads=threads)

        monkeypatch.setattr(Rules, "apply", noting)
        monkeypatch.setattr(by_bucket, "FEW", 1)

    def put(self, *files: dict[str, Any], **options: Any) -> dict[str, dict[str, Any]]:
        """Delivers rows; gives the files by uri."""
        told = {name for file in files for name in file} | {"title"}
        schema = pa.schema([field for field in GIVEN if field.name in told])
        pq.write_table(pa.Table.from_pylist([*files], schema), self.folder / "s")
        config = IndexFiles(
            lake=str(self.folder / "lake"), project="p", dataset=("d",), source=(str(self.folder / "s"),), **options
        )
        self.judged.clear()
        with run_job(config, job="index-files", task_type="FileIndexing", create=config.settings) as run:
            index_files(run, config)
            assert run.ledger.row_counts["input"] == len(files)
        lake = Lake.open(str(self.folder / "lake"), start_spark=no_spark)
        return {row["uri"]: row for row in lake.load(FILES, lake.version(FILES)).to_pylist()}


def test_rows_that_come_again_are_not_judged_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = Deliveries(tmp_path, monkeypatch)
    a, b, c = ({"uri": f"{name}.jpg"} for name in "abc")
    first = lake.put(a, b, c)
    assert (sorted(lake.judged), len(first)) == (["a.jpg", "b.jpg", "c.jpg"], 3)
    assert (lake.put(a, b, c), lake.judged) == (first, [])
    second = lake.put(a, {**b, "title": "new"}, c)
    assert (lake.judged, second["b.jpg"]["title"], second["a.jpg"]) == (["b.jpg"], "new", first["a.jpg"])
    assert (lake.put(a, b, c)["b.jpg"]["title"], lake.judged) == (None, ["b.jpg"])


def test_rows_of_before_are_judged_where_that_may_tell_another_thing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = Deliveries(tmp_path, monkeypatch)
    a, b = ({"uri": f"{name}.jpg", "produce_time": "2020-01-01T10:00:00"} for name in "ab")
    lake.put(a, b)
    local = lake.put(a, b, time_is="instant")
    assert (sorted(lake.judged), local["a.jpg"]["time_is"]) == (["a.jpg", "b.jpg"], "instant")
    lake.put(a, a, b, time_is="instant")
    assert lake.judged == ["a.jpg", "a.jpg"], "of two rows one is refused"
    lake.put(a, b, time_is="instant", map={"title": "description"})
    assert sorted(lake.judged) == ["a.jpg", "b.jpg"]
    remove_lake_files(lake.folder / "lake", "a.jpg")
    back = lake.put(a, b, time_is="instant")
    assert (lake.judged, back["a.jpg"]["deleted_time"]) == (["a.jpg"], None)


def remove_lake_files(lake: Path, uri: str) -> None:
    config = RemoveFiles(lake=str(lake), project="p", dataset=("d",), uri=(uri,))
    with run_job(config, job="remove-files", task_type="FileRemoval") as run:
        remove_files(run, config)


def test_rows_with_features_are_judged_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a run that was killed after it had stored files would else leave out."""
    lake = Deliveries(tmp_path, monkeypatch)
    row = {"uri": "a.jpg", "perceptual_hash": "0" * 64}
    for _ in range(2):
        lake.put(row)
        assert lake.judged == ["a.jpg"]


def test_photos_without_a_dataset_are_refused_before_one_is_read(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"not read")
    config = IndexFiles(lake=str(tmp_path / "lake"), project=PROJECT, source=(str(tmp_path / "photos"),))
    with (
        pytest.raises(UsageError, match="photos do not tell their dataset, so one --dataset must be given"),
        run_job(config, job="index-files", task_type="FileIndexing", create=config.settings) as run,
    ):
        index_files(run, config)


def test_a_lake_that_lacks_a_table_or_a_file_of_one_is_told_so(tmp_path: Path) -> None:
    album = Album(tmp_path)
    album.deliver([photo("2026-03-04", "Italy/Lazio/Rome")])
    for file in (tmp_path / "lake" / "file_places").rglob("*.parquet"):
        file.unlink()
    with pytest.raises(LakeError, match=r"table .*/file_places/? cannot be read: .*not found"):
        album.cluster()
    shutil.rmtree(tmp_path / "lake" / "file_places")
    with pytest.raises(LakeError, match=r"has no table file_places: `lakealbum migrate --lake .*` makes it"):
        album.cluster()
    (tmp_path / "lake" / "file_places" / "_delta_log").mkdir(parents=True)
    (tmp_path / "lake" / "file_places" / "_delta_log" / f"{1:020}.json").write_text("{}\n")
    with pytest.raises(LakeError, match="table file_places cannot be opened"):
        album.cluster()
