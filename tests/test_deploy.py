"""The manifests of deploy/ name what the project has."""

from __future__ import annotations

from pathlib import Path

import yaml

from jobs.runtime.jars import read_pins

ROOT = Path(__file__).parents[1]


def test_a_job_on_kubernetes_gets_the_pinned_jars_and_files_that_there_are() -> None:
    spec = yaml.safe_load((ROOT / "deploy" / "spark-operator.yaml").read_text(encoding="utf-8"))["spec"]
    pins = read_pins(s3=True)
    assert tuple(spec["deps"]["packages"]) == pins.packages
    assert tuple(spec["deps"]["excludePackages"]) == pins.excludes
    for path in (spec["mainApplicationFile"], *spec["deps"]["jars"]):
        assert (ROOT / path.removeprefix("local:///opt/lakealbum/")).is_file()
    assert f"pyspark=={spec['sparkVersion']}" in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
