"""`index --format photos`, through the command line: all cases of `shared/data/cases`, and what is told of the rest."""

from __future__ import annotations

import csv
import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pytest
from deltalake import DeltaTable, QueryBuilder
from pyspark.sql import SparkSession

from jobs.index_files import command

CASES = Path(__file__).parents[3].parent / "shared" / "data" / "cases"
needs_cases = pytest.mark.skipif(not CASES.is_dir(), reason=f"the cases are not at {CASES}")


def table(lake: Path, name: str) -> list[dict[str, Any]]:
    rows = QueryBuilder().register("t", DeltaTable(str(lake / name))).execute("SELECT * FROM t").read_all()
    return pa.table(rows).to_pylist()


@needs_cases
def test_all_cases(spark: SparkSession, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, lake = tmp_path / "photos", tmp_path / "lake"
    shutil.copytree(CASES / "photos", source)
    strays = ("takeout/lost.jpg.json", "xmp/gone.xmp", "raw/other.3fr", "raw/other.3FR", "takeout/metadata.json")
    for name in strays:
        (source / name).parent.chmod(0o755)
        (source / name).write_text("{}")

    def index(*options: str) -> dict[str, Any]:
        line = [str(source), "--format", "photos", "--lake", str(lake), "--dataset", "d", "--json", *options]
        command.main(line, standalone_mode=False)
        told = capsys.readouterr().out
        return dict(json.loads(told[told.index("{") :]))

    told = index()
    counts = told["RowCounts"]
    assert {stage: rows for stage, rows in counts.items() if stage.startswith("not_taken.")} == {
        "not_taken.3fr": 2,
        "not_taken.jpg": 1,  # the empty file
        "not_taken.json": 1,
    }
    assert counts["sidecars.unmatched"] == 2
    assert [uri.rpartition("/")[2] for uri in told["UnmatchedSidecars"]] == ["lost.jpg.json", "gone.xmp"]
    assert [json.loads(row["row"])["uri"].rpartition("/")[2] for row in table(lake, "rejected")] == ["zero.jpg"]

    rows = {unquote(row["uri"].removeprefix(source.as_uri() + "/")): row for row in table(lake, "files")}
    with (CASES / "expected.csv").open(encoding="utf-8", newline="") as file:
        cases = [case for case in csv.DictReader(file) if case["note"] != "rejected"]
    for case in cases:
        row, text = rows[case["file"]], case["produce_time"]
        expected = datetime.fromisoformat(text) if text else None
        assert row["produce_time"] == (expected.replace(tzinfo=expected.tzinfo or UTC) if expected else None), case
        assert (row["time_is"], row["time_source"]) == (case["time_is"] or None, case["time_source"] or None), case
        assert row["utc_offset"] == (int(case["utc_offset_minutes"]) if case["utc_offset_minutes"] else None), case
        for axis in ("latitude", "longitude"):
            assert row[axis] == (pytest.approx(float(case[axis]), abs=1e-4) if case[axis] else None), case
    assert rows["exif/e3.jpg"]["warning"].startswith("the pixels can't be decoded")
    assert rows["live/IMG_0100.mov"]["shot_id"] == rows["live/IMG_0100.jpg"]["uri"]
    assert rows["xmp/b2_sidecar.jpg"]["labels"] == ["park"]
    places = {row["uri"]: row["shot_id"] for row in table(lake, "file_places")}
    assert places[rows["live/IMG_0100.mov"]["uri"]] == rows["live/IMG_0100.jpg"]["uri"]
    assert places[rows["exif/a3.jpg"]["uri"]] is None

    versions = [DeltaTable(str(lake / name)).version() for name in ("files", "file_features", "file_places")]
    for options in ((), ("--no-hashes",)):  # nothing changed; headers alone say nothing else
        index(*options)
        after = [DeltaTable(str(lake / name)).version() for name in ("files", "file_features", "file_places")]
        assert after == versions
    index("--no-hashes", "--no-name-times", "--prefer", "takeout")
    named = [row for row in table(lake, "files") if (row["time_source"] or "").startswith("name")]
    assert named == []
