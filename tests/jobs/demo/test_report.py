"""Tests of jobs/demo/report.py: which clusters the demo shows, and how."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any, cast

import pytest

from catalog.lake import Lake, Row, Scope
from jobs.demo.report import HOME_STAYS, Album, Report, print_report


def cluster(level: str, path: str, first: date, last: date, files: int = 3) -> Row:
    """A cluster of the place `path`, country first."""
    names = path.split("/")
    days = (last - first).days + 1
    address = dict(zip(("country", "province", "city"), names, strict=False))
    return {
        "dataset_name": "ada",
        "object_id": f"location-date-cluster-{path}-{first}",
        "level": level,
        "place_key": path.lower(),
        "title": names[-1],
        **{name: address.get(name) for name in ("country", "province", "city", "district", "township")},
        "first_day": first,
        "last_day": last,
        "days": days,
        "days_with_files": days,
        "files": files,
        "images": files,
        "videos": 0,
    }


HOME = [
    cluster("city", "UK/England/London", date(2025, 1, day), date(2025, 1, day)) for day in range(1, 2 * HOME_STAYS, 2)
]
PORTUGAL = cluster("country", "PT", date(2025, 5, 10), date(2025, 5, 15))
LISBON = cluster("city", "PT/Lisbon/Lisbon", date(2025, 5, 10), date(2025, 5, 15))
PORTO = cluster("city", "PT/Porto/Porto", date(2025, 5, 13), date(2025, 5, 13))
BATH = cluster("city", "UK/England/Bath", date(2025, 7, 1), date(2025, 7, 2))
UK = cluster("country", "UK", date(2025, 7, 1), date(2025, 7, 2))


def test_cities_of_a_foreign_country_are_parts_of_one_trip() -> None:
    album = Album.of("ada", [*HOME, PORTUGAL, LISBON, PORTO, UK, BATH])
    assert album.trips == [(PORTUGAL, [LISBON, PORTO]), (BATH, [])]
    assert album.home == HOME


def test_a_country_with_one_city_leads_with_the_city() -> None:
    assert Album.of("ada", [*HOME, PORTUGAL, LISBON]).trips == [(LISBON, [])]


def test_without_enough_stays_no_city_is_home() -> None:
    album = Album.of("ada", [*HOME[1:], PORTUGAL, LISBON])
    assert album.home == []
    assert album.trips == [*((row, []) for row in HOME[1:]), (LISBON, [])]


def test_the_report_shows_trips_home_and_refusals(capsys: pytest.CaptureFixture[str]) -> None:
    clusters = [*HOME, PORTUGAL, LISBON, PORTO]
    said = print_and_read(capsys, clusters, {"input": 12, "accepted": 10, "rejected.uri_missing": 2})
    assert "PT 10-15 May 2025 6 3 0" in said
    assert "home: London 5 stays 5 15 0 England, UK" in said
    assert "12 rows in source: 10 files were taken in." in said
    assert "2 uri_missing the row has no uri, or a blank one" in said
    assert "explain --project demo PT-2025-05-10" in said


def test_without_trips_the_report_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    said = print_and_read(capsys, [], {"input": 1, "accepted": 1, "rejected.inserted": 2})
    assert "no file has both a time and a place" in said
    assert "refused" not in said.lower()
    assert "query files --project demo" in said


def print_and_read(capsys: pytest.CaptureFixture[str], clusters: list[Row], counts: dict[str, int]) -> str:
    """What is printed about clusters, single-spaced; no lake is opened for it."""
    lake = cast("Lake", OpenLake())
    print_report(Report(lake, Scope("demo"), Path("source"), clusters, counts, changed=True, undated=0))
    return " ".join(capsys.readouterr().out.split())


class OpenLake:
    """As much of a lake as is printed."""

    root: Any = "demo-lake"
