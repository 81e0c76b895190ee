"""The same files in any split and order, re-delivered, under options that change between: always the same trips."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from schemas.contract import LEVELS
from tests.jobs.albums import Album, Row, photo
from tests.jobs.oracle import Trip, trips_of

PLACES = (
    "Italy/Lazio/Rome",
    "Italy/Lazio/Tivoli",
    "Italy/Veneto/Venice/San Marco",
    "USA/Oregon/Portland",
    "USA/Maine/Portland",
    "Singapore",
    "China/Beijing//Haidian",
)
OPTIONS: tuple[dict[str, Any], ...] = (
    {"gap_days": 1, "min_days": 1, "max_days": 15, "levels": ("city", "province")},
    {"gap_days": 3, "min_days": 2, "max_days": 9, "levels": ("city", "country")},
    {"gap_days": 0, "min_days": 1, "max_days": 99999, "levels": LEVELS},
)


def libraries(count: int, seed: int) -> list[Row]:
    """Files of `count` datasets, each on some days of two months at some places, some of them videos."""
    chance = random.Random(seed)
    rows = []
    for number in range(count):
        places = chance.sample(PLACES, chance.randint(1, 4))
        for n in range(chance.randint(1, 40)):
            day = f"2024-0{chance.choice((2, 3))}-{chance.randint(1, 29):02d}"
            media = chance.choice(("image", "image", "image", "video"))
            rows.append(
                photo(day, chance.choice(places), dataset=f"d{number:03d}", n=n, media_type=media, image_width=n + 1)
            )
    return rows


def trips_in(album: Album) -> set[Trip]:
    """The trips in the lake, as the oracle gives them."""
    return {
        (
            row["dataset_name"],
            row["level"],
            "/".join(row[level] or "" for level in LEVELS[: LEVELS.index(row["level"]) + 1]),
            str(row["first_day"]),
            str(row["last_day"]),
            row["files"],
            row["videos"],
        )
        for row in album.clusters()
    }


def spans_by_events(album: Album) -> dict[str, tuple[str, str]]:
    """First and last day of the clusters that there are, according to the events alone."""
    spans: dict[str, tuple[str, str]] = {}
    for event in album.rows("cluster_events", "cluster_version, object_id, event"):
        if event["event"] in ("removed", "merged_into"):
            del spans[event["object_id"]]
        else:
            known = event["object_id"] in spans
            assert known == (event["event"] in ("extended", "shrunk")), event
            spans[event["object_id"]] = (str(event["first_day"]), str(event["last_day"]))
    return spans


@pytest.mark.parametrize("seed", [1])
@pytest.mark.slow
def test_any_split_gives_the_trips_of_one_run_and_events_tell_every_change(
    tmp_path: Path, spark: SparkSession, seed: int
) -> None:
    chance = random.Random(seed)
    rows = libraries(60, seed)
    deliveries = rows + chance.sample(rows, len(rows) // 5)  # a fifth comes twice
    chance.shuffle(deliveries)
    cuts = sorted(chance.sample(range(1, len(deliveries)), 2))
    album = Album(tmp_path)
    delivered: list[Row] = []
    for turn, (start, end) in enumerate(zip([0, *cuts], [*cuts, len(deliveries)], strict=True)):
        album.index(deliveries[start:end])
        delivered += deliveries[start:end]
        options = OPTIONS[(turn + 1) % len(OPTIONS)]
        album.cluster(**options)
        assert trips_in(album) == trips_of(delivered, **options)
        clusters = album.clusters()
        spans = {row["object_id"]: (str(row["first_day"]), str(row["last_day"])) for row in clusters}
        assert len(spans) == len(clusters)
        assert spans_by_events(album) == spans
    before = album.versions()
    album.index(rows)
    album.cluster(**OPTIONS[0])
    assert album.versions() == before
