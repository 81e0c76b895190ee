"""A lake on S3 without a JVM: filled, clustered, queried; few requests; one sentence where something is missing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from catalog.commits import append
from catalog.lake import Lake
from jobs.cli.main import lakealbum, run
from schemas.tasks import TASKS
from tests.jobs.albums import Album, photo
from tests.s3.server import Server

MOST_REQUESTS = 100
"""Of a clustering that finds nothing new, in a process that has to open each table."""


@dataclass
class S3Album(Album):
    """The same, its lake in a bucket."""

    name: str = "album"

    @property
    def lake(self) -> str:
        return f"s3://lake/{self.name}"


@pytest.fixture
def album(s3: Server, tmp_path: Path) -> S3Album:
    """Two trips of one library."""
    album = S3Album(tmp_path, name=tmp_path.name)
    days = ("2026-03-04", "2026-03-05", "2026-04-01")
    album.deliver([photo(day, "China/Zhejiang/Hangzhou", n=number) for number, day in enumerate(days)])
    return album


@pytest.mark.long
def test_a_lake_in_a_bucket_is_one_like_any_other(
    s3: Server, album: S3Album, capsys: pytest.CaptureFixture[str]
) -> None:
    album.cluster()
    assert len(album.trips()) == 2
    assert (
        run(lakealbum, ["query", "location-date", "--lake", album.lake.replace("s3:", "s3a:"), "--project", "demo"])
        == 0
    )
    assert "Hangzhou" in capsys.readouterr().out
    before = s3.requests()
    again = album.cluster()
    asked = s3.requests() - before
    assert again.ledger.outputs == {}
    assert asked < MOST_REQUESTS


@pytest.mark.long
def test_it_is_read_in_sql_and_its_data_are_tested(album: S3Album, capfd: pytest.CaptureFixture[str]) -> None:
    album.cluster()
    capfd.readouterr()
    select = (
        "SELECT t.title, t.first_day, count(*) AS files FROM trip_files JOIN trips AS t USING (object_id) "
        "WHERE t.level = 'city' GROUP BY ALL ORDER BY first_day"
    )
    assert run(lakealbum, ["sql", select, "--lake", album.lake, "--format", "csv"]) == 0
    rows = ["title,first_day,files", "Hangzhou,2026-03-04,2", "Hangzhou,2026-04-01,1"]
    assert capfd.readouterr().out.splitlines() == rows
    assert run(lakealbum, ["check", "--lake", album.lake, "--only", "contract", "--only", "trip days"]) == 0


@pytest.mark.long
def test_tables_that_are_open_cost_few_requests_a_look(s3: Server, album: S3Album) -> None:
    lake = Lake(album.lake)
    lake.table(TASKS)
    before = s3.requests()
    for _ in range(10):
        lake.table(TASKS)
    assert s3.requests() - before <= 10
    append(album.lake, TASKS, [])
    table = lake.table(TASKS)
    assert table is not None
    assert table.version() == Lake(album.lake).table(TASKS).version()  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("variable", "value", "root", "told"),
    [
        ("AWS_SECRET_ACCESS_KEY", "wrong", "s3://lake/x", "SignatureDoesNotMatch"),
        ("AWS_ACCESS_KEY_ID", "nobody", "s3://lake/x", "access key ID"),
        ("AWS_REGION", "eu-west-1", "s3://no-such-bucket/x", "NoSuchBucket"),
        ("AWS_REGION", "eu-west-1", "s3://lake/empty", "there is no lake at 's3://lake/empty'"),
    ],
)
@pytest.mark.usefixtures("s3")
def test_what_is_missing_is_told_in_one_sentence(
    variable: str,
    value: str,
    root: str,
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(variable, value)
    options = ["--gap-days", "1", "--min-days", "1", "--max-days", "9", "--levels", "city"]
    for command in (["query", "location-date"], ["cluster", "location-date", *options]):
        assert run(lakealbum, [*command, "--lake", root]) == 1
        said = capsys.readouterr().err.strip().splitlines()
        assert len(said) == 1
        assert told in said[0]
