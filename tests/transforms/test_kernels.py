"""The kernels and what feeds them run where there is no Spark."""

import subprocess
import sys

import pytest

WITHOUT_SPARK = (
    "transforms.clusters.changing",
    "transforms.clusters.events",
    "transforms.clusters.ids",
    "transforms.clusters.naming",
    "transforms.clusters.scope",
    "transforms.graphs.whole",
    "transforms.people.deciding",
    "transforms.people.libraries",
    "transforms.places.area_geocoding",
    "transforms.places.changed_files",
    "transforms.similar_images.alignment",
    "transforms.similar_images.embeddings",
    "transforms.similar_images.grouping",
    "transforms.similar_images.hamming",
    "transforms.similar_images.pairing",
    "transforms.tables.arrow_tables",
    "transforms.tables.grouped",
    "transforms.tables.keyed",
)


@pytest.mark.long
def test_kernels_load_no_spark() -> None:
    code = f"import sys, {', '.join(WITHOUT_SPARK)}\nprint('pyspark' in sys.modules, 'py4j' in sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.split() == ["False", "False"]
