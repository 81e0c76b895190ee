"""Small sources of every kind for the chain on a cluster.

areas.geojson: two countries, each with cities of five degrees. files/: a year of two travellers, as JSON lines.
photos/: twelve pictures and a smaller copy of each. faces.jsonl: three people and a passer-by, in those pictures.
The same bytes every time.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pyarrow import fs

from transforms.demo.library import TRAVELLERS, library_lines

DATASETS = ("ada", "mei")
"""Travellers of the demo; pictures and faces are ada's."""
PICTURES = 12
PEOPLE = 3
Row = dict[str, Any]


def write_sources(folder: Path, root: str) -> None:
    """Writes all of them to a folder, and copies it to `root`, by way of the store's own API."""
    write_files(folder / "files")
    (folder / "photos").mkdir()
    collection = {"type": "FeatureCollection", "features": list(_areas())}
    (folder / "areas.geojson").write_text(json.dumps(collection), encoding="utf-8")
    for number in range(PICTURES):
        _draw(folder / "photos", number)
    faces = "".join(json.dumps(_face(number, f"{root}/photos")) + "\n" for number in range(PICTURES))
    (folder / "faces.jsonl").write_text(faces, encoding="utf-8")
    fs.copy_files(str(folder), f"{root}/")


def write_files(folder: Path) -> None:
    """Writes a year of DATASETS, a file each."""
    folder.mkdir(parents=True)
    for traveller in TRAVELLERS:
        if traveller.name in DATASETS:
            text = "".join(f"{line}\n" for line in library_lines(traveller))
            (folder / f"{traveller.name}.jsonl").write_text(text, encoding="utf-8")


def _areas() -> list[Row]:
    west = _area("W", "West", "country", -180, -90, 60, 90)
    east = _area("E", "East", "country", 60, -90, 180, 90)
    cells = ((x, y) for x in range(-180, 180, 5) for y in range(-60, 75, 5))
    return [west, east, *(_area(f"{x}/{y}", f"City {x} {y}", "city", x, y, x + 5, y + 5) for x, y in cells)]


def _area(code: str, name: str, level: str, left: int, bottom: int, right: int, top: int) -> Row:
    ring = [[left, bottom], [right, bottom], [right, top], [left, top], [left, bottom]]
    properties = {"code": code, "name": name, "level": level}
    return {"type": "Feature", "properties": properties, "geometry": {"type": "Polygon", "coordinates": [ring]}}


def _draw(folder: Path, number: int) -> None:
    noise = np.random.default_rng(number).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    picture = Image.fromarray(noise).resize((640, 480), Image.Resampling.BICUBIC)
    picture.save(folder / f"{number:02}.jpg", quality=92)
    picture.resize((320, 240)).save(folder / f"{number:02}-small.jpg", quality=85)


def _face(number: int, photos: str) -> Row:
    """A face of the people in turn; that of the last picture is a passer-by's."""
    person = number % PEOPLE if number + 1 < PICTURES else PEOPLE
    look = np.random.default_rng(100 + person).standard_normal(128)
    embedding = look / np.linalg.norm(look) + np.random.default_rng(200 + number).standard_normal(128) / 40
    return {
        "dataset_name": "ada",
        "figure_id": f"face-{number}",
        "uri": f"{photos}/{number:02}.jpg",
        "boundary": {"left": 10, "top": 10, "width": 120, "height": 140},
        "head_pose": {"yaw": 3.0, "pitch": -2.0, "roll": 0.0},
        "face_quality": 0.95,
        "embedding": [round(float(value), 6) for value in embedding / np.linalg.norm(embedding)],
    }
