"""The notebooks run on a family's lake; they are kept without outputs, and say first what they need."""

from __future__ import annotations

import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.jobs.albums import Album

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
BY_DEFAULT = "trips_of_a_family"
"""The others run with --slow, which takes a kernel each."""


def test_there_are_six() -> None:
    assert [path.stem for path in NOTEBOOKS] == [
        "bring_your_own_lake",
        "data_quality_of_a_source",
        "lineage_of_one_row",
        "people_through_the_years",
        "storage_freed_by_duplicates",
        "trips_of_a_family",
    ]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
def test_it_is_kept_without_outputs_and_says_what_it_needs(path: Path) -> None:
    book = nbformat.read(path, as_version=4)
    nbformat.validate(book)
    first = book.cells[0]
    assert first.cell_type == "markdown"
    assert "**Needs:**" in first.source
    for cell in book.cells:
        if cell.cell_type == "code":
            assert not cell.outputs
            assert cell.execution_count is None


CASES = [
    pytest.param(path, id=path.stem, marks=[*([] if path.stem == BY_DEFAULT else [pytest.mark.slow])])
    for path in NOTEBOOKS
]


@pytest.mark.long
@pytest.mark.parametrize("path", CASES)
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
def test_it_runs(path: Path, library: Album, request: pytest.FixtureRequest) -> None:
    if "spark" in path.read_text(encoding="utf-8").lower().split("no spark")[-1] and request.config.getoption(
        "--no-spark"
    ):
        pytest.skip("starts Spark: --no-spark leaves it out")
    book = nbformat.read(path, as_version=4)
    client = NotebookClient(
        book, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(ROOT / "notebooks")}}
    )
    environment = {**os.environ, "LAKEALBUM_LAKE": library.lake, "PYTHONPATH": str(ROOT)}
    client.execute(env=environment)
    assert not [out for cell in book.cells for out in cell.get("outputs", ()) if out.output_type == "error"]
    pictures = sum("image/png" in out.get("data", {}) for cell in book.cells for out in cell.get("outputs", ()))
    assert pictures >= (0 if path.stem == "bring_your_own_lake" else 1)
    if folder := os.environ.get("LAKEALBUM_NOTEBOOKS_OUT"):
        nbformat.write(book, Path(folder) / path.name)
