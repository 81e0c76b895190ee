"""A family's library: trips of seven years with copies, faces and refused rows, clustered by the jobs without Spark.

What the checks, the analysts' page and the notebooks read. Made up, the same each time.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from catalog.commits import append
from catalog.figures import Change, FigureQuery, query_figures, update_person
from catalog.lake import Lake, Scope
from catalog.location_dates import LocationDateQuery, delete_cluster, query_location_dates, update_cluster
from catalog.similar_images import Marks, SimilarImageQuery, query_similar_images
from catalog.similar_images import update_cluster as update_images
from schemas.lake import TABLES, bucket_of
from tests.jobs.albums import PROJECT, Album
from tests.jobs.deliveries import BUCKETS, RUN

Row = dict[str, Any]

# whose, where (with degrees and hours east of UTC), from when, days, pictures a day
STAYS = (
    ("ada", ("Portugal", "Lisbon", "Lisbon"), (38.72, -9.14, 1), date(2019, 5, 10), 4, 6),
    ("ada", ("Portugal", "Porto", "Porto"), (41.15, -8.61, 1), date(2019, 5, 14), 2, 6),
    ("ada", ("Japan", "Kyoto", "Kyoto"), (35.01, 135.77, 9), date(2021, 3, 27), 4, 7),
    ("ada", ("Japan", "Nara", "Nara"), (34.69, 135.80, 9), date(2021, 3, 31), 1, 5),
    ("ada", ("United Kingdom", "Scotland", "Edinburgh"), (55.95, -3.19, 0), date(2022, 12, 30), 4, 5),
    ("ada", ("France", "Ile-de-France", "Paris"), (48.86, 2.35, 2), date(2024, 10, 1), 3, 8),
    ("ada", ("Spain", "Andalusia", "Seville"), (37.39, -5.98, 2), date(2025, 4, 4), 3, 6),
    ("ben", ("Germany", "Berlin", "Berlin"), (52.52, 13.40, 2), date(2020, 7, 4), 3, 5),
    ("ben", ("Czechia", "Prague", "Prague"), (50.08, 14.44, 2), date(2020, 7, 7), 3, 6),
    ("ben", ("Austria", "Vienna", "Vienna"), (48.21, 16.37, 2), date(2023, 8, 5), 3, 5),
    ("ben", ("Australia", "New South Wales", "Sydney"), (-33.87, 151.21, 11), date(2024, 12, 28), 5, 6),
)
BORN = {"Ada": 1980, "Ben": 1978, "Kim": 2012}
"""Who is in the pictures, the first at the most; how old somebody is follows."""
COUNTRIES = {
    "Portugal": (-9.5, 37.0, -6.2, 42.1),
    "Spain": (-6.2, 36.0, 3.3, 43.7),
    "France": (-1.6, 43.7, 7.5, 50.5),
    "Germany": (6.0, 47.5, 15.0, 54.8),
    "Japan": (130.0, 31.5, 141.5, 41.5),
    "Australia": (114.0, -38.0, 153.0, -12.0),
}
"""West, south, east and north of countries, roughly."""
REFUSED = {"phone-export.jsonl": {"bad_time": 5, "duplicate_uri": 3}, "old-disk.csv": {"latitude_out_of_range": 2}}


def make_library(root: Path) -> Album:
    """The lake of the family, clustered and edited."""
    album = Album(root)
    pictures = list(_pictures())
    album.deliver(pictures)
    album.deliver_faces(list(_faces(pictures)))
    _record_delivery(album, len(pictures))
    append(album.lake, TABLES["areas"], [_area(name, *sides) for name, sides in COUNTRIES.items()])
    album.cluster(levels=("country", "city"), max_days=30)
    album.cluster_similar_images()
    album.cluster_figures()
    _edit(Lake(album.lake))
    return album


def _pictures() -> Iterator[Row]:
    """The pictures of all stays; some have a smaller copy, some are one of a burst of three; the last are undated."""
    chance = random.Random(5)
    for dataset, (country, province, city), (latitude, longitude, hours), first, days, a_day in STAYS:
        zone = timezone(timedelta(hours=hours))
        for day in range(days):
            for number in range(a_day):
                taken = datetime.combine(first + timedelta(days=day), time(9 + number, chance.randrange(60)), zone)
                size, look = chance.randrange(2_000_000, 7_000_000), chance.getrandbits(256)
                picture: Row = {
                    "dataset_name": dataset,
                    "uri": f"s3://{dataset}/{taken:%Y-%m-%d}/{city}-{number}.jpg",
                    "media_type": "image",
                    "produce_time": taken.isoformat(),
                    "latitude": latitude + chance.uniform(-0.03, 0.03),
                    "longitude": longitude + chance.uniform(-0.03, 0.03),
                    "address": {"country": country, "province": province, "city": city},
                    "image_width": 4000,
                    "image_height": 3000,
                    "camera_make": "Apple",
                    "camera_model": "iPhone",
                    "size": size,
                    "content_hash": hashlib.sha256(str(look).encode()).hexdigest(),
                    "perceptual_hash": f"{look:064x}",
                    "perceptual_hash_quality": 100,
                    "image_score": round(chance.uniform(0.6, 0.95), 3),
                }
                yield picture
                if number % 3 == 1:
                    stem = picture["uri"].removesuffix(".jpg")
                    smaller = {"image_width": 2000, "image_height": 1500, "size": size // 4, "image_score": 0.5}
                    content = hashlib.sha256(f"{look} smaller".encode()).hexdigest()
                    yield {**picture, **smaller, "uri": f"{stem}-edited.jpg", "content_hash": content}
                if number % 5 == 2:
                    for shot in (1, 2):
                        later = {
                            "uri": picture["uri"].replace(".jpg", f"-burst{shot}.jpg"),
                            "produce_time": (taken + timedelta(seconds=shot)).isoformat(),
                            "perceptual_hash": f"{look ^ (2 ** (6 * shot) - 1):064x}",
                            "content_hash": hashlib.sha256(f"{look} {shot}".encode()).hexdigest(),
                            "image_score": round(picture["image_score"] - 0.1 * shot, 3),
                        }
                        yield {**picture, **later}
    for number in range(3):
        yield {"dataset_name": "ada", "uri": f"s3://ada/scans/{number}.jpg", "media_type": "image", "size": 900_000}


def _faces(pictures: list[Row]) -> Iterator[Row]:
    """One to three faces in every other picture of ada's that is no copy."""
    noise = np.random.default_rng(11)
    looks = {name: _unit(noise.standard_normal(64)) for name in BORN}
    originals = [
        row for row in pictures if row["dataset_name"] == "ada" and "address" in row and "-b" not in row["uri"]
    ]
    for place, picture in enumerate(originals[::2]):
        for name in list(BORN)[: 1 + place % 3]:
            embedding = _unit(looks[name] + _unit(noise.standard_normal(64)) * 0.4)
            yield {
                "dataset_name": "ada",
                "figure_id": f"{place:03}-{name.lower()}",
                "uri": picture["uri"],
                "boundary": {"left": 100, "top": 100, "width": 160, "height": 180},
                "head_pose": {"yaw": 4.0, "pitch": -3.0, "roll": 1.0},
                "face_quality": 0.93,
                "age": int(picture["produce_time"][:4]) - BORN[name] + place % 2,
                "gender": "male" if name == "Ben" else "female",
                "embedding": [round(float(value), 6) for value in embedding],
            }


def _area(name: str, *sides: float) -> Row:
    """A country, as a box."""
    return {
        "area_id": f"boxes:{name}",
        "level": "country",
        "code": name,
        "name": name,
        "names": {"en": name},
        "geometry": shapely.to_wkb(shapely.box(*sides)),
        "tiles": [],
        "source": "boxes",
        "run_id": RUN,
    }


def _unit(row: np.ndarray) -> np.ndarray:
    return row / np.linalg.norm(row)


def _record_delivery(album: Album, accepted: int) -> None:
    """The run that took the pictures in, and what it refused."""
    now = datetime(2026, 1, 5, 8, tzinfo=UTC)
    refused = [
        {
            "bucket": bucket_of(PROJECT, "ada", BUCKETS),
            "project_name": PROJECT,
            "dataset_name": "ada",
            "reject_id": hashlib.sha256(f"{source} {reason} {number}".encode()).hexdigest(),
            "source": source,
            "reason": reason,
            "message": f"{reason}: row {number}",
            "row": f'{{"uri": "s3://ada/refused/{number}.jpg"}}',
            "reject_time": now,
            "run_id": RUN,
        }
        for source, reasons in REFUSED.items()
        for reason, rows in reasons.items()
        for number in range(rows)
    ]
    append(album.lake, TABLES["rejected"], refused)
    counts = {f"rejected.{reason}": rows for reasons in REFUSED.values() for reason, rows in reasons.items()}
    run = {
        "run_id": RUN,
        "task_id": f"FileIndexing-{RUN}",
        "job": "index-files",
        "project_name": PROJECT,
        "parameters": '{"source": ["phone-export.jsonl", "old-disk.csv"]}',
        "config_hash": hashlib.sha256(b"delivery").hexdigest(),
        "code_version": "0",
        "row_counts": {"input": accepted + len(refused), "accepted": accepted, **counts, "rejected.inserted": 10},
        "start_time": now,
        "end_time": now,
        "status": "Succeeded",
    }
    append(album.lake, TABLES["runs"], [run])


def _edit(lake: Lake) -> None:
    """Titles of two trips, a trip deleted, a copy kept, names of people."""
    scope = Scope(PROJECT)
    cities = query_location_dates(lake, LocationDateQuery(scope, levels=("city",), max_results=100)).rows
    trips = {row["city"]: row["object_id"] for row in cities}
    update_cluster(lake, scope, trips["Kyoto"], {"title": "Cherry blossom"})
    update_cluster(lake, scope, trips["Sydney"], {"title": "New Year down under"})
    delete_cluster(lake, scope, trips["Nara"])
    for group in query_similar_images(lake, SimilarImageQuery(Scope(PROJECT, ("ben",)))).rows[:1]:
        update_images(lake, scope, group["object_id"], {}, Marks(keep=(group["members"][-1]["uri"],)))
    found = query_figures(lake, FigureQuery(Scope(PROJECT, ("ada",)), sort="FaceCount", order="desc")).rows
    for name, person in zip(BORN, found, strict=True):
        update_person(lake, scope, person["object_id"], Change({"title": name}))
