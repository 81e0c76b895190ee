"""`jobs.sources.sources`: sources of this machine are found, and told apart, without Spark."""

from __future__ import annotations

import logging
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake
from deltalake.exceptions import DeltaError
from pyspark.sql import SparkSession

from jobs.sources import delta_tables, sources
from jobs.sources.sources import FORMATS, Source, find_source, open_source
from schemas.errors import SourceError, UsageError


def no_spark() -> SparkSession:
    pytest.fail("what is here is found without Spark")


@pytest.fixture(autouse=True)
def no_executors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another test of this process may have started Spark, which then would be asked."""
    monkeypatch.setattr(sources, "has_executors", lambda start_spark: False)


def find(uri: Path | str, format: sources.Format | None = None) -> Source:
    return find_source(str(uri), format=format, start_spark=no_spark)


def test_rows_are_counted_in_footers_and_guessed_by_bytes(tmp_path: Path) -> None:
    pq.write_table(pa.table({"uri": ["a", "b"]}), tmp_path / "a.parquet")
    assert (find(tmp_path).format, find(tmp_path).rows) == ("parquet", 2)
    (tmp_path / "a.csv").write_bytes(b"x" * 2560)
    (tmp_path / "b.csv.gz").write_bytes(b"x" * 320)
    assert find(tmp_path / "[ab].csv*").rows == 20
    write_deltalake(str(tmp_path / "delta"), pa.table({"uri": ["a"]}))
    assert (find(tmp_path / "delta").format, find(tmp_path / "delta").rows) == ("delta", 1)


def test_what_names_the_files(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv", "c.jsonl"):
        (tmp_path / name).write_text("{}")
    source = find(f"file://{tmp_path}/*.csv")
    assert source.is_here
    assert source.files == {f"{tmp_path}/a.csv": 2, f"{tmp_path}/b.csv": 2}
    assert source.spark_files == {f"file://{tmp_path}/a.csv": 2, f"file://{tmp_path}/b.csv": 2}
    assert [*find(tmp_path, "json").files] == [f"{tmp_path}/c.jsonl"]
    assert [*find(tmp_path / "a.csv", "json").files] == [f"{tmp_path}/a.csv"]  # as it is told


@pytest.mark.parametrize(
    ("name", "content", "format"),
    [
        ("a.csv", "x", "csv"),
        ("A.CSV.GZ", "x", "csv"),
        ("a.ndjson", "{}", "json"),
        ("a.json", '{"URI": "a"}', "imm"),
        ("a.json", '{"URI": "a", "uri": "b"}', "json"),
        ("a", '\ufeff [{"uri": 1}]', "json"),
        ("a.jpg", "x", "photos"),
    ],
)
def test_formats(tmp_path: Path, name: str, content: str, format: str) -> None:
    (tmp_path / name).write_text(content)
    assert find(tmp_path).format == format


def test_sidecars_belong_to_photos(tmp_path: Path) -> None:
    for name in ("a.jpg", "a.jpg.json", "notes.txt"):
        (tmp_path / name).write_text("x")
    assert find(tmp_path).format == "photos"


def test_files_of_other_kinds_are_passed_over_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "a.csv").write_text("uri")
    (tmp_path / "notes.txt").write_text("x")
    with caplog.at_level(logging.WARNING):
        assert [*find(tmp_path).files] == [f"{tmp_path}/a.csv"]
    assert f"1 files with other suffixes are passed over, as {tmp_path}/notes.txt" in caplog.text


@pytest.mark.parametrize("format", [None, *(format for format in FORMATS if format != "photos")])
@pytest.mark.parametrize("name", ["no-such", "no-such-*"])
def test_missing_sources(tmp_path: Path, format: sources.Format | None, name: str) -> None:
    with pytest.raises(SourceError, match="no-such"):
        find(tmp_path / name, format)


def test_formats_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="xml"):
        find(tmp_path, "xml")  # type: ignore[arg-type]


def test_a_bad_pattern(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="has a brace without the other"):
        find(tmp_path / "{a")


@pytest.mark.parametrize(
    ("name", "is_loadable"), [("a.csv.gz", True), ("a.csv.lz4", False), ("a.jsonl", True), ("a.jpg", False)]
)
def test_what_this_process_reads(tmp_path: Path, name: str, is_loadable: bool) -> None:
    (tmp_path / name).write_text("x")
    assert find(tmp_path).is_loadable == is_loadable


def test_a_path_that_is_not_here_may_be_on_a_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Asked(Exception):
        """Spark was asked."""

    def start_spark() -> SparkSession:
        raise Asked

    monkeypatch.setattr(sources, "has_executors", lambda start_spark: True)
    for uri in (f"{tmp_path}/no-such", f"{tmp_path}/*.csv", "hdfs://node/in"):
        with pytest.raises(Asked):
            find_source(uri, start_spark=start_spark)
    (tmp_path / "a.csv").write_text("uri")
    assert find_source(str(tmp_path), start_spark=start_spark).is_here


def test_broken_parquet_is_named(tmp_path: Path) -> None:
    table = pa.table({"uri": [f"{number:08}" for number in range(10_000)]})
    pq.write_table(table, tmp_path / "a.parquet")
    content = bytearray((tmp_path / "a.parquet").read_bytes())
    content[1000:2000] = bytes(1000)
    (tmp_path / "b.parquet").write_bytes(content)
    source = find(tmp_path)
    with pytest.raises(SourceError, match=r"/b.parquet can't be read as parquet"):
        open_source(source).read_all()
    (tmp_path / "c.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(SourceError, match=r"/c.parquet can't be read as parquet"):
        find(tmp_path)


@pytest.mark.parametrize("twice", ["a", "b"])
def test_a_column_that_is_twice_in_one_of_several_parquet_files_is_named(tmp_path: Path, twice: str) -> None:
    uris = pa.array(["1.jpg"])
    pq.write_table(pa.Table.from_arrays([uris] * 3, ["uri", "title", "title"]), tmp_path / f"{twice}.parquet")
    pq.write_table(pa.table({"uri": uris, "camera": uris}), tmp_path / f"{'ab'[twice == 'a']}.parquet")
    with pytest.raises(SourceError, match=r"of the columns \['uri', 'title', 'title'\] each needs a name of its own"):
        open_source(find(tmp_path)).read_all()


def test_a_delta_table_that_delta_rs_cannot_open_keeps_its_uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows tell by it what they came from: `sync` finds by it which files are gone."""
    path = str(tmp_path / "delta")
    write_deltalake(path, pa.table({"uri": ["a"]}))

    def refuse(uri: str) -> None:
        raise DeltaError("a feature that is not known")

    for module in (sources, delta_tables):
        monkeypatch.setattr(module, "open_delta", refuse)
    asked: list[str] = []
    monkeypatch.setattr(sources.spark_files, "delta_bytes", lambda spark, uri: asked.append(uri) or 320)
    source = find_source(path, start_spark=lambda: None)
    assert (source.uri, source.spark_uri, source.rows, asked) == (path, f"file://{path}", 10, [f"file://{path}"])
    with pytest.raises(delta_tables.NotReadHere, match="a feature that is not known"):
        open_source(source)
