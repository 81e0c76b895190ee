"""Areas of a GeoJSON that lies on S3, by Spark: S3A answers a read with less than was asked for."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from pyarrow import fs

from tests.s3.server import Server


@pytest.mark.spark
@pytest.mark.slow
@pytest.mark.usefixtures("s3_jars")
def test_geometries_of_a_geojson_on_s3_are_read_whole(s3: Server, tmp_path: Path) -> None:
    edges = {"W": [-180, -90, 60, 90], "E": [60, -90, 180, 90]}
    rings = {code: [[x, y], [u, y], [u, v], [x, v], [x, y]] for code, (x, y, u, v) in edges.items()}
    features = [
        {"type": "Feature", "properties": {"id": code}, "geometry": {"type": "Polygon", "coordinates": [ring]}}
        for code, ring in rings.items()
    ]
    (s3.folder / "inbox").mkdir()
    source = tmp_path / "areas.geojson"
    source.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    fs.copy_files(str(source), "s3://inbox/areas.geojson")
    lake = "s3://lake/areas"
    options = ["--level", "country", "--code", "id", "--name-column", "id", "--lake", lake]
    command = [sys.executable, "-m", "jobs.cli.main", "boundaries", "s3://inbox/areas.geojson", *options]
    job = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    assert job.returncode == 0, job.stderr[-3000:]
    files = pa.table(DeltaTable(f"{lake}/areas").get_add_actions(flatten=True))
    assert sum(files["num_records"].to_pylist()) == len(edges)
