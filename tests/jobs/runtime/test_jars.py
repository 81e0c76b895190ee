from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from jobs.runtime.jars import LOG_STORE_JAR, Jars, jar_settings, read_pins

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LAKEALBUM_JARS", "LAKEALBUM_PACKAGES", "LAKEALBUM_EXCLUDES"):
        monkeypatch.delenv(name, raising=False)


def write_pom(folder: Path) -> Path:
    pom = folder / "pom.xml"
    pom.write_text(
        """<project xmlns="http://maven.apache.org/POM/4.0.0"><dependencies>
        <dependency><groupId>org.a</groupId><artifactId>one</artifactId><version>1</version><exclusions>
          <exclusion><groupId>org.x</groupId><artifactId>*</artifactId></exclusion>
          <exclusion><groupId>org.y</groupId><artifactId>z</artifactId></exclusion></exclusions></dependency>
        <dependency><groupId>org.b</groupId><artifactId>sedona-two</artifactId><version>2</version><exclusions>
          <exclusion><groupId>org.x</groupId><artifactId>*</artifactId></exclusion>
          <exclusion><groupId>org.w</groupId><artifactId>*</artifactId></exclusion></exclusions></dependency>
        </dependencies></project>""",
        encoding="utf-8",
    )
    return pom


def test_pins_are_read_with_each_exclusion_once(tmp_path: Path) -> None:
    assert read_pins(write_pom(tmp_path)) == Jars(
        packages=("org.a:one:1", "org.b:sedona-two:2"), excludes=("org.x:*", "org.y:z", "org.w:*")
    )


def test_what_only_geometry_needs_is_left_out_without_it(tmp_path: Path) -> None:
    assert read_pins(write_pom(tmp_path), geometry=False) == Jars(("org.a:one:1",), ("org.x:*", "org.y:z"))


def test_the_pinned_jars_are_the_default() -> None:
    settings = jar_settings(geometry=False)
    assert settings.keys() == {"spark.jars.packages", "spark.jars.excludes"}
    (delta,) = settings["spark.jars.packages"].split(",")
    assert delta.startswith("io.delta:delta-spark_")
    assert "org.apache.spark:*" in settings["spark.jars.excludes"].split(",")
    assert len(jar_settings(geometry=True)["spark.jars.packages"].split(",")) == 3


def test_a_folder_of_jars_comes_before_the_pinned_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("delta.jar", "sedona-spark.jar", "notes.txt"):
        (tmp_path / name).touch()
    monkeypatch.setenv("LAKEALBUM_JARS", str(tmp_path))
    assert jar_settings(geometry=False) == {"spark.jars": str(tmp_path / "delta.jar")}
    assert jar_settings(geometry=True) == {"spark.jars": f"{tmp_path / 'delta.jar'},{tmp_path / 'sedona-spark.jar'}"}


def test_packages_of_ones_own_come_before_the_pinned_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAKEALBUM_PACKAGES", "a:b:1")
    monkeypatch.setenv("LAKEALBUM_EXCLUDES", "c:d")
    assert jar_settings(geometry=False) == {"spark.jars.packages": "a:b:1", "spark.jars.excludes": "c:d"}


def test_the_module_prints_what_spark_submit_takes() -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "jobs.runtime.jars"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    pins = read_pins()
    assert printed.stdout.splitlines() == [",".join(pins.packages), ",".join(pins.excludes)]


def test_python_packages_and_jars_are_of_one_version() -> None:
    pins = dict(package.split(":")[1:] for package in read_pins().packages)
    wanted = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (delta,) = (version for name, version in pins.items() if name.startswith("delta-spark_"))
    (sedona,) = (version for name, version in pins.items() if name.startswith("sedona-spark-"))
    assert f'"delta-spark=={delta}"' in wanted
    assert f'"apache-sedona=={sedona}"' in wanted


def test_the_jars_for_s3_come_where_they_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pins = read_pins(s3=True)
    names = {package.split(":")[1] for package in pins.packages}
    assert names - {package.split(":")[1] for package in read_pins().packages} == {
        "hadoop-aws",
        "s3",
        "s3-transfer-manager",
        "sts",
    }
    assert {"software.amazon.awssdk:bundle", "software.amazon.awssdk:netty-nio-client"} <= set(pins.excludes)
    assert jar_settings(geometry=False, s3=True)["spark.jars"] == str(LOG_STORE_JAR)
    (tmp_path / "delta.jar").touch()
    monkeypatch.setenv("LAKEALBUM_JARS", str(tmp_path))
    assert jar_settings(geometry=False, s3=True)["spark.jars"] == f"{tmp_path / 'delta.jar'},{LOG_STORE_JAR}"


def test_hadoop_for_s3_is_that_of_spark() -> None:
    pins = dict(package.split(":")[1:] for package in read_pins(s3=True).packages)
    import pyspark

    there = Path(pyspark.__file__).parent / "jars" / f"hadoop-client-api-{pins['hadoop-aws']}.jar"
    assert there.is_file(), "hadoop-aws must be of the version of Spark's own Hadoop"
