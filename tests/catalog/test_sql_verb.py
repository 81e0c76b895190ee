"""The verb `sql`: one SELECT over the tables and views, in four formats, read only."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from catalog import duckdb_lake
from catalog.duckdb_lake import open_lake
from catalog.views import VIEWS
from jobs.cli.main import lakealbum, run
from schemas.lake import TABLES
from tests.jobs.albums import Album

ROOT = Path(__file__).parents[2]
Ask = Callable[..., tuple[int, str, str]]


@pytest.fixture
def ask(library: Album, capfdbinary: pytest.CaptureFixture[bytes]) -> Ask:
    """Runs the verb: its exit code, what it printed, what it said on stderr."""

    def asked(*arguments: str) -> tuple[int, str, str]:
        code = run(lakealbum, ["sql", *arguments, "--lake", library.lake])
        printed, said = capfdbinary.readouterr()
        return code, printed.decode(), said.decode()

    return asked


TRIPS = (
    "SELECT title, first_day, days, images FROM trips WHERE level = 'city' AND dataset_name = 'ada' ORDER BY 2 LIMIT 3"
)


def test_a_table_to_read(ask: Ask) -> None:
    code, printed, _ = ask(TRIPS)
    assert code == 0
    lines = [line.split() for line in printed.splitlines()]
    assert lines[0] == ["title", "first_day", "days", "images"]
    assert lines[1][:3] == ["Lisbon", "2019-05-10", "4"]
    assert printed.splitlines()[3].startswith("Cherry blossom")  # the title that people gave


def test_csv_and_json_have_every_type(ask: Ask, tmp_path: Path) -> None:
    statement = (
        "SELECT 'a, \"b\"' AS text, 1 AS whole, 0.5::DOUBLE AS part, sum(2::BIGINT) AS large, true AS yes, "
        "NULL AS nothing, "
        "DATE '2026-03-04' AS day, TIMESTAMPTZ '2026-03-04 05:06:07.5+01' AS instant, [1, 2] AS list, "
        "MAP {'k': 'v'} AS labels, {'x': 1} AS box, '\\xAB'::BLOB AS bytes"
    )
    _, printed, _ = ask(statement, "--format", "csv")
    (row,) = csv.DictReader(io.StringIO(printed))
    told = {
        "text": 'a, "b"', "whole": "1", "part": "0.5", "large": "2", "yes": "true", "nothing": "", "day": "2026-03-04",
        "instant": "2026-03-04T04:06:07.500000Z", "list": "[1, 2]", "labels": '{"k": "v"}', "box": '{"x": 1}',
        "bytes": "ab",
    }  # fmt: skip
    assert row == told
    code, printed, _ = ask(statement, "--format", "json", "--out", str(tmp_path / "rows.json"))
    assert (code, printed) == (0, "")
    (found,) = json.loads((tmp_path / "rows.json").read_text())
    assert found == told | {"whole": 1, "part": 0.5, "large": 2, "yes": True, "nothing": None, "list": [1, 2],
                            "labels": {"k": "v"}, "box": {"x": 1}}  # fmt: skip


def test_many_rows_come_in_batches(ask: Ask) -> None:
    count = 2 * duckdb_lake.BATCH_ROWS + 1
    _, printed, _ = ask(f"SELECT range AS n FROM range({count})", "--format", "json")
    assert [row["n"] for row in json.loads(printed)] == list(range(count))
    assert ask("SELECT 1 AS n WHERE false", "--format", "json")[1] == "[]\n"


def test_parquet_is_as_the_tables(ask: Ask, library: Album, tmp_path: Path) -> None:
    out = tmp_path / "trips.parquet"
    assert ask("SELECT * FROM location_date_clusters", "--format", "parquet", "--out", str(out))[0] == 0
    table = pq.read_table(out, partitioning=None)
    assert table.num_rows == len(library.clusters())
    assert table.column_names == TABLES["location_date_clusters"].names


@pytest.mark.long
def test_a_statement_comes_from_stdin(library: Album) -> None:
    command = [sys.executable, "-m", "jobs.cli.main", "sql", "-", "--lake", library.lake, "--format", "csv"]
    done = subprocess.run(command, input=b"SELECT 1 AS one", cwd=ROOT, capture_output=True, check=True)
    assert done.stdout == b"one\n1\n"


@pytest.mark.long
@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("DELETE FROM files", "DELETE; one SELECT is accepted"),
        ("COPY (SELECT 1) TO '/tmp/x.csv'", "COPY"),
        ("SELECT 1; DROP VIEW trips", "SELECT, DROP; one SELECT"),
        ("ATTACH '/tmp/x.db'", "ATTACH"),
        ("SET threads = 1", "SET"),
        ("", "nothing"),
        ("SELEC 1", "syntax error"),
        ("SELECT nothing FROM trips", '"nothing" not found'),
        ("SELECT * FROM journeys", "views: live_files, cluster_decisions, trips"),
        ("SELECT 1 AS a, 2 AS a", "two columns are called 'a'"),
    ],
)
def test_what_is_no_select_is_refused(ask: Ask, statement: str, told: str) -> None:
    code, printed, said = ask(statement, "--format", "csv")
    assert (code, printed) == (2, "")
    assert told in said


def test_what_fails_while_it_runs_is_told(ask: Ask) -> None:
    code, _, said = ask("SELECT CAST(title AS INTEGER) FROM trips")
    assert code == 1
    assert "Could not convert string" in said
    assert "Traceback" not in said


def test_options_are_checked_first(ask: Ask, tmp_path: Path) -> None:
    assert "xml" in ask("SELECT 1", "--format", "xml")[2]
    code, _, said = ask("SELECT 1 AS a", "--out", str(tmp_path / "none" / "a.csv"))
    assert code == 2
    assert "cannot be written" in said


@pytest.mark.long
def test_nothing_of_the_lake_is_changed(ask: Ask, library: Album) -> None:
    before = library.versions()
    code, printed, _ = ask("SELECT count(*) AS n FROM cluster_files JOIN clusters USING (object_id)", "--format", "csv")
    assert (code, int(printed.splitlines()[1]) > 300) == (0, True)
    assert library.versions() == before


def test_without_duckdb_it_says_what_to_install(
    library: Album, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "duckdb", None)
    assert run(lakealbum, ["sql", "SELECT 1", "--lake", library.lake]) == 2
    assert "pip install 'lakealbum[sql]'" in capsys.readouterr().err


@pytest.mark.long
def test_notebooks_open_everything(library: Album) -> None:
    connection = open_lake(library.lake)
    assert isinstance(connection, duckdb.DuckDBPyConnection)
    names = {name for (name,) in connection.execute("SHOW TABLES").fetchall()}
    assert names == TABLES.keys() | VIEWS.keys()
